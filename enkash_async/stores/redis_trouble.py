"""One attempt to have a script run, and what the exceptions of redis-py mean."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
from redis import exceptions as redis_errors

from enkash_async.stores.loop_timeout import loop_timeout

__all__ = ["IN_USE", "Trouble", "attempt", "trouble_of"]

_ADDRESS = re.compile(r"connecting to (?!server\b)(\S+?)\.?(?:\s|$)")

# What Redis means to get over by itself: starting, failing over, moving slots, being short of connections.
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
    # A cluster client that learns its nodes anew closes connections that other tasks are just writing to.
    AttributeError,
)
_PERMANENT = (redis_errors.AuthenticationError, redis_errors.AuthorizationError)
# The server's own words that it has not run the script.
_NOT_RUN = (
    redis_errors.BusyLoadingError,
    redis_errors.ReadOnlyError,
    redis_errors.ClusterDownError,
    redis_errors.TryAgainError,
    redis_errors.AskError,
)
# Texts of errors that mean that all connections are in use. redis-py 5 raises the first as a plain ConnectionError. A
# BlockingConnectionPool raises the second if its timeout is shorter than ours.
_IN_USE = {"Too many connections", "No connection available."}


@attrs.frozen
class Trouble:
    """Why Redis has not answered.

    Attributes:
        text: For people; names no argument of a command and no password.
        is_transient: Whether trying again may help.
        was_run: Whether the script may have been run all the same.
    """

    text: str
    is_transient: bool
    was_run: bool


# Nothing was sent, and Redis is not away.
IN_USE = Trouble(
    "all connections of the Redis client are in use: let it open more (max_connections), or use RedisStore.from_url",
    is_transient=True,
    was_run=False,
)


def trouble_of(problem: Exception) -> Trouble:
    """Return what an exception of redis-py means."""
    kind, words = type(problem).__name__, str(problem)
    if isinstance(problem, _PERMANENT):
        return Trouble("Redis refuses the user or the password that it was given", is_transient=False, was_run=False)
    if isinstance(problem, redis_errors.MaxConnectionsError) or words in _IN_USE:
        return IN_USE
    where = _ADDRESS.search(words)
    was_run = where is None and not isinstance(problem, _NOT_RUN)
    if isinstance(problem, redis_errors.ReadOnlyError):
        return Trouble("Redis is read-only (a replica, or a failover is under way)", is_transient=True, was_run=was_run)
    if isinstance(problem, _TRANSIENT):
        at = f" at {where[1]}" if where else ""
        return Trouble(f"Redis{at} does not answer ({kind})", is_transient=True, was_run=was_run)
    if isinstance(problem, redis_errors.OutOfMemoryError):
        return Trouble("Redis is out of memory (OOM): raise maxmemory", is_transient=False, was_run=True)
    # The first word is Redis's own code, such as NOPERM; the others may repeat what it was sent.
    code = words.partition(" ")[0]
    said = f" {code}" if code.isupper() else ""
    return Trouble(f"Redis refuses to work as a store ({kind}{said})", is_transient=False, was_run=True)


async def attempt(send: Callable[[], Awaitable[Any]], seconds: float) -> tuple[Any, Trouble | None]:
    """Send a command once, and return its reply and None, or None and the trouble.

    An error is returned, not raised, since the frames of its traceback would hold the command's arguments. A
    cancellation is raised.

    Args:
        send: Sends a script and waits for its reply.
        seconds: How long it may take.
    """
    outcome: tuple[Any, Trouble | None] = None, None
    before, is_cancelled = _cancellations(), False
    try:
        # redis-py closes a connection whose reply was not waited for, so no other task reads that reply.
        async with loop_timeout(seconds):
            outcome = await send(), None
    except asyncio.CancelledError:
        is_cancelled = True
    except Exception as problem:  # noqa: BLE001 (redis-py raises errors of several families)
        outcome = None, trouble_of(problem)
    # redis-py writes under `asyncio.wait_for`, which up to Python 3.11 forgets a cancellation that comes just as it
    # ends. The traceback of a new exception has no frames that hold the arguments.
    if is_cancelled or _cancellations() > before:
        raise asyncio.CancelledError
    return outcome


def _cancellations() -> int:
    """Return how often the running task was asked to end."""
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()
