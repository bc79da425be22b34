"""The calls about one bill as values, against the bodies that EnKash's pages show (CONTRACT 2.2, 2.6, 2.7, 2.10 f.)."""

from __future__ import annotations

import enum
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import unquote

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enkash_async import Bill, Circle, FetchedBill, InvalidRequestError, Routes
from enkash_async._calls import bills as calls
from enkash_async._calls.bills import Create, Wanted
from enkash_async._wire.operation import Effect, Operation, Request

CN = {"cn": "CN123456789"}
ODD = "ref/1 é?#%2F"
NAIVE = datetime(2025, 6, 2)


class Area(str, enum.Enum):  # noqa: UP042 (`str()` of such a word is `Area.MUMBAI`)
    MUMBAI = "MUM"


def _fetch(biller_id: Any = 2001, params: Any = CN, **given: Any) -> Operation[FetchedBill]:
    left_out: dict[str, Any] = dict.fromkeys(("circle", "remarks", "key_contact_email"))
    return calls.fetch_current(Routes(), biller_id, params, **{**left_out, **given})


def _create(biller_id: Any = 2001, params: Any = CN, *, reference_id: Any = "inv-1", **given: Any) -> Create:
    left_out: dict[str, Any] = dict.fromkeys(
        ("bill_amount", "circle", "bill_date", "bill_due_date", "remarks", "key_contact_email", "name", "email")
    )
    members = {**left_out, "extra": None, **given}
    return calls.create(Routes(), biller_id, params, reference_id=reference_id, **members)


def _from_fetch(fetched: Any, *, reference_id: Any = "inv-1", amount: Any = None) -> Create:
    return calls.create_from_fetch(Routes(), fetched, reference_id=reference_id, amount=amount)


def _posted(to: str, body: bytes) -> Request:
    return Request(method="POST", path=to, body=body, content_type="application/json")


# --- fetch_current ----------------------------------------------------------------------------------------------------


def test_a_fetch_sends_every_documented_member() -> None:
    """All of the table of api-10664798 but `addBiller`, which v2 no longer has; each input is kept out of errors."""
    inputs = {"cn": "000123", "ad1": 42, "ad2": "b", "zone": "é"}
    made = _fetch(2001, inputs, circle=Circle.MUM, remarks="a/b.", key_contact_email="ap@example.com")
    assert made == Operation(
        name="bills.fetch_current",
        request=_posted(
            "/api/v2/biller/fetchOrAddBill",
            b'{"billerId":2001,"circle":"MUM","billParams":{"cn":"000123","ad1":"42","ad2":"b","zone":"\\u00e9"},'
            b'"remarks":"a/b.","keyContactEmail":"ap@example.com"}',
        ),
        result=FetchedBill,
        effect=Effect.READ,
        alone=True,
        sensitive=("000123", "42", "b", "é"),
    )


def test_a_fetch_sends_nothing_that_was_not_given() -> None:
    """EnKash is never sent a null."""
    assert _fetch().request.body == b'{"billerId":2001,"billParams":{"cn":"CN123456789"}}'


@pytest.mark.parametrize("circle", [Circle.MUM, "MUM", Circle("MUM"), Area.MUMBAI])
def test_a_circle_is_sent_as_its_word(circle: Any) -> None:
    """A plain string, a word of this SDK's enum and one of the caller's own `(str, Enum)` are the same to EnKash."""
    for body in (_fetch(circle=circle).request.body, _create(circle=circle).operation.request.body):
        assert b'"circle":"MUM"' in (body or b"")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"biller_id": "2001"}, "biller_id must be an int such as 2001, not str"),
        (
            {"biller_id": 0},
            "biller_id must be between 1 and 2147483647: take it from billers.list() or `enkash billers`",
        ),
        ({"params": "1"}, "params must be a mapping such as {'cn': '123456789'}, not str"),
        ({"params": {}}, "params needs 'cn', the consumer number: {'cn': '123456789'}"),
        ({"params": {"cn": ""}}, "params['cn'] is empty; leave it out or give it a value"),
        ({"circle": 5}, "circle must be a str, not int"),
        ({"remarks": " "}, "remarks is empty; leave it out or give it a value"),
        ({"key_contact_email": ["a@b.example"]}, "key_contact_email must be a str, not list"),
    ],
)
@pytest.mark.parametrize("call", [_fetch, _create])
def test_a_wrong_input_of_a_bill_is_refused(call: Callable[..., Any], arguments: dict[str, Any], said: str) -> None:
    """A fetch and a create take the same inputs, and refuse them in the same words."""
    with pytest.raises(InvalidRequestError) as caught:
        call(**arguments)
    assert str(caught.value) == said


# --- create -----------------------------------------------------------------------------------------------------------


def test_a_create_sends_every_documented_member() -> None:
    """The table of api-10664800 from arguments, what its oldest table or newest example alone has from `extra`."""
    further = {
        "companyId": "CEKABC1234",
        "branchCode": Area.MUMBAI,
        "failureReason": None,
        "recoverableAmount": Decimal("1.10"),
        "commencementDate": date(2025, 10, 1),
        "bankCardId": "BKCJC126GDK5",
        "fileName": "bill.pdf",
        "base64File": "aGk=",
        "mimeType": "application/pdf",
        "virtualAccountNo": "000777",
        "ifsc": "HDFC0000001",
        "walletId": "W-1",
        "otpMedium": "MOBILE",
        "otp": "401936",
        "otpReferenceId": "O-1",
        "autoDebit": True,
    }
    made = _create(
        2001,
        {"cn": "007", "ad1": "a", "ad2": "b", "ad3": 3},
        reference_id=ODD,
        bill_amount=Decimal("2450.70"),
        circle="A_NEW_CIRCLE",
        bill_date=date(2025, 6, 2),
        bill_due_date=datetime(2025, 6, 19, 20, 0, tzinfo=UTC),
        remarks="October",
        key_contact_email="ap@example.com",
        name="R. Rao",
        email="r@example.com",
        extra=further,
    )
    assert made.operation == Operation(
        name="bills.create",
        request=_posted(
            "/api/v2/biller/addBill",
            b'{"referenceId":"ref/1 \\u00e9?#%2F","billerId":2001,"circle":"A_NEW_CIRCLE",'
            b'"billParams":{"cn":"007","ad1":"a","ad2":"b","ad3":"3"},"billAmount":2450.70,'
            b'"billDate":"2025-06-02","billDueDate":"2025-06-20","remarks":"October",'
            b'"keyContactEmail":"ap@example.com","name":"R. Rao","email":"r@example.com",'
            b'"companyId":"CEKABC1234","branchCode":"MUM","recoverableAmount":1.10,"commencementDate":"2025-10-01",'
            b'"bankCardId":"BKCJC126GDK5","fileName":"bill.pdf","base64File":"aGk=","mimeType":"application/pdf",'
            b'"virtualAccountNo":"000777","ifsc":"HDFC0000001","walletId":"W-1","otpMedium":"MOBILE","otp":"401936",'
            b'"otpReferenceId":"O-1","autoDebit":true}',
        ),
        result=Bill,
        effect=Effect.CREATES,
        reference_id=ODD,
        sensitive=(
            *("007", "a", "b", "3"),
            *("CEKABC1234", "MUM", "2025-10-01", "BKCJC126GDK5", "bill.pdf", "aGk=", "application/pdf", "000777"),
            *("HDFC0000001", "W-1", "MOBILE", "401936", "O-1"),
        ),
    )
    assert made.wanted == Wanted(
        reference_id=ODD,
        biller_id=2001,
        consumer_number="007",
        inputs={"ad1": "a", "ad2": "b", "ad3": "3"},
        circle="A_NEW_CIRCLE",
        amount=Decimal("2450.70"),
        bill_date=date(2025, 6, 2),
    )


def test_a_create_sends_nothing_that_was_not_given() -> None:
    """Without an amount EnKash decides it, and a bill that is found later is not held against one."""
    made = _create()
    assert made.operation.request.body == (b'{"referenceId":"inv-1","billerId":2001,"billParams":{"cn":"CN123456789"}}')
    assert made.wanted == Wanted(reference_id="inv-1", biller_id=2001, consumer_number="CN123456789")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"reference_id": ""}, "reference_id is empty; leave it out or give it a value"),
        ({"reference_id": ".."}, "reference_id must not be '..': as part of a path it would mean another address"),
        ({"reference_id": None}, "reference_id must be a str, not NoneType"),
        ({"bill_amount": 10.5}, "bill_amount must not be a float, floats lose paise: write Decimal('10.5')"),
        ({"bill_amount": Decimal("0.99")}, "bill_amount must be at least 1 rupee, not 0.99"),
        ({"bill_date": "2025-06-02"}, "bill_date must be a date, not str: write date(2026, 1, 31)"),
        (
            {"bill_due_date": NAIVE},
            f"bill_due_date is a date-time without a zone ({NAIVE}): pass a date, or add tzinfo=timezone.utc",
        ),
        ({"name": 5}, "name must be a str, not int"),
        ({"email": ""}, "email is empty; leave it out or give it a value"),
        ({"extra": [("walletId", "1")]}, "extra must be a mapping of EnKash's names, not list"),
        ({"extra": {"billDate": "x", "name": "y"}}, "extra holds billDate, name: use the argument of that meaning"),
        ({"extra": {"fee": 1.5}}, "extra['fee'] must not be a float, floats lose paise: write Decimal('1.5')"),
        ({"extra": {"f": b"x"}}, "extra['f'] cannot be sent as JSON: bytes"),
    ],
)
def test_a_wrong_create_is_refused(arguments: dict[str, Any], said: str) -> None:
    """A reference that cannot be looked up is among them: its bill could never be found again."""
    with pytest.raises(InvalidRequestError) as caught:
        _create(**arguments)
    assert str(caught.value) == said


# --- create_from_fetch ------------------------------------------------------------------------------------------------

FETCHED = FetchedBill(
    company_biller_id="CB-1",
    bill_number="N-1",
    bill_amount=Decimal("2450.75"),
    bill_net_amount=Decimal("2400.00"),
    bill_date=date(2025, 6, 2),
    bill_due_date=date(2025, 6, 20),
    early_payment_amount=Decimal("2400.00"),
    early_payment_date=date(2025, 6, 10),
    late_payment_amount=Decimal("2525.50"),
    actual_due_date=date(2025, 6, 21),
    bill_start_date=date(2025, 5, 1),
    bill_end_date=date(2025, 5, 31),
    bill_id="B-1",
    validation_id="V-1",
    biller_id=2001,
    consumer_number="CN123456789",
)


def test_a_create_from_a_fetch_sends_every_documented_member() -> None:
    """The table of api-10664803; what the SDK knows of the fetch beside it is held against a bill found later."""
    made = _from_fetch(FETCHED, reference_id=ODD)
    assert made.operation == Operation(
        name="bills.create_from_fetch",
        request=_posted(
            "/api/v2/utilityPayment",
            b'{"referenceId":"ref/1 \\u00e9?#%2F","companyBillerId":"CB-1","billNetAmount":2400.00,'
            b'"billAmount":2450.75,"earlyPaymentAmount":2400.00,"latePaymentAmount":2525.50,'
            b'"billDate":"2025-06-02","earlyPaymentDate":"2025-06-10","billDueDate":"2025-06-20",'
            b'"actualDueDate":"2025-06-21","billStartDate":"2025-05-01","billEndDate":"2025-05-31",'
            b'"billNumber":"N-1","validationId":"V-1","billId":"B-1"}',
        ),
        result=Bill,
        effect=Effect.CREATES,
        reference_id=ODD,
        sensitive=("CN123456789",),
    )
    assert made.wanted == Wanted(
        reference_id=ODD,
        biller_id=2001,
        consumer_number="CN123456789",
        company_biller_id="CB-1",
        amount=Decimal("2400.00"),
        bill_number="N-1",
        bill_date=date(2025, 6, 2),
    )


@pytest.mark.parametrize(
    ("fetched", "amount", "sent"),
    [
        ({"bill_net_amount": Decimal(12)}, None, (b"12", b"12")),
        ({"bill_amount": Decimal("10.10")}, None, (b"10.10", b"10.10")),
        ({"bill_net_amount": Decimal(12), "bill_amount": Decimal(10)}, None, (b"12", b"10")),
        ({"bill_net_amount": Decimal(12), "bill_amount": Decimal(10)}, 11, (b"11", b"10")),
        ({"bill_net_amount": Decimal(0)}, Decimal("1.00"), (b"1.00", b"0")),
    ],
)
def test_the_amount_to_pay_is_the_callers_or_else_the_net_amount(
    fetched: dict[str, Any], amount: Decimal | int | None, sent: tuple[bytes, bytes]
) -> None:
    """EnKash wants both amounts always; a biller that names one means the same by the other."""
    made = _from_fetch(FetchedBill(company_biller_id="CB-1", **fetched), amount=amount)
    assert made.operation.request.body == (
        b'{"referenceId":"inv-1","companyBillerId":"CB-1","billNetAmount":%s,"billAmount":%s}' % sent
    )
    assert made.wanted.amount == Decimal(sent[0].decode())
    assert made.operation.sensitive == ()


@pytest.mark.parametrize(
    ("fetched", "how", "said"),
    [
        (FETCHED, {"reference_id": " "}, "reference_id is empty; leave it out or give it a value"),
        ({"companyBillerId": "CB-1"}, {}, "fetched must be what fetch_current returned, not dict"),
        (
            attrs.evolve(FETCHED, company_biller_id=None),
            {},
            "the fetched bill has no amount to pay or no company_biller_id",
        ),
        (
            FetchedBill(company_biller_id="CB-1", status_message="no dues of CN1", consumer_number="CN1"),
            {},
            "the fetched bill has no amount to pay or no company_biller_id (the biller said: no dues of ***)",
        ),
        (attrs.evolve(FETCHED, company_biller_id=" "), {}, "fetched.company_biller_id is empty; leave it out or "),
        (FETCHED, {"amount": 0}, "amount must be at least 1 rupee, not 0"),
        (FETCHED, {"amount": 2400.0}, "amount must not be a float, floats lose paise: write Decimal('2400.0')"),
        (attrs.evolve(FETCHED, bill_net_amount=Decimal("0.50")), {}, "amount must be at least 1 rupee, not 0.50"),
    ],
)
def test_a_wrong_create_from_a_fetch_is_refused(fetched: Any, how: dict[str, Any], said: str) -> None:
    """What cannot be paid is not created, and the biller's own words say why without the consumer number."""
    with pytest.raises(InvalidRequestError) as caught:
        _from_fetch(fetched, **how)
    assert str(caught.value).startswith(said)


# --- get, get_by_reference --------------------------------------------------------------------------------------------

LOOKS: dict[str, tuple[Callable[[Routes, Any], Operation[Bill]], str]] = {
    "bills.get": (calls.get, "/api/v2/utilityPayment/"),
    "bills.get_by_reference": (calls.get_by_reference, "/api/v2/utilityPayment/referenceId/"),
}


@pytest.mark.parametrize("name", LOOKS)
@pytest.mark.parametrize(("one", "segment"), [("UTIL-87654321", "UTIL-87654321"), (ODD, "ref%2F1%20%C3%A9%3F%23%252F")])
def test_a_look_at_a_bill_is_a_get_with_the_id_in_its_path(name: str, one: str, segment: str) -> None:
    """It has no body and no query, changes nothing, and repeats no secret."""
    call, prefix = LOOKS[name]
    assert call(Routes(), one) == Operation(
        name=name, request=Request(method="GET", path=prefix + segment), result=Bill, effect=Effect.READ
    )


@given(st.sampled_from(sorted(LOOKS)), st.text())
def test_any_id_stands_whole_in_one_segment_or_is_refused(name: str, one: str) -> None:
    """A slash or a dot in it would ask for another address."""
    call, prefix = LOOKS[name]
    try:
        made = call(Routes(), one)
    except InvalidRequestError:
        return
    segment = made.request.path.removeprefix(prefix)
    assert "/" not in segment
    assert segment not in {"", ".", ".."}
    assert unquote(segment, errors="strict") == one


@pytest.mark.parametrize(
    ("name", "argument"), [("bills.get", "utility_enkash_id"), ("bills.get_by_reference", "reference_id")]
)
@pytest.mark.parametrize(
    ("one", "said"),
    [
        ("", "is empty; leave it out or give it a value"),
        (".", "must not be '.': as part of a path it would mean another address"),
        ("a\n", "holds a control character"),
        (5, "must be a str, not int"),
    ],
)
def test_an_id_that_would_change_the_path_is_refused(name: str, argument: str, one: Any, said: str) -> None:
    """Both routes share a prefix, so that an empty id would ask for something else."""
    with pytest.raises(InvalidRequestError) as caught:
        LOOKS[name][0](Routes(), one)
    assert str(caught.value) == f"{argument} {said}"
