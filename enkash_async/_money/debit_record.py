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
        state: `created`: a create of ours brought the bill forth, and its debit was never sent. `claimed`: an attempt
            reads the bill and may send. `sent`: a confirmation may be under way, or was carried out. `accepted`: EnKash
            said yes, or showed the debit.
        by: The attempt that claimed, or sent, or was told; new for each attempt.
        at: When that was last written down.
        writer: The process that made the present change.
        store: Id of the store's birth when the bill was created, or when the debit was claimed.
        sending: Number of the sending, from 1; each further one, as after a 401, is written down before it goes out.
        is_new: Whether the bill was created under the same birth, and never sent.
        again: Whether a confirmation of an earlier attempt may have gone out; only a single read counts then.
        alone: Whether EnKash refused it together with others, so that it is next sent by itself.
        revision: Counts changes, so that no earlier value returns.
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


#: How it is written: a document of a newer format is an error, and is not overwritten.
DEBIT = RecordKind(DocumentCodec(Debit), keep=DURATIONS.keep)
