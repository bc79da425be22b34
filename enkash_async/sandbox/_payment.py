"""The values that the sandbox keeps: consumers, their bills, and how far each payment has come."""

from __future__ import annotations

import enum
import hashlib
import json
import math
from collections.abc import Mapping
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal

import attrs

from enkash_async.sandbox._catalogue import Biller

__all__ = ["IST", "Bill", "CompanyBiller", "Debit", "Stage", "UtilityPayment", "due_bill"]

IST = timezone(timedelta(hours=5, minutes=30), "IST")

_NAMES = ("Asha Rao", "Bilal Khan", "Chitra Menon", "Dev Patel", "Esther Lobo", "Farah Shaikh", "Gurpreet Singh")
_PAISE = Decimal("0.01")


@attrs.frozen(kw_only=True)
class CompanyBiller:
    """A consumer of a biller, as enrolled by the company.

    Biller, inputs and circle alone determine the consumer's id and invented facts, so that every run of a test sees the
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
    REFUNDED = ("APPROVED", "REFUNDED", "FAILED")

    def __init__(self, approval_status: str, payment_status: str, billpay_status: str) -> None:
        self.approval_status = approval_status
        self.payment_status = payment_status
        self.billpay_status = billpay_status


@attrs.frozen(kw_only=True)
class UtilityPayment:
    """A bill that was handed to EnKash to be paid; instants are aware, `amount` is in rupees.

    EnKash page: Get Utility Bill Status (api-10664797).
    """

    utility_enkash_id: str
    reference_id: str
    company_biller: CompanyBiller
    bill: Bill
    remarks: str | None
    created_at: datetime
    stage: Stage = Stage.CREATED
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
        return attrs.evolve(self, stage=Stage.CONFIRMED, confirmed_at=now, approval_remarks=remarks)

    @property
    def waits_since(self) -> datetime | None:
        """When the payment entered its stage, if the stage ends by itself after a while; otherwise None."""
        match self.stage:
            case Stage.CONFIRMED:
                return self.confirmed_at
            case Stage.REFUNDING:
                return self.settled_at
            case _:
                return None

    def changes_in(self, now: datetime, *, settle_after: float, refund_after: float) -> float:
        """Return the seconds until the payment changes by itself: 0 or less when due, infinity for never.

        Args:
            now: The present instant.
            settle_after: Seconds from confirmation to SUCCESS or FAILED; infinity for never.
            refund_after: Seconds from FAILED to REFUNDED; infinity for never.
        """
        if self.waits_since is None:
            return math.inf
        # Plain seconds, since a timedelta cannot be infinite.
        delay = settle_after if self.stage is Stage.CONFIRMED else refund_after
        return delay - (now - self.waits_since).total_seconds()

    def changed_at(self, now: datetime, *, settle_after: float, refund_after: float) -> UtilityPayment | None:
        """Return the payment in its next stage, dated when it entered the stage; None when it is not due.

        Args:
            now: The present instant; the returned payment may be due for another change.
            settle_after: As for `changes_in`.
            refund_after: As for `changes_in`.
        """
        since = self.waits_since
        if self.changes_in(now, settle_after=settle_after, refund_after=refund_after) > 0 or since is None:
            return None
        if self.stage is Stage.REFUNDING:
            return attrs.evolve(self, stage=Stage.REFUNDED, refunded_at=since + timedelta(seconds=refund_after))
        stage = Stage.REFUNDING if self.company_biller.biller.rejects_payments else Stage.PAID
        return attrs.evolve(self, stage=stage, settled_at=since + timedelta(seconds=settle_after))


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
