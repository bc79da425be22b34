"""Runs the sandbox as a program until a signal stops it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator

from enkash_async.sandbox import Sandbox

__all__ = ["serve"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


async def serve(
    *,
    port: int = 0,
    settle_after: float = 5.0,
    token_lifetime: float = 3600.0,
    announce: Callable[[Sandbox], None],
) -> None:
    """Run a sandbox until SIGINT (Ctrl-C) or SIGTERM.

    Args:
        port: TCP port on 127.0.0.1; 0 takes a free one.
        settle_after: Seconds from a confirmed debit to SUCCESS or FAILED; the default lets a person watch.
        token_lifetime: Seconds that a token is valid.
        announce: Called once with the sandbox, as soon as it listens.

    Raises:
        OSError: The port cannot be opened.
        ValueError: The lifetime is not a finite number above 0, or the delay is negative.
    """
    async with Sandbox(port=port, settle_after=settle_after, token_lifetime=token_lifetime) as sandbox:
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
