"""Sends one command to Redis within a time-out, and says what the exceptions of redis-py mean."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
from redis import exceptions as redis_errors

from enkash_async._support.causes import Cause, cause_of, linked
from enkash_async.stores.loop_timeout import loop_timeout

__all__ = ["IN_USE", "Trouble", "attempt", "trouble_of"]

_PORT = re.compile(r":\d{1,5}$")
_ADDRESS = re.compile(r"connecting to (?!server\b)(\S+?)\.?(?:\s|$)")

# Errors after which a retry may help: Redis starts, fails over, moves slots, or is short of connections.
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
    # redis-py raises this if a cluster client reloads its list of nodes, and closes a connection that a task writes to.
    AttributeError,
)
_PERMANENT = (redis_errors.AuthenticationError, redis_errors.AuthorizationError)
# Errors with which the server says that it has not run the script.
_NOT_RUN = (
    redis_errors.BusyLoadingError,
    redis_errors.ReadOnlyError,
    redis_errors.ClusterDownError,
    redis_errors.TryAgainError,
    redis_errors.AskError,
)
# Texts of errors if all connections are in use. redis-py 5 raises the first text as a plain ConnectionError. A
# BlockingConnectionPool raises the second text if its time-out is shorter than the store's.
_IN_USE = {"Too many connections", "No connection available."}


_OF_SYSTEM = re.compile(r"Error .{0,20}(connecting to|while reading from|while writing to)")
_BY_KIND: tuple[tuple[type[Exception], Cause | str], ...] = (
    (redis_errors.BusyLoadingError, Cause.STARTING),
    (redis_errors.MasterDownError, Cause.NO_PRIMARY),
    (redis_errors.ReadOnlyError, Cause.READ_ONLY),
    (redis_errors.NoPermissionError, f"{Cause.NO_RIGHT} (NOPERM): see docs/stores.md"),
    (redis_errors.OutOfMemoryError, f"{Cause.OUT_OF_MEMORY} (OOM): raise maxmemory"),
    (redis_errors.InvalidResponse, f"{Cause.OTHER_PROTOCOL}, not Redis"),
)
_BY_WORDS: dict[str, Cause | str] = {
    "Timeout connecting to": Cause.CONNECT_TIMED_OUT,
    "Timeout reading from": Cause.TIMED_OUT,
    "Timeout writing to": Cause.TIMED_OUT,
    "Connection closed by server": f"{Cause.CLOSED}; perhaps {Cause.TLS_WANTED} (rediss://)",
    "max number of clients reached": Cause.TOO_MANY_CONNECTIONS,
    "DB index is out of range": Cause.NO_DATABASE,
    "Cluster mode is not enabled": Cause.OTHER_KIND,
    "unknown command 'SENTINEL'": Cause.OTHER_KIND,
    "unknown command": Cause.NO_COMMAND,
    "No master found for": Cause.NO_SENTINEL,
    "MISCONF": f"{Cause.DISK} (MISCONF)",
    "NOREPLICAS": f"{Cause.NO_REPLICAS} (NOREPLICAS)",
}
# A retry does not help, because the set-up is wrong.
_SET_UP_WRONG = {
    *(Cause.CERTIFICATE_UNTRUSTED, Cause.CERTIFICATE_EXPIRED, Cause.CERTIFICATE_TOO_NEW, Cause.CERTIFICATE_OTHER_NAME),
    *(Cause.CERTIFICATE_REFUSED, Cause.CERTIFICATE_WANTED, Cause.CA_MISSING, Cause.NO_TLS),
    Cause.TLS_FAILED,
}


@attrs.frozen
class Trouble:
    """Why Redis has not answered.

    Attributes:
        text: Message for people; it shows no argument of a command and no password.
        is_transient: Whether a retry may help.
        was_run: Whether Redis may have run the script.
    """

    text: str
    is_transient: bool
    was_run: bool


# All connections are in use: nothing was sent, and Redis itself may work.
IN_USE = Trouble(
    "all connections of the Redis client are in use: let it open more (max_connections), or use RedisStore.from_url",
    is_transient=True,
    was_run=False,
)


def trouble_of(problem: Exception) -> Trouble:
    """Return what an exception of redis-py means."""
    kind, words = type(problem).__name__, str(problem)
    if isinstance(problem, redis_errors.MaxConnectionsError) or words in _IN_USE:
        return IN_USE
    where = _ADDRESS.search(words)
    was_run = where is None and not isinstance(problem, _NOT_RUN)
    cause = _cause_of(problem)
    if isinstance(problem, _PERMANENT):
        said = f"Redis refuses the user or the password that it was given ({Cause.AUTHENTICATION})"
        return Trouble(said, is_transient=False, was_run=False)
    if isinstance(problem, redis_errors.ReadOnlyError):
        return Trouble(f"Redis cannot be used as a store: {cause}", is_transient=True, was_run=was_run)
    if isinstance(problem, _TRANSIENT):
        at = f" at {where[1]}" if where else ""
        is_wrong = cause in _SET_UP_WRONG
        said = f"Redis{at} {'cannot be used as a store' if is_wrong else 'does not answer'}: {cause or kind}"
        return Trouble(said, is_transient=not is_wrong, was_run=was_run)
    # The first word is Redis's own code, such as NOPERM; the other words may repeat the arguments of the command.
    code = words.partition(" ")[0]
    why = cause or (f"{kind} {code}" if code.isupper() else kind)
    return Trouble(f"Redis refuses to work as a store: {why}", is_transient=False, was_run=True)


def _cause_of(problem: Exception) -> Cause | str | None:
    """Return the cause of an exception; a cluster client may have raised it from the exception that tells the cause."""
    return next(filter(None, map(_own_cause, linked(problem))), None)


def _own_cause(problem: BaseException) -> Cause | str | None:
    for kind, told in _BY_KIND:
        if isinstance(problem, kind):
            return told
    words = str(problem)
    for said, known in _BY_WORDS.items():
        if words.startswith(said):
            return known
    # redis-py raises these errors while it handles an OSError. The context of other errors may be the caller's.
    context = problem.__context__ if _OF_SYSTEM.match(words) else None
    cause = cause_of(context or problem)
    is_by_port = (where := _ADDRESS.search(words)) is not None and _PORT.search(where[1]) is not None
    return Cause.CA_MISSING if cause is Cause.NO_SOCKET and is_by_port else cause


async def attempt(send: Callable[[], Awaitable[Any]], seconds: float) -> tuple[Any, Trouble | None]:
    """Send a command once, and return its reply and None, or None and the trouble.

    An error is returned, not raised, since the frames of its traceback would hold the command's arguments. A
    cancellation is raised.

    Args:
        send: Sends a script and waits for its reply.
        seconds: Seconds until the attempt times out.
    """
    outcome: tuple[Any, Trouble | None] = None, None
    before, is_cancelled = _cancellations(), False
    try:
        # After a time-out, redis-py closes the connection, so that no other task reads the late reply.
        async with loop_timeout(seconds):
            outcome = await send(), None
    except asyncio.CancelledError:
        is_cancelled = True
    except Exception as problem:  # noqa: BLE001 (redis-py raises errors of several families)
        outcome = None, trouble_of(problem)
    # The second condition finds a lost cancellation: redis-py writes under `asyncio.wait_for`, which up to Python 3.11
    # swallows a cancellation that comes just as the write ends. A new exception is raised, since the traceback of the
    # old one has frames that hold the arguments.
    if is_cancelled or _cancellations() > before:
        raise asyncio.CancelledError
    return outcome


def _cancellations() -> int:
    """Return how many times the running task was cancelled."""
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()
