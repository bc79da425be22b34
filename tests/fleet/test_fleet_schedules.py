"""Random schedules of kills and pauses, with a wrong password; `ENKASH_FLEET_ROUNDS` makes more of them than CI."""

from __future__ import annotations

import asyncio
import os
import random
import signal

import pytest
from fleet.controls import alone
from fleet.enkash import WRONG, Account, Enkash
from fleet.places import Place
from fleet.processes import Fleet, Scene, Worker
from fleet.workers import Maker, shared

_ROUNDS = int(os.environ.get("ENKASH_FLEET_ROUNDS", "1"))
_WORKERS = 6


async def disturbed(enkash: Enkash, place: Place, seed: int, make: Maker = shared) -> Account:
    """Let workers ask that start, are stopped and are killed at random; then let others ask."""
    chance = random.Random(seed)
    scene = Scene(enkash, place, make, account={"takes": 0.2}, callers=3, login_timeout=2.0, password=WRONG)
    async with scene.fleet(_WORKERS) as workers:
        await asyncio.gather(*(disturb(worker, chance) for worker in workers.workers))
        living = Fleet([worker for worker in workers.workers if worker.process.is_alive()])
        await living.finish(within=1.0)
    async with scene.fleet(_WORKERS) as others:
        await others.tell("start")
        await others.finish(within=1.0)
    return scene.account


async def disturb(worker: Worker, chance: random.Random) -> None:
    await asyncio.sleep(chance.uniform(0, 0.2))
    await worker.tell("start")
    await asyncio.sleep(chance.uniform(0, 0.3))
    fate = chance.choice(["killed", "stopped", "spared"])
    if fate == "killed":
        os.kill(worker.pid, signal.SIGKILL)
        await asyncio.to_thread(worker.process.join, 5)
    elif fate == "stopped":
        os.kill(worker.pid, signal.SIGSTOP)
        await asyncio.sleep(chance.uniform(0, 1))
        os.kill(worker.pid, signal.SIGCONT)


def check_account(seen: Account) -> None:
    assert len(seen.logins) <= 2
    assert not seen.locked


@pytest.mark.parametrize("seed", range(_ROUNDS))
async def test_no_schedule_of_kills_and_pauses_locks_the_account(enkash: Enkash, place: Place, seed: int) -> None:
    """At most two attempts are made, whoever dies when."""
    check_account(await disturbed(enkash, place, seed))


async def test_a_schedule_locks_the_account_where_nothing_is_shared(enkash: Enkash, place: Place) -> None:
    """Control: the same run fails the check when each process guards itself."""
    seen = await disturbed(enkash, place, 0, alone)
    with pytest.raises(AssertionError):
        check_account(seen)
    assert seen.locked
