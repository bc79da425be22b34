"""Counts the calls under way, so that connections and stores are closed only after the calls have ended."""

from __future__ import annotations

import asyncio
import os
from contextlib import AbstractContextManager

from enkash_async._support.clock import loop_now

__all__ = ["UnderWay"]

_BETWEEN_CHECKS = 0.02  # seconds between two looks at work of other event loops


class UnderWay:
    """Counts the calls under way in all event loops of this process."""

    def __init__(self) -> None:
        self._counts: dict[asyncio.AbstractEventLoop, _Count] = {}

    def here(self) -> AbstractContextManager[None]:
        """Return a context manager for the running event loop; it counts one call during each of its `with` blocks."""
        loop, process = asyncio.get_running_loop(), os.getpid()
        count = self._counts.get(loop)
        if count is None or count.process != process:
            for other in [each for each in list(self._counts) if each.is_closed()]:
                self._counts.pop(other, None)
            count = self._counts[loop] = _Count(process)
        return count

    async def ended(self, seconds: float) -> None:
        """Wait until no call is under way, for at most `seconds`."""
        end = loop_now() + seconds
        while self._goes_on() and loop_now() < end:  # noqa: ASYNC110 (an `asyncio.Event` would serve one loop only)
            await asyncio.sleep(_BETWEEN_CHECKS)

    def _goes_on(self) -> bool:
        # Not counted: calls that began in a loop that has stopped, or before a `fork`. In this process they never end.
        process = os.getpid()
        counts = list(self._counts.items())
        return any(count.calls and loop.is_running() and count.process == process for loop, count in counts)


class _Count(AbstractContextManager[None]):
    """The number of calls under way in one event loop; only the thread of this loop changes it."""

    __slots__ = ("calls", "process")

    def __init__(self, process: int) -> None:
        self.process = process
        self.calls = 0

    def __enter__(self) -> None:
        self.calls += 1

    def __exit__(self, *_: object) -> None:
        self.calls -= 1
