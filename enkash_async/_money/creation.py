"""The note of a create under one reference: on its way, or the id of the bill that it brought forth.

EnKash takes a reference once, so a create may be sent again; the note tells later steps what may still come of it.
"""

from __future__ import annotations

from typing import Literal

import attrs

from enkash_async._money.instants import DURATIONS, Durations, Instant
from enkash_async.stores import DocumentCodec, RecordKind

__all__ = ["CREATION", "Begin", "Creation", "End", "note"]


@attrs.frozen
class Creation:
    """What is known of a create.

    Attributes:
        state: `sent`: noted before it went out, and not answered yet. `answered`: the bill is known.
        by: The step that sent it last.
        at: When that was written down.
        utility_enkash_id: Of the bill, once it is known.
    """

    state: Literal["sent", "answered"]
    by: str
    at: Instant
    utility_enkash_id: str = ""
    revision: int = 0

    def seconds_under_way(self, now: Instant, durations: Durations = DURATIONS) -> float:
        """Return how long the create may still be carried out, at most; 0 where it is answered, or its window over."""
        return self.at.left(durations.settled_after, now) if self.state == "sent" else 0.0


@attrs.frozen
class Begin:
    """Notes a create before it is sent."""

    by: str


@attrs.frozen
class End:
    """Notes how a create ended.

    Attributes:
        utility_enkash_id: The bill, if it is known now; None takes one's own note away, after a clear refusal or a
            create that was never sent. After an unclear end there is nothing to tell.
    """

    by: str
    utility_enkash_id: str | None


#: Kept as long as debits.
CREATION = RecordKind(DocumentCodec(Creation), keep=DURATIONS.keep)


def note(creation: Creation | None, command: Begin | End, now: Instant) -> tuple[Creation | None, Creation | None]:
    """Return the note as it shall be, and as it was found: another step's, on its way, or the bill.

    A bill that is known stays known. A create that another step has under way may be sent again, and counts from now.
    """
    found = None if creation is None else attrs.evolve(creation, at=creation.at.brought_back(now))
    after = _begun(found, command, now) if isinstance(command, Begin) else _ended(found, command, now)
    if after is None or after == creation:
        return after, found
    return attrs.evolve(after, revision=1 if creation is None else creation.revision + 1), found


def _begun(found: Creation | None, command: Begin, now: Instant) -> Creation:
    if found is not None and (found.state == "answered" or found.by == command.by):
        return found
    return Creation("sent", command.by, now)


def _ended(found: Creation | None, command: End, now: Instant) -> Creation | None:
    if found is not None and found.state == "answered":
        return found
    if command.utility_enkash_id:
        return Creation("answered", command.by, now, command.utility_enkash_id)
    return None if found is not None and found.by == command.by else found
