"""msgspec, as its «Structs» and «Performance Tips» pages show it: structs, and one decoder that is used again.

The structs are without garbage collection, which those pages call fast and not always wanted; bills hold no cycles.
Decoding is strict and in C, and money is as exact as ours. Date-times without a zone stay without one, words outside a
list are refused, and members that no struct has are dropped.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

import msgspec

from benchmarks.peers.words import (
    ApprovalStatus,
    BillCopyStatus,
    BillerType,
    BillPayStatus,
    Circle,
    PaymentMode,
    PaymentStatus,
)

__all__ = ["Bill", "amount", "decode"]


class BillerParam(msgspec.Struct, rename="camel", frozen=True, gc=False):
    """One input that a bill was paid with."""

    key: str | None = None
    name: str | None = None
    value: str | None = None


class Biller(msgspec.Struct, rename="camel", frozen=True, gc=False):
    """A company whose bills can be paid."""

    biller_id: int | None = None
    name: str | None = None
    biller_type: BillerType | None = None


class CompanyBiller(msgspec.Struct, rename="camel", frozen=True, gc=False):
    """An account with a biller."""

    company_biller_id: str | None = None
    company_name: str | None = None
    biller: Biller | None = None
    circle_enum: Circle | None = None
    bill_input_params: str | None = None
    biller_params: list[BillerParam] | None = None
    consumer_number: str | None = None
    consumer_name: str | None = None


class Bill(msgspec.Struct, rename="camel", frozen=True, gc=False):
    """A bill, forty members and three objects below."""

    utility_enkash_id: str | None = None
    reference_id: str | None = None
    company_name: str | None = None
    amount: Decimal | None = None
    consumer_number: str | None = None
    consumer_name: str | None = None
    bill_date: date | None = None
    bill_due_date: date | None = None
    created_date: datetime | None = None
    bill_number: str | None = None
    biller_bill_number: str | None = None
    number_of_units: Decimal | None = None
    approval_status: ApprovalStatus | None = None
    approval_remarks: str | None = None
    payment_status: PaymentStatus | None = None
    billpay_status: BillPayStatus | None = None
    failure_reason: str | None = None
    failure_code: str | None = None
    payment_date: datetime | None = None
    billpay_date: datetime | None = None
    payment_mode: PaymentMode | None = None
    approved_date: datetime | None = None
    refund_date: datetime | None = None
    bill_reference_id: str | None = None
    bill_start_date: date | None = None
    bill_end_date: date | None = None
    remarks: str | None = None
    bill_amount: Decimal | None = None
    early_payment_date: date | None = None
    early_payment_amount: Decimal | None = None
    late_payment_amount: Decimal | None = None
    actual_due_date: date | None = None
    company_id: str | None = None
    bank_transaction_id: str | None = None
    validation_id: str | None = None
    bill_copy_status: BillCopyStatus | None = None
    bill_copy_pdf_url: str | None = None
    maker_user: str | None = None
    retries: int | None = None
    company_biller: CompanyBiller | None = None


class SearchReply(msgspec.Struct, frozen=True, gc=False):
    """The reply of a search."""

    response_code: int
    response_message: str
    payload: list[Bill]


_decoder = msgspec.json.Decoder(SearchReply)


def decode(body: bytes) -> list[Bill]:
    """Return the bills of a search's reply.

    Args:
        body: The reply.
    """
    return _decoder.decode(body).payload


def amount(bill: Bill) -> Decimal | None:
    """Return the amount of a bill.

    Args:
        bill: The bill.
    """
    return bill.amount
