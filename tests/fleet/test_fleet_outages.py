"""The store breaks, or loses its records, while a fleet works; what can break depends on the kind of store."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TypeAlias

import attrs
import pytest
from fleet.controls import bare, leaseless, numbered_from_one
from fleet.enkash import WRONG, Enkash
from fleet.places import FAULTS, KINDS, Place
from fleet.places import place as running_place
from fleet.processes import Fleet, Scene, Seen
from fleet.workers import Maker, Report, shared

from enkash_async.tokens import OnStoreDown

# A record that is there is updated; accounts are never deleted; what INFO says is of no use to tokens.
_HARMLESS = {"without INSERT", "without del", "without info"}
_PROCESSES = 4
_CALLERS = 5
_AT_ONCE = 8  # outages at the same time, each of eight processes that mostly wait


@pytest.fixture(scope="module")
def mortals(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Place]]:
    """A store of each kind that the tests of this module may break; each test puts it right."""
    with ExitStack() as stack:
        yield {kind: stack.enter_context(running_place(kind, tmp_path_factory.mktemp(kind))) for kind in KINDS}


@pytest.fixture(params=KINDS)
def mortal(request: pytest.FixtureRequest, mortals: Mapping[str, Place]) -> Place:
    """A store of each kind in turn."""
    return mortals[request.param]


async def strike(place: Place, fault: str, *fleets: Fleet) -> None:
    if fault == "full":
        await asyncio.gather(*(workers.tell("limit_files", size=0) for workers in fleets))
    else:
        await asyncio.to_thread(place.strike, fault)


async def repair(place: Place, fault: str, *fleets: Fleet) -> None:
    if fault == "full":
        await asyncio.gather(*(workers.tell("limit_files", size=-1) for workers in fleets))
    else:
        await asyncio.to_thread(place.repair, fault)


# --- a store that breaks ----------------------------------------------------------------------------------------------


@attrs.frozen
class Outage:
    """The result of a broken store.

    Attributes:
        in_hand: What callers got who had a token.
        unproven: What new workers with a wrong password got.
        renewed: What callers got whose token was refused.
        back: What they got when the store was right again.
    """

    in_hand: Seen
    unproven: Seen
    renewed: Seen
    back: Seen


async def break_it(enkash: Enkash, place: Place, fault: str, policy: OnStoreDown) -> Outage:
    """Get a token, break the store, ask in each way, and put it right.

    Args:
        policy: `on_store_down` of the workers with the wrong password.
    """
    scene = Scene(enkash, place, callers=_CALLERS, account={"takes": 0.1})
    other = Scene(enkash, place, callers=_CALLERS, account={"takes": 0.1}, password=WRONG, on_store_down=policy)
    async with scene.fleet(_PROCESSES, clock_shift=0.0) as workers, other.fleet(_PROCESSES) as newcomers:
        await workers.ask()
        await strike(place, fault, workers, newcomers)
        try:
            in_hand, unproven = await asyncio.gather(
                scene.seen(workers, ageing(workers)), other.seen(newcomers, newcomers.ask())
            )
            scene.revoke()
            renewed = await scene.seen(workers, workers.ask(rejected=True))
        finally:
            await repair(place, fault, workers, newcomers)
        back = await scene.seen(workers, until_shared(workers))
        return Outage(in_hand, unproven, renewed, back)


async def ageing(workers: Fleet) -> Report:
    """Ask in each window of the token's life."""
    fresh = await workers.ask()
    await workers.tell("advance", seconds=3100)  # it is to be renewed beside the work
    ageing = await workers.ask()
    await workers.tell("advance", seconds=450)  # callers wait a little for the new one
    return fresh + ageing + await workers.ask()


async def until_shared(workers: Fleet) -> Report:
    """Let EnKash refuse what each process has, until all have one token again."""
    async with asyncio.timeout(40):
        while True:
            report = await workers.ask()
            if not report.errors and len(report.tokens) == 1:
                return report
            await asyncio.sleep(0.05)


def check_served_from_hand(seen: Seen, *, is_harmless: bool = False) -> None:
    assert seen.logins <= int(is_harmless)
    assert seen.report.errors == {}
    assert seen.report.served == 3 * _PROCESSES * _CALLERS
    assert len(seen.report.tokens) <= 1 + int(is_harmless)


def check_one_attempt_at_most(seen: Seen) -> None:
    assert seen.logins <= 1
    assert not seen.locked
    assert seen.report.served == 0


def check_one_login_a_process(seen: Seen) -> None:
    assert seen.logins <= _PROCESSES
    assert seen.account.refused == 0
    assert seen.report.served + seen.report.errors.total() == _PROCESSES * _CALLERS


_Case: TypeAlias = "tuple[str, str, OnStoreDown]"  # the kind of store, what happens to it, the workers' policy

#: The account of unproven credentials is lost with another policy.
_POLICED: Sequence[_Case] = (
    (KINDS[0], "damaged", "login"),
    (KINDS[1], "killed", "login"),
    (KINDS[2], "killed", "login"),
)
_CASES: Sequence[_Case] = (*((kind, fault, "login_if_proven") for kind, fault in FAULTS), *_POLICED)


async def break_all(enkash: Enkash, places: Mapping[_Case, Place]) -> dict[_Case, Outage | BaseException]:
    """Break all stores, a few at once; one place has one fault after the other."""
    free, own = asyncio.Semaphore(_AT_ONCE), {id(place): asyncio.Lock() for place in places.values()}

    async def one(case: _Case) -> Outage:
        _, fault, policy = case
        async with own[id(places[case])], free:
            return await break_it(enkash, places[case], fault, policy)

    # Where places share a server, the cases stand in each other's way: those begin first.
    order = sorted(places, key=lambda case: list(places.values()).count(places[case]), reverse=True)
    return dict(zip(order, await asyncio.gather(*map(one, order), return_exceptions=True), strict=True))


@pytest.fixture(scope="module")
def outages(
    enkash: Enkash, mortals: Mapping[str, Place], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[_Case, Outage | BaseException]]:
    """Break all stores concurrently, because workers mostly wait for them; those that start soon are one for each."""

    def folder() -> Path:
        return tmp_path_factory.mktemp("store")

    with ExitStack() as stack:
        places = {
            case: mortals[KINDS[2]] if case[0] == KINDS[2] else stack.enter_context(running_place(case[0], folder()))
            for case in _CASES
        }
        yield asyncio.run(break_all(enkash, places))


@pytest.fixture
def outage(outages: Mapping[_Case, Outage | BaseException], case: _Case) -> Outage:
    """One of them."""
    seen = outages[case]
    if isinstance(seen, BaseException):
        raise seen
    return seen


@pytest.mark.parametrize("case", [case for case in _CASES if case not in _POLICED], ids="-".join)
def test_a_broken_store_costs_no_account(outage: Outage, case: _Case) -> None:
    """A token in hand serves; nobody tries a password that is not proven; one login a process renews."""
    check_served_from_hand(outage.in_hand, is_harmless=case[1] in _HARMLESS)
    check_one_attempt_at_most(outage.unproven)
    check_one_login_a_process(outage.renewed)
    assert outage.back.report.errors == {}


@pytest.mark.parametrize("case", _POLICED, ids="-".join)
def test_unproven_credentials_that_are_tried_without_a_store_lock_the_account(outage: Outage, case: _Case) -> None:
    """Control: the check of unproven credentials fails with `on_store_down="login"`, and costs the account."""
    with pytest.raises(AssertionError):
        check_one_attempt_at_most(outage.unproven)
    assert (outage.unproven.logins, outage.unproven.locked) == (_PROCESSES, True)


async def test_who_asks_the_store_each_time_fails_without_it(enkash: Enkash, mortals: Mapping[str, Place]) -> None:
    """Control: the check of a token in hand fails for a provider that keeps none in memory."""
    place = mortals[KINDS[1]]
    scene = Scene(enkash, place, bare, callers=_CALLERS)
    async with scene.fleet(_PROCESSES, clock_shift=0.0) as workers:
        await workers.ask()
        await strike(place, "killed")
        try:
            seen = await scene.seen(workers, ageing(workers))
        finally:
            await repair(place, "killed")
    with pytest.raises(AssertionError):
        check_served_from_hand(seen)
    assert seen.report.served == 0


@pytest.mark.parametrize(("kind", "fault"), [(KINDS[0], "damaged"), (KINDS[1], "killed"), (KINDS[2], "killed")])
async def test_callers_who_share_nothing_log_in_each_without_a_store(
    enkash: Enkash, mortals: Mapping[str, Place], kind: str, fault: str
) -> None:
    """Control: the check of one login a process fails when each caller has a provider of its own."""
    place = mortals[kind]
    scene = Scene(enkash, place, callers=_CALLERS, hermits=True)
    async with scene.fleet(_PROCESSES) as workers:
        await workers.ask()
        await strike(place, fault)
        try:
            scene.revoke()
            seen = await scene.seen(workers, workers.ask(rejected=True))
        finally:
            await repair(place, fault)
    with pytest.raises(AssertionError):
        check_one_login_a_process(seen)
    assert seen.logins == _PROCESSES * _CALLERS


# --- a store that forgets ---------------------------------------------------------------------------------------------


@attrs.frozen
class Forgotten:
    """The result of a store that has lost all records, as after a failover.

    Attributes:
        logins: Since then.
        old: What the callers had before.
        fresh: What those of new workers got.
        renewed: What those of the old workers got when their token was due for renewal.
        calls: What the load met with.
    """

    logins: int
    old: Report
    fresh: Report
    renewed: Report
    calls: Report


async def forget_under_load(enkash: Enkash, place: Place, make: Maker = shared) -> Forgotten:
    scene = Scene(enkash, place, make, callers=_CALLERS)
    async with scene.fleet(_PROCESSES, clock_shift=0.0) as workers:
        old = await workers.ask()
        await workers.tell("load", pause=0.05)
        before = scene.logins
        await asyncio.to_thread(place.flush)
        async with scene.fleet(_PROCESSES) as newcomers:
            fresh = await newcomers.ask()
        await workers.tell("advance", seconds=3100)
        renewed = await with_new_token(workers, old)
        calls = await workers.rest()
        return Forgotten(scene.logins - before, old, fresh, renewed, calls)


async def with_new_token(workers: Fleet, old: Report) -> Report:
    """Ask until all callers have another token, which is fetched in the background."""
    async with asyncio.timeout(20):
        while (report := await workers.ask()).tokens.keys() & old.tokens.keys():
            await asyncio.sleep(0.05)
    return report


def check_one_login_more(seen: Forgotten) -> None:
    assert seen.logins <= 1
    assert seen.fresh.errors == seen.renewed.errors == seen.calls.errors == {}
    assert seen.fresh.tokens.keys() == seen.renewed.tokens.keys()
    assert min(seen.fresh.generations) > max(seen.old.generations)


async def test_a_store_that_forgets_everything_costs_one_login(enkash: Enkash, mortal: Place) -> None:
    """Old workers use their token, new ones log in once, and the old ones renew with that token."""
    check_one_login_more(await forget_under_load(enkash, mortal))


async def test_a_store_that_forgets_everything_costs_many_logins_without_a_lease(enkash: Enkash, mortal: Place) -> None:
    """Control: the same run fails the check when nobody waits for another's attempt."""
    seen = await forget_under_load(enkash, mortal, leaseless)
    with pytest.raises(AssertionError):
        check_one_login_more(seen)
    assert seen.logins > 1


async def test_a_store_that_forgets_everything_costs_more_logins_where_fences_begin_anew(
    enkash: Enkash, mortal: Place
) -> None:
    """Control: the same run fails the check when the first fence after it is 1: old workers take it for older."""
    seen = await forget_under_load(enkash, mortal, numbered_from_one)
    with pytest.raises(AssertionError):
        check_one_login_more(seen)


async def two_wrong_ones_around_a_flush(enkash: Enkash, place: Place) -> Seen:
    """Try a wrong password, lose the records, and try it again with the same workers and with new ones."""
    scene = Scene(enkash, place, callers=_CALLERS, password=WRONG)
    async with scene.fleet(_PROCESSES) as workers, scene.fleet(_PROCESSES) as newcomers:
        await workers.ask()
        await asyncio.to_thread(place.flush)
        both = Fleet([*workers.workers, *newcomers.workers])
        return await scene.seen(both, both.ask())


async def test_a_wrong_password_costs_one_attempt_more_after_a_flush(enkash: Enkash, mortal: Place) -> None:
    """The account stays open: two refusals in a row, no three."""
    seen = await two_wrong_ones_around_a_flush(enkash, mortal)
    assert (seen.logins, seen.locked, seen.report.served) == (1, False, 0)


async def lose_the_last_writes(enkash: Enkash, place: Place, make: Maker = shared) -> tuple[Seen, Report, Report]:
    """Renew a token, and give the store back the records from before, as a failover may."""
    scene = Scene(enkash, place, make, callers=_CALLERS)
    async with scene.fleet(_PROCESSES) as workers:
        await workers.ask()
        saved = await asyncio.to_thread(place.save)
        scene.revoke()
        renewed = await workers.ask(rejected=True)
        await asyncio.to_thread(place.restore, saved)
        scene.revoke()
        seen = await scene.seen(workers, workers.ask(rejected=True))
        async with scene.fleet(_PROCESSES) as newcomers:
            return seen, renewed, await newcomers.ask()


def check_no_stale_token(seen: Seen, renewed: Report, newcomers: Report) -> None:
    assert seen.logins <= 2
    assert seen.report.errors == newcomers.errors == {}
    assert min(seen.report.generations) > max(renewed.generations)
    assert newcomers.tokens.keys() == seen.report.tokens.keys()


async def test_a_failover_that_loses_the_last_writes_brings_no_stale_token_back(enkash: Enkash, mortal: Place) -> None:
    """The older record's token is neither handed out nor kept."""
    check_no_stale_token(*await lose_the_last_writes(enkash, mortal))


async def test_a_failover_brings_logins_without_end_where_nobody_waits(enkash: Enkash, mortal: Place) -> None:
    """Control: the same run fails the check when nobody waits for another's attempt."""
    with pytest.raises(AssertionError):
        check_no_stale_token(*await lose_the_last_writes(enkash, mortal, leaseless))
