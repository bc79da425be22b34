"""A time-out that counts only while the event loop runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from enkash_async.errors import ConfigurationError

__all__ = ["checked_timeout", "loop_timeout"]

_SLICES = 10  # parts of a time-out; a blocked event loop uses up one part, however long it is blocked


def checked_timeout(seconds: object) -> float:
    """Return a time-out in seconds, or raise `ConfigurationError` if it is not a number between 0 and 60."""
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 < seconds < 60:
        raise ConfigurationError("timeout must be a number of seconds above 0 and below 60, such as 1.0")
    return float(seconds)


@asynccontextmanager
async def loop_timeout(seconds: float) -> AsyncGenerator[None, None]:
    """Raise `TimeoutError` in the block after some seconds, not counting the time in which the loop is blocked.

    Keeps a healthy server from counting as down: a caller's code may block the loop for longer than the time-out.
    `asyncio.timeout` would then end the wait as soon as the loop runs again, although the reply has already arrived.
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
