"""Reads the bills of one run of confirmations, with as few single reads as the rules of the debit machine allow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from enkash_async._money.debit_commands import Reading
from enkash_async._money.in_turn import InTurn
from enkash_async._money.reads import Reads
from enkash_async.errors import EnkashError
from enkash_async.models import Bill

__all__ = ["Looks", "reading", "shows_plainly"]

_Seen = Mapping[str, Bill | EnkashError]


def reading(seen: Bill | EnkashError | None) -> Reading:
    """Return what a read shows of a bill's debit."""
    if isinstance(seen, Bill) and seen.debit_confirmed is not None:
        return Reading.CONFIRMED if seen.debit_confirmed else Reading.UNCONFIRMED
    return Reading.UNCLEAR


def shows_plainly(bill: Bill) -> bool:
    """Whether the search tells the state of the debit, so that no single read is needed.

    Prevents a double debit: EnKash does not document the search, and the search may omit the approval of a confirmed
    bill.
    """
    return bill.debit_confirmed is True or (bill.debit_confirmed is False and bill.approval_status is not None)


class Looks:
    """Reads the bills of one run.

    Args:
        reads: Reads bills.
        patience: Seconds that reading one bill may take.
        clock: Returns the time of the clock for waits, in seconds.

    Attributes:
        left: Seconds until the caller stops waiting, at the beginning of the current look.
    """

    def __init__(self, reads: Reads, patience: float, clock: Callable[[], float]) -> None:
        self._reads = reads
        self._patience = patience
        self._clock = clock
        self._in_turn = InTurn()
        self._end = 0.0
        self.left = 0.0
        self._named: set[str] = set()  # bills that the next look reads singly; see `note_named`

    def wait(self, seconds: float) -> None:
        """Note how many seconds the caller waits from now on; the look that begins after this time is the last."""
        self._end = self._clock() + seconds

    def begin(self) -> None:
        """Begin the next look."""
        self._in_turn.begin()
        self.left = self._end - self._clock()

    def note_named(self, ids: Sequence[str]) -> None:
        """Have the next look read these bills singly: EnKash's success reply names bills, which may have failed.

        Args:
            ids: The bills of the call.
        """
        self._named.update(ids)

    async def before_first(self, ids: Sequence[str]) -> _Seen:
        """Read bills before their first confirmation: by search, and singly if the search leaves the debit unclear."""
        return await self._reads.read(ids, patience=self._patience * len(ids), shows=shows_plainly)

    async def after_window(self, ids: Sequence[str]) -> _Seen:
        """Read bills singly before a second confirmation, because a search cannot prove that nothing was debited."""
        return await self._reads.read_each(ids, patience=self._patience * len(ids))

    async def within_window(self, ids: Sequence[str]) -> _Seen:
        """Read bills whose confirmation was sent within the window; of the replies, only a shown debit has an effect.

        A look at more than three bills searches; fewer bills are read singly. Every third look also reads some bills
        singly, in turn. The last look reads singly every bill that the search does not show as debited.
        """
        patience = max(self.left, self._patience)
        named = [one for one in ids if one in self._named]
        self._named.difference_update(named)
        found = dict(await self._reads.read_each(named, patience=patience)) if named else {}
        others = [one for one in ids if one not in found]
        shown, searches = await self._reads.searched(others, patience=patience)
        found |= shown
        left = [one for one in others if reading(found.get(one)) is not Reading.CONFIRMED]
        singly = left if self.left <= 0 else self._in_turn.choose(left, searches=searches)
        if singly and searches:
            found |= await self._reads.read_each(singly, patience=patience)
        return found
