"""Runs the sandbox as a program until a signal stops it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator

from enkash_async.sandbox import Sandbox

__all__ = ["serve"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


async def serve(sandbox: Sandbox, *, announce: Callable[[Sandbox], None]) -> None:
    """Run a sandbox until SIGINT (Ctrl-C) or SIGTERM.

    Args:
        sandbox: A sandbox that was not started yet.
        announce: Called once with the sandbox, as soon as it listens.

    Raises:
        OSError: The port cannot be opened.
    """
    async with sandbox:
        with _stop_signal() as stop:
            announce(sandbox)
            await stop.wait()


@contextlib.contextmanager
def _stop_signal() -> Iterator[asyncio.Event]:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    # On Windows an event loop has no signal handlers: there Ctrl-C ends `asyncio.run` with KeyboardInterrupt.
    with contextlib.suppress(NotImplementedError):
        for number in _SIGNALS:
            loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        with contextlib.suppress(NotImplementedError):
            for number in _SIGNALS:
                loop.remove_signal_handler(number)
