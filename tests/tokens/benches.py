"""A token store under test, with its clock and its random numbers, wherever it keeps its data."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import pytest
from redis.asyncio import Redis
from tokens.doubles import Clock

from enkash_async.tokens import (
    Claim,
    Cooling,
    Failure,
    Found,
    Identity,
    Lead,
    MemoryTokenStore,
    RedisTokenStore,
    Token,
    TokenStore,
)

from servers import Server

__all__ = ["LEASE", "OTHERS", "OURS", "WORSE", "WRONG", "Bench", "assert_same", "memory_bench", "redis_bench"]

OURS = Identity("account", "right password")
WRONG = Identity("account", "wrong password")
WORSE = Identity("account", "worse password")
OTHERS = Identity("another account", "right password")

LEASE = 6.0

# A server's clock cannot be set, so what it holds is made older instead: every key of a prefix loses so much of the
# life that it has left, and the one instant that is stored moves back. Real time passes as well; tests allow for it.
_AGE = """
local passed_ms = tonumber(ARGV[2])
for _, key in ipairs(redis.call('KEYS', ARGV[1])) do
  if redis.call('TYPE', key).ok == 'hash' then
    local renewed = redis.call('HGET', key, 'renewed')
    if renewed then
      redis.call('HSET', key, 'renewed', string.format('%.0f', tonumber(renewed) - passed_ms * 1000))
    end
  end
  local left = redis.call('PTTL', key)
  if left > passed_ms then
    redis.call('PEXPIRE', key, string.format('%.0f', left - passed_ms))
  elseif left >= 0 then
    redis.call('DEL', key)
  end
end
"""


def assert_same(token: Token, other: Token, clock: Clock) -> None:
    """Compare what two tokens are; through a store that is elsewhere, a lifetime comes back a little shorter."""
    assert token.reveal() == other.reveal()
    assert token.generation == other.generation
    assert token.expires_in == pytest.approx(other.expires_in)
    assert token.remaining(clock()) == pytest.approx(other.remaining(clock()), abs=3)


@attrs.frozen
class Bench:
    """A fresh store whose clock and random numbers the test sets."""

    store: TokenStore
    clock: Clock
    chance: list[float]

    async def passes(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.now += seconds

    async def claim(self, owner: str, who: Identity = OURS, above: int = -1) -> Claim:
        return await self.store.claim(who, owner, above=above)

    async def lead(self, owner: str, who: Identity = OURS, above: int = -1) -> int:
        """Claim the lease and begin the login."""
        claim = await self.claim(owner, who, above)
        assert isinstance(claim, Lead), claim
        assert await self.store.beat(who, owner)
        return claim.fence

    async def cooling(self, owner: str = "asker", who: Identity = OURS) -> float:
        claim = await self.claim(owner, who)
        assert isinstance(claim, Cooling), claim
        return claim.seconds

    async def find(self, who: Identity = OURS) -> Found:
        claim = await self.claim("reader", who)
        assert isinstance(claim, Found), claim
        return claim

    async def assert_found(self, token: Token, who: Identity = OURS) -> None:
        assert_same((await self.find(who)).token, token, self.clock)

    def token(self, generation: int, lifetime: float = 3600.0) -> Token:
        return Token(f"at-{generation}", lifetime, self.clock(), generation)

    async def log_in(self, owner: str, who: Identity = OURS, above: int = -1) -> Token:
        """Make a login that works."""
        token = self.token(await self.lead(owner, who, above))
        assert await self.store.publish(who, owner, token)
        return token

    async def log_in_badly(self, owner: str, failure: Failure, who: Identity = OURS) -> float:
        await self.lead(owner, who)
        return await self.store.fail(who, owner, failure)


@attrs.frozen
class _RedisBench(Bench):
    redis: Redis
    prefix: str

    async def passes(self, seconds: float) -> None:
        self.clock.now += seconds
        await self.redis.eval(_AGE, 0, f"{self.prefix}:*", int(seconds * 1000))


def memory_bench(clock: Clock) -> Bench:
    chance = [1.0]
    return Bench(MemoryTokenStore(clock=clock, random=lambda: chance[0]), clock, chance)


@asynccontextmanager
async def redis_bench(clock: Clock, server: Server) -> AsyncIterator[Bench]:
    """A store with a prefix of its own, on a server that other tests use as well."""
    chance, prefix = [1.0], f"bench-{uuid.uuid4().hex}"
    async with Redis(unix_socket_path=str(server.unix_socket)) as redis:
        store = RedisTokenStore(redis, prefix=prefix, clock=clock, random=lambda: chance[0])
        yield _RedisBench(store, clock, chance, redis, prefix)
