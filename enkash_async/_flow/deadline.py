"""The time that one look at many things has."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from enkash_async._flow.poller import peek
from enkash_async._support.clock import loop_now
from enkash_async.errors import EnkashError, RequestTimeoutError

__all__ = ["Deadline"]

T = TypeVar("T")

_SHORTEST = 1.0  # seconds; less would cut off the last requests of a look that has to make many


class Deadline:
    """The time that one look at many bills has; after requests that were too late no more are made.

    Args:
        patience: Seconds for all of them; each request gets one second at least, or the patience if that is less.
        most_late: How many in a row may be too late; one bill that EnKash hangs on must not stop the others.
    """

    def __init__(self, patience: float, most_late: int = 1) -> None:
        self._left = self._most_late = most_late
        self._end = loop_now() + patience
        self._shortest = min(patience, _SHORTEST)
        self._late: RequestTimeoutError | None = None

    async def peek(self, call: Callable[[], Awaitable[T]]) -> T | EnkashError:
        """Return what a request brings or fails with; it is not made after one that was too late."""
        if self._late is not None:
            return self._late
        answer = await peek(call(), max(self._end - loop_now(), self._shortest))
        self._left = self._left - 1 if isinstance(answer, RequestTimeoutError) else self._most_late
        if isinstance(answer, RequestTimeoutError) and self._left <= 0:
            self._late = answer
        return answer
