"""Bills: what is sent, what is refused before it is sent, and what comes back."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enkash_async import (
    Bill,
    BillerInactiveError,
    BillFilter,
    BillPayStatus,
    BillRequest,
    Circle,
    DuplicateReferenceError,
    EnkashClient,
    FetchedBill,
    InvalidRequestError,
    NotFoundError,
    OutcomeUnknownError,
    PaymentStatus,
    PollPolicy,
    RequestTimeoutError,
    ResponseDecodeError,
    ServerError,
    SettlePolicy,
    StaticTokenProvider,
    TokenEndpointError,
    TransportError,
    VelocityLimitError,
    WaitTimeoutError,
)
from enkash_async._wire.page import Page
from enkash_async.resources.bills_bulk import Bills
from enkash_async.sandbox import FaultKind, Sandbox

from support import EAGER, RawServer, Reader, Sent, Time, Writer, bill_calls, raw_server, reply

CN = {"cn": "CN123456789"}
REFERENCE = "ref/1 é?#%2F"


def _bills(*answers: Any, **how: Any) -> tuple[Bills, Sent]:
    sent = Sent(*answers)
    return bill_calls(sent, **how), sent


# --- the whole road ---------------------------------------------------------------------------------------------------


async def test_a_bill_goes_from_fetch_to_settled(sandbox: Sandbox, client: EnkashClient) -> None:
    """The amount that the biller named is the amount that EnKash debits, once."""
    fetched = await client.bills.fetch_current(2001, CN)
    bill = await client.bills.create_from_fetch(fetched, reference_id=REFERENCE)
    assert bill.amount == fetched.bill_net_amount
    assert not bill.is_settled
    await client.payments.confirm_debit([bill.utility_enkash_id], remarks="October")
    settled = await client.bills.wait_until_settled(bill.utility_enkash_id, timeout=5)
    assert (settled.outcome, settled.reference_id) == ("PAID", REFERENCE)
    assert [debit.amount for debit in sandbox.ledger.debits] == [fetched.bill_net_amount]


async def test_a_reference_with_every_awkward_character_comes_back_whole(client: EnkashClient) -> None:
    """A slash in the reference does not change the route."""
    bill = await client.bills.create(2001, CN, bill_amount=10, reference_id=REFERENCE)
    again = await client.bills.get_by_reference(REFERENCE)
    assert (again.reference_id, again.utility_enkash_id) == (REFERENCE, bill.utility_enkash_id)


async def test_a_failed_bill_is_settled_and_refunded(client: EnkashClient) -> None:
    """FAILED is final, and the payment status shows the refund."""
    bill = await client.bills.create(2302, CN, bill_amount=10)
    await client.payments.confirm_debit([bill.utility_enkash_id])
    settled = await client.bills.wait_until_settled(bill.utility_enkash_id)
    assert (settled.outcome, settled.payment_status) == ("FAILED", PaymentStatus.REFUNDED)


async def test_the_sandbox_refuses_with_the_documented_errors(sandbox: Sandbox, client: EnkashClient) -> None:
    """An inactive biller, a used reference and a velocity limit each raise their own error."""
    with pytest.raises(BillerInactiveError):
        await client.bills.fetch_current(2102, CN)
    await client.bills.create(2001, CN, bill_amount=10, reference_id="twice")
    with pytest.raises(DuplicateReferenceError, match="'twice' was used before, and its bill differs in amount"):
        await client.bills.create(2001, CN, bill_amount=11, reference_id="twice")
    with pytest.raises(VelocityLimitError):
        await client.bills.create(2001, CN, bill_amount=10**9)


# --- fetch ------------------------------------------------------------------------------------------------------------


async def test_fetch_sends_what_was_given_and_nothing_else() -> None:
    """The body has numbers as strings, leading zeros, and no unset member."""
    bills, sent = _bills(FetchedBill())
    await bills.fetch_current(2001, {"cn": "000123", "ad1": 42}, circle=Circle.MUM, key_contact_email="ap@example.com")
    assert sent.bodies[-1] == {
        "billerId": 2001,
        "circle": "MUM",
        "billParams": {"cn": "000123", "ad1": "42"},
        "keyContactEmail": "ap@example.com",
    }
    await bills.fetch_current(2001, CN, circle="A_NEW_CIRCLE", remarks="a/b.")
    assert sent.bodies[-1] == {"billerId": 2001, "circle": "A_NEW_CIRCLE", "billParams": CN, "remarks": "a/b."}


async def test_a_fetched_bill_knows_whom_it_was_asked_for() -> None:
    """The bill keeps biller and consumer, which a create compares with a bill under its reference."""
    bills, _ = _bills(FetchedBill(bill_number="N-1"))
    fetched = await bills.fetch_current(2001, {"cn": 123, "ad1": "x"})
    assert (fetched.biller_id, fetched.consumer_number, fetched.bill_number) == (2001, "123", "N-1")


async def test_a_failed_fetch_says_why_and_cannot_be_created(client: EnkashClient) -> None:
    """EnKash answers some failed fetches with success and a message."""
    fetched = await client.bills.fetch_current(2202, CN)
    assert fetched.status_message
    assert fetched.bill_net_amount is None
    with pytest.raises(InvalidRequestError, match="the biller said: "):
        await client.bills.create_from_fetch(fetched)


# --- create -----------------------------------------------------------------------------------------------------------

FETCHED = FetchedBill(
    company_biller_id="CB-1",
    bill_number="N-1",
    bill_amount=Decimal("2450.75"),
    bill_net_amount=Decimal("2400.10"),
    bill_date=date(2025, 5, 10),
    bill_due_date=date(2025, 5, 25),
    early_payment_amount=Decimal("2400.00"),
    early_payment_date=date(2025, 5, 15),
    late_payment_amount=Decimal("2525.50"),
    actual_due_date=date(2025, 5, 26),
    bill_id="B-1",
    validation_id="V-1",
    bill_start_date=date(2025, 4, 1),
    bill_end_date=date(2025, 4, 30),
)


CREATED = Bill(utility_enkash_id="U-1")


async def test_create_from_fetch_maps_every_member() -> None:
    """The body has the request's names, which differ from those of the fetch reply."""
    bills, sent = _bills(CREATED)
    bill = await bills.create_from_fetch(FETCHED, reference_id="r")
    assert sent.bodies[-1] == {
        "referenceId": "r",
        "companyBillerId": "CB-1",
        "billNetAmount": Decimal("2400.10"),
        "billAmount": Decimal("2450.75"),
        "earlyPaymentAmount": Decimal("2400.00"),
        "latePaymentAmount": Decimal("2525.50"),
        "billDate": "2025-05-10",
        "earlyPaymentDate": "2025-05-15",
        "billDueDate": "2025-05-25",
        "actualDueDate": "2025-05-26",
        "billStartDate": "2025-04-01",
        "billEndDate": "2025-04-30",
        "billNumber": "N-1",
        "validationId": "V-1",
        "billId": "B-1",
    }
    assert str(sent.operations[0].request.body).count("2400.10") == 1  # its own digits, the zero included
    assert bill.reference_id == "r"  # the reply left it out


@given(st.decimals(min_value=1, max_value=10**15, places=2))
async def test_an_amount_goes_out_with_its_own_digits(amount: Decimal) -> None:
    """The body has every digit of the amount and no other."""
    bills, sent = _bills(CREATED)
    await bills.create_from_fetch(FETCHED, amount=amount)
    assert sent.bodies[-1]["billNetAmount"].as_tuple() == amount.as_tuple()


async def test_create_from_fetch_falls_back_on_the_amount_that_there_is() -> None:
    """The create takes either amount, because some billers name only one."""
    bills, sent = _bills(CREATED)
    await bills.create_from_fetch(attrs.evolve(FETCHED, bill_net_amount=None))
    assert sent.bodies[-1]["billNetAmount"] == sent.bodies[-1]["billAmount"] == Decimal("2450.75")
    await bills.create_from_fetch(attrs.evolve(FETCHED, bill_amount=None))
    assert sent.bodies[-1]["billNetAmount"] == sent.bodies[-1]["billAmount"] == Decimal("2400.10")


@pytest.mark.parametrize(
    "fetched",
    [
        FetchedBill(),
        attrs.evolve(FETCHED, company_biller_id=None),
        attrs.evolve(FETCHED, bill_amount=None, bill_net_amount=None),
    ],
)
async def test_create_from_fetch_refuses_what_cannot_be_paid(fetched: FetchedBill) -> None:
    """The client sends nothing, even with the caller's own amount."""
    bills, sent = _bills(Bill())
    with pytest.raises(InvalidRequestError, match="no amount to pay or no company_biller_id"):
        await bills.create_from_fetch(fetched, amount=10)
    assert sent.operations == []


async def test_create_sends_every_argument_and_the_members_of_extra() -> None:
    """`extra` adds members that have no argument, with exact Decimals."""
    bills, sent = _bills(Bill(utility_enkash_id="U-1", reference_id="theirs"))
    bill = await bills.create(
        2001,
        CN,
        reference_id="r",
        bill_amount=Decimal("100000000000000.07"),
        circle="MUM",
        bill_date=date(2025, 1, 2),
        bill_due_date=datetime(2025, 1, 2, 20, 0, tzinfo=UTC),
        remarks="x",
        key_contact_email="ap@example.com",
        name="A",
        email="a@example.com",
        extra={"recoverableAmount": Decimal("0.10"), "walletId": None, "flags": [True, date(2025, 1, 3)]},
    )
    assert sent.bodies[-1] == {
        "referenceId": "r",
        "billerId": 2001,
        "circle": "MUM",
        "billParams": CN,
        "billAmount": Decimal("100000000000000.07"),
        "billDate": "2025-01-02",
        "billDueDate": "2025-01-03",  # its date in India
        "remarks": "x",
        "keyContactEmail": "ap@example.com",
        "name": "A",
        "email": "a@example.com",
        "recoverableAmount": Decimal("0.10"),
        "flags": [True, "2025-01-03"],
    }
    assert bill.reference_id == "theirs"


async def test_a_reference_is_made_when_none_is_given() -> None:
    """Each create makes a new reference and returns it on the bill."""
    bills, sent = _bills(CREATED)
    first, second = await bills.create(2001, CN), await bills.create(2001, CN)
    assert first.reference_id == json.loads(sent.operations[0].request.body or b"")["referenceId"]
    assert first.reference_id != second.reference_id
    assert uuid.UUID(first.reference_id).version == 4


@pytest.mark.parametrize("payload", ["null", '{"utilityEnkashId":" "}'])
async def test_a_create_that_is_answered_without_data_is_unknown(payload: str) -> None:
    """No bill with an empty id is taken for a success; the error names the reference."""
    said = b'{"response_code":0,"response_message":"Success","payload":%s}' % payload.encode()
    async with raw_server(_answers(said)) as server:
        async with EnkashClient(server.base_url, tokens=StaticTokenProvider("t")) as client:
            with pytest.raises(OutcomeUnknownError) as caught:
                await client.bills.create(2001, CN, reference_id="r")
    assert caught.value.reference_id == "r"


async def test_a_create_that_is_answered_without_an_id_is_looked_up_once() -> None:
    """The client looks for the id; where the look fails or shows another bill or amount, the outcome is unknown."""
    found = Bill(utility_enkash_id="U-1", reference_id="r", amount=Decimal(10), consumer_number=CN["cn"])
    bills, sent = _bills(Bill(), found)
    made = await bills.create(2001, CN, reference_id="r", bill_amount=10)
    assert (made.utility_enkash_id, made.recovered) == ("U-1", True)
    assert [operation.name for operation in sent.operations] == ["bills.create", "bills.get_by_reference"]
    another = attrs.evolve(found, consumer_number="CN987654321")
    dearer = attrs.evolve(found, amount=Decimal(900))
    for answer in (another, dearer, NotFoundError("no"), ServerError("no", status=500)):
        bills, sent = _bills(Bill(), answer)
        with pytest.raises(OutcomeUnknownError):
            await bills.create(2001, CN, reference_id="r", bill_amount=10)
        assert len(sent.operations) == 2


async def test_a_late_reply_to_another_fetch_is_not_taken_for_its_own(sandbox: Sandbox, client: EnkashClient) -> None:
    """A fetched bill names no consumer: on a shared connection, the bill of another consumer would be created."""
    sandbox.faults.add("fetch_bill", FaultKind.STRAY, delay=60)  # sent again before the next reply on the connection
    sandbox.faults.add("fetch_bill", FaultKind.SLOW, delay=0.2)
    first = await client.bills.fetch_current(2001, {"cn": "CN000000001"})
    second = await client.bills.fetch_current(2001, {"cn": "CN000000002"})
    assert first.company_biller_id != second.company_biller_id


async def test_the_late_refusal_of_another_create_is_not_believed(sandbox: Sandbox, client: EnkashClient) -> None:
    """A second refusal of one create, sent while the next one is worked on, does not say that that one was refused."""
    sandbox.faults.add("add_bill", FaultKind.STRAY, delay=0.05)
    sandbox.faults.add("add_bill", FaultKind.SLOW, delay=0.2)
    with pytest.raises(BillerInactiveError):
        await client.bills.create(2102, CN, reference_id="r-1", bill_amount=10)
    made = await client.bills.create(2001, CN, reference_id="r-2", bill_amount=10)
    assert (made.reference_id, made.recovered) == ("r-2", False)


async def test_a_create_whose_reply_names_only_an_id_is_looked_up_once() -> None:
    """The reply may be that of another create; where the look fails, its own word has to do."""
    found = Bill(utility_enkash_id="U-1", reference_id="r", amount=Decimal(10), consumer_number=CN["cn"])
    for answer, expected in ((found, "U-1"), (NotFoundError("no"), "U-7")):
        bills, _ = _bills(Bill(utility_enkash_id="U-7"), answer)
        assert (await bills.create(2001, CN, reference_id="r", bill_amount=10)).utility_enkash_id == expected


async def test_a_create_that_is_answered_in_an_unknown_shape_is_unknown() -> None:
    """The error names the reference, by which the user can find out."""
    async with raw_server(_answers(b'{"response_code":0,"payload":"queued"}')) as server:
        async with EnkashClient(server.base_url, tokens=StaticTokenProvider("t"), retry=EAGER) as client:
            with pytest.raises(OutcomeUnknownError) as caught:
                await client.bills.create(2001, CN, reference_id="r")
    assert caught.value.reference_id == "r"


async def _fetch_and_create(client: EnkashClient, consumer: str, amount: int) -> Bill:
    fetched = await client.bills.fetch_current(2001, {"cn": consumer})
    return await client.bills.create_from_fetch(fetched, reference_id=REFERENCE, amount=amount)


CREATES: list[Callable[[EnkashClient, str, int], Any]] = [
    lambda client, consumer, amount: client.bills.create(
        2001, {"cn": consumer}, bill_amount=amount, reference_id=REFERENCE
    ),
    _fetch_and_create,
]


@pytest.mark.parametrize("create", CREATES)
async def test_a_repeated_reference_brings_back_the_bill(
    sandbox: Sandbox, client: EnkashClient, create: Callable[..., Any]
) -> None:
    """A job that runs again gets the bill of the same biller, consumer and amount."""
    first = await create(client, "CN123456789", 10)
    again = await create(client, "CN123456789", 10)
    assert (first.recovered, again.recovered) == (False, True)
    assert again.utility_enkash_id == first.utility_enkash_id
    assert len(sandbox.ledger.search()) == 1


@pytest.mark.parametrize("create", CREATES)
@pytest.mark.parametrize(
    ("consumer", "amount", "differences"),
    [
        ("CN987654321", 10, ("consumer_number",)),
        ("CN123456789", 11, ("amount",)),
        ("CN987654321", 11, ("consumer_number", "amount")),
    ],
)
async def test_a_reference_of_another_bill_is_refused_with_what_differs(
    sandbox: Sandbox,
    client: EnkashClient,
    create: Callable[..., Any],
    consumer: str,
    amount: int,
    differences: tuple[str, ...],
) -> None:
    """The error names the differences, shows no full consumer number, and no bill is created."""
    await create(client, "CN123456789", 10)
    with pytest.raises(DuplicateReferenceError) as caught:
        await create(client, consumer, amount)
    assert caught.value.differences == differences
    assert all(name in str(caught.value) for name in differences)
    assert not any(number in str(caught.value) for number in ("CN123456789", "CN987654321"))
    assert len(sandbox.ledger.search()) == 1


async def test_a_reference_of_another_biller_is_refused(sandbox: Sandbox, client: EnkashClient) -> None:
    """An equal consumer number at another biller is no match."""
    await client.bills.create(2001, CN, bill_amount=10, reference_id="r")
    with pytest.raises(DuplicateReferenceError) as caught:
        await client.bills.create(2302, CN, bill_amount=10, reference_id="r")
    assert caught.value.differences == ("biller_id",)


async def test_a_used_reference_that_cannot_be_looked_up_is_refused(sandbox: Sandbox, client: EnkashClient) -> None:
    """The error has EnKash's words, and the look's failure as its cause."""
    await client.bills.create(2001, CN, bill_amount=10, reference_id="r")
    sandbox.faults.add("bill_by_reference", FaultKind.SERVER_ERROR, times=None)
    with pytest.raises(DuplicateReferenceError, match="get_by_reference") as caught:
        await client.bills.create(2001, CN, bill_amount=10, reference_id="r")
    assert caught.value.differences == ()
    assert isinstance(caught.value.__cause__, ServerError)


@pytest.mark.parametrize("payload", ["{}", '{"utilityEnkashId":""}', '{"utilityEnkashId":" "}', '{"message":"none"}'])
async def test_a_look_up_that_shows_no_bill_is_no_proof_of_one(payload: str) -> None:
    """After an empty look the create stays unknown, and `reconcile` returns no bill."""
    shown = reply(f'{{"response_code":0,"payload":{payload}}}'.encode())

    async def answer(server: RawServer, reader: Reader, writer: Writer) -> None:
        while True:
            request = await server.read_request(reader)
            writer.write(shown if request.startswith(b"GET ") else reply(b"", "502 Bad Gateway"))

    async with raw_server(answer) as server:
        async with EnkashClient(server.base_url, tokens=StaticTokenProvider("t"), retry=EAGER) as client:
            with pytest.raises(OutcomeUnknownError):
                await client.bills.create(2001, CN, bill_amount=10, reference_id="r")
            with pytest.raises(ResponseDecodeError):
                await client.bills.reconcile("r")


async def test_reconcile_finds_what_a_cancelled_create_did(sandbox: Sandbox, client: EnkashClient) -> None:
    """A web framework cancels the create, and the caller's reference finds the bill."""
    await client.billers.list_categories()  # so that only the create is in flight
    sandbox.faults.add("add_bill", FaultKind.SLOW, delay=0.05)
    create = asyncio.create_task(client.bills.create(2001, CN, bill_amount=10, reference_id=REFERENCE))
    while not sandbox.counts["add_bill"]:
        await asyncio.sleep(0.001)
    create.cancel()
    with pytest.raises(asyncio.CancelledError):
        await create
    bill = await client.bills.reconcile(REFERENCE, settle=SettlePolicy(window=20, pauses=PollPolicy(first=0.01)))
    assert bill is not None
    assert (bill.reference_id, bill.amount, bill.recovered) == (REFERENCE, Decimal(10), True)
    assert sandbox.counts["add_bill"] == 1


async def test_reconcile_says_none_only_when_enkash_does_to_the_end(sandbox: Sandbox, client: EnkashClient) -> None:
    """`reconcile` does not return None after a look that failed."""
    assert await client.bills.reconcile("nobody") is None
    looks = sandbox.counts["bill_by_reference"]
    assert looks > 1
    assert await client.bills.reconcile("nobody", settle=0) is None
    assert sandbox.counts["bill_by_reference"] == looks + 1
    sandbox.faults.add("bill_by_reference", FaultKind.SERVER_ERROR, times=None)
    with pytest.raises(ServerError):
        await client.bills.reconcile("nobody", settle=0)


def _answers(body: bytes, status: str = "200 OK") -> Callable[[RawServer, Reader, Writer], Any]:
    async def answer(server: RawServer, reader: Reader, writer: Writer) -> None:
        while True:
            await server.read_request(reader)
            writer.write(reply(body, status, "Content-Type: application/json"))

    return answer


LOOP: list[Any] = []
LOOP.append(LOOP)

WRONG: list[tuple[str, Callable[[Any], Any], str]] = [
    ("biller id as str", lambda b: b.fetch_current("2001", CN), "biller_id must be an int such as 2001"),
    ("biller id of an unknown biller", lambda b: b.fetch_current(0, CN), "take it from billers.list"),
    ("biller id beyond int32", lambda b: b.create(2**31, CN), "between 1 and"),
    ("biller id as bool", lambda b: b.create(True, CN), "not bool"),
    ("no cn", lambda b: b.fetch_current(2001, {"ad1": "1"}), "params needs 'cn'"),
    ("empty cn", lambda b: b.create(2001, {"cn": " "}), r"params\['cn'\] is empty"),
    ("params as list", lambda b: b.create(2001, ["cn"]), "params must be a mapping"),
    ("float in params", lambda b: b.create(2001, {"cn": 1.5}), r"params\['cn'\] must be a str, not float"),
    ("empty circle", lambda b: b.fetch_current(2001, CN, circle=""), "circle is empty"),
    ("float amount", lambda b: b.create(2001, CN, bill_amount=2450.75), r"write Decimal\('2450.75'\)"),
    ("str amount", lambda b: b.create(2001, CN, bill_amount="2450.75"), "must be a Decimal or an int"),
    ("amount below 1", lambda b: b.create(2001, CN, bill_amount=Decimal("0.99")), "at least 1 rupee"),
    ("NaN amount", lambda b: b.create_from_fetch(FETCHED, amount=Decimal("NaN")), "finite"),
    ("huge amount", lambda b: b.create_from_fetch(FETCHED, amount=Decimal("1e999999")), "more digits"),
    ("float amount from fetch", lambda b: b.create_from_fetch(FETCHED, amount=10.0), r"write Decimal\('10.0'\)"),
    ("naive date-time", lambda b: b.create(2001, CN, bill_date=datetime(2025, 1, 1)), "tzinfo=timezone.utc"),
    ("date as str", lambda b: b.create(2001, CN, bill_due_date="2025-01-01"), r"write date\(2026, 1, 31\)"),
    ("empty reference", lambda b: b.create(2001, CN, reference_id=""), "reference_id is empty"),
    ("dots as reference", lambda b: b.create_from_fetch(FETCHED, reference_id=".."), "must not be '..'"),
    ("line break in reference", lambda b: b.create(2001, CN, reference_id="a\nb"), "control character"),
    ("extra that has an argument", lambda b: b.create(2001, CN, extra={"billAmount": 5}), "extra holds billAmount"),
    ("extra as list", lambda b: b.create(2001, CN, extra=["a"]), "extra must be a mapping"),
    ("float in extra", lambda b: b.create(2001, CN, extra={"x": [1.5]}), r"extra\['x'\]\[0\] must not be a float"),
    ("empty id", lambda b: b.get(""), "utility_enkash_id is empty"),
    ("dot as id", lambda b: b.get("."), "must not be '.'"),
    ("id as int", lambda b: b.get(5), "must be a str, not int"),
    ("half a surrogate", lambda b: b.get_by_reference("\ud800"), "surrogate"),
    ("dots to find", lambda b: b.find_by_reference(".."), "must not be '..'"),
    ("dots to reconcile", lambda b: b.reconcile(".."), "must not be '..'"),
    ("negative settle", lambda b: b.reconcile("r", settle=-1), "settle must be a number of seconds, 0 or more"),
    ("settle as str", lambda b: b.reconcile("r", settle="5"), "settle must be a number of seconds, 0 or more"),
    ("dots among those to wait for", lambda b: b.wait_many(["U", ".."]), "must not be '..'"),
    ("one str to wait for", lambda b: b.wait_many("U"), "ids must be an iterable, not one str"),
    ("one str to get", lambda b: b.get_many("U"), "ids must be an iterable, not one str"),
    ("one request to create", lambda b: b.create_many(5), "requests must be an iterable, not one int"),
    ("dots to wait for", lambda b: b.wait_until_settled(".."), "must not be '..'"),
    ("timeout as str", lambda b: b.wait_until_settled("U", timeout="5"), "a number of seconds"),
    ("no fetched bill", lambda b: b.create_from_fetch({"billAmount": 5}), "what fetch_current returned, not dict"),
    ("an extra that holds itself", lambda b: b.create(2001, CN, extra={"x": LOOP}), "nested deeper than"),
    ("negative timeout", lambda b: b.wait_until_settled("U", timeout=-1), "a number of seconds, 0 or more"),
]


@pytest.mark.parametrize(("call", "said"), [pytest.param(call, said, id=name) for name, call, said in WRONG])
async def test_a_wrong_argument_is_refused_before_anything_is_sent(call: Callable[[Any], Any], said: str) -> None:
    """The message says what to write instead."""
    bills, sent = _bills(Bill())
    with pytest.raises(InvalidRequestError, match=said):
        await call(bills)
    assert sent.operations == []


# --- look up ----------------------------------------------------------------------------------------------------------


async def test_find_returns_none_only_where_enkash_says_that_there_is_no_bill(client: EnkashClient) -> None:
    """`find` returns None for the documented 400."""
    assert await client.bills.find_by_reference("nobody") is None
    with pytest.raises(NotFoundError) as caught:
        await client.bills.get_by_reference("nobody")
    assert caught.value.bill_absent


@pytest.mark.parametrize("body", [b"<html>not found</html>", b'{"status":404,"error":"Not Found","path":"/x"}', b""])
async def test_find_raises_a_404_that_proves_nothing(body: bytes) -> None:
    """Prevents a second bill: a 404 of a gateway must not read as «no such bill»."""
    async with raw_server(_answers(body, "404 Not Found")) as server:
        async with EnkashClient(server.base_url, tokens=StaticTokenProvider("t")) as client:
            with pytest.raises(NotFoundError) as caught:
                await client.bills.find_by_reference("r")
    assert not caught.value.bill_absent


async def test_a_look_up_fills_in_the_id_that_was_asked_for() -> None:
    """The bill has the requested id where the reply names none; the call says which reply is another bill's."""
    bills, sent = _bills(Bill())
    assert (await bills.get("U-1")).utility_enkash_id == "U-1"
    assert (await bills.get_by_reference("r")).reference_id == "r"
    other = Bill(utility_enkash_id="other", reference_id="another")
    for operation, name in zip(sent.operations, ("utility_enkash_id", "reference_id"), strict=True):
        assert operation.contradiction is not None
        assert operation.contradiction(other) == f"it has another {name}"


# --- search -----------------------------------------------------------------------------------------------------------


async def test_search_sends_set_filters_only_and_pages_by_what_came() -> None:
    """The client sends no null, which would have to match, and begins each page at the last bill of the one before."""
    made = [Bill(utility_enkash_id=str(number)) for number in range(3)]
    bills, sent = _bills(Page(made[:2]), Page(made[1:]), Page(made[2:]), Page(made[1:]))
    wanted = BillFilter(
        consumer_numbers=["1", "2"],
        created_date_from=date(2024, 12, 17),
        created_date_to=datetime(2024, 12, 17, 20, 0, tzinfo=UTC),
        statuses=[PaymentStatus.SUCCESS, "PENDING_WITH_BANK"],
        bill_pay_statuses=[BillPayStatus.ON_HOLD],
        amount_range_start=Decimal("1.50"),
        amount_range_end=0,
    )
    found = [bill.utility_enkash_id async for bill in bills.search(wanted, page_size=2)]
    assert found == ["0", "1", "2"]
    assert [body["offset"] for body in sent.bodies] == [0, 1, 2, 1]
    assert sent.bodies[2] == {
        "consumerNumbers": ["1", "2"],
        "createdDateFrom": "2024-12-17",
        "createdDateTo": "2024-12-18",
        "statuses": ["SUCCESS", "PENDING_WITH_BANK"],
        "billPayStatuses": ["ON_HOLD"],
        "amountRangeStart": Decimal("1.50"),
        "amountRangeEnd": 0,
        "offset": 2,
        "limit": 2,
    }


async def test_an_empty_filter_sends_the_place_alone() -> None:
    """The search sends offset and limit and no filter, so EnKash returns every bill."""
    bills, sent = _bills(Page([], 0))
    assert [bill async for bill in bills.search(BillFilter())] == []
    assert sent.bodies == [{"offset": 0, "limit": 99}]


async def test_search_over_the_sandbox_finds_every_bill_once(client: EnkashClient) -> None:
    """The search pages through more bills than one page holds."""
    made = {(await client.bills.create(2001, CN, bill_amount=10)).utility_enkash_id for _ in range(7)}
    found = [bill.utility_enkash_id async for bill in client.bills.search(BillFilter(), page_size=3)]
    assert len(found) == 7
    assert set(found) == made
    pages = [len(page) async for page in client.bills.search(BillFilter(), page_size=3).pages()]
    assert pages == [3, 2, 2]


async def test_no_utility_payment_found_is_an_empty_search() -> None:
    """The search is empty at EnKash's words and raises a bare 404."""
    absent, bare = NotFoundError("no"), NotFoundError("no")
    absent.bill_absent = True
    bills, _ = _bills(absent)
    assert [bill async for bill in bills.search(BillFilter())] == []
    bills, _ = _bills(bare)
    with pytest.raises(NotFoundError):
        await anext(aiter(bills.search(BillFilter())))


@pytest.mark.parametrize(
    ("wanted", "how", "said"),
    [
        ({"consumer_number": "1"}, {}, "takes a BillFilter"),
        (BillFilter(), {"page_size": 0}, "page_size must be an int from 1 to 5000, not 0"),
        (BillFilter(), {"page_size": 5001}, "page_size"),
        (BillFilter(), {"page_size": True}, "page_size"),
        (BillFilter(statuses="SUCCESS"), {}, "statuses must be a list of str, not one str"),
        (BillFilter(utility_enkash_ids=[]), {}, "utility_enkash_ids is empty: give at least one"),
        (BillFilter(consumer_number=5), {}, "consumer_number must be a str, not int"),  # type: ignore[arg-type]
        (BillFilter(consumer_numbers=[5]), {}, r"consumer_numbers\[0\] must be a str"),  # type: ignore[list-item]
        (BillFilter(payment_status=5), {}, "payment_status must be a str"),  # type: ignore[arg-type]
        (BillFilter(created_date_from="2025-01-01"), {}, "must be a date, not str"),  # type: ignore[arg-type]
        (BillFilter(amount_range_end="5"), {}, "must be a Decimal or an int"),  # type: ignore[arg-type]
        (BillFilter(amount_range_start=1.5), {}, r"BillFilter.amount_range_start must not be a float"),  # type: ignore[arg-type]
        (BillFilter(created_date_from=datetime(2025, 1, 1)), {}, "created_date_from is a date-time without"),
        (BillFilter(company_name=object()), {}, "company_name must be a str, not object"),  # type: ignore[arg-type]
    ],
)
def test_a_wrong_search_is_refused_at_once(wanted: Any, how: dict[str, Any], said: str) -> None:
    """The call itself raises and sends nothing, before the caller begins to iterate."""
    bills, sent = _bills([])
    with pytest.raises(InvalidRequestError, match=said):
        bills.search(wanted, **how)
    assert sent.operations == []


async def test_a_consumer_number_of_a_filter_is_not_repeated_in_an_error() -> None:
    """The operation marks the number as sensitive, so errors redact it."""
    bills, sent = _bills(Page([]))
    wanted = BillFilter(consumer_number="1111", consumer_numbers=["2222"])
    assert [bill async for bill in bills.search(wanted)] == []
    assert set(sent.operations[0].sensitive) == {"1111", "2222"}


# --- wait -------------------------------------------------------------------------------------------------------------

PENDING = Bill(utility_enkash_id="U", billpay_status=BillPayStatus.IN_PROGRESS)
PAID = Bill(utility_enkash_id="U", billpay_status=BillPayStatus.SUCCESS)


async def test_waiting_looks_in_growing_pauses_until_the_outcome_is_final() -> None:
    """The pauses follow the policy, and the settled bill is returned."""
    time = Time()
    bills, sent = _bills(PENDING, PENDING, PENDING, PAID, clock=time, sleep=time.sleep, random=lambda: 0.5)
    assert await bills.wait_until_settled("U", policy=PollPolicy(first=1, factor=2, longest=3)) == PAID
    assert time.slept == [1, 2, 3]
    assert len(sent.operations) == 4


async def test_waiting_ends_at_its_timeout_with_the_last_state() -> None:
    """The client cuts the last pause to the time that is left and looks once more."""
    time = Time()
    bills, sent = _bills(PENDING, clock=time, sleep=time.sleep, random=lambda: 0.5)
    with pytest.raises(WaitTimeoutError, match="may still settle") as caught:
        await bills.wait_until_settled("U", timeout=2.5, policy=PollPolicy(first=1, factor=1))
    assert caught.value.last == PENDING
    assert isinstance(caught.value, TimeoutError)
    assert time.slept == [1, 1, 0.5]
    assert len(sent.operations) == 4


async def test_waiting_without_time_looks_once() -> None:
    """A timeout of zero returns the present state."""
    bills, sent = _bills(PAID)
    assert await bills.wait_until_settled("U", timeout=0) == PAID
    bills, sent = _bills(PENDING)
    with pytest.raises(WaitTimeoutError):
        await bills.wait_until_settled("U", timeout=0)
    assert len(sent.operations) == 1


async def test_waiting_outlasts_transient_failures_and_nothing_else() -> None:
    """A 502 does not end the wait, and an unknown bill does."""
    time = Time()
    failures = (ServerError("x", status=502), TransportError("x"), ResponseDecodeError("x"), TokenEndpointError("x"))
    bills, _ = _bills(*failures, PAID, clock=time, sleep=time.sleep)
    assert await bills.wait_until_settled("U") == PAID
    bills, _ = _bills(failures[0], clock=time, sleep=time.sleep)
    with pytest.raises(WaitTimeoutError) as caught:
        await bills.wait_until_settled("U", timeout=1)
    assert caught.value.last is None
    bills, _ = _bills(NotFoundError("no"), clock=time, sleep=time.sleep)
    with pytest.raises(NotFoundError):
        await bills.wait_until_settled("U")


async def test_a_look_that_hangs_ends_with_the_wait(sandbox: Sandbox, client: EnkashClient) -> None:
    """The deadline cuts the look off, which gets at least a second."""
    bill = await client.bills.create(2001, CN, bill_amount=10)
    sandbox.faults.add("bill", FaultKind.SLOW, times=None, delay=30)
    with pytest.raises(WaitTimeoutError) as caught:
        await client.bills.wait_until_settled(bill.utility_enkash_id, timeout=0)
    assert caught.value.last is None
    assert isinstance(caught.value.__cause__, RequestTimeoutError)


async def test_a_login_that_may_have_counted_ends_a_wait() -> None:
    """The client stops, because each look would make one more login."""
    bills, _ = _bills(TokenEndpointError("x", counted=True))
    with pytest.raises(TokenEndpointError):
        await bills.wait_until_settled("U")


async def test_a_fault_while_waiting_is_outlasted(sandbox: Sandbox) -> None:
    """The wait goes on after four replies of 502 over real HTTP and returns the paid bill."""
    async with EnkashClient.from_credentials(sandbox.base_url, sandbox.credentials, retry=EAGER) as client:
        bill = await client.bills.create(2001, CN, bill_amount=10)
        await client.payments.confirm_debit([bill.utility_enkash_id])
        sandbox.faults.add("bill", FaultKind.BAD_GATEWAY, times=4)
        settled = await client.bills.wait_until_settled(
            bill.utility_enkash_id, timeout=5, policy=PollPolicy(first=0.01)
        )
    assert settled.outcome == "PAID"


async def test_a_fetched_bill_of_another_input_is_not_created_under_a_used_reference(client: EnkashClient) -> None:
    """The consumer is the same, `ad1` was corrected: the error names it, and the old bill does not come back."""
    asked = []
    for unit in ("4567", "4568"):
        request = BillRequest(2002, {"cn": "CN123456789", "ad1": unit}, reference_id=REFERENCE)
        fetched = await client.bills.fetch_current(2002, request.params)
        asked.append(attrs.evolve(request, fetched=fetched))
    assert len((await client.bills.create_many(asked[:1])).succeeded) == 1
    (refused,) = (await client.bills.create_many(asked[1:])).failed
    assert isinstance(refused.error, DuplicateReferenceError)
    assert "ad1" in refused.error.differences
