"""Redis clients, one for each event loop or the user's own, and what their exceptions mean."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import AsyncGenerator

import attrs
from redis import exceptions as redis_errors
from redis.asyncio import Redis, RedisCluster

from enkash_async._support.forks import reset_after_fork
from enkash_async.errors import ConfigurationError, StoreError
from enkash_async.stores.redis_url import Client, RedisTarget, close, redis_target

__all__ = ["Clients", "Trouble", "trouble_of"]

_AT_ONCE = 4  # connections that the store opens in one event loop
_NO_TIMEOUT = 60.0  # seconds; never reached, since the store's own time-out is shorter
_ADDRESS = re.compile(r"connecting to (?!server\b)(\S+?)\.?(?:\s|$)")

# Redis usually recovers from these by itself: it is starting, failing over, moving slots, or short of connections.
_TRANSIENT = (
    redis_errors.ConnectionError,
    redis_errors.TimeoutError,
    redis_errors.ReadOnlyError,
    redis_errors.ClusterError,
    redis_errors.RedisClusterException,
    redis_errors.AskError,
    redis_errors.TryAgainError,
    OSError,
    TimeoutError,
    # A cluster client that reloads its list of nodes closes connections on which other tasks are writing.
    AttributeError,
)
_PERMANENT = (redis_errors.AuthenticationError, redis_errors.AuthorizationError)
# With these errors, the server says that it has not run the script.
_NOT_RUN = (
    redis_errors.BusyLoadingError,
    redis_errors.ReadOnlyError,
    redis_errors.ClusterDownError,
    redis_errors.TryAgainError,
    redis_errors.AskError,
)


@attrs.frozen
class Trouble:
    """Why a script failed, or got no answer.

    Attributes:
        text: Message for people; it holds no argument of a command and no password.
        is_transient: Whether a retry may help.
        was_run: Whether the server may have run the script in spite of the error.
    """

    text: str
    is_transient: bool
    was_run: bool


def trouble_of(problem: Exception) -> Trouble:
    """Return what an exception of redis-py means."""
    kind, words = type(problem).__name__, str(problem)
    if isinstance(problem, _PERMANENT):
        return Trouble("Redis refuses the user or the password that it was given", is_transient=False, was_run=False)
    where = _ADDRESS.search(words)
    was_run = where is None and not isinstance(problem, _NOT_RUN)
    if isinstance(problem, redis_errors.ReadOnlyError):
        return Trouble("Redis is read-only (a replica, or a failover is under way)", is_transient=True, was_run=was_run)
    if isinstance(problem, _TRANSIENT):
        at = f" at {where[1]}" if where else ""
        return Trouble(f"Redis{at} does not answer ({kind})", is_transient=True, was_run=was_run)
    if isinstance(problem, redis_errors.OutOfMemoryError):
        return Trouble("Redis is out of memory (OOM): raise maxmemory", is_transient=False, was_run=True)
    # The first word is Redis's own error code, such as NOPERM; the other words may repeat the arguments.
    code = words.partition(" ")[0]
    said = f" {code}" if code.isupper() else ""
    return Trouble(f"Redis refuses to work as a store ({kind}{said})", is_transient=False, was_run=True)


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
        self.hosts = 0 if self._target is None else self._target.hosts
        self._their_loop: asyncio.AbstractEventLoop | None = None
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
            return self._checked(self._theirs, loop), asyncio.Semaphore(1)
        own, is_new = self._own(loop)
        if is_new:
            await anext(own.keeper)
        return own.client, own.gate

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

    def _checked(self, theirs: Client, loop: asyncio.AbstractEventLoop) -> Client:
        with self._lock:
            self._their_loop = self._their_loop or loop
        if self._their_loop is loop:
            return theirs
        raise StoreError(
            "the redis client that this store was given belongs to another event loop: make a client and a store in "
            "each loop, or use RedisStore.from_url, which opens connections wherever it is used"
        )

    def _own(self, loop: asyncio.AbstractEventLoop) -> tuple[_Own, bool]:
        with self._lock:
            if self._is_closed:
                raise StoreError("the store is closed; make a new one")
            if loop in self._ours:
                return self._ours[loop], False
            for ended in [known for known in self._ours if known.is_closed()]:
                del self._ours[ended]
            assert self._target is not None  # noqa: S101 (there is either a client or a target)
            client = self._target.open()
            own = self._ours[loop] = _Own(client, _keep(client), asyncio.Semaphore(_AT_ONCE))
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

    `asyncio.run` closes unfinished asynchronous generators before it closes the loop. A store may outlive the loop, as
    in a worker that calls `asyncio.run` for each job, and learns of its end in no other way.
    """
    try:
        yield
    finally:
        await close(client)
