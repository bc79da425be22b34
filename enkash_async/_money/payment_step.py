"""Decides what one call of `payments.pay` does next.

The caller carries out the action that `Step.do` names, and passes the result to one function:

    FIND     ask the store what is known of the reference   found(step, known)
    LOOK     look the bill up by its reference              looked(step, bill or error)
    READ     read the bill by its id                        looked(step, bill or error)
    FETCH    fetch the bill                                 fetched(step, bill or error)
    CREATE   note the create, and send it                   created(step, bill or error); found(…) if the note shows
                                                            that another process has created the bill
    CONFIRM  confirm the debit                              confirmed(step, group, error)
    WAIT     wait until the bill is settled                 waited(step, bill or error)
    END      nothing; `Step.payment` is the result

A step never ends as refused before it has looked for a bill that an earlier call may have created.
"""

from __future__ import annotations

from decimal import Decimal

import attrs

from enkash_async._calls.bills import biller_words, due_amount
from enkash_async._calls.requested import asked, fingerprint, needs_fetch
from enkash_async._calls.requests import BillRequest
from enkash_async._flow.verdicts import judge
from enkash_async._money import match as matching
from enkash_async._money.creation import NOTHING, Found
from enkash_async._money.match import Amount, Match
from enkash_async._money.payment import Payment, PaymentState
from enkash_async._money.payment_state import Do, Options, Step
from enkash_async._money.wait_looks import contradicts_itself
from enkash_async._support.checks import is_in_paise
from enkash_async._support.text import rupees
from enkash_async.bulk import BulkGroup
from enkash_async.errors import (
    ConfigurationError,
    DuplicateReferenceError,
    EnkashError,
    InvalidRequestError,
    NotFoundError,
    OutcomeUnknownError,
    RetryAdvice,
    ServerError,
)
from enkash_async.models import Bill, BillPayStatus, FetchedBill, Outcome, PaymentStatus

__all__ = ["begin", "confirmed", "created", "debits_on_creation", "fetched", "found", "looked", "waited"]

_SOON = 15.0  # seconds within which EnKash should show a bill that it says exists
_LAG = "EnKash has the bill and does not show it yet"


# --- what is known ----------------------------------------------------------------------------------------------------


def found(step: Step, known: Found) -> Step:
    """Return the step after the store has told what it knows of the reference."""
    step = attrs.evolve(step, known=known)
    receipt = known.paid
    if receipt is not None and known.digest == step.digest:
        bill = Bill(
            utility_enkash_id=receipt.utility_enkash_id,
            reference_id=step.reference_id,
            amount=receipt.amount,
            billpay_status=BillPayStatus.SUCCESS,  # a receipt is written only once EnKash has shown this word
            bill_number=receipt.bill_number,
            bill_due_date=receipt.bill_due_date,
            bill_reference_id=receipt.bill_reference_id,
            bank_transaction_id=receipt.bank_transaction_id,
            payment_date=receipt.payment_date,
            recovered=True,
        )
        return attrs.evolve(step, bill=bill, amount=receipt.amount).end(PaymentState.ALREADY_PAID)
    if known.utility_enkash_id:
        return _reused(step) if step.is_reused() else step.to(Do.READ)
    if known.seconds_under_way or known.digest or step.options.rehearses:
        return step.to(Do.LOOK)
    return _fetch_or_create(step)


def _reused(step: Step) -> Step:
    why = "the reference was used for another biller, consumer, input or circle: give this bill one of its own"
    return step.end(PaymentState.REFUSED, why)


def _cut_off(step: Step) -> Step:
    """End the step: the store knows a create of another request, and not its bill; EnKash need not show all inputs."""
    if isinstance(step.cause, DuplicateReferenceError):
        return step.look_at("the bill under the reference may be that of another biller, consumer, input or circle")
    return _reused(step)


def _fetch_or_create(step: Step) -> Step:
    if needs_fetch(step.request):
        return step.to(Do.FETCH)
    given = step.request.fetched
    return _priced(step, step.request.bill_amount) if given is None else fetched(step, given)


# --- a bill that EnKash shows -----------------------------------------------------------------------------------------


def looked(step: Step, seen: Bill | EnkashError) -> Step:
    """Return the step after a look-up by reference or by id."""
    if isinstance(seen, Bill):
        return _seen(step, seen)
    if judge(seen).says_absent:
        return _not_shown(step, seen)
    if step.known != NOTHING or step.has_sent or step.is_created:
        unclear = "its create ended unclearly, and " if step.has_sent else ""
        after = seen.retry_after or (step.options.settled_after if step.has_sent else None)
        stops = seen if judge(seen).ends_job else None
        why = f"{unclear}it cannot be looked up: {step.clean(seen)}"
        return attrs.evolve(step, stops=stops).unknown(why, after, cause=seen)
    return step.not_sent(seen)


def _not_shown(step: Step, absent: EnkashError) -> Step:
    if step.do is Do.READ and step.seconds_until_settled <= 0:
        return step.to(Do.LOOK)  # EnKash knows no such id: its create was answered with a wrong one
    if step.is_created or step.bill_id or isinstance(step.cause, DuplicateReferenceError):
        return step.unknown(_LAG, _SOON, cause=absent)
    if step.has_sent:
        why = "its create ended unclearly, and EnKash does not show it yet"
        return step.unknown(why, step.options.settled_after, cause=step.cause)
    step = attrs.evolve(step, is_absent=True)
    if step.obstacle is not None:
        return _told(step, step.obstacle)
    if step.known.seconds_under_way and step.is_reused():
        return step.unknown("a create of another bill is under way under its reference", step.known.seconds_under_way)
    return _fetch_or_create(step)


def _told(step: Step, obstacle: Payment) -> Step:
    """End with the obstacle, unless an earlier create may still make the bill: then the outcome is unknown."""
    if step.known.seconds_under_way and obstacle.state is not PaymentState.PAYABLE:
        return step.unknown(
            f"an earlier create may still be carried out; and now {obstacle.reason}", step.known.seconds_under_way
        )
    return attrs.evolve(step, do=Do.END, payment=obstacle)


def _seen(step: Step, bill: Bill) -> Step:
    match = matching.compare(step.asked, bill)
    if different := _different(step, bill, match):
        return _another(step, bill, different)
    if step.is_reused() and not (step.has_sent or step.is_created):
        return _cut_off(step)
    if not (match.identified or step.is_own(bill)):
        told = attrs.evolve(step, bill=bill).look_at("EnKash's bill under this reference does not say whose it is")
        return attrs.evolve(told, bill=None)  # the next call would treat a noted bill as its own
    step = step.with_bill(bill, match)
    if contradicts_itself(bill):
        return step.look_at("EnKash shows it as paid beside a debit that is not confirmed")
    if bill.is_settled:
        return _settled(step, PaymentState.ALREADY_PAID)
    if bill.debit_confirmed:
        return _debited(step)
    return _unconfirmed(step)


def _different(step: Step, bill: Bill, match: Match) -> tuple[str, ...]:
    """Return the names of the members which show that the reference was used for another bill."""
    is_of_this_request = step.is_created or (step.is_own(bill) and step.known.digest == step.digest)
    different = match.hard if is_of_this_request else match.different
    if bill.outcome is Outcome.PAID and match.is_another_month:
        different = (*different, "bill_number", "bill_date")
    return different


def _another(step: Step, bill: Bill, different: tuple[str, ...]) -> Step:
    """End the step: the reference belongs to another bill than the one asked for."""
    step = attrs.evolve(step, bill=None, amount=None)
    if step.is_in_doubt and different == ("amount",):
        return step.look_at(
            "its create ended unclearly, and the bill that EnKash shows under the reference has another amount than "
            "asked; it may be the bill of that create or an older one"
        )
    flaw = matching.refusal(step.asked, bill, different)
    return step.end(PaymentState.REFUSED, str(flaw), cause=flaw)


# --- fetch and create -------------------------------------------------------------------------------------------------


def fetched(step: Step, seen: FetchedBill | EnkashError) -> Step:
    """Return the step after a fetch."""
    if isinstance(seen, EnkashError):
        return _refused(step, seen)
    due = due_amount(seen)
    amount = due if step.request.bill_amount is None else step.request.bill_amount
    if due is None or amount is None or amount < 1 or seen.company_biller_id is None:
        words = biller_words(seen) or ("" if due is None else f"the amount is {rupees(due)}")
        said = f": {words}" if words else ""
        return _refused(step, InvalidRequestError(f"the biller shows nothing to pay{said}"))
    if step.request.bill_amount is None and isinstance(due, Decimal) and not is_in_paise(due):
        odd = f"the biller asks for {rupees(due)}, and no amount has more than two decimals"
        return _refused(step, InvalidRequestError(f"{odd}: name the amount to pay as bill_amount"))
    named = attrs.evolve(seen, biller_id=step.request.biller_id, consumer_number=step.request.params["cn"])
    return _priced(attrs.evolve(step, request=attrs.evolve(step.request, fetched=named)), amount)


def _priced(step: Step, amount: Decimal | None) -> Step:
    """Return the step with the amount that the create will name; None leaves the amount to EnKash."""
    step = attrs.evolve(step, amount=amount)
    if step.is_over(amount) and (amount is not None or step.options.debit_on_create):
        return _blocked(step, step.ended(PaymentState.OVER_CEILING, step.too_dear(amount)))
    if step.options.rehearses:
        return _blocked(step, step.ended(PaymentState.PAYABLE, retry=RetryAdvice.NOW))
    return step.to(Do.CREATE)


def created(step: Step, answer: Bill | EnkashError) -> Step:
    """Return the step after the create."""
    if isinstance(answer, EnkashError):
        return _not_created(step, answer)
    sent = step.amount
    step = attrs.evolve(step, is_created=True, has_sent=False, obstacle=None)
    if not matching.vouches(step.asked, answer):
        return attrs.evolve(step, do=Do.LOOK, patience=_SOON)
    step = step.with_bill(answer, matching.compare(step.asked, answer))
    if step.options.debit_on_create:
        return _charged(step)
    if contradicts_itself(answer):
        return step.to(Do.READ)
    if answer.debit_confirmed:
        return _stopped(step, debits_on_creation(step.bill_id))
    stated = matching.net_amount(answer)
    bounds = (step.request.max_amount, step.request.bill_amount)
    is_vague = matching.compare_amounts(sent, stated) is Amount.ROUNDED or (
        stated is None and any(bound is not None for bound in bounds)
    )
    if is_vague or answer.debit_confirmed is None:
        return step.to(Do.READ)
    return _unconfirmed(attrs.evolve(step, is_waiting=True))


def _not_created(step: Step, failure: EnkashError) -> Step:
    if isinstance(failure, OutcomeUnknownError):
        return attrs.evolve(step, do=Do.LOOK, has_sent=True, patience=step.options.wait, cause=failure)
    if isinstance(failure, DuplicateReferenceError):
        return attrs.evolve(step, do=Do.LOOK, patience=_SOON / 3, cause=failure)
    return _refused(attrs.evolve(step, is_absent=False), failure)


def _charged(step: Step) -> Step:
    """Return the step after a create that has also debited the bill."""
    if not step.is_over(step.amount):
        return _debited(step)
    return _debited(attrs.evolve(step, remark=f"{step.too_dear(step.amount)}, and its create has debited it"))


def debits_on_creation(bill_id: str) -> ConfigurationError:
    """Return the error that stops a run whose client was not told that the account debits on creation."""
    return ConfigurationError(
        f"this account debits on creation: bill {bill_id} was debited before it was confirmed; set "
        "debit_on_create=True or ENKASH_DEBIT_ON_CREATE=1"
    )


def _stopped(step: Step, stops: ConfigurationError) -> Step:
    return attrs.evolve(step, stops=stops).look_at(str(stops))


def _lacks_debit(step: Step, waited: float) -> bool:
    """Whether EnKash shows no debit, although it would by now if the create had debited the bill.

    Args:
        step: The step, with the bill as a read has just shown it.
        waited: Seconds from the read of the create's note until the read of the bill.
    """
    is_unconfirmed = step.bill is not None and step.bill.debit_confirmed is False
    return is_unconfirmed and step.seconds_until_settled <= waited


def _not_debited(step: Step) -> Step:
    """End the step: the create should have debited the bill, but did not."""
    return step.look_at(
        f"EnKash shows no debit although its create is more than {step.options.settled_after:.0f} s old: this account "
        "does not debit on creation; unset debit_on_create or ENKASH_DEBIT_ON_CREATE, and pay the bill again under the "
        "same reference"
    )


# --- confirm and wait -------------------------------------------------------------------------------------------------


def _unconfirmed(step: Step) -> Step:
    """Return the next step for a bill whose debit is not known to be confirmed."""
    if step.options.debit_on_create:
        return _not_debited(step) if _lacks_debit(step, 0.0) else _debited(step)
    asked = step.request.bill_amount
    if asked is not None and matching.compare_amounts(asked, step.amount) is Amount.OTHER:
        why = f"EnKash created it with {rupees(step.amount)}, not the {rupees(asked)} that were asked for"
        return step.end(PaymentState.OVER_CEILING, f"{why}; the bill exists and is not confirmed")
    if step.is_over(step.amount):
        why = f"{step.too_dear(step.amount)}; the bill exists and is not confirmed"
        return step.end(PaymentState.OVER_CEILING, why)
    if step.options.rehearses:
        return step.end(PaymentState.PAYABLE, retry=RetryAdvice.NOW)
    return step.to(Do.CONFIRM)


def confirmed(step: Step, group: BulkGroup, error: EnkashError | None) -> Step:
    """Return the step after the confirmation of the debit."""
    if group is BulkGroup.SUCCEEDED or error is None:
        return _debited(step)
    if group is BulkGroup.UNKNOWN and isinstance(error, ConfigurationError):
        return _stopped(step, error)
    if group is BulkGroup.UNKNOWN or isinstance(error, NotFoundError):
        advice = RetryAdvice.LATER if error.retry is not RetryAdvice.LOOK else RetryAdvice.LOOK
        return step.end(PaymentState.UNKNOWN, str(error), retry=advice, after=error.retry_after, cause=error)
    if group is BulkGroup.NOT_SENT or error.retry is not RetryAdvice.NEVER or judge(error).ends_job:
        stops = error if judge(error).ends_job else None
        return attrs.evolve(step, stops=stops).not_sent(error)
    return step.end(PaymentState.REFUSED, f"the bill exists, and its debit was refused: {error}", cause=error)


def _debited(step: Step) -> Step:
    return step.to(Do.WAIT) if step.options.wait > 0 else step.pending()


def waited(step: Step, seen: Bill | EnkashError | None) -> Step:
    """Return the step after the wait; `seen` is None if EnKash never showed the bill."""
    if not isinstance(seen, Bill):
        return step.pending(seen)
    match = matching.compare(step.asked, seen)
    step = step.with_bill(seen, match)
    if match.hard:
        return step.look_at(f"what EnKash shows under the bill's id {matching.described(step.asked, seen, match.hard)}")
    if contradicts_itself(seen):
        return step.look_at("EnKash shows it as paid beside a debit that is not confirmed")
    if seen.is_settled:
        return _settled(step, PaymentState.PAID)
    if step.options.debit_on_create and _lacks_debit(step, step.options.wait):
        return _not_debited(step)
    return step.pending()


def _settled(step: Step, paid: PaymentState) -> Step:
    bill = step.bill
    if bill is None or bill.outcome is Outcome.PAID:
        return step.end(paid)
    why = f"the payment failed: {bill.failure_reason}" if bill.failure_reason else "the payment failed"
    if bill.payment_status == PaymentStatus.REFUNDED:
        return step.end(PaymentState.FAILED, f"{why}; it is refunded: to pay the bill, give it a new reference")
    why += "; EnKash may try again: do not pay it under another reference before it is refunded"
    return step.end(PaymentState.FAILED, why, retry=RetryAdvice.LOOK)


# --- ends -------------------------------------------------------------------------------------------------------------


def _refused(step: Step, failure: EnkashError) -> Step:
    """End with a failure, after a look-up of the bill; if the failure is not about this bill, end without a look-up."""
    verdict = judge(failure)
    ends = verdict.ends_job or (verdict.is_transient and not isinstance(failure, ServerError))
    step = attrs.evolve(step, cause=failure)
    if ends or failure.retry is not RetryAdvice.NEVER:
        late = step.not_sent(failure)
        return late if ends or late.payment is None else _blocked(step, late.payment)
    return _blocked(step, step.ended(PaymentState.REFUSED, step.clean(failure)))


def _blocked(step: Step, payment: Payment) -> Step:
    """End with an obstacle, but first look up whether an earlier call has created or paid the bill."""
    if step.is_absent:
        return _told(step, payment)
    return attrs.evolve(step, do=Do.LOOK, obstacle=payment, patience=0.0)


def begin(request: BillRequest, options: Options) -> Step:
    """Return the first step of a payment; the request must have a reference."""
    reference = request.reference_id or ""
    return Step(request, asked(request, reference), fingerprint(request), options)
