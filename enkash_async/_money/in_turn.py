"""Chooses the bills that a look reads singly, in addition to its searches."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["InTurn"]

_EVERY = 3  # looks; a higher number saves requests, but notices later what the search does not show


class InTurn:
    """Chooses bills for single reads, in turn.

    EnKash does not document what the search returns, and the search may never show a bill as debited or settled. So
    every third look also reads some bills singly. It reads as many bills as it made searches, and takes those whose
    last single read is longest ago.
    """

    def __init__(self) -> None:
        self._looks = 0
        self._read: dict[str, int] = {}  # the look in which each bill was last chosen

    def begin(self) -> None:
        """Begin the next look."""
        self._looks += 1

    def choose(self, ids: Sequence[str], *, searches: int) -> Sequence[str]:
        """Return the bills that this look reads singly.

        Args:
            ids: EnKash's ids of the bills that the searches of this look do not show as debited or settled.
            searches: Number of searches that this look made.
        """
        if self._looks % _EVERY:
            return ()
        chosen = sorted(ids, key=lambda one: self._read.get(one, 0))[:searches]
        self._read.update(dict.fromkeys(chosen, self._looks))
        return chosen
