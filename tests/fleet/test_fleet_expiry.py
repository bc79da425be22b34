"""A fleet works while its tokens expire, and while clocks are wrong."""

from __future__ import annotations

import asyncio
import math
import statistics
import time
from collections.abc import Mapping, Sequence

import attrs
import pytest
from fleet.controls import alone, bare, overdue
from fleet.enkash import Account, Enkash
from fleet.places import KINDS, Place
from fleet.processes import Scene
from fleet.workers import Maker, Report, shared

_LIFETIME = 8.0  # seconds; a token is renewed when it has four left, or up to half a second less
_HOUR = 3600.0


# --- expiry under load ------------------------------------------------------------------------------------------------


@attrs.frozen
class Worked:
    """The result of a time under load.

    Attributes:
        seconds: How long it lasted.
        account: As EnKash sees it.
        calls: Of the store, of each worker, with its logins; the cold start excepted.
        report: What callers met with.
    """

    seconds: float
    account: Account
    calls: Sequence[Sequence[tuple[str, float]]]
    report: Report

    @property
    def logins(self) -> int:
        return len(self.account.logins)


async def work(enkash: Enkash, place: Place, make: Maker, number: int) -> Worked:
    """Ask for tokens for one and a half lifetimes."""
    scene = Scene(enkash, place, make, account={"lifetime": _LIFETIME, "takes": 0.1}, callers=2)
    async with scene.fleet(number) as workers:
        await workers.ask()
        await workers.tell("calls")
        began = time.monotonic()
        await workers.tell("load", pause=0.2)
        await asyncio.sleep(1.5 * _LIFETIME)
        report = await workers.rest()
        seconds = time.monotonic() - began
        return Worked(seconds, scene.account, await workers.tell("calls"), report)


def check_one_login_a_lifetime(seen: Worked) -> None:
    assert 3 <= seen.logins <= seen.seconds / (_LIFETIME / 2) + 2
    assert seen.logins >= len(seen.report.generations) >= seen.logins - 1  # the last one may come after the load


def check_no_error(seen: Worked) -> None:
    assert seen.report.errors == {}
    assert seen.report.served > 0


def check_no_dead_token(seen: Worked) -> None:
    for token, last in seen.report.tokens.items():
        assert last < seen.account.living[token]


def check_no_wait(seen: Worked) -> None:
    assert seen.report.waits == 0


@attrs.frozen
class Runs:
    """The run over one store with its controls."""

    shared: Worked
    alone: Worked
    bare: Worked
    overdue: Worked


async def all_runs(enkash: Enkash, place: Place) -> Runs:
    return Runs(
        *await asyncio.gather(
            work(enkash, place, shared, 32),
            work(enkash, place, alone, 4),
            work(enkash, place, bare, 2),
            work(enkash, place, overdue, 2),
        )
    )


async def over_all_stores(enkash: Enkash, places: Mapping[str, Place]) -> dict[str, Runs]:
    made = await asyncio.gather(*(all_runs(enkash, places[kind]) for kind in KINDS))
    return dict(zip(KINDS, made, strict=True))


@pytest.fixture(scope="module")
def all_stores(enkash: Enkash, places: Mapping[str, Place]) -> dict[str, Runs]:
    """Run all of them concurrently, because each takes more than a lifetime."""
    return asyncio.run(over_all_stores(enkash, places))


@pytest.fixture(params=KINDS)
def runs(request: pytest.FixtureRequest, all_stores: dict[str, Runs]) -> Runs:
    """The runs over each store in turn."""
    return all_stores[request.param]


def test_each_lifetime_of_a_token_costs_one_login(runs: Runs) -> None:
    """32 processes log in as often as tokens were seen, and not more often than tokens expire."""
    check_one_login_a_lifetime(runs.shared)


def test_callers_under_load_never_notice_that_tokens_expire(runs: Runs) -> None:
    """No caller sees an error or gets a dead token, and none waits for one."""
    check_no_error(runs.shared)
    check_no_dead_token(runs.shared)
    check_no_wait(runs.shared)


def renewals(calls: Sequence[tuple[str, float]]) -> list[list[str]]:
    """Return the calls of each renewal that one process took part in; renewals are seconds apart."""
    found: list[list[str]] = []
    last = -math.inf
    for what, at in calls:
        if at - last > _LIFETIME / 5:
            found.append([])
        found[-1].append(what)
        last = at
    return found


def test_a_renewal_costs_few_calls_of_the_store(runs: Runs, request: pytest.FixtureRequest) -> None:
    """Six of the process that logs in, and two of the others, in the mean over 32 processes."""
    each = [renewal for calls in runs.shared.calls for renewal in renewals(calls)]
    led = [len(renewal) - renewal.count("login") for renewal in each if "login" in renewal]
    followed = [len(renewal) for renewal in each if "login" not in renewal]
    figures = (
        f"{len(led)} renewals; the leader {statistics.mean(led):.2f} calls, others {statistics.mean(followed):.2f}"
    )
    print(request.node.name, figures, led)
    assert statistics.mean(led) <= 6, figures
    assert statistics.mean(followed) <= 2, figures


def test_each_process_for_itself_logs_in_more_often(runs: Runs) -> None:
    """Control: the same run fails the check of the logins when each process keeps its own token."""
    with pytest.raises(AssertionError):
        check_one_login_a_lifetime(runs.alone)
    assert runs.alone.logins > 2 * runs.shared.logins


def test_callers_who_ask_the_store_each_time_wait(runs: Runs) -> None:
    """Control: the same run fails the check of the waiting where the token lies in the store alone."""
    with pytest.raises(AssertionError):
        check_no_wait(runs.bare)
    assert runs.bare.report.waits >= runs.bare.report.served > 0


def test_tokens_that_are_used_for_too_long_are_dead(runs: Runs) -> None:
    """Control: the same run fails the check of the tokens when they are taken for longer-lived than they are."""
    with pytest.raises(AssertionError):
        check_no_dead_token(runs.overdue)


# --- clocks that are off ----------------------------------------------------------------------------------------------

# Workers of the fleet, by what is wrong with them.
_CLOCKS: dict[str, dict[str, float]] = {
    "right": {},
    "wall clock ahead": {"wall_shift": _HOUR},
    "wall clock behind": {"wall_shift": -_HOUR},
    "clock ahead": {"clock_shift": _HOUR},
    "clock behind": {"clock_shift": -_HOUR},
}


async def log_in_by(leader: str, enkash: Enkash, place: Place, make: Maker = shared) -> tuple[Account, Report]:
    """Let one of these workers log in, then have all of them use the token."""
    scene = Scene(enkash, place, make, account={"takes": 0.0}, callers=5)
    async with scene.fleet_of([scene.changed(**clock) for clock in _CLOCKS.values()]) as workers:
        first = await workers.workers[list(_CLOCKS).index(leader)].ask()
        return scene.account, first + await workers.ask()


def check_nothing_changes(account: Account, seen: Report) -> None:
    assert len(account.logins) == 1
    assert seen.errors == {}
    assert len(seen.tokens) == 1
    least, most = seen.remaining
    assert _HOUR - 60 < least <= most <= _HOUR + 1


@pytest.mark.parametrize("leader", _CLOCKS)
async def test_a_workers_clock_that_is_an_hour_off_changes_nothing(enkash: Enkash, place: Place, leader: str) -> None:
    """All workers have one token with its right life."""
    check_nothing_changes(*await log_in_by(leader, enkash, place))


@pytest.mark.parametrize("leader", ["right", "wall clock ahead", "wall clock behind"])
async def test_an_instant_of_expiry_does_not_survive_a_clock_that_is_off(
    enkash: Enkash, place: Place, leader: str
) -> None:
    """Control: the check fails where workers share an instant of expiry and not a lifetime."""
    account, seen = await log_in_by(leader, enkash, place, bare)
    with pytest.raises(AssertionError):
        check_nothing_changes(account, seen)


async def put_the_store_wrong(scene: Scene, shift: float) -> tuple[int, Report]:
    """Log in, put the store's clock wrong, let newcomers ask, and put it right; return the logins after the first."""
    async with scene.fleet(2) as workers, scene.fleet(2) as newcomers:
        await workers.ask()
        for each in (workers, newcomers):
            await each.tell("shift_store", seconds=shift)
        seen = await newcomers.ask()
        for each in (workers, newcomers):
            await each.tell("shift_store", seconds=0.0)
        async with scene.fleet(2) as last:
            seen += await last.ask()
        scene.revoke()
        seen += await workers.ask(rejected=True)
        return scene.logins - 2, seen  # the first, and the one after the refusal


@pytest.mark.parametrize("shift", [_HOUR, -_HOUR], ids=["ahead", "behind"])
async def test_a_stores_clock_that_is_an_hour_off_costs_one_login_at_most(
    enkash: Enkash, place: Place, shift: float
) -> None:
    """Nobody waits for an hour, and nobody gets an error."""
    began = time.monotonic()
    scene = Scene(enkash, place, account={"takes": 0.1, "lifetime": 1800.0}, callers=5)
    logins, seen = await put_the_store_wrong(scene, shift)
    assert logins <= 1
    assert (seen.errors, seen.served) == ({}, 6 * 5)
    assert time.monotonic() - began < 20


async def test_a_clock_an_hour_off_in_each_process_costs_a_login_each(enkash: Enkash, place: Place) -> None:
    """Control: the same run costs more logins where each process has a store of its own."""
    scene = Scene(enkash, place, alone, account={"takes": 0.1, "lifetime": 1800.0}, callers=5)
    logins, _ = await put_the_store_wrong(scene, _HOUR)
    assert logins > 1
