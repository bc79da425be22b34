"""Values that calls take and return: frozen and exact; `repr` hides personal data."""

from enkash_async.models._billers import Biller, BillerCategory, BillerParam
from enkash_async.models._bills import Bill, CompanyBiller, FetchedBill, PaymentInitiation
from enkash_async.models._debits import DebitRecord
from enkash_async.models._enums import (
    ApprovalStatus,
    BillCopyStatus,
    BillerType,
    BillPayStatus,
    Circle,
    OpenEnum,
    Outcome,
    PaymentMode,
    PaymentStatus,
    PaymentType,
    WebhookEvent,
)
from enkash_async.models._filters import BillFilter
from enkash_async.models._webhooks import WebhookRegistration
from enkash_async.models.base import Reply

__all__ = [
    "ApprovalStatus",
    "Bill",
    "BillCopyStatus",
    "BillFilter",
    "BillPayStatus",
    "Biller",
    "BillerCategory",
    "BillerParam",
    "BillerType",
    "Circle",
    "CompanyBiller",
    "DebitRecord",
    "FetchedBill",
    "OpenEnum",
    "Outcome",
    "PaymentInitiation",
    "PaymentMode",
    "PaymentStatus",
    "PaymentType",
    "Reply",
    "WebhookEvent",
    "WebhookRegistration",
]
