"""News of a bill, as a value."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any

import attrs

from enkash_async import _json
from enkash_async.models import Bill, Outcome, WebhookEvent
from enkash_async.models._base import shown_names

__all__ = ["BillEvent", "content_key"]

_TYPES = {
    Outcome.PAID: WebhookEvent.UTILITY_BILLPAY_SUCCESS,
    Outcome.FAILED: WebhookEvent.UTILITY_BILLPAY_FAILED,
    Outcome.PENDING: WebhookEvent.UTILITY_BILLPAY_PENDING,
}

# What makes two posts about one bill different news: that a payment moved on, not that a remark was edited.
_STATUSES = ("approval_status", "payment_status", "billpay_status")
_DATES = ("approved_date", "payment_date", "billpay_date", "refund_date")
_DATES_ON_THE_WIRE = ("approvedDate", "paymentDate", "billpayDate", "refundDate")


@attrs.frozen(kw_only=True)
class BillEvent:
    """A post to your webhook about one bill.

    EnKash page: Bill Payment Webhook (api-12515630).

    Attributes:
        posted: What the post said. Whoever knows the headers can post anything: do not release value on it.
        confirmed: What EnKash's API said when it was asked about the same bill; None where it was not asked.
        key: The same for every post that says the same (bill, statuses, dates), whoever receives it: a hash, fit for a
            unique column.
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
        """Whether the post says that the bill is settled, and the API does not say so yet."""
        return self.confirmed is not None and self.posted.is_settled and not self.confirmed.is_settled


def content_key(bill: Bill) -> str:
    """Return what is equal for two posts that say the same about a bill: a hash, in hexadecimal digits."""
    return hashlib.sha256(_json.dumps(list(_content(bill))).encode()).hexdigest()


def _content(bill: Bill) -> Iterator[Any]:
    # A reference stands in only where there is no id, marked, so that the one is not taken for the other.
    yield bill.utility_enkash_id or ["reference", bill.reference_id]
    for name in (*_STATUSES, *_DATES):
        value = getattr(bill, name)
        if isinstance(value, datetime):
            value = value.astimezone(UTC).isoformat()
        yield value.value if isinstance(value, Enum) else value
    # A date that cannot be read tells posts apart all the same.
    yield [str(bill.extra.get(name, "")) for name in _DATES_ON_THE_WIRE]
