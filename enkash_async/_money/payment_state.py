"""The state of one call of `payments.pay`, and the ways in which the call may end."""

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
    """The next action of a step."""

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
        wait: Seconds to wait until the payment is settled; 0 does not wait.
        debit_on_create: Whether creating a bill also debits it, so that nothing is confirmed.
        rehearses: Whether the call only checks that the bill can be paid, and creates nothing.
        settled_after: Seconds after which a create can no longer be in flight.
    """

    wait: float = 0.0
    debit_on_create: bool = False
    rehearses: bool = False
    settled_after: float = 200.0


@attrs.frozen
class Step:
    """The immutable state of one payment call, with its next action.

    Attributes:
        request: The caller's request; after a fetch, it includes the fetched bill.
        asked: The facts that the caller gave.
        digest: Fingerprint of the request as the caller gave it.
        do: The next action.
        known: What the store knew of the reference.
        bill: The bill as EnKash showed it last; None if EnKash has shown no bill.
        amount: Amount of the bill in rupees. If EnKash states a rounded amount too, the larger of both.
        is_created: Whether EnKash accepted a create of this step.
        is_waiting: Whether the reply to the create shows that the debit waits to be confirmed.
        has_sent: Whether a create of this step was sent and ended unclearly.
        is_absent: Whether a look-up since the last create showed no bill.
        obstacle: The result of the call if the look-up shows no bill.
        remark: How the bill differs from the request, for the reason in the result.
        patience: Seconds for which the look-up may be repeated.
        payment: The result; None before the end.
        stops: The error that stops all other payments of this account; None if they may go on.
        cause: The failure that led to `payment`, or to the next look-up.
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
        """EnKash's id of the bill; empty if unknown."""
        return self.known.utility_enkash_id if self.bill is None else self.bill.utility_enkash_id

    @property
    def seconds_until_settled(self) -> float:
        """Seconds until EnKash must show a debit made by the bill's create, counted from the last read of the note."""
        is_known = not self.is_created and self.bill_id == self.known.utility_enkash_id
        return self.known.seconds_until_settled if is_known else self.options.settled_after

    @property
    def is_in_doubt(self) -> bool:
        """Whether this call or an earlier one has sent a create of this request, and its bill is unknown."""
        return self.has_sent or (self.known.digest == self.digest and not self.known.utility_enkash_id)

    def is_reused(self) -> bool:
        """Whether the store knows that the reference was used for another bill."""
        before = self.known.digest.partition(":")[0]
        return bool(before) and before != self.digest.partition(":")[0]

    def is_own(self, bill: Bill) -> bool:
        """Whether the bill was created for this request: by this step, or by its id in the store's note."""
        is_known = bill.utility_enkash_id == self.known.utility_enkash_id and bool(self.known.digest)
        return self.is_created or (is_known and not self.is_reused())

    def with_bill(self, bill: Bill, match: Match) -> Step:
        """Return the step with a bill, the bill's amount, and a remark on how the bill differs from the request."""
        stated, sent = matching.net_amount(bill), self.amount
        is_rounded = matching.compare_amounts(sent, stated) is Amount.ROUNDED
        amount = max(sent, stated) if is_rounded and sent is not None and stated is not None else stated
        if amount is None and self.is_created:
            amount = sent
        remark = f"EnKash shows another {' and '.join(match.soft)}" if match.soft else self.remark
        return attrs.evolve(self, bill=bill, amount=amount, remark=remark)

    def pending(self, cause: EnkashError | None = None) -> Step:
        """End with a confirmed debit whose bill is not settled yet."""
        why = "it is not settled yet" if cause is None else f"it is not settled yet: {cause}"
        return self.end(PaymentState.PENDING, why, retry=RetryAdvice.LATER, cause=cause)

    def not_sent(self, failure: EnkashError) -> Step:
        """End with nothing debited; a later call may go on."""
        advice = RetryAdvice.NOW if failure.retry is RetryAdvice.NOW else RetryAdvice.LATER
        why = self.clean(failure)
        return self.end(PaymentState.NOT_SENT, why, retry=advice, after=failure.retry_after, cause=failure)

    def unknown(self, why: str, after: float | None, *, cause: EnkashError | None = None) -> Step:
        """End with an unknown outcome, which a later call can find out."""
        return self.end(PaymentState.UNKNOWN, why, retry=RetryAdvice.LATER, after=after, cause=cause)

    def look_at(self, why: str) -> Step:
        """End with an unknown outcome that EnKash's replies do not explain: a person has to look."""
        return self.end(PaymentState.UNKNOWN, why, retry=RetryAdvice.LOOK)

    def is_over(self, amount: Decimal | None) -> bool:
        """Whether an amount is over the ceiling; an unknown amount is over every ceiling."""
        most = self.request.max_amount
        return most is not None and (amount is None or amount > most)

    def too_dear(self, amount: Decimal | None) -> str:
        """Return words that say that the amount is above `max_amount`, or that no amount is known."""
        most = rupees(self.request.max_amount)
        return (
            f"{rupees(amount)} is more than the max_amount of {most}" if amount else f"no amount is known below {most}"
        )

    def clean(self, failure: EnkashError) -> str:
        """Return the message of a failure, without a consumer number."""
        return self.asked.redacted(str(failure)) or type(failure).__name__

    def to(self, do: Do) -> Step:
        """Return the step with another next action."""
        return attrs.evolve(self, do=do, patience=0.0)

    def end(self, state: PaymentState, reason: str = "", *, cause: EnkashError | None = None, **how: Any) -> Step:
        """Return the step after its last action, with its result."""
        return attrs.evolve(self, do=Do.END, payment=self.ended(state, reason, **how), cause=cause)

    def ended(
        self,
        state: PaymentState,
        reason: str = "",
        *,
        retry: RetryAdvice = RetryAdvice.NEVER,
        after: float | None = None,
    ) -> Payment:
        """Return the payment with which the step ends."""
        told = "; ".join(filter(None, (reason, self.remark)))
        return Payment(self.reference_id, state, self.amount, self.bill, told, retry, after)
