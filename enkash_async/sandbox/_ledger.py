"""An EnKash in memory, without HTTP: billers, bills, payments and debits; time comes from the caller's clock."""

from __future__ import annotations

import math
import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import get_args

import attrs

from enkash_async._support.clock import loop_now
from enkash_async.sandbox._accounts import Accounts
from enkash_async.sandbox._catalogue import BILLERS, Biller
from enkash_async.sandbox._display import Display
from enkash_async.sandbox._payment import (
    IST,
    Bill,
    CompanyBiller,
    Confirmed,
    ConfirmStyle,
    Debit,
    Stage,
    UtilityPayment,
    due_bill,
)
from enkash_async.sandbox._refusals import FetchFailedError, Refusal, RefusedError
from enkash_async.sandbox._registration import Registration
from enkash_async.sandbox._search import Query
from enkash_async.sandbox._timetable import Timetable
from enkash_async.tokens._credentials import Credentials

__all__ = ["Ledger"]


_NOT_FOUND = "No utility payment found"


def _random_id() -> str:
    return secrets.token_hex(8).upper()


def _lifetime(_: Ledger, attribute: attrs.Attribute[float], value: float) -> None:
    # Refuses infinity: the login announces the lifetime as a whole number.
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{attribute.name} must be a finite number of seconds above 0, not {value!r}")


def _delay(_: Ledger, attribute: attrs.Attribute[float], value: float) -> None:
    if not value >= 0:
        raise ValueError(f"{attribute.name} must be 0 seconds or more, not {value!r}")


def _style(_: Ledger, attribute: attrs.Attribute[str], value: str) -> None:
    if value not in get_args(ConfirmStyle):
        raise ValueError(f"unknown {attribute.name} {value!r}; use one of {', '.join(get_args(ConfirmStyle))}")


@attrs.define(kw_only=True, eq=False)
class Ledger:
    """An EnKash in memory; a payment that is due settles when it is read.

    Limits and delays may be changed at any time. A paid bill stays open at its biller, so that a test can use one
    consumer again and again.

    Args:
        credentials: Credentials that a login must send.
        token_lifetime: Seconds that a new token is valid.
        settle_after: Seconds from the confirmation of a debit to SUCCESS or FAILED; `math.inf` settles nothing.
        refund_after: Seconds from FAILED to REFUNDED, or to REINITIATE where EnKash tries again.
        read_lag: Seconds from a change of a bill, its creation included, until a look-up by id or reference shows it.
            Applies to changes made while this value is set, like `search_lag`.
        search_lag: Seconds from a change of a bill until a search shows the change; `math.inf` never shows a change.
        max_amount: Most rupees of a single bill; a higher amount is refused with response_code 36.
        max_creates: Most bills in all; each further bill is refused with response_code 36. None sets no limit.
        repeat_debits: Whether a second call that confirms a bill debits it again. EnKash does not document this. False
            ignores the second call; True is the worst case, for tests that must detect a confirmation sent twice. A
            bill that one call names twice is debited once in both cases.
        debit_on_create: Whether creating a bill debits it. EnKash documents such accounts, which need no confirmation.
            A confirmation that is sent nevertheless counts as a further one: see `repeat_debits`.
        amount_shift: Rupees by which the amount of a created bill exceeds the amount that was fetched or asked for,
            as when the biller changes the bill between fetch and create.
        confirm_style: What a confirmation with an id that cannot be confirmed does. `whole` refuses it with 400 and
            debits nothing; `until_bad` debits the ids before the bad one, then answers 400; `report_bad` debits all
            good ids and answers success, with the bad ones in the payload. EnKash does not document this.
        billers: The billers that exist.
        clock: Monotonic clock in seconds; every instant of the ledger is computed from this clock.
        opened_at: Aware date-time that corresponds to the clock's first reading.
        new_id: Returns a unique text.
        on_change: Called with each payment that was created or entered another stage, once for each stage and in order;
            the sandbox posts its webhooks from here.
        on_register: Called after a webhook was registered; the sandbox then watches for bills that are due.

    Attributes:
        company_name: Name of the company that owns the account.
        debits: Money taken from the account, one entry for each bill that was debited, and with `repeat_debits` one
            for each further confirmation.
        accounts: The user, the lock and the tokens.
        registrations: The webhooks by URL; removing one ends its posts.

    Raises:
        ValueError: The token lifetime is not a finite number above 0, a delay or lag is negative, or the style is
            unknown.
    """

    credentials: Credentials = attrs.field(on_setattr=attrs.setters.frozen)
    token_lifetime: float = attrs.field(default=3600.0, validator=_lifetime)
    settle_after: float = attrs.field(default=0.5, validator=_delay)
    refund_after: float = attrs.field(default=0.0, validator=_delay)
    read_lag: float = attrs.field(default=0.0, validator=_delay)
    search_lag: float = attrs.field(default=0.0, validator=_delay)
    max_amount: Decimal = Decimal(200_000)
    max_creates: int | None = None
    repeat_debits: bool = False
    debit_on_create: bool = False
    amount_shift: Decimal = Decimal(0)
    confirm_style: ConfirmStyle = attrs.field(default="whole", validator=_style)
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
    _read: Display = attrs.field(factory=Display, init=False, repr=False)
    _searched: Display = attrs.field(factory=Display, init=False, repr=False)
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

    def debit_counts(self) -> dict[str, int]:
        """Return how often each bill was debited, by its reference; a bill without a debit counts 0."""
        counts = Counter(debit.reference_id for debit in self.debits)
        return {reference: counts[reference] for reference in self._by_reference}

    def now(self) -> datetime:
        """Return the present instant, aware."""
        return self.opened_at + timedelta(seconds=self.clock() - self._started)

    def revoke_tokens(self) -> None:
        """Revoke every token issued so far."""
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
        """Return the bill that a consumer has open today in India, even if a fetch would fail."""
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
        """Accept a bill to be paid; no money moves yet, unless the account debits on creation.

        Args:
            company_biller: Enrolment of the consumer.
            bill: The bill; its net amount will be debited.
            reference_id: The caller's id of the bill; None generates an id.
            remarks: A note to keep with the bill.

        Raises:
            RefusedError: The reference was used before, or the bill exceeds `max_amount` or `max_creates`.
        """
        if reference_id in self._by_reference:
            raise RefusedError(Refusal.DUPLICATE_REFERENCE, "referenceId already used")
        bill = attrs.evolve(bill, net_amount=bill.net_amount + self.amount_shift)
        self._check_velocity(bill.net_amount)
        payment = UtilityPayment(
            utility_enkash_id=f"UTIL-{self.new_id()}",
            reference_id=f"REF-{self.new_id()}" if reference_id is None else reference_id,
            company_biller=company_biller,
            bill=bill,
            remarks=remarks,
            since=(now := self.now()),
            created_at=now,
        )
        self._positions[payment.utility_enkash_id] = len(self._payments)
        self._by_reference[payment.reference_id] = payment.utility_enkash_id
        payment = self._keep(payment)
        return self._confirm(payment, None) if self.debit_on_create else payment

    def _keep(self, payment: UtilityPayment) -> UtilityPayment:
        before = self._payments.get(payment.utility_enkash_id)
        self._read.note(before, payment, self.read_lag)
        self._searched.note(before, payment, self.search_lag)
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
            raise RefusedError(Refusal.NOT_FOUND, _NOT_FOUND)
        now = self.now()
        # Stores each change: otherwise, a longer delay that is set later would make a settled payment pending again.
        while (
            changed := payment.changed_at(now, settle_after=self.settle_after, refund_after=self.refund_after)
        ) is not None:
            payment = self._keep(changed)
        return payment

    def next_change(self) -> float | None:
        """Return the seconds until the next payment changes by itself; 0 or less if a payment is due.

        Infinity means that no payment changes with the present delays. None means that no payment waits for a change.
        """
        following = self._next()
        return None if following is None else following[0]

    def read_due(self, most: int) -> int:
        """Read payments that are due for a change.

        Args:
            most: The largest number of payments to read.

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

    def look_up(self, payment: UtilityPayment) -> UtilityPayment:
        """Return what a look-up by id or by reference shows of a payment now.

        Raises:
            RefusedError: The payment does not show yet.
        """
        shown = self._read.shown(payment, self.now())
        if shown is None:
            raise RefusedError(Refusal.NOT_FOUND, _NOT_FOUND)
        return shown

    def find(self, query: Query) -> list[UtilityPayment]:
        """Return the payments that a query selects, in the state that searches show now."""
        now = self.now()
        shown = (self._searched.shown(self.get(key), now) for key in self._candidates(query))
        return query.select(payment for payment in shown if payment is not None)

    def search(self, query: Query | None = None) -> list[UtilityPayment]:
        """Return the payments that a query selects, oldest first, in their present state; None selects up to 5,000."""
        query = query or Query()
        return query.select(self.get(key) for key in self._candidates(query))

    def _candidates(self, query: Query) -> list[str]:
        # Avoids a scan of all payments: a poller often asks for a hundred of ten thousand payments.
        if query.ids is None:
            return list(self._payments)
        return sorted((key for key in query.ids if key in self._positions), key=self._positions.__getitem__)

    def confirm(self, utility_enkash_ids: Sequence[str], remarks: str | None = None) -> Confirmed:
        """Confirm the debits of payments; a debited payment is debited again only with `repeat_debits`.

        Args:
            utility_enkash_ids: Ids of the payments.
            remarks: A note to keep with the payments that this call confirms.

        Raises:
            RefusedError: One of the payments does not exist or cannot be confirmed, and `confirm_style` is not
                `report_bad`. With `whole`, no payment is confirmed; with `until_bad`, the payments before
                the refused payment are confirmed.
        """
        ids, payments, refused = dict.fromkeys(utility_enkash_ids), list[UtilityPayment](), dict[str, str]()
        if self.confirm_style == "whole":
            for key in ids:
                self._confirmable(key)
        for key in ids:
            try:
                payments.append(self._confirm(self._confirmable(key), remarks))
            except RefusedError as error:
                if self.confirm_style != "report_bad":
                    raise
                refused[key] = error.text
        return Confirmed(payments, refused)

    def _confirmable(self, key: str) -> UtilityPayment:
        payment = self.get(key)
        if not payment.company_biller.biller.confirmable:
            raise RefusedError(Refusal.NOT_CONFIRMABLE, "The bill cannot be approved")
        return payment

    def _confirm(self, payment: UtilityPayment, remarks: str | None) -> UtilityPayment:
        first = payment.stage is Stage.CREATED
        if first or self.repeat_debits:
            self.debits.append(Debit(payment.utility_enkash_id, payment.reference_id, payment.amount, self.now()))
        if first:
            payment = self._keep(payment.confirmed(self.now(), remarks))
        return payment

    def register(self, registration: Registration) -> None:
        """Register a webhook, which replaces a webhook with the same URL."""
        self.registrations[registration.webhook_url] = registration
        if self.on_register is not None:
            self.on_register()
