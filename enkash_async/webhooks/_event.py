"""News of a bill, as a value."""

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

# What makes two posts about one bill different news: that a payment moved on, not that a remark was edited.
_STATUSES = ("approval_status", "payment_status", "billpay_status")
_DATES = ("approved_date", "payment_date", "billpay_date", "refund_date")
_TELLING = ("failure_code", "bank_transaction_id")  # a second attempt that ends like the first has others
_DATES_ON_THE_WIRE = ("approvedDate", "paymentDate", "billpayDate", "refundDate")


@attrs.frozen(kw_only=True)
class BillEvent:
    """A post to your webhook about one bill.

    EnKash page: Bill Payment Webhook (api-12515630).

    Attributes:
        posted: What the post said. Whoever knows the headers can post anything: do not release value on it.
        confirmed: What EnKash's API said when it was asked about the same bill; None where it was not asked.
        key: The same for everything that says the same about a bill (statuses, dates, failure code, bank transaction),
            whoever receives it: a hash, fit for a unique column. Of what the API says; where it was not asked, of what
            was posted.
        extra: Members of the document around the bill, under the names they came with.
    """

    posted: Bill
    confirmed: Bill | None = None
    key: str
    extra: Mapping[str, Any] = attrs.field(factory=dict, repr=shown_names, hash=False)

    @property
    def bill(self) -> Bill:
        """The bill as the API confirmed it; where the API was not asked, as it was posted."""
        return self.posted if self.confirmed is None else self.confirmed

    @property
    def type(self) -> WebhookEvent:
        """Which of EnKash's events this is, derived from the outcome of `bill`, since a post does not name it."""
        return _TYPES[self.bill.outcome]

    @property
    def is_ahead(self) -> bool:
        """Whether the post says that the bill has come further than the API says yet, or is a forgery."""
        return self.confirmed is not None and _progress(self.posted) > _progress(self.confirmed)


def _progress(bill: Bill) -> int:
    """Return how far a bill says it has come: under way, settled, refunded."""
    if bill.payment_status == PaymentStatus.REFUNDED or bill.refund_date is not None:
        return 2
    # EnKash's own example says COMPLETED, which is in no list: too little to call it paid, enough to look again.
    return 1 if bill.is_settled or bill.billpay_status == "COMPLETED" else 0


def content_key(bill: Bill) -> str:
    """Return what is equal for two posts that say the same about a bill: a hash, in hexadecimal digits."""
    return hashlib.sha256(exact_json.dumps(list(_content(bill))).encode()).hexdigest()


def _content(bill: Bill) -> Iterator[Any]:
    # A reference stands in only where there is no id, marked, so that the one is not taken for the other.
    yield bill.utility_enkash_id or ["reference", bill.reference_id]
    for name in (*_STATUSES, *_DATES, *_TELLING):
        value = getattr(bill, name)
        if isinstance(value, datetime):
            value = value.astimezone(UTC).isoformat()
        yield value.value if isinstance(value, Enum) else value
    if all(getattr(bill, name) is None for name in _STATUSES):
        # A customised body whose statuses nobody here can read: whatever it says is news.
        yield sorted((str(name), str(item)) for name, item in bill.extra.items())
    # A date that cannot be read tells posts apart all the same.
    yield [str(bill.extra.get(name, "")) for name in _DATES_ON_THE_WIRE]
