"""The note of a payment under one reference: its create is on its way, or answered, or the bill is paid.

EnKash takes a reference once, so a create may be sent again; the note tells later steps what may still come of it. Only
a bill that is paid needs no look any more.
"""

from __future__ import annotations

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
    """What is kept of a paid bill, so that a step that is called again can tell of it without a look.

    Attributes:
        utility_enkash_id: EnKash's id of the bill.
        amount: Rupees that were paid, where EnKash stated them.
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
        """Return what is kept of a bill that EnKash shows as paid."""
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
        state: `sent`: noted before the create went out, and not answered yet. `answered`: the bill is known. `paid`:
            EnKash showed it as paid.
        by: The step that wrote it last.
        at: When that was written down.
        utility_enkash_id: Of the bill, once it is known.
        digest: Of the request that the step was given, without reference and ceiling; empty for a create that is not a
            payment.
        receipt: Of a paid bill.
    """

    state: Literal["sent", "answered", "paid"]
    by: str
    at: Instant
    utility_enkash_id: str = ""
    digest: str = ""
    receipt: Receipt | None = None
    revision: int = 0

    def seconds_under_way(self, now: Instant, durations: Durations = DURATIONS) -> float:
        """Return how long the create may still be carried out, at most; 0 where it is answered, or its window over."""
        return self.at.left(durations.settled_after, now) if self.state == "sent" else 0.0


@attrs.frozen
class Look:
    """Asks what is known."""


@attrs.frozen
class Begin:
    """Notes a create before it is sent."""

    by: str
    digest: str = ""


@attrs.frozen
class End:
    """Notes how a create ended.

    Attributes:
        utility_enkash_id: The bill, if it is known now; None takes one's own note away, after a clear refusal or a
            create that was never sent. After an unclear end there is nothing to tell.
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
        utility_enkash_id: EnKash's id of its bill; empty where none is known.
        seconds_under_way: How long a create that another step sent may still be carried out, at most.
        paid: What was noted when EnKash showed the bill as paid, or None.
        digest: Of the request for which it was noted; empty where none is known.
    """

    utility_enkash_id: str = ""
    seconds_under_way: float = 0.0
    paid: Receipt | None = None
    digest: str = ""


#: No process that shares the store has used the reference.
NOTHING = Found()

#: Kept as long as debits.
CREATION = RecordKind(DocumentCodec(Creation), keep=DURATIONS.keep)


def note(creation: Creation | None, command: Command, now: Instant) -> tuple[Creation | None, Creation | None]:
    """Return the note as it shall be, and as it was found: another step's, on its way, or the bill.

    A bill that is known stays known, and one that is paid stays paid. A create that another step has under way may be
    sent again, and counts from now.
    """
    found = None if creation is None else attrs.evolve(creation, at=creation.at.brought_back(now))
    after = _after(found, command, now)
    if after is None or after == creation:
        return after, found
    return attrs.evolve(after, revision=1 if creation is None else creation.revision + 1), found


def found_in(creation: Creation | None, command: Command, now: Instant, durations: Durations = DURATIONS) -> Found:
    """Return what a step is told of the note that it found."""
    if creation is None:
        return NOTHING
    is_own = not isinstance(command, Look) and creation.by == command.by  # by a swap whose reply was lost
    seconds = 0.0 if is_own else creation.seconds_under_way(now, durations)
    return Found(creation.utility_enkash_id, seconds, creation.receipt, creation.digest)


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
