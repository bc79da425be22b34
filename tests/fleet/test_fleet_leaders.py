"""The worker that logs in for a fleet is killed, or stopped past its lease."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest
from fleet.controls import fenceless, leaseless, undying, unhurried
from fleet.enkash import Account, Enkash
from fleet.places import KINDS, Place
from fleet.processes import Fleet, Scene, Worker, fleet
from fleet.workers import Maker, Report, shared

from enkash_async.tokens._account import lease_for

_LOGIN = 2.0  # seconds, so that a lease is short; a busy machine may need one for a login
_LEASE = lease_for(_LOGIN)
_ROOM = 12.0  # seconds that a busy machine may need


@attrs.frozen
class Survived:
    """What came of a leader that was killed.

    Attributes:
        account: As EnKash sees it.
        report: What the others got.
        waited: Seconds that they waited for it.
    """

    account: Account
    report: Report
    waited: float


@attrs.frozen
class Resumed:
    """What came of a leader that was stopped past its lease and then went on.

    Attributes:
        account: As EnKash sees it.
        others: What the others got meanwhile.
        leader: What it got.
        newcomers: What a process got that asked last.
    """

    account: Account
    others: Report
    leader: Report
    newcomers: Report


@asynccontextmanager
async def renewing(scene: Scene, first_login: float) -> AsyncIterator[Fleet]:
    """Run four workers whose token was revoked a moment ago, and whose next login takes the given seconds."""
    async with scene.fleet(4) as workers:
        await workers.workers[0].ask()  # alone, so that there is one token whatever the control
        await workers.ask()
        scene.revoke()
        scene.change(once=[first_login], logins=[])
        for worker in workers.workers:
            worker.notes.clear()
        yield workers


async def kill_the_leader(scene: Scene, first_login: float = 60.0, within: float = _LEASE + _ROOM) -> Survived:
    """Kill the leader when its login has arrived, whose answer nobody reads."""
    async with renewing(scene, first_login) as workers:
        await workers.tell("start", rejected=True)
        leader = await workers.leader()
        await scene.logged_in(1)
        os.kill(leader.pid, signal.SIGKILL)
        killed_at = time.monotonic()
        survivors = workers.without(leader)
        report = await survivors.finish(within=within)
        waited = time.monotonic() - killed_at
        if report.errors:  # a second's cooldown begins when the lease has ended
            report = await survivors.served()
        return Survived(scene.account, report, waited)


async def kill_an_unproven_leader(scene: Scene) -> Survived:
    """Kill the leader of the very first login."""
    async with scene.fleet(4) as workers:
        await workers.tell("start")
        leader = await workers.leader()
        await scene.logged_in(1)
        os.kill(leader.pid, signal.SIGKILL)
        killed_at = time.monotonic()
        report = await workers.without(leader).finish()
        return Survived(scene.account, report, time.monotonic() - killed_at)


async def stop_the_leader(scene: Scene) -> Resumed:
    """Stop the leader while its login is on its way, until another worker has logged in."""
    async with renewing(scene, 0.8) as workers:
        await workers.tell("start", rejected=True)
        leader = await workers.leader()
        await scene.logged_in(1)
        os.kill(leader.pid, signal.SIGSTOP)
        return await resume(scene, workers, leader)


async def stop_after_the_answer(scene: Scene) -> Resumed:
    """Let the leader stop itself when its login has worked, and say so when another worker has logged in."""
    async with renewing(scene, 0.3) as workers:
        leader, *_ = workers.workers
        await leader.tell("stop_after_login")
        await leader.tell("start", rejected=True)
        await leader.noted("stopped")
        await workers.without(leader).tell("start", rejected=True)
        return await resume(scene, workers, leader)


async def stop_before_sending(scene: Scene) -> Resumed:
    """Let the leader stop itself when its attempt is in the store, and go on when another worker has logged in."""
    async with renewing(scene, 0.3) as workers:
        leader, *_ = workers.workers
        # The first change tells of the refusal, the second one begins the login.
        await leader.tell("stop_after_swaps", number=2)
        await leader.tell("start", rejected=True)
        await leader.noted("stopped")
        await workers.without(leader).tell("start", rejected=True)
        return await resume(scene, workers, leader)


async def resume(scene: Scene, workers: Fleet, leader: Worker) -> Resumed:
    """Let the leader go on when the others are served."""
    others = workers.without(leader)
    report = await others.finish()
    if report.errors:
        report = await others.served()
    os.kill(leader.pid, signal.SIGCONT)
    late = await Fleet([leader]).finish()
    if late.errors:  # its login has timed out meanwhile
        late = await Fleet([leader]).served()
    async with fleet([scene.changed(make=shared)]) as newcomers:
        return Resumed(scene.account, report, late, await newcomers.ask())


@attrs.frozen
class Runs:
    """All runs over one store, with their controls."""

    killed: Survived
    killed_unproven: Survived
    killed_undying: Survived
    killed_leaseless: Survived
    stopped: Resumed
    late: Resumed
    late_fenceless: Resumed
    unsent: Resumed
    unsent_unhurried: Resumed


async def all_runs(enkash: Enkash, place: Place) -> Runs:
    def scene(make: Maker = shared, **account: Any) -> Scene:
        return Scene(enkash, place, make, account=account, login_timeout=_LOGIN, callers=5)

    made: list[Any] = await asyncio.gather(
        kill_the_leader(scene()),
        kill_an_unproven_leader(scene(once=[60.0])),
        kill_the_leader(scene(undying), within=_LEASE + 4),
        kill_the_leader(scene(leaseless, takes=1.0), 1.0),
        stop_the_leader(scene()),
        stop_after_the_answer(scene()),
        stop_after_the_answer(scene(fenceless)),
        stop_before_sending(scene()),
        stop_before_sending(scene(unhurried)),
    )
    return Runs(*made)


async def over_all_stores(enkash: Enkash, places: Mapping[str, Place]) -> dict[str, Runs]:
    made = await asyncio.gather(*(all_runs(enkash, places[kind]) for kind in KINDS))
    return dict(zip(KINDS, made, strict=True))


@pytest.fixture(scope="module")
def all_stores(enkash: Enkash, places: Mapping[str, Place]) -> dict[str, Runs]:
    """Run all of them concurrently, because each mostly waits for a lease to end."""
    return asyncio.run(over_all_stores(enkash, places))


@pytest.fixture(params=KINDS)
def runs(request: pytest.FixtureRequest, all_stores: dict[str, Runs]) -> Runs:
    """The runs over each store in turn."""
    return all_stores[request.param]


# --- killed -----------------------------------------------------------------------------------------------------------


def check_survivors_are_served(seen: Survived) -> None:
    assert len(seen.account.logins) == 2
    assert seen.report.served == 3 * 5
    assert len(seen.report.tokens) == 1


def test_survivors_of_a_killed_leader_are_served_after_its_lease(runs: Runs) -> None:
    """One survivor logs in for all, once the lease has ended."""
    check_survivors_are_served(runs.killed)
    assert _LEASE - 2 < runs.killed.waited < _LEASE + _ROOM


def test_survivors_of_an_unproven_leader_are_told_of_a_pause(runs: Runs) -> None:
    """Nobody knows whether EnKash has counted a wrong password, so a minute passes before the next attempt."""
    assert len(runs.killed_unproven.account.logins) == 1
    assert runs.killed_unproven.report.errors == {"TokenEndpointError": 3 * 5}
    assert _LEASE - 2 < runs.killed_unproven.waited < _LEASE + _ROOM


def test_survivors_wait_for_ever_where_the_lease_does_not_end(runs: Runs) -> None:
    """Control: the same run fails the check when the lease outlives its leader."""
    with pytest.raises(AssertionError):
        check_survivors_are_served(runs.killed_undying)
    assert (len(runs.killed_undying.account.logins), runs.killed_undying.report) == (1, Report())


def test_survivors_log_in_each_where_there_is_no_lease(runs: Runs) -> None:
    """Control: the same run fails the check when nobody waits for another's attempt."""
    with pytest.raises(AssertionError):
        check_survivors_are_served(runs.killed_leaseless)
    assert (len(runs.killed_leaseless.account.logins) > 2, runs.killed_leaseless.report.served) == (True, 3 * 5)


# --- stopped ----------------------------------------------------------------------------------------------------------


def check_newer_token_stays(seen: Resumed) -> None:
    assert len(seen.account.logins) == 2
    assert (seen.others.served, seen.leader.served, seen.newcomers.served) == (3 * 5, 5, 5)
    assert seen.leader.generations == seen.others.generations == seen.newcomers.generations
    assert seen.leader.tokens.keys() == seen.others.tokens.keys() == seen.newcomers.tokens.keys()


@pytest.mark.parametrize("run", ["stopped", "late"])
def test_a_leader_stopped_past_its_lease_does_not_overwrite_the_newer_token(runs: Runs, run: str) -> None:
    """It gives its own login up, or its late report is not stored; its callers get the newer token."""
    check_newer_token_stays(getattr(runs, run))


def test_a_leader_stopped_past_its_lease_overwrites_the_newer_token_without_a_fence(runs: Runs) -> None:
    """Control: the same run fails the check when the last report is stored."""
    with pytest.raises(AssertionError):
        check_newer_token_stays(runs.late_fenceless)
    seen = runs.late_fenceless
    assert max(seen.newcomers.generations) < max(seen.others.generations)


def test_a_leader_stopped_before_it_sends_does_not_send_later(runs: Runs) -> None:
    """Only the worker that took over logs in."""
    assert len(runs.unsent.account.logins) == 1
    assert (runs.unsent.others.served, runs.unsent.leader.served) == (3 * 5, 5)
    assert runs.unsent.leader.tokens.keys() == runs.unsent.others.tokens.keys()


def test_a_leader_stopped_before_it_sends_logs_in_late_without_a_deadline(runs: Runs) -> None:
    """Control: the same run has one more login when a leader sends however late."""
    assert len(runs.unsent_unhurried.account.logins) == 2
