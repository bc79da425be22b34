"""A whole fleet wants a token at once: how often it logs in, and what wrong passwords cost."""

from __future__ import annotations

import os
import statistics

import pytest
from fleet.controls import alone, guardless, leaseless, one_guard, own_budget, unreserved
from fleet.enkash import RIGHT, WRONG, Enkash
from fleet.places import Place
from fleet.processes import Scene, Seen
from fleet.workers import Maker, shared

# Seconds; 0.4 is what is promised of a machine that has nothing else to do. Without a login the lease ends after 30.
_LATEST = float(os.environ.get("ENKASH_FLEET_LATEST", "10"))
_REFUSALS = {"CredentialsRejectedError", "LoginGuardError"}


# --- cold -------------------------------------------------------------------------------------------------------------


async def cold_start(enkash: Enkash, place: Place, make: Maker = shared) -> Seen:
    return await Scene(enkash, place, make, account={"takes": 0.5}).run(32)


def check_one_login(seen: Seen, processes: int = 32) -> None:
    assert seen.logins == 1
    assert seen.report.served == processes * 20
    assert len(seen.report.tokens) == len(seen.report.generations) == 1


def check_last_served(seen: Seen, name: str) -> None:
    [login] = seen.account.logins
    assert login.answered is not None
    late = seen.report.last - login.answered
    print(f"{name}: the last caller is served {late:.3f} s after the login; {mean_calls(seen):.1f} calls a process")
    assert late < _LATEST


def mean_calls(seen: Seen) -> float:
    return statistics.mean(sum(what != "login" for what, _ in calls) for calls in seen.calls)


async def test_a_cold_fleet_logs_in_once(enkash: Enkash, every_place: Place, request: pytest.FixtureRequest) -> None:
    """640 callers in 32 processes get the token of one login, soon after it has ended."""
    seen = await cold_start(enkash, every_place)
    check_one_login(seen)
    check_last_served(seen, request.node.name)


async def test_a_cold_fleet_without_a_common_store_logs_in_once_for_each_process(enkash: Enkash, place: Place) -> None:
    """Control: the same run fails the check when each process keeps its own token."""
    seen = await cold_start(enkash, place, alone)
    with pytest.raises(AssertionError):
        check_one_login(seen)
    assert (seen.logins, seen.report.served) == (32, 640)


async def test_a_cold_fleet_without_a_lease_logs_in_many_times(enkash: Enkash, place: Place) -> None:
    """Control: the same run fails the check when the token is shared and the right to log in is not."""
    seen = await Scene(enkash, place, leaseless).run(4)
    with pytest.raises(AssertionError):
        check_one_login(seen, 4)
    assert (seen.logins > 1, seen.report.served) == (True, 80)


# --- a wrong password -------------------------------------------------------------------------------------------------


def check_one_attempt(seen: Seen, processes: int = 32) -> None:
    assert seen.logins == 1
    assert not seen.locked
    assert seen.report.served == 0
    assert set(seen.report.errors) <= _REFUSALS
    assert seen.report.errors.total() == processes * 20


async def test_a_wrong_password_is_tried_once(enkash: Enkash, every_place: Place) -> None:
    """640 callers with a wrong password make one attempt, and none when new ones ask; the right one then works."""
    scene = Scene(enkash, every_place)
    check_one_attempt(await scene.run(32, password=WRONG))
    again = await scene.run(4, password=WRONG)
    assert (again.logins, again.report.reasons) == (0, {"rejected": 4 * 20})
    check_one_login(await scene.run(4), 4)


async def test_a_wrong_password_without_a_common_guard_locks_the_account(enkash: Enkash, place: Place) -> None:
    """Control: the same run fails the check when each process guards itself."""
    seen = await Scene(enkash, place, alone).run(4, password=WRONG)
    with pytest.raises(AssertionError):
        check_one_attempt(seen, 4)
    assert (seen.logins, seen.locked) == (4, True)


async def test_a_wrong_password_with_a_mere_lease_locks_the_account(enkash: Enkash, place: Place) -> None:
    """Control: a lease alone fails the check, because each waiting worker tries in turn."""
    seen = await Scene(enkash, place, guardless, account={"takes": 0.0}).run(4, password=WRONG)
    with pytest.raises(AssertionError):
        check_one_attempt(seen, 4)
    assert (seen.logins, seen.locked) == (4, True)


async def test_a_guard_that_knows_no_fingerprints_keeps_the_corrected_password_out(
    enkash: Enkash, place: Place
) -> None:
    """Control: the check of the corrected password fails when the bar is on the account, not on the password."""
    scene = Scene(enkash, place, one_guard)
    await scene.run(4, password=WRONG)
    seen = await scene.run(4)
    with pytest.raises(AssertionError):
        check_one_login(seen, 4)
    assert (seen.logins, seen.report.reasons) == (0, {"rejected": 4 * 20})


# --- several wrong passwords ------------------------------------------------------------------------------------------


async def eight_passwords(scene: Scene, number: int = 32) -> Seen:
    plans = [scene.changed(password=f"{WRONG}-{each % 8}") for each in range(number)]
    async with scene.fleet_of(plans) as workers:
        return await scene.seen(workers, workers.ask())


def check_attempts(seen: Seen, attempts: int, processes: int = 32) -> None:
    assert seen.logins == attempts
    assert not seen.locked
    assert seen.report.served == 0
    assert set(seen.report.errors) <= _REFUSALS
    assert seen.report.errors.total() == processes * 20
    assert seen.report.reasons["budget"] > 0


async def test_eight_wrong_passwords_are_tried_twice_in_all(enkash: Enkash, place: Place) -> None:
    """The account has one budget; once it is spent, the right password waits for an operator too."""
    scene = Scene(enkash, place)
    check_attempts(await eight_passwords(scene), 2)
    async with scene.fleet(4) as workers:
        refused = await scene.seen(workers, workers.ask())
        assert (refused.logins, refused.report.reasons) == (0, {"budget": 4 * 20})
        await workers.workers[0].tell("reset")
        reopened = await scene.seen(workers, workers.served())
    assert (reopened.logins, reopened.report.served, reopened.locked) == (1, 4 * 20, False)


async def test_eight_wrong_passwords_with_a_guard_each_lock_the_account(enkash: Enkash, place: Place) -> None:
    """Control: the same run fails the check when the budget is one password's."""
    seen = await eight_passwords(Scene(enkash, place, own_budget), 8)
    with pytest.raises(AssertionError):
        check_attempts(seen, 2, 8)
    assert (seen.logins, seen.locked) == (8, True)


async def beside_a_proven_one(scene: Scene, number: int = 32) -> tuple[Seen, Seen]:
    """Log in with the right password; then try eight wrong ones; then let the right one renew."""
    async with scene.fleet(4) as workers:
        await workers.ask()
        wrong = await eight_passwords(scene, number)
        scene.revoke()
        return wrong, await scene.seen(workers, workers.ask(rejected=True))


async def test_eight_wrong_passwords_beside_a_proven_one_are_tried_once_in_all(enkash: Enkash, place: Place) -> None:
    """The last attempt is kept for the credentials whose token lives, which then renew it."""
    wrong, renewed = await beside_a_proven_one(Scene(enkash, place))
    check_attempts(wrong, 1)
    check_one_login(renewed, 4)


async def test_eight_wrong_passwords_take_the_last_attempt_of_a_proven_one_without_a_reserve(
    enkash: Enkash, place: Place
) -> None:
    """Control: the same run fails both checks when no attempt is kept."""
    wrong, renewed = await beside_a_proven_one(Scene(enkash, place, unreserved), 4)
    with pytest.raises(AssertionError):
        check_attempts(wrong, 1, 4)
    with pytest.raises(AssertionError):
        check_one_login(renewed, 4)
    assert (wrong.logins, renewed.logins, renewed.report.reasons) == (2, 0, {"budget": 4 * 20})


# --- two valid secrets at once ----------------------------------------------------------------------------------------


async def two_secrets(scene: Scene) -> Seen:
    """Let half of a fleet use the old password and half the new one, while EnKash takes both; then renew."""
    scene.change(passwords={RIGHT, "new-password"})
    plans = [scene.changed(password=password) for password in [RIGHT, "new-password"] * 4]
    async with scene.fleet_of(plans) as workers:
        return await scene.seen(workers, workers.ask())


def check_one_login_a_secret(seen: Seen) -> None:
    assert seen.logins == 2
    assert seen.report.served == 8 * 20
    assert seen.report.errors == {}
    assert len(seen.report.tokens) == 2


async def test_two_valid_secrets_log_in_once_each(enkash: Enkash, place: Place) -> None:
    """Each half of the fleet has a token that it can open, and neither throws the other's away."""
    scene = Scene(enkash, place)
    check_one_login_a_secret(await two_secrets(scene))
    newcomers = await two_secrets(scene)
    assert (newcomers.logins, newcomers.report.served) == (0, 8 * 20)


async def test_two_valid_secrets_log_in_in_each_process_without_a_common_store(enkash: Enkash, place: Place) -> None:
    """Control: the same run fails the check when each process keeps its own token."""
    seen = await two_secrets(Scene(enkash, place, alone))
    with pytest.raises(AssertionError):
        check_one_login_a_secret(seen)
    assert seen.logins == 8
