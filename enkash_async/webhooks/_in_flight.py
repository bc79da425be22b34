"""Finishes the handling of a post even if the sender disconnects or the framework cancels the request."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Generic, TypeVar

__all__ = ["InFlight"]

_T = TypeVar("_T")


class InFlight(Generic[_T]):
    """The posts that one adapter is handling."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[_T]] = set()  # prevents garbage collection: the loop holds only weak references

    async def finish(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run work in its own task, which continues if the caller is cancelled, and return the result."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(task)
