"""Values as dictionaries and JSON: the right members, exact amounts, and no secret."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enkash_async import (
    Bill,
    Biller,
    BillerParam,
    BulkGroup,
    BulkItem,
    BulkResult,
    CompanyBiller,
    Confirmations,
    Credentials,
    DebitRecord,
    Payment,
    PaymentState,
    PaymentStatus,
    RateLimitError,
    Token,
    to_dict,
    to_json,
)

IST = timezone(timedelta(hours=5, minutes=30))
BILL = Bill(
    utility_enkash_id="U-1",
    amount=Decimal("100000000000000.07"),
    number_of_units=Decimal("1E+3"),
    bill_date=date(2026, 1, 31),
    created_date=datetime(2026, 1, 31, 12, tzinfo=IST),
    payment_status=PaymentStatus("COMPLETED"),
    company_biller=CompanyBiller(biller=Biller(biller_id=7, biller_params=(BillerParam(key="cn", value="CN1"),))),
    unreadable=("amount is not a number",),
    extra={"new": [Decimal("0.10")]},
)


def test_a_value_is_a_dictionary_of_json_types() -> None:
    """Amounts stay exact, dates are text with their zone, and words are EnKash's, at every depth."""
    found = to_dict(BILL)
    assert found["amount"] is BILL.amount
    assert (found["bill_date"], found["created_date"]) == ("2026-01-31", "2026-01-31T12:00:00+05:30")
    assert (found["payment_status"], type(found["payment_status"]), found["outcome"]) == ("COMPLETED", str, "PENDING")
    assert found["company_biller"]["biller"]["biller_params"][0]["value"] == "CN1"
    assert (found["unreadable"], found["extra"]) == (["amount is not a number"], {"new": [Decimal("0.10")]})
    assert list(found)[-2:] == ["unreadable", "extra"]


@given(st.decimals(-(10**24), 10**24, allow_nan=False, allow_infinity=False, places=2), st.text())
def test_json_has_every_digit_of_an_amount(amount: Decimal, name: str) -> None:
    """The number in the text is the amount, and what is read back is the dictionary."""
    bill = Bill(amount=amount, company_name=name, extra={name: amount})
    assert json.loads(to_json(bill), parse_float=Decimal, parse_int=Decimal) == to_dict(bill)
    assert f'"amount":{amount}' in to_json(bill)


@pytest.mark.parametrize(
    ("value", "part"),
    [
        (Payment("r", PaymentState.PAID, Decimal("5.50"), BILL), '"state":"PAID","amount":5.50'),
        (DebitRecord(utility_enkash_id="U-1", state="sent", at=datetime(2026, 1, 31, tzinfo=UTC)), "+00:00"),
        (BulkResult(succeeded=(BulkItem("U-1", BILL),)), '"key":"U-1","value":{'),
        (BulkResult[Bill](failed=(BulkItem("a", error=RateLimitError("slow"), group=BulkGroup.FAILED),)), "slow"),
        (Confirmations(confirmed=(BILL,)), '"confirmed":[{'),
        ([BILL, None], ",null]"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_value_travels_as_json(value: object, part: str) -> None:
    """The results of payments and of bulk calls are JSON as well, with their errors as words."""
    assert part in to_json(value)
    assert json.loads(to_json(value)) is not None


def test_what_the_caller_gave_does_not_travel() -> None:
    """The request of an item may be any object of the caller's own, which no JSON has a form for."""
    assert "request" not in to_dict(BulkItem("r", request=object()))


@pytest.mark.parametrize("value", [Credentials("c", "hush", "u", "hush"), Token("hush", 60), {"a": Token("hush", 60)}])
def test_a_secret_does_not_travel(value: object) -> None:
    """Neither alone nor within something else; the error does not show it."""
    with pytest.raises(TypeError) as caught:
        to_json(value)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("value", [None, 5, "x", [BILL], object()], ids=lambda given: type(given).__name__)
def test_a_dictionary_is_made_of_one_value(value: object) -> None:
    """The message shows what to write for a list."""
    with pytest.raises(TypeError, match=r"\[to_dict\(one\) for one in …\]"):
        to_dict(value)


@pytest.mark.parametrize("value", [object(), b"x", {1, 2}], ids=lambda given: type(given).__name__)
def test_what_json_has_no_form_for_is_refused(value: object) -> None:
    """The error names the type."""
    with pytest.raises(TypeError, match=type(value).__name__):
        to_json([value])
