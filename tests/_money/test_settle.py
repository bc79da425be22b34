"""What becomes of a call whose end was unclear: found, found late, never found, another bill; sent once in any case."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import attrs
import pytest
from _money.arrivals import Arrivals
from tokens.doubles import until

from enkash_async import (
    ApprovalStatus,
    AuthenticationError,
    BadRequestError,
    Bill,
    Biller,
    CompanyBiller,
    DuplicateReferenceError,
    EnkashClient,
    EnkashError,
    InvalidRequestError,
    NotFoundError,
    OutcomeUnknownError,
    PaymentStatus,
    PollPolicy,
    RetryPolicy,
    ServerError,
    SettlePolicy,
    Timeouts,
    TokenEndpointError,
    TransportError,
)
from enkash_async._wire.page import Page
from enkash_async.resources.bills_bulk import Bills
from enkash_async.sandbox import FaultKind, Sandbox

from support import Sent, Time, bill_calls, payment_calls

CN = {"cn": "CN123456789"}
BILL = Bill(
    utility_enkash_id="UTIL-1",
    reference_id="inv-1",
    amount=Decimal(10),
    consumer_number="CN123456789",
    company_biller=CompanyBiller(company_biller_id="CB-1", biller=Biller(biller_id=2001)),
    payment_status=PaymentStatus("INIT"),
)
PAID = attrs.evolve(BILL, payment_status=PaymentStatus("SUCCESS"))
#: Looks after 0, 1, 3, 7 and 10 seconds.
GROWING = SettlePolicy(window=10, pauses=PollPolicy(first=1, factor=2, longest=8, jitter=0))


def _unclear(cause: EnkashError | None = None) -> OutcomeUnknownError:
    error = OutcomeUnknownError("unclear", operation="bills.create", reference_id="inv-1")
    error.__cause__ = cause or TransportError("dropped")
    return error


def _absent() -> NotFoundError:
    error = NotFoundError("No utility payment found", status=400)
    error.bill_absent = True
    return error


def _used() -> DuplicateReferenceError:
    return DuplicateReferenceError("used before", status=400, response_code=38)


def _bills(*answers: Any, settle: SettlePolicy = GROWING, attempt: float = 30.0) -> tuple[Bills, Sent, Time]:
    sent, time = Sent(*answers), Time()
    bills = bill_calls(sent, settle=settle, attempt_timeout=attempt, clock=time, sleep=time.sleep, random=lambda: 0.5)
    return bills, sent, time


def _create(bills: Bills) -> Awaitable[Bill]:
    return bills.create(2001, CN, bill_amount=10, reference_id="inv-1")


def _names(sent: Sent) -> list[str]:
    return [operation.name for operation in sent.operations]


async def _error(call: Awaitable[Any]) -> EnkashError:
    with pytest.raises(EnkashError) as caught:
        await call
    return caught.value


# --- a create ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("looks", "pauses"), [(0, []), (1, [1]), (2, [1, 2]), (4, [1, 2, 4, 3])])
async def test_an_unclear_create_is_looked_for_until_it_shows(looks: int, pauses: list[float]) -> None:
    """The client sends once and looks in growing pauses, the last time when the window ends."""
    bills, sent, time = _bills(_unclear(), *[_absent()] * looks, BILL)
    assert await _create(bills) == attrs.evolve(BILL, recovered=True)
    assert _names(sent) == ["bills.create", *["bills.get_by_reference"] * (looks + 1)]
    assert time.slept == pauses


async def test_a_create_that_never_shows_is_unknown() -> None:
    """The error says how long the client looked, what to do, and why the end was unclear."""
    dropped = TransportError("the connection broke")
    bills, sent, time = _bills(_unclear(dropped), _absent())
    error = await _error(_create(bills))
    assert isinstance(error, OutcomeUnknownError)
    assert (error.operation, error.reference_id) == ("bills.create", "inv-1")
    assert "after 10 s EnKash does not show it yet" in str(error)
    assert "bills.reconcile('inv-1')" in str(error)
    assert error.__cause__ is dropped
    assert (time.slept, len(sent.operations)) == ([1, 2, 4, 3], 6)


TRANSIENT: list[EnkashError] = [
    TransportError("dropped"),
    ServerError("busy", status=502),
    NotFoundError("a gateway's page", status=404),
    BadRequestError("no", status=400),
    TokenEndpointError("no login at the moment"),
]


@pytest.mark.parametrize("failure", TRANSIENT, ids=lambda failure: type(failure).__name__)
async def test_a_look_that_fails_is_followed_by_the_next(failure: EnkashError) -> None:
    """Only the bill or a permanent failure ends the window."""
    bills, _, time = _bills(_unclear(), failure, failure, BILL)
    assert (await _create(bills)).recovered
    assert time.slept == [1, 2]


async def test_looks_that_fail_to_the_end_leave_the_create_unknown() -> None:
    """The error says that the looks failed and hides the consumer number that a reply repeats."""
    bills, _, time = _bills(_unclear(), ServerError("no data for CN123456789", status=500))
    error = await _error(_create(bills))
    assert isinstance(error, OutcomeUnknownError)
    assert "it cannot be looked up: no data for ***" in str(error)
    assert time.slept == [1, 2, 4, 3]


@pytest.mark.parametrize(
    "failure",
    [AuthenticationError("shut out", status=401), TokenEndpointError("no answer", counted=True)],
    ids=lambda failure: type(failure).__name__,
)
async def test_a_look_that_every_later_one_would_repeat_ends_the_window(failure: EnkashError) -> None:
    """The client stops looking, because each look would make one more counted login."""
    bills, sent, time = _bills(_unclear(), failure)
    assert isinstance(await _error(_create(bills)), OutcomeUnknownError)
    assert (time.slept, len(sent.operations)) == ([], 2)


@pytest.mark.parametrize(
    ("members", "names"),
    [
        ({"consumer_number": "CN987654321"}, "consumer_number (…4321 there, …6789 asked)"),
        ({"amount": Decimal(11)}, "amount"),
        ({"consumer_number": "CN987654321", "amount": Decimal(11)}, "…6789 asked) and amount"),
    ],
)
async def test_another_bill_under_the_reference_leaves_an_unclear_create_unknown(
    members: dict[str, Any], names: str
) -> None:
    """A person has to look, because the bill may be this call's or an older one."""
    bills, _, time = _bills(_unclear(), attrs.evolve(BILL, **members))
    error = await _error(_create(bills))
    assert isinstance(error, OutcomeUnknownError)
    assert error.reference_id == "inv-1"
    assert names in str(error)
    assert "CN987654321" not in str(error)
    assert time.slept == []


# --- a reference that was used before ---------------------------------------------------------------------------------


async def test_a_used_reference_brings_back_the_same_bill() -> None:
    """A job that runs again gets its bill and creates none."""
    bills, sent, _ = _bills(_used(), BILL)
    assert await _create(bills) == attrs.evolve(BILL, recovered=True)
    assert _names(sent) == ["bills.create", "bills.get_by_reference"]


@pytest.mark.parametrize(
    ("found", "differences"),
    [
        (attrs.evolve(BILL, amount=Decimal(11)), ("amount",)),
        (attrs.evolve(BILL, consumer_number="CN1", amount=Decimal(11)), ("consumer_number", "amount")),
        (attrs.evolve(BILL, consumer_number="*******6789", company_biller=None), ()),
        (attrs.evolve(BILL, amount=None), ()),
    ],
)
async def test_a_used_reference_of_another_bill_is_refused(found: Bill, differences: tuple[str, ...]) -> None:
    """The client refuses the bill, also where EnKash does not show whose it is."""
    refused = _used()
    bills, _, _ = _bills(refused, found)
    error = await _error(_create(bills))
    assert isinstance(error, DuplicateReferenceError)
    assert (error.differences, error.response_code) == (differences, 38)
    assert error.__cause__ is refused


async def test_a_used_reference_that_cannot_be_looked_up_stays_refused() -> None:
    """The client looks for a few seconds and then raises EnKash's own refusal."""
    refused, down = _used(), ServerError("down", status=502)
    bills, _, time = _bills(refused, down)
    error = await _error(_create(bills))
    assert error is refused
    assert error.__cause__ is down
    assert time.now - 1000.0 == 5.0


async def test_a_used_reference_that_does_not_show_at_once_is_looked_for_again() -> None:
    """The client waits for a bill that was created a moment ago."""
    bills, _, time = _bills(_used(), _absent(), BILL)
    assert (await _create(bills)).recovered
    assert time.slept == [1]


# --- the window -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "attempt", "expected"),
    [
        (SettlePolicy(), 30.0, 120.0),
        (SettlePolicy(), 60.0, 240.0),
        (SettlePolicy(window=5), 60.0, 5.0),
        (SettlePolicy(window=0), 60.0, 0.0),
        (SettlePolicy(window=math.inf), 60.0, math.inf),
    ],
)
def test_the_window_is_well_above_the_time_that_a_request_takes(
    policy: SettlePolicy, attempt: float, expected: float
) -> None:
    """The default is two minutes or four attempts; a given window, even 0, is kept."""
    bills, _, _ = _bills(BILL, settle=policy, attempt=attempt)
    assert bills._settling.window() == expected


async def test_no_window_looks_once() -> None:
    """With a window of 0 the client asks EnKash once, does not sleep, and reports an unknown outcome."""
    bills, sent, time = _bills(_unclear(), _absent(), settle=SettlePolicy(window=0))
    assert isinstance(await _error(_create(bills)), OutcomeUnknownError)
    assert (time.slept, len(sent.operations)) == ([], 2)


async def test_an_infinite_window_ends_when_the_bill_shows() -> None:
    """The client keeps its pauses bounded and returns the bill."""
    policy = attrs.evolve(GROWING, window=math.inf)
    bills, _, time = _bills(_unclear(), *[_absent()] * 100, BILL, settle=policy)
    assert (await _create(bills)).recovered
    assert time.slept == [1, 2, 4, *[8] * 97]


# --- reconcile --------------------------------------------------------------------------------------------------------


async def test_reconcile_takes_a_window_of_its_own() -> None:
    """Seconds keep the default pauses, a policy brings its own, and None is the client's."""
    for settle, pauses in ((None, [1, 2, 4, 3]), (0, []), (2, [0.25, 0.5, 1.0, 0.25]), (GROWING, [1, 2, 4, 3])):
        bills, sent, time = _bills(_absent())
        assert await bills.reconcile("inv-1", settle=settle) is None
        assert (time.slept, len(sent.operations)) == (pauses, len(pauses) + 1)


async def test_reconcile_returns_the_bill_as_soon_as_it_shows() -> None:
    """`reconcile` returns the bill after any number of failed looks."""
    bills, sent, _ = _bills(_absent(), TransportError("dropped"), BILL)
    assert await bills.reconcile("inv-1") == attrs.evolve(BILL, recovered=True)
    assert set(_names(sent)) == {"bills.get_by_reference"}


@pytest.mark.parametrize("last", [TransportError("dropped"), NotFoundError("a gateway's page", status=404)])
async def test_reconcile_raises_what_the_last_look_failed_with(last: EnkashError) -> None:
    """`reconcile` does not return None, because a failed look does not prove that no bill was created."""
    bills, _, _ = _bills(_absent(), last)
    assert await _error(bills.reconcile("inv-1")) is last


WRONG_SETTLES = [-1, math.nan, "5", True, [5]]


@pytest.mark.parametrize("settle", WRONG_SETTLES)
async def test_a_wrong_window_is_refused_before_anything_is_sent(settle: Any) -> None:
    """The message says what to write, in both calls."""
    bills, sent, _ = _bills(BILL)
    payments = payment_calls(sent, bills)
    for call in (bills.reconcile("inv-1", settle=settle), payments.reconcile(["UTIL-1"], settle=settle)):
        with pytest.raises(InvalidRequestError, match="a number of seconds, 0 or more, not "):
            await call
    assert sent.operations == []


@pytest.mark.parametrize("reference", ["", "..", None, 5])
async def test_a_wrong_reference_is_refused_before_anything_is_sent(reference: Any) -> None:
    """The client sends nothing, because the reference would change the path."""
    bills, sent, _ = _bills(BILL)
    with pytest.raises(InvalidRequestError, match="reference_id"):
        await bills.reconcile(reference)
    assert sent.operations == []


# --- confirmations ----------------------------------------------------------------------------------------------------


def _bill(name: str, status: str | None) -> Bill:
    return Bill(utility_enkash_id=name, payment_status=None if status is None else PaymentStatus(status))


async def test_confirmations_are_sorted_by_what_enkash_shows() -> None:
    """Each id is in one group, in the order asked, and a repeated id once."""
    shown = [_bill("U-1", "INIT"), _bill("U-2", "SUCCESS"), _bill("U-3", "FAILED"), _bill("U-4", "IN_PROCESS")]
    shown[0] = attrs.evolve(shown[0], approval_status=ApprovalStatus("MAKER_APPROVAL_PENDING"))
    bills, sent, _ = _bills(Page(shown), TransportError("dropped"))
    payments = payment_calls(sent, bills)
    found = await payments.reconcile(["U-5", "U-4", "U-3", "U-2", "U-1", "U-4"], settle=0)
    assert [bill.utility_enkash_id for bill in found.confirmed] == ["U-4", "U-2"]
    assert [bill.utility_enkash_id for bill in found.not_confirmed] == ["U-1"]
    assert [(item.key, item.value, type(item.error)) for item in found.unknown] == [
        ("U-5", None, TransportError),
        ("U-3", shown[2], type(None)),
    ]


async def test_confirmations_are_looked_at_until_all_of_them_show() -> None:
    """The client asks again for those alone that do not show yet."""
    two = attrs.evolve(BILL, utility_enkash_id="UTIL-2")
    bills, sent, time = _bills(PAID, two, attrs.evolve(PAID, utility_enkash_id="UTIL-2"))
    payments = payment_calls(sent, bills)
    found = await payments.reconcile(["UTIL-1", "UTIL-2"])
    assert (len(found.confirmed), found.not_confirmed, found.unknown) == (2, (), ())
    assert time.slept == [1]
    assert [operation.request.path.rsplit("/", 1)[1] for operation in sent.operations] == ["UTIL-1", "UTIL-2", "UTIL-2"]


@pytest.mark.parametrize("end", [_absent(), AuthenticationError("shut out", status=401)])
async def test_a_bill_that_will_never_show_is_not_waited_for(end: EnkashError) -> None:
    """The client stops at a missing bill and at one that it may not read."""
    bills, sent, time = _bills(end)
    found = await payment_calls(sent, bills).reconcile(["UTIL-1"])
    assert [type(item.error) for item in found.unknown] == [type(end)]
    assert time.slept == []


@pytest.mark.parametrize("ids", [[], "UTIL-1", ["UTIL-1", ""], 5])
async def test_wrong_ids_are_refused_before_anything_is_sent(ids: Any) -> None:
    """The client refuses a bare string as well, because it is most likely a mistake."""
    bills, sent, _ = _bills(BILL)
    with pytest.raises(InvalidRequestError, match=r"\bids\b"):
        await payment_calls(sent, bills).reconcile(ids)
    assert sent.operations == []


# --- over real HTTP ---------------------------------------------------------------------------------------------------


@asynccontextmanager
async def _brief_client(
    sandbox: Sandbox, *, window: float, total: float = 0.3, pauses: Sequence[float] = (0.01, 0.05)
) -> AsyncIterator[EnkashClient]:
    """A client with short attempts that looks for the given seconds; it is logged in already."""
    settle = SettlePolicy(window=window, pauses=PollPolicy(first=pauses[0], longest=pauses[1]))
    async with EnkashClient.from_credentials(
        sandbox.base_url,
        sandbox.credentials,
        retry=RetryPolicy(backoff=0, settle=settle),
        timeout=Timeouts(total=total),
    ) as client:
        await client.billers.list_categories()
        yield client


async def test_a_server_that_commits_after_the_client_gave_up_is_sent_the_create_once(sandbox: Sandbox) -> None:
    """The looks find no bill for 2.5 s, and then the one that was created late."""
    sandbox.faults.add("add_bill", FaultKind.LATE, delay=2.5)
    async with _brief_client(sandbox, window=30, pauses=(0.05, 0.25)) as client:
        bill = await client.bills.create(2001, CN, bill_amount=10, reference_id="inv-1")
    assert bill.recovered
    assert sandbox.counts["add_bill"] == 1
    assert sandbox.counts["bill_by_reference"] > 2
    assert [one.utility_enkash_id for one in sandbox.ledger.search()] == [bill.utility_enkash_id]


async def test_work_that_is_done_when_the_client_has_left_is_found(sandbox: Sandbox) -> None:
    """The attempt times out, the server goes on, and a look finds the bill."""
    sandbox.faults.add("create_bill", FaultKind.SLOW, delay=0.5)
    async with _brief_client(sandbox, window=30, total=0.2) as client:
        fetched = await client.bills.fetch_current(2001, CN)
        bill = await client.bills.create_from_fetch(fetched, reference_id="inv-1")
    assert (bill.recovered, bill.amount) == (True, fetched.bill_net_amount)
    assert sandbox.counts["create_bill"] == 1


async def test_a_bill_that_shows_after_the_window_is_unknown_until_somebody_comes_back(sandbox: Sandbox) -> None:
    """`reconcile` finds the late bill, and a repeated create returns it and creates none."""
    sandbox.faults.add("add_bill", FaultKind.LATE, delay=0.6)
    async with _brief_client(sandbox, window=0.05) as client:
        error = await _error(client.bills.create(2001, CN, bill_amount=10, reference_id="inv-1"))
        assert isinstance(error, OutcomeUnknownError)
        await sandbox.late_work()
        found = await client.bills.reconcile("inv-1", settle=0)
        again = await client.bills.create(2001, CN, bill_amount=10, reference_id="inv-1")
    assert found is not None
    assert found == again
    assert len(sandbox.ledger.search()) == 1


async def test_a_late_bill_of_a_create_that_was_made_again_meanwhile_is_refused(sandbox: Sandbox) -> None:
    """EnKash refuses the late create, because the reference is used, so one bill exists."""
    sandbox.faults.add("add_bill", FaultKind.LATE, delay=0.6)
    async with _brief_client(sandbox, window=0) as client:
        assert isinstance(
            await _error(client.bills.create(2001, CN, bill_amount=10, reference_id="inv-1")), OutcomeUnknownError
        )
        assert await client.bills.reconcile("inv-1") is None
        bill = await client.bills.create(2001, CN, bill_amount=10, reference_id="inv-1")
        await sandbox.late_work()
    assert not bill.recovered
    assert [one.utility_enkash_id for one in sandbox.ledger.search()] == [bill.utility_enkash_id]


# --- cancellation -----------------------------------------------------------------------------------------------------


async def _cancel_once(call: Awaitable[object], is_time: Callable[[], bool]) -> None:
    """Cancel a call once the condition holds, and check that it ends as cancelled."""
    task = asyncio.ensure_future(call)
    await until(is_time)
    assert task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(
    ("kind", "route", "count"),
    [
        (FaultKind.SLOW, "add_bill", 1),
        (FaultKind.LATE, "bill_by_reference", 1),
        (FaultKind.LATE, "bill_by_reference", 3),
    ],
    ids=["waiting for the reply", "looking at once", "looking again"],
)
async def test_a_create_that_is_cancelled_is_found_later(
    sandbox: Sandbox, kind: FaultKind, route: str, count: int
) -> None:
    """`reconcile` finds the bill by the reference that the caller chose beforehand."""
    sandbox.faults.add("add_bill", kind, delay=0.5 if kind is FaultKind.LATE else 0.2)
    async with _brief_client(sandbox, window=30) as client:
        call = client.bills.create(2001, CN, bill_amount=10, reference_id="inv-1")
        await _cancel_once(call, lambda: sandbox.counts[route] == count)
        bill = await client.bills.reconcile("inv-1")
    assert bill is not None
    assert (bill.recovered, bill.amount, sandbox.counts["add_bill"]) == (True, Decimal(10), 1)


async def test_a_create_that_is_cancelled_while_its_used_reference_is_looked_up_changes_nothing(
    sandbox: Sandbox,
) -> None:
    """The first run's bill stays the only one."""
    async with _brief_client(sandbox, window=30, total=5) as client:
        first = await client.bills.create(2001, CN, bill_amount=10, reference_id="inv-1")
        sandbox.faults.add("bill_by_reference", FaultKind.SLOW, delay=0.2)
        call = client.bills.create(2001, CN, bill_amount=10, reference_id="inv-1")
        await _cancel_once(call, lambda: sandbox.counts["bill_by_reference"] == 1)
        again = await client.bills.create(2001, CN, bill_amount=10, reference_id="inv-1")
    assert again.utility_enkash_id == first.utility_enkash_id
    assert len(sandbox.ledger.search()) == 1


async def test_a_create_that_is_cancelled_before_it_is_sent_was_never_made(sandbox: Sandbox) -> None:
    """The create is cancelled while it waits for a token, and its reference stays free."""
    sandbox.faults.add("token", FaultKind.SLOW, delay=0.1)
    async with EnkashClient.from_credentials(sandbox.base_url, sandbox.credentials) as client:
        call = client.bills.create(2001, CN, bill_amount=10, reference_id="inv-1")
        await _cancel_once(call, lambda: sandbox.counts["token"] == 1)
        assert await client.bills.reconcile("inv-1", settle=0) is None
    assert sandbox.counts["add_bill"] == 0


@pytest.mark.parametrize(
    ("kind", "route", "count"),
    [(FaultKind.SLOW, "confirm_debit", 1), (FaultKind.LATE, "bill", 2), (FaultKind.LATE, "bill", 3)],
    ids=["waiting for the reply", "reading back at once", "reading back again"],
)
async def test_a_confirmation_that_is_cancelled_and_made_again_debits_once(
    kind: FaultKind, route: str, count: int
) -> None:
    """The second call waits for the first one's confirmation and sends none."""
    async with Sandbox(repeat_debits=True) as sandbox, _brief_client(sandbox, window=30) as client:
        ids = [(await client.bills.create(2001, CN, bill_amount=10, reference_id="inv-1")).utility_enkash_id]
        sandbox.faults.add("confirm_debit", kind, delay=0.5 if kind is FaultKind.LATE else 0.2)
        await _cancel_once(client.payments.confirm_debit(ids), lambda: sandbox.counts[route] == count)
        again = await client.payments.confirm_debit(ids)
        found = await client.payments.reconcile(ids, settle=0)
        assert (len(sandbox.ledger.debits), sandbox.counts["confirm_debit"]) == (1, 1)
    assert [item.key for item in again.succeeded] == ids
    assert [bill.utility_enkash_id for bill in found.confirmed] == ids


async def test_a_confirmation_that_takes_longer_than_the_window_is_not_sent_by_another_call() -> None:
    """The window begins when the exchange ends, so the second call waits for that."""
    sandbox = Sandbox(repeat_debits=True)
    arrivals = Arrivals(sandbox)
    async with sandbox:
        async with _brief_client(sandbox, window=0.1, total=10) as client:
            bill = await client.bills.create(2001, CN, bill_amount=10, reference_id="inv-1")
            sandbox.faults.add("confirm_debit", FaultKind.SLOW, delay=0.6)
            first = asyncio.create_task(client.payments.confirm_debit([bill.utility_enkash_id]))
            await until(lambda: sandbox.counts["confirm_debit"] == 1)
            second = client.payments.confirm_debit([bill.utility_enkash_id])
            await asyncio.gather(second, return_exceptions=True)  # unknown, or known by then
            (await first).raise_for_failures()
        await arrivals.are_over()
        assert (len(sandbox.ledger.debits), sandbox.counts["confirm_debit"]) == (1, 1)


# --- confirmations, over real HTTP ------------------------------------------------------------------------------------


async def test_a_server_that_confirms_after_the_client_gave_up_is_sent_the_confirmation_once() -> None:
    """The client reads the late confirmation back, and the bill has succeeded."""
    async with Sandbox(repeat_debits=True) as sandbox, _brief_client(sandbox, window=30) as client:
        ids = [
            (await client.bills.create(2001, CN, bill_amount=10, reference_id=f"inv-{number}")).utility_enkash_id
            for number in range(5)
        ]
        sandbox.faults.add("confirm_debit", FaultKind.LATE, delay=0.5)
        result = await client.payments.confirm_debit(ids)
        assert (len(sandbox.ledger.debits), sandbox.counts["confirm_debit"]) == (5, 1)
    assert [item.key for item in result.succeeded] == ids


async def test_confirmations_that_show_after_the_window_are_unknown_until_somebody_comes_back() -> None:
    """The error names the bills, `reconcile` sorts them, and a repeat sends nothing."""
    async with Sandbox(repeat_debits=True) as sandbox, _brief_client(sandbox, window=0.05) as client:
        ids = [
            (await client.bills.create(2001, CN, bill_amount=10, reference_id=f"inv-{number}")).utility_enkash_id
            for number in range(5)
        ]
        sandbox.faults.add("confirm_debit", FaultKind.LATE, delay=0.8)
        error = await _error(client.payments.confirm_debit(ids))
        assert isinstance(error, OutcomeUnknownError)
        assert error.utility_enkash_ids == tuple(ids)
        waiting = await client.payments.reconcile(ids, settle=0)
        await sandbox.late_work()
        confirmed = await client.payments.reconcile(ids, settle=0)
        again = await client.payments.confirm_debit(ids)
        assert (len(sandbox.ledger.debits), sandbox.counts["confirm_debit"]) == (5, 1)
    assert [bill.utility_enkash_id for bill in waiting.not_confirmed] == ids
    assert [bill.utility_enkash_id for bill in confirmed.confirmed] == ids
    assert [item.key for item in again.succeeded] == ids
