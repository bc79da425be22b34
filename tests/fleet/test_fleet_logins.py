"""A whole fleet wants a token at once: how often it logs in, and what wrong passwords cost."""

from __future__ import annotations

import asyncio

import pytest
from fleet.controls import alone, caller_led, guardless, leaseless, one_guard
from fleet.processes import Fleet, Scene, Seen, fleet, scene
from fleet.workers import Maker, Report, shared

from servers import Server

_WRONG = "wrong-password"
_REFUSALS = {"CredentialsRejectedError", "LoginGuardError"}


# --- cold -------------------------------------------------------------------------------------------------------------


async def cold_start(server: Server, make: Maker = shared) -> Seen:
    async with scene(server, make) as place, place.fleet(32) as workers:
        return await place.seen(workers.ask())


def check_one_login(seen: Seen, processes: int = 32) -> None:
    assert seen.logins == 1
    assert seen.report.served == processes * 20
    assert len(seen.report.tokens) == len(seen.report.generations) == 1


async def test_a_cold_fleet_logs_in_once(redis_server: Server) -> None:
    """640 callers in 32 processes get the token of one login."""
    check_one_login(await cold_start(redis_server))


async def test_a_cold_fleet_without_a_common_store_logs_in_once_for_each_process(server: Server) -> None:
    """Control: the same run fails the check when each process keeps its own token."""
    seen = await cold_start(server, alone)
    with pytest.raises(AssertionError):
        check_one_login(seen)
    assert (seen.logins, seen.report.served) == (32, 640)


async def test_a_cold_fleet_without_a_lease_logs_in_many_times(server: Server) -> None:
    """Control: the same run fails the check when the token is shared and the right to log in is not."""
    seen = await cold_start(server, leaseless)
    with pytest.raises(AssertionError):
        check_one_login(seen)
    assert (seen.logins > 1, seen.report.served) == (True, 640)


# --- a wrong password -------------------------------------------------------------------------------------------------


async def wrong_password(place: Scene, number: int = 32) -> Seen:
    async with place.fleet(number, credentials=place.with_password(_WRONG)) as workers:
        return await place.seen(workers.ask())


def check_one_attempt(seen: Seen, processes: int = 32) -> None:
    assert seen.logins == 1
    assert not seen.locked
    assert seen.report.served == 0
    assert set(seen.report.errors) <= _REFUSALS
    assert seen.report.errors.total() == processes * 20


async def test_a_wrong_password_is_tried_once(redis_server: Server) -> None:
    """640 callers with a wrong password make one attempt, and none when they ask again; the account stays open."""
    async with scene(redis_server) as place:
        check_one_attempt(await wrong_password(place))
        again = await wrong_password(place, 8)
    assert (again.logins, again.report.reasons) == (0, {"rejected": 8 * 20})


async def test_a_corrected_password_works_at_once(server: Server) -> None:
    """The right password logs in once after a fleet tried a wrong one, without an operator."""
    async with scene(server) as place:
        await wrong_password(place, 8)
        async with place.fleet(32) as workers:
            check_one_login(await place.seen(workers.ask()))


async def test_a_wrong_password_without_a_common_guard_locks_the_account(server: Server) -> None:
    """Control: the same run fails the check when each process guards itself."""
    async with scene(server, alone) as place:
        seen = await wrong_password(place)
    with pytest.raises(AssertionError):
        check_one_attempt(seen)
    assert (seen.logins, seen.locked) == (32, True)


async def test_a_wrong_password_with_a_mere_lock_locks_the_account(server: Server) -> None:
    """Control: a lease alone fails the check, because each waiting worker tries in turn."""
    async with scene(server, guardless, login_takes=0.0) as place:
        seen = await wrong_password(place, 8)
    with pytest.raises(AssertionError):
        check_one_attempt(seen, 8)
    assert (seen.logins, seen.locked) == (8, True)


async def test_a_guard_that_knows_no_fingerprints_keeps_the_corrected_password_out(server: Server) -> None:
    """Control: the check of the corrected password fails when the bar is on the account, not on the password."""
    async with scene(server, one_guard) as place:
        await wrong_password(place, 8)
        async with place.fleet(8) as workers:
            seen = await place.seen(workers.ask())
    with pytest.raises(AssertionError):
        check_one_login(seen, 8)
    assert (seen.logins, seen.report.reasons) == (0, {"rejected": 8 * 20})


# --- several wrong passwords ------------------------------------------------------------------------------------------


async def eight_passwords(place: Scene, *, guard_each: bool = False) -> Seen:
    plans = [
        place.changed(
            credentials=place.with_password(f"wrong-password-{number % 8}"),
            prefix=f"guard-{number % 8}" if guard_each else "enkash",
        )
        for number in range(32)
    ]
    async with fleet(plans) as workers:
        return await place.seen(workers.ask())


def check_two_attempts(seen: Seen) -> None:
    assert seen.logins == 2
    assert not seen.locked
    assert seen.report.served == 0
    assert set(seen.report.errors) <= _REFUSALS
    assert seen.report.errors.total() == 32 * 20
    assert seen.report.reasons["budget"] > 0


async def test_eight_wrong_passwords_are_tried_twice_in_all(server: Server) -> None:
    """The account has one budget; once it is spent, the right password waits for an operator too."""
    async with scene(server) as place:
        check_two_attempts(await eight_passwords(place))
        async with place.fleet(8) as workers:
            refused = await place.seen(workers.ask())
            assert (refused.logins, refused.report.reasons) == (0, {"budget": 8 * 20})
            await workers.workers[0].tell("reset")
            reopened = await place.seen(served_in_the_end(workers))
    assert (reopened.logins, reopened.report.served, reopened.locked) == (1, 8 * 20, False)


async def served_in_the_end(workers: Fleet) -> Report:
    """Ask again and again, because each worker believes in a closed guard for a second."""
    async with asyncio.timeout(20):
        while (report := await workers.ask()).errors:
            await asyncio.sleep(0.05)
    return report


async def test_eight_wrong_passwords_with_a_guard_each_lock_the_account(server: Server) -> None:
    """Control: the same run fails the check when the budget is one password's."""
    async with scene(server) as place:
        seen = await eight_passwords(place, guard_each=True)
    with pytest.raises(AssertionError):
        check_two_attempts(seen)
    assert (seen.logins, seen.locked) == (8, True)


# --- callers who give up ----------------------------------------------------------------------------------------------


async def cancel_during_login(place: Scene, workers: Fleet, callers: range) -> Seen:
    """Cancel the same callers of each worker, the one who began the login among them."""
    await workers.tell("start")
    await place.logged_in(1)
    were_waiting = await workers.tell("cancel", callers=list(callers))
    assert were_waiting == [len(callers)] * len(workers.workers)
    return Seen(await workers.finish(), place.logins, place.locked)


def check_the_rest_is_served(seen: Seen, rest: int) -> None:
    assert seen.logins == 1
    assert seen.report.served == rest
    assert len(seen.report.tokens) == 1


@pytest.mark.parametrize("cancelled", [1, 19])
async def test_callers_who_are_cancelled_disturb_nobody(server: Server, cancelled: int) -> None:
    """One or nineteen of twenty callers are cancelled, and the rest get the token of one login."""
    async with scene(server, login_takes=1.5) as place, place.fleet(8) as workers:
        seen = await cancel_during_login(place, workers, range(cancelled))
    check_the_rest_is_served(seen, 8 * (20 - cancelled))


@pytest.mark.parametrize("cancelled", [1, 19])
async def test_a_login_led_by_a_caller_dies_with_the_caller(server: Server, cancelled: int) -> None:
    """Control: the check fails for a provider in which the first caller does the work of all."""
    async with scene(server, caller_led) as place, place.fleet(1) as workers:
        seen = await cancel_during_login(place, workers, range(cancelled))
        undisturbed = await place.seen(workers.ask())
    with pytest.raises(AssertionError):
        check_the_rest_is_served(seen, 20 - cancelled)
    assert (seen.logins, undisturbed.logins) == (2, 0)
