"""Bills: as a biller reports them, and as EnKash pays them."""

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
# Words of `paymentStatus` that can only follow a confirmed debit.
_MOVED = frozenset(
    {"PROCESS", "SUCCESS", "IN_PROCESS", "PENDING_WITH_BANK", "REFUND_IN_PROGRESS", "REFUND_REQUESTED", "REFUNDED"}
    | {"PARTIAL_REFUNDED", "PAID_OFFLINE", "PARTIAL_PAID"}
)


@attrs.frozen(kw_only=True, repr=False)
class FetchedBill(Reply):
    """What a consumer owes a biller now, as the biller reports it; a fetch creates and pays nothing.

    Amounts are rupees. A member is None if EnKash left it out, even if EnKash's page calls the member required.
    EnKash page: Fetch Current Bill (api-10664798), which spells the names of dates and amounts in several casings.

    Attributes:
        company_biller_id: EnKash's id of the consumer's account with the biller; a create after the fetch sends it.
        bill_net_amount: Rupees to pay today.
        early_payment_amount: Rupees to pay until `early_payment_date`.
        late_payment_amount: Rupees to pay after `bill_due_date`.
        status_message: The biller's message; if there is no amount, it is the reason why the fetch failed.
        biller_id: The biller of the request; added by the SDK, since EnKash's reply does not hold it.
        consumer_number: The consumer number of the request; also added by the SDK.
    """

    company_biller_id: str | None = member(strict=True)
    bill_number: str | None = member()
    user_name: str | None = member(repr=hidden)
    bill_amount: Decimal | None = member(strict=True)
    bill_net_amount: Decimal | None = member(strict=True)
    bill_date: date | None = member()
    bill_due_date: date | None = member(aliases=("dueDate",))
    bill_period: str | None = member()
    early_payment_amount: Decimal | None = member()
    early_payment_date: date | None = member()
    late_payment_amount: Decimal | None = member()
    actual_due_date: date | None = member()
    status_message: str | None = member(repr=hidden)  # hidden, since the message may repeat the consumer number
    bill_id: str | None = member(strict=True)
    validation_id: str | None = member(strict=True)
    bill_start_date: date | None = member()
    bill_end_date: date | None = member()
    biller_id: int | None = attrs.field(default=None, metadata={"local": True})
    consumer_number: str | None = attrs.field(default=None, repr=shown_short, metadata={"local": True})


@attrs.frozen(kw_only=True, repr=False)
class CompanyBiller(Reply):
    """Your company's account with a biller.

    EnKash page: Bill Payment Webhook (api-12515630), `companyBiller`.
    """

    company_biller_id: str | None = member(strict=True)
    company_name: str | None = member()
    biller: Biller | None = member()
    circle_enum: Circle | None = member()
    bill_input_params: str | None = member(repr=hidden)
    biller_params: tuple[BillerParam, ...] = member(())
    consumer_number: str | None = member(repr=shown_short)
    consumer_name: str | None = member(repr=hidden)


@attrs.frozen(kw_only=True, repr=False)
class Bill(Reply):
    """A bill that EnKash has to pay, and the state of its payment.

    Amounts are exact rupees. Date-times are aware; if EnKash names no zone, they are India time. A member is None if
    EnKash left it out, even if EnKash's page calls the member required.
    EnKash pages: Get Utility Bill Status (api-10664797), Get Utility Bill By Reference ID (api-10664801), Bill Payment
    Webhook (api-12515630), Create Bill Without Bill Fetch (api-10664800).

    Attributes:
        utility_enkash_id: EnKash's id of the bill, never None. If the reply omits the id, this is the id that the call
            asked for, or empty if the call named no id. Every call refuses an empty id.
        reference_id: Your id of the bill, given when the bill was created.
        amount: Net amount of the bill.
        billpay_status: Where the bill stands with Bharat Connect; `outcome` interprets it.
        payment_status: Where the money is; becomes `REFUNDED` once EnKash has refunded a failed bill.
        recovered: True if the SDK found the bill by a look-up, because the outcome of the create was unclear or its
            reference was used before. False if the bill comes from the call's own reply.
    """

    utility_enkash_id: str = member("", strict=True)
    reference_id: str | None = member(strict=True)
    company_name: str | None = member()
    amount: Decimal | None = member(strict=True)
    consumer_number: str | None = member(repr=shown_short)
    consumer_name: str | None = member(repr=hidden)
    bill_date: date | None = member()
    bill_due_date: date | None = member(aliases=("dueDate",))
    created_date: datetime | None = member()
    bill_number: str | None = member()
    biller_bill_number: str | None = member()
    number_of_units: Decimal | None = member()
    approval_status: ApprovalStatus | None = member(shows_debit=True)
    approval_remarks: str | None = member()
    payment_status: PaymentStatus | None = member(strict=True)
    billpay_status: BillPayStatus | None = member(strict=True)
    failure_reason: str | None = member()
    failure_code: str | None = member()
    payment_date: datetime | None = member(shows_debit=True)
    billpay_date: datetime | None = member(shows_debit=True)
    payment_mode: PaymentMode | None = member()
    approved_date: datetime | None = member(shows_debit=True)
    refund_date: datetime | None = member(shows_debit=True)
    bill_reference_id: str | None = member()
    bill_start_date: date | None = member()
    bill_end_date: date | None = member()
    remarks: str | None = member()
    company_biller: CompanyBiller | None = member()
    bill_amount: Decimal | None = member(strict=True)
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
        """What became of the bill: PAID for `billpay_status` `SUCCESS`, FAILED for `FAILED`, otherwise PENDING."""
        if self.billpay_status == BillPayStatus.SUCCESS:
            return Outcome.PAID
        if self.billpay_status == BillPayStatus.FAILED:
            return Outcome.FAILED
        return Outcome.PENDING

    @property
    def is_settled(self) -> bool:
        """Whether the outcome is final; after FAILED the refund may still be pending: see `payment_status`."""
        return self.outcome is not Outcome.PENDING

    @property
    def debit_confirmed(self) -> bool | None:
        """Whether the debit was confirmed; None if EnKash's data is ambiguous.

        EnKash documents no member for this, so the SDK infers the answer from other members. True: the bill has an
        approval, a date or a status that only a confirmed debit can have. False: the approval is pending, or the
        payment is in `INIT`, and the bill shows no sign of progress. None: every other case, such as a bill without any
        status. A bill with an
        `unreadable` member gives None too. This prevents a double debit: the member may show an earlier debit.
        """
        if self.unreadable:
            return None
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
    """EnKash's answer to a payment through its gateway, which EnKash does not document.

    Attributes:
        payload: Payload of the reply as decoded JSON; numbers with a fraction are `Decimal`. `repr` hides the payload,
            since it may hold one-time links.
        payment_status: The payload's `paymentStatus`, or None.
    """

    payload: Any = attrs.field(default=None, repr=hidden, hash=False, metadata={"local": True})
    payment_status: PaymentStatus | None = member(shows_debit=True)
