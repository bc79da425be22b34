"""A store in Redis or Valkey, with two small scripts and one key for each record."""

from __future__ import annotations

import asyncio
import functools
import random as _random
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, Literal, Self, cast

from redis.asyncio import RedisCluster
from redis.crc import key_slot

from enkash_async._support.breaker import CircuitBreaker
from enkash_async._support.clock import loop_now
from enkash_async._support.forks import reset_after_fork
from enkash_async._support.secret import HiddenStr
from enkash_async.errors import ConfigurationError, StoreError, StoreUnavailableError
from enkash_async.stores.loop_timeout import checked_timeout
from enkash_async.stores.redis_clients import Clients, is_in_use
from enkash_async.stores.redis_scripts import (
    READ,
    SWAP,
    Arguments,
    Facts,
    Script,
    evaluate,
    evaluate_durably,
    facts_of,
    swap_arguments,
)
from enkash_async.stores.redis_trouble import IN_USE, Trouble, attempt
from enkash_async.stores.redis_url import Client
from enkash_async.stores.store import Cell, Change

__all__ = ["RedisStore"]

_TIMEOUT = 1.0  # seconds for an answer; a healthy Redis takes one millisecond
_FIRST_PAUSE = 0.02  # seconds before a script is sent again, doubled each time
_POOL_PAUSE = 0.02  # seconds before a client whose connections are all in use is asked again
_WAITS = 3  # a task waits for a free connection for this many times the time-out of an attempt
_FSYNC = 2.0  # seconds for WAITAOF, which takes up to one second with `appendfsync everysec`


class RedisStore:
    """Shares records between all processes that use one Redis (6.2 or later), Valkey, Sentinel set or cluster.

    A failover may lose the last writes, and a restart may lose all writes since the last save. With
    `durability="waitaof"`, a change counts as made only when the primary has it in its append-only file. If the primary
    had a replica when the client connected, a replica must have the change in its file too. This needs Redis 7.2 or
    later, and no cluster.

    Args:
        redis: An asyncio client of redis-py. Only the event loop of its first use can use it, and the store never
            closes it. If the client retries commands by itself, a change may be answered with False although its first
            attempt made it.
        nothing_pending: Declare that no confirmation of a debit is under way anywhere; see `Store`.
        durability: `"server"` relies on the configuration of the server; `"waitaof"` is described above.
        timeout: Seconds for one attempt; a read makes up to three attempts.
        clock: Returns monotonic seconds.
        sleep: Waits for a number of seconds.
        random: Returns a number in [0, 1).

    Raises:
        ConfigurationError: An argument is unusable.
    """

    def __init__(
        self,
        redis: Client,
        *,
        nothing_pending: bool = False,
        durability: Literal["server", "waitaof"] = "server",
        timeout: float = _TIMEOUT,
        clock: Callable[[], float] = loop_now,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        random: Callable[[], float] = _random.random,
    ) -> None:
        timeout = checked_timeout(timeout)
        self.nothing_pending = nothing_pending
        self._clients = Clients(redis, timeout / 4)
        self._is_durable = _checked_durability(durability, redis)
        self._limit = timeout * (1 + self._clients.hosts) + (_FSYNC if self._is_durable else 0)
        self._clock, self._sleep, self._random = clock, sleep, random
        self._facts: Facts | None = None
        self.after_fork()
        reset_after_fork(self)

    @classmethod
    def from_url(cls, url: str, **options: Any) -> Self:
        """Return a store that opens up to four connections in each event loop; `aclose()` closes them.

        Args:
            url: `redis://[user:password@]host:6379/0`, `rediss://…`, `unix://…`,
                `redis+sentinel://host:26379,…/service` or `redis+cluster://host:6379,…`.
            options: The keyword arguments of the class.

        Raises:
            ConfigurationError: The URL is unusable; the message does not repeat it.
        """
        url = HiddenStr(url)  # the URL may hold a password, and a rendered traceback would show a plain `str`
        return cls(cast("Client", url), **options)

    def after_fork(self) -> None:
        """Replace the circuit breaker, since a thread of the parent may have held its lock."""
        self._breaker = CircuitBreaker(error=StoreUnavailableError, clock=self._clock, random=self._random)

    def __repr__(self) -> str:
        return "RedisStore(…)"  # a URL may hold a password

    async def read(self, keys: Sequence[str]) -> Mapping[str, Cell]:
        """Return the cell of every key; `now` is read from the clock of the node that holds the key."""
        groups = await self._grouped(keys)
        replies = await _all([self._run(READ, group, tuple, may_repeat=True) for group in groups])
        return {
            key: Cell(value, int(seconds) + int(micros) / 1e6)
            for group, ((seconds, micros), values) in zip(groups, replies, strict=True)
            for key, value in zip(group, values, strict=True)
        }

    async def swap(self, changes: Sequence[Change]) -> Sequence[bool]:
        """Make each change whose key still holds exactly `old`."""
        by_key = {change.key: change for change in changes}
        groups = await self._grouped(list(by_key))
        replies = await _all(
            [self._run(SWAP, group, swap_arguments(group, by_key), may_repeat=False) for group in groups]
        )
        done = {
            key: made == 1
            for group, reply in zip(groups, replies, strict=True)
            for key, made in zip(group, reply, strict=True)
        }
        return [done[change.key] for change in changes]

    async def eviction_policy(self) -> str:
        """Return the server's `maxmemory-policy`, in a cluster the least safe of its servers. Asks Redis only once.

        Raises:
            StoreUnavailableError: The policy cannot be read.
        """
        if self._facts is None:
            await self.read(["enkash:none"])
        if self._facts is None or self._facts.policy is None:
            raise StoreUnavailableError("Redis does not say its maxmemory-policy: allow the command INFO")
        return self._facts.policy

    async def aclose(self) -> None:
        """Close the connections that this store opened; a second call does nothing."""
        await self._clients.aclose()

    async def _grouped(self, keys: Sequence[str]) -> list[list[str]]:
        """Group the keys so that one script may change each group: in a cluster one group per slot, otherwise one."""
        client, _ = await self._clients.get()
        groups: dict[int, list[str]] = {}
        for key in keys:
            slot = key_slot(key.encode()) if isinstance(client, RedisCluster) else 0
            groups.setdefault(slot, []).append(key)
        return list(groups.values())

    async def _run(self, what: Script, keys: list[str], arguments: Arguments, *, may_repeat: bool) -> Any:
        """Run a script and return its reply. After a failure, retry only if the retry cannot change the answer."""
        pause, end = _FIRST_PAUSE, self._clock() + _WAITS * self._limit
        while True:
            reply, trouble = await self._try(what, keys, arguments, end)
            if trouble is None:
                self._breaker.worked()
                return reply
            self._breaker.failed(trouble.text)
            is_final = not trouble.is_transient or (trouble.was_run and not may_repeat)
            if is_final or self._breaker.is_down:
                raise StoreUnavailableError(trouble.text)
            await self._sleep(pause * (0.5 + self._random()))
            pause *= 2

    async def _try(self, what: Script, keys: list[str], arguments: Arguments, end: float) -> tuple[Any, Trouble | None]:
        """Make one attempt; if all connections are in use, wait for a free one until `end`."""
        client, gate = await self._clients.get()
        async with gate, self._clients.using(client):
            self._breaker.enter()
            while True:
                outcome: tuple[Any, Trouble | None] = None, IN_USE
                if not is_in_use(client):
                    send = functools.partial(self._send, client, what, keys, arguments)
                    outcome = await attempt(send, self._limit)
                if outcome[1] is not IN_USE:
                    return outcome
                if self._clock() >= end:
                    raise StoreError(IN_USE.text)
                await self._sleep(_POOL_PAUSE * (0.5 + self._random()))

    async def _send(self, client: Client, what: Script, keys: list[str], arguments: Arguments) -> Any:
        if self._facts is None:
            self._facts = await facts_of(client)
        if self._is_durable and what is SWAP:
            return await evaluate_durably(client, what, keys, arguments(), int(self._facts.replicas > 0))
        return await evaluate(client, what, keys, arguments())


def _checked_durability(durability: str, redis: Client | str) -> bool:
    """Return whether a change must be on the server's disk before it counts as made."""
    if durability not in {"server", "waitaof"}:
        raise ConfigurationError('durability must be "server" or "waitaof"')
    is_cluster = isinstance(redis, RedisCluster) or (isinstance(redis, str) and "+cluster:" in redis)
    if durability == "waitaof" and is_cluster:
        raise ConfigurationError('durability="waitaof" does not work with a cluster: use one primary, or "server"')
    return durability == "waitaof"


async def _all(runs: list[Coroutine[Any, Any, Any]]) -> list[Any]:
    """Return all replies. If a run fails, raise its error, but only after every run has ended."""
    if len(runs) == 1:
        return [await runs[0]]
    replies = await asyncio.gather(*runs, return_exceptions=True)
    for reply in replies:
        if isinstance(reply, BaseException):
            raise reply
    return list(replies)
