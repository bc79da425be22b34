"""Controls: providers with one defect each, which prove that a check can fail."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any, ClassVar

import attrs
from fleet.workers import Counting, Plan, TellingGrant, shared

from enkash_async.stores import Change, MemoryStore
from enkash_async.tokens import StoreTokenProvider, Token, TokenProvider, _account, _refresh
from enkash_async.tokens._commands import Claim, Outcome, Reject, Settle, Wait, Who
from enkash_async.tokens._record import Account, Client

__all__ = [
    "alone",
    "bare",
    "caller_led",
    "careless",
    "fenceless",
    "forgetful",
    "guardless",
    "leaseless",
    "numbered_from_one",
    "one_guard",
    "overdue",
    "own_budget",
    "undying",
    "unhurried",
    "unreserved",
]

Options = dict[str, Any]


@attrs.frozen
class _Changed:
    """Makes providers in a process in which it changes the package; that process serves no other fleet afterwards."""

    change: Callable[[], None]
    changes_code: ClassVar[bool] = True

    def __call__(self, source: TellingGrant, plan: Plan, store: Counting, options: Options) -> TokenProvider:
        self.change()
        return shared(source, plan, store, options)


# --- stores that are not shared ---------------------------------------------------------------------------------------


def alone(source: TellingGrant, plan: Plan, store: Counting, options: Options) -> TokenProvider:
    """Return a provider over a store that its process has for itself."""
    return StoreTokenProvider(source, MemoryStore(), login_timeout=plan.login_timeout, **options)


def own_budget(source: TellingGrant, plan: Plan, store: Counting, options: Options) -> TokenProvider:
    """Return a provider that shares nothing with providers of another password."""
    source._identity = attrs.evolve(source.identity, account=f"{source.identity.account}-{source.identity.fingerprint}")
    return shared(source, plan, store, options)


def one_guard(source: TellingGrant, plan: Plan, store: Counting, options: Options) -> TokenProvider:
    """Return a provider whose guard cannot tell one password from another."""
    source._identity = attrs.evolve(source.identity, fingerprint="any")
    return shared(source, plan, store, options)


# --- machines with a defect -------------------------------------------------------------------------------------------


def _put(module: object, name: str, value: object) -> None:
    """Put something in the place of a function or a number of the package."""
    setattr(module, name, value)


def _without_leases() -> None:
    right = _account._obstacle

    def obstacle(account: Account, who: Who, now: float) -> Any:
        found = right(account, who, now)
        return None if isinstance(found, Wait) else found

    _put(_account, "_obstacle", obstacle)
    _put(_account, "_over_budget", lambda *_: None)


def _without_guard() -> None:
    right = _account._obstacle

    def obstacle(account: Account, who: Who, now: float) -> Any:
        found = right(attrs.evolve(account, fingerprints=(), locked=0), who, now)
        return found if isinstance(found, Wait) else None

    _put(_account, "_obstacle", obstacle)


def _with_endless_lease() -> None:
    _put(_refresh, "lease_for", lambda _: 600.0)


def _without_deadline() -> None:
    _put(_refresh, "SEND_WITHIN", 600.0)


def _without_fence() -> None:
    right = _account._with_token

    def with_token(client: Client, report: Settle, *rest: Any) -> Any:
        return right(attrs.evolve(client, tokens=(), watermark=0), report, *rest)

    _put(_account, "_with_token", with_token)


def _with_careless_refusals() -> None:
    right = _account._reject

    def reject(account: Account, refusal: Reject, now: float) -> Account:
        fence = account.highest_fence + 1
        client = account.client(refusal.client)
        account = account.with_client(attrs.evolve(client, tokens=(), watermark=fence))
        return right(account, refusal, now)

    _put(_account, "_reject", reject)


def _with_attempts_that_are_forgotten() -> None:
    right = _account._settle

    def settle(account: Account, report: Settle, now: float) -> Any:
        if report.outcome is Outcome.UNKNOWN:
            report = attrs.evolve(report, outcome=Outcome.NOT_COUNTED)
        return right(account, report, now)

    _put(_account, "_settle", settle)


def _without_reserve() -> None:
    _put(_account, "_is_reserved", lambda *_: False)


def _with_numbers_from_one() -> None:
    right = _account._claim

    def claim(account: Account, order: Claim, now: float) -> Any:
        return right(account, attrs.evolve(order, seen=0), now)

    _put(_account, "_claim", claim)
    _put(_account, "int", lambda _: 0)  # in the place of the store's milliseconds


#: A provider whose machine waits for no other's attempt.
leaseless = _Changed(_without_leases)
#: A provider whose machine has a lease and no guard.
guardless = _Changed(_without_guard)
#: A provider whose lease outlives its leader.
undying = _Changed(_with_endless_lease)
#: A provider that sends a login however late.
unhurried = _Changed(_without_deadline)
#: A provider that overwrites newer tokens.
fenceless = _Changed(_without_fence)
#: A provider that throws away any token at a refusal.
careless = _Changed(_with_careless_refusals)
#: A provider that forgets an attempt that was cut off.
forgetful = _Changed(_with_attempts_that_are_forgotten)
#: A provider that keeps no attempt for proven credentials.
unreserved = _Changed(_without_reserve)
#: A provider whose fences begin anew after a flush.
numbered_from_one = _Changed(_with_numbers_from_one)


# --- sources and designs of another kind ------------------------------------------------------------------------------


class _LongLived(TellingGrant):
    """A source whose tokens claim four times their life."""

    async def fetch_token(self) -> Token:
        token = await super().fetch_token()
        return attrs.evolve(token, expires_in=token.expires_in * 4)


def overdue(source: TellingGrant, plan: Plan, store: Counting, options: Options) -> TokenProvider:
    """Return a provider that hands out dead tokens."""
    long_lived = _LongLived(plan.base_url, plan.credentials, **options)
    long_lived.tell = source.tell
    return shared(long_lived, plan, store, options)


class _BareProvider:
    """A common design: read, else log in and write, with an instant of expiry by the wall clock."""

    def __init__(self, source: TellingGrant, store: Counting) -> None:
        self._source = source
        self._store = store
        self._key = f"enkash:bare:{source.identity.account}"

    async def get_token(self, *, rejected: Token | None = None) -> Token:
        value = (await self._store.read([self._key]))[self._key].value
        if value is not None and rejected is None:
            text, generation, expires_at = json.loads(value)
            if expires_at > time.time():
                return Token(text, expires_at - time.time(), generation=generation)
        fetched = await self._source.fetch_token()
        token = Token(fetched.reveal(), fetched.expires_in, generation=time.time_ns() // 1000)
        new = json.dumps([token.reveal(), token.generation, time.time() + token.expires_in])
        await self._store.swap([Change(self._key, value, new.encode())])
        return token

    async def aclose(self) -> None:
        """Do nothing, because nothing is open."""


def bare(source: TellingGrant, plan: Plan, store: Counting, options: Options) -> TokenProvider:
    """Return a provider that shares the token alone."""
    return _BareProvider(source, store)


class _CallerLedProvider:
    """One caller logs in under a lock for the others, so the login ends with that caller."""

    def __init__(self, source: TellingGrant) -> None:
        self._source = source
        self._lock = asyncio.Lock()
        self._token: Token | None = None

    async def get_token(self, *, rejected: Token | None = None) -> Token:
        async with self._lock:
            if self._token is None:
                self._token = await self._source.fetch_token()
            return self._token

    async def aclose(self) -> None:
        """Do nothing, because nothing is open."""


def caller_led(source: TellingGrant, plan: Plan, store: Counting, options: Options) -> TokenProvider:
    """Return a provider in which a caller does the work of all."""
    return _CallerLedProvider(source)
