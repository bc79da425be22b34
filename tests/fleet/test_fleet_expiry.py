"""A fleet works while its tokens expire, and while one worker's clocks are wrong."""

from __future__ import annotations

import asyncio
import time

import attrs
import pytest
from fleet.controls import alone, bare, overdue
from fleet.processes import Fleet, Scene, fleet, scene
from fleet.workers import Maker, Report, shared

from enkash_async.sandbox._token import TokenStyle

from servers import Server

_LIFETIME = 6.0
_HOUR = 3600.0


# --- expiry under load ------------------------------------------------------------------------------------------------


@attrs.frozen
class Worked:
    """The result of a time under load.

    Attributes:
        seconds: How long it lasted.
        logins: As EnKash counts them.
        said: As the workers count them.
        requests: What arrived at the API.
        report: What callers met with.
    """

    seconds: float
    logins: int
    said: int
    requests: int
    report: Report


async def work(place: Scene, workers: Fleet) -> Worked:
    """Call the API for three lifetimes of the token."""
    await workers.ask()
    began = time.monotonic()
    await workers.tell("load", pause=0.2)
    await asyncio.sleep(3 * _LIFETIME)
    report = await workers.rest()
    said = sum(await workers.tell("logins"))
    requests = place.sandbox.counts["biller_categories"]
    return Worked(time.monotonic() - began, place.logins, said, requests, report)


def check_one_login_a_lifetime(seen: Worked) -> None:
    # A token of six seconds is renewed when it has three left, or somewhat less.
    assert 3 < seen.logins <= seen.seconds / 2.5 + 1
    assert seen.logins == seen.said == len(seen.report.generations)


def check_no_error(seen: Worked) -> None:
    assert seen.report.errors == {}
    assert seen.report.served > 0


def check_no_refusal(seen: Worked) -> None:
    # A call that is answered 401 is sent once more.
    assert seen.requests == seen.report.served


def check_no_wait(seen: Worked) -> None:
    assert seen.report.waits == 0


async def work_with(server: Server, make: Maker, number: int, callers: int) -> Worked:
    async with scene(server, make, token_lifetime=_LIFETIME, callers=callers) as place, place.fleet(number) as workers:
        return await work(place, workers)


@attrs.frozen
class Runs:
    """The run with its controls."""

    shared: Worked
    alone: Worked
    bare: Worked
    overdue: Worked


async def all_runs(server: Server) -> Runs:
    return Runs(
        *await asyncio.gather(
            work_with(server, shared, 6, callers=4),
            work_with(server, alone, 6, callers=1),
            work_with(server, bare, 2, callers=1),
            work_with(server, overdue, 2, callers=1),
        )
    )


@pytest.fixture(scope="module")
def runs(first_server: Server) -> Runs:
    """Run all of them concurrently, because each takes three lifetimes."""
    return asyncio.run(all_runs(first_server))


def test_each_lifetime_of_a_token_costs_one_login(runs: Runs) -> None:
    """Six processes log in as often as tokens were seen, and not more often than tokens expire."""
    check_one_login_a_lifetime(runs.shared)


def test_callers_under_load_never_notice_that_tokens_expire(runs: Runs) -> None:
    """No caller sees an error or a 401, and none waits for a token."""
    check_no_error(runs.shared)
    check_no_refusal(runs.shared)
    check_no_wait(runs.shared)


def test_each_process_for_itself_logs_in_more_often(runs: Runs) -> None:
    """Control: the same run fails the check of the logins when each process keeps its own token."""
    with pytest.raises(AssertionError):
        check_one_login_a_lifetime(runs.alone)
    assert runs.alone.logins > 2 * runs.shared.logins


def test_callers_who_ask_redis_each_time_wait(runs: Runs) -> None:
    """Control: the same run fails the check of the waiting for a bare GET and SET."""
    with pytest.raises(AssertionError):
        check_no_wait(runs.bare)
    assert runs.bare.report.waits >= runs.bare.report.served > 0


def test_tokens_that_are_used_for_too_long_are_refused(runs: Runs) -> None:
    """Control: the same run fails the check of the 401s when a token is taken for longer-lived than it is."""
    with pytest.raises(AssertionError):
        check_no_refusal(runs.overdue)
    assert runs.overdue.requests > runs.overdue.report.served > 0


# --- clocks that are off ----------------------------------------------------------------------------------------------

# Workers of the fleet, by what is wrong with them.
_CLOCKS = {
    "right": {},
    "wall clock ahead": {"wall_shift": _HOUR},
    "wall clock behind": {"wall_shift": -_HOUR},
    "monotonic clock ahead": {"clock_shift": _HOUR},
    "monotonic clock behind": {"clock_shift": -_HOUR},
}


@attrs.frozen
class Shared:
    """The result of one login that workers with such clocks share.

    Attributes:
        logins: In all.
        tokens: What the callers got.
        calls: What they met with when they used it.
        requests: What arrived at the API.
    """

    logins: int
    tokens: Report
    calls: Report
    requests: int


async def log_in_by(leader: str, server: Server, make: Maker = shared, style: TokenStyle = "camel") -> Shared:
    """Let one of these workers log in, then have all of them use the token."""
    async with scene(server, make, login_takes=0, token_style=style, callers=5) as place:
        async with fleet([place.changed(**clock) for clock in _CLOCKS.values()]) as workers:
            first = await workers.workers[list(_CLOCKS).index(leader)].ask()
            tokens = first + await workers.ask()
            await workers.tell("load", pause=0.01)
            calls = await workers.rest()
            return Shared(place.logins, tokens, calls, place.sandbox.counts["biller_categories"])


def check_nothing_changes(seen: Shared) -> None:
    assert seen.logins == 1
    assert seen.tokens.errors == seen.calls.errors == {}
    assert len(seen.tokens.tokens) == 1
    least, most = seen.tokens.remaining
    assert _HOUR - 60 < least <= most <= _HOUR + 1
    assert seen.requests == seen.calls.served >= 5 * 5


@pytest.mark.parametrize("style", ["camel", "legacy"])
@pytest.mark.parametrize("leader", _CLOCKS)
async def test_a_clock_that_is_an_hour_off_changes_nothing(server: Server, leader: str, style: TokenStyle) -> None:
    """All workers have one token with its right life, for a lifetime and for an instant."""
    check_nothing_changes(await log_in_by(leader, server, style=style))


@pytest.mark.parametrize("leader", ["right", "wall clock ahead", "wall clock behind"])
async def test_an_instant_of_expiry_does_not_survive_a_clock_that_is_off(server: Server, leader: str) -> None:
    """Control: the check fails where workers share an instant of expiry and not a lifetime."""
    seen = await log_in_by(leader, server, bare)
    with pytest.raises(AssertionError):
        check_nothing_changes(seen)
    assert seen.logins > 1 or seen.tokens.remaining[1] > _HOUR + 60
