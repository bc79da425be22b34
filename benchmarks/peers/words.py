"""The words of a bill as closed enums, which is how pydantic, msgspec and generated clients have them."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["ApprovalStatus", "BillCopyStatus", "BillPayStatus", "BillerType", "Circle", "PaymentMode", "PaymentStatus"]


class ApprovalStatus(StrEnum):
    """Whether the debit was confirmed."""

    MAKER_APPROVAL_PENDING = "MAKER_APPROVAL_PENDING"
    CHECKER_APPROVED = "CHECKER_APPROVED"


class BillCopyStatus(StrEnum):
    """State of the bill's PDF copy."""

    FAILED = "FAILED"
    PENDING = "PENDING"
    SUCCESS = "SUCCESS"


class BillPayStatus(StrEnum):
    """Where the bill stands with Bharat Connect."""

    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    PENDING = "PENDING"
    IN_PROGRESS = "IN_PROGRESS"
    ON_HOLD = "ON_HOLD"
    REINITIATE = "REINITIATE"
    AGENCY_FAILED = "AGENCY_FAILED"


class BillerType(StrEnum):
    """Category of a biller."""

    ELECTRICITY = "ELECTRICITY"


class Circle(StrEnum):
    """Telecom circle, as far as the samples go."""

    DEL = "DEL"
    KK = "KK"
    MAH = "MAH"
    MUM = "MUM"
    TN = "TN"


class PaymentMode(StrEnum):
    """How the money was paid."""

    CREDIT_CARD = "CREDIT_CARD"
    DEBIT_CARD = "DEBIT_CARD"
    NET_BANKING = "NET_BANKING"
    UPI = "UPI"
    CASH = "CASH"
    CHEQUE = "CHEQUE"
    ACCOUNT_TRANSFER = "ACCOUNT_TRANSFER"


class PaymentStatus(StrEnum):
    """Where the money is."""

    INIT = "INIT"
    PROCESS = "PROCESS"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    PENDING = "PENDING"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"
    REFUNDED = "REFUNDED"
    IN_PROCESS = "IN_PROCESS"
