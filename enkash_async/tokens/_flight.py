"""One refresh under way, and the callers who wait for it, each with a future of its own event loop."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from enkash_async.errors import EnkashError
from enkash_async.tokens._commands import Reject
from enkash_async.tokens._types import Token
from enkash_async.tokens._vault import mark_of

__all__ = ["Flight"]

_LOOK = 0.5  # seconds between checks whether another event loop still runs


class Flight:
    """A refresh that several callers can wait for.

    The refresh runs as a task of one event loop; callers may run in other loops. Callers read the outcome from this
    object, and their futures only wake them. So no future ever holds an exception that nobody retrieves.

    Args:
        loop: Event loop in which the refresh runs.
        above: The new token must have a higher generation than this; -1 accepts any token.
        refused: The newest refusal by EnKash, or None; the refused token is never handed out again.
        reports: Whether to report the refusal to the store; False if the store does not know the token.
        proof: Generation of the token in hand if it proves that these credentials work, otherwise 0.
        needed_at: Instant from which callers wait for the new token, on the clock of the tokens. Until then, callers
            use the token in hand.
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
        self.logs_in = False  # True once a login has begun; `aclose` then waits for its end
        self.alive_until = math.inf  # instant until which the refresh counts as alive; each step extends it
        self.task: asyncio.Task[None] | None = None
        self.done = False
        self.outcome: Token | EnkashError | None = None  # None and `done`: the refresh brought no token and no error
        self._waiters: list[asyncio.Future[None]] = []

    @property
    def is_awaited(self) -> bool:
        """Whether a caller waits, or has waited, for this refresh."""
        return bool(self._waiters)

    def refuses(self, token: Token) -> bool:
        """Whether a token, of any generation, has the secret that EnKash refused."""
        return self.refused is not None and self.refused.mark == mark_of(token)

    def is_adrift(self, here: asyncio.AbstractEventLoop, now: float) -> bool:
        """Whether the refresh is stuck: its event loop is not the caller's, and does not run or is blocked.

        Args:
            here: The caller's event loop.
            now: Current instant on the clock of the tokens.
        """
        return self.loop is not here and (not self.loop.is_running() or now >= self.alive_until)

    def join(self, loop: asyncio.AbstractEventLoop) -> asyncio.Future[None]:
        """Return a future that is done when the refresh ends. The caller must hold the provider's lock."""
        waiter = loop.create_future()
        self._waiters.append(waiter)
        return waiter

    def land(self, outcome: Token | EnkashError | None) -> list[asyncio.Future[None]]:
        """Set the outcome, and return the futures to wake. The caller must hold the provider's lock."""
        self.done, self.outcome = True, outcome
        waiters, self._waiters = self._waiters, []
        return waiters

    async def wait(self, waiter: asyncio.Future[None], patience: float | None, clock: Callable[[], float]) -> None:
        """Wait until the refresh has ended or is stuck, or for `patience` seconds; None sets no limit."""
        here = asyncio.get_running_loop()
        if self.loop is here or patience is not None:
            await asyncio.wait([waiter], timeout=patience)
            return
        while not waiter.done() and not self.is_adrift(here, clock()):
            await asyncio.wait([waiter], timeout=_LOOK)


def wake(waiters: list[asyncio.Future[None]]) -> None:
    """Wake waiters, each in its own event loop."""
    for waiter in waiters:
        try:
            waiter.get_loop().call_soon_threadsafe(_resolve, waiter)
        except RuntimeError:
            continue  # that event loop is closed, so its caller is gone


def _resolve(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
