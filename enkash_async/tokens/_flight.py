"""One refresh under way, and those who wait for it, each on a future of its own loop."""

from __future__ import annotations

import asyncio

from enkash_async.errors import TokenError
from enkash_async.tokens._types import Token

__all__ = ["Flight"]

_LOOK = 0.5  # seconds between looks at a loop that is not our own


class Flight:
    """A refresh that callers join.

    It runs as a task of one event loop; callers may live in others. Waking is a bare signal: the outcome is read from
    here, so no future ever holds an exception that nobody fetches.

    Args:
        loop: The loop that the refresh runs in.
        above: Only a token of a higher generation ends it.
        covers: The rejection that was known when it began; it cannot answer a later one.
        offer: A token that the store does not know of yet, after the owner that fetched it.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, *, above: int, covers: int, offer: tuple[str, Token] | None = None
    ) -> None:
        self.loop = loop
        self.above = above
        self.covers = covers
        self.offer = offer
        self.task: asyncio.Task[None] | None = None
        self.done = False
        self.outcome: Token | TokenError | None = None  # None once done: cut off, and nothing is known
        self._waiters: list[asyncio.Future[None]] = []

    def is_adrift(self, here: asyncio.AbstractEventLoop) -> bool:
        """Whether the flight is stuck: its event loop is not the caller's, and is not running."""
        return self.loop is not here and not self.loop.is_running()

    def join(self, loop: asyncio.AbstractEventLoop) -> asyncio.Future[None]:
        """Return a future that is done when the flight is; call it under the provider's lock, before `done` is set."""
        waiter = loop.create_future()
        self._waiters.append(waiter)
        return waiter

    def land(self, outcome: Token | TokenError | None) -> list[asyncio.Future[None]]:
        """Set the outcome and return whom to wake; call it under the provider's lock."""
        self.done, self.outcome = True, outcome
        waiters, self._waiters = self._waiters, []
        return waiters

    async def wait(self, waiter: asyncio.Future[None], patience: float | None) -> None:
        """Wait until the flight has landed, is adrift, or patience ends (in seconds; None has no end)."""
        here = asyncio.get_running_loop()
        if self.loop is here or patience is not None:
            await asyncio.wait([waiter], timeout=patience)
            return
        while not waiter.done() and not self.is_adrift(here):
            await asyncio.wait([waiter], timeout=_LOOK)


def wake(waiters: list[asyncio.Future[None]]) -> None:
    """Wake waiters in whatever loop they wait."""
    for waiter in waiters:
        try:
            waiter.get_loop().call_soon_threadsafe(_resolve, waiter)
        except RuntimeError:
            continue  # that loop is closed, and with it went whoever waited


def _resolve(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
