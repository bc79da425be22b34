"""Confirmations that this client has sent a moment ago: none is sent twice while EnKash may be at work on it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

__all__ = ["InFlight"]


class InFlight:
    """Remembers bills for as long as their confirmation may be on its way.

    Two calls at the same time, or one that was cancelled and is made again at once, both see a bill that does not show
    as confirmed yet.

    Args:
        window: Seconds for which a confirmation may be on its way.
        clock: Monotonic seconds.
    """

    def __init__(self, window: float, clock: Callable[[], float]) -> None:
        self._window = window
        self._clock = clock
        self._until: dict[str, float] = {}  # in the order of time, since the window is the same for all
        self._accepted: set[str] = set()
        self._claims: dict[str, asyncio.Event] = {}

    def claim(self, ids: Sequence[str]) -> list[str]:
        """Take the bills that no other call is at work on, and return them; `release` has to follow.

        From before they are read until after they are sent: what was read by a call that took its time would be old
        news where another one has sent them meanwhile.
        """
        mine = [one for one in ids if one not in self._claims]
        self._claims.update(dict.fromkeys(mine, asyncio.Event()))
        return mine

    def release(self, ids: Iterable[str]) -> None:
        """Leave bills to whoever waits for them."""
        for one in ids:
            self._claims.pop(one).set()

    async def released(self, ids: Iterable[str]) -> None:
        """Wait until the calls that are at work on these bills now have left them."""
        for event in {self._claims[one] for one in ids if one in self._claims}:
            await event.wait()

    def end(self, ids: Iterable[str]) -> None:
        """Note that the exchange is over, or was cancelled: from now on the window runs."""
        self._forget_old()
        until = self._clock() + self._window
        for one in ids:
            self._until.pop(one, None)
            self._until[one] = until

    def accept(self, ids: Iterable[str]) -> None:
        """Note that EnKash said yes; what it shows may lag behind."""
        self._accepted.update(one for one in ids if one in self._until)

    def refuse(self, ids: Iterable[str]) -> None:
        """Note that EnKash, or this client, said that nothing was done."""
        for one in ids:
            self._until.pop(one, None)

    def left(self, one: str) -> float:
        """Return for how many seconds more the confirmation of a bill may be on its way; 0 where none was sent."""
        return max(0.0, self._until[one] - self._clock()) if one in self._until else 0.0

    def is_accepted(self, one: str) -> bool:
        """Whether EnKash said yes to a bill a moment ago."""
        self._forget_old()
        return one in self._accepted

    def _forget_old(self) -> None:
        now = self._clock()
        while self._until:
            one = next(iter(self._until))
            if self._until[one] > now:
                return
            del self._until[one]
            self._accepted.discard(one)
