"""Bills: as fetched from the biller, and as EnKash pays them."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import attrs

from enkash_async.models._billers import Biller, BillerParam
from enkash_async.models._enums import (
    ApprovalStatus,
    BillCopyStatus,
    BillPayStatus,
    Circle,
    Outcome,
    PaymentMode,
    PaymentStatus,
)
from enkash_async.models.base import Reply, hidden, member, shown_short

__all__ = ["Bill", "CompanyBiller", "FetchedBill", "PaymentInitiation"]

_APPROVED = frozenset({"APPROVED", "CHECKER_APPROVED"})
# Words of `paymentStatus` that are past the confirmation of the debit.
_MOVED = frozenset(
    {"PROCESS", "SUCCESS", "IN_PROCESS", "PENDING_WITH_BANK", "REFUND_IN_PROGRESS", "REFUND_REQUESTED", "REFUNDED"}
    | {"PARTIAL_REFUNDED", "PAID_OFFLINE", "PARTIAL_PAID"}
)


@attrs.frozen(kw_only=True, repr=False)
class FetchedBill(Reply):
    """What a biller says is due at the moment; nothing is paid or created by it.

    Amounts are rupees. Any member is None where EnKash left it out, whatever its pages call required.
    EnKash page: Fetch Current Bill (api-10664798), whose names for dates and amounts come in several casings.

    Attributes:
        company_biller_id: What ties a created bill to this consumer.
        bill_net_amount: The amount to pay today.
        early_payment_amount: The amount until `early_payment_date`.
        late_payment_amount: The amount after `bill_due_date`.
        status_message: The biller's message; with no amount beside it, the reason why nothing could be fetched.
        biller_id: The biller that was asked, which the reply does not repeat.
        consumer_number: The consumer that was asked about, likewise.
    """

    company_biller_id: str | None = member()
    bill_number: str | None = member()
    user_name: str | None = member(repr=hidden)
    bill_amount: Decimal | None = member()
    bill_net_amount: Decimal | None = member()
    bill_date: date | None = member()
    bill_due_date: date | None = member(wire=("dueDate",))
    bill_period: str | None = member()
    early_payment_amount: Decimal | None = member()
    early_payment_date: date | None = member()
    late_payment_amount: Decimal | None = member()
    actual_due_date: date | None = member()
    status_message: str | None = member(repr=hidden)  # a biller may repeat the consumer number in it
    bill_id: str | None = member()
    validation_id: str | None = member()
    bill_start_date: date | None = member()
    bill_end_date: date | None = member()
    biller_id: int | None = attrs.field(default=None, metadata={"local": True})
    consumer_number: str | None = attrs.field(default=None, repr=shown_short, metadata={"local": True})


@attrs.frozen(kw_only=True, repr=False)
class CompanyBiller(Reply):
    """Your company's account with a biller.

    EnKash page: Bill Payment Webhook (api-12515630), `companyBiller`.
    """

    company_biller_id: str | None = member()
    company_name: str | None = member()
    biller: Biller | None = member()
    circle_enum: Circle | None = member()
    bill_input_params: str | None = member(repr=hidden)
    biller_params: tuple[BillerParam, ...] = member(())
    consumer_number: str | None = member(repr=shown_short)
    consumer_name: str | None = member(repr=hidden)


@attrs.frozen(kw_only=True, repr=False)
class Bill(Reply):
    """A bill that EnKash knows, and how far its payment has come.

    Amounts are rupees, exact. Dates are plain; date-times are aware, and read as India time where EnKash names no
    zone. Any member is None where EnKash left it out, whatever its pages call required.
    EnKash pages: Get Utility Bill Status (api-10664797), Get Utility Bill By Reference ID (api-10664801), Bill Payment
    Webhook (api-12515630), Create Bill Without Bill Fetch (api-10664800).

    Attributes:
        utility_enkash_id: EnKash's id, never None so that it can be passed on: the id that was asked for where a reply
            leaves it out, and empty where none was, which every call refuses.
        reference_id: Your id.
        amount: The net amount of the bill.
        billpay_status: Where the bill stands with Bharat Connect; `outcome` reads it for you.
        payment_status: Where the money is; turns to `REFUNDED` after a failed bill.
        recovered: True when this answer was found by looking the bill up, after an unclear end or since its reference
            was used before, and not in the reply itself.
    """

    utility_enkash_id: str = member("")
    reference_id: str | None = member()
    company_name: str | None = member()
    amount: Decimal | None = member()
    consumer_number: str | None = member(repr=shown_short)
    consumer_name: str | None = member(repr=hidden)
    bill_date: date | None = member()
    bill_due_date: date | None = member(wire=("dueDate",))
    created_date: datetime | None = member()
    bill_number: str | None = member()
    biller_bill_number: str | None = member()
    number_of_units: Decimal | None = member()
    approval_status: ApprovalStatus | None = member()
    approval_remarks: str | None = member()
    payment_status: PaymentStatus | None = member()
    billpay_status: BillPayStatus | None = member()
    failure_reason: str | None = member()
    failure_code: str | None = member()
    payment_date: datetime | None = member()
    billpay_date: datetime | None = member()
    payment_mode: PaymentMode | None = member()
    approved_date: datetime | None = member()
    refund_date: datetime | None = member()
    bill_reference_id: str | None = member()
    bill_start_date: date | None = member()
    bill_end_date: date | None = member()
    remarks: str | None = member()
    company_biller: CompanyBiller | None = member()
    bill_amount: Decimal | None = member()
    early_payment_date: date | None = member()
    early_payment_amount: Decimal | None = member()
    late_payment_amount: Decimal | None = member()
    actual_due_date: date | None = member()
    company_id: str | None = member()
    bank_transaction_id: str | None = member()
    validation_id: str | None = member()
    bill_copy_status: BillCopyStatus | None = member()
    bill_copy_pdf_url: str | None = member(repr=hidden)
    recovered: bool = attrs.field(default=False, metadata={"local": True})

    @property
    def outcome(self) -> Outcome:
        """What became of the bill: PAID, FAILED, or PENDING for every word but `SUCCESS` and `FAILED`."""
        if self.billpay_status == BillPayStatus.SUCCESS:
            return Outcome.PAID
        if self.billpay_status == BillPayStatus.FAILED:
            return Outcome.FAILED
        return Outcome.PENDING

    @property
    def is_settled(self) -> bool:
        """Whether the outcome is final; after FAILED the refund may still be on its way (`payment_status`)."""
        return self.outcome is not Outcome.PENDING

    @property
    def debit_confirmed(self) -> bool | None:
        """Whether the debit was confirmed; None where what EnKash shows leaves it open.

        EnKash documents no member that says so. False needs words of waiting and none of progress: an approval that is
        pending, or a payment in `INIT`. A bill without any status leaves it open.
        """
        approval, payment = _word(self.approval_status), _word(self.payment_status)
        dates = (self.approved_date, self.payment_date, self.billpay_date, self.refund_date)
        is_dated = any(date is not None for date in dates)
        if self.outcome is Outcome.PAID or approval in _APPROVED or is_dated or payment in _MOVED:
            return True
        if payment not in {"", "INIT", "PENDING"} or _word(self.billpay_status) not in {"", "PENDING"}:
            return None
        if approval.endswith("PENDING") or (payment == "INIT" and not approval):
            return False
        return None


def _word(status: ApprovalStatus | PaymentStatus | BillPayStatus | None) -> str:
    return "" if status is None else status.value.strip().upper()


@attrs.frozen(kw_only=True, repr=False)
class PaymentInitiation(Reply):
    """What EnKash answered to a payment through its gateway; the reply is not documented.

    Attributes:
        payload: The reply's payload as decoded JSON, with `Decimal` for numbers that have a fraction; it may hold
            one-time links, so `repr` does not show it.
        payment_status: The member of that name, where there is one.
    """

    payload: Any = attrs.field(default=None, repr=hidden, hash=False, metadata={"local": True})
    payment_status: PaymentStatus | None = member()
