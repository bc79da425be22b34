"""Payments: a confirmation reaches every bill once, and every bill is accounted for."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enkash_async import (
    AuthenticationError,
    BadRequestError,
    BulkError,
    BulkResult,
    ConfigurationError,
    EnkashClient,
    InvalidRequestError,
    NotFoundError,
    OutcomeUnknownError,
    PaymentInitiation,
    Routes,
    TokenError,
    TransportError,
)
from enkash_async.errors import EnkashError
from enkash_async.payments import Payments
from enkash_async.sandbox import Sandbox

from support import Sent


def _ids(count: int) -> list[str]:
    return [f"U-{number}" for number in range(count)]


async def test_a_confirmation_sends_ids_and_the_fixed_word() -> None:
    """An id given twice is sent once; a generator will do; remarks are left out unless given."""
    sent = Sent(None)
    result = await Payments(sent, Routes()).confirm_debit(item for item in ["U-2", "U-1", "U-2"])
    assert sent.bodies == [{"utilityPaymentIds": ["U-2", "U-1"], "approvalStatus": "CHECKER_APPROVED"}]
    assert [item.key for item in result.succeeded] == ["U-2", "U-1"]
    await Payments(sent, Routes()).confirm_debit(["U-1"], remarks="for Oct-25 (ok)")
    assert sent.bodies[1]["remarks"] == "for Oct-25 (ok)"
    assert sent.operations[1].request.method == "PUT"


async def test_confirming_again_does_not_debit_again(sandbox: Sandbox, client: EnkashClient) -> None:
    """Over real HTTP, in the sandbox."""
    bill = await client.bills.create(2001, {"cn": "1"}, bill_amount=10)
    for _ in range(2):
        result = await client.payments.confirm_debit([bill.utility_enkash_id])
        result.raise_for_failures()
    assert len(sandbox.ledger.debits) == 1


async def test_2300_ids_go_in_three_calls(sandbox: Sandbox, client: EnkashClient) -> None:
    """1,000 to a call; progress is told after each."""
    sent, told = Sent(None), list[tuple[int, int]]()
    result = await Payments(sent, Routes()).confirm_debit(
        _ids(2300), on_progress=lambda done, total: told.append((done, total))
    )
    assert [len(body["utilityPaymentIds"]) for body in sent.bodies] == [1000, 1000, 300]
    assert told == [(1000, 2300), (2000, 2300), (2300, 2300)]
    assert [item.key for item in result.succeeded] == _ids(2300)
    result.raise_for_failures()


async def test_a_progress_display_that_fails_does_not_lose_the_result(caplog: pytest.LogCaptureFixture) -> None:
    """Money has moved: what was done is still told, and the display's error is in the log."""

    def broken(done: int, total: int) -> None:
        raise ValueError("no terminal")

    result = await Payments(Sent(None), Routes()).confirm_debit(_ids(1500), on_progress=broken)
    assert len(result.succeeded) == 1500
    assert "on_progress failed" in caplog.text


async def test_a_chunk_that_fails_does_not_stop_the_rest() -> None:
    """Refused, unknown, not sent, done: each in its group, with its error."""
    refused, unknown, unsent = BadRequestError("no"), OutcomeUnknownError("?"), TransportError("x", sent=False)
    result = await Payments(Sent(refused, unknown, unsent, None), Routes()).confirm_debit(_ids(4000))
    groups = (result.failed, result.unknown, result.not_sent, result.succeeded)
    assert [[len(group), group[0].key, group[0].error] for group in groups] == [
        [1000, "U-0", refused],
        [1000, "U-1000", unknown],
        [1000, "U-2000", unsent],
        [1000, "U-3000", None],
    ]
    with pytest.raises(BulkError, match="1000 failed, 1000 unknown, 1000 not sent, 1000 succeeded") as caught:
        result.raise_for_failures()
    assert caught.value.result is result


@pytest.mark.parametrize("stop", [TokenError("no token"), AuthenticationError("401"), ConfigurationError("closed")])
async def test_a_failure_that_would_meet_every_chunk_stops_the_job(stop: EnkashError) -> None:
    """Without a token there is no use in going on; what is left was not sent."""
    sent = Sent(None, stop)
    result = await Payments(sent, Routes()).confirm_debit(_ids(3500))
    assert len(sent.operations) == 2
    assert len(result.succeeded) == 1000
    assert len(result.not_sent) + len(result.failed) == 2500
    assert {item.error for item in (*result.not_sent, *result.failed)} == {stop}


@given(st.integers(1, 3500), st.lists(st.sampled_from(["ok", "no", "?", "unsent", "token"]), max_size=4))
async def test_every_id_is_in_exactly_one_group(count: int, ends: list[str]) -> None:
    """However the calls end, nothing is lost and nothing counted twice."""
    kinds = {"ok": None, "no": BadRequestError(), "?": OutcomeUnknownError(), "token": TokenError()}
    answers = [kinds.get(end, TransportError(sent=False)) for end in ends]
    try:
        result = await Payments(Sent(*answers, None), Routes()).confirm_debit(_ids(count))
    except EnkashError as problem:
        assert count <= 1000
        assert problem is (answers[0] if answers else None)
        return
    groups = (result.succeeded, result.failed, result.unknown, result.not_sent)
    assert sorted(item.key for group in groups for item in group) == sorted(_ids(count))


@pytest.mark.parametrize("problem", [OutcomeUnknownError("?"), BadRequestError("no"), TransportError(sent=False)])
async def test_the_failure_of_a_single_call_is_raised(problem: EnkashError) -> None:
    """With 1,000 bills or fewer there is nothing else to report."""
    with pytest.raises(type(problem)) as caught:
        await Payments(Sent(problem), Routes()).confirm_debit(_ids(1000))
    assert caught.value is problem


async def test_an_unknown_id_is_refused_and_nothing_is_debited(sandbox: Sandbox, client: EnkashClient) -> None:
    """EnKash answers for the call as a whole."""
    bill = await client.bills.create(2001, {"cn": "1"}, bill_amount=10)
    with pytest.raises(NotFoundError):
        await client.payments.confirm_debit([bill.utility_enkash_id, "nobody"])
    assert sandbox.ledger.debits == []


async def test_a_payment_through_the_gateway_sends_what_was_given() -> None:
    """Under the names of the sibling's page; nothing that was not given."""
    sent = Sent(PaymentInitiation())
    await Payments(sent, Routes()).initiate(
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
    await Payments(sent, Routes()).initiate(["U-1"])
    assert sent.bodies[0] == {"paymentIds": ["U-1"], "paymentType": "UTILITY"}


async def test_the_sandbox_pays_through_its_gateway(sandbox: Sandbox, client: EnkashClient) -> None:
    """Its own reading of an undocumented call; whatever is answered is kept whole."""
    bill = await client.bills.create(2001, {"cn": "1"}, bill_amount=10)
    answer = await client.payments.initiate([bill.utility_enkash_id])
    assert answer.payment_status == answer.payload["paymentStatus"]
    assert (await client.bills.wait_until_settled(bill.utility_enkash_id)).outcome == "PAID"


WRONG: list[tuple[str, Callable[[Any], Any], str]] = [
    ("no ids", lambda p: p.confirm_debit([]), "ids is empty: give at least one"),
    ("one str", lambda p: p.confirm_debit("U-1"), "ids must be a list of str, not one str"),
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
    ("no iterable", lambda p: p.confirm_debit(5), "ids must be a list of str, not one int"),
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
        await call(Payments(sent, Routes()))
    assert sent.operations == []


def test_a_result_without_failures_raises_nothing() -> None:
    """An empty one neither."""
    BulkResult[None]().raise_for_failures()
