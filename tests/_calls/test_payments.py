"""The calls that move money as values, against the bodies that EnKash's pages show (CONTRACT 2.8, 2.9)."""

from __future__ import annotations

import enum
from decimal import Decimal
from typing import Any

import pytest

from enkash_async import InvalidRequestError, PaymentInitiation, PaymentType, Routes
from enkash_async._calls import payments as calls
from enkash_async._wire.operation import Effect, Operation, Request


class Kind(str, enum.Enum):  # noqa: UP042 (`str()` of such a word is `Kind.TAX`)
    TAX = "GST"


def _confirm(ids: Any, remarks: Any = None) -> Operation[None]:
    return calls.confirm_debit(Routes(), ids, remarks=remarks)


def _initiate(ids: Any = ("U-1",), **given: Any) -> Operation[PaymentInitiation]:
    left_out: dict[str, Any] = dict.fromkeys(
        (
            *("amount", "remarks", "urn", "account_no", "seamless_banking", "frontend_version"),
            *("otp_reference_number", "otp", "partial_payment"),
        )
    )
    return calls.initiate(Routes(), ids, **{**left_out, "payment_type": PaymentType.UTILITY, **given})


# --- confirm_debit ----------------------------------------------------------------------------------------------------


def test_a_confirmation_sends_every_documented_member() -> None:
    """The table of api-10664802; its bills are known by their ids after an unclear end."""
    assert _confirm(["UTIL-1", "b/2 é"], "October, all #7") == Operation(
        name="payments.confirm_debit",
        request=Request(
            method="PUT",
            path="/api/v0/utilityPayment/status",
            body=b'{"utilityPaymentIds":["UTIL-1","b/2 \\u00e9"],"approvalStatus":"CHECKER_APPROVED",'
            b'"remarks":"October, all #7"}',
            content_type="application/json",
        ),
        result=type(None),
        effect=Effect.CONFIRMS,
        utility_enkash_ids=("UTIL-1", "b/2 é"),
    )


def test_a_confirmation_without_remarks_sends_none() -> None:
    """EnKash is never sent a null."""
    assert _confirm(["U-1"]).request.body == b'{"utilityPaymentIds":["U-1"],"approvalStatus":"CHECKER_APPROVED"}'


def test_a_bill_that_is_named_twice_is_confirmed_once() -> None:
    """What a second confirmation of a bill does is not documented."""
    made = _confirm(iter(["U-2", "U-1", "U-2"]))
    assert made.utility_enkash_ids == ("U-2", "U-1")
    assert made.request.body == b'{"utilityPaymentIds":["U-2","U-1"],"approvalStatus":"CHECKER_APPROVED"}'


def test_a_confirmation_takes_a_thousand_bills_and_no_more() -> None:
    """EnKash's limit for one call; the resource sends more bills in several."""
    ids = [f"U-{number}" for number in range(1001)]
    assert len(_confirm(ids[:1000]).utility_enkash_ids) == 1000
    assert len(_confirm([*ids[:1000], ids[0]]).utility_enkash_ids) == 1000
    with pytest.raises(InvalidRequestError, match=r"^ids holds 1001 bills: EnKash takes 1000 to a call$"):
        _confirm(ids)


@pytest.mark.parametrize(
    ("ids", "remarks", "said"),
    [
        ([], None, "ids is empty: give at least one"),
        ("U-1", None, "ids must be a list of str, not one str: write ['…']"),
        (None, None, "ids must be a list of str, not one NoneType: write ['…']"),
        (["U-1", ""], None, "ids[1] is empty; leave it out or give it a value"),
        (["U-1", 5], None, "ids[1] must be a str, not int"),
        ([".."], None, "an id in ids must not be '..': as part of a path it would mean another address"),
        (["U-1"], "", "remarks is empty; leave it out or give it a value"),
        (["U-1"], "no full stop.", "remarks may hold 1 to 255 letters, digits, spaces and "),
        (["U-1"], "x" * 256, "remarks may hold 1 to 255 letters, digits, spaces and "),
        (["U-1"], 5, "remarks must be a str, not int"),
    ],
)
def test_a_wrong_confirmation_is_refused(ids: Any, remarks: Any, said: str) -> None:
    """By the rules of the page, with what to write instead."""
    with pytest.raises(InvalidRequestError) as caught:
        _confirm(ids, remarks)
    assert str(caught.value).startswith(said)


# --- initiate ---------------------------------------------------------------------------------------------------------


def test_a_payment_sends_every_member_of_the_siblings_page() -> None:
    """Account and one-time password are kept out of errors; False is sent."""
    made = _initiate(
        ["U-1", "U-2", "U-1"],
        amount=Decimal("10.10"),
        remarks="any text. at/all",
        payment_type=PaymentType.INVOICE,
        urn="u",
        account_no="000123",
        seamless_banking=True,
        frontend_version=False,
        otp_reference_number="o",
        otp="012345",
        partial_payment=False,
    )
    assert made == Operation(
        name="payments.initiate",
        request=Request(
            method="POST",
            path="/api/v0/payment",
            body=b'{"paymentIds":["U-1","U-2"],"paymentType":"INVOICE","amount":10.10,'
            b'"paymentRemarks":"any text. at/all","urn":"u","accountNo":"000123","seamlessBanking":true,'
            b'"frontendVersion":false,"otpReferenceNumber":"o","otp":"012345","partialPayment":false}',
            content_type="application/json",
        ),
        result=PaymentInitiation,
        effect=Effect.CONFIRMS,
        utility_enkash_ids=("U-1", "U-2"),
        sensitive=("012345", "000123"),
    )


def test_a_payment_sends_nothing_that_was_not_given() -> None:
    """Bills and their kind are all that the page requires."""
    made = _initiate()
    assert made.request.body == b'{"paymentIds":["U-1"],"paymentType":"UTILITY"}'
    assert made.sensitive == ()


@pytest.mark.parametrize("word", ["GST", PaymentType.GST, PaymentType("GST"), Kind.TAX])
def test_a_payment_type_is_sent_as_its_word(word: Any) -> None:
    """A word of an enum, of this SDK or the caller's own, is the same as a string."""
    assert _initiate(payment_type=word).request.body == b'{"paymentIds":["U-1"],"paymentType":"GST"}'


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"ids": []}, "ids is empty: give at least one"),
        ({"ids": "U-1"}, "ids must be a list of str, not one str: write ['…']"),
        ({"amount": 0}, "amount must be at least 1 rupee, not 0"),
        ({"amount": 1.5}, "amount must not be a float, floats lose paise: write Decimal('1.5')"),
        ({"payment_type": None}, "payment_type must be a str, not NoneType"),
        ({"remarks": ""}, "remarks is empty; leave it out or give it a value"),
        ({"urn": 5}, "urn must be a str, not int"),
        ({"account_no": 50100123}, "account_no must be a str, not int"),
        ({"seamless_banking": "yes"}, "seamless_banking must be True or False, not str"),
        ({"frontend_version": 1}, "frontend_version must be True or False, not int"),
        ({"partial_payment": 0}, "partial_payment must be True or False, not int"),
        ({"otp_reference_number": 5}, "otp_reference_number must be a str, not int"),
        *(({"otp": otp}, "otp must be six digits as a str: '012345'") for otp in (12345, "12345", "1234567", "12345a")),
        ({"otp": "१२३४५६"}, "otp must be six digits as a str: '012345'"),
        ({"otp": ""}, "otp must be six digits as a str: '012345'"),
    ],
)
def test_a_wrong_payment_is_refused(arguments: dict[str, Any], said: str) -> None:
    """The message names the argument and repeats neither account nor password."""
    with pytest.raises(InvalidRequestError) as caught:
        _initiate(**arguments)
    assert str(caught.value) == said
