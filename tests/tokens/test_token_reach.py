"""A store that cannot be reached costs its time-out once, not once for each caller."""

from __future__ import annotations

import threading

import pytest
from tokens.benches import OURS
from tokens.doubles import Clock

from enkash_async._support.breaker import CircuitBreaker
from enkash_async.errors import TokenStoreError
from enkash_async.tokens import Lead, RedisTokenStore

from servers import Server, gate


def reach_of(clock: Clock, chance: float = 0.5) -> CircuitBreaker:
    return CircuitBreaker(error=TokenStoreError, clock=clock, random=lambda: chance)


def fallen(clock: Clock, chance: float = 0.5) -> CircuitBreaker:
    """Return the marker of a store that has just been given up."""
    reach = reach_of(clock, chance)
    for number in range(3):
        reach.enter()
        reach.failed(f"trouble {number}")
    return reach


def is_open(reach: CircuitBreaker) -> bool:
    try:
        reach.enter()
    except TokenStoreError:
        return False
    return True


def test_it_falls_at_the_third_failure_in_a_row(clock: Clock) -> None:
    """Until then everybody may try."""
    reach = reach_of(clock)
    for _ in range(2):
        reach.failed("no answer")
        assert not reach.is_down
        assert is_open(reach)
    reach.failed("no answer")
    assert reach.is_down
    assert not is_open(reach)


def test_an_answer_in_between_starts_the_count_anew(clock: Clock) -> None:
    """Two, and two more, are not four."""
    reach = reach_of(clock)
    for _ in range(5):
        reach.failed("no answer")
        reach.failed("no answer")
        reach.worked()
    assert not reach.is_down
    assert is_open(reach)


def test_who_is_refused_is_told_the_latest_trouble(clock: Clock) -> None:
    """As whoever had it was."""
    reach = fallen(clock)
    with pytest.raises(TokenStoreError, match="trouble 2"):
        reach.enter()


@pytest.mark.parametrize(("chance", "pause"), [(0.0, 0.75), (0.5, 1.0), (0.999, 1.2495)])
def test_somebody_looks_after_about_a_second(clock: Clock, chance: float, pause: float) -> None:
    """Spread a little, so that a fleet does not look in step."""
    reach = fallen(clock, chance)
    clock.now += pause - 0.01
    assert not is_open(reach)
    clock.now += 0.01
    assert is_open(reach)


def test_one_looks_at_a_time(clock: Clock) -> None:
    """The others are refused meanwhile, and after a look that failed there is another pause."""
    reach = fallen(clock)
    for _ in range(3):
        clock.now += 1
        assert [is_open(reach) for _ in range(5)] == [True, False, False, False, False]
        clock.now += 0.9
        assert not is_open(reach)
        reach.failed("still nothing")
        assert not is_open(reach)


def test_a_look_that_finds_it_brings_it_back_for_all(clock: Clock) -> None:
    """And it takes three failures again to lose it."""
    reach = fallen(clock)
    clock.now += 1
    reach.enter()
    reach.worked()
    assert not reach.is_down
    assert all(is_open(reach) for _ in range(5))
    reach.failed("no answer")
    reach.failed("no answer")
    assert is_open(reach)


def test_a_look_that_never_ends_is_not_waited_for(clock: Clock) -> None:
    """Whoever made it was cancelled, say."""
    reach = fallen(clock)
    clock.now += 1
    assert is_open(reach)
    clock.now += 4.9
    assert not is_open(reach)
    clock.now += 0.1
    assert is_open(reach)


def test_one_of_many_threads_looks(clock: Clock) -> None:
    """Loops of several threads share the marker."""
    reach, start, opened = fallen(clock), threading.Barrier(8), list[bool]()
    clock.now += 1

    def look() -> None:
        start.wait()
        opened.append(is_open(reach))

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(opened) == [False] * 7 + [True]


async def test_a_redis_that_is_gone_is_left_alone(clock: Clock, redis_server: Server) -> None:
    """The first caller tries three times; then it is tried once a second, however many callers there are."""
    async with gate(redis_server.port) as way:
        store = RedisTokenStore(way.url, timeout=0.1, clock=clock, sleep=clock.hurry, random=lambda: 0.5)
        way.blackhole()
        for connections in (3, 4, 5):
            for number in range(50):
                with pytest.raises(TokenStoreError, match="cannot be reached"):
                    await store.claim(OURS, f"a{number}", above=-1)
            assert way.count == connections
            clock.now += 1.01
        way.release()
        while not await _answers(store):  # a busy machine may take longer than the time-out
            clock.now += 1.01
        await store.aclose()


async def _answers(store: RedisTokenStore) -> bool:
    try:
        return isinstance(await store.claim(OURS, "b", above=-1), Lead)
    except TokenStoreError:
        return False
