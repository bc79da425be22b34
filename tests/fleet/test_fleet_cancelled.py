"""Callers give up and providers are closed, at every point of what they wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest
from fleet.controls import alone, caller_led
from fleet.enkash import WRONG, Account, Enkash
from fleet.places import Place
from fleet.processes import Fleet, Scene, Seen
from fleet.workers import Maker, Report, shared, together

from enkash_async._http.login import PasswordGrant
from enkash_async.errors import TokenError
from enkash_async.stores import Cell, Change, Store, open_store
from enkash_async.tokens import StoreTokenProvider

_TURNS = 40


async def cancel_callers(enkash: Enkash, place: Place, make: Maker = shared) -> Seen:
    """Cancel a caller at every point, in each of four processes; the last ones stay."""
    scene = Scene(enkash, place, make, account={"takes": 0.5}, callers=5)
    async with scene.fleet(4) as workers:
        return await scene.seen(workers, served(workers))


async def served(workers: Fleet) -> Report:
    return together(await workers.tell("cancel_callers", turns=_TURNS))


def check_the_rest_is_served(seen: Seen) -> None:
    assert seen.logins == 1
    assert seen.report.served == 4 * 5
    assert len(seen.report.tokens) == 1


async def test_callers_who_are_cancelled_anywhere_disturb_nobody(enkash: Enkash, place: Place) -> None:
    """The others get the token of one login."""
    check_the_rest_is_served(await cancel_callers(enkash, place))


async def test_a_login_led_by_a_caller_dies_with_the_caller(enkash: Enkash, place: Place) -> None:
    """Control: the check fails for a provider in which the first caller does the work of all."""
    seen = await cancel_callers(enkash, place, caller_led)
    with pytest.raises(AssertionError):
        check_the_rest_is_served(seen)
    assert seen.logins > 4


async def close_everywhere(enkash: Enkash, place: Place, make: Maker = shared) -> Account:
    """Close providers with a wrong password at every point, in each of four processes."""
    scene = Scene(enkash, place, make, account={"takes": 0.01}, password=WRONG)
    async with scene.fleet(4) as workers:
        await workers.tell("close_everywhere", turns=_TURNS)
        return scene.account


def check_two_attempts_at_most(seen: Account) -> None:
    assert len(seen.logins) <= 2
    assert not seen.locked


async def test_providers_that_are_closed_anywhere_do_not_lock_the_account(enkash: Enkash, place: Place) -> None:
    """Each attempt is in the store before it is sent, whatever becomes of its process."""
    check_two_attempts_at_most(await close_everywhere(enkash, place))


async def test_providers_that_are_closed_anywhere_lock_the_account_where_nothing_is_shared(
    enkash: Enkash, place: Place
) -> None:
    """Control: the same run fails the check when each provider has a store of its own."""
    seen = await close_everywhere(enkash, place, alone)
    with pytest.raises(AssertionError):
        check_two_attempts_at_most(seen)
    assert seen.locked


# --- closed between begin and send ------------------------------------------------------------------------------------


class _Gated:
    """A store whose answer to a change waits for the test."""

    def __init__(self, inner: Store) -> None:
        self._inner = inner
        self.made = asyncio.Event()
        self.goes_on = asyncio.Event()

    async def read(self, keys: Sequence[str]) -> Mapping[str, Cell]:
        return await self._inner.read(keys)

    async def swap(self, changes: Sequence[Change]) -> Sequence[bool]:
        made = await self._inner.swap(changes)
        self.made.set()
        await self.goes_on.wait()
        return made

    async def aclose(self) -> None:
        await self._inner.aclose()


async def test_a_provider_that_is_closed_before_it_sends_leaves_no_charge(enkash: Enkash, place: Place) -> None:
    """Or clean shutdowns of workers would spend the account's attempts."""
    scene = Scene(enkash, place)
    source = PasswordGrant(enkash.base_url, scene.plan.credentials)
    store = _Gated(open_store(place.url))
    provider, other = StoreTokenProvider(source, store), StoreTokenProvider(source, store)
    asking = asyncio.create_task(provider.get_token())
    await store.made.wait()
    closing = asyncio.create_task(provider.aclose())
    await asyncio.sleep(0)
    store.goes_on.set()
    await closing
    with pytest.raises(TokenError):
        await asking
    assert (await other.look()).charged == 0
    await store.aclose()
    assert scene.logins == 0
