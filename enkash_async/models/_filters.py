"""The filter for a bill search: the conditions that a bill must match."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any, Literal

import attrs

from enkash_async.models._enums import ApprovalStatus, BillerType, BillPayStatus, PaymentStatus
from enkash_async.models.base import Travels

__all__ = ["BillFilter"]


def _sent(form: Literal["text", "texts", "amount", "day"], *, repr: bool = True) -> Any:  # noqa: A002 (as in attrs)
    """Return a field that is sent only if it is set; `form` names the JSON form that `_calls/search.py` makes."""
    return attrs.field(default=None, repr=repr, metadata={"form": form})


@attrs.frozen(kw_only=True)
class BillFilter(Travels):
    """Conditions of a bill search: a bill must match every field that is set; a field that is None is not sent.

    Field names are EnKash's in snake_case; a status may also be a plain string.
    EnKash page: Fetch Bulk Bill Details (api-10664799).

    Args:
        amount_range_start: Lowest amount in rupees; EnKash's page calls it an integer.
        amount_range_end: Highest amount in rupees.
        statuses: Payment statuses; EnKash accepts PROCESS, SUCCESS, FAILED, PENDING, CANCELLED, EXPIRED,
            PARTIAL_REFUNDED, REFUNDED, IN_PROCESS, REFUND_REQUESTED, PENDING_WITH_BANK.
        created_date_from: First day on which a bill was created. Every date is a day in India; an aware date-time is
            sent as its date in India.
        bill_reference_id: Bharat Connect's reference, not your own.
    """

    utility_enkash_ids: Sequence[str] | None = _sent("texts")
    amount_range_start: Decimal | int | None = _sent("amount")
    amount_range_end: Decimal | int | None = _sent("amount")
    consumer_number: str | None = _sent("text", repr=False)
    consumer_numbers: Sequence[str] | None = _sent("texts", repr=False)
    biller_type: BillerType | str | None = _sent("text")
    biller_name: str | None = _sent("text")
    payment_status: PaymentStatus | str | None = _sent("text")
    payment_start_date: date | None = _sent("day")
    payment_end_date: date | None = _sent("day")
    created_date_from: date | None = _sent("day")
    created_date_to: date | None = _sent("day")
    bill_due_date_from: date | None = _sent("day")
    bill_due_date_to: date | None = _sent("day")
    billpay_status: BillPayStatus | str | None = _sent("text")
    statuses: Sequence[PaymentStatus | str] | None = _sent("texts")
    billpay_date_from: date | None = _sent("day")
    billpay_date_to: date | None = _sent("day")
    refund_date_from: date | None = _sent("day")
    refund_date_to: date | None = _sent("day")
    bill_pay_statuses: Sequence[BillPayStatus | str] | None = _sent("texts")
    bill_reference_id: str | None = _sent("text")
    company_name: str | None = _sent("text")
    company_id: str | None = _sent("text")
    utility_enkash_id: str | None = _sent("text")
    maker_user: str | None = _sent("text")
    checker_user: str | None = _sent("text")
    company_biller_ids: Sequence[str] | None = _sent("texts")
    bill_number: str | None = _sent("text")
    approval_status: ApprovalStatus | str | None = _sent("text")
    service_provider: str | None = _sent("text")
    payout_start_date: date | None = _sent("day")
    payout_end_date: date | None = _sent("day")
