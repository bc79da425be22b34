"""The note of a payment under one reference: its create is in flight, its create is answered, or its bill is paid.

EnKash accepts each reference once, so repeating a create is safe. The note tells a later step whether an earlier create
may still be carried out. A later step need not read a bill again if the note says that it is paid.
"""

from __future__ import annotations

import math
from datetime import date, datetime
from decimal import Decimal
from typing import Literal, TypeAlias

import attrs

from enkash_async._money.instants import DURATIONS, Durations, Instant
from enkash_async.models import Bill
from enkash_async.stores import DocumentCodec, RecordKind

__all__ = [
    "CREATION",
    "NOTHING",
    "Begin",
    "Command",
    "Creation",
    "End",
    "Found",
    "Look",
    "Paid",
    "Receipt",
    "found_in",
    "note",
]


@attrs.frozen
class Receipt:
    """The facts that the store keeps of a paid bill; a repeated call returns them without asking EnKash.

    Attributes:
        utility_enkash_id: EnKash's id of the bill.
        amount: Rupees that were paid; None if EnKash did not state the amount.
    """

    utility_enkash_id: str
    amount: Decimal | None = None
    bill_number: str | None = None
    bill_due_date: date | None = None
    bill_reference_id: str | None = None
    bank_transaction_id: str | None = None
    payment_date: datetime | None = None

    @classmethod
    def of(cls, bill: Bill, amount: Decimal | None) -> Receipt:
        """Return the receipt of a bill that EnKash shows as paid."""
        return cls(
            bill.utility_enkash_id,
            amount,
            bill_number=bill.bill_number,
            bill_due_date=bill.bill_due_date,
            bill_reference_id=bill.bill_reference_id,
            bank_transaction_id=bill.bank_transaction_id,
            payment_date=bill.payment_date,
        )


@attrs.frozen
class Creation:
    """What is known of a reference.

    Attributes:
        state: `sent`: the create may be in flight, and no answer is noted. `answered`: the bill is known. `paid`:
            EnKash showed the bill as paid.
        by: Id of the step that last changed the note.
        at: When the note was last changed.
        utility_enkash_id: EnKash's id of the bill; empty until it is known.
        digest: Hash of the caller's request, without its reference and ceiling; empty for a create that is not part of
            a payment.
        receipt: Receipt of a paid bill; None before.
    """

    state: Literal["sent", "answered", "paid"]
    by: str
    at: Instant
    utility_enkash_id: str = ""
    digest: str = ""
    receipt: Receipt | None = None
    revision: int = 0

    def seconds_under_way(self, now: Instant, durations: Durations = DURATIONS) -> float:
        """Return for how many seconds at most the create may still be carried out; 0 if answered or past its window."""
        return self.at.left(durations.settled_after, now) if self.state == "sent" else 0.0


@attrs.frozen
class Look:
    """Asks what is known of the reference, and changes nothing."""


@attrs.frozen
class Begin:
    """Notes a create before it is sent."""

    by: str
    digest: str = ""


@attrs.frozen
class End:
    """Notes how a create ended.

    Attributes:
        utility_enkash_id: EnKash's id of the bill. None deletes the step's own note, after a clear refusal or a create
            that was never sent. After an unclear end, send this command only once the bill is known.
    """

    by: str
    utility_enkash_id: str | None
    digest: str = ""


@attrs.frozen
class Paid:
    """Notes that EnKash shows the bill as paid."""

    by: str
    digest: str
    receipt: Receipt


Command: TypeAlias = Look | Begin | End | Paid


@attrs.frozen
class Found:
    """What was known of a reference.

    Attributes:
        utility_enkash_id: EnKash's id of the reference's bill; empty if no bill is known.
        seconds_under_way: For how many seconds at most another step's create may still be carried out; 0 for none.
        paid: The receipt, if EnKash showed the bill as paid; else None.
        digest: Hash of the request that the note belongs to; empty if unknown.
        seconds_until_settled: Seconds until EnKash has surely carried out the create and shows its effect; 0 once that
            time is over, infinite without a note.
    """

    utility_enkash_id: str = ""
    seconds_under_way: float = 0.0
    paid: Receipt | None = None
    digest: str = ""
    seconds_until_settled: float = math.inf


#: No process that shares the store has used the reference.
NOTHING = Found()

#: The store keeps a note as long as the record of a debit.
CREATION = RecordKind(DocumentCodec(Creation), keep=DURATIONS.keep)


def note(creation: Creation | None, command: Command, now: Instant) -> tuple[Creation | None, Creation | None]:
    """Return the note to store, and the note that was found.

    A known bill stays known, and a paid bill stays paid. If another step's create is in flight, this step may repeat
    the create, and the window starts again now.
    """
    found = None if creation is None else attrs.evolve(creation, at=creation.at.brought_back(now))
    after = _after(found, command, now)
    if after is None or after == creation:
        return after, found
    return attrs.evolve(after, revision=1 if creation is None else creation.revision + 1), found


def found_in(creation: Creation | None, command: Command, now: Instant, durations: Durations = DURATIONS) -> Found:
    """Return what a step learns from the note that it found."""
    if creation is None:
        return NOTHING
    # This step may have written the note itself, by a swap whose reply was lost.
    is_own = not isinstance(command, Look) and creation.by == command.by
    seconds = 0.0 if is_own else creation.seconds_under_way(now, durations)
    left = creation.at.left(durations.settled_after, now)
    return Found(creation.utility_enkash_id, seconds, creation.receipt, creation.digest, left)


def _after(found: Creation | None, command: Command, now: Instant) -> Creation | None:
    match command:
        case Look():
            return found
        case Begin():
            return _begun(found, command, now)
        case End():
            return _ended(found, command, now)
        case Paid():
            return _paid(found, command, now)


def _begun(found: Creation | None, command: Begin, now: Instant) -> Creation:
    if found is not None and (found.state != "sent" or found.by == command.by):
        return found
    return Creation("sent", command.by, now, digest=command.digest)


def _ended(found: Creation | None, command: End, now: Instant) -> Creation | None:
    if found is not None and found.state != "sent":
        return found
    if command.utility_enkash_id:
        return Creation("answered", command.by, now, command.utility_enkash_id, command.digest)
    return None if found is not None and found.by == command.by else found


def _paid(found: Creation | None, command: Paid, now: Instant) -> Creation:
    receipt = command.receipt
    if found is not None and (found.state, found.digest, found.receipt) == ("paid", command.digest, receipt):
        return found
    return Creation("paid", command.by, now, receipt.utility_enkash_id, command.digest, receipt)
