"""The record of one bill's debit, as the store keeps it."""

from __future__ import annotations

from typing import Literal

import attrs

from enkash_async._money.instants import DURATIONS, Instant
from enkash_async.stores import DocumentCodec, RecordKind

__all__ = ["DEBIT", "Debit", "State"]

State = Literal["created", "claimed", "sent", "accepted"]


@attrs.frozen
class Debit:
    """What is known of a bill's debit.

    Attributes:
        state: `created`: a create of this library made the bill, and no confirmation was sent. `claimed`: an attempt
            reads the bill and may send. `sent`: a confirmation may be in flight, or was carried out. `accepted`: EnKash
            accepted the confirmation, or showed the debit.
        by: Id of the attempt that put the record into its state; unique to each attempt.
        at: When the state was written or renewed.
        writer: The process that last changed the record.
        store: Id of the store's birth when the bill was created, or when the debit was claimed.
        sending: Number of the latest sending, from 1; 0 before the first. A repeated sending, for example after a 401,
            is written before it is sent.
        is_new: Whether the bill was created under the same birth, and no confirmation of it was sent.
        again: Whether an earlier attempt may have sent a confirmation. A search is then not reliable for this bill, so
            the bill is read by a call of its own.
        alone: Whether EnKash refused a call with this bill and others. The next confirmation is then a call of its own.
        revision: Number of changes; makes every version of the record unique.
    """

    state: State
    by: str
    at: Instant
    writer: str = ""
    store: str = ""
    sending: int = 0
    is_new: bool = False
    again: bool = False
    alone: bool = False
    revision: int = 0


#: How the store keeps the record. A record in a newer format raises an error, and is not overwritten.
DEBIT = RecordKind(DocumentCodec(Debit), keep=DURATIONS.keep)
