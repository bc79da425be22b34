"""The record of handled events in Redis or Valkey, shared by several workers."""

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

_TIMEOUT = 0.5  # seconds for one reply; Redis takes milliseconds, and the sender of the post waits meanwhile
_SCRIPTS = ("claim", "extend", "commit", "release")


class RedisDedupe:
    """Keeps the record in Redis or Valkey, for all workers that receive the same posts.

    Every step is one Lua script on one key, `<prefix>:v1:{<key of the event>}`; the key is a hash and tells nothing
    about the bill. Services that must each handle every event need different prefixes.

    Args:
        redis: Your asyncio client of redis-py (`Redis`, `RedisCluster`, or the result of `Sentinel.master_for`), which
            is never closed here; or a URL as in `ENKASH_REDIS_URL`, for which each event loop opens a small pool.
        prefix: Start of every key; no braces.
        keep: Seconds for which a handled event is remembered; a week by default.
        lease: Seconds for which a claim holds unless it is extended.
        timeout: Seconds to wait for one reply of Redis.
        clock: Returns monotonic seconds.
        sleep: Waits for the given seconds.
        random: Returns a number in [0, 1), for jitter.

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
        # Imported here, since redis-py takes longer to import than this whole package.
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
        """Seconds for which a claim holds unless it is extended."""
        return self._lease

    async def claim(self, key: str, owner: str) -> Claimed:
        """Ask for the right to handle an event; see `Dedupe.claim`."""
        word = await self._run("claim", key, owner, _ms(self._lease))
        return Claimed(word.decode() if isinstance(word, bytes) else word)

    async def extend(self, key: str, owner: str) -> bool:
        """Restart the owner's lease; see `Dedupe.extend`."""
        return bool(await self._run("extend", key, owner, _ms(self._lease)))

    async def commit(self, key: str, owner: str) -> bool:
        """Note that an event was handled; see `Dedupe.commit`."""
        return bool(await self._run("commit", key, owner, _ms(self._keep)))

    async def release(self, key: str, owner: str) -> None:
        """Give up the owner's claim; see `Dedupe.release`."""
        await self._run("release", key, owner)

    async def aclose(self) -> None:
        """Close the connections that this object opened; your own Redis client stays open."""
        await self._link.aclose()

    async def _run(self, name: str, key: str, *arguments: Argument) -> Any:
        return await self._link.run(self._scripts[name], [f"{self._prefix}:v1:{{{key}}}"], lambda: arguments)


def _ms(duration: float) -> int:
    return max(1, round(duration * 1000))
