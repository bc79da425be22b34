"""The confirmations that this client sent recently: keeps it from sending one twice while the first is in flight."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

__all__ = ["InFlight"]


class InFlight:
    """Remembers bills for as long as their confirmation may be in flight.

    Prevents a double debit: two concurrent calls, or a cancelled call and its repetition, could both read
    `debit_confirmed=False` before EnKash catches up, and both would confirm.

    Args:
        window: Seconds for which a confirmation may be in flight after its exchange ended.
        clock: Returns monotonic seconds.
    """

    def __init__(self, window: float, clock: Callable[[], float]) -> None:
        self._window = window
        self._clock = clock
        self._until: dict[str, float] = {}  # end of each bill's window; in order, since all windows are equally long
        self._accepted: set[str] = set()
        self._claims: dict[str, asyncio.Event] = {}

    def claim(self, ids: Sequence[str]) -> list[str]:
        """Claim the bills that no other call works on, and return them; the caller must `release` them.

        A call holds its claims from before it reads the bills until after it has sent them. Otherwise a slow call could
        read a bill, a second call confirm it, and the slow call then confirm it again.
        """
        mine = [one for one in ids if one not in self._claims]
        self._claims.update(dict.fromkeys(mine, asyncio.Event()))
        return mine

    def release(self, ids: Iterable[str]) -> None:
        """Give up the claims, and wake the calls that wait for them."""
        for one in ids:
            self._claims.pop(one).set()

    async def released(self, ids: Iterable[str]) -> None:
        """Wait until the calls that now work on any of these bills have released them."""
        for event in {self._claims[one] for one in ids if one in self._claims}:
            await event.wait()

    def end(self, ids: Iterable[str]) -> None:
        """Note that the exchange ended or was cancelled, and start the window."""
        self._forget_old()
        until = self._clock() + self._window
        for one in ids:
            self._until.pop(one, None)
            self._until[one] = until

    def accept(self, ids: Iterable[str]) -> None:
        """Note that EnKash accepted the confirmation; its readings may still show the old state."""
        self._accepted.update(one for one in ids if one in self._until)

    def refuse(self, ids: Iterable[str]) -> None:
        """Forget the bills: EnKash refused them, or the request was never sent."""
        for one in ids:
            self._until.pop(one, None)

    def left(self, one: str) -> float:
        """Return the seconds for which the confirmation of a bill may still be in flight; 0 when none was sent."""
        return max(0.0, self._until[one] - self._clock()) if one in self._until else 0.0

    def is_accepted(self, one: str) -> bool:
        """Whether EnKash accepted the confirmation of a bill within the window."""
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
