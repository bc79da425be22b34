"""Hashes of a bill's progress; a new hash means that there is news of the bill."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from enkash_async._support import exact_json
from enkash_async.models import Bill

__all__ = ["content_key", "numbered_key", "post_key"]

# Two states of a bill are different news if these fields differ. The fields show the payment's progress; an edited
# remark, for example, is no news.
_STATUSES = ("approval_status", "payment_status", "billpay_status")
_DATES = ("approved_date", "payment_date", "billpay_date", "refund_date")
_TELLING = ("failure_code", "bank_transaction_id")  # differ between two payment attempts with equal statuses
_DATES_ON_THE_WIRE = ("approvedDate", "paymentDate", "billpayDate", "refundDate")


def content_key(bill: Bill) -> str:
    """Return a hash of a bill's progress in hexadecimal; replies of the API with equal progress have equal hashes."""
    return _hash(list(_content(bill)))


def numbered_key(state: str, number: int) -> str:
    """Return the key of an event: a hash of the bill's state and of the event's number."""
    return _hash([state, number])


def post_key(document: Any) -> str:
    """Return a hash of a whole post in hexadecimal; the order of its members and its white space do not matter."""
    return _hash(_sorted(document))


def _hash(document: Any) -> str:
    return hashlib.sha256(exact_json.dumps(document).encode()).hexdigest()


def _sorted(document: Any) -> Any:
    if isinstance(document, Mapping):
        return {name: _sorted(document[name]) for name in sorted(document)}
    return [_sorted(item) for item in document] if isinstance(document, list) else document


def _content(bill: Bill) -> Iterator[Any]:
    # The reference is used only if there is no id. Its key has a mark, so that it cannot equal the key of an id.
    yield bill.utility_enkash_id or ["reference", bill.reference_id]
    for name in (*_STATUSES, *_DATES, *_TELLING):
        value = getattr(bill, name)
        if isinstance(value, datetime):
            value = value.astimezone(UTC).isoformat()
        yield value.value if isinstance(value, Enum) else value
    if all(getattr(bill, name) is None for name in _STATUSES):
        # A bill without any known status: every difference in unknown members is news.
        yield sorted((str(name), str(item)) for name, item in bill.extra.items())
    # Dates that could not be parsed are in `extra`; a different date is news.
    yield [str(bill.extra.get(name, "")) for name in _DATES_ON_THE_WIRE]
