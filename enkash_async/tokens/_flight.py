"""One refresh under way, and those who wait for it, each on a future of its own loop."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from enkash_async.errors import EnkashError
from enkash_async.tokens._commands import Reject
from enkash_async.tokens._types import Token
from enkash_async.tokens._vault import mark_of

__all__ = ["Flight"]

_LOOK = 0.5  # seconds between looks at a loop that is not our own


class Flight:
    """A refresh that callers join.

    It runs as a task of one event loop; callers may live in others. Waking is a bare signal: the outcome is read from
    here, so no future ever holds an exception that nobody fetches.

    Args:
        loop: The loop that the refresh runs in.
        above: Only a token of a higher generation ends it.
        refused: The refusal that is known so far, or None; its token is never handed out again.
        reports: Whether the refusal is reported to the store, which may not know of the token.
        proof: The generation of the token in hand, if a login with these credentials brought it, or 0.
        needed_at: The instant from which callers wait for it, on the clock of the tokens; before, they have another.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        above: int,
        refused: Reject | None = None,
        reports: bool = True,
        proof: int = 0,
        needed_at: float = -math.inf,
    ) -> None:
        self.loop = loop
        self.above = above
        self.refused = refused
        self.reports = reports
        self.proof = proof
        self.needed_at = needed_at
        self.logs_in = False  # a login is on its way, and its end is worth waiting for
        self.alive_until = math.inf  # on the clock of the tokens; put off with every step
        self.task: asyncio.Task[None] | None = None
        self.done = False
        self.outcome: Token | EnkashError | None = None  # None once done: cut off, and nothing is known
        self._waiters: list[asyncio.Future[None]] = []

    @property
    def is_awaited(self) -> bool:
        """Whether a caller waits for it, or has waited."""
        return bool(self._waiters)

    def refuses(self, token: Token) -> bool:
        """Whether a token is the refused one under another number."""
        return self.refused is not None and self.refused.mark == mark_of(token)

    def is_adrift(self, here: asyncio.AbstractEventLoop, now: float) -> bool:
        """Whether the flight is stuck: its event loop is not the caller's, and does not run or stands still.

        Args:
            here: The caller's event loop.
            now: On the clock of the tokens.
        """
        return self.loop is not here and (not self.loop.is_running() or now >= self.alive_until)

    def join(self, loop: asyncio.AbstractEventLoop) -> asyncio.Future[None]:
        """Return a future that is done when the flight is; call it under the provider's lock, before `done` is set."""
        waiter = loop.create_future()
        self._waiters.append(waiter)
        return waiter

    def land(self, outcome: Token | EnkashError | None) -> list[asyncio.Future[None]]:
        """Set the outcome and return whom to wake; call it under the provider's lock."""
        self.done, self.outcome = True, outcome
        waiters, self._waiters = self._waiters, []
        return waiters

    async def wait(self, waiter: asyncio.Future[None], patience: float | None, clock: Callable[[], float]) -> None:
        """Wait until the flight has landed, is adrift, or patience ends (in seconds; None has no end)."""
        here = asyncio.get_running_loop()
        if self.loop is here or patience is not None:
            await asyncio.wait([waiter], timeout=patience)
            return
        while not waiter.done() and not self.is_adrift(here, clock()):
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
