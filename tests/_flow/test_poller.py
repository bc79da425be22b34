"""The poller: when it looks, for how long, and what ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enkash_async import PollPolicy
from enkash_async._flow.notifier import BillNotifier, News
from enkash_async._flow.poller import Poller, peek
from enkash_async.errors import (
    BadRequestError,
    RequestTimeoutError,
)

from support import Time

GROWING = PollPolicy(first=1.0, factor=2.0, longest=8.0, jitter=0.0)


class Sight:
    """Something that shows at the n-th look; each look takes some time."""

    def __init__(self, time: Time, shows_at: int = 10**9, takes: float = 0.0) -> None:
        self.patience: list[float] = []
        self._time, self._shows_at, self._takes = time, shows_at, takes

    async def __call__(self, patience: float) -> bool:
        self.patience.append(round(patience, 6))
        self._time.now += self._takes
        return len(self.patience) >= self._shows_at


def _poller(time: Time, random: Callable[[], float] = lambda: 0.5) -> Poller:
    return Poller(time, time.sleep, random)


# --- one look ---------------------------------------------------------------------------------------------------------


async def test_a_look_returns_what_it_saw_or_failed_with() -> None:
    """`peek` returns an `EnkashError` as a value and raises every other error, which is a defect."""

    async def end(with_: object) -> object:
        if isinstance(with_, Exception):
            raise with_
        return with_

    refused = BadRequestError("no")
    assert await peek(end(5), 10) == 5
    assert await peek(end(refused), 10) is refused
    with pytest.raises(ZeroDivisionError):
        await peek(end(ZeroDivisionError()), 10)


async def test_a_look_that_takes_too_long_is_cut_off() -> None:
    """`peek` cancels the call and does not leave it running."""
    ended = list[str]()

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    seen = await peek(hang(), 0.01)
    assert isinstance(seen, RequestTimeoutError)
    assert (str(seen), seen.sent, ended) == ("no answer within 0.01 s", True, ["cancelled"])


async def test_a_cancelled_look_is_not_taken_for_a_late_one() -> None:
    """The caller sees `CancelledError`, which `peek` does not turn into a time-out."""
    looking = asyncio.ensure_future(peek(asyncio.Event().wait(), 100))
    await asyncio.sleep(0)
    looking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await looking


# --- again and again --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shows_at", "pauses"), [(1, []), (2, [1.0]), (4, [1.0, 2.0, 4.0]), (7, [1.0, 2.0, 4.0, 8.0, 8.0, 8.0])]
)
async def test_it_looks_at_once_and_then_in_growing_pauses_until_it_shows(shows_at: int, pauses: list[float]) -> None:
    """Pauses grow up to the longest, and no pause follows the last look."""
    time = Time()
    sight = Sight(time, shows_at)
    await _poller(time).until(sight, seconds=1000, pauses=GROWING)
    assert (len(sight.patience), time.slept) == (shows_at, pauses)


async def test_the_last_look_is_made_when_the_time_is_up() -> None:
    """The poller cuts the last pause to the time that is left and makes no look after it."""
    time = Time()
    sight = Sight(time)
    await _poller(time).until(sight, seconds=5.5, pauses=GROWING)
    assert time.slept == [1.0, 2.0, 2.5]
    assert sight.patience == [5.5, 4.5, 2.5, 1.0]


async def test_without_time_it_looks_once() -> None:
    """A timeout of zero allows one look, which gets at least a second."""
    time = Time()
    sight = Sight(time)
    await _poller(time).until(sight, seconds=0, pauses=GROWING)
    assert (sight.patience, time.slept) == ([1.0], [])


async def test_the_time_that_looks_take_counts() -> None:
    """Three looks of three seconds fit into eight seconds, because their own time counts."""
    time = Time()
    sight = Sight(time, takes=3.0)
    await _poller(time).until(sight, seconds=8, pauses=GROWING)
    assert (time.slept, sight.patience) == ([1.0, 1.0], [8.0, 4.0, 1.0])


@given(st.lists(st.floats(0, 1, exclude_max=True), min_size=8, max_size=8), st.floats(0, 60))
async def test_pauses_vary_at_random_and_the_end_comes_in_time(chances: list[float], seconds: float) -> None:
    """Each pause stays within its jitter and its maximum, and together they fill the timeout."""
    time, chance = Time(), iter(chances)
    pauses = PollPolicy(first=1.0, factor=2.0, longest=15.0, jitter=0.5)
    poller = _poller(time, lambda: next(chance, 0.5))
    sight = Sight(time)
    await poller.until(sight, seconds=seconds, pauses=pauses)
    assert abs(time.now - 1000.0 - seconds) < 1e-3
    for number, slept in enumerate(time.slept[:-1]):
        plain = min(15.0, 2.0**number)
        assert plain * 0.5 - 1e-6 <= slept <= min(15.0, plain * 1.5) + 1e-6
    assert all(patience >= 1.0 for patience in sight.patience)


async def test_two_who_began_together_do_not_ask_together() -> None:
    """Two pollers with different random values spread their looks."""
    slept = []
    for chance in (0.0, 0.999):
        time = Time()
        await _poller(time, lambda chance=chance: chance).until(Sight(time, 2), seconds=100, pauses=PollPolicy())  # type: ignore[misc]
        slept += time.slept
    assert slept == [0.8, pytest.approx(1.1996)]


# --- news -------------------------------------------------------------------------------------------------------------


async def _for_ever(_: float) -> None:
    await asyncio.Event().wait()


@pytest.fixture
def listened() -> Iterator[tuple[BillNotifier, News]]:
    notifier = BillNotifier()
    with notifier.listen(["U-1"]) as news:
        yield notifier, news


async def _alone() -> None:
    async with asyncio.timeout(10):
        while asyncio.all_tasks() != {asyncio.current_task()}:
            await asyncio.sleep(0)


async def test_news_ends_a_pause(listened: tuple[BillNotifier, News]) -> None:
    """News ends a pause of any length and leaves no task."""
    notifier, news = listened
    looks = list[tuple[str, ...]]()

    async def look(_: float) -> bool:
        looks.append(news.take())
        asyncio.get_running_loop().call_soon(notifier.notify, "U-1")
        return len(looks) == 3

    async with asyncio.timeout(10):
        await Poller(sleep=_for_ever).until(look, seconds=1e6, pauses=PollPolicy(), news=news)
    assert looks == [(), ("U-1",), ("U-1",)]
    await _alone()


async def test_a_pause_without_news_ends_by_itself(listened: tuple[BillNotifier, News]) -> None:
    """A pause ends on time without news, and each wait for news is cancelled."""
    time = Time()
    await _poller(time).until(Sight(time, 4), seconds=100, pauses=GROWING, news=listened[1])
    assert time.slept == [1.0, 2.0, 4.0]
    await _alone()


async def test_a_pause_that_is_cancelled_leaves_nothing_behind(listened: tuple[BillNotifier, News]) -> None:
    """Cancelling a pause ends both the sleep and the wait for news."""
    time = Time()
    until = Poller(sleep=_for_ever).until(Sight(time), seconds=1e6, pauses=PollPolicy(), news=listened[1])
    looking = asyncio.ensure_future(until)
    await asyncio.sleep(0.001)
    looking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await looking
    await _alone()


@pytest.mark.parametrize("with_news", [False, True])
async def test_a_sleep_that_fails_is_not_slept_over(listened: tuple[BillNotifier, News], with_news: bool) -> None:
    """The caller sees the error of a user's scheduler; looking on without a pause would flood EnKash."""
    time = Time()

    async def closing(_: float) -> None:
        raise RuntimeError("closing")

    with pytest.raises(RuntimeError, match="closing"):
        await Poller(time, closing).until(
            Sight(time, 5), seconds=100, pauses=GROWING, news=listened[1] if with_news else None
        )
    await _alone()
