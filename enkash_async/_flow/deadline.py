"""One deadline for many requests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from enkash_async._flow.poller import peek
from enkash_async._support.clock import loop_now
from enkash_async.errors import EnkashError, RequestTimeoutError

__all__ = ["Deadline"]

T = TypeVar("T")

_SHORTEST = 1.0  # seconds that each request gets at least; with less, the last requests would end before EnKash answers


class Deadline:
    """Bounds the time of many requests, and stops making requests after too many time-outs in a row.

    Args:
        patience: Seconds for all requests together. Each request gets at least one second, or `patience` if shorter.
        most_late: Time-outs in a row after which no more requests are made. With more than 1, the requests for other
            bills go on after one slow bill.
    """

    def __init__(self, patience: float, most_late: int = 1) -> None:
        self._left = self._most_late = most_late
        self._end = loop_now() + patience
        self._shortest = min(patience, _SHORTEST)
        self._late: RequestTimeoutError | None = None

    async def peek(self, call: Callable[[], Awaitable[T]]) -> T | EnkashError:
        """Make a request and return its result or error; after too many time-outs, only return the last time-out."""
        if self._late is not None:
            return self._late
        answer = await peek(call(), max(self._end - loop_now(), self._shortest))
        self._left = self._left - 1 if isinstance(answer, RequestTimeoutError) else self._most_late
        if isinstance(answer, RequestTimeoutError) and self._left <= 0:
            self._late = answer
        return answer
