"""Background work of the sandbox, which can be awaited or dropped."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

__all__ = ["Tasks"]


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
