"""The record of handled events in Redis or Valkey, for workers that share it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from enkash_async._support.clock import loop_now
from enkash_async._support.secret import HiddenStr
from enkash_async.errors import WebhookStoreError
from enkash_async.webhooks._dedupe import KEEP, LEASE, Claimed, seconds

if TYPE_CHECKING:
    from enkash_async.stores.redis_link import Argument
    from enkash_async.stores.redis_url import Client

__all__ = ["RedisDedupe"]

_TIMEOUT = 0.5  # seconds for one reply
_SCRIPTS = ("claim", "extend", "commit", "release")


class RedisDedupe:
    """Keeps the record in Redis or Valkey, for all workers that receive the same posts.

    Every step is one Lua script on one key, `<prefix>:v1:{<key of the event>}`: a hash, nothing about the bill. With
    several services that each have to handle every event, give each a prefix of its own, or one takes the events of
    the other.

    Args:
        redis: Your asyncio client of redis-py (`Redis`, `RedisCluster`, or what `Sentinel.master_for` returns), which
            is never closed; or a URL as in `ENKASH_REDIS_URL`, for which a small pool is opened in each event loop.
        prefix: Begins every key; no braces.
        keep: Seconds for which a handled event is known.
        lease: Seconds after which the claim of a worker that is gone is given to another.
        timeout: Seconds for one reply.
        clock: Monotonic seconds.
        sleep: Waits so many seconds.
        random: Returns a number in [0, 1).

    Raises:
        ConfigurationError: An argument is unusable.
    """

    def __init__(
        self,
        redis: Client | str,
        *,
        prefix: str = "enkash:webhooks",
        keep: float = KEEP,
        lease: float = LEASE,
        timeout: float = _TIMEOUT,
        clock: Callable[[], float] = loop_now,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        random: Callable[[], float] = random.random,
    ) -> None:
        redis = HiddenStr(redis) if isinstance(redis, str) else redis
        # Only who shares events pays for importing redis-py, which takes longer than this whole package.
        from enkash_async.stores.redis_link import set_up  # noqa: PLC0415

        self._keep = seconds(keep, "keep")
        self._lease = seconds(lease, "lease")
        self._prefix = prefix
        self._link, self._scripts = set_up(
            redis,
            str(__package__),
            _SCRIPTS,
            prefix=prefix,
            timeout=timeout,
            error=WebhookStoreError,
            clock=clock,
            sleep=sleep,
            random=random,
        )

    @property
    def lease(self) -> float:
        """Seconds that a claim holds without being extended."""
        return self._lease

    async def claim(self, key: str, owner: str) -> Claimed:
        """Ask for the right to handle an event; as in `Dedupe.claim`."""
        word = await self._run("claim", key, owner, _ms(self._lease))
        return Claimed(word.decode() if isinstance(word, bytes) else word)

    async def extend(self, key: str, owner: str) -> bool:
        """Begin the owner's lease anew; as in `Dedupe.extend`."""
        return bool(await self._run("extend", key, owner, _ms(self._lease)))

    async def commit(self, key: str, owner: str) -> bool:
        """Note that an event was handled; as in `Dedupe.commit`."""
        return bool(await self._run("commit", key, owner, _ms(self._keep)))

    async def release(self, key: str, owner: str) -> None:
        """Give the owner's claim back; as in `Dedupe.release`."""
        await self._run("release", key, owner)

    async def aclose(self) -> None:
        """Close the connections that were opened here; a client of yours stays open."""
        await self._link.aclose()

    async def _run(self, name: str, key: str, *arguments: Argument) -> Any:
        return await self._link.run(self._scripts[name], [f"{self._prefix}:v1:{{{key}}}"], lambda: arguments)


def _ms(duration: float) -> int:
    return max(1, round(duration * 1000))
