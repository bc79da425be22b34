"""Reads bills that a caller waits for: by search, and singly because the search may never show a bill as settled."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from enkash_async._money.in_turn import InTurn
from enkash_async._money.reads import Reads
from enkash_async.errors import EnkashError
from enkash_async.models import Bill, Outcome

__all__ = ["WaitLooks", "contradicts_itself", "is_over"]


def contradicts_itself(bill: Bill) -> bool:
    """Whether EnKash shows a bill as paid although its debit is not confirmed."""
    words = (bill.payment_status, bill.approval_status)
    payment, approval = ("" if word is None else word.value.strip().upper() for word in words)
    return bill.outcome is Outcome.PAID and (payment in {"INIT", "PENDING"} or approval.endswith("PENDING"))


def is_over(seen: Bill | EnkashError) -> bool:
    """Whether a bill is settled, and its fields do not contradict each other."""
    return isinstance(seen, Bill) and seen.is_settled and not contradicts_itself(seen)


def _is_pending(seen: Bill | EnkashError) -> bool:
    return isinstance(seen, Bill) and not is_over(seen)


class WaitLooks:
    """The looks of one wait.

    A look at more than three bills searches; fewer bills are read singly. Every third look also reads some bills
    singly, in turn. The last look at a bill reads the bill singly if the search does not show it as settled.

    Args:
        reads: Reads bills.
    """

    def __init__(self, reads: Reads) -> None:
        self._reads = reads
        self._in_turn = InTurn()

    async def look(
        self, ids: Sequence[str], *, patience: float, last: Collection[str] = ()
    ) -> Mapping[str, Bill | EnkashError]:
        """Return the bills that EnKash shows, and the errors of reads that failed; other bills are left out.

        Args:
            ids: EnKash's ids of the pending bills.
            patience: Seconds for all reads together.
            last: Ids of the bills for which this is the last look.
        """
        self._in_turn.begin()
        found, searches = await self._reads.searched(ids, patience=patience)
        doubtful = [one for one, seen in found.items() if isinstance(seen, Bill) and contradicts_itself(seen)]
        # Bills whose search failed are not read singly: 99 more calls would burden EnKash while it is in trouble.
        left = [one for one in ids if one not in found or _is_pending(found[one])]
        due = set(last)
        in_turn = self._in_turn.choose(left, searches=searches)
        wanted = {*doubtful, *(one for one in left if one in due), *in_turn}
        if wanted and searches:
            found |= await self._reads.read_each([one for one in ids if one in wanted], patience=patience)
        return found
