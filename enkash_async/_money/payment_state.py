"""What one call of `payments.pay` knows so far, and the ends that it may come to."""

from __future__ import annotations

import enum
from decimal import Decimal
from typing import Any

import attrs

from enkash_async._calls.bills import Wanted
from enkash_async._calls.requests import BillRequest
from enkash_async._money import match as matching
from enkash_async._money.creation import NOTHING, Found
from enkash_async._money.match import Amount, Match
from enkash_async._money.payment import Payment, PaymentState
from enkash_async._support.text import rupees
from enkash_async.errors import EnkashError, RetryAdvice
from enkash_async.models import Bill

__all__ = ["Do", "Options", "Step"]


class Do(enum.Enum):
    """What a step needs next."""

    FIND = "find"
    LOOK = "look"
    READ = "read"
    FETCH = "fetch"
    CREATE = "create"
    CONFIRM = "confirm"
    WAIT = "wait"
    END = "end"


@attrs.frozen
class Options:
    """How a payment is made.

    Attributes:
        wait: Seconds to wait until it is settled; 0 does not look.
        debit_on_create: Whether the create is the debit, so that nothing is confirmed.
        rehearses: Whether nothing is created.
        settled_after: Seconds after which a create that was sent is not under way any more.
    """

    wait: float = 0.0
    debit_on_create: bool = False
    rehearses: bool = False
    settled_after: float = 200.0


@attrs.frozen
class Step:
    """A step.

    Attributes:
        request: What was asked for; with what was fetched, once it was.
        asked: The facts that the caller gave.
        digest: Of the request as it was given.
        known: What the store knew of the reference.
        bill: As EnKash showed it last.
        amount: Rupees of the bill, the larger of two that name one amount.
        is_created: Whether a create of this step brought the bill forth, and EnKash said so.
        is_waiting: Whether its reply shows that the debit waits to be confirmed.
        has_sent: Whether a create of this step went out and was not answered clearly.
        is_absent: Whether a look-up since the last create showed no bill.
        obstacle: What the step tells if a look-up shows no bill.
        patience: Seconds that the look-up may be repeated.
        stops: Why no other payment of this account may go on.
        cause: The failure behind `payment`.
    """

    request: BillRequest
    asked: Wanted
    digest: str
    options: Options
    do: Do = Do.FIND
    known: Found = NOTHING
    bill: Bill | None = None
    amount: Decimal | None = None
    is_created: bool = False
    is_waiting: bool = False
    has_sent: bool = False
    is_absent: bool = False
    obstacle: Payment | None = None
    remark: str = ""
    patience: float = 0.0
    payment: Payment | None = None
    stops: EnkashError | None = None
    cause: EnkashError | None = None

    @property
    def reference_id(self) -> str:
        """The caller's id of the bill."""
        return self.asked.reference_id

    @property
    def bill_id(self) -> str:
        """EnKash's id of the bill, or an empty text."""
        return self.known.utility_enkash_id if self.bill is None else self.bill.utility_enkash_id

    def is_reused(self) -> bool:
        """Whether the store knows that the reference was used for another bill."""
        before = self.known.digest.partition(":")[0]
        return bool(before) and before != self.digest.partition(":")[0]

    def is_own(self, bill: Bill) -> bool:
        """Whether it is known by its id that the bill was created for this request."""
        is_known = bill.utility_enkash_id == self.known.utility_enkash_id and bool(self.known.digest)
        return self.is_created or (is_known and not self.is_reused())

    def with_bill(self, bill: Bill, match: Match) -> Step:
        """Return the step with a bill, its amount, and what differs from what was asked for."""
        stated, sent = matching.net_amount(bill), self.amount
        is_rounded = matching.compare_amounts(sent, stated) is Amount.ROUNDED
        amount = max(sent, stated) if is_rounded and sent is not None and stated is not None else stated
        if amount is None and self.is_created:
            amount = sent
        remark = f"EnKash shows another {' and '.join(match.soft)}" if match.soft else self.remark
        return attrs.evolve(self, bill=bill, amount=amount, remark=remark)

    def pending(self, cause: EnkashError | None = None) -> Step:
        """End with a debit that is confirmed, and a bill that is not settled."""
        why = "it is not settled yet" if cause is None else f"it is not settled yet: {cause}"
        return self.end(PaymentState.PENDING, why, retry=RetryAdvice.LATER, cause=cause)

    def not_sent(self, failure: EnkashError) -> Step:
        """End where nothing was debited, and a later step may go on."""
        advice = RetryAdvice.NOW if failure.retry is RetryAdvice.NOW else RetryAdvice.LATER
        why = self.clean(failure)
        return self.end(PaymentState.NOT_SENT, why, retry=advice, after=failure.retry_after, cause=failure)

    def unknown(self, why: str, after: float | None, *, cause: EnkashError | None = None) -> Step:
        """End where a later step finds out what happened."""
        return self.end(PaymentState.UNKNOWN, why, retry=RetryAdvice.LATER, after=after, cause=cause)

    def look_at(self, why: str) -> Step:
        """End where EnKash's words leave it open what happened: a person has to look."""
        return self.end(PaymentState.UNKNOWN, why, retry=RetryAdvice.LOOK)

    def is_over(self, amount: Decimal | None) -> bool:
        """Whether an amount is over the ceiling; one that nobody states is over every ceiling."""
        most = self.request.max_amount
        return most is not None and (amount is None or amount > most)

    def too_dear(self, amount: Decimal | None) -> str:
        """Return words for an amount over the ceiling."""
        most = rupees(self.request.max_amount)
        return (
            f"{rupees(amount)} is more than the max_amount of {most}" if amount else f"no amount is known below {most}"
        )

    def clean(self, failure: EnkashError) -> str:
        """Return the words of a failure, without a consumer number."""
        return self.asked.redacted(str(failure)) or type(failure).__name__

    def to(self, do: Do) -> Step:
        """Return the step with what comes next."""
        return attrs.evolve(self, do=do, patience=0.0)

    def end(self, state: PaymentState, reason: str = "", *, cause: EnkashError | None = None, **how: Any) -> Step:
        """Return the step at its end."""
        return attrs.evolve(self, do=Do.END, payment=self.ended(state, reason, **how), cause=cause)

    def ended(
        self,
        state: PaymentState,
        reason: str = "",
        *,
        retry: RetryAdvice = RetryAdvice.NEVER,
        after: float | None = None,
    ) -> Payment:
        """Return the payment of a step that ends."""
        told = "; ".join(filter(None, (reason, self.remark)))
        return Payment(self.reference_id, state, self.amount, self.bill, told, retry, after)
