"""The gate bounds how many requests are in flight, how fast they begin, and in which order."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Callable, Coroutine, Iterator
from decimal import Decimal
from functools import partial
from itertools import cycle
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enkash_async._flow.gate import Gate
from enkash_async.config import Limits
from enkash_async.errors import ConfigurationError

from support import LeapingLoop

EPSILON = 1e-6  # seconds; far above the rounding and the resolution of a loop's clock, far below any gap used here


def leap(main: Coroutine[Any, Any, None]) -> None:
    """Run to the end without waiting."""
    with asyncio.Runner(loop_factory=LeapingLoop) as runner:
        runner.run(main)


def now() -> float:
    return asyncio.get_running_loop().time()


async def spin(rounds: float) -> None:
    """Let the given number of rounds of the event loop pass, in which no time passes."""
    for _ in range(int(rounds)):
        await asyncio.sleep(0)


async def settle() -> None:
    """Let all ready tasks run, without any time passing."""
    await spin(20)


def made(limits: Limits = Limits(), lateness: Iterator[float] = cycle([1.0])) -> Gate:
    """Return a gate in leaping time, whose sleeps take the given multiples of what they were asked for."""

    async def sleep(seconds: float) -> None:
        await asyncio.sleep(seconds * next(lateness))

    return Gate(limits, clock=now, sleep=sleep)


async def moments(gate: Gate, count: int) -> list[float]:
    """Return when each of the given number of turns came."""
    passed = []
    for _ in range(count):
        await gate.turn()
        passed.append(now())
    return passed


# --- Limits -----------------------------------------------------------------------------------------------------------


def test_without_a_word_there_is_no_rate() -> None:
    """The default sets no rate, because EnKash documents none, and a hundred connections as aiohttp does."""
    assert attrs.asdict(Limits()) == {"concurrency": 100, "rate": None, "burst": 1}


@pytest.mark.parametrize("name", ["concurrency", "burst"])
@pytest.mark.parametrize("value", [0, -1, True, 1.0, 2.5, math.nan, "3", None, Decimal(2)])
def test_what_counts_is_a_whole_number(name: str, value: Any) -> None:
    """The error names the field, the value that was given and what to write in its place."""
    with pytest.raises(ConfigurationError) as caught:
        Limits(**{name: value})
    assert str(caught.value) == f"Limits.{name} must be an int, 1 or more, not {value!r}"


@pytest.mark.parametrize("value", [0, 0.0, -1, True, math.nan, math.inf, -math.inf, "5", Decimal(2)])
def test_a_rate_is_a_finite_number_above_zero(value: Any) -> None:
    """The error says how to switch the rate off, because infinity is refused as well."""
    with pytest.raises(ConfigurationError) as caught:
        Limits(rate=value)
    assert str(caught.value) == (
        f"Limits.rate must be a finite number of requests per second above 0, or None for no limit, not {value!r}"
    )


@pytest.mark.parametrize("limits", [{"concurrency": 1}, {"rate": 1}, {"rate": 0.001}, {"burst": 1}, {"burst": 5}])
def test_the_least_values_are_taken(limits: dict[str, Any]) -> None:
    """`Limits` accepts an int for a rate and keeps each smallest value unchanged."""
    assert attrs.asdict(Limits(**limits)).items() >= limits.items()


@pytest.mark.parametrize("burst", [1, 2, 10**400])
@pytest.mark.parametrize("rate", [5e-324, 1e-300, 1, 1e300, 10**400])
def test_limits_beyond_all_reason_still_limit(rate: float, burst: int) -> None:
    """No sum overflows: the first request begins at once, and a second within the burst or after the interval."""

    async def run() -> None:
        gate = made(Limits(rate=rate, burst=burst))
        first, second = await moments(gate, 2)
        assert first == 0
        assert second == pytest.approx(0 if burst > 1 else min(1 / rate, 1e9))

    leap(run())


# --- the rate ---------------------------------------------------------------------------------------------------------


def test_without_a_rate_a_turn_never_suspends() -> None:
    """A turn costs no round of the event loop, and needs no event loop at all."""
    gate = Gate(Limits())
    for _ in range(1000):
        with pytest.raises(StopIteration):
            gate.turn().send(None)


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (Limits(rate=4), [0, 0.25, 0.5, 0.75, 1]),
        (Limits(rate=0.5), [0, 2, 4, 6, 8]),
        (Limits(rate=4, burst=3), [0, 0, 0, 0.25, 0.5]),
        (Limits(burst=3), [0, 0, 0, 0, 0]),
    ],
)
def test_requests_begin_at_the_rate_after_a_burst(limits: Limits, expected: list[float]) -> None:
    """The gate lets a burst through at once and the rest at even distances."""

    async def run() -> None:
        assert await moments(made(limits), 5) == pytest.approx(expected, abs=EPSILON)

    leap(run())


def test_a_quiet_time_earns_a_burst_and_no_more() -> None:
    """Half an interval earns half of one turn; an hour earns no more than the burst."""

    async def run() -> None:
        gate = made(Limits(rate=1, burst=2))
        await moments(gate, 2)
        await asyncio.sleep(0.5)
        assert await moments(gate, 1) == pytest.approx([1], abs=EPSILON)
        await asyncio.sleep(3600)
        assert await moments(gate, 4) == pytest.approx([3601, 3601, 3602, 3603], abs=EPSILON)

    leap(run())


def test_late_sleeps_are_made_up_for_within_the_burst() -> None:
    """The gate keeps its rate over a thousand turns, although the loop always wakes late."""

    async def run() -> None:
        gate = made(Limits(rate=10, burst=2), cycle([1.3]))
        passed = await moments(gate, 1001)
        assert passed[-1] == pytest.approx(99.9, abs=0.1)

    leap(run())


def test_one_that_is_cancelled_in_its_sleep_uses_nothing_up() -> None:
    """The next caller goes when the cancelled one would have gone, not an interval later."""

    async def run() -> None:
        gate = made(Limits(rate=1))
        await gate.turn()
        first, second = asyncio.create_task(moments(gate, 1)), asyncio.create_task(moments(gate, 1))
        await asyncio.sleep(0.75)
        assert first.cancel()
        assert await second == pytest.approx([1], abs=EPSILON)
        assert first.cancelled()

    leap(run())


def test_one_that_is_cancelled_right_after_it_became_the_first_passes_that_on() -> None:
    """The third caller goes in place of the second, which is cancelled before it has run."""

    async def run() -> None:
        gate = made(Limits(rate=1))
        await gate.turn()

        async def spoil() -> None:
            await gate.turn()
            assert second.cancel()

        first = asyncio.create_task(spoil())
        second, third = asyncio.create_task(moments(gate, 1)), asyncio.create_task(moments(gate, 1))
        assert await third == pytest.approx([2], abs=EPSILON)
        assert first.done()
        assert second.cancelled()

    leap(run())


async def test_the_rate_holds_in_real_time() -> None:
    """A gate's default clock and default sleep agree with each other."""
    gate = Gate(Limits(rate=500))
    began = time.monotonic()
    for _ in range(11):
        await gate.turn()
    assert time.monotonic() - began >= 10 / 500


# --- the pause --------------------------------------------------------------------------------------------------------


def test_a_pause_holds_up_everybody_until_it_is_over() -> None:
    """Callers who come while the gate is closed pass together at its opening, in the order of their arrival."""

    async def run() -> None:
        gate = made()
        passed: list[tuple[int, float]] = []

        async def pass_through(number: int) -> None:
            await gate.turn()
            passed.append((number, now()))

        gate.pause(5)
        async with asyncio.TaskGroup() as group:
            for number in range(3):
                group.create_task(pass_through(number))
                await asyncio.sleep(1)
        assert [number for number, _ in passed] == [0, 1, 2]
        assert [moment for _, moment in passed] == pytest.approx([5, 5, 5], abs=EPSILON)

    leap(run())


def test_who_already_waits_sees_a_later_pause() -> None:
    """A caller who waits for the rate waits on when the gate closes, and when the pause is extended."""

    async def run() -> None:
        gate = made(Limits(rate=1))
        await gate.turn()
        waiter = asyncio.create_task(moments(gate, 2))
        await asyncio.sleep(0.5)
        gate.pause(2)
        await asyncio.sleep(1)
        gate.pause(2)
        assert await waiter == pytest.approx([3.5, 4.5], abs=EPSILON)

    leap(run())


@pytest.mark.parametrize("seconds", [1, 0, -1, -1e308, math.nan, -math.inf, math.inf])
def test_the_reopening_never_moves_back(seconds: float) -> None:
    """A shorter, negative or infinite pause does not shorten the pause that runs."""

    async def run() -> None:
        gate = made()
        gate.pause(min(0, seconds))
        gate.pause(5)
        await asyncio.sleep(3)
        gate.pause(seconds)
        assert await moments(gate, 1) == pytest.approx([5], abs=EPSILON)

    leap(run())


@pytest.mark.parametrize("seconds", [0, -1, math.nan, -math.inf, math.inf])
def test_what_is_no_time_closes_nothing(seconds: float) -> None:
    """A `Retry-After` of four hundred digits is infinite and must not stop a client for good."""

    async def run() -> None:
        gate = made()
        gate.pause(seconds)
        assert await moments(gate, 1) == [0]

    leap(run())


async def test_newcomers_never_overtake() -> None:
    """The gate keeps the order of arrival before, during and after its opening."""
    passed: list[int] = []
    moment, opened = 0.0, asyncio.Event()

    async def sleep(_: float) -> None:
        await opened.wait()

    async def pass_through(number: int) -> None:
        await gate.turn()
        passed.append(number)

    gate = Gate(Limits(), clock=lambda: moment, sleep=sleep)
    gate.pause(1)
    async with asyncio.TaskGroup() as group:
        for number in range(40):
            group.create_task(pass_through(number))
            await asyncio.sleep(0)
            if number == 10:
                assert not passed
                moment = 1.0
                opened.set()
    assert passed == list(range(40))


def is_free(gate: Gate) -> bool:
    """Whether a turn would come without waiting; a turn that has to wait is cancelled."""
    turn = gate.turn()
    try:
        turn.send(None)
    except StopIteration:
        return True
    turn.close()
    return False


@pytest.mark.parametrize("doomed", [(), (0,), (1,), (2,), (0, 1), (0, 1, 2)], ids=str)
def test_after_a_pause_turns_are_free_again(doomed: tuple[int, ...]) -> None:
    """The gate stays closed to newcomers until every waiting caller has gone, cancelled callers or not."""

    async def run() -> None:
        gate = made()
        gate.pause(5)
        assert not is_free(gate)
        waiting = [asyncio.create_task(moments(gate, 1)) for _ in range(3)]
        await settle()
        for number in doomed:
            assert waiting[number].cancel()
        await settle()
        assert not is_free(gate)
        left = [task for number, task in enumerate(waiting) if number not in doomed]
        assert await asyncio.gather(*left) == [pytest.approx([5], abs=EPSILON)] * len(left)
        await asyncio.sleep(max(0, 5 - now()))
        for _ in range(3):
            assert is_free(gate)
        gate.pause(1)
        assert not is_free(gate)
        assert await moments(gate, 2) == pytest.approx([6, 6], abs=EPSILON)
        assert is_free(gate)

    leap(run())


def test_who_comes_when_the_pause_is_over_lines_up_behind_those_who_waited() -> None:
    """A newcomer after the pause goes last, although the first waiting caller has not woken yet."""

    async def run() -> None:
        gate = made(lateness=cycle([2.0]))  # each sleep takes twice as long as asked
        passed: list[str] = []

        async def go(name: str) -> None:
            await gate.turn()
            passed.append(name)

        gate.pause(1)
        waiting = [asyncio.create_task(go(name)) for name in ("first", "second")]
        await asyncio.sleep(1.5)
        assert not is_free(gate)
        waiting.append(asyncio.create_task(go("newcomer")))
        await settle()
        assert passed == []
        await asyncio.gather(*waiting)
        assert passed == ["first", "second", "newcomer"]
        assert is_free(gate)

    leap(run())


def test_a_sleep_that_fails_does_not_close_the_gate_for_good() -> None:
    """A caller whose sleep raised is no longer in line, so the next one passes."""

    async def run() -> None:
        async def broken(seconds: float) -> None:
            raise ZeroDivisionError

        gate = Gate(Limits(), clock=now, sleep=broken)
        gate.pause(1)
        with pytest.raises(ZeroDivisionError):
            await gate.turn()
        await asyncio.sleep(2)
        assert is_free(gate)

    leap(run())


# --- turns: whatever comes --------------------------------------------------------------------------------------------

#: Multiples of a quarter of a second make steps coincide; the others make them differ by little.
SECONDS = st.integers(0, 12).map(lambda quarters: quarters / 4) | st.floats(0, 3)
ARRIVE = st.just(("arrive", 0.0))
CANCEL = st.tuples(st.just("cancel"), st.integers(0, 9).map(float))  # counted back from the last arrival
PAUSE = st.tuples(st.just("pause"), SECONDS | st.sampled_from([-1.0, math.nan, math.inf]))
WAIT = st.tuples(st.just("wait"), SECONDS)
ROUNDS = st.integers(1, 4).map(float)
YIELD = st.tuples(st.just("yield"), ROUNDS)
STEPS = st.lists(ARRIVE | ARRIVE | CANCEL | PAUSE | WAIT | YIELD, max_size=30)
RATED = st.builds(
    Limits, rate=st.none() | st.sampled_from([0.5, 1.0, 2.0, 4.0]) | st.floats(0.3, 50), burst=st.integers(1, 4)
)


class Course:
    """A record of what happened at a gate.

    Attributes:
        arrived: When each caller came.
        cancelled: Callers that were cancelled while they waited.
        begun: Which caller passed, when, and the reopening that the gate had then, in order.
    """

    def __init__(self, gate: Gate) -> None:
        self.arrived: list[float] = []
        self.cancelled: set[int] = set()
        self.begun: list[tuple[int, float, float]] = []
        self._gate = gate
        self._reopens = -math.inf
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self, steps: list[tuple[str, float]]) -> None:
        """Carry out the steps in order and wait until every caller has passed."""
        for what, how in steps:
            if what == "arrive":
                self._tasks.append(asyncio.create_task(self._pass(len(self.arrived))))
                self.arrived.append(now())
            elif what == "cancel":
                self._cancel(len(self._tasks) - 1 - int(how))
            elif what == "pause":
                self._gate.pause(how)
                self._reopens = max(self._reopens, now() + how) if 0 < how < math.inf else self._reopens
            elif what == "wait":
                await asyncio.sleep(how)
            else:
                await spin(how)
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _cancel(self, number: int) -> None:
        if number >= 0 and self._tasks[number].cancel():
            self.cancelled.add(number)

    async def _pass(self, number: int) -> None:
        await self._gate.turn()
        self.begun.append((number, now(), self._reopens))


def course(limits: Limits, steps: list[tuple[str, float]], lateness: Iterator[float] = cycle([1.0])) -> Course:
    """Return the record of the given steps."""
    kept: list[Course] = []

    async def run() -> None:
        kept.append(Course(made(limits, lateness)))
        await kept[0].run(steps)

    leap(run())
    return kept[0]


def earliest(limits: Limits, before: list[float]) -> float:
    """Return the earliest moment at which the bound allows one more request, computed from its definition."""
    if limits.rate is None:
        return -math.inf
    count = len(before)
    return max(
        (began + (count - index + 1 - limits.burst) / limits.rate for index, began in enumerate(before)),
        default=-math.inf,
    )


@given(RATED, STEPS, st.lists(st.floats(0.5, 1.5), min_size=1, max_size=5))
def test_a_gate_keeps_its_word_whatever_comes(
    limits: Limits, steps: list[tuple[str, float]], lateness: list[float]
) -> None:
    """With early and late sleeps, the gate keeps bound, order and pause, and everybody passes."""
    done = course(limits, steps, cycle([*lateness, 1.0]))
    order = [number for number, _, _ in done.begun]
    assert order == [number for number in range(len(done.arrived)) if number not in done.cancelled]
    times = [began for _, began, _ in done.begun]
    for index, (_, began, reopens) in enumerate(done.begun):
        assert began >= reopens
        assert began >= earliest(limits, times[:index]) - EPSILON


@given(RATED, STEPS)
def test_nobody_waits_longer_than_needed(limits: Limits, steps: list[tuple[str, float]]) -> None:
    """A caller passes as soon as gate and bound allow it and the caller before has gone."""
    done = course(limits, steps)
    times: list[float] = []
    for number, began, reopens in done.begun:
        soonest = max(done.arrived[number], reopens, earliest(limits, times), *times[-1:])
        assert began == pytest.approx(soonest, abs=EPSILON)
        times.append(began)


# --- slots ------------------------------------------------------------------------------------------------------------


class Places:
    """Tasks that hold a slot for a while.

    Attributes:
        entered: The tasks that got a slot, in order.
        inside: The tasks that hold a slot.
        most: The largest number of tasks that held a slot at once.
    """

    def __init__(self, gate: Gate) -> None:
        self.entered: list[int] = []
        self.inside: set[int] = set()
        self.most = 0
        self.tasks: list[asyncio.Task[None]] = []
        self._gate = gate

    def arrive(self, stay: Callable[[], Coroutine[Any, Any, object]]) -> None:
        """Add a task that holds a slot until `stay` returns."""
        self.tasks.append(asyncio.create_task(self._hold(len(self.tasks), stay)))

    async def _hold(self, number: int, stay: Callable[[], Coroutine[Any, Any, object]]) -> None:
        async with self._gate.slot():
            self.entered.append(number)
            self.inside.add(number)
            self.most = max(self.most, len(self.inside))
            try:
                await stay()
            finally:
                self.inside.remove(number)

    @property
    def waiting(self) -> list[int]:
        """The tasks that have come, have not held a slot and have not ended."""
        return [number for number, task in enumerate(self.tasks) if not task.done() and number not in self.entered]

    async def leave(self) -> None:
        """Wait until every task has ended."""
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def check_empty(self, concurrency: int) -> None:
        """Check that exactly `concurrency` slots are free."""
        self.most, closing = 0, asyncio.Event()
        for _ in range(concurrency + 1):
            self.arrive(closing.wait)
        await settle()
        assert len(self.inside) == self.most == concurrency
        closing.set()
        await self.leave()
        assert not self.inside


STAY = st.tuples(st.just("stay"), SECONDS)
DROP_IN = st.tuples(st.just("drop in"), ROUNDS)


@given(st.integers(1, 4), st.lists(STAY | DROP_IN | CANCEL | WAIT | YIELD, max_size=30))
def test_places_are_neither_lost_nor_doubled(concurrency: int, steps: list[tuple[str, float]]) -> None:
    """Whichever tasks are cancelled, slots are never exceeded, never idle beside a waiter, and in order."""

    async def run() -> None:
        places, cancelled = Places(made(Limits(concurrency=concurrency))), set()
        for what, how in steps:
            if what in {"stay", "drop in"}:
                places.arrive(partial(asyncio.sleep if what == "stay" else spin, how))
            elif what == "cancel" and (number := len(places.tasks) - 1 - int(how)) >= 0:
                if places.tasks[number].cancel() and number not in places.entered:
                    cancelled.add(number)
            elif what == "wait":
                await asyncio.sleep(how)
                await settle()
                assert len(places.inside) == concurrency or not places.waiting
            elif what == "yield":
                await spin(how)
        await places.leave()
        assert places.entered == [number for number in range(len(places.tasks)) if number not in cancelled]
        assert places.most <= concurrency
        await places.check_empty(concurrency)

    leap(run())


def test_who_is_cancelled_right_after_being_let_in_passes_the_place_on() -> None:
    """The third task gets the slot of the second, which is cancelled before it has run."""

    async def run() -> None:
        places, closing = Places(made(Limits(concurrency=1))), asyncio.Event()
        for _ in range(3):
            places.arrive(closing.wait)
        await settle()
        closing.set()
        while 0 in places.inside:
            await asyncio.sleep(0)
        assert places.tasks[1].cancel()  # its future is done, and it has not run yet
        await places.leave()
        assert places.entered == [0, 2]
        await places.check_empty(1)

    leap(run())


def test_a_newcomer_does_not_overtake_one_that_is_being_let_in() -> None:
    """A task that was let in and has not run yet still goes before a newcomer."""

    async def run() -> None:
        places, closing, later = Places(made(Limits(concurrency=2))), asyncio.Event(), asyncio.Event()
        for event in (closing, closing, later):
            places.arrive(event.wait)
        await settle()
        closing.set()
        places.arrive(later.wait)
        await settle()
        assert places.entered == [0, 1, 2, 3]
        assert places.inside == {2, 3}
        later.set()
        await places.leave()

    leap(run())


def test_a_failure_inside_frees_the_place() -> None:
    """The caller sees the error, and the next task gets the slot."""

    async def run() -> None:
        gate = made(Limits(concurrency=1))
        with pytest.raises(ZeroDivisionError):
            async with gate.slot():
                raise ZeroDivisionError
        await Places(gate).check_empty(1)

    leap(run())


@pytest.mark.parametrize("seed", range(3))
async def test_two_hundred_on_a_real_loop(seed: int) -> None:
    """In real time, with 80 of 200 tasks cancelled at random, no slot and no turn is lost."""
    chance = random.Random(seed)
    gate = Gate(Limits(concurrency=7, rate=20_000, burst=5))
    places, passed = Places(gate), []

    async def stay() -> None:
        await gate.turn()
        passed.append(1)
        await asyncio.sleep(chance.random() / 1000)

    for _ in range(200):
        places.arrive(stay)
    doomed = chance.sample(places.tasks, 80)
    for task in doomed:
        task.cancel()
        await asyncio.sleep(chance.choice([0, 0, 0.0005]))
    gate.pause(0.005)
    await places.leave()
    survivors = {number for number, task in enumerate(places.tasks) if not task.cancelled()}
    assert survivors >= set(range(200)) - {places.tasks.index(task) for task in doomed}
    assert survivors <= set(places.entered)
    assert places.entered == sorted(places.entered)
    assert len(survivors) <= len(passed) <= len(places.entered)
    assert places.most == 7
    await places.check_empty(7)
