"""Payments: each bill is confirmed once, and every bill is accounted for."""

from __future__ import annotations

import collections
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enkash_async import (
    ApprovalStatus,
    AuthenticationError,
    BadRequestError,
    Bill,
    BulkError,
    BulkResult,
    ConfigurationError,
    CredentialsRejectedError,
    EnkashClient,
    InvalidRequestError,
    LoginGuardError,
    NotFoundError,
    OutcomeUnknownError,
    PaymentInitiation,
    PaymentStatus,
    PermissionDeniedError,
    PollPolicy,
    SettlePolicy,
    TokenEndpointError,
    TransportError,
    VelocityLimitError,
)
from enkash_async._wire.operation import Effect, Operation
from enkash_async._wire.page import Page
from enkash_async.errors import EnkashError
from enkash_async.resources.payments import Payments
from enkash_async.sandbox import Sandbox

from support import Sent, Time, bill_calls, depart, payment_calls

#: Ends a confirmation unclearly although it was done.
DROPPED = OutcomeUnknownError("dropped after work", operation="payments.confirm_debit")
SETTLE = SettlePolicy(window=1, pauses=PollPolicy(first=0.5))


def _ids(count: int) -> list[str]:
    return [f"U-{number}" for number in range(count)]


class Office:
    """A `Send` with unconfirmed bills; confirmations end as listed, and the last end is repeated.

    Args:
        ends: An error, or None for success. DROPPED is an error after the work is done.
    """

    def __init__(self, *ends: EnkashError | None) -> None:
        self._ends = list(ends) or [None]
        self.puts: list[list[str]] = []
        self.reads: list[list[str]] = []
        self.confirmed: list[str] = []

    async def __call__(self, operation: Operation[Any]) -> Any:
        if operation.effect is Effect.READ:
            return self._read(operation)
        await depart(operation)
        self.puts.append(json.loads(operation.request.body or b"")["utilityPaymentIds"])
        end = self._ends.pop(0) if len(self._ends) > 1 else self._ends[0]
        if end is None or end is DROPPED:
            self.confirmed += self.puts[-1]
        if end is not None:
            raise end
        return None

    def _read(self, operation: Operation[Any]) -> Any:
        if operation.name == "bills.search":
            self.reads.append(json.loads(operation.request.body or b"")["utilityEnkashIds"])
            return Page([self._bill(one) for one in self.reads[-1]])
        self.reads.append([operation.request.path.split("/")[-1]])
        return self._bill(self.reads[-1][0])

    def _bill(self, one: str) -> Bill:
        approval = "CHECKER_APPROVED" if one in self.confirmed else "MAKER_APPROVAL_PENDING"
        return Bill(utility_enkash_id=one, approval_status=ApprovalStatus(approval), payment_status=PaymentStatus.INIT)


def _payments(send: Any, time: Time | None = None) -> Payments:
    time = Time() if time is None else time
    bills = bill_calls(send, settle=SETTLE, clock=time, sleep=time.sleep)
    return payment_calls(send, bills)


async def test_a_confirmation_sends_ids_and_the_fixed_word() -> None:
    """The body has a repeated id once, and remarks only when they are given."""
    sent = Sent(None)
    result = await _payments(sent).confirm_debit((item for item in ["U-2", "U-1", "U-2"]), check_first=False)
    assert sent.bodies == [{"utilityPaymentIds": ["U-2", "U-1"], "approvalStatus": "CHECKER_APPROVED"}]
    assert [item.key for item in result.succeeded] == ["U-2", "U-1"]
    assert result.duplicates == ("U-2",)
    await _payments(sent).confirm_debit(["U-1"], remarks="for Oct-25 (ok)", check_first=False)
    assert sent.bodies[1]["remarks"] == "for Oct-25 (ok)"
    assert sent.operations[1].request.method == "PUT"


async def test_the_bills_are_read_before_they_are_confirmed() -> None:
    """Bills that were confirmed before count as succeeded and are not sent."""
    office = Office()
    office.confirmed = ["U-1"]
    result = await _payments(office).confirm_debit(_ids(3))
    assert office.reads == [["U-0"], ["U-1"], ["U-2"]]
    assert office.puts == [["U-0", "U-2"]]
    assert [item.key for item in result.succeeded] == _ids(3)
    office.puts.clear()
    (await _payments(office).confirm_debit(_ids(3))).raise_for_failures()
    assert office.puts == []


async def test_without_the_look_before_they_are_confirmed_at_once() -> None:
    """`check_first=False` is the caller's promise that none was confirmed before."""
    office = Office()
    (await _payments(office).confirm_debit(_ids(3), check_first=False)).raise_for_failures()
    assert (office.reads, office.puts) == ([], [_ids(3)])


async def test_confirming_again_does_not_debit_again(sandbox: Sandbox, client: EnkashClient) -> None:
    """Over real HTTP the client sends no second confirmation, whose effect is not documented."""
    bill = await client.bills.create(2001, {"cn": "1"}, bill_amount=10)
    for _ in range(2):
        result = await client.payments.confirm_debit([bill.utility_enkash_id])
        result.raise_for_failures()
    assert len(sandbox.ledger.debits) == 1
    assert sandbox.counts["confirm_debit"] == 1


@pytest.mark.parametrize("hands", [1, 4])
async def test_2300_ids_go_in_three_calls(hands: int) -> None:
    """A call has 1,000 ids, and progress after each counts every given id."""
    office, told = Office(), list[tuple[int, int | None]]()
    result = await _payments(office).confirm_debit(
        [*_ids(2300), "U-0"], concurrency=hands, on_progress=lambda done, total: told.append((done, total))
    )
    assert sorted(map(len, office.puts)) == [300, 1000, 1000]
    assert sorted(one for put in office.puts for one in put) == sorted(_ids(2300))
    assert len(told) == 3
    assert told[-1] == (2301, 2301)
    if hands == 1:
        assert told[:2] == [(1000, 2301), (2000, 2301)]
    assert [item.key for item in result.succeeded] == _ids(2300)
    result.raise_for_failures()


async def test_the_length_of_a_generator_is_not_known() -> None:
    """The progress callback gets None as the total of a source without a length."""
    told = list[tuple[int, int | None]]()
    await _payments(Office()).confirm_debit(
        iter(_ids(1001)), concurrency=1, on_progress=lambda done, total: told.append((done, total))
    )
    assert told == [(1000, None), (1001, None)]


async def test_a_progress_display_that_fails_does_not_lose_the_result(caplog: pytest.LogCaptureFixture) -> None:
    """Money has moved, so the result is returned and the display's error is logged."""

    def broken(done: int, total: int | None) -> None:
        raise ValueError("no terminal")

    result = await _payments(Office()).confirm_debit(_ids(1500), on_progress=broken)
    assert len(result.succeeded) == 1500
    assert "on_progress failed" in caplog.text


async def test_a_call_that_fails_does_not_stop_the_rest() -> None:
    """Refused, unknown, unsent and confirmed bills are each in their group with their error."""
    refused, unsent = VelocityLimitError("no", status=400, response_code=36), TransportError("x", sent=False)
    office = Office(refused, OutcomeUnknownError("?"), unsent, DROPPED, None)
    result = await _payments(office).confirm_debit(_ids(4999), concurrency=1)
    groups = (result.unknown, result.not_sent, result.succeeded)
    assert [(len(group), group[0].key) for group in groups] == [(2000, "U-0"), (1000, "U-2000"), (1999, "U-3000")]
    assert {item.error for item in result.not_sent} == {unsent}
    first, second = result.unknown[0].error, result.unknown[1000].error
    assert isinstance(first, OutcomeUnknownError)
    assert (first.__cause__, first.utility_enkash_ids) == (refused, tuple(_ids(1000)))
    assert isinstance(second, OutcomeUnknownError)
    assert second.utility_enkash_ids == tuple(_ids(2000)[1000:])
    assert len(office.puts) == 5
    with pytest.raises(BulkError, match="0 failed, 2000 unknown, 1000 not sent, 1999 succeeded") as caught:
        result.raise_for_failures()
    assert caught.value.result is result


@pytest.mark.parametrize(
    "failure", [PermissionDeniedError("403"), VelocityLimitError("36"), TransportError(sent=False)]
)
async def test_a_failure_that_may_be_of_one_call_does_not_stop_the_job(failure: EnkashError) -> None:
    """The job sends the second call, which confirms its 500 bills."""
    office = Office(failure, None)
    result = await _payments(office).confirm_debit(_ids(1500), concurrency=1)
    assert len(result.succeeded) == 500
    (error,) = {item.error for item in (*result.unknown, *result.not_sent)}
    assert failure in {error, error and error.__cause__}


@pytest.mark.parametrize(
    "stop",
    [
        AuthenticationError("401"),
        ConfigurationError("closed"),
        CredentialsRejectedError("no"),
        LoginGuardError("no"),
        TokenEndpointError("dropped", counted=True),
    ],
    ids=repr,
)
async def test_a_failure_that_would_meet_every_chunk_stops_the_job(stop: EnkashError) -> None:
    """Without a token the rest is `not_sent`."""
    office = Office(None, stop)
    result = await _payments(office).confirm_debit(_ids(3500), concurrency=1)
    assert len(office.puts) == 2
    assert len(result.succeeded) == 1000
    assert len(result.not_sent) + len(result.failed) == 2500
    assert {item.error for item in (*result.not_sent, *result.failed)} == {stop}


@given(
    st.integers(1, 2500),
    st.lists(st.sampled_from(["ok", "no", "all", "?", "dropped", "unsent", "login"]), max_size=4),
    st.booleans(),
    st.integers(1, 4),
)
@settings(max_examples=40)
async def test_every_id_is_in_exactly_one_group(count: int, ends: list[str], look: bool, hands: int) -> None:
    """For any ends, no id is lost or counted twice, and succeeded ids are confirmed."""
    kinds: dict[str, EnkashError | None] = {
        "ok": None,
        "no": BadRequestError(),
        "all": VelocityLimitError(),
        "?": OutcomeUnknownError(),
        "dropped": DROPPED,
        "unsent": TransportError(sent=False),
        "login": CredentialsRejectedError(),
    }
    office = Office(*(kinds[end] for end in ends), None)
    try:
        result = await _payments(office).confirm_debit(_ids(count), check_first=look, concurrency=hands)
    except EnkashError:
        assert count <= 1000
        assert office.confirmed == []
        return
    groups = (result.succeeded, result.failed, result.unknown, result.not_sent)
    assert sorted(item.key for group in groups for item in group) == sorted(_ids(count))
    assert sorted(item.key for item in result.succeeded) == sorted(office.confirmed)


@pytest.mark.parametrize("problem", [TransportError(sent=False), AuthenticationError("401")])
async def test_the_failure_of_a_single_call_is_raised(problem: EnkashError) -> None:
    """The client raises for up to 1,000 bills, because there is no other result to report."""
    office = Office(problem)
    with pytest.raises(type(problem)) as caught:
        await _payments(office).confirm_debit(_ids(1000))
    assert caught.value is problem
    assert office.confirmed == []
    assert len(office.puts) == 1


async def test_a_single_call_that_is_unknown_names_every_bill() -> None:
    """The error has the ids to look for later, and the reason."""
    unclear, cause = OutcomeUnknownError("?", operation="payments.confirm_debit"), TransportError("dropped")
    unclear.__cause__ = cause
    with pytest.raises(OutcomeUnknownError, match="the same call finds out in 199 s") as caught:
        await _payments(Office(unclear)).confirm_debit(_ids(1000))
    assert caught.value.utility_enkash_ids == tuple(_ids(1000))
    assert caught.value.operation == "payments.confirm_debit"
    assert caught.value.__cause__ is cause


class SlowToShow(Office):
    """An EnKash that never shows a confirmation."""

    def _bill(self, one: str) -> Bill:
        return Bill(utility_enkash_id=one, payment_status=PaymentStatus.INIT)


@pytest.mark.parametrize("look", [True, False])
async def test_what_was_accepted_counts_as_confirmed(look: bool) -> None:
    """The client trusts EnKash's yes, because reads may lag behind it: weeks later, too, nothing is sent again."""
    office, time = SlowToShow(), Time()
    payments = _payments(office, time)
    (await payments.confirm_debit(_ids(2), check_first=look)).raise_for_failures()
    (await payments.confirm_debit(_ids(3), check_first=look)).raise_for_failures()
    assert office.puts == [_ids(2), ["U-2"]]
    time.now += 30 * 86_400
    (await payments.confirm_debit(_ids(2), check_first=look)).raise_for_failures()
    assert len(office.puts) == 2


async def test_an_unknown_id_does_not_stop_the_others(sandbox: Sandbox, client: EnkashClient) -> None:
    """The client reads the bills first, and leaves the unknown id out of the call."""
    bill = await client.bills.create(2001, {"cn": "1"}, bill_amount=10)
    result = await client.payments.confirm_debit([bill.utility_enkash_id, "nobody"])
    assert [item.key for item in result.succeeded] == [bill.utility_enkash_id]
    assert [(item.key, type(item.error)) for item in result.failed] == [("nobody", NotFoundError)]
    assert [debit.utility_enkash_id for debit in sandbox.ledger.debits] == [bill.utility_enkash_id]
    assert sandbox.counts["confirm_debit"] == 1


async def test_without_a_look_an_unknown_id_has_the_whole_call_refused(sandbox: Sandbox, client: EnkashClient) -> None:
    """EnKash may have worked through the ids before it, so all bills are unknown until the window is over."""
    bill = await client.bills.create(2001, {"cn": "1"}, bill_amount=10)
    with pytest.raises(OutcomeUnknownError) as caught:
        await client.payments.confirm_debit([bill.utility_enkash_id, "nobody"], check_first=False)
    assert isinstance(caught.value.__cause__, NotFoundError)
    assert (sandbox.counts["confirm_debit"], sandbox.ledger.debits) == (1, [])


@pytest.mark.parametrize("look", [True, False])
async def test_nothing_but_an_unknown_id_is_not_found(sandbox: Sandbox, client: EnkashClient, look: bool) -> None:
    """The client raises the failure of the single call."""
    with pytest.raises(NotFoundError):
        await client.payments.confirm_debit(["nobody"], check_first=look)
    assert sandbox.ledger.debits == []


async def test_bills_are_sorted_by_whether_they_were_confirmed(sandbox: Sandbox, client: EnkashClient) -> None:
    """`reconcile` sorts the ids and confirms none."""
    first, second = [await client.bills.create(2001, {"cn": "1"}, bill_amount=10) for _ in range(2)]
    await client.payments.confirm_debit([first.utility_enkash_id])
    ids = [second.utility_enkash_id, "nobody", first.utility_enkash_id]
    found = await client.payments.reconcile(ids, settle=0)
    assert [bill.utility_enkash_id for bill in found.confirmed] == [first.utility_enkash_id]
    assert [bill.utility_enkash_id for bill in found.not_confirmed] == [second.utility_enkash_id]
    assert [(item.key, type(item.error)) for item in found.unknown] == [("nobody", NotFoundError)]
    assert sandbox.counts["confirm_debit"] == 1


async def test_a_wrong_id_of_a_generator_is_not_sent() -> None:
    """The result names it by its index, and the other ids are sent."""
    office = Office()
    result = await _payments(office).confirm_debit(iter(["U-0", "", "U-1"]))
    assert office.puts == [["U-0", "U-1"]]
    assert [(item.key, type(item.error)) for item in result.not_sent] == [("ids[1]", InvalidRequestError)]


@pytest.mark.parametrize("kind", [list, tuple, dict.fromkeys, collections.deque, lambda ids: dict.fromkeys(ids).keys()])
async def test_a_collection_is_checked_whole_before_anything_is_sent(kind: Callable[[list[str]], Any]) -> None:
    """The client checks each kind of collection first, because it can be read twice."""
    office = Office()
    with pytest.raises(InvalidRequestError, match=r"ids\[1\] is empty"):
        await _payments(office).confirm_debit(kind(["U-0", "", "U-1"]))
    assert (office.reads, office.puts) == ([], [])


async def test_a_payment_through_the_gateway_sends_what_was_given() -> None:
    """The body has the names of the sibling's page and no unset member."""
    sent = Sent(PaymentInitiation())
    await _payments(sent).initiate(
        ["U-1", "U-1"],
        amount=Decimal("10.10"),
        remarks="r",
        urn="u",
        account_no="000123",
        seamless_banking=True,
        frontend_version=False,
        otp_reference_number="o",
        otp="012345",
        partial_payment=False,
    )
    assert sent.bodies[0] == {
        "paymentIds": ["U-1"],
        "paymentType": "UTILITY",
        "amount": Decimal("10.10"),
        "paymentRemarks": "r",
        "urn": "u",
        "accountNo": "000123",
        "seamlessBanking": True,
        "frontendVersion": False,
        "otpReferenceNumber": "o",
        "otp": "012345",
        "partialPayment": False,
    }
    assert set(sent.operations[0].sensitive) == {"012345", "000123"}
    sent = Sent(PaymentInitiation())
    await _payments(sent).initiate(["U-1"])
    assert sent.bodies[0] == {"paymentIds": ["U-1"], "paymentType": "UTILITY"}


async def test_the_sandbox_pays_through_its_gateway(sandbox: Sandbox, client: EnkashClient) -> None:
    """The sandbox guesses the undocumented call, and the client keeps the whole reply."""
    bill = await client.bills.create(2001, {"cn": "1"}, bill_amount=10)
    answer = await client.payments.initiate([bill.utility_enkash_id])
    assert answer.payment_status == answer.payload["paymentStatus"]
    assert (await client.bills.wait_until_settled(bill.utility_enkash_id)).outcome == "PAID"


WRONG: list[tuple[str, Callable[[Any], Any], str]] = [
    ("no ids", lambda p: p.confirm_debit([]), "ids is empty: give at least one"),
    ("one str", lambda p: p.confirm_debit("U-1"), "ids must be an iterable, not one str: write"),
    ("no ids of a generator", lambda p: p.confirm_debit(iter([])), "ids is empty: give at least one"),
    ("an empty id", lambda p: p.confirm_debit(["U-1", ""]), r"ids\[1\] is empty"),
    ("dots", lambda p: p.confirm_debit([".."]), "must not be '..'"),
    ("an int", lambda p: p.confirm_debit([1]), "must be a str, not int"),
    ("None among ids", lambda p: p.confirm_debit([None]), "must be a str, not NoneType"),
    ("full stop in remarks", lambda p: p.confirm_debit(["U"], remarks="a.b"), "no full stop, slash"),
    ("slash in remarks", lambda p: p.confirm_debit(["U"], remarks="a/b"), "no full stop, slash"),
    ("line break in remarks", lambda p: p.confirm_debit(["U"], remarks="ab\n"), "line break"),
    ("accent in remarks", lambda p: p.confirm_debit(["U"], remarks="é"), "accented letter"),
    ("long remarks", lambda p: p.confirm_debit(["U"], remarks="a" * 256), "1 to 255"),
    ("empty remarks", lambda p: p.confirm_debit(["U"], remarks=""), "remarks is empty"),
    ("no ids to initiate", lambda p: p.initiate([]), "ids is empty: give at least one"),
    ("one str to initiate", lambda p: p.initiate("U-1"), "ids must be a list of str, not one str"),
    ("float amount", lambda p: p.initiate(["U"], amount=1.5), r"write Decimal\('1.5'\)"),
    ("amount below 1", lambda p: p.initiate(["U"], amount=0), "at least 1 rupee"),
    ("no iterable", lambda p: p.confirm_debit(5), "ids must be an iterable, not one int"),
    ("no hands", lambda p: p.confirm_debit(["U"], concurrency=0), "concurrency must be an int from 1 to 1000"),
    ("too many hands", lambda p: p.confirm_debit(["U"], concurrency=1001), "concurrency must be an int"),
    ("hands as bool", lambda p: p.confirm_debit(["U"], concurrency=True), "concurrency must be an int"),
    ("look as int", lambda p: p.confirm_debit(["U"], check_first=0), "check_first must be True or False, not int"),
    ("no ids to read back", lambda p: p.reconcile([]), "ids is empty: give at least one"),
    ("one str to read back", lambda p: p.reconcile("U-1"), "ids must be an iterable, not one str"),
    ("an empty id to read back", lambda p: p.reconcile(["U", " "]), r"ids\[1\] is empty"),
    ("negative settle", lambda p: p.reconcile(["U"], settle=-1), "settle must be a number of seconds, 0 or more"),
    ("settle as str", lambda p: p.reconcile(["U"], settle="5"), "settle must be a number of seconds, 0 or more"),
    ("account as int", lambda p: p.initiate(["U"], account_no=50100123), "account_no must be a str, not int"),
    ("flag as int", lambda p: p.initiate(["U"], partial_payment=1), "partial_payment must be True or False"),
    ("type as int", lambda p: p.initiate(["U"], payment_type=5), "payment_type must be a str"),
    ("otp as int", lambda p: p.initiate(["U"], otp=123456), "six digits as a str"),
    ("short otp", lambda p: p.initiate(["U"], otp="12345"), "six digits as a str"),
]


@pytest.mark.parametrize(("call", "said"), [pytest.param(call, said, id=name) for name, call, said in WRONG])
async def test_a_wrong_argument_is_refused_before_anything_is_sent(call: Callable[[Any], Any], said: str) -> None:
    """The message says what to write instead."""
    sent = Sent(None)
    with pytest.raises(InvalidRequestError, match=said):
        await call(_payments(sent))
    assert sent.operations == []


def test_a_result_without_failures_raises_nothing() -> None:
    """`raise_for_failures` returns for an empty result."""
    BulkResult[None]().raise_for_failures()
