"""What one call of `pay` does next, decided from values alone: what EnKash may show and a sandbox does not."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import attrs
import pytest

from enkash_async import (
    Bill,
    BillerInactiveError,
    BillRequest,
    BulkGroup,
    DuplicateReferenceError,
    EnkashError,
    FetchedBill,
    NotFoundError,
    OutcomeUnknownError,
    PaymentState,
    RetryAdvice,
    ServerError,
    TransportError,
)
from enkash_async._calls.requested import fingerprint
from enkash_async._money import payment_step as steps
from enkash_async._money.creation import Found
from enkash_async._money.payment_state import Do, Options, Step
from enkash_async._support.text import rupees
from enkash_async.models import ApprovalStatus, BillPayStatus, PaymentStatus

REQUEST = BillRequest(2001, {"cn": "CN123456789", "ad1": "4567"}, reference_id="inv-1")
FETCHED = FetchedBill(company_biller_id="CB-1", bill_net_amount=Decimal("2450.75"))
WAITING = Bill(
    utility_enkash_id="U-1",
    reference_id="inv-1",
    consumer_number="CN123456789",
    amount=Decimal("2450.75"),
    payment_status=PaymentStatus.INIT,
    approval_status=ApprovalStatus.MAKER_APPROVAL_PENDING,
)
PAID = attrs.evolve(
    WAITING,
    payment_status=PaymentStatus.SUCCESS,
    approval_status=ApprovalStatus.CHECKER_APPROVED,
    billpay_status=BillPayStatus.SUCCESS,
)
VAGUE = attrs.evolve(WAITING, payment_status=None, approval_status=None)
CONTRADICTORY = attrs.evolve(WAITING, billpay_status=BillPayStatus.SUCCESS)


def absent() -> NotFoundError:
    problem = NotFoundError("No utility payment found", status=400)
    problem.bill_absent = True
    return problem


def begun(request: BillRequest = REQUEST, **options: Any) -> Step:
    return steps.begin(request, Options(**options))


def sent(request: BillRequest = REQUEST, **options: Any) -> Step:
    """Return a step whose create is sent next."""
    step = steps.fetched(steps.found(begun(request, **options), Found()), FETCHED)
    assert step.do is Do.CREATE
    return step


def end(step: Step) -> tuple[PaymentState, RetryAdvice]:
    assert step.do is Do.END
    assert step.payment is not None
    return step.payment.state, step.payment.retry


def why(step: Step) -> str:
    assert step.payment is not None
    return step.payment.reason


def test_the_first_time_nothing_is_looked_up() -> None:
    """Fetch, create, confirm; a bill whose create shows it waiting needs no reading."""
    step = steps.found(begun(), Found())
    assert step.do is Do.FETCH
    step = steps.created(steps.fetched(step, FETCHED), WAITING)
    assert (step.do, step.is_waiting, step.amount) == (Do.CONFIRM, True, Decimal("2450.75"))
    assert end(steps.confirmed(step, BulkGroup.SUCCEEDED, None)) == (PaymentState.PENDING, RetryAdvice.LATER)


@pytest.mark.parametrize(
    ("known", "do"),
    [
        (Found(), Do.FETCH),
        (Found(seconds_under_way=50.0), Do.LOOK),
        (Found(digest=fingerprint(REQUEST)), Do.LOOK),
        (Found("U-1"), Do.READ),
        (Found("U-1", digest=fingerprint(REQUEST)), Do.READ),
        (Found("U-1", digest=fingerprint(attrs.evolve(REQUEST, remarks="other"))), Do.READ),
        (Found("U-1", digest=fingerprint(attrs.evolve(REQUEST, circle="AGRA"))), Do.END),
    ],
)
def test_what_the_store_knows_says_where_to_begin(known: Found, do: Do) -> None:
    """A create on its way is looked up, a known bill is read, and another bill's reference is refused."""
    assert steps.found(begun(), known).do is do


def test_a_reference_whose_other_create_is_under_way_waits() -> None:
    """The other bill may still appear under it."""
    other = fingerprint(attrs.evolve(REQUEST, biller_id=2002))
    step = steps.looked(steps.found(begun(), Found(seconds_under_way=50.0, digest=other)), absent())
    assert end(step) == (PaymentState.UNKNOWN, RetryAdvice.LATER)
    later = steps.looked(steps.found(begun(), Found(digest=other)), absent())
    assert later.do is Do.FETCH


def test_the_bill_of_another_requests_create_that_was_cut_off_is_not_confirmed() -> None:
    """The process ended before it could note the bill, and EnKash does not show the input that was corrected since."""
    other = Found(digest=fingerprint(attrs.evolve(REQUEST, params={"cn": "CN123456789", "ad1": "4568"})))
    step = steps.found(begun(), attrs.evolve(other, seconds_under_way=50.0))
    refused = steps.looked(step, WAITING)
    assert end(refused) == (PaymentState.REFUSED, RetryAdvice.NEVER)
    assert refused.bill is None  # it is not noted as the bill of this request

    create = steps.fetched(steps.looked(steps.found(begun(), other), absent()), FETCHED)
    assert create.do is Do.CREATE
    used = steps.looked(steps.created(create, DuplicateReferenceError("used", status=400, response_code=38)), WAITING)
    assert end(used) == (PaymentState.UNKNOWN, RetryAdvice.LOOK)  # another process may have created it meanwhile
    unclear = steps.looked(steps.created(create, OutcomeUnknownError("lost")), WAITING)
    assert unclear.do is Do.CONFIRM


# --- what a look-up shows ---------------------------------------------------------------------------------------------


def _looked(bill: Bill | EnkashError, request: BillRequest = REQUEST, **options: Any) -> Step:
    return steps.looked(steps.found(begun(request, **options), Found("U-1", digest=fingerprint(request))), bill)


def test_a_bill_that_shows_as_paid_beside_an_unconfirmed_debit_needs_a_person() -> None:
    """It was read singly already; nothing is confirmed."""
    assert end(_looked(CONTRADICTORY)) == (PaymentState.UNKNOWN, RetryAdvice.LOOK)
    step = attrs.evolve(sent(wait=5.0), do=Do.WAIT)
    assert end(steps.waited(step, CONTRADICTORY)) == (PaymentState.UNKNOWN, RetryAdvice.LOOK)


def test_a_bill_that_does_not_say_whose_it_is_needs_a_person() -> None:
    """Unless the store knows that it was created for this request."""
    bare = Bill(utility_enkash_id="U-1", payment_status=PaymentStatus.INIT)
    foreign = steps.looked(steps.found(begun(), Found("U-1")), bare)
    assert end(foreign) == (PaymentState.UNKNOWN, RetryAdvice.LOOK)
    assert "does not say whose it is" in why(foreign)
    assert _looked(bare).do is Do.CONFIRM
    assert foreign.bill is None  # it is not noted as the bill of the reference
    assert foreign.payment is not None
    assert foreign.payment.bill == bare


def test_the_bill_of_another_month_is_refused_where_the_caller_names_number_and_date() -> None:
    """One of the two may differ: then the payment is told with the difference."""
    november = FetchedBill(bill_number="B-11", bill_date=date(2026, 11, 1), company_biller_id="CB-1")
    request = attrs.evolve(REQUEST, fetched=november)
    october = attrs.evolve(PAID, bill_number="B-10", bill_date=date(2026, 10, 1))
    step = _looked(october, request)
    assert end(step) == (PaymentState.REFUSED, RetryAdvice.NEVER)
    assert "bill_number and bill_date" in why(step)
    renumbered = _looked(attrs.evolve(october, bill_date=date(2026, 11, 1)), request)
    assert end(renumbered)[0] is PaymentState.ALREADY_PAID
    assert "EnKash shows another bill_number" in why(renumbered)


@pytest.mark.parametrize(
    ("seen", "state"),
    [
        (TransportError("no answer"), PaymentState.UNKNOWN),
        (absent(), PaymentState.UNKNOWN),
        (attrs.evolve(WAITING, consumer_number="CN9"), PaymentState.REFUSED),
        (PAID, PaymentState.ALREADY_PAID),
        (attrs.evolve(PAID, billpay_status=BillPayStatus.IN_PROGRESS), PaymentState.PENDING),
        (attrs.evolve(PAID, billpay_status=BillPayStatus("A NEW WORD")), PaymentState.PENDING),
    ],
)
def test_a_bill_that_the_store_knows_is_looked_at_again(seen: Bill | EnkashError, state: PaymentState) -> None:
    """A failed look leaves it unknown."""
    assert end(_looked(seen))[0] is state


def test_a_look_that_fails_where_nothing_is_known_has_sent_nothing() -> None:
    """And the refusal before it is not told, since it may be untrue."""
    step = steps.fetched(steps.found(begun(), Found()), BillerInactiveError("inactive", status=422))
    assert step.do is Do.LOOK
    assert end(steps.looked(step, ServerError("away", status=503))) == (PaymentState.NOT_SENT, RetryAdvice.LATER)
    assert end(steps.looked(step, absent())) == (PaymentState.REFUSED, RetryAdvice.NEVER)
    assert end(steps.looked(step, PAID)) == (PaymentState.ALREADY_PAID, RetryAdvice.NEVER)


@pytest.mark.parametrize("due", ["0", "0.00", "-120.50", "0.50"])
@pytest.mark.parametrize("rehearses", [False, True], ids=["pays", "rehearses"])
def test_a_biller_that_shows_no_rupee_shows_nothing_to_pay(due: str, rehearses: bool) -> None:
    """A paid bill and a credit show like this: the bill may be paid already, so it is looked up first."""
    step = steps.found(begun(rehearses=rehearses), Found())
    step = steps.fetched(step, attrs.evolve(FETCHED, bill_net_amount=Decimal(due)))
    assert step.do is Do.LOOK
    assert end(steps.looked(step, PAID)) == (PaymentState.ALREADY_PAID, RetryAdvice.NEVER)
    refused = steps.looked(step, absent())
    assert end(refused) == (PaymentState.REFUSED, RetryAdvice.NEVER)
    assert why(refused).startswith("the biller shows nothing to pay: the amount is ₹ ")


@pytest.mark.parametrize("due", ["2450.755", "1.001", "99999999999999.999"])
@pytest.mark.parametrize("rehearses", [False, True])
def test_an_amount_that_is_not_in_paise_is_refused_by_its_figure(due: str, rehearses: bool) -> None:
    """The biller's own amount cannot be paid as it is; an earlier call may have paid the bill, so it is looked up."""
    step = steps.found(begun(rehearses=rehearses), Found())
    if step.do is Do.LOOK:
        step = steps.looked(step, absent())
    step = steps.fetched(step, attrs.evolve(FETCHED, bill_net_amount=Decimal(due)))
    if step.do is Do.LOOK:
        assert end(steps.looked(step, PAID)) == (PaymentState.ALREADY_PAID, RetryAdvice.NEVER)
        step = steps.looked(step, absent())
    assert end(step) == (PaymentState.REFUSED, RetryAdvice.NEVER)
    assert why(step) == (
        f"the biller asks for {rupees(Decimal(due))}, and no amount has more than two decimals: name the amount to pay "
        "as bill_amount"
    )


def test_zeros_after_the_paise_are_no_obstacle() -> None:
    """Nor is an odd amount of the biller's, where the caller names the amount to pay."""
    step = steps.fetched(steps.found(begun(), Found()), attrs.evolve(FETCHED, bill_net_amount=Decimal("2450.7500")))
    assert (step.do, step.amount) == (Do.CREATE, Decimal("2450.75"))
    step = steps.found(begun(attrs.evolve(REQUEST, bill_amount=Decimal("2450.76"))), Found())
    step = steps.fetched(step, attrs.evolve(FETCHED, bill_net_amount=Decimal("2450.755")))
    assert (step.do, step.amount) == (Do.CREATE, Decimal("2450.76"))


def test_an_amount_of_the_caller_is_paid_also_where_nothing_is_due() -> None:
    """Some billers take payments in advance."""
    step = steps.found(begun(attrs.evolve(REQUEST, bill_amount=Decimal(500))), Found())
    step = steps.fetched(step, attrs.evolve(FETCHED, bill_net_amount=Decimal(0)))
    assert (step.do, step.amount) == (Do.CREATE, Decimal(500))


# --- the create -------------------------------------------------------------------------------------------------------


def test_an_amount_in_whole_rupees_is_read_singly_and_the_larger_counts() -> None:
    """One of EnKash's pages prints integers."""
    for stated, expected in ((2450, "2450.75"), (2451, "2451")):
        step = steps.created(sent(), attrs.evolve(WAITING, amount=Decimal(stated)))
        assert step.do is Do.READ
        step = steps.looked(step, attrs.evolve(WAITING, amount=Decimal(stated)))
        assert (step.do, step.amount) == (Do.CONFIRM, Decimal(expected))
    dear = attrs.evolve(REQUEST, max_amount=Decimal("2450.80"))
    step = steps.created(sent(dear), attrs.evolve(WAITING, amount=Decimal(2451)))
    assert end(steps.looked(step, attrs.evolve(WAITING, amount=Decimal(2451))))[0] is PaymentState.OVER_CEILING


def test_an_amount_that_the_create_does_not_state_is_read_where_there_is_a_ceiling() -> None:
    """Without a ceiling it does not matter; a used reference without an amount is over every ceiling."""
    silent = attrs.evolve(WAITING, amount=None)
    assert steps.created(sent(), silent).do is Do.CONFIRM
    step = steps.created(sent(attrs.evolve(REQUEST, max_amount=5000)), silent)
    assert step.do is Do.READ
    assert steps.looked(step, silent).amount == Decimal("2450.75")
    assert end(_looked(silent, attrs.evolve(REQUEST, max_amount=5000)))[0] is PaymentState.OVER_CEILING


def test_a_create_whose_reply_names_no_bill_is_looked_up() -> None:
    """Until it shows, the outcome is unknown."""
    step = steps.created(sent(), Bill())
    assert step.do is Do.LOOK
    assert end(steps.looked(step, absent())) == (PaymentState.UNKNOWN, RetryAdvice.LATER)
    assert steps.looked(step, WAITING).do is Do.CONFIRM


def test_a_reference_that_enkash_says_was_used_is_looked_up() -> None:
    """EnKash has a bill: where it does not show, nobody can say whose."""
    step = steps.created(sent(), DuplicateReferenceError("used"))
    assert (step.do, step.is_created) == (Do.LOOK, False)
    assert end(steps.looked(step, absent())) == (PaymentState.UNKNOWN, RetryAdvice.LATER)


def test_an_unclear_create_is_unknown_for_the_window() -> None:
    """The payment says when to come back."""
    step = steps.looked(steps.created(sent(), OutcomeUnknownError("lost")), absent())
    assert end(step) == (PaymentState.UNKNOWN, RetryAdvice.LATER)
    assert step.payment is not None
    assert step.payment.retry_after == 200


def test_a_create_that_another_process_was_faster_with_is_read() -> None:
    """The note that is made before the create shows it."""
    assert steps.found(sent(), Found("U-1", digest=fingerprint(REQUEST))).do is Do.READ


def test_a_bill_without_a_status_is_read_before_its_debit() -> None:
    """Another worker may have confirmed it meanwhile: that is no debit on creation."""
    step = steps.created(sent(), VAGUE)
    assert step.do is Do.READ
    assert end(steps.looked(step, attrs.evolve(PAID, billpay_status=None)))[0] is PaymentState.PENDING
    assert steps.looked(step, WAITING).stops is None


def test_with_debits_on_creation_an_unconfirmed_bill_is_only_waited_for() -> None:
    """Nothing is ever confirmed under the option."""
    assert end(_looked(WAITING, debit_on_create=True))[0] is PaymentState.PENDING
    assert _looked(WAITING, debit_on_create=True, wait=5.0).do is Do.WAIT


@pytest.mark.parametrize(
    ("left", "bill", "expected"),
    [
        (0.0, WAITING, (PaymentState.UNKNOWN, RetryAdvice.LOOK)),
        (0.1, WAITING, (PaymentState.PENDING, RetryAdvice.LATER)),
        (0.0, VAGUE, (PaymentState.PENDING, RetryAdvice.LATER)),
        (0.0, attrs.evolve(PAID, billpay_status=None), (PaymentState.PENDING, RetryAdvice.LATER)),
        (0.0, PAID, (PaymentState.ALREADY_PAID, RetryAdvice.NEVER)),
    ],
)
def test_an_account_that_does_not_debit_on_creation_is_told_of_after_the_window(
    left: float, bill: Bill, expected: tuple[PaymentState, RetryAdvice]
) -> None:
    """Only where a read that begins after the window plainly shows no debit."""
    known = Found("U-1", digest=fingerprint(REQUEST), seconds_until_settled=left)
    step = steps.looked(steps.found(begun(debit_on_create=True), known), bill)
    assert end(step) == expected
    assert ("unset debit_on_create" in why(step)) is (expected[1] is RetryAdvice.LOOK)


@pytest.mark.parametrize(("wait", "state"), [(199.0, PaymentState.PENDING), (200.0, PaymentState.UNKNOWN)])
def test_a_wait_over_the_whole_window_shows_whether_the_account_debits_on_creation(
    wait: float, state: PaymentState
) -> None:
    """The last look of the wait is as good as the first one of the next call."""
    step = steps.created(sent(debit_on_create=True, wait=wait), WAITING)
    assert step.do is Do.WAIT
    assert end(steps.waited(step, WAITING))[0] is state
    assert end(steps.waited(step, VAGUE))[0] is PaymentState.PENDING
    other = steps.looked(steps.found(begun(debit_on_create=True, wait=wait), Found("U-1")), WAITING)
    assert end(steps.waited(other, WAITING))[0] is PaymentState.PENDING  # a note that tells no age proves nothing


# --- confirm and wait -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("group", "error", "expected"),
    [
        (BulkGroup.UNKNOWN, OutcomeUnknownError("x"), (PaymentState.UNKNOWN, RetryAdvice.LOOK)),
        (BulkGroup.UNKNOWN, OutcomeUnknownError("x", retry_after=9), (PaymentState.UNKNOWN, RetryAdvice.LATER)),
        (BulkGroup.NOT_SENT, TransportError("x", sent=False), (PaymentState.NOT_SENT, RetryAdvice.LATER)),
        (BulkGroup.FAILED, absent(), (PaymentState.UNKNOWN, RetryAdvice.LATER)),
        (BulkGroup.FAILED, BillerInactiveError("x"), (PaymentState.REFUSED, RetryAdvice.NEVER)),
    ],
)
def test_what_came_of_a_confirmation_is_what_the_payment_says(
    group: BulkGroup, error: EnkashError, expected: tuple[PaymentState, RetryAdvice]
) -> None:
    """With the seconds after which the same call finds out."""
    step = steps.confirmed(steps.created(sent(), WAITING), group, error)
    assert end(step) == expected
    assert step.payment is not None
    assert step.payment.retry_after == error.retry_after


def test_a_wait_that_shows_nothing_leaves_the_payment_pending() -> None:
    """Also with the error of the last look."""
    step = attrs.evolve(steps.created(sent(wait=5.0), WAITING), do=Do.WAIT)
    for seen in (None, ServerError("away"), attrs.evolve(PAID, billpay_status=BillPayStatus.ON_HOLD)):
        assert end(steps.waited(step, seen)) == (PaymentState.PENDING, RetryAdvice.LATER)
    assert end(steps.waited(step, PAID)) == (PaymentState.PAID, RetryAdvice.NEVER)
    other = steps.waited(step, attrs.evolve(PAID, reference_id="inv-2"))
    assert end(other) == (PaymentState.UNKNOWN, RetryAdvice.LOOK)
