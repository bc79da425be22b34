"""The values that the sandbox keeps: consumers, their bills, and how far each payment has come."""

from __future__ import annotations

import enum
import hashlib
import json
import math
from collections.abc import Mapping
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Literal, TypeAlias

import attrs

from enkash_async.sandbox._catalogue import Biller

__all__ = [
    "IST",
    "WAITING",
    "Bill",
    "CompanyBiller",
    "ConfirmStyle",
    "Confirmed",
    "Debit",
    "Stage",
    "UtilityPayment",
    "due_bill",
]

IST = timezone(timedelta(hours=5, minutes=30), "IST")

ConfirmStyle: TypeAlias = Literal["whole", "until_bad", "report_bad"]

_NAMES = ("Asha Rao", "Bilal Khan", "Chitra Menon", "Dev Patel", "Esther Lobo", "Farah Shaikh", "Gurpreet Singh")
_PAISE = Decimal("0.01")


@attrs.frozen(kw_only=True)
class CompanyBiller:
    """A consumer of a biller, as enrolled by the company.

    The consumer's id and invented facts depend only on biller, inputs and circle, so that every run of a test sees the
    same amounts.

    Attributes:
        digest: A large number derived from biller, inputs and circle.

    EnKash page: Setup Webhook Endpoint (api-12515630), `companyBiller`.
    """

    biller: Biller
    params: Mapping[str, str]
    circle: str | None = None
    # Computed once, since each create and each look-up uses it several times.
    digest: int = attrs.field(init=False, eq=False, repr=False)

    @digest.default
    def _digest(self) -> int:
        who = json.dumps([self.biller.biller_id, self.circle, sorted(self.params.items())])
        return int.from_bytes(hashlib.sha256(who.encode()).digest())

    @property
    def consumer_number(self) -> str:
        """The `cn` of the bill parameters."""
        return self.params["cn"]

    @property
    def company_biller_id(self) -> str:
        """EnKash's id of the enrolment."""
        return f"CB-{self.digest % 16**12:012X}"

    @property
    def consumer_name(self) -> str:
        """The name on the bill."""
        return _NAMES[self.digest % len(_NAMES)]


@attrs.frozen(kw_only=True)
class Bill:
    """What a biller asks a consumer to pay; amounts in rupees.

    EnKash page: Fetch Current Bill (api-10664798).
    """

    bill_number: str | None
    bill_amount: Decimal
    net_amount: Decimal
    bill_date: date | None
    due_date: date | None
    actual_due_date: date | None
    start_date: date | None
    end_date: date | None
    early_date: date | None
    early_amount: Decimal | None
    late_amount: Decimal | None
    bill_id: str | None
    validation_id: str | None
    units: int | None


def due_bill(company_biller: CompanyBiller, today: date) -> Bill:
    """Return the bill that a consumer has open today.

    Args:
        company_biller: The consumer, which alone determines the amount: 100.00 to 9999.99 rupees.
        today: Day from which the dates of the bill are counted.
    """
    digest = company_biller.digest
    amount = Decimal(10_000 + digest % 990_000).scaleb(-2)
    return Bill(
        bill_number=f"BN{digest % 10**10:010d}",
        bill_amount=amount,
        net_amount=amount,
        bill_date=today - timedelta(days=10),
        due_date=today + timedelta(days=10),
        actual_due_date=today + timedelta(days=10),
        start_date=today - timedelta(days=40),
        end_date=today - timedelta(days=10),
        early_date=today + timedelta(days=3),
        early_amount=(amount * Decimal("0.98")).quantize(_PAISE),
        late_amount=amount + 50,
        bill_id=f"BILL-{digest % 16**10:010X}",
        validation_id=f"VAL-{digest % 16**8:08X}",
        units=digest % 900 if company_biller.biller.biller_type == "ELECTRICITY" else None,
    )


class Stage(enum.Enum):
    """How far a payment has come, with the three status words that EnKash shows for it.

    EnKash pages: Get Utility Bill Status (api-10664797), Get Utility Bill By Reference ID (api-10664801).
    """

    CREATED = ("MAKER_APPROVAL_PENDING", "INIT", "PENDING")
    CONFIRMED = ("APPROVED", "IN_PROCESS", "IN_PROGRESS")
    PAID = ("APPROVED", "SUCCESS", "SUCCESS")
    REFUNDING = ("APPROVED", "REFUND_IN_PROGRESS", "FAILED")
    REINITIATED = ("APPROVED", "IN_PROCESS", "REINITIATE")
    REFUNDED = ("APPROVED", "REFUNDED", "FAILED")

    def __init__(self, approval_status: str, payment_status: str, billpay_status: str) -> None:
        self.approval_status = approval_status
        self.payment_status = payment_status
        self.billpay_status = billpay_status


#: The stages that end by themselves after a while.
WAITING = (Stage.CONFIRMED, Stage.REFUNDING, Stage.REINITIATED)


@attrs.frozen(kw_only=True)
class UtilityPayment:
    """A bill that was handed to EnKash to be paid; instants are aware, `amount` is in rupees.

    Attributes:
        since: When the payment entered its stage.
        rejections: How often the biller has rejected the payment.

    EnKash page: Get Utility Bill Status (api-10664797).
    """

    utility_enkash_id: str
    reference_id: str
    company_biller: CompanyBiller
    bill: Bill
    remarks: str | None
    created_at: datetime
    since: datetime
    stage: Stage = Stage.CREATED
    rejections: int = 0
    approval_remarks: str | None = None
    confirmed_at: datetime | None = None
    settled_at: datetime | None = None
    refunded_at: datetime | None = None

    @property
    def amount(self) -> Decimal:
        """Rupees to debit, which may differ from the whole bill."""
        return self.bill.net_amount

    @property
    def bill_reference_id(self) -> str | None:
        """The BBPS reference of a paid bill; None until then."""
        return f"BBPS-{self.utility_enkash_id}" if self.stage is Stage.PAID else None

    @property
    def paid_at(self) -> datetime | None:
        """When the biller received the money; None for an open or a failed payment."""
        return self.settled_at if self.stage is Stage.PAID else None

    @property
    def failed(self) -> bool:
        """Whether the biller sent the money back."""
        return self.stage in (Stage.REFUNDING, Stage.REFUNDED)

    def confirmed(self, now: datetime, remarks: str | None) -> UtilityPayment:
        """Return the payment with its debit confirmed."""
        return attrs.evolve(self, stage=Stage.CONFIRMED, since=now, confirmed_at=now, approval_remarks=remarks)

    def changes_in(self, now: datetime, *, settle_after: float, refund_after: float) -> float:
        """Return the seconds until the payment changes by itself: 0 or less if it is due, infinity if it never changes.

        Args:
            now: The present instant.
            settle_after: Seconds from confirmation, or from another try, to SUCCESS or FAILED; infinity for never.
            refund_after: Seconds from FAILED to REFUNDED or to another try; infinity for never.
        """
        if self.stage not in WAITING:
            return math.inf
        # Plain seconds, since a timedelta cannot be infinite.
        return self._delay(settle_after, refund_after) - (now - self.since).total_seconds()

    def changed_at(self, now: datetime, *, settle_after: float, refund_after: float) -> UtilityPayment | None:
        """Return the payment in its next stage, with the instant at which that stage began; None if no change is due.

        Args:
            now: The present instant; the returned payment may be due for another change.
            settle_after: As for `changes_in`.
            refund_after: As for `changes_in`.
        """
        if self.changes_in(now, settle_after=settle_after, refund_after=refund_after) > 0:
            return None
        then = self.since + timedelta(seconds=self._delay(settle_after, refund_after))
        if self.stage is not Stage.REFUNDING:
            return self._settled(then)
        if self.rejections <= self.company_biller.biller.reinitiations:
            return attrs.evolve(self, stage=Stage.REINITIATED, since=then)
        return attrs.evolve(self, stage=Stage.REFUNDED, since=then, refunded_at=then)

    def _delay(self, settle_after: float, refund_after: float) -> float:
        return refund_after if self.stage is Stage.REFUNDING else settle_after

    def _settled(self, then: datetime) -> UtilityPayment:
        if self.rejections < self.company_biller.biller.rejections:
            return attrs.evolve(
                self, stage=Stage.REFUNDING, since=then, settled_at=then, rejections=self.rejections + 1
            )
        return attrs.evolve(self, stage=Stage.PAID, since=then, settled_at=then)


@attrs.frozen
class Debit:
    """Money taken from the company's account for one bill.

    Args:
        utility_enkash_id: EnKash's id of the bill.
        reference_id: The caller's id of the bill.
        amount: Rupees taken.
        at: Instant of the debit, aware.
    """

    utility_enkash_id: str
    reference_id: str
    amount: Decimal
    at: datetime


@attrs.frozen
class Confirmed:
    """What a confirmation did.

    Args:
        payments: The payments of the bills that can be confirmed.
        refused: The reason for each id that cannot be confirmed.
    """

    payments: list[UtilityPayment]
    refused: Mapping[str, str]
