"""The result of one payment: how far it got, and what a task queue should do next."""

from __future__ import annotations

import enum
from decimal import Decimal

import attrs

from enkash_async.bulk import BulkGroup
from enkash_async.errors import EnkashError, OutcomeUnknownError, RetryAdvice, WaitTimeoutError
from enkash_async.models import Bill
from enkash_async.models.base import Travels

__all__ = ["Payment", "PaymentState", "error_of", "group_of"]


class PaymentState(enum.StrEnum):
    """How far a payment has come."""

    PAID = "PAID"  # EnKash shows the bill as paid
    ALREADY_PAID = "ALREADY_PAID"  # the bill was paid before this call
    PENDING = "PENDING"  # the debit is confirmed, and the bill is not settled yet
    UNKNOWN = "UNKNOWN"  # a create or a debit may or may not have happened
    FAILED = "FAILED"  # the payment failed: the money was refunded, or will be
    REFUSED = "REFUSED"  # the bill is not paid, and the same request would be refused again
    OVER_CEILING = "OVER_CEILING"  # the bill's amount is above `max_amount`, or differs from the amount asked for
    NOT_SENT = "NOT_SENT"  # this call debited nothing, and a later call may go on
    PAYABLE = "PAYABLE"  # a rehearsal found that the bill can be paid


@attrs.frozen
class Payment(Travels):
    """One payment, as far as it got.

    Attributes:
        reference_id: The caller's id of the bill.
        state: How far the payment has come.
        amount: Amount of the bill in rupees, or None if no amount is known.
        bill: The bill as EnKash showed it last, or None if EnKash showed no bill. If an earlier call noted the bill as
            paid, only the noted fields are set: ids, amount, number, due date and payment date.
        reason: Why the payment is in this state, and how the bill differs from the request. Empty if there is nothing
            to say.
        retry: What a task queue should do: call again now or later, never, or have a person look.
        retry_after: Seconds after which to call again; None if unknown.
    """

    reference_id: str
    state: PaymentState
    amount: Decimal | None = None
    bill: Bill | None = None
    reason: str = ""
    retry: RetryAdvice = RetryAdvice.NEVER
    retry_after: float | None = None


_GROUPS = {
    PaymentState.PAID: BulkGroup.SUCCEEDED,
    PaymentState.ALREADY_PAID: BulkGroup.SUCCEEDED,
    PaymentState.PAYABLE: BulkGroup.SUCCEEDED,
    PaymentState.UNKNOWN: BulkGroup.UNKNOWN,
    PaymentState.FAILED: BulkGroup.FAILED,
    PaymentState.REFUSED: BulkGroup.FAILED,
    PaymentState.OVER_CEILING: BulkGroup.FAILED,
    PaymentState.NOT_SENT: BulkGroup.NOT_SENT,
}


def group_of(payment: Payment, wait: float) -> BulkGroup:
    """Return the group of a payment; a pending payment counts as succeeded if the caller did not ask to wait."""
    if payment.state is PaymentState.PENDING:
        return BulkGroup.SUCCEEDED if wait <= 0 else BulkGroup.UNKNOWN
    return _GROUPS[payment.state]


def error_of(payment: Payment, group: BulkGroup, cause: EnkashError | None) -> EnkashError | None:
    """Return the error for an item of a bulk result; None if the payment succeeded.

    Args:
        payment: The payment.
        group: The group of the payment.
        cause: The failure that stopped the payment, or None. If the failure gives the same retry advice as the payment,
            the failure itself is returned; else it becomes the cause of a new error.
    """
    if group is BulkGroup.SUCCEEDED:
        return None
    if cause is not None and (cause.retry, cause.retry_after) == (payment.retry, payment.retry_after):
        return cause
    if payment.state is PaymentState.PENDING:
        return WaitTimeoutError(payment.reason, last=payment.bill)
    ids = () if payment.bill is None or not payment.bill.utility_enkash_id else (payment.bill.utility_enkash_id,)
    error = (
        OutcomeUnknownError(
            payment.reason, operation="payments.pay", reference_id=payment.reference_id, utility_enkash_ids=ids
        )
        if group is BulkGroup.UNKNOWN
        else EnkashError(payment.reason)
    )
    error.__dict__.update(_advice=payment.retry, retry_after=payment.retry_after)
    error.__cause__ = cause
    error.call_id = None if cause is None else cause.call_id
    return error
