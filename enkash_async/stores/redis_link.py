"""Runs scripts on a Redis from any event loop; the record of handled webhooks uses this module."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import importlib.resources
import re
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any

import attrs
from redis import exceptions as redis_errors
from redis.asyncio import Redis, RedisCluster

from enkash_async._support import checks
from enkash_async._support.breaker import CircuitBreaker
from enkash_async._support.clock import loop_now
from enkash_async._support.forks import reset_after_fork
from enkash_async.errors import ConfigurationError, EnkashError
from enkash_async.stores.redis_clients import size_of
from enkash_async.stores.redis_url import Client, RedisTarget, close, redis_target

__all__ = ["RedisLink", "Script", "script", "set_up"]

_AT_ONCE = 4  # scripts at the same time, on connections that the link opens in one event loop
_FIRST_PAUSE = 0.02  # seconds before a command is sent again, doubled each time
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

Argument = str | int | float


@attrs.frozen
class Script:
    """A Lua script, known to Redis by its hash."""

    text: str
    sha: str


@functools.cache  # all stores of a kind use the same scripts
def script(package: str, name: str) -> Script:
    """Return a script from the folder `lua` of a package."""
    text = importlib.resources.files(package).joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


def set_up(
    redis: Client | str,
    package: str,
    names: Sequence[str],
    *,
    prefix: str,
    timeout: float,
    error: Callable[[str], EnkashError],
    clock: Callable[[], float],
    sleep: Callable[[float], Awaitable[object]],
    random: Callable[[], float],
) -> tuple[RedisLink, dict[str, Script]]:
    """Return a link to a Redis, and the named scripts of a package; check the prefix of the store's keys.

    Raises:
        ConfigurationError: The prefix or an argument of `RedisLink` is unusable.
    """
    if not isinstance(prefix, str) or not prefix or set(prefix) & set("{}"):
        raise ConfigurationError("prefix must be a non-empty str without braces, such as 'enkash'")
    link = RedisLink(redis, timeout=timeout, error=error, clock=clock, sleep=sleep, random=random)
    return link, {name: script(package, name) for name in names}


class RedisLink:
    """Runs scripts on a Redis.

    Given a URL, the link opens a small pool of connections in each event loop that uses it. A user's own client is used
    as it is, and never closed.

    Args:
        redis: An asyncio client of redis-py, or a URL.
        timeout: Seconds for one reply. An attempt times out after four times as long; each host in a Sentinel or
            cluster URL adds the same time again.
        error: Makes the error for a failed script from a message.
        clock: Returns monotonic seconds.
        sleep: Waits for a number of seconds.
        random: Returns a number in [0, 1).

    Raises:
        ConfigurationError: `redis` is neither a client of redis-py nor a usable URL, or `timeout` is unusable.
    """

    def __init__(
        self,
        redis: Client | str,
        *,
        timeout: float,
        error: Callable[[str], EnkashError],
        clock: Callable[[], float] = loop_now,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        random: Callable[[], float],
    ) -> None:
        checks.number(timeout, "timeout", above=0, below=60, unit="seconds", error=ConfigurationError)
        self._theirs: Client | None = None
        self._target: RedisTarget | None = None
        if isinstance(redis, str):
            self._target = redis_target(redis, timeout)
        elif isinstance(redis, (Redis, RedisCluster)):
            self._theirs = redis
        else:
            kind = f"{type(redis).__module__}.{type(redis).__name__}"
            raise ConfigurationError(f"redis must be a client of redis.asyncio, or a URL, not {kind}")
        self._limit = 4 * timeout * (1 if self._target is None else 1 + self._target.hosts)
        self._error = error
        self._clock = clock
        self._sleep = sleep
        self._random = random
        self._ours: dict[asyncio.AbstractEventLoop, _Own] = {}
        self._parents: list[_Own] = []
        self._closed = False
        self._prepare()
        reset_after_fork(self)

    def _prepare(self) -> None:
        self._lock = threading.Lock()
        self._breaker = CircuitBreaker(error=self._error, clock=self._clock, random=self._random)

    def after_fork(self) -> None:
        """Drop the parent's connections without closing them: the parent still reads its replies from them."""
        self._parents.extend(self._ours.values())
        self._ours = {}
        self._prepare()

    async def run(self, what: Script, keys: Sequence[str], arguments: Callable[[], Sequence[Argument]]) -> Any:
        """Run a script and return its reply.

        A script without an answer is sent again, up to three times in all, so every script must be safe to repeat.

        Args:
            what: The script.
            keys: Keys that the script uses.
            arguments: Returns the arguments of the script, and is called for each attempt. So a lifetime can shrink
                while Redis is waited for, and no frame of a traceback keeps the arguments.

        Raises:
            EnkashError: Redis cannot be reached, or refuses the script; made by `error`.
        """
        pause = _FIRST_PAUSE
        while True:
            reply, trouble = await self._try(what, keys, arguments)
            if trouble is None:
                self._breaker.worked()
                return reply
            self._breaker.failed(trouble.text)
            if trouble.is_permanent or self._breaker.is_down:
                raise self._error(trouble.text)
            await self._sleep(pause * (0.5 + self._random()))
            pause *= 2

    async def aclose(self) -> None:
        """Close the clients that were opened here; a second call does nothing."""
        with self._lock:
            self._closed = True
            ours, self._ours = self._ours, {}
        here = asyncio.get_running_loop()
        for loop, own in ours.items():
            if loop is here:
                await own.keeper.aclose()
            elif loop.is_running():
                asyncio.run_coroutine_threadsafe(own.keeper.aclose(), loop)

    async def _try(
        self, what: Script, keys: Sequence[str], arguments: Callable[[], Sequence[Argument]]
    ) -> tuple[Any, _Trouble | None]:
        """Make one attempt. A failure is returned and not raised, since its frames would hold the arguments."""
        if self._theirs is not None:
            return await self._send(self._theirs, what, keys, arguments)
        own = await self._own()
        async with own.gate:
            return await self._send(own.client, what, keys, arguments)

    async def _send(
        self, client: Client, what: Script, keys: Sequence[str], arguments: Callable[[], Sequence[Argument]]
    ) -> tuple[Any, _Trouble | None]:
        self._breaker.enter()
        outcome: tuple[Any, _Trouble | None] = None, None
        before, is_cancelled = _cancellations(), False
        try:
            # After a time-out, redis-py closes the connection, so that no other task reads the late reply.
            async with asyncio.timeout(self._limit):
                outcome = await _evaluate(client, what, keys, arguments()), None
        except asyncio.CancelledError:
            is_cancelled = True
        except Exception as problem:  # noqa: BLE001 (redis-py raises errors of several families, and RuntimeError)
            outcome = None, _Trouble.of(problem)
        # redis-py writes under `asyncio.wait_for`. Up to Python 3.11, it loses a cancellation that arrives just as it
        # ends. Raise a new exception here, since the frames of the caught one hold the arguments.
        if is_cancelled or _cancellations() > before:
            raise asyncio.CancelledError
        return outcome

    async def _own(self) -> _Own:
        """Return the client of the running event loop; only for a link with a URL."""
        loop = asyncio.get_running_loop()
        with self._lock:
            own = self._ours.get(loop)
            if own is not None:
                return own
            if self._closed:
                raise self._error("the store is closed; make a new one")
            for ended in [known for known in self._ours if known.is_closed()]:
                del self._ours[ended]
            assert self._target is not None  # noqa: S101 (there is either a client or a way to open one)
            client = self._target.open()
            own = self._ours[loop] = _Own(client, _keep(client), asyncio.Semaphore(min(_AT_ONCE, size_of(client))))
        await anext(own.keeper)
        return own


@attrs.frozen
class _Own:
    """A client that was opened here, for one event loop.

    Attributes:
        keeper: Generator that closes the client when it is closed itself.
        gate: Limits how many tasks use the client at the same time; other tasks wait.
    """

    client: Client
    keeper: AsyncGenerator[None, None]
    gate: asyncio.Semaphore


async def _keep(client: Client) -> AsyncGenerator[None, None]:
    """Close a client when this generator is closed, at the latest when its event loop ends.

    `asyncio.run` closes unfinished asynchronous generators before it closes the loop. A link may outlive the loop, as
    in a worker that calls `asyncio.run` for each job, and learns of its end in no other way.
    """
    try:
        yield
    finally:
        await close(client)


def _cancellations() -> int:
    """Return how many times the running task was cancelled."""
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


async def _evaluate(client: Client, what: Script, keys: Sequence[str], arguments: Sequence[Argument]) -> Any:
    try:
        return await client.evalsha(what.sha, len(keys), *keys, *arguments)
    except redis_errors.NoScriptError:
        # The server was restarted, or the slot has moved to another node. EVAL runs the script and makes it known.
        return await client.eval(what.text, len(keys), *keys, *arguments)


@attrs.frozen
class _Trouble:
    """Why a script failed, or got no answer.

    Attributes:
        text: Message for people; it holds no argument of a command.
        is_permanent: Whether a retry is useless.
    """

    text: str
    is_permanent: bool

    @classmethod
    def of(cls, problem: Exception) -> _Trouble:
        kind, words = type(problem).__name__, str(problem)
        if isinstance(problem, _TRANSIENT) and not isinstance(problem, _PERMANENT):
            where = _ADDRESS.search(words)
            at = f" at {where[1]}" if where else ""
            return cls(f"Redis{at} cannot be reached ({kind})", is_permanent=False)
        if isinstance(problem, _PERMANENT):
            return cls("Redis refuses the user or the password that it was given", is_permanent=True)
        # The first word is Redis's own error code, such as NOPERM; the other words may repeat the arguments.
        code = words.partition(" ")[0]
        said = f" {code}" if code.isupper() else ""
        return cls(f"Redis refuses to work as a store ({kind}{said})", is_permanent=True)
