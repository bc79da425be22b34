"""Processes of one machine without any server, short jobs, threads and forks."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

import attrs
import pytest
from fleet.controls import alone, forgetful
from fleet.enkash import CLIENT_SECRET, RIGHT, WRONG, Account, Enkash
from fleet.places import KINDS, FilePlace, Place
from fleet.processes import Scene, Seen
from fleet.workers import Maker, command, from_env, shared, together
from fleet.zygote import begin, finish


def environment(scene: Scene, folder: Path, password: str = RIGHT, **more: str) -> dict[str, str]:
    """Return the variables of a process of this user, whose home is a folder of the test's."""
    return {
        "HOME": str(folder),
        "XDG_STATE_HOME": str(folder),
        "ENKASH_BASE_URL": scene.enkash.base_url,
        "ENKASH_CLIENT_ID": "made-up-client",
        "ENKASH_CLIENT_SECRET": CLIENT_SECRET,
        "ENKASH_USERNAME": scene.user,
        "ENKASH_PASSWORD": password,
        **more,
    }


# --- four processes without any server --------------------------------------------------------------------------------


async def four_processes(enkash: Enkash, folder: Path, password: str = RIGHT, **more: str) -> Seen:
    """Let four processes ask that know the environment variables alone."""
    scene = Scene(enkash, FilePlace(folder), from_env)
    env = environment(scene, folder, password, **more)
    async with scene.fleet(4, env=env) as workers:
        report = await workers.ask()
        return Seen(report, scene.account, scene.logins)


def check_one_login(seen: Seen, callers: int = 4 * 20) -> None:
    assert seen.logins == 1
    assert seen.report.served == callers
    assert len(seen.report.tokens) == 1


def check_one_attempt(seen: Seen) -> None:
    assert seen.logins == 1
    assert not seen.locked
    assert seen.report.served == 0


async def test_four_processes_without_a_server_log_in_once(enkash: Enkash, tmp_path: Path) -> None:
    """They share the file of their user, which is in its state directory."""
    check_one_login(await four_processes(enkash, tmp_path))
    assert (tmp_path / "enkash-async" / "store.sqlite3").exists()


async def test_four_processes_without_a_server_try_a_wrong_password_once(enkash: Enkash, tmp_path: Path) -> None:
    check_one_attempt(await four_processes(enkash, tmp_path, WRONG))


async def test_four_processes_that_share_nothing_log_in_each(enkash: Enkash, tmp_path: Path) -> None:
    """Control: the same run fails the checks when sharing is switched off."""
    seen = await four_processes(enkash, tmp_path, ENKASH_STORE_URL="memory:")
    with pytest.raises(AssertionError):
        check_one_login(seen)
    assert seen.logins == 4
    wrong = await four_processes(enkash, tmp_path, WRONG, ENKASH_STORE_URL="memory:")
    with pytest.raises(AssertionError):
        check_one_attempt(wrong)
    assert (wrong.logins, wrong.locked) == (4, True)


# --- commands ---------------------------------------------------------------------------------------------------------


async def commands(
    enkash: Enkash, folder: Path, number: int, password: str = RIGHT, **more: str
) -> tuple[Account, list[int]]:
    """Run `enkash token` in a row, each in a process of its own, and return the exit codes."""
    scene = Scene(enkash, FilePlace(folder), account={"takes": 0.0})
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ENKASH_", "COVERAGE"))}
    env = {**kept, **environment(scene, folder, password, **more)}
    codes = [await asyncio.to_thread(_run_command, env) for _ in range(number)]
    return scene.account, codes


def _run_command(env: Mapping[str, str]) -> int:
    process, line = begin(command)
    with line:
        line.send((env, ["token"]))
        assert line.poll(60), "the command does not end"
        code: int = line.recv()
        assert finish([process]) == [0]
        return code


async def test_ten_commands_in_a_row_log_in_once(enkash: Enkash, tmp_path: Path) -> None:
    account, codes = await commands(enkash, tmp_path, 10)
    assert (len(account.logins), codes) == (1, [0] * 10)


async def test_ten_commands_in_a_row_try_a_wrong_password_once(enkash: Enkash, tmp_path: Path) -> None:
    account, codes = await commands(enkash, tmp_path, 10, WRONG)
    assert (len(account.logins), account.locked, 0 in codes) == (1, False, False)


async def test_commands_that_share_nothing_lock_the_account(enkash: Enkash, tmp_path: Path) -> None:
    """Control: three commands in a row try a wrong password three times when sharing is switched off."""
    account, _ = await commands(enkash, tmp_path, 3, WRONG, ENKASH_STORE_URL="memory:")
    assert (len(account.logins), account.locked) == (3, True)


# --- short jobs -------------------------------------------------------------------------------------------------------


async def short_jobs(enkash: Enkash, place: Place, make: Maker = shared, *, changes: bool = False) -> Seen:
    """Run six jobs with `asyncio.run` while the token is to be renewed; each ends during the background login.

    Args:
        changes: Change the password at EnKash before.
    """
    scene = Scene(enkash, place, make, account={"takes": 0.7}, callers=1)
    async with scene.fleet(1, clock_shift=0.0) as workers:
        await workers.ask()
        if changes:
            scene.change(passwords={"another-password"})
        await workers.tell("advance", seconds=3100)
        return await scene.seen(workers, workers.workers[0].tell("short_jobs", number=6, work=0.2))


def check_two_logins(seen: Seen) -> None:
    assert seen.logins <= 2
    assert not seen.locked
    assert seen.report.errors == {}
    assert seen.report.served == 6


@attrs.frozen
class Jobs:
    """The runs over one store with their control."""

    shared: Seen
    changed: Seen
    forgetful: Seen


async def all_jobs(enkash: Enkash, place: Place) -> Jobs:
    return Jobs(
        *await asyncio.gather(
            short_jobs(enkash, place),
            short_jobs(enkash, place, changes=True),
            short_jobs(enkash, place, forgetful, changes=True),
        )
    )


async def jobs_over_all_stores(enkash: Enkash, places: Mapping[str, Place]) -> dict[str, Jobs]:
    made = await asyncio.gather(*(all_jobs(enkash, places[kind]) for kind in KINDS))
    return dict(zip(KINDS, made, strict=True))


@pytest.fixture(scope="module")
def all_stores(enkash: Enkash, places: Mapping[str, Place]) -> dict[str, Jobs]:
    """Run all of them concurrently, because jobs mostly wait."""
    return asyncio.run(jobs_over_all_stores(enkash, places))


@pytest.fixture(params=KINDS)
def jobs(request: pytest.FixtureRequest, all_stores: dict[str, Jobs]) -> Jobs:
    """The runs over each store in turn."""
    return all_stores[request.param]


def test_short_jobs_log_in_twice_a_lifetime_at_most(jobs: Jobs) -> None:
    """A job whose loop ends cuts the background login off; a later one waits for its own."""
    check_two_logins(jobs.shared)


def test_short_jobs_do_not_lock_an_account_whose_password_was_changed(jobs: Jobs) -> None:
    """The token in hand serves all jobs, and EnKash sees two wrong logins at most."""
    check_two_logins(jobs.changed)


def test_short_jobs_that_forget_what_was_cut_off_lock_the_account(jobs: Jobs) -> None:
    """Control: the same run fails the check when an attempt that was cut off is not kept."""
    with pytest.raises(AssertionError):
        check_two_logins(jobs.forgetful)
    assert jobs.forgetful.locked


# --- threads and forks ------------------------------------------------------------------------------------------------


async def threads(enkash: Enkash, place: Place, make: Maker = shared, password: str = RIGHT) -> Seen:
    """Let four threads of two processes, each with a loop of its own, ask for a token."""
    scene = Scene(enkash, place, make)
    async with scene.fleet(2, password=password) as workers:
        reports = await workers.tell("threads", number=4)
        return Seen(together(reports), scene.account, scene.logins)


async def test_threads_with_a_loop_each_log_in_once(enkash: Enkash, place: Place) -> None:
    check_one_login(await threads(enkash, place), 2 * 4 * 5)


async def test_threads_with_a_loop_each_try_a_wrong_password_once(enkash: Enkash, place: Place) -> None:
    check_one_attempt(await threads(enkash, place, password=WRONG))


async def test_threads_of_processes_without_a_common_store_log_in_each(enkash: Enkash, place: Place) -> None:
    """Control: the same run fails the checks when each process keeps its own token."""
    with pytest.raises(AssertionError):
        check_one_login(await threads(enkash, place, alone), 2 * 4 * 5)
    with pytest.raises(AssertionError):
        check_one_attempt(await threads(enkash, place, alone, WRONG))


async def forks(enkash: Enkash, place: Place, make: Maker = shared, password: str = RIGHT, after: float = 0.0) -> Seen:
    """Fork four times while the parent wants a token; all ask of the same provider."""
    scene = Scene(enkash, place, make)
    async with scene.fleet(1, password=password) as workers:
        report = await workers.workers[0].tell("fork", children=4, after=after)
        return Seen(report, scene.account, scene.logins)


@pytest.mark.parametrize("after", [0.0, 0.15], ids=["before the login", "during the login"])
async def test_a_process_and_its_forks_log_in_once(enkash: Enkash, place: Place, after: float) -> None:
    """A child is another process to the account: it waits for the parent's login."""
    check_one_login(await forks(enkash, place, after=after), 5 * 5)


@pytest.mark.parametrize("after", [0.0, 0.15], ids=["before the login", "during the login"])
async def test_a_process_and_its_forks_try_a_wrong_password_once(enkash: Enkash, place: Place, after: float) -> None:
    check_one_attempt(await forks(enkash, place, password=WRONG, after=after))


async def test_forks_without_a_common_store_log_in_each(enkash: Enkash, place: Place) -> None:
    """Control: the same run fails the check when each process keeps its own token."""
    with pytest.raises(AssertionError):
        check_one_login(await forks(enkash, place, alone), 5 * 5)
