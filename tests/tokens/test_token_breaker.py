"""A store that cannot be reached costs its time-out once, not once for each caller."""

from __future__ import annotations

import threading

import pytest
from tokens.doubles import Clock

from enkash_async._support.breaker import CircuitBreaker
from enkash_async.errors import StoreUnavailableError


def breaker_of(clock: Clock, chance: float = 0.5) -> CircuitBreaker:
    return CircuitBreaker(error=StoreUnavailableError, clock=clock, random=lambda: chance)


def tripped(clock: Clock, chance: float = 0.5) -> CircuitBreaker:
    """Return an open circuit breaker."""
    breaker = breaker_of(clock, chance)
    for number in range(3):
        breaker.enter()
        breaker.failed(f"trouble {number}")
    return breaker


def lets_in(breaker: CircuitBreaker) -> bool:
    try:
        breaker.enter()
    except StoreUnavailableError:
        return False
    return True


def test_it_opens_at_the_third_failure_in_a_row(clock: Clock) -> None:
    """The circuit breaker lets every caller try until the third failure opens it."""
    breaker = breaker_of(clock)
    for _ in range(2):
        breaker.failed("no answer")
        assert not breaker.is_down
        assert lets_in(breaker)
    breaker.failed("no answer")
    assert breaker.is_down
    assert not lets_in(breaker)


def test_an_answer_in_between_starts_the_count_anew(clock: Clock) -> None:
    """The circuit breaker stays closed, because an answer resets its count."""
    breaker = breaker_of(clock)
    for _ in range(5):
        breaker.failed("no answer")
        breaker.failed("no answer")
        breaker.worked()
    assert not breaker.is_down
    assert lets_in(breaker)


def test_who_is_refused_is_told_the_latest_trouble(clock: Clock) -> None:
    """The refused caller gets the error of the attempt that failed last."""
    breaker = tripped(clock)
    with pytest.raises(StoreUnavailableError, match="trouble 2"):
        breaker.enter()


@pytest.mark.parametrize(("chance", "pause"), [(0.0, 0.75), (0.5, 1.0), (0.999, 1.2495)])
def test_somebody_looks_after_about_a_second(clock: Clock, chance: float, pause: float) -> None:
    """The circuit breaker lets a caller try after a second with jitter, so that a fleet does not do so in step."""
    breaker = tripped(clock, chance)
    clock.now += pause - 0.01
    assert not lets_in(breaker)
    clock.now += 0.01
    assert lets_in(breaker)


def test_one_looks_at_a_time(clock: Clock) -> None:
    """The circuit breaker refuses the other callers, and a failed look starts another pause."""
    breaker = tripped(clock)
    for _ in range(3):
        clock.now += 1
        assert [lets_in(breaker) for _ in range(5)] == [True, False, False, False, False]
        clock.now += 0.9
        assert not lets_in(breaker)
        breaker.failed("still nothing")
        assert not lets_in(breaker)


def test_a_look_that_finds_it_brings_it_back_for_all(clock: Clock) -> None:
    """One answer closes the circuit breaker, and two failures do not open it again."""
    breaker = tripped(clock)
    clock.now += 1
    breaker.enter()
    breaker.worked()
    assert not breaker.is_down
    assert all(lets_in(breaker) for _ in range(5))
    breaker.failed("no answer")
    breaker.failed("no answer")
    assert lets_in(breaker)


def test_a_look_that_never_ends_is_not_waited_for(clock: Clock) -> None:
    """The circuit breaker lets another caller try after 5 s, because the first may have been cancelled."""
    breaker = tripped(clock)
    clock.now += 1
    assert lets_in(breaker)
    clock.now += 4.9
    assert not lets_in(breaker)
    clock.now += 0.1
    assert lets_in(breaker)


def test_one_of_many_threads_looks(clock: Clock) -> None:
    """The threads share the circuit breaker, which lets one of eight try."""
    breaker, start, let_in = tripped(clock), threading.Barrier(8), list[bool]()
    clock.now += 1

    def look() -> None:
        start.wait()
        let_in.append(lets_in(breaker))

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(let_in) == [False] * 7 + [True]
