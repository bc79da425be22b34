"""An event about a bill, as a value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from enkash_async.models import Bill, Outcome, PaymentStatus, WebhookEvent
from enkash_async.models.base import shown_names

__all__ = ["BillEvent"]

_TYPES = {
    Outcome.PAID: WebhookEvent.UTILITY_BILLPAY_SUCCESS,
    Outcome.FAILED: WebhookEvent.UTILITY_BILLPAY_FAILED,
    Outcome.PENDING: WebhookEvent.UTILITY_BILLPAY_PENDING,
}

_STATUSES = ("approval_status", "payment_status", "billpay_status")


@attrs.frozen(kw_only=True)
class BillEvent:
    """A post to your webhook about one bill.

    EnKash page: Bill Payment Webhook (api-12515630).

    Attributes:
        posted: The bill as the post shows it. Anyone who knows the headers can post anything, so do not deliver goods
            because of a post alone.
        confirmed: The bill as EnKash's API returned it; None if the API was not asked.
        key: Unique id of this piece of news, 64 hexadecimal digits, for a unique column of your database. If a worker
            dies and the news is handed over again, the key is the same. With a client, the key is derived from the
            state that the API showed; a state that comes back later has another key. Without a client, the key is
            derived from the whole post.
        extra: Members of the posted document around the bill, under the names in the post.
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

    @property
    def may_be_later(self) -> bool:
        """Whether the post may tell of a later state than the API shows: the post has another state, or no state."""
        if self.confirmed is None or self.confirmed.outcome is Outcome.PAID or _progress(self.confirmed) > 1:
            return False
        stated = {name: word for name in _STATUSES if (word := getattr(self.posted, name)) is not None}
        return not stated or any(getattr(self.confirmed, name) != word for name, word in stated.items())


def _progress(bill: Bill) -> int:
    """Return the progress of a bill: 0 in progress, 1 settled, 2 refunded."""
    if bill.payment_status == PaymentStatus.REFUNDED or bill.refund_date is not None:
        return 2
    # COMPLETED stands in EnKash's example, but in none of its lists of statuses. It ranks as settled here only so that
    # the receiver reads the bill from EnKash once more; nothing takes such a post for a payment.
    return 1 if bill.is_settled or bill.billpay_status == "COMPLETED" else 0
