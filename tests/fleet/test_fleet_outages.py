"""Redis dies or loses all data while a fleet works."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
from fleet.controls import bare, leaseless
from fleet.processes import Fleet, Scene, Seen, scene
from fleet.workers import Maker, Report, shared

from servers import FLAVOURS, MISSING, Server, running


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[Server]:
    """A server of the test's own, which it may end."""
    if not FLAVOURS:
        pytest.skip(MISSING)
    with running(next(iter(FLAVOURS)), tmp_path) as server:
        yield server


# --- a token in hand --------------------------------------------------------------------------------------------------


async def ask_without_redis(place: Scene, workers: Fleet, server: Server) -> Seen:
    """Get a token, end Redis, and ask in each window of the token's life."""
    await workers.ask()
    server.kill()
    fresh = await workers.ask()
    await workers.tell("advance", seconds=3100)  # it is to be renewed beside the work
    ageing = await workers.ask()
    await workers.tell("advance", seconds=450)  # callers wait a little for the new one
    old = await workers.ask()
    return Seen(fresh + ageing + old, place.logins, place.locked)


def check_served_from_hand(seen: Seen) -> None:
    assert seen.logins == 1
    assert seen.report.errors == {}
    assert seen.report.served == 3 * 16 * 20
    assert len(seen.report.tokens) == 1


async def test_a_token_in_hand_serves_without_redis(mortal: Server) -> None:
    """Callers get it for all of its life, without an error and without a login."""
    async with scene(mortal) as place, place.fleet(16) as workers:
        seen = await ask_without_redis(place, workers, mortal)
    check_served_from_hand(seen)


async def test_who_asks_redis_each_time_fails_without_it(mortal: Server) -> None:
    """Control: the check fails for a provider that keeps no token in memory."""
    async with scene(mortal, bare) as place, place.fleet(16) as workers:
        seen = await ask_without_redis(place, workers, mortal)
    with pytest.raises(AssertionError):
        check_served_from_hand(seen)
    assert seen.report.served == 0


# --- nothing in hand --------------------------------------------------------------------------------------------------


async def renew_without_redis(server: Server, processes: int, *, hermits: bool = False) -> Seen:
    """Get a token, end Redis, and let EnKash refuse the token."""
    async with scene(server, hermits=hermits) as place, place.fleet(processes) as workers:
        await workers.ask()
        server.kill()
        place.sandbox.revoke_tokens()
        return await place.seen(workers.ask(rejected=True))


def check_one_login_a_process(seen: Seen, processes: int) -> None:
    assert seen.logins <= processes
    assert seen.report.errors == {}
    assert seen.report.served == processes * 20


async def test_proven_credentials_log_in_once_for_each_process_without_redis(mortal: Server) -> None:
    """All callers of a process get the token of its one login."""
    check_one_login_a_process(await renew_without_redis(mortal, 16), 16)


async def test_callers_who_share_nothing_log_in_each_without_redis(mortal: Server) -> None:
    """Control: the same run fails the check when each caller has a provider of its own."""
    seen = await renew_without_redis(mortal, 4, hermits=True)
    with pytest.raises(AssertionError):
        check_one_login_a_process(seen, 4)
    assert (seen.logins, seen.report.served) == (4 * 20, 4 * 20)


def check_nobody_logs_in(seen: Seen) -> None:
    assert seen.logins == 0
    assert not seen.locked
    assert seen.report.errors == {"TokenStoreError": 16 * 20}


async def test_unproven_credentials_are_not_tried_without_redis(mortal: Server) -> None:
    """A fleet without a token and without Redis makes no login, and its callers learn why."""
    mortal.kill()
    async with scene(mortal) as place, place.fleet(16) as workers:
        seen = await place.seen(workers.ask())
    check_nobody_logs_in(seen)


async def test_unproven_credentials_that_are_tried_without_redis_lock_the_account(mortal: Server) -> None:
    """Control: the same run fails the check with `on_store_down="login"`, and costs the account."""
    mortal.kill()
    async with scene(mortal, on_store_down="login") as place:
        async with place.fleet(16, credentials=place.with_password("wrong-password")) as workers:
            seen = await place.seen(workers.ask())
    with pytest.raises(AssertionError):
        check_nobody_logs_in(seen)
    assert (seen.logins, seen.locked) == (16, True)


# --- FLUSHALL ---------------------------------------------------------------------------------------------------------


@attrs.frozen
class Forgotten:
    """The result of emptying Redis under load.

    Attributes:
        logins: Since then.
        old: What the callers had before.
        fresh: What those of new workers got.
        renewed: What those of the old workers got when their token was due for renewal.
        calls: What the load met with.
        requests: What arrived at the API.
    """

    logins: int
    old: Report
    fresh: Report
    renewed: Report
    calls: Report
    requests: int


async def forget_under_load(server: Server, make: Maker = shared) -> Forgotten:
    async with scene(server, make, callers=10) as place, place.fleet(6) as workers:
        old = await workers.ask()
        await workers.tell("load", pause=0.05)
        await place.called(6 * 10)
        before = place.logins
        server.ask("FLUSHALL")
        async with place.fleet(6) as newcomers:
            fresh = await newcomers.ask()
        await workers.tell("advance", seconds=3100)
        renewed = await with_new_token(workers, old)
        calls = await workers.rest()
        requests = place.sandbox.counts["biller_categories"]
        return Forgotten(place.logins - before, old, fresh, renewed, calls, requests)


async def with_new_token(workers: Fleet, old: Report) -> Report:
    """Ask until all callers have a newer token, which is fetched in the background."""
    async with asyncio.timeout(20):
        while min((report := await workers.ask()).generations) <= max(old.generations):
            await asyncio.sleep(0.05)
    return report


def check_one_login_more(seen: Forgotten) -> None:
    assert seen.logins <= 1
    assert seen.fresh.errors == seen.renewed.errors == seen.calls.errors == {}
    assert seen.fresh.tokens == seen.renewed.tokens
    assert seen.requests == seen.calls.served  # a call that is answered 401 is sent once more


async def test_a_redis_that_forgets_everything_costs_one_login(redis_server: Server) -> None:
    """Old workers use their token, new ones log in once, and the old ones renew with that token."""
    check_one_login_more(await forget_under_load(redis_server))


async def test_a_redis_that_forgets_everything_costs_many_logins_without_a_lease(server: Server) -> None:
    """Control: the same run fails the check when the lease is switched off."""
    seen = await forget_under_load(server, leaseless)
    with pytest.raises(AssertionError):
        check_one_login_more(seen)
    assert seen.logins > 1
