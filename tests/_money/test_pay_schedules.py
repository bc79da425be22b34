"""Workers that are killed and stopped, an EnKash that fails and is late, and stores that forget."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import attrs
import pytest
from _money.schedule import Tally, play
from _money.schedule_habits import Habit
from _money.schedule_places import KINDS, REDIS, Open, places
from _money.schedule_plan import Plan, draw, schedule_for
from schedules import Violation

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")

SCHEDULES = int(os.environ.get("ENKASH_SCHEDULES", "6"))
FIRST = int(os.environ.get("ENKASH_SCHEDULES_FIRST", "0"))
_AT_ONCE = 16


async def _play(plans: Sequence[Plan], open_place: Open, folder: Path) -> Tally:
    tally, slots = Tally(), asyncio.Semaphore(_AT_ONCE)

    async def one(plan: Plan) -> None:
        async with slots:
            await play(plan, open_place, folder, tally)

    ends = await asyncio.gather(*map(one, plans), return_exceptions=True)
    if problems := [end for end in ends if isinstance(end, Exception)]:
        raise ExceptionGroup(f"{len(problems)} of {len(plans)} schedules: {tally}", problems)
    return tally


@pytest.mark.parametrize("kind", KINDS)
async def test_no_bill_is_debited_twice_under_faults_of_workers_store_and_clocks(kind: str, tmp_path: Path) -> None:
    """Every bill that can be paid is, and no answer is untrue."""
    began = time.monotonic()
    with places(kind, tmp_path) as open_place:
        plans = [draw(seed, has_replicas=kind == REDIS) for seed in range(FIRST, FIRST + SCHEDULES)]
        tally = await _play(plans, open_place, tmp_path)
    print(f"{kind}: {tally}; {time.monotonic() - began:.0f} s")
    assert tally.schedules == SCHEDULES
    assert tally.unpaid == 0
    assert tally.debits > 0


_HABITS = [habit for habit in Habit if habit is not Habit.NONE]
_TRIES = 4  # schedules within which a habit does harm; one is mostly enough


async def test_workers_with_one_bad_habit_are_found_out(tmp_path: Path) -> None:
    """One of them is held up after its last check: that this debits twice is documented."""
    with places("sqlite", tmp_path) as open_place:
        found = await asyncio.gather(*(_does_harm(habit, open_place, tmp_path / habit.name) for habit in _HABITS))
    assert [habit for habit, is_found in zip(_HABITS, found, strict=True) if not is_found] == []


async def _does_harm(habit: Habit, open_place: Open, folder: Path) -> bool:
    for seed in range(_TRIES):
        try:
            await play(schedule_for(habit, seed), open_place, folder, Tally())
        except Violation:
            return True
    return False


async def test_workers_without_bad_habits_do_no_harm_in_the_same_schedules(tmp_path: Path) -> None:
    """So it is the habit that does the harm, and not the schedule."""
    with places("sqlite", tmp_path) as open_place:
        plans = [attrs.evolve(schedule_for(habit, seed), habit=Habit.NONE) for seed, habit in enumerate(_HABITS)]
        tally = await _play(plans, open_place, tmp_path)
    assert tally.schedules == len(_HABITS)
