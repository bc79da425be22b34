"""An EnKash in memory, without HTTP: billers, bills, payments and debits, driven by a clock that the caller gives."""

from __future__ import annotations

import enum
import math
import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import attrs

from enkash_async._support.clock import loop_now
from enkash_async.sandbox._accounts import Accounts
from enkash_async.sandbox._catalogue import BILLERS, Biller
from enkash_async.sandbox._payment import IST, Bill, CompanyBiller, Debit, Stage, UtilityPayment, due_bill
from enkash_async.sandbox._registration import Registration
from enkash_async.sandbox._search import Query
from enkash_async.sandbox._timetable import Timetable
from enkash_async.tokens._credentials import Credentials

__all__ = ["FetchFailedError", "Ledger", "Refusal", "RefusedError"]


class Refusal(enum.Enum):
    """Why the ledger refuses a request."""

    INVALID = enum.auto()
    NOT_FOUND = enum.auto()
    UNKNOWN_BILLER = enum.auto()
    INACTIVE_BILLER = enum.auto()
    DUPLICATE_REFERENCE = enum.auto()
    VELOCITY = enum.auto()


class RefusedError(Exception):
    """The ledger refuses a request and has changed nothing.

    Args:
        refusal: The reason.
        text: The reason in words, for the payload of the reply.
    """

    def __init__(self, refusal: Refusal, text: str) -> None:
        super().__init__(text)
        self.refusal = refusal
        self.text = text


class FetchFailedError(Exception):
    """The biller shows no bill; the text of the error is the `statusMessage`."""


def _random_id() -> str:
    return secrets.token_hex(8).upper()


def _lifetime(_: Ledger, attribute: attrs.Attribute[float], value: float) -> None:
    # The login announces the lifetime as a whole number, which infinity is not.
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{attribute.name} must be a finite number of seconds above 0, not {value!r}")


def _delay(_: Ledger, attribute: attrs.Attribute[float], value: float) -> None:
    if not value >= 0:
        raise ValueError(f"{attribute.name} must be 0 seconds or more, not {value!r}")


@attrs.define(kw_only=True, eq=False)
class Ledger:
    """An EnKash in memory; reading a payment settles it, if the clock says that it is due.

    Limits and delays may be changed at any time. A paid bill stays open at its biller, so that a test can use one
    consumer again and again.

    Args:
        credentials: Credentials that a login must send.
        token_lifetime: Seconds that a new token is valid.
        settle_after: Seconds from the confirmation of a debit to SUCCESS or FAILED; `math.inf` settles nothing.
        refund_after: Seconds from FAILED to REFUNDED.
        max_amount: Most rupees of a single bill; more is refused with response_code 36.
        max_creates: Most bills in all; one more is refused with response_code 36. None sets no limit.
        repeat_debits: Whether a second call that confirms a bill debits it again. EnKash does not document this. False
            ignores the second call; True is the worst case, for tests that must detect a confirmation sent twice. A
            bill that one call names twice is debited once in both cases.
        billers: The billers that exist.
        clock: Returns seconds that only grow; every instant of the ledger derives from it.
        opened_at: Instant, aware, of the clock's first reading.
        new_id: Returns a text that it has not returned before.
        on_change: Called with each payment that was created or entered another stage, once for each stage and in order;
            the sandbox posts its webhooks from here.
        on_register: Called after a webhook was registered; the sandbox then watches for bills that are due.

    Attributes:
        company_name: Name of the company that owns the account.
        debits: Money taken from the account, one entry for each bill that was confirmed, and with `repeat_debits` one
            for each further confirmation.
        accounts: The user, the lock and the tokens.
        registrations: The webhooks by URL; removing one ends its posts.

    Raises:
        ValueError: The token lifetime is not a finite number above 0, or a delay is negative.
    """

    credentials: Credentials = attrs.field(on_setattr=attrs.setters.frozen)
    token_lifetime: float = attrs.field(default=3600.0, validator=_lifetime)
    settle_after: float = attrs.field(default=0.5, validator=_delay)
    refund_after: float = attrs.field(default=0.0, validator=_delay)
    max_amount: Decimal = Decimal(200_000)
    max_creates: int | None = None
    repeat_debits: bool = False
    billers: Sequence[Biller] = BILLERS
    clock: Callable[[], float] = loop_now
    opened_at: datetime = attrs.field(factory=lambda: datetime.now(UTC))
    new_id: Callable[[], str] = _random_id
    on_change: Callable[[UtilityPayment], None] | None = attrs.field(default=None, repr=False)
    on_register: Callable[[], None] | None = attrs.field(default=None, repr=False)
    company_name: str = "Sandbox Traders Private Limited"
    debits: list[Debit] = attrs.field(factory=list, init=False)
    accounts: Accounts = attrs.field(init=False)
    registrations: dict[str, Registration] = attrs.field(factory=dict, init=False)
    _started: float = attrs.field(init=False)
    _enrolled: dict[str, CompanyBiller] = attrs.field(factory=dict, init=False, repr=False)
    _payments: dict[str, UtilityPayment] = attrs.field(factory=dict, init=False, repr=False)
    _by_reference: dict[str, str] = attrs.field(factory=dict, init=False, repr=False)
    _positions: dict[str, int] = attrs.field(factory=dict, init=False, repr=False)

    _timetable: Timetable = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._started = self.clock()
        self._timetable = Timetable(self._payments)
        self.accounts = Accounts(
            credentials=self.credentials, lifetime=lambda: self.token_lifetime, now=self.now, new_id=self.new_id
        )

    @property
    def company_id(self) -> str:
        """EnKash's id of the company: the client id of its login form."""
        return self.credentials.form_client_id or self.credentials.client_id

    def now(self) -> datetime:
        """Return the present instant, aware."""
        return self.opened_at + timedelta(seconds=self.clock() - self._started)

    def revoke_tokens(self) -> None:
        """Make every token issued so far unknown."""
        self.accounts.revoke_tokens()

    def enrol(self, biller_id: int, params: Mapping[str, str], circle: str | None = None) -> CompanyBiller:
        """Enrol a consumer with a biller; enrolling the same consumer again returns the first enrolment.

        Args:
            biller_id: Id of a biller in `billers`.
            params: `cn`, and the other inputs that the biller needs.
            circle: The consumer's circle, for a biller with circles.

        Raises:
            RefusedError: The biller is unknown or inactive, or an input or the circle is missing or wrong.
        """
        biller = self._biller(biller_id)
        for wanted in biller.inputs:
            if wanted.required and not params.get(wanted.key):
                raise RefusedError(Refusal.INVALID, f"billParams.{wanted.key} ({wanted.name}) is required")
        if biller.circles and circle not in biller.circles:
            raise RefusedError(Refusal.INVALID, f"circle must be one of {', '.join(sorted(biller.circles))}")
        enrolled = CompanyBiller(biller=biller, params=dict(params), circle=circle)
        return self._enrolled.setdefault(enrolled.company_biller_id, enrolled)

    def _biller(self, biller_id: int) -> Biller:
        biller = next((biller for biller in self.billers if biller.biller_id == biller_id), None)
        if biller is None:
            raise RefusedError(Refusal.UNKNOWN_BILLER, "Invalid biller id")
        if not biller.active:
            raise RefusedError(Refusal.INACTIVE_BILLER, "Biller is not active")
        return biller

    def enrolment(self, company_biller_id: str) -> CompanyBiller:
        """Return an enrolment by its id.

        Raises:
            RefusedError: No enrolment has this id.
        """
        if company_biller_id not in self._enrolled:
            raise RefusedError(Refusal.INVALID, "Invalid companyBillerId")
        return self._enrolled[company_biller_id]

    def due(self, company_biller: CompanyBiller) -> Bill:
        """Return the bill that a consumer has open today, Indian time, even if a fetch would fail."""
        return due_bill(company_biller, self._today())

    def _today(self) -> date:
        return self.now().astimezone(IST).date()

    def fetch(self, company_biller: CompanyBiller) -> Bill:
        """Return the bill that the biller shows for a consumer.

        Raises:
            FetchFailedError: The biller does not answer.
        """
        if company_biller.biller.fetch_failure is not None:
            raise FetchFailedError(company_biller.biller.fetch_failure)
        return self.due(company_biller)

    def create(
        self, company_biller: CompanyBiller, bill: Bill, *, reference_id: str | None = None, remarks: str | None = None
    ) -> UtilityPayment:
        """Accept a bill to be paid; no money moves yet.

        Args:
            company_biller: Enrolment of the consumer.
            bill: The bill; its net amount will be debited.
            reference_id: The caller's id; None makes one up.
            remarks: A note to keep with the bill.

        Raises:
            RefusedError: The reference was used before, or the bill exceeds `max_amount` or `max_creates`.
        """
        if reference_id in self._by_reference:
            raise RefusedError(Refusal.DUPLICATE_REFERENCE, "referenceId already used")
        self._check_velocity(bill.net_amount)
        payment = UtilityPayment(
            utility_enkash_id=f"UTIL-{self.new_id()}",
            reference_id=f"REF-{self.new_id()}" if reference_id is None else reference_id,
            company_biller=company_biller,
            bill=bill,
            remarks=remarks,
            created_at=self.now(),
        )
        self._positions[payment.utility_enkash_id] = len(self._payments)
        self._by_reference[payment.reference_id] = payment.utility_enkash_id
        return self._keep(payment)

    def _keep(self, payment: UtilityPayment) -> UtilityPayment:
        self._payments[payment.utility_enkash_id] = payment
        self._timetable.enter(payment)
        if self.on_change is not None:
            self.on_change(payment)
        return payment

    def _check_velocity(self, amount: Decimal) -> None:
        full = self.max_creates is not None and len(self._payments) >= self.max_creates
        if full or amount > self.max_amount:
            raise RefusedError(Refusal.VELOCITY, "Velocity limit breached")

    def get(self, utility_enkash_id: str) -> UtilityPayment:
        """Return a payment in its present state.

        Raises:
            RefusedError: No payment has this id.
        """
        payment = self._payments.get(utility_enkash_id)
        if payment is None:
            raise RefusedError(Refusal.NOT_FOUND, "No utility payment found")
        now = self.now()
        # Each change is stored: otherwise a longer delay, set later, would make a settled payment pending again.
        while (
            changed := payment.changed_at(now, settle_after=self.settle_after, refund_after=self.refund_after)
        ) is not None:
            payment = self._keep(changed)
        return payment

    def next_change(self) -> float | None:
        """Return the seconds until a payment next changes by itself, 0 or less when one is due.

        Infinity means that no payment will change unless the delays do; None, that no payment waits for a change.
        """
        following = self._next()
        return None if following is None else following[0]

    def read_due(self, most: int) -> int:
        """Read payments that are due for a change.

        Args:
            most: Most payments to read.

        Returns:
            The number of payments read.
        """
        for count in range(most):
            following = self._next()
            if following is None or following[0] > 0:
                return count
            self.get(following[1])
        return most

    def _next(self) -> tuple[float, str] | None:
        """Return the seconds until the next payment changes by itself, and its id; None if no payment waits."""
        now = self.now()
        waits = (
            (payment.changes_in(now, settle_after=self.settle_after, refund_after=self.refund_after), key)
            for key, payment in self._timetable.first()
        )
        return min(waits, default=None)

    def get_by_reference(self, reference_id: str) -> UtilityPayment:
        """Return a payment in its present state, by the caller's id.

        Raises:
            RefusedError: No payment has this id.
        """
        return self.get(self._by_reference.get(reference_id, ""))

    def search(self, query: Query | None = None) -> list[UtilityPayment]:
        """Return the payments that a query selects, oldest first, in their present state; None selects up to 5,000."""
        query = query or Query()
        return query.select(self.get(key) for key in self._candidates(query))

    def _candidates(self, query: Query) -> list[str]:
        # Saves a walk through all payments: a poller asks for a hundred among ten thousand, again and again.
        if query.ids is None:
            return list(self._payments)
        return sorted((key for key in query.ids if key in self._positions), key=self._positions.__getitem__)

    def confirm(self, utility_enkash_ids: Sequence[str], remarks: str | None = None) -> list[UtilityPayment]:
        """Confirm the debits of payments; a payment confirmed before is debited again only with `repeat_debits`.

        Args:
            utility_enkash_ids: Ids of the payments.
            remarks: A note to keep with the payments that this call confirms.

        Raises:
            RefusedError: One of the payments does not exist; then none is confirmed.
        """
        payments = [self.get(key) for key in dict.fromkeys(utility_enkash_ids)]
        return [self._confirm(payment, remarks) for payment in payments]

    def _confirm(self, payment: UtilityPayment, remarks: str | None) -> UtilityPayment:
        first = payment.stage is Stage.CREATED
        if first or self.repeat_debits:
            self.debits.append(Debit(payment.utility_enkash_id, payment.reference_id, payment.amount, self.now()))
        if first:
            payment = self._keep(payment.confirmed(self.now(), remarks))
        return payment

    def register(self, registration: Registration) -> None:
        """Register a webhook; it replaces one with the same URL."""
        self.registrations[registration.webhook_url] = registration
        if self.on_register is not None:
            self.on_register()
