"""Counts the calls under way, so that connections and stores are closed only after the calls have ended."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager

from enkash_async._support.clock import loop_now

__all__ = ["UnderWay"]

_BETWEEN_CHECKS = 0.02  # seconds


class UnderWay:
    """Counts the calls under way in all event loops of this process."""

    def __init__(self) -> None:
        self._places: dict[object, tuple[asyncio.AbstractEventLoop, int]] = {}

    @contextmanager
    def one(self) -> Iterator[None]:
        """Count one call during the `with` block."""
        this = object()
        self._places[this] = asyncio.get_running_loop(), os.getpid()
        try:
            yield
        finally:
            self._places.pop(this, None)

    async def ended(self, seconds: float) -> None:
        """Wait until no call is under way, for at most `seconds`."""
        end = loop_now() + seconds
        while self._goes_on() and loop_now() < end:  # noqa: ASYNC110 (an `asyncio.Event` would serve one loop only)
            await asyncio.sleep(_BETWEEN_CHECKS)

    def _goes_on(self) -> bool:
        # Not counted: calls that began in a loop that has stopped, or before a `fork`. They never end here.
        return any(loop.is_running() and process == os.getpid() for loop, process in list(self._places.values()))
