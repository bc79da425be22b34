"""Counts what is under way, so that what it needs is closed after its end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager

from enkash_async._support.clock import loop_now

__all__ = ["UnderWay"]

_BETWEEN_CHECKS = 0.02  # seconds


class UnderWay:
    """Counts what is under way in all event loops of this process."""

    def __init__(self) -> None:
        self._places: dict[object, tuple[asyncio.AbstractEventLoop, int]] = {}

    @contextmanager
    def one(self) -> Iterator[None]:
        """Count one more while the `with` block runs."""
        this = object()
        self._places[this] = asyncio.get_running_loop(), os.getpid()
        try:
            yield
        finally:
            self._places.pop(this, None)

    async def ended(self, seconds: float) -> None:
        """Wait until nothing is under way, for a number of seconds at most."""
        end = loop_now() + seconds
        while self._goes_on() and loop_now() < end:  # noqa: ASYNC110 (an `asyncio.Event` would serve one loop only)
            await asyncio.sleep(_BETWEEN_CHECKS)

    def _goes_on(self) -> bool:
        # What was begun in a loop that does not run any more, or before a `fork`, never ends.
        return any(loop.is_running() and process == os.getpid() for loop, process in list(self._places.values()))
