"""The filter of a bill search."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

import attrs

from enkash_async.models._enums import ApprovalStatus, BillerType, BillPayStatus, PaymentStatus

__all__ = ["BillFilter"]


@attrs.frozen(kw_only=True)
class BillFilter:
    """Conditions of a bill search: a bill must match every field that is set; a field left None is not sent.

    Field names are EnKash's in snake_case; a status may also be a plain string.
    EnKash page: Fetch Bulk Bill Details (api-10664799).

    Args:
        amount_range_start: Lowest amount in rupees; EnKash's page calls it an integer.
        amount_range_end: Highest amount in rupees.
        statuses: Payment statuses; EnKash takes PROCESS, SUCCESS, FAILED, PENDING, CANCELLED, EXPIRED,
            PARTIAL_REFUNDED, REFUNDED, IN_PROCESS, REFUND_REQUESTED, PENDING_WITH_BANK.
        created_date_from: First day of creation, in India time like every other date; an aware date-time is sent as
            its date in India.
        bill_reference_id: Bharat Connect's reference, not your own.
    """

    utility_enkash_ids: Sequence[str] | None = None
    amount_range_start: Decimal | int | None = None
    amount_range_end: Decimal | int | None = None
    consumer_number: str | None = attrs.field(default=None, repr=False)
    consumer_numbers: Sequence[str] | None = attrs.field(default=None, repr=False)
    biller_type: BillerType | str | None = None
    biller_name: str | None = None
    payment_status: PaymentStatus | str | None = None
    payment_start_date: date | None = None
    payment_end_date: date | None = None
    created_date_from: date | None = None
    created_date_to: date | None = None
    bill_due_date_from: date | None = None
    bill_due_date_to: date | None = None
    billpay_status: BillPayStatus | str | None = None
    statuses: Sequence[PaymentStatus | str] | None = None
    billpay_date_from: date | None = None
    billpay_date_to: date | None = None
    refund_date_from: date | None = None
    refund_date_to: date | None = None
    bill_pay_statuses: Sequence[BillPayStatus | str] | None = None
    bill_reference_id: str | None = None
    company_name: str | None = None
    company_id: str | None = None
    utility_enkash_id: str | None = None
    maker_user: str | None = None
    checker_user: str | None = None
    company_biller_ids: Sequence[str] | None = None
    bill_number: str | None = None
    approval_status: ApprovalStatus | str | None = None
    service_provider: str | None = None
    payout_start_date: date | None = None
    payout_end_date: date | None = None
