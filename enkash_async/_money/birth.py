"""The birth record: when a store began. The store does not know what was sent before its birth.

The first process that needs the store writes the record. A new or an emptied store has no birth record, so the next
process writes one with a new id.
"""

from __future__ import annotations

import attrs

from enkash_async._money.instants import Durations, Instant
from enkash_async.stores import DocumentCodec, RecordKind

__all__ = ["BIRTH", "Birth", "See", "see"]


@attrs.frozen
class Birth:
    """The birth record of a store.

    Attributes:
        id: Random id, new each time the store begins empty.
        at: When the record was written.
        nothing_pending: Whether an operator declared that no confirmation was in flight anywhere. The store then
            counts as old at once.
    """

    id: str
    at: Instant
    nothing_pending: bool = False
    revision: int = 0

    def seconds_until_old(self, now: Instant, durations: Durations) -> float:
        """Return the seconds for which a debit that the store does not know may be in flight; 0 for an old store."""
        return 0.0 if self.nothing_pending else self.at.left(durations.settled_after, now)


@attrs.frozen
class See:
    """Writes the birth record if there is none; if its instant lies in the future, sets the instant to now.

    Attributes:
        id: Id for a new record.
        nothing_pending: Value of `nothing_pending` in a new record.
        declares: Whether to set `nothing_pending` in an existing record too; only the operator's command sets it.
    """

    id: str
    nothing_pending: bool = False
    declares: bool = False


#: The birth record never expires: without it, a store would make every caller wait.
BIRTH = RecordKind(DocumentCodec(Birth))


def see(birth: Birth | None, command: See, now: Instant) -> tuple[Birth, Birth]:
    """Return the new birth record twice: once to store, and once as the answer."""
    if birth is None:
        birth = Birth(command.id, now, nothing_pending=command.nothing_pending or command.declares, revision=1)
        return birth, birth
    after = attrs.evolve(birth, at=birth.at.brought_back(now), nothing_pending=birth.nothing_pending | command.declares)
    if after != birth:
        after = attrs.evolve(after, revision=birth.revision + 1)
    return after, after
