"""When a store began: what was sent before that, it does not know.

The first process that needs the store writes the record. A store that was emptied, or a new one, has none, so it is
written anew under another id.
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
        id: Random; another one for each beginning.
        at: When it was written.
        nothing_pending: Whether an operator declared that no confirmation was under way anywhere, so that the store
            counts as old at once.
    """

    id: str
    at: Instant
    nothing_pending: bool = False
    revision: int = 0

    def seconds_until_old(self, now: Instant, durations: Durations) -> float:
        """Return how long debits that this store does not know may still be under way, 0 for an old store."""
        return 0.0 if self.nothing_pending else self.at.left(durations.settled_after, now)


@attrs.frozen
class See:
    """Writes the birth record where there is none, and mends an instant that lies in the future.

    Attributes:
        id: For a new record.
        nothing_pending: What a new record declares.
        declares: Make the record that is there declare it as well; for the operator's command alone.
    """

    id: str
    nothing_pending: bool = False
    declares: bool = False


#: Kept for ever: a store that forgot its birth would make every caller wait.
BIRTH = RecordKind(DocumentCodec(Birth))


def see(birth: Birth | None, command: See, now: Instant) -> tuple[Birth, Birth]:
    """Return the birth record of the store, twice: as it shall be, and as the answer."""
    if birth is None:
        birth = Birth(command.id, now, nothing_pending=command.nothing_pending or command.declares, revision=1)
        return birth, birth
    after = attrs.evolve(birth, at=birth.at.brought_back(now), nothing_pending=birth.nothing_pending | command.declares)
    if after != birth:
        after = attrs.evolve(after, revision=birth.revision + 1)
    return after, after
