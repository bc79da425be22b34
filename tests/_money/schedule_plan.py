"""What happens in one schedule, drawn from its seed.

All lengths are in the scale of the workers: 5 s are the 150 s within which EnKash carries out a
confirmation, a third of a second is the 10 s within which a display shows it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import attrs
from _money.schedule_habits import SCALE, Habit

from enkash_async.sandbox import FaultKind
from enkash_async.sandbox._payment import ConfirmStyle

__all__ = ["BAD", "HOUR", "PAYABLE", "Event", "Plan", "draw", "schedule_for"]

PAYABLE, BAD = 2001, 2305  # billers; no debit of the second one's bills can be confirmed
HOUR = 3_600.0
_LATEST = 120 * SCALE  # seconds by which EnKash is late; 150 are promised, and the rest is for a slow machine
_LAG = 10 * SCALE
_SPAN = 5.0  # seconds within which everything happens

_UNCLEAR = (FaultKind.DROP_BEFORE, FaultKind.DROP_AFTER, FaultKind.TRUNCATED, FaultKind.SERVER_ERROR_AFTER)
_OF_WRITES = (
    *_UNCLEAR,
    *(FaultKind.NOT_JSON, FaultKind.REFUSED_AFTER, FaultKind.STRAY, FaultKind.UNAUTHORIZED, FaultKind.BAD_GATEWAY),
    *(FaultKind.SERVER_ERROR, FaultKind.SLOW, *[FaultKind.LATE] * 6),
)
_OF_CREATES = (*_OF_WRITES, FaultKind.NULL_PAYLOAD)
_OF_READS = (
    *(FaultKind.STRAY, FaultKind.STRAY, FaultKind.DROP_BEFORE, FaultKind.BAD_GATEWAY, FaultKind.UNAVAILABLE),
    *(FaultKind.NOT_JSON, FaultKind.TRUNCATED, FaultKind.SLOW, FaultKind.UNAUTHORIZED, FaultKind.RATE_LIMITED),
)
_READS = ("bill", "bill_by_reference", "search_bills", "fetch_bill")


@attrs.frozen
class Event:
    """A fault of the store, of a worker or of a clock; after it, all bills are handed out once more.

    Attributes:
        what: `kill`, `pause`, `wall`, `clock`, `empty` or `fail over`.
        at: Seconds after the beginning.
        after: Confirmations that must have arrived as well.
        by: Seconds: of a pause, or by which a clock is ahead from then on.
    """

    what: str
    at: float
    after: int = 0
    by: float = 0.0


@attrs.frozen(kw_only=True)
class Plan:
    """One schedule.

    Attributes:
        bills: The biller of each bill, by its reference.
        jobs: When each job is handed out first, with its bills and how long it waits for them.
        faults: Arguments of `sandbox.faults.add`.
        walls: Seconds by which the wall clock of a new worker may be ahead.
        loses: The state whose write to a debit's record the store loses once; empty for none.
    """

    seed: int
    bills: dict[str, int]
    jobs: Sequence[tuple[float, tuple[str, ...], float]]
    workers: int
    faults: Sequence[dict[str, Any]] = ()
    events: Sequence[Event] = ()
    walls: Sequence[float] = (0.0,)
    loses: str = ""
    is_old: bool = True
    style: ConfirmStyle = "until_bad"
    read_lag: float = 0.0
    search_lag: float = 0.0
    habit: Habit = Habit.NONE

    @property
    def fails_over(self) -> bool:
        """Whether a replica is promoted."""
        return any(event.what == "fail over" for event in self.events)


def draw(seed: int, *, has_replicas: bool = False) -> Plan:
    """Return the schedule of a seed; it has no two faults that `docs/money.md` does not promise to survive together.

    Args:
        seed: Of the schedule.
        has_replicas: Whether the store can fail over to a replica; it loses a write of its own otherwise.
    """
    chance = random.Random(seed)
    fault = chance.choice(("none", "empty", "empty", "write", "fail over" if has_replicas else "write"))
    clocks = "right" if fault == "empty" else chance.choice(("right", "walls", "store"))
    bills = {f"s{seed}-{number}": PAYABLE for number in range(chance.choice((3, 4, 6)))}
    has_bad = chance.random() < 0.4
    if has_bad:
        bills[chance.choice(list(bills))] = BAD
    return Plan(
        seed=seed,
        bills=bills,
        jobs=_jobs(chance, list(bills)),
        workers=chance.choice((2, 3)),
        faults=_faults(chance, may_lie=not has_bad),
        events=[*_of_workers(chance), *_of_store(chance, fault), *_of_clocks(chance, clocks)],
        walls=(-HOUR, 0.0, HOUR) if clocks == "walls" else (0.0,),
        loses=chance.choice(("claimed", "sent", "sent", "accepted")) if fault == "write" else "",
        is_old=chance.random() < 0.7,
        style=chance.choice(("until_bad", "until_bad", "whole")),
        read_lag=chance.choice((0.0, 0.1, _LAG)),
        search_lag=chance.choice((0.0, 0.1, _LAG)),
    )


def _jobs(chance: random.Random, references: list[str]) -> list[tuple[float, tuple[str, ...], float]]:
    """Hand out each bill up to three times, alone or with others."""
    jobs: list[tuple[float, tuple[str, ...], float]] = []
    for _ in range(chance.choice((1, 2, 3))):
        left = chance.sample(references, len(references))
        while left:
            size = chance.randint(1, 4)
            jobs.append((chance.uniform(0, 4), tuple(left[:size]), chance.choice((0.0, 0.3, 2.0))))
            left = left[size:]
    return jobs


def _faults(chance: random.Random, *, may_lie: bool) -> list[dict[str, Any]]:
    """Draw faults of each kind of call; with `may_lie`, a late confirmation may be answered with a yes."""
    faults = [_fault(chance, "confirm_debit", _OF_WRITES, 8, may_lie=may_lie) for _ in range(chance.choice((1, 3, 6)))]
    if chance.random() < 0.6:  # EnKash is so late that other faults come while confirmations are under way
        late = _fault(chance, "confirm_debit", (FaultKind.LATE,), 1, may_lie=may_lie)
        faults.insert(0, {**late, "delay": _LATEST, "times": chance.choice((2, 4))})
    faults += [_fault(chance, "create_bill", _OF_CREATES, 4, may_lie=True) for _ in range(chance.choice((0, 1, 3)))]
    for _ in range(chance.choice((0, 2, 4))):
        faults.append(_fault(chance, chance.choice(_READS), _OF_READS, 6, may_lie=False))
    # Two 401 in a row mean that the account may not use the call, and a task queue is told to give up.
    shut_out = [fault for fault in faults if fault["kind"] is FaultKind.UNAUTHORIZED]
    return [fault for fault in faults if fault not in shut_out[1:]]


def _fault(
    chance: random.Random, route: str, kinds: Sequence[FaultKind], most: int, *, may_lie: bool
) -> dict[str, Any]:
    kind = chance.choice(kinds)
    fault: dict[str, Any] = {"route": route, "kind": kind, "after": chance.randint(0, most)}
    match kind:
        case FaultKind.LATE:
            yes = (200,) if may_lie else ()
            fault |= {"status": chance.choice((None, 408, 429, 502, 503, *yes))}
            fault |= {"delay": chance.choice((0.7, 2.5, _LATEST, _LATEST))}
        case FaultKind.SLOW:
            fault |= {"delay": chance.choice((0.5, 2.5)) if route == "confirm_debit" else 0.5}
        case FaultKind.STRAY:
            fault |= {"delay": chance.choice((0.0, 0.3))}
        case FaultKind.RATE_LIMITED | FaultKind.UNAVAILABLE:
            fault |= {"retry_after": 0.2}
    return fault


def _of_workers(chance: random.Random) -> list[Event]:
    """Draw who is killed, and who is stopped, mostly for longer than the window."""
    events = [Event("kill", chance.uniform(0.1, _SPAN), chance.choice((0, 1))) for _ in range(chance.choice((0, 1, 3)))]
    events += [
        Event("pause", chance.uniform(0.1, _SPAN), chance.choice((0, 1)), chance.uniform(0.2, 8))
        for _ in range(chance.choice((0, 1, 2)))
    ]
    return events


def _of_store(chance: random.Random, fault: str) -> list[Event]:
    """Draw when the store loses records: mostly while a confirmation is under way."""
    if fault == "empty":
        later = [
            Event("empty", chance.uniform(1, _SPAN), chance.choice((0, 2, 4))) for _ in range(chance.choice((0, 1)))
        ]
        return [Event("empty", chance.uniform(0.1, 2), chance.choice((1, 1, 2, 3))), *later]
    return [Event("fail over", chance.uniform(0.1, 2), chance.choice((1, 1, 2, 3)))] if fault == "fail over" else []


def _of_clocks(chance: random.Random, clocks: str) -> list[Event]:
    if clocks == "walls":
        later = [Event("wall", chance.uniform(1, _SPAN), by=chance.choice((-HOUR, 0.0, HOUR))) for _ in range(2)]
        return [Event("wall", chance.uniform(0.1, 2), 1, chance.choice((-HOUR, HOUR))), *later]
    if clocks == "store":
        jumps = (-HOUR, -250 * SCALE, 250 * SCALE, HOUR)
        first = Event("clock", chance.uniform(0.1, 2), 1, chance.choice(jumps))
        return [first, Event("clock", chance.uniform(1, _SPAN), by=chance.choice(jumps))]
    return []


def schedule_for(habit: Habit, seed: int) -> Plan:
    """Return a schedule in which a worker with the habit breaks a rule in most runs, and one without it never does."""
    bills = {f"{habit.name.lower()}{seed}-{number}": PAYABLE for number in range(4)}
    jobs = [(at, (reference,), 0.0) for reference in bills for at in (0.0, 1.5, 2.5, 3.5)]
    late: list[dict[str, Any]] = [
        {"route": "confirm_debit", "kind": FaultKind.LATE, "delay": _LATEST, "status": None, "times": 5}
    ]
    plan = Plan(seed=seed, bills=bills, jobs=jobs, workers=3, faults=late)
    match habit:
        case Habit.NO_BIRTH:
            return attrs.evolve(plan, habit=habit, events=[Event("empty", 0.8, 1)])
        case Habit.SHORT_CLAIMS:
            return attrs.evolve(plan, habit=habit, loses="sent")
        case Habit.STORES_CLOCK:
            return attrs.evolve(plan, habit=habit, events=[Event("clock", 0.8, 1, HOUR)])
        case Habit.WALL_CLOCKS:
            return attrs.evolve(plan, habit=habit, walls=(0.0, HOUR))
        case Habit.TRUSTS_REFUSALS:
            together = tuple(bills)
            with_bad = {**bills, together[-1]: BAD}
            return attrs.evolve(
                plan,
                habit=habit,
                bills=with_bad,
                jobs=[(0.0, together, 0.0)],
                faults=(),
                read_lag=_LAG,
                search_lag=_LAG,
            )
        case Habit.SHARES:
            many = {f"{reference}{number}": PAYABLE for number in range(4) for reference in bills}
            jobs = [(number * 0.03, (reference,), 0.0) for number, reference in enumerate(many)]
            stray = {"route": "confirm_debit", "kind": FaultKind.STRAY, "delay": 60.0, "times": 8}
            drop = {"route": "confirm_debit", "kind": FaultKind.DROP_BEFORE, "times": 8}
            return attrs.evolve(plan, habit=habit, bills=many, jobs=jobs, workers=1, faults=(stray, drop))
        case Habit.HELD:
            return attrs.evolve(plan, habit=habit, faults=())
        case _:
            return attrs.evolve(plan, habit=habit)
