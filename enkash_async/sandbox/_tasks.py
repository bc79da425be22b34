"""Work that goes on behind the requests, and can be waited for or dropped."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

__all__ = ["Tasks"]


class Tasks:
    """The tasks of one kind that are not over yet."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def __bool__(self) -> bool:
        return bool(self._tasks)

    def start(self, work: Coroutine[object, object, None]) -> None:
        """Begin a piece of work."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def done(self) -> None:
        """Wait until nothing is left, also of what is begun in the meantime."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def cancel(self) -> None:
        """Leave undone what is left."""
        for task in self._tasks:
            task.cancel()
        await self.done()
