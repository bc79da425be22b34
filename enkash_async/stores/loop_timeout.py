"""A time-out that counts only while the event loop runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from enkash_async.errors import ConfigurationError

__all__ = ["checked_timeout", "loop_timeout"]

_SLICES = 10  # of a time-out; a loop that stands still, however long, uses up one of them


def checked_timeout(seconds: object) -> float:
    """Return a time-out, or raise `ConfigurationError` for what is none."""
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 < seconds < 60:
        raise ConfigurationError("timeout must be a number of seconds above 0 and below 60, such as 1.0")
    return float(seconds)


@asynccontextmanager
async def loop_timeout(seconds: float) -> AsyncGenerator[None, None]:
    """End the block with `TimeoutError` after a number of seconds in which the loop made progress.

    A caller's code may block the loop for longer than the time-out. When it goes on, `asyncio.timeout` ends the wait,
    although the reply has come meanwhile, and a healthy server would count as away.
    """
    loop = asyncio.get_running_loop()
    handle: asyncio.TimerHandle

    def count(left: int) -> None:
        nonlocal handle
        if left:
            handle = loop.call_later(seconds / _SLICES, count, left - 1)
        else:
            limit.reschedule(loop.time())

    async with asyncio.timeout(None) as limit:
        handle = loop.call_later(seconds / _SLICES, count, _SLICES - 1)
        try:
            yield
        finally:
            handle.cancel()
