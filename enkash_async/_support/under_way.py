"""Counts the calls under way, so that connections and stores are closed only after the calls have ended."""

from __future__ import annotations

import asyncio
import os
from contextlib import AbstractContextManager
from typing import TypeAlias

from enkash_async._support.clock import loop_now

__all__ = ["UnderWay"]

_BETWEEN_CHECKS = 0.02  # seconds between two looks at work of other event loops


_Place: TypeAlias = tuple[asyncio.AbstractEventLoop, int]


class UnderWay:
    """Counts the calls under way in all event loops of this process."""

    def __init__(self) -> None:
        self._places: dict[object, _Place] = {}

    def one(self) -> AbstractContextManager[None]:
        """Return a context manager that counts one call during its `with` block."""
        return _One(self._places)

    async def ended(self, seconds: float) -> None:
        """Wait until no call is under way, for at most `seconds`."""
        end = loop_now() + seconds
        while self._goes_on() and loop_now() < end:  # noqa: ASYNC110 (an `asyncio.Event` would serve one loop only)
            await asyncio.sleep(_BETWEEN_CHECKS)

    def _goes_on(self) -> bool:
        # Not counted: calls that began in a loop that has stopped, or before a `fork`. In this process they never end.
        return any(loop.is_running() and process == os.getpid() for loop, process in list(self._places.values()))


class _One(AbstractContextManager[None]):
    """Counts one call; a class, because every call passes here, and a generator would take six times as long."""

    __slots__ = ("_places",)

    def __init__(self, places: dict[object, _Place]) -> None:
        self._places = places

    def __enter__(self) -> None:
        self._places[self] = asyncio.get_running_loop(), os.getpid()

    def __exit__(self, *_: object) -> None:
        self._places.pop(self, None)
