"""Compares a bill that was found under a reference with the bill that the caller asked for; no I/O."""

from __future__ import annotations

from decimal import Decimal

import attrs

from enkash_async._calls.bills import Wanted
from enkash_async.errors import DuplicateReferenceError
from enkash_async.models import Bill
from enkash_async.models.base import shown_short

__all__ = ["Match", "compare", "described", "refusal"]


@attrs.frozen(kw_only=True)
class Match:
    """The result of comparing a found bill with the wanted one.

    Attributes:
        different: Names of the facts that certainly differ.
        identified: Whether EnKash's answer has enough facts (consumer and amount) to recognise the bill.
    """

    different: tuple[str, ...]
    identified: bool


def compare(wanted: Wanted, bill: Bill) -> Match:
    """Compare reference, biller, consumer and amount; a fact that one side lacks counts as no difference."""
    company = bill.company_biller
    biller = None if company is None or company.biller is None else company.biller.biller_id or None
    same_biller = _same(wanted.biller_id, biller)
    same_consumer = _same(_folded(wanted.consumer_number), _folded(_consumer(bill)))
    if same_biller is None or same_consumer is None:
        # One company_biller_id stands for biller and consumer. Compared last: EnKash may give a consumer a new one.
        same = _same(wanted.company_biller_id, None if company is None else company.company_biller_id)
        same_consumer = same if same_consumer is None else same_consumer
        same_biller = True if same and same_biller is None else same_biller
    same_amount = _same_amount(wanted.amount, bill)
    # Compared although EnKash searched by it: if EnKash errs and returns another bill, that one must not be accepted.
    same_reference = _same(_folded(wanted.reference_id), _folded(bill.reference_id))
    verdicts = {
        "reference_id": same_reference,
        "biller_id": same_biller,
        "consumer_number": same_consumer,
        "amount": same_amount,
    }
    return Match(
        different=tuple(name for name, same in verdicts.items() if same is False),
        identified=same_consumer is not None and (same_amount is not None or wanted.amount is None),
    )


def described(wanted: Wanted, bill: Bill, match: Match) -> str:
    """Return a phrase that names the differences and shows no consumer number in full."""
    if not match.different:
        return "does not say whose it is"
    there, asked = _short(_consumer(bill)), _short(wanted.consumer_number)
    shown = {"consumer_number": f"consumer_number ({there} there, {asked} asked)"}
    return "differs in " + " and ".join(shown.get(name, name) for name in match.different)


def refusal(wanted: Wanted, bill: Bill, match: Match) -> DuplicateReferenceError:
    """Return the error for a reference whose bill is another one or cannot be recognised."""
    error = DuplicateReferenceError(
        f"the reference {wanted.reference_id!r} was used before, and the bill of it {described(wanted, bill, match)}; "
        "this call created nothing: look at that bill with bills.get_by_reference() before you give this one another "
        "reference"
    )
    error.response_code = 38
    error.differences = match.different
    return error


def _same(wanted: object, found: object) -> bool | None:
    return None if wanted is None or found is None else wanted == found


def _same_amount(wanted: Decimal | None, bill: Bill) -> bool | None:
    if wanted is None or (bill.amount is None and bill.bill_amount is None):
        return None
    return wanted == (bill.bill_amount if bill.amount is None else bill.amount)


def _consumer(bill: Bill) -> str | None:
    if bill.consumer_number is not None:
        return bill.consumer_number
    return None if bill.company_biller is None else bill.company_biller.consumer_number


def _folded(number: str | None) -> str | None:
    """Return a consumer number for comparison, or None when it is empty or EnKash has masked it."""
    if number is None or not number.strip() or "*" in number:
        return None
    return number.strip().casefold()


def _short(number: str | None) -> str:
    return "…" if number is None else shown_short(number)[1:-1]
