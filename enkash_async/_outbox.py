"""Confirmations that this client has sent a moment ago: none is sent twice while EnKash may be at work on it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

__all__ = ["Outbox"]

_UNDER_WAY = 1.0  # seconds, where the window is shorter: an exchange has no end before it is over


class Outbox:
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
        self._under_way: set[str] = set()
        self._accepted: set[str] = set()

    def send(self, ids: Iterable[str]) -> None:
        """Note that bills are about to be sent; `end` has to follow, whatever comes of it."""
        self._under_way.update(ids)

    def end(self, ids: Iterable[str]) -> None:
        """Note that the exchange is over, or was cancelled: from now on the window runs."""
        self._forget_old()
        until = self._clock() + self._window
        for one in ids:
            self._under_way.discard(one)
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
        if one in self._under_way:
            return max(self._window, _UNDER_WAY)
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
