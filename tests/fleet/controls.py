"""Controls: providers with one defect each, which prove that a check can fail."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Callable
from typing import Any

import attrs
from fleet.workers import Plan
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from enkash_async._http.login import PasswordGrant
from enkash_async.stores.redis_link import Script
from enkash_async.tokens import (
    CachingTokenProvider,
    Claim,
    Failure,
    Identity,
    InMemoryTokenProvider,
    Lead,
    RedisTokenProvider,
    RedisTokenStore,
    Token,
    TokenProvider,
    Wait,
)

__all__ = [
    "alone",
    "bare",
    "beatless",
    "caller_led",
    "careless",
    "fenceless",
    "guardless",
    "leaseless",
    "one_guard",
    "overdue",
    "undying",
]

Clock = Callable[[], float]


class _Store(RedisTokenStore):
    """A Redis store that can be given a defect."""

    async def _force(self, identity: Identity, text: str, *arguments: str | int) -> Any:
        """Run a script of a control; its KEYS are tok, lease, meta, guard and cool."""
        self._scripts["forced"] = Script(text, hashlib.sha1(text.encode()).hexdigest())
        return await self._run("forced", identity, lambda: arguments)


class _LeaselessStore(_Store):
    """Lets every worker that finds no token log in."""

    async def claim(self, identity: Identity, owner: str, *, above: int) -> Claim:
        claim = await super().claim(identity, owner, above=above)
        return Lead(time.time_ns() // 1000) if isinstance(claim, Wait) else claim

    async def beat(self, identity: Identity, owner: str) -> bool:
        await super().beat(identity, owner)
        return True


class _UndyingStore(_Store):
    """Has a lease that ends far too late."""

    async def claim(self, identity: Identity, owner: str, *, above: int) -> Claim:
        claim = await super().claim(identity, owner, above=above)
        if isinstance(claim, Lead):
            await self._force(identity, "return redis.call('PEXPIRE', KEYS[2], 600000)")
        return claim

    async def beat(self, identity: Identity, owner: str) -> bool:
        return True


class _BeatlessStore(_Store):
    """Does not extend a lease."""

    async def beat(self, identity: Identity, owner: str) -> bool:
        return True


class _FencelessStore(_Store):
    """Stores the token that comes last, even an older one."""

    async def publish(self, identity: Identity, owner: str, token: Token) -> bool:
        if not await super().publish(identity, owner, token):
            await self._force(identity, "return redis.call('DEL', KEYS[1])")
            await super().publish(identity, owner, token)
        return True


class _CarelessStore(_Store):
    """Deletes the token at every refusal, also at one of an older token."""

    async def reject(self, identity: Identity, generation: int) -> None:
        await self._force(identity, "return redis.call('DEL', KEYS[1])")


class _GuardlessStore(_Store):
    """Has a lease and no memory of failures, so each waiting worker tries in turn."""

    async def fail(
        self,
        identity: Identity,
        owner: str,
        failure: Failure,
        retry_after: float | None = None,
        *,
        fence: int | None = None,
    ) -> float:
        await self._force(identity, "return redis.call('DEL', unpack(KEYS, 2))")
        return 0.0


class _Provider(CachingTokenProvider):
    """The real state machine on a store with a defect."""

    def __init__(self, kind: type[_Store], source: PasswordGrant, plan: Plan, clock: Clock) -> None:
        self._broken = kind(plan.redis_url, prefix=plan.prefix, clock=clock)
        super().__init__(source, self._broken, on_store_down=plan.on_store_down, clock=clock)

    async def aclose(self) -> None:
        await super().aclose()
        await self._broken.aclose()


def leaseless(source: PasswordGrant, plan: Plan, clock: Clock) -> TokenProvider:
    """Return a provider whose lease is switched off."""
    return _Provider(_LeaselessStore, source, plan, clock)


def undying(source: PasswordGrant, plan: Plan, clock: Clock) -> TokenProvider:
    """Return a provider whose lease outlives its leader."""
    return _Provider(_UndyingStore, source, plan, clock)


def beatless(source: PasswordGrant, plan: Plan, clock: Clock) -> TokenProvider:
    """Return a provider whose lease is not extended while it logs in."""
    return _Provider(_BeatlessStore, source, plan, clock)


def fenceless(source: PasswordGrant, plan: Plan, clock: Clock) -> TokenProvider:
    """Return a provider that overwrites newer tokens."""
    return _Provider(_FencelessStore, source, plan, clock)


def careless(source: PasswordGrant, plan: Plan, clock: Clock) -> TokenProvider:
    """Return a provider that throws away the current token for a refusal of an old one."""
    return _Provider(_CarelessStore, source, plan, clock)


def guardless(source: PasswordGrant, plan: Plan, clock: Clock) -> TokenProvider:
    """Return a provider with a lease and no guard."""
    return _Provider(_GuardlessStore, source, plan, clock)


def one_guard(source: PasswordGrant, plan: Plan, clock: Clock) -> TokenProvider:
    """Return a provider whose guard cannot tell one password from another."""
    source._identity = attrs.evolve(source.identity, fingerprint="any")
    return RedisTokenProvider(source, plan.redis_url, clock=clock)


class _LongLived(PasswordGrant):
    """A source whose tokens claim four times their life."""

    async def fetch_token(self) -> Token:
        token = await super().fetch_token()
        return attrs.evolve(token, expires_in=token.expires_in * 4)


def overdue(source: PasswordGrant, plan: Plan, clock: Clock) -> TokenProvider:
    """Return a provider that hands out dead tokens."""
    return RedisTokenProvider(_LongLived(plan.base_url, plan.credentials), plan.redis_url, clock=clock)


def alone(source: PasswordGrant, plan: Plan, clock: Clock) -> TokenProvider:
    """Return a provider that shares nothing with other processes."""
    return InMemoryTokenProvider(source, clock=clock)


class _BareProvider:
    """A common design: GET, else log in and SET, with an instant of expiry by the wall clock."""

    def __init__(self, source: PasswordGrant, plan: Plan) -> None:
        self._source = source
        self._redis: Redis = Redis.from_url(plan.redis_url, retry=Retry(NoBackoff(), 0))
        self._key = f"{plan.prefix}:bare:{source.identity.account}"

    async def get_token(self, *, rejected: Token | None = None) -> Token:
        if rejected is not None:
            await self._redis.delete(self._key)
        if raw := await self._redis.get(self._key):
            text, generation, expires_at = json.loads(raw)
            if expires_at > time.time():
                return Token(text, expires_at - time.time(), generation=generation)
        fetched = await self._source.fetch_token()
        token = Token(fetched.reveal(), fetched.expires_in, generation=time.time_ns() // 1000)
        await self._redis.set(self._key, json.dumps([token.reveal(), token.generation, time.time() + token.expires_in]))
        return token

    async def aclose(self) -> None:
        await self._redis.aclose()


def bare(source: PasswordGrant, plan: Plan, clock: Clock) -> TokenProvider:
    """Return a provider that shares the token alone."""
    return _BareProvider(source, plan)


class _CallerLedProvider:
    """One caller logs in under a lock for the others, so the login ends with that caller."""

    def __init__(self, source: PasswordGrant) -> None:
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


def caller_led(source: PasswordGrant, plan: Plan, clock: Clock) -> TokenProvider:
    """Return a provider in which a caller does the work of all."""
    return _CallerLedProvider(source)
