"""An event about a bill, as a value."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any

import attrs

from enkash_async._support import exact_json
from enkash_async.models import Bill, Outcome, PaymentStatus, WebhookEvent
from enkash_async.models.base import shown_names

__all__ = ["BillEvent", "content_key"]

_TYPES = {
    Outcome.PAID: WebhookEvent.UTILITY_BILLPAY_SUCCESS,
    Outcome.FAILED: WebhookEvent.UTILITY_BILLPAY_FAILED,
    Outcome.PENDING: WebhookEvent.UTILITY_BILLPAY_PENDING,
}

# Two posts about one bill are different events if they differ in these fields: in the payment's progress, not in an
# edited remark.
_STATUSES = ("approval_status", "payment_status", "billpay_status")
_DATES = ("approved_date", "payment_date", "billpay_date", "refund_date")
_TELLING = ("failure_code", "bank_transaction_id")  # these tell a second attempt from the first when statuses are equal
_DATES_ON_THE_WIRE = ("approvedDate", "paymentDate", "billpayDate", "refundDate")


@attrs.frozen(kw_only=True)
class BillEvent:
    """A post to your webhook about one bill.

    EnKash page: Bill Payment Webhook (api-12515630).

    Attributes:
        posted: The bill as the post has it. Anyone who knows the headers can post anything: deliver nothing on its
            strength.
        confirmed: The bill as EnKash's API returned it; None if the API was not asked.
        key: A hash of the bill's statuses, dates, failure code and bank transaction. Equal for posts with the same
            content, in every worker, so that it suits a unique column. Of `confirmed`, or else of `posted`.
        extra: Members of the document around the bill, under their posted names.
    """

    posted: Bill
    confirmed: Bill | None = None
    key: str
    extra: Mapping[str, Any] = attrs.field(factory=dict, repr=shown_names, hash=False)

    @property
    def bill(self) -> Bill:
        """The bill as the API confirmed it, or as it was posted if the API was not asked."""
        return self.posted if self.confirmed is None else self.confirmed

    @property
    def type(self) -> WebhookEvent:
        """EnKash's name of the event, derived from the outcome of `bill`, since a post does not name its event."""
        return _TYPES[self.bill.outcome]

    @property
    def is_ahead(self) -> bool:
        """Whether the post shows more progress than the API: the API lags behind, or the post is forged."""
        return self.confirmed is not None and _progress(self.posted) > _progress(self.confirmed)


def _progress(bill: Bill) -> int:
    """Return the progress of a bill: 0 in progress, 1 settled, 2 refunded."""
    if bill.payment_status == PaymentStatus.REFUNDED or bill.refund_date is not None:
        return 2
    # EnKash's example shows COMPLETED, which its lists of statuses lack. It does not count as paid; the receiver reads
    # the bill from EnKash once more.
    return 1 if bill.is_settled or bill.billpay_status == "COMPLETED" else 0


def content_key(bill: Bill) -> str:
    """Return a hash (hexadecimal) that is equal for two posts with the same content about a bill."""
    return hashlib.sha256(exact_json.dumps(list(_content(bill))).encode()).hexdigest()


def _content(bill: Bill) -> Iterator[Any]:
    # The reference is used only if there is no id, and is marked, so that no id equals a reference.
    yield bill.utility_enkash_id or ["reference", bill.reference_id]
    for name in (*_STATUSES, *_DATES, *_TELLING):
        value = getattr(bill, name)
        if isinstance(value, datetime):
            value = value.astimezone(UTC).isoformat()
        yield value.value if isinstance(value, Enum) else value
    if all(getattr(bill, name) is None for name in _STATUSES):
        # A customised body without any known status: every difference in it makes a different event.
        yield sorted((str(name), str(item)) for name, item in bill.extra.items())
    # Dates that could not be parsed are in `extra`, and tell posts apart too.
    yield [str(bill.extra.get(name, "")) for name in _DATES_ON_THE_WIRE]
