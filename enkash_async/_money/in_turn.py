"""Chooses which bills a look reads singly, beside its searches."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["InTurn"]

_EVERY = 3  # looks; a bill that the search shows too late is found later by two pauses at most


class InTurn:
    """Chooses bills for single reads, in turn.

    EnKash does not document what the search returns, and the search may never show a bill as debited or settled. So
    every third look also reads bills singly, as many as it made searches: the bills whose last single read is longest
    ago.
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
            ids: EnKash's ids of the bills that the searches of this look leave open.
            searches: Number of these searches.
        """
        if self._looks % _EVERY:
            return ()
        chosen = sorted(ids, key=lambda one: self._read.get(one, 0))[:searches]
        self._read.update(dict.fromkeys(chosen, self._looks))
        return chosen
