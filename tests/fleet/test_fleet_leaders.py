"""The worker that logs in for a fleet is killed, stopped or slow."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import Any

import attrs
import pytest
from enkash_async.tokens._limits import LEASE
from fleet.controls import beatless, fenceless, leaseless, undying
from fleet.processes import Fleet, Scene, scene
from fleet.workers import Maker, Report, shared

from enkash_async import Timeouts
from enkash_async.sandbox import FaultKind

from servers import Server

_HEARTBEAT = 2.0
_PATIENT = Timeouts(total=30.0, connect=3.0)  # so that a busy machine does not end a login that is meant to last


@attrs.frozen
class Survived:
    """What came of a leader that was killed.

    Attributes:
        logins: In all.
        report: What the others got.
        waited: Seconds that they waited for it.
    """

    logins: int
    report: Report
    waited: float


@attrs.frozen
class Resumed:
    """What came of a leader that was stopped past its lease and then went on.

    Attributes:
        logins: In all.
        stored: The generation in Redis before and after it went on.
        others: What the others got meanwhile.
        leader: What it got.
    """

    logins: int
    stored: tuple[int | None, int | None]
    others: Report
    leader: Report


@attrs.frozen
class Outlasted:
    """What came of a login that took longer than the lease."""

    logins: int
    report: Report


@attrs.frozen
class Runs:
    """All runs of this module, with their controls."""

    killed: Survived
    killed_undying: Survived
    killed_leaseless: Survived
    stopped: Resumed
    stopped_fenceless: Resumed
    slow: Outlasted
    slow_beatless: Outlasted


def slow_first_login(place: Scene, seconds: float) -> None:
    place.sandbox.faults.add("token", FaultKind.SLOW, delay=seconds)


async def leader_at_work(place: Scene, workers: Fleet) -> int:
    """Let all callers ask for a token, and return the number of the worker whose login has arrived."""
    await workers.tell("start")
    leader = await workers.leader()
    await place.logged_in(1)
    return workers.workers.index(leader)


async def kill_the_leader(server: Server, make: Maker = shared, within: float | None = None) -> Survived:
    async with scene(server, make, login_takes=0.3) as place, place.fleet(8) as workers:
        if make is not leaseless:  # there, all of them are leaders
            place.sandbox.faults.clear()
            slow_first_login(place, 60)
        leader = workers.workers[await leader_at_work(place, workers)]
        os.kill(leader.pid, signal.SIGKILL)
        killed_at = time.monotonic()
        report = await workers.without(leader).finish(within=within)
        return Survived(place.logins, report, time.monotonic() - killed_at)


async def stop_the_leader(server: Server, make: Maker = shared) -> Resumed:
    """Stop the leader until another worker has logged in, then let it read its own login's answer."""
    async with scene(server, make, login_takes=0, login_timeout=_PATIENT) as place, place.fleet(4) as workers:
        slow_first_login(place, 1)
        leader = workers.workers[await leader_at_work(place, workers)]
        os.kill(leader.pid, signal.SIGSTOP)
        others = await workers.without(leader).finish()
        before = await place.stored_generation()
        os.kill(leader.pid, signal.SIGCONT)
        report = await Fleet([leader]).finish()
        return Resumed(place.logins, (before, await place.stored_generation()), others, report)


async def outlast_the_lease(server: Server, make: Maker = shared) -> Outlasted:
    async with scene(server, make, login_takes=0, login_timeout=_PATIENT) as place, place.fleet(4) as workers:
        slow_first_login(place, LEASE + 1.5)
        report = await workers.ask()
        return Outlasted(place.logins, report)


async def all_runs(server: Server) -> Runs:
    made: list[Any] = await asyncio.gather(
        kill_the_leader(server),
        kill_the_leader(server, undying, within=LEASE + 1.5),
        kill_the_leader(server, leaseless),
        stop_the_leader(server),
        stop_the_leader(server, fenceless),
        outlast_the_lease(server),
        outlast_the_lease(server, beatless),
    )
    return Runs(*made)


@pytest.fixture(scope="module")
def runs(first_server: Server) -> Runs:
    """Run all of them concurrently, because each mostly waits for a lease to end."""
    return asyncio.run(all_runs(first_server))


# --- killed -----------------------------------------------------------------------------------------------------------


def check_survivors_are_served(seen: Survived) -> None:
    assert seen.logins == 2
    assert seen.report.served == 7 * 20
    assert len(seen.report.tokens) == 1


def test_survivors_of_a_killed_leader_are_served_after_its_lease(runs: Runs) -> None:
    """One survivor logs in for all, once the lease has ended."""
    check_survivors_are_served(runs.killed)
    assert LEASE - _HEARTBEAT < runs.killed.waited < 3 * LEASE


def test_survivors_wait_for_ever_where_the_lease_does_not_end(runs: Runs) -> None:
    """Control: the same run fails the check when the lease outlives its leader."""
    with pytest.raises(AssertionError):
        check_survivors_are_served(runs.killed_undying)
    assert (runs.killed_undying.logins, runs.killed_undying.report) == (1, Report())


def test_survivors_log_in_each_where_there_is_no_lease(runs: Runs) -> None:
    """Control: the same run fails the check when the lease is switched off."""
    with pytest.raises(AssertionError):
        check_survivors_are_served(runs.killed_leaseless)
    assert (runs.killed_leaseless.logins > 2, runs.killed_leaseless.report.served) == (True, 7 * 20)


# --- stopped ----------------------------------------------------------------------------------------------------------


def check_newer_token_stays(seen: Resumed) -> None:
    assert seen.logins == 2
    assert seen.stored[0] == seen.stored[1]
    assert (seen.others.served, seen.leader.served) == (3 * 20, 20)
    assert seen.leader.generations == seen.others.generations == {seen.stored[0]}
    assert seen.leader.tokens == seen.others.tokens


def test_a_leader_stopped_past_its_lease_does_not_overwrite_the_newer_token(runs: Runs) -> None:
    """The store refuses its write, and its callers get the newer token."""
    check_newer_token_stays(runs.stopped)


def test_a_leader_stopped_past_its_lease_overwrites_the_newer_token_without_a_fence(runs: Runs) -> None:
    """Control: the same run fails the check when the last write is stored."""
    with pytest.raises(AssertionError):
        check_newer_token_stays(runs.stopped_fenceless)
    before, after = runs.stopped_fenceless.stored
    assert before is not None
    assert after is not None
    assert after < before


# --- slow -------------------------------------------------------------------------------------------------------------


def check_one_slow_login(seen: Outlasted) -> None:
    assert seen.logins == 1
    assert seen.report.served == 4 * 20
    assert len(seen.report.tokens) == 1


def test_a_login_that_outlasts_the_lease_is_still_the_only_one(runs: Runs) -> None:
    """The leader's heartbeat extends the lease, so the other workers wait."""
    check_one_slow_login(runs.slow)


def test_a_login_that_outlasts_the_lease_is_not_the_only_one_without_a_heartbeat(runs: Runs) -> None:
    """Control: the same run fails the check when the lease is not extended."""
    with pytest.raises(AssertionError):
        check_one_slow_login(runs.slow_beatless)
    assert runs.slow_beatless.logins == 2
