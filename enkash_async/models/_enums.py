"""EnKash's words as open enums: a word outside the list becomes a value, never an error.

EnKash's examples use words that its own lists lack (`COMPLETED`, `MUMBAI`), so every enum here is open.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from pydantic_core import CoreSchema

__all__ = [
    "ApprovalStatus",
    "BillCopyStatus",
    "BillPayStatus",
    "BillerType",
    "Circle",
    "OpenEnum",
    "Outcome",
    "PaymentMode",
    "PaymentStatus",
    "PaymentType",
    "WebhookEvent",
]


class OpenEnum(enum.StrEnum):
    """A string enum that also accepts words outside its list.

    `PaymentStatus("COMPLETED")` is a value whose `.value` is `"COMPLETED"` and whose `.is_known` is False. Values
    compare and hash like the plain string: `bill.payment_status == "COMPLETED"`.
    """

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, str):
            return None
        # Do not store the new value in the class: a stream of made-up words would make the class grow without limit.
        plain = str.__str__(value)  # the text of `value`, which may be a member of another enum
        word = str.__new__(cls, plain)
        word._name_ = plain
        word._value_ = plain
        return word

    @property
    def is_known(self) -> bool:
        """Whether EnKash's pages list this word."""
        return self._value_ in type(self)._value2member_map_

    def __reduce_ex__(self, protocol: object) -> tuple[type[Self], tuple[str]]:
        # Pickle by value: Python 3.11.0 to 3.11.3 would pickle by name, and the class has no name for an unlisted word.
        return type(self), (self._value_,)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> CoreSchema:
        """Return how pydantic reads and writes a word."""
        from enkash_async.models._pydantic import word_schema  # noqa: PLC0415 (pydantic is no dependency)

        return word_schema(cls)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __repr__(self) -> str:
        mark = "" if self.is_known else " (not a documented word)"
        return f"<{type(self).__name__} {self._value_!r}{mark}>"


class Outcome(enum.StrEnum):
    """What became of a bill, read from `billpay_status` alone.

    `SUCCESS` is PAID and `FAILED` is FAILED. Every other word, known or not, is PENDING, and so is a missing status.
    EnKash page: Get Utility Bill Status (api-10664797).
    """

    PAID = "PAID"
    FAILED = "FAILED"
    PENDING = "PENDING"


class Circle(OpenEnum):
    """Telecom circle or Torrent Power town (`circle`, `circleEnum`); EnKash page: Fetch Current Bill (api-10664798)."""

    AP = "AP"
    ASM = "ASM"
    BIH = "BIH"
    CHE = "CHE"
    DEL = "DEL"
    GUJ = "GUJ"
    HAR = "HAR"
    HP = "HP"
    JK = "JK"
    KK = "KK"  # Karnataka
    KER = "KER"
    KOL = "KOL"
    MAH = "MAH"
    MP = "MP"
    MUM = "MUM"
    NE = "NE"
    ORI = "ORI"
    PUN = "PUN"
    RAJ = "RAJ"
    TN = "TN"
    UPE = "UPE"
    UPW = "UPW"
    WB = "WB"
    ALL = "ALL"
    AGRA = "AGRA"
    AHM = "AHM"
    BHIWANDI = "BHIWANDI"
    SURAT = "SURAT"
    # EnKash's page prints its words without separators, so this may be three words. Most likely, it is one word, for an
    # area of Torrent Power. The enum is open, so it accepts the three words too.
    SHILMUMBRAKALWA = "SHILMUMBRAKALWA"


class PaymentStatus(OpenEnum):
    """Where the money is (`paymentStatus`); EnKash page: Get Utility Bill By Reference ID (api-10664801)."""

    INIT = "INIT"
    PROCESS = "PROCESS"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    PENDING = "PENDING"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"
    PARTIAL_REFUNDED = "PARTIAL_REFUNDED"
    REFUNDED = "REFUNDED"
    IN_PROCESS = "IN_PROCESS"
    AUTHENTICATION_IN_PROCESS = "AUTHENTICATION_IN_PROCESS"
    OTP_RENDERED = "OTP_RENDERED"
    CHECKOUT_RENDERED = "CHECKOUT_RENDERED"
    MPI_PROCESSED = "MPI_PROCESSED"
    MPI_RENDERED = "MPI_RENDERED"
    REFUND_IN_PROGRESS = "REFUND_IN_PROGRESS"
    REFUND_REQUESTED = "REFUND_REQUESTED"
    PENDING_WITH_BANK = "PENDING_WITH_BANK"
    SWAPPED = "SWAPPED"
    PAID_OFFLINE = "PAID_OFFLINE"
    PARTIAL_PAID = "PARTIAL_PAID"


class BillPayStatus(OpenEnum):
    """Where the bill stands with Bharat Connect (`billpayStatus`); page: Get Utility Bill Status (api-10664797)."""

    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    PENDING = "PENDING"
    IN_PROGRESS = "IN_PROGRESS"
    ON_HOLD = "ON_HOLD"
    REINITIATE = "REINITIATE"
    AGENCY_FAILED = "AGENCY_FAILED"


class ApprovalStatus(OpenEnum):
    """Whether the debit was confirmed (`approvalStatus`); EnKash does not document all words (api-10664797)."""

    MAKER_APPROVAL_PENDING = "MAKER_APPROVAL_PENDING"
    CHECKER_APPROVED = "CHECKER_APPROVED"


class PaymentMode(OpenEnum):
    """How the money was paid (`paymentMode`); EnKash page: Get Utility Bill By Reference ID (api-10664801)."""

    CREDIT_CARD = "CREDIT_CARD"
    DEBIT_CARD = "DEBIT_CARD"
    NET_BANKING = "NET_BANKING"
    UPI = "UPI"
    PREPAID_CARD = "PREPAID_CARD"
    INVALID_PAYMENT_MODE = "INVALID_PAYMENT_MODE"
    SEAMLESS_BANKING = "SEAMLESS_BANKING"
    VIRTUAL_ACCOUNT = "VIRTUAL_ACCOUNT"
    TALLY_PAYMENT = "TALLY_PAYMENT"
    ENKASH_COIN = "ENKASH_COIN"
    CASH = "CASH"
    CHEQUE = "CHEQUE"
    ACCOUNT_TRANSFER = "ACCOUNT_TRANSFER"


class BillCopyStatus(OpenEnum):
    """State of the bill's PDF copy (`billCopyStatus`); EnKash page: Bill Payment Webhook (api-12515630)."""

    FAILED = "FAILED"
    PENDING = "PENDING"
    SUCCESS = "SUCCESS"


class BillerType(OpenEnum):
    """Category of a biller (`billerType`); EnKash documents only one word (api-12515630)."""

    ELECTRICITY = "ELECTRICITY"


class PaymentType(OpenEnum):
    """What a payment request pays for (`paymentType`); EnKash page: Payment Request (api-18880652)."""

    INVOICE = "INVOICE"
    GST = "GST"
    UTILITY = "UTILITY"
    RENTAL = "RENTAL"
    CONSENT_TRANSACTION = "CONSENT_TRANSACTION"
    COLLECTION_INVOICE = "COLLECTION_INVOICE"
    ADVANCE_PAYMENT = "ADVANCE_PAYMENT"


class WebhookEvent(OpenEnum):
    """An event that EnKash posts to a webhook (`events`); EnKash page: Create Webhook Configuration (api-10664805)."""

    UTILITY_BILLPAY_SUCCESS = "UTILITY_BILLPAY_SUCCESS"
    UTILITY_BILLPAY_FAILED = "UTILITY_BILLPAY_FAILED"
    UTILITY_BILLPAY_PENDING = "UTILITY_BILLPAY_PENDING"
    PAYOUT_SUCCESS = "PAYOUT_SUCCESS"
    PAYOUT_FAILED = "PAYOUT_FAILED"
    PAYOUT_PENDING = "PAYOUT_PENDING"
