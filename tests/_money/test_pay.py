"""A payment as one step: against a sandbox that debits whenever it is asked, and over every store it may share."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest
from aiohttp import web
from aiohttp.typedefs import Handler

from enkash_async import (
    BillRequest,
    BulkError,
    ConfigurationError,
    EnkashClient,
    FetchedBill,
    InvalidRequestError,
    MemoryStore,
    Outcome,
    Payment,
    PaymentState,
    RetryAdvice,
    RetryPolicy,
    Routes,
    SQLiteStore,
    Store,
    StoreUnavailableError,
    TokenError,
)
from enkash_async._flow.poller import Poller
from enkash_async._money import instants, portions
from enkash_async.sandbox import FaultKind, Sandbox
from enkash_async.stores import Change, FallbackStore

from support import EAGER

CN = {"cn": "CN123456789"}
SCALE = 1 / 100  # a window of 1.8 seconds

PAID, ALREADY_PAID, PENDING = PaymentState.PAID, PaymentState.ALREADY_PAID, PaymentState.PENDING
UNKNOWN, REFUSED, OVER_CEILING = PaymentState.UNKNOWN, PaymentState.REFUSED, PaymentState.OVER_CEILING


def request(
    reference: str = "inv-1", *, biller_id: int = 2001, params: dict[str, str] | None = None, **more: Any
) -> Any:
    return BillRequest(biller_id, CN if params is None else params, reference_id=reference, **more)


def many(count: int, **more: Any) -> list[BillRequest]:
    return [request(f"m-{number}", params={"cn": f"CN{number:09d}"}, **more) for number in range(count)]


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    made: Store = MemoryStore(nothing_pending=True)
    if request.param == "sqlite":
        made = SQLiteStore(tmp_path / "store.sqlite3", nothing_pending=True)
    yield made
    await made.aclose()


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(settle_after=0.0, repeat_debits=True) as running:
        yield running


@pytest.fixture
async def client(sandbox: Sandbox, store: Store) -> AsyncIterator[EnkashClient]:
    async with another(sandbox, store) as made:
        yield made


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the windows of debits and creates pass in two seconds."""
    monkeypatch.setattr(instants, "DURATIONS", instants.DURATIONS.scaled(SCALE))


def another(sandbox: Sandbox, store: Store, *, retry: RetryPolicy = EAGER, **options: Any) -> EnkashClient:
    """Return a client as another process would have it."""
    return EnkashClient.from_credentials(sandbox.base_url, sandbox.credentials, store=store, retry=retry, **options)


def alter_creates(sandbox: Sandbox, **members: object) -> dict[str, object]:
    """Have the replies to creates say something else than the sandbox knows; the result may be changed later."""

    @web.middleware
    async def alter(request: web.Request, handler: Any) -> web.StreamResponse:
        answer: web.Response = await handler(request)
        if request.method != "POST" or not request.path.endswith(("/addBill", "/v2/utilityPayment")):
            return answer
        document = json.loads(answer.text or "")
        document["payload"] |= members
        return web.json_response(document)

    sandbox._app.middlewares.append(alter)
    return members


async def until_it_ends(client: EnkashClient, what: BillRequest, *, wait: float = 1.0, most: int = 20) -> Payment:
    """Call again as a task queue does."""
    payment = await client.payments.pay(what, wait=wait)
    for _ in range(most):
        if payment.retry not in {RetryAdvice.LATER, RetryAdvice.NOW}:
            break
        await asyncio.sleep(min(payment.retry_after or 0.05, 3.0))
        payment = await client.payments.pay(what, wait=wait)
    return payment


# --- what the biller shows --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fetched", "said"),
    [
        (
            FetchedBill(company_biller_id="CB-1", bill_net_amount=Decimal("2450.755")),
            "the biller asks for ₹ 2,450.755, and",
        ),
        (FetchedBill(company_biller_id=" ", bill_net_amount=Decimal(500)), "fetched.company_biller_id is empty"),
    ],
)
async def test_what_the_biller_shows_and_nobody_can_pay_is_refused(
    client: EnkashClient, sandbox: Sandbox, fetched: FetchedBill, said: str
) -> None:
    """A payment ends in a state, alone and among others, and nothing is created."""
    odd = request(fetched=fetched)
    for payment in (await client.payments.pay(odd), await client.payments.pay(odd, wait=1)):
        assert (payment.state, payment.retry) == (REFUSED, RetryAdvice.NEVER)
        assert payment.reason.startswith(said)
    result = await client.payments.pay_many([odd, request("inv-2")], wait=10)
    assert [[item.key for item in group] for group in (result.succeeded, result.failed)] == [["inv-2"], ["inv-1"]]
    assert sandbox.counts["create_bill"] == 1


# --- how far it gets --------------------------------------------------------------------------------------------------


async def test_a_payment_takes_three_requests_and_one_a_look(client: EnkashClient, sandbox: Sandbox) -> None:
    """Without a wait it ends with the confirmation; called again it looks, and once it is paid it asks nobody."""
    sandbox.ledger.settle_after = 0.1
    payment = await client.payments.pay(request())
    assert (payment.state, payment.retry, payment.reference_id) == (PENDING, RetryAdvice.LATER, "inv-1")
    del sandbox.counts["token"]
    assert dict(sandbox.counts) == {"fetch_bill": 1, "create_bill": 1, "confirm_debit": 1}
    await asyncio.sleep(0.15)
    again = await client.payments.pay(request())
    assert (again.state, again.retry) == (ALREADY_PAID, RetryAdvice.NEVER)
    assert again.bill is not None
    assert again.bill.outcome is Outcome.PAID
    before = sandbox.counts.total()
    noted = await client.payments.pay(request(max_amount=9_999_999))
    assert noted.state is ALREADY_PAID
    assert sandbox.counts.total() == before
    assert noted.bill is not None
    for name in ("utility_enkash_id", "bill_number", "bill_due_date", "bill_reference_id", "bank_transaction_id"):
        assert getattr(noted.bill, name) == getattr(again.bill, name)
    assert (noted.amount, noted.bill.payment_date) == (again.amount, again.bill.payment_date)
    assert (noted.bill.outcome, noted.bill.debit_confirmed) == (Outcome.PAID, True)
    assert sandbox.debits == {"inv-1": 1}


async def test_a_payment_that_waits_is_paid(client: EnkashClient, sandbox: Sandbox) -> None:
    """The state says so, with the amount of the bill."""
    payment = await client.payments.pay(request(max_amount=20_000), wait=5)
    assert payment.state is PAID
    assert payment.amount == sandbox.ledger.debits[0].amount
    assert payment.reason == ""


async def test_a_bill_that_the_caller_describes_is_created_without_a_fetch(
    client: EnkashClient, sandbox: Sandbox
) -> None:
    """One with an amount costs no fetch, one that was fetched neither, and both go through."""
    assert (await client.payments.pay(request(bill_amount=500), wait=5)).amount == 500
    fetched = await client.bills.fetch_current(2001, {"cn": "CN7"})
    given = request("inv-2", params={"cn": "CN7"}, fetched=fetched, max_amount=20_000)
    assert (await client.payments.pay(given, wait=5)).state is PAID
    assert sandbox.counts["fetch_bill"] == 1
    assert sandbox.debits == {"inv-1": 1, "inv-2": 1}


async def test_a_rehearsal_creates_nothing(client: EnkashClient, sandbox: Sandbox) -> None:
    """It tells what `pay` would find: a payable bill, a ceiling, a refusal, a bill that is pending or paid."""
    payable = await client.payments.rehearse(request())
    assert (payable.state, payable.bill) == (PaymentState.PAYABLE, None)
    assert payable.amount is not None
    assert (await client.payments.rehearse(request(max_amount=1))).state is OVER_CEILING
    assert (await client.payments.rehearse(request(biller_id=2202))).state is REFUSED
    assert not sandbox.ledger.search()
    await client.bills.create(2001, CN, reference_id="inv-1")
    created = await client.payments.rehearse(request())
    assert (created.state, created.amount) == (PaymentState.PAYABLE, payable.amount)
    assert not sandbox.ledger.debits
    sandbox.ledger.settle_after = math.inf
    await client.payments.pay(request())
    assert (await client.payments.rehearse(request())).state is PENDING


async def test_a_payment_that_is_sent_back_waits_for_its_refund(client: EnkashClient, sandbox: Sandbox) -> None:
    """Before the refund EnKash may try again, so nobody should pay it elsewhere; after it the failure is final."""
    sandbox.ledger.refund_after = 0.2
    failed = await client.payments.pay(request(biller_id=2302), wait=5)
    assert (failed.state, failed.retry) == (PaymentState.FAILED, RetryAdvice.LOOK)
    assert "EnKash may try again" in failed.reason
    await asyncio.sleep(0.3)
    refunded = await client.payments.pay(request(biller_id=2302))
    assert (refunded.state, refunded.retry) == (PaymentState.FAILED, RetryAdvice.NEVER)
    assert "it is refunded" in refunded.reason


async def test_a_payment_that_enkash_tries_again_is_paid_in_the_end(client: EnkashClient, sandbox: Sandbox) -> None:
    """FAILED is not final before the refund."""
    sandbox.ledger.refund_after = 0.1
    assert (await client.payments.pay(request(biller_id=2303), wait=0.05)).state in {PaymentState.FAILED, PENDING}
    await asyncio.sleep(0.5)
    assert (await client.payments.pay(request(biller_id=2303), wait=1)).state is ALREADY_PAID
    assert sandbox.debits == {"inv-1": 1}


# --- ceilings ---------------------------------------------------------------------------------------------------------


async def test_a_bill_over_its_ceiling_is_not_created(client: EnkashClient, sandbox: Sandbox) -> None:
    """The amount that was fetched is too much; the reference is looked up before that is told."""
    payment = await client.payments.pay(request(max_amount=50))
    assert (payment.state, payment.retry) == (OVER_CEILING, RetryAdvice.NEVER)
    assert "more than the max_amount of ₹ 50.00" in payment.reason
    assert sandbox.counts["bill_by_reference"] == 1
    assert not sandbox.ledger.search()


async def test_an_amount_that_moves_between_fetch_and_create_is_held_against_the_ceiling(
    client: EnkashClient, sandbox: Sandbox
) -> None:
    """The bill exists, is not confirmed, and the payment says so; a higher ceiling then pays it."""
    amount = (await client.payments.rehearse(request())).amount
    assert amount is not None
    sandbox.ledger.amount_shift = Decimal(58_743)
    payment = await client.payments.pay(request(max_amount=10_000))
    assert (payment.state, payment.amount) == (OVER_CEILING, amount + 58_743)
    assert "the bill exists and is not confirmed" in payment.reason
    assert not sandbox.ledger.debits
    assert (await client.payments.pay(request(max_amount=100_000), wait=5)).state is PAID
    assert [debit.amount for debit in sandbox.ledger.debits] == [amount + 58_743]


async def test_an_amount_that_the_caller_named_is_not_exceeded(client: EnkashClient, sandbox: Sandbox) -> None:
    """EnKash creates the bill with more than was asked for: it is not confirmed."""
    sandbox.ledger.amount_shift = Decimal(100)
    payment = await client.payments.pay(request(bill_amount=500))
    assert payment.state is OVER_CEILING
    assert "₹ 600.00, not the ₹ 500.00 that were asked for" in payment.reason
    again = await client.payments.pay(request(bill_amount=500))
    assert (again.state, again.reason, again.retry) == (payment.state, payment.reason, payment.retry)
    assert (await client.payments.rehearse(request(bill_amount=500))).state is OVER_CEILING
    other = await client.payments.pay(request(bill_amount=400))
    assert (other.state, other.bill) == (REFUSED, None)
    assert "its bill differs in amount" in other.reason
    assert not sandbox.ledger.debits


async def test_an_amount_that_moved_in_a_create_without_an_answer_needs_a_person(
    client: EnkashClient, sandbox: Sandbox
) -> None:
    """The bill may be older than this create: nobody can say that this call created nothing."""
    sandbox.ledger.amount_shift = Decimal(100)
    sandbox.faults.add("add_bill", FaultKind.DROP_AFTER)
    for _ in range(2):
        payment = await client.payments.pay(request(bill_amount=500))
        assert (payment.state, payment.retry, payment.bill) == (UNKNOWN, RetryAdvice.LOOK, None)
        assert "has another amount than asked; it may be the bill of that create or an older one" in payment.reason
    assert (sandbox.counts["add_bill"], sandbox.ledger.debits) == (1, [])


async def test_a_reference_that_is_used_for_another_amount_is_refused_each_time(
    client: EnkashClient, sandbox: Sandbox
) -> None:
    """By a create of somebody who does not share the store: code 38 says that this call created nothing."""
    async with another(sandbox, MemoryStore(nothing_pending=True)) as stranger:
        await stranger.bills.create(2001, CN, bill_amount=400, reference_id="inv-1")
    told = [await client.payments.pay(request(bill_amount=500)) for _ in range(2)]
    assert told[0] == told[1]
    assert (told[0].state, told[0].retry) == (REFUSED, RetryAdvice.NEVER)
    assert "its bill differs in amount" in told[0].reason
    assert not sandbox.ledger.debits


# --- used references --------------------------------------------------------------------------------------------------


async def test_an_input_that_was_corrected_under_the_same_reference_is_refused(
    client: EnkashClient, sandbox: Sandbox
) -> None:
    """The old account's bill is neither confirmed nor told of as the new one's."""
    old = request(biller_id=2002, params={"cn": "CN1", "ad1": "4567"})
    new = request(biller_id=2002, params={"cn": "CN1", "ad1": "4568"}, max_amount=20_000)
    assert (await client.payments.pay(attrs.evolve(old, max_amount=1))).state is OVER_CEILING
    await client.bills.create(2002, old.params, reference_id="inv-1")
    payment = await client.payments.pay(new)
    assert (payment.state, payment.bill) == (REFUSED, None)
    assert "ad1" in payment.reason
    assert not sandbox.ledger.debits


async def test_a_store_that_knows_the_request_needs_no_look_to_refuse_another(
    client: EnkashClient, sandbox: Sandbox
) -> None:
    """The reference was used for another input, whatever EnKash shows of it."""
    sandbox.ledger.settle_after = math.inf
    await client.payments.pay(request(biller_id=2002, params={"cn": "CN1", "ad1": "4567"}))
    before = sandbox.counts.total()
    payment = await client.payments.pay(request(biller_id=2002, params={"cn": "CN1", "ad1": "4568"}))
    assert payment.state is REFUSED
    assert sandbox.counts.total() == before


async def test_a_reference_that_another_store_has_paid_is_looked_up_before_a_refusal(
    client: EnkashClient, sandbox: Sandbox
) -> None:
    """The biller shows nothing to pay any more; the answer is that it is paid."""
    await client.payments.pay(request(), wait=5)
    async with another(sandbox, MemoryStore(nothing_pending=True)) as fresh:
        silent = attrs.evolve(request(), biller_id=2001)
        sandbox.faults.add("fetch_bill", FaultKind.SERVER_ERROR, times=None)
        assert (await fresh.payments.pay(silent)).state is ALREADY_PAID
        sandbox.faults.clear()
    async with another(sandbox, MemoryStore(nothing_pending=True)) as fresh:
        assert (await fresh.payments.pay(request(max_amount=1))).state is ALREADY_PAID
    async with another(sandbox, MemoryStore(nothing_pending=True)) as fresh:
        assert (await fresh.payments.pay(request(), wait=5)).state is ALREADY_PAID  # the create says 38
    assert sandbox.debits == {"inv-1": 1}


async def test_a_refusal_of_enkash_is_told_with_its_words(client: EnkashClient, sandbox: Sandbox) -> None:
    """Nothing to pay, an inactive biller, a debit that is refused: REFUSED; a velocity limit may pass."""
    nothing = await client.payments.pay(request(biller_id=2202))
    assert (nothing.state, nothing.retry) == (REFUSED, RetryAdvice.NEVER)
    assert "the biller shows nothing to pay: Unable to fetch" in nothing.reason
    assert (await client.payments.pay(request(biller_id=2102))).state is REFUSED
    refused = await client.payments.pay(request(biller_id=2305))
    assert (refused.state, refused.retry) == (REFUSED, RetryAdvice.NEVER)
    assert "the bill exists, and its debit was refused" in refused.reason
    sandbox.ledger.max_creates = 0
    limited = await client.payments.pay(request("inv-9"))
    assert (limited.state, limited.retry) == (PaymentState.NOT_SENT, RetryAdvice.LATER)
    assert not sandbox.ledger.debits


# --- lost and late replies --------------------------------------------------------------------------------------------

_LOST = (FaultKind.DROP_AFTER, FaultKind.SERVER_ERROR_AFTER, FaultKind.TRUNCATED, FaultKind.NOT_JSON)


@pytest.mark.parametrize("kind", [*_LOST, FaultKind.NULL_PAYLOAD, FaultKind.REFUSED_AFTER])
async def test_a_create_whose_reply_is_lost_is_found_and_paid(
    client: EnkashClient, sandbox: Sandbox, kind: FaultKind
) -> None:
    """Also where EnKash answers 409 after its work, or a success without a bill."""
    sandbox.faults.add("create_bill", kind)
    assert (await client.payments.pay(request(), wait=5)).state is PAID
    assert sandbox.debits == {"inv-1": 1}


@pytest.mark.parametrize("status", [None, 200, 409])
async def test_a_create_that_comes_late_is_unknown_first(
    client: EnkashClient, sandbox: Sandbox, brief: None, status: int | None
) -> None:
    """The payment says when to come back; then it is paid, once."""
    sandbox.faults.add("create_bill", FaultKind.LATE, delay=0.5, status=status)
    first = await client.payments.pay(request())
    assert (first.state, first.retry) == (UNKNOWN, RetryAdvice.LATER)
    assert first.retry_after is not None
    assert (await until_it_ends(client, request())).state in {PAID, ALREADY_PAID}
    assert sandbox.debits == {"inv-1": 1}


async def test_a_refusal_while_a_create_is_unanswered_is_unknown(client: EnkashClient, sandbox: Sandbox) -> None:
    """Another process sent the create a moment ago: its bill may still appear."""
    sandbox.faults.add("create_bill", FaultKind.LATE, delay=60)
    await client.payments.pay(request())
    payment = await client.payments.pay(request(max_amount=1))
    assert (payment.state, payment.retry) == (UNKNOWN, RetryAdvice.LATER)
    assert payment.retry_after is not None
    assert 100 < payment.retry_after <= 200
    assert "an earlier create may still be carried out" in payment.reason


@pytest.mark.parametrize("kind", _LOST)
async def test_a_confirmation_whose_reply_is_lost_debits_once(
    client: EnkashClient, sandbox: Sandbox, brief: None, kind: FaultKind
) -> None:
    """Whatever the display shows meanwhile."""
    sandbox.ledger.read_lag = 0.1
    sandbox.faults.add("confirm_debit", kind)
    assert (await until_it_ends(client, request())).state in {PAID, ALREADY_PAID}
    assert sandbox.debits == {"inv-1": 1}


async def test_a_confirmation_that_comes_late_debits_once(client: EnkashClient, sandbox: Sandbox, brief: None) -> None:
    """The payment is unknown for the rest of the window, and paid after it."""
    sandbox.faults.add("confirm_debit", FaultKind.LATE, delay=1.0)
    first = await client.payments.pay(request())
    assert (first.state, first.retry) == (UNKNOWN, RetryAdvice.LATER)
    assert (await until_it_ends(client, request())).state in {PAID, ALREADY_PAID}
    assert sandbox.debits == {"inv-1": 1}


async def test_a_display_that_lags_debits_nothing_twice(client: EnkashClient, sandbox: Sandbox, store: Store) -> None:
    """Called again at once, by another client: the record says that EnKash said yes."""
    sandbox.ledger.settle_after = 10
    sandbox.ledger.read_lag = sandbox.ledger.search_lag = 4
    assert (await client.payments.pay(request())).state is PENDING
    async with another(sandbox, store) as other:
        assert (await other.payments.pay(request())).state in {UNKNOWN, PENDING}
    assert sandbox.debits == {"inv-1": 1}


async def test_a_search_that_never_shows_the_end_keeps_nothing_pending(client: EnkashClient, sandbox: Sandbox) -> None:
    """Five bills wait; the single reads of the last look show that they are paid."""
    sandbox.ledger.search_lag = math.inf
    result = await client.payments.pay_many(many(5), wait=0.5)
    assert {item.value.state for item in result.succeeded if item.value} == {PAID}
    assert len(result.succeeded) == 5


# --- accounts that debit on creation ----------------------------------------------------------------------------------


async def test_an_account_that_debits_on_creation_stops_the_run(sandbox: Sandbox, store: Store) -> None:
    """The bill is not confirmed; the payment says which option to set, and no further bill is created."""
    sandbox.ledger.debit_on_create = True
    async with another(sandbox, store) as client:
        payment = await client.payments.pay(request())
        assert (payment.state, payment.retry) == (UNKNOWN, RetryAdvice.LOOK)
        assert "this account debits on creation" in payment.reason
        assert "ENKASH_DEBIT_ON_CREATE=1" in payment.reason
        result = await client.payments.pay_many(many(40), wait=0, concurrency=1)
        assert [item.key for item in result.unknown] == ["m-0"]
        assert len(result.not_sent) == 39
    assert sandbox.debits == {"inv-1": 1, "m-0": 1}


async def test_once_a_search_shows_a_debit_of_a_create_no_new_bill_is_confirmed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the reply to a create does not show its debit, portions too small for a search would be debited again."""
    monkeypatch.setattr(portions, "_MOST", 6)
    sandbox = Sandbox(settle_after=0.0, repeat_debits=True, debit_on_create=True)
    alter_creates(sandbox, paymentStatus="INIT", approvalStatus="MAKER_APPROVAL_PENDING", billpayStatus=None)
    async with sandbox, another(sandbox, store) as client:
        result = await client.payments.pay_many(many(8), wait=0)
        payments = [item.value for item in result.unknown if item.value is not None]
        assert len(payments) == 8
        assert {payment.retry for payment in payments} == {RetryAdvice.LOOK}
        assert all("this account debits on creation" in payment.reason for payment in payments)
    assert sandbox.counts["confirm_debit"] == 0
    assert set(sandbox.debits.values()) == {1}


@pytest.mark.usefixtures("brief")
@pytest.mark.parametrize("named", ["  ", "UTIL-NONE"])
async def test_a_bill_whose_create_named_a_wrong_id_is_found_by_its_reference(store: Store, named: str) -> None:
    """At once where the id is blank, otherwise as soon as EnKash would show a bill of this id."""
    sandbox = Sandbox(settle_after=0.0, repeat_debits=True)
    alter_creates(sandbox, utilityEnkashId=named)
    async with sandbox, another(sandbox, store) as client:
        payment = await client.payments.pay(request(), wait=1)
        assert (payment.state is PAID) is (not named.strip())
        await asyncio.sleep(0 if payment.state is PAID else 200 * SCALE)
        assert (await until_it_ends(client, request())).state in {PAID, ALREADY_PAID}
    assert sandbox.debits == {"inv-1": 1}


async def test_a_create_that_names_an_older_bill_does_not_have_it_debited(store: Store) -> None:
    """A reply without a reference shows whose bill it is, not which one, so the reference decides."""
    sandbox = Sandbox(settle_after=0.0, repeat_debits=True)
    told = alter_creates(sandbox)
    async with sandbox, another(sandbox, store) as client:
        older = await client.bills.create(2001, CN, reference_id="older")
        told.update(utilityEnkashId=older.utility_enkash_id, referenceId=None)
        assert (await client.payments.pay(request(), wait=1)).state is PAID
    assert sandbox.debits == {"older": 0, "inv-1": 1}


@pytest.mark.parametrize("stated", [0, -5, 0.5])
@pytest.mark.parametrize("bound", ["max_amount", "bill_amount"])
async def test_an_amount_below_a_rupee_is_below_no_ceiling(store: Store, stated: object, bound: str) -> None:
    """EnKash prints 0 where it has filled no amount in: the bill is read before its debit."""
    sandbox = Sandbox(settle_after=0.0, repeat_debits=True, amount_shift=Decimal(100_000))
    alter_creates(sandbox, amount=stated)
    async with sandbox, another(sandbox, store) as client:
        bounds: dict[str, Any] = {bound: 20_000}
        payment = await client.payments.pay(request(**bounds))
        assert payment.state is OVER_CEILING
        assert payment.amount is not None
        assert payment.amount > 100_000
    assert sandbox.debits == {"inv-1": 0}


async def test_with_the_option_the_create_is_the_debit(sandbox: Sandbox, store: Store) -> None:
    """Nothing is confirmed; an amount that moved is told, and cannot be stopped."""
    sandbox.ledger.debit_on_create = True
    async with another(sandbox, store, debit_on_create=True) as client:
        assert (await client.payments.pay(request(), wait=5)).state is PAID
        sandbox.ledger.amount_shift = Decimal(100_000)
        dear = await client.payments.pay(request("inv-2", max_amount=20_000), wait=5)
        assert dear.state is PAID
        assert "its create has debited it" in dear.reason
        unpriced = await client.payments.pay(request("inv-3", name="Asha", max_amount=20_000))
        assert unpriced.state is OVER_CEILING
    assert sandbox.counts["confirm_debit"] == 0
    assert sandbox.debits == {"inv-1": 1, "inv-2": 1}


async def test_an_account_whose_creates_hide_their_debit_stops_the_run(store: Store) -> None:
    """The search for a portion shows it. A bill whose create is under way is not confirmed, and no other is created."""
    sandbox = Sandbox(settle_after=600, debit_on_create=True, repeat_debits=True)
    ready, told = asyncio.Event(), asyncio.Event()

    @web.middleware
    async def hiding(request: web.Request, handler: Handler) -> web.StreamResponse:
        answer = await handler(request)
        if request.path != Routes().create_bill or not isinstance(answer, web.Response):
            return answer
        document = json.loads(answer.text or "")
        document["payload"] |= {
            "approvalStatus": "MAKER_APPROVAL_PENDING",
            "paymentStatus": "INIT",
            "approvedDate": None,
        }
        if document["payload"]["referenceId"] == "held":
            await told.wait()
        return web.json_response(document)

    sandbox._app.middlewares.append(hiding)
    async with sandbox, another(sandbox, store) as client:
        payer = attrs.evolve(client.payments._payer, poller=Poller(sleep=lambda _: ready.wait()))
        async with payer.run(within=1.0) as run:
            four = [asyncio.ensure_future(run.pay(one)) for one in many(4)]
            held = asyncio.ensure_future(run.pay(request("held")))
            async with asyncio.timeout(60):
                while run._portions._open is None or len(run._portions._open.waiting) < 4:
                    await asyncio.sleep(0.001)
                ready.set()
                await asyncio.wait(four)
                told.set()
                assert {(await one).payment.state for one in (*four, held)} == {UNKNOWN}
            with pytest.raises(ConfigurationError, match="this account debits on creation"):
                await run.pay(request("late"))
    assert sandbox.debits == {"m-0": 1, "m-1": 1, "m-2": 1, "m-3": 1, "held": 1}
    assert sandbox.counts["confirm_debit"] == 0


async def test_with_the_option_no_debit_is_confirmed(sandbox: Sandbox, store: Store) -> None:
    """The call is refused before its source is read, and before anything is sent or written down."""

    def untouched() -> Iterator[str]:
        raise AssertionError("the ids were read")
        yield ""

    sandbox.ledger.debit_on_create = True
    async with another(sandbox, store, debit_on_create=True) as client:
        bill = await client.bills.create(2001, {"cn": "CN1"}, bill_amount=500, reference_id="inv-1")
        requests = sandbox.counts.total()
        for ids in ([bill.utility_enkash_id], untouched()):
            with pytest.raises(ConfigurationError, match="the create of a bill was its debit"):
                await client.payments.confirm_debit(ids)
        assert sandbox.counts.total() == requests
        (record,) = await client.payments.debits([bill.utility_enkash_id])
        assert record.state == "created"
    assert sandbox.debits == {"inv-1": 1}


@pytest.mark.usefixtures("brief")
async def test_the_option_on_an_account_that_does_not_debit_on_creation_is_told_of(
    sandbox: Sandbox, store: Store
) -> None:
    """Once the create's window is over; nothing is confirmed until the option is gone, and then once."""
    async with another(sandbox, store, debit_on_create=True) as client:
        assert (await client.payments.pay(request())).state is PENDING
        payment = await until_it_ends(client, request(), wait=0, most=400)
        assert (payment.state, payment.retry) == (UNKNOWN, RetryAdvice.LOOK)
        assert "unset debit_on_create or ENKASH_DEBIT_ON_CREATE" in payment.reason
        assert sandbox.counts["confirm_debit"] == 0
    async with another(sandbox, store) as client:
        assert (await client.payments.pay(request(), wait=5)).state is PAID
    assert sandbox.debits == {"inv-1": 1}


# --- many -------------------------------------------------------------------------------------------------------------


async def test_many_take_two_requests_each_and_some(client: EnkashClient, sandbox: Sandbox) -> None:
    """Confirmed by the hundred and waited for by search: at most 2.2 requests a bill."""
    sandbox.ledger.settle_after = 0.2
    await client.payments.rehearse(request())  # logs in
    sandbox.counts.clear()
    told: list[tuple[int, int | None]] = []
    result = await client.payments.pay_many(
        many(150), wait=30, on_progress=lambda done, total: told.append((done, total))
    )
    assert {item.value.state for item in result.succeeded if item.value} == {PAID}
    assert [item.key for item in result.succeeded] == [f"m-{number}" for number in range(150)]
    assert told[-1] == (150, 150)
    assert sandbox.counts["confirm_debit"] <= 10  # a portion leaves a second after its first bill
    assert sandbox.counts.total() <= 2.2 * 150
    assert set(sandbox.debits.values()) == {1}


async def test_each_is_yielded_with_its_payment(client: EnkashClient, sandbox: Sandbox) -> None:
    """Also those that are not paid: the group and the error say why."""
    asked = [*many(3), request("dear", max_amount=1), request("silent", biller_id=2202)]
    items = {item.key: item async for item in client.payments.pay_each(asked, wait=5)}
    assert {key: item.value.state for key, item in items.items() if item.value} == {
        **{f"m-{number}": PAID for number in range(3)},
        "dear": OVER_CEILING,
        "silent": REFUSED,
    }
    error = items["dear"].error
    assert error is not None
    assert (items["dear"].group, error.retry) == ("failed", RetryAdvice.NEVER)
    assert "more than the max_amount" in str(error)


async def test_what_is_not_settled_is_unknown_where_somebody_waited(client: EnkashClient, sandbox: Sandbox) -> None:
    """And has succeeded where nobody did."""
    sandbox.ledger.settle_after = math.inf
    waited = await client.payments.pay_many(many(2), wait=0.1)
    assert [item.value.state for item in waited.unknown if item.value] == [PENDING, PENDING]
    error = waited.unknown[0].error
    assert error is not None
    assert error.retry is RetryAdvice.LATER
    unwaited = await client.payments.pay_many(many(2), wait=0)
    assert [item.value.state for item in unwaited.succeeded if item.value] == [PENDING, PENDING]
    with pytest.raises(BulkError):
        waited.raise_for_failures()


async def test_two_runs_at_once_share_the_work(sandbox: Sandbox, store: Store) -> None:
    """Each bill is debited once, and both runs say that all are paid."""
    sandbox.ledger.settle_after = 0.3
    patient = RetryPolicy(backoff=0, settle=5)
    async with another(sandbox, store, retry=patient) as one, another(sandbox, store, retry=patient) as two:
        results = await asyncio.gather(*(client.payments.pay_many(many(60), wait=20) for client in (one, two)))
    for result in results:
        assert {item.value.state for item in result.succeeded if item.value} <= {PAID, ALREADY_PAID}
        assert len(result.succeeded) == 60
    assert set(sandbox.debits.values()) == {1}


async def test_a_run_that_is_cancelled_is_finished_by_the_next(sandbox: Sandbox, store: Store, brief: None) -> None:
    """Wherever it was: nothing is debited twice, and every bill is paid."""
    for seconds in (0.02, 0.1, 0.3, 1.1):
        async with another(sandbox, store) as client:
            run = asyncio.create_task(client.payments.pay_many(many(30), wait=5))
            await asyncio.sleep(seconds)
            run.cancel()
            await asyncio.gather(run, return_exceptions=True)
    async with another(sandbox, store) as client:
        for what in many(30):
            assert (await until_it_ends(client, what)).state in {PAID, ALREADY_PAID}
    assert set(sandbox.debits.values()) == {1}


class _Ends(BaseException):
    """What no job should catch."""


def _breaking(problem: BaseException) -> Iterator[BillRequest]:
    yield from many(2)
    raise problem


async def test_a_source_that_fails_hangs_nobody(client: EnkashClient) -> None:
    """Also with what is no Exception."""
    with pytest.raises(BulkError) as broken:
        await client.payments.pay_many(_breaking(ValueError("no")), wait=5)
    assert len(broken.value.result.succeeded) == 2
    with pytest.raises(_Ends):
        async for _ in client.payments.pay_each(_breaking(_Ends()), wait=5):
            pass


# --- what is raised ---------------------------------------------------------------------------------------------------

_CALLS: list[Callable[[EnkashClient], Any]] = [
    lambda client: client.payments.pay(BillRequest(2001, CN)),
    lambda client: client.payments.pay("inv-1"),  # type: ignore[arg-type]  # what is tested
    lambda client: client.payments.pay(request(), wait=-1),
    lambda client: client.payments.pay(request(), remarks="a/b"),
    lambda client: client.payments.rehearse(BillRequest(2001, CN)),
    lambda client: client.payments.pay_many([request()], concurrency=0),
    lambda client: client.payments.pay_many("inv-1"),  # type: ignore[arg-type]  # what is tested
]


@pytest.mark.parametrize("call", _CALLS)
async def test_a_wrong_argument_is_refused_before_anything_is_sent(
    client: EnkashClient, sandbox: Sandbox, call: Callable[[EnkashClient], Any]
) -> None:
    """The error says what to write."""
    with pytest.raises(InvalidRequestError):
        await call(client)
    assert not sandbox.counts.total()


async def test_wrong_items_of_many_stop_no_other(client: EnkashClient) -> None:
    """Without a reference, or with one that was given for another bill."""
    result = await client.payments.pay_many([BillRequest(2001, CN), *many(1), request("m-0"), *many(1)], wait=5)
    assert [item.key for item in result.succeeded] == ["m-0"]
    assert [item.key for item in result.not_sent] == ["requests[0]", "m-0"]
    assert result.duplicates == ("m-0",)
    with pytest.raises(InvalidRequestError):
        client.payments.pay_each(3)  # type: ignore[arg-type]  # what is tested


async def test_without_a_store_that_keeps_nothing_is_sent(sandbox: Sandbox) -> None:
    """A memory that was taken because no file could be made serves tokens alone."""
    async with EnkashClient.from_credentials(sandbox.base_url, sandbox.credentials, store=FallbackStore()) as client:
        client.payments._payer.debits.records._is_loopback = False
        with pytest.raises(StoreUnavailableError, match="ENKASH_STORE_URL"):
            await client.payments.pay(request())
        result = await client.payments.pay_many(many(2))
        assert len(result.not_sent) == 2
    assert not sandbox.counts["fetch_bill"]


async def test_without_a_token_nothing_is_sent(sandbox: Sandbox) -> None:
    """One payment raises; of many, the first stops the others."""
    wrong = attrs.evolve(sandbox.credentials, password="wrong")
    async with EnkashClient.from_credentials(sandbox.base_url, wrong, store=MemoryStore()) as client:
        with pytest.raises(TokenError):
            await client.payments.pay(request())
        result = await client.payments.pay_many(many(3))
    assert len(result.not_sent) == 3
    assert not sandbox.ledger.search()


# --- the situations that were shown with debits made twice ------------------------------------------------------------


async def paid_in_the_end(sandbox: Sandbox, store: Store, asked: list[BillRequest]) -> dict[str, PaymentState]:
    """Run the same job again, each time as a new process, until nothing is left to try."""
    states: dict[str, PaymentState] = {}
    for _ in range(12):
        async with another(sandbox, store) as client:
            result = await client.payments.pay_many(asked, wait=1)
        items = [*result.succeeded, *result.failed, *result.unknown, *result.not_sent]
        states = {item.key: item.value.state for item in items if item.value}
        left = {state for key, state in states.items() if key != "bad"}
        if not {UNKNOWN, PENDING, PaymentState.NOT_SENT} & left:
            break
        await asyncio.sleep(0.4)
    return states


@pytest.mark.parametrize("style", ["until_bad", "report_bad", "whole"])
async def test_a_call_that_enkash_works_through_to_a_bad_one_debits_no_bill_twice(
    sandbox: Sandbox, store: Store, brief: None, style: str
) -> None:
    """60 bills, one of which cannot be confirmed, and a display that lags: 59 debits, and one refusal."""
    sandbox.ledger.confirm_style = style  # type: ignore[assignment]  # the parameter has its words
    sandbox.ledger.read_lag = sandbox.ledger.search_lag = 0.5
    asked = many(60)
    asked[30] = request("bad", biller_id=2305)
    states = await paid_in_the_end(sandbox, store, asked)
    assert states.pop("bad") in {REFUSED, UNKNOWN}
    assert set(states.values()) <= {PAID, ALREADY_PAID}
    debits = sandbox.debits
    assert debits.pop("bad") == 0
    assert set(debits.values()) == {1}
    await store.aclose()


async def test_two_clients_of_one_process_pay_one_bill_once(sandbox: Sandbox, store: Store) -> None:
    """Called at the same moment, five times each."""
    async with another(sandbox, store) as one, another(sandbox, store) as two:
        payments = await asyncio.gather(*(client.payments.pay(request(), wait=5) for client in (one, two) * 5))
    assert {payment.state for payment in payments} <= {PAID, ALREADY_PAID, UNKNOWN, PENDING}
    assert sandbox.debits == {"inv-1": 1}
    assert len(sandbox.ledger.search()) == 1
    await store.aclose()


async def test_the_reply_of_another_create_pays_no_wrong_bill(
    client: EnkashClient, sandbox: Sandbox, brief: None
) -> None:
    """Each reply comes twice on its connection; every payment names its own bill, and each is debited once."""
    sandbox.faults.add("create_bill", FaultKind.STRAY, times=None, delay=0.02)
    sandbox.faults.add("fetch_bill", FaultKind.STRAY, times=None, delay=0.02)
    for what in many(20):
        payment = await until_it_ends(client, what)
        assert payment.state in {PAID, ALREADY_PAID}
        assert payment.bill is not None
        true = sandbox.ledger.get_by_reference(payment.reference_id)
        assert payment.bill.utility_enkash_id == true.utility_enkash_id
        assert payment.amount == true.amount
    assert set(sandbox.debits.values()) == {1}


async def test_a_short_settle_forgets_no_debit(sandbox: Sandbox, store: Store, brief: None) -> None:
    """`settle` says how long a caller waits, not how long a debit is remembered."""
    sandbox.faults.add("confirm_debit", FaultKind.LATE, delay=0.6)
    async with another(sandbox, store, retry=RetryPolicy(backoff=0, settle=0)) as client:
        for _ in range(4):
            assert (await client.payments.pay(request())).state is UNKNOWN
        assert (await until_it_ends(client, request())).state in {PAID, ALREADY_PAID}
    assert sandbox.debits == {"inv-1": 1}
    await store.aclose()


async def test_replies_that_all_come_twice_pay_no_wrong_bill(sandbox: Sandbox, store: Store, brief: None) -> None:
    """Sixteen at a time: what is told as paid is the bill that was asked for, and each bill is debited once."""
    for route in ("fetch_bill", "create_bill"):
        sandbox.faults.add(route, FaultKind.STRAY, times=None, delay=0.02)
    asked = many(60)
    states = await paid_in_the_end(sandbox, store, asked)
    assert set(states.values()) <= {PAID, ALREADY_PAID}
    for what in asked:
        bill = sandbox.ledger.get_by_reference(what.key)
        assert bill.company_biller.consumer_number == what.params["cn"]
    assert set(sandbox.debits.values()) == {1}
    await store.aclose()


class _Forgetful(MemoryStore):
    """A store that takes no note of references from the given swap on, as a server that went away between two steps.

    Attributes:
        left: Swaps of such notes that it still makes.
    """

    def __init__(self, left: int) -> None:
        super().__init__(nothing_pending=True)
        self.left = left

    async def swap(self, changes: Sequence[Change]) -> Sequence[bool]:
        if any(":create:" in change.key for change in changes):
            self.left -= 1
            if self.left < 0:
                raise StoreUnavailableError("away")
        return await super().swap(changes)


async def test_a_note_that_cannot_be_made_after_the_create_stops_no_payment(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    """It would only save a later call a look; a note before the create has to be made."""
    async with another(sandbox, _Forgetful(1)) as client:
        assert (await client.payments.pay(request(), wait=5)).state is PAID
        assert "the store does not learn how a payment went" in caplog.text
        assert (await client.payments.pay(request())).state is ALREADY_PAID
    async with another(sandbox, _Forgetful(0)) as client:
        with pytest.raises(StoreUnavailableError):
            await client.payments.pay(request("inv-2"))
    assert sandbox.debits == {"inv-1": 1}
