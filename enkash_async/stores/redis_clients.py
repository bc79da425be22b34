"""Opens a Redis client for each event loop, or hands out the user's client; limits how many tasks use a client."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
from redis.asyncio import BlockingConnectionPool, Redis, RedisCluster
from redis.asyncio.sentinel import SentinelConnectionPool

from enkash_async._support.forks import reset_after_fork
from enkash_async._support.transports import close_by_hand
from enkash_async.errors import ConfigurationError, StoreError
from enkash_async.stores.redis_url import Client, RedisTarget, close, redis_target

__all__ = ["Clients", "is_in_use", "size_of"]

_AT_ONCE = 4  # connections of our own in one event loop
_NO_TIMEOUT = 60.0  # seconds; in effect no time-out, since the store itself stops waiting earlier


class Clients:
    """Opens a client for each event loop, or hands out the user's own client.

    Args:
        redis: The user's own client, which is never closed, or a URL.
        timeout: Seconds for one host to say which server holds the records.

    Attributes:
        hosts: Number of hosts that may be asked which server holds the records; 0 if none has to be asked.
    """

    def __init__(self, redis: Client | str, timeout: float) -> None:
        self._theirs: Client | None = None
        self._target: RedisTarget | None = None
        if isinstance(redis, str):
            # In a cluster, only this time-out detects a node that hangs. Elsewhere, the store's own time-out does.
            reply_timeout = 4 * timeout if "+cluster:" in redis else _NO_TIMEOUT
            self._target = redis_target(redis, timeout, reply_timeout=reply_timeout)
        elif isinstance(redis, (Redis, RedisCluster)):
            self._theirs = redis
        else:
            kind = f"{type(redis).__module__}.{type(redis).__name__}"
            raise ConfigurationError(
                f"redis must be a client of redis.asyncio, not {kind}; for a URL there is from_url"
            )
        self.hosts: int = 0 if self._target is None else self._target.hosts
        self._their_loop: asyncio.AbstractEventLoop | None = None
        self._their_gate = asyncio.Semaphore(1 if self._theirs is None else size_of(self._theirs))
        self._ours: dict[asyncio.AbstractEventLoop, _Own] = {}
        self._parents: list[_Own] = []
        self._is_closed = False
        self._lock = threading.Lock()
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Drop the parent's connections without closing them: the parent still reads its replies from them."""
        self._parents.extend(self._ours.values())
        self._ours = {}
        self._lock = threading.Lock()

    async def get(self) -> tuple[Client, asyncio.Semaphore]:
        """Return the client of the running loop, and a semaphore that limits how many tasks use it at the same time.

        Raises:
            StoreError: The store is closed, or the user's client belongs to another event loop.
        """
        loop = asyncio.get_running_loop()
        if self._theirs is not None:
            return self._checked(self._theirs, loop), self._their_gate
        own, is_new = self._own(loop)
        if is_new:
            await anext(own.keeper)
        return own.client, own.gate

    @asynccontextmanager
    async def using(self, client: Client) -> AsyncIterator[None]:
        """Use a client from `get` for one call; if the store is closed during the call, close the client afterwards.

        Raises:
            StoreError: The store was closed while the call waited for its turn.
        """
        self._check_open()
        try:
            yield
        finally:
            if self._is_closed and client is not self._theirs:
                await close(client)  # a client that is closed during a call connects again

    async def aclose(self) -> None:
        """Close the clients that were opened here; a second call does nothing."""
        with self._lock:
            self._is_closed = True
            ours, self._ours = self._ours, {}
        here = asyncio.get_running_loop()
        for loop, own in ours.items():
            if loop is here:
                await own.keeper.aclose()
            elif loop.is_running():
                asyncio.run_coroutine_threadsafe(own.keeper.aclose(), loop)
            elif loop.is_closed():
                _drop(own.client, loop)

    def _checked(self, theirs: Client, loop: asyncio.AbstractEventLoop) -> Client:
        with self._lock:
            self._their_loop = self._their_loop or loop
        if self._their_loop is loop:
            return theirs
        raise StoreError(
            "the redis client that this store was given belongs to another event loop: make a client and a store in "
            "each loop, or use RedisStore.from_url, which opens connections wherever it is used"
        )

    def _check_open(self) -> None:
        if self._is_closed:
            raise StoreError("the store is closed; make a new one")

    def _own(self, loop: asyncio.AbstractEventLoop) -> tuple[_Own, bool]:
        with self._lock:
            self._check_open()
            if loop in self._ours:
                return self._ours[loop], False
            for ended in [known for known in self._ours if known.is_closed()]:
                _drop(self._ours.pop(ended).client, ended)
            assert self._target is not None  # noqa: S101 (there is either a client or a target)
            client = self._target.open()
            gate = asyncio.Semaphore(min(_AT_ONCE, size_of(client)))
            own = self._ours[loop] = _Own(client, _keep(client), gate)
            return own, True


@attrs.frozen
class _Own:
    """A client that was opened here, for one event loop.

    Attributes:
        keeper: Generator that closes the client when it is closed itself.
        gate: Limits how many tasks use the client at the same time.
    """

    client: Client
    keeper: AsyncGenerator[None, None]
    gate: asyncio.Semaphore


async def _keep(client: Client) -> AsyncGenerator[None, None]:
    """Close a client when this generator is closed, at the latest when its event loop ends.

    `asyncio.run` closes unfinished asynchronous generators before it closes the loop. A store may outlive the loop, for
    example in a worker that calls `asyncio.run` for each job. Nothing else tells the store that the loop ends.
    """
    try:
        yield
    finally:
        await close(client)


def _drop(client: Client, loop: asyncio.AbstractEventLoop) -> None:
    """Close the connections that a client still has although its event loop was closed."""
    if not isinstance(client, Redis):
        return  # a client of a cluster is left to the garbage collector
    pool: Any = client.connection_pool
    # redis-py cannot close a connection without its loop, and warns about a connection that still has a writer.
    for one in (*pool._available_connections, *pool._in_use_connections):  # noqa: SLF001
        if one._writer is not None:  # noqa: SLF001
            close_by_hand(one._writer.transport, loop)  # noqa: SLF001
            one._writer = one._reader = None  # noqa: SLF001
    if isinstance(pool, SentinelConnectionPool):
        for sentinel in pool.sentinel_manager.sentinels:
            _drop(sentinel, loop)


def size_of(client: Client) -> int:
    """Return how many connections a client opens at most; in a cluster, to each node."""
    if isinstance(client, RedisCluster):
        return max(1, int(client.connection_kwargs.get("max_connections", _AT_ONCE)))
    return max(1, client.connection_pool.max_connections)


def is_in_use(client: Client) -> bool:
    """Whether a client with a blocking pool has no free connection.

    The store does not call such a client: the wait for a connection would look like a server that answers slowly.
    """
    pool = client.connection_pool if isinstance(client, Redis) and client.connection is None else None
    return isinstance(pool, BlockingConnectionPool) and not pool.can_get_connection()
