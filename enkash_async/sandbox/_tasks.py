"""Background tasks of the sandbox, which can be awaited or cancelled, and a sleep that follows the sandbox's clock."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import TypeAlias

from enkash_async._support.clock import loop_now

__all__ = ["TICK", "Sleep", "Tasks", "sleep_by"]

Sleep: TypeAlias = Callable[[float], Awaitable[object]]

#: Seconds between two readings of a test's clock, which the test may move at any time.
TICK = 0.02


def sleep_by(clock: Callable[[], float]) -> Sleep:
    """Return a sleep function that measures its seconds with a clock.

    Args:
        clock: Monotonic clock in seconds. A test's own clock is read every 20 ms.
    """

    async def sleep(seconds: float) -> None:
        if clock in (loop_now, asyncio.get_running_loop().time):
            await asyncio.sleep(seconds)
            return
        end = clock() + seconds
        await asyncio.sleep(0)
        while (left := end - clock()) > 0:  # noqa: ASYNC110 - a test's clock tells nobody that it has moved
            await asyncio.sleep(min(left, TICK))

    return sleep


class Tasks:
    """The unfinished background tasks of one kind."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def __bool__(self) -> bool:
        return bool(self._tasks)

    def start(self, work: Coroutine[object, object, None]) -> None:
        """Run a coroutine in the background."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def done(self) -> None:
        """Wait until no task is left, including tasks started meanwhile."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def cancel(self) -> None:
        """Cancel the remaining tasks and wait until they have ended."""
        for task in self._tasks:
            task.cancel()
        await self.done()
