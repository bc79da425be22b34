"""From decoded JSON to values: exact money, days in India, open words, and every name that EnKash uses."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from enkash_async._support import exact_json
from enkash_async._wire import converter
from enkash_async._wire.converter import UnreadableError, integer, structure, structure_in_slices
from enkash_async._wire.page import Page
from enkash_async.models import (
    ApprovalStatus,
    Bill,
    BillCopyStatus,
    Biller,
    BillerCategory,
    BillerParam,
    BillerType,
    BillPayStatus,
    Circle,
    CompanyBiller,
    FetchedBill,
    PaymentInitiation,
    PaymentMode,
    PaymentStatus,
    Reply,
)

from support import FRAMES, drained

SAMPLES = Path(__file__).parents[1] / "samples"
IST = timezone(timedelta(hours=5, minutes=30))
DAY = date(2025, 5, 10)
NOON = datetime(2025, 5, 10, 12, tzinfo=IST)
MONEY = Decimal("2450.75")

Documented = dict[str, tuple[str, Any, Any]]  # EnKash's name: our name, a value as EnKash sends it, our value


def money(*names: str) -> Documented:
    return {name: (_snake(name), MONEY, MONEY) for name in names}


def days(*names: str) -> Documented:
    return {name: (_snake(name), "2025-05-10", DAY) for name in names}


def moments(*names: str) -> Documented:
    return {name: (_snake(name), "2025-05-10T12:00:00", NOON) for name in names}


def strings(*names: str) -> Documented:
    return {name: (_snake(name), f"the {name}", f"the {name}") for name in names}


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


SPELLINGS: list[Callable[[str], str]] = [str, str.lower, str.upper, str.swapcase, _snake]

#: Every member of every reply under each name that a page prints; written out here, not read from the code.
FETCHED: Documented = {
    **strings("companyBillerId", "billNumber", "userName", "billPeriod", "statusMessage", "billId", "validationId"),
    **money("billAmount", "billNetAmount", "earlyPaymentAmount", "latePaymentAmount"),
    **days("billDate", "billDueDate", "earlyPaymentDate", "actualDueDate", "billStartDate", "billEndDate"),
}
FETCHED_V0: Documented = {
    "billdate": ("bill_date", "2025-05-10", DAY),
    "dueDate": ("bill_due_date", "2025-05-10", DAY),
    "billnetamount": ("bill_net_amount", MONEY, MONEY),
    "billEnddate": ("bill_end_date", "2025-05-10", DAY),
}
BILL: Documented = {
    **strings("utilityEnkashId", "referenceId", "companyName", "consumerNumber", "consumerName", "billNumber"),
    **strings("billerBillNumber", "approvalRemarks", "failureReason", "failureCode", "billReferenceId", "remarks"),
    **strings("companyId", "bankTransactionId", "validationId", "billCopyPdfUrl"),
    **money("amount", "billAmount", "earlyPaymentAmount", "latePaymentAmount"),
    **days("billDate", "billDueDate", "billStartDate", "billEndDate", "earlyPaymentDate", "actualDueDate"),
    **moments("createdDate", "paymentDate", "billpayDate", "approvedDate", "refundDate"),
    "numberOfUnits": ("number_of_units", 215, Decimal(215)),
    "approvalStatus": ("approval_status", "APPROVED", ApprovalStatus("APPROVED")),
    "paymentStatus": ("payment_status", "INIT", PaymentStatus.INIT),
    "billpayStatus": ("billpay_status", "SUCCESS", BillPayStatus.SUCCESS),
    "paymentMode": ("payment_mode", "UPI", PaymentMode.UPI),
    "billCopyStatus": ("bill_copy_status", "PENDING", BillCopyStatus.PENDING),
    "companyBiller": ("company_biller", {"companyBillerId": "CB-1"}, CompanyBiller(company_biller_id="CB-1")),
}
BILL_ODD: Documented = {
    "billdate": ("bill_date", "2025-05-10", DAY),  # the replies of addBill
    "billPayStatus": ("billpay_status", "FAILED", BillPayStatus.FAILED),  # the guide
}
COMPANY_BILLER: Documented = {
    **strings("companyBillerId", "companyName", "billInputParams", "consumerNumber", "consumerName"),
    "biller": ("biller", {"billerId": 2001}, Biller(biller_id=2001)),
    "circleEnum": ("circle_enum", "MUMBAI", Circle("MUMBAI")),
    "billerParams": ("biller_params", [{"key": "cn"}], (BillerParam(key="cn"),)),
}
BILLER: Documented = {
    "billerId": ("biller_id", 2001, 2001),
    "name": ("name", "Sample Power", "Sample Power"),
    "billerType": ("biller_type", "ELECTRICITY", BillerType.ELECTRICITY),
    "billerParams": ("biller_params", [{"key": "cn"}], (BillerParam(key="cn"),)),
}
PARAM: Documented = strings("key", "name", "value")
INITIATION: Documented = {"paymentStatus": ("payment_status", "INIT", PaymentStatus.INIT)}

TABLES: list[tuple[type[Reply], Documented]] = [
    (FetchedBill, FETCHED),
    (Bill, BILL),
    (CompanyBiller, COMPANY_BILLER),
    (Biller, BILLER),
    (BillerParam, PARAM),
    (BillerCategory, strings("name")),
]
TABLES_AND_ODD_NAMES: list[tuple[type[Reply], Documented]] = [
    *TABLES,
    (FetchedBill, FETCHED_V0),
    (Bill, BILL_ODD),
    (PaymentInitiation, INITIATION),
]
EVERY_MEMBER = [
    pytest.param(kind, name, *row, id=f"{kind.__name__}.{name}")
    for kind, table in TABLES_AND_ODD_NAMES
    for name, row in table.items()
]
MONEY_MEMBERS = [
    *((FetchedBill, name) for name, row in (FETCHED | FETCHED_V0).items() if row[1] is MONEY),
    *((Bill, name) for name, row in BILL.items() if row[1] is MONEY or name == "numberOfUnits"),
]
#: Members on which no payment depends, among those of money.
LENIENT_MONEY = {"earlyPaymentAmount", "latePaymentAmount", "numberOfUnits"}
STRICT_MONEY = [(kind, name) for kind, name in MONEY_MEMBERS if name not in LENIENT_MONEY]
#: Members that may show a debit, by the field's name.
SIGNS = {
    "approvalStatus": "approval_status",
    **{name: _snake(name) for name in ("approvedDate", "paymentDate", "billpayDate", "refundDate")},
}
DATE_MEMBERS = [
    (kind, name, row[0])
    for kind, table in ((FetchedBill, FETCHED | FETCHED_V0), (Bill, BILL | BILL_ODD))
    for name, row in table.items()
    if row[1] in ("2025-05-10", "2025-05-10T12:00:00")
]

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.decimals(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def sample(name: str) -> Any:
    return json.loads((SAMPLES / name).read_bytes(), parse_float=Decimal)


def read(kind: type[Reply], name: str, raw: Any) -> Any:
    """Read a value of one member, and return that member."""
    table = FETCHED | FETCHED_V0 if kind is FetchedBill else BILL | BILL_ODD
    return getattr(structure({name: raw}, kind), table[name][0])


def unreadable(payload: Any, kind: Any) -> UnreadableError:
    with pytest.raises(UnreadableError) as caught:
        structure(payload, kind)
    return caught.value


# --- members ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "name", "attribute", "raw", "value"), EVERY_MEMBER)
def test_a_member_is_read_under_every_name_that_a_page_prints(
    kind: type[Reply], name: str, attribute: str, raw: Any, value: Any
) -> None:
    """Each name is read alone, with no other member and nothing in `extra`."""
    found = structure({name: raw}, kind)
    assert getattr(found, attribute) == value
    assert type(getattr(found, attribute)) is type(value)
    assert found.extra == {}
    assert found != kind()


@pytest.mark.parametrize(("kind", "name", "attribute", "raw", "value"), EVERY_MEMBER)
def test_case_and_underscores_of_a_name_do_not_matter(
    kind: type[Reply], name: str, attribute: str, raw: Any, value: Any
) -> None:
    """The converter ignores them, because EnKash's pages contradict each other."""
    for spelling in (name.lower(), name.upper(), _snake(name), _snake(name).upper(), attribute):
        assert getattr(structure({spelling: raw}, kind), attribute) == value


@pytest.mark.parametrize(("kind", "table"), TABLES, ids=lambda value: getattr(value, "__name__", ""))
@pytest.mark.parametrize("empty", ["missing", "null"])
def test_any_member_may_be_missing_or_null(kind: type[Reply], table: Documented, empty: str) -> None:
    """The converter accepts the absence of any one and of all, even of members that a page requires."""
    payload = {name: raw for name, (_, raw, _) in table.items()}
    whole = structure(payload, kind)
    for name, (attribute, _, value) in table.items():
        rest = {other: raw for other, raw in payload.items() if other != name}
        found = structure(rest if empty == "missing" else payload | {name: None}, kind)
        assert found == attrs.evolve(whole, **{attribute: getattr(kind(), attribute)})
        assert getattr(whole, attribute) == value
    assert structure({} if empty == "missing" else dict.fromkeys(payload), kind) == kind()


@pytest.mark.parametrize(("kind", "table"), TABLES, ids=lambda value: getattr(value, "__name__", ""))
def test_no_member_of_a_value_is_forgotten_here(kind: type[Reply], table: Documented) -> None:
    """The tables have a row for every field that EnKash sends."""
    ours = {"extra", "unreadable", "recovered"} | ({"biller_id", "consumer_number"} if kind is FetchedBill else set())
    fields = {field.name for field in attrs.fields(kind)} - ours
    assert {attribute for attribute, _, _ in table.values()} == fields


def test_what_is_ours_does_not_come_from_a_reply() -> None:
    """The converter puts a member with the name of an SDK field into `extra`."""
    fetched = structure({"billerId": 7, "consumerNumber": "x", "billNumber": "N-1"}, FetchedBill)
    assert (fetched.biller_id, fetched.consumer_number, fetched.bill_number) == (None, None, "N-1")
    assert fetched.extra == {"billerId": 7, "consumerNumber": "x"}
    assert structure({"recovered": True}, Bill).recovered is False


@given(st.data())
def test_the_casings_of_a_fetch_may_be_mixed(data: st.DataObject) -> None:
    """The converter reads the same value from the spelling of v0, of v2 and of any other."""
    payload: dict[str, Any] = {}
    for name, (attribute, raw, _) in FETCHED.items():
        spellings = [name, *(old for old, row in FETCHED_V0.items() if row[0] == attribute)]
        chosen = data.draw(st.sampled_from(spellings))
        change = data.draw(st.sampled_from(SPELLINGS))
        payload[change(chosen)] = raw
    expected = {attribute: value for attribute, _, value in FETCHED.values()}
    assert structure(payload, FetchedBill) == FetchedBill(**expected)


def test_both_samples_of_a_fetch_are_the_same_bill() -> None:
    """Only the casing of four names differs between the versions."""
    old, new = (structure(sample(name)["payload"], FetchedBill) for name in ("fetch_v0.json", "fetch_v2.json"))
    assert old == new
    assert (old.bill_net_amount, old.bill_end_date) == (MONEY, date(2025, 4, 30))
    assert (old.bill_date, old.bill_due_date) == (date(2025, 5, 10), date(2025, 5, 25))


@pytest.mark.parametrize("name", ["bill_v0.json", "bill_v2.json", "add_bill_v0.json", "add_bill_v2.json"])
def test_the_samples_of_a_bill_have_no_unknown_member(name: str) -> None:
    """The converter knows every member of the samples of all versions."""
    bill = structure(sample(name)["payload"], Bill)
    assert bill.extra == {}
    assert bill.utility_enkash_id == "UTIL-87654321"
    assert bill.amount in (Decimal(2450), MONEY)
    assert bill.created_date is not None
    assert bill.created_date.utcoffset() in (timedelta(0), timedelta(hours=5, minutes=30))


# --- extra ------------------------------------------------------------------------------------------------------------


@given(st.dictionaries(st.text().map(lambda name: f"§{name}"), JSON))
def test_unknown_members_are_kept_under_their_own_names(members: dict[str, Any]) -> None:
    """A member that EnKash adds later is in `extra` as decoded, nulls included."""
    assert structure(members | {"amount": 1}, Bill) == Bill(amount=Decimal(1), extra=members)


@pytest.mark.parametrize("name", ["extra", "recovered", "outcome", "payload", "__class__", "is_settled", ""])
def test_a_reply_cannot_set_what_is_not_enkashs(name: str) -> None:
    """A reply cannot set `recovered`, which is about the client's own look-up."""
    assert structure({name: True}, Bill) == Bill(extra={name: True})
    assert not structure({name: True}, Bill).recovered


@pytest.mark.parametrize(
    ("payload", "value", "extra"),
    [
        ({"billdate": "2025-05-10", "billDate": "2025-05-11"}, DAY, {"billDate": "2025-05-11"}),
        ({"billDate": "2025-05-10", "billdate": "2025-05-11"}, DAY, {"billdate": "2025-05-11"}),
        ({"billDate": "2025-05-10", "billdate": "2025-05-10"}, DAY, {"billdate": "2025-05-10"}),
        ({"billDate": None, "billdate": "2025-05-10"}, DAY, {}),
        ({"billDate": "2025-05-10", "billdate": None}, DAY, {}),
        ({"billDate": "", "billdate": "2025-05-10"}, DAY, {}),
        ({"billDate": "NA", "billdate": "2025-05-10"}, DAY, {"billDate": "NA"}),
        ({"billDate": "2025-05-10", "billdate": "NA"}, DAY, {"billdate": "NA"}),
        ({"billDate": "NA", "billdate": "?"}, None, {"billDate": "NA", "billdate": "?"}),
    ],
)
def test_of_two_spellings_the_first_readable_one_counts(
    payload: dict[str, Any], value: date | None, extra: dict[str, Any]
) -> None:
    """The converter skips a null or empty first spelling and keeps the other one in `extra`."""
    found = structure(payload, FetchedBill)
    assert (found.bill_date, found.extra) == (value, extra)


# --- money ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "digits"),
    [
        ("100000000000000.07", "100000000000000.07"),
        ("2450.75", "2450.75"),
        ("2400.00", "2400.00"),
        ("2450", "2450"),
        ("0", "0"),
        ("-12.50", "-12.50"),
        ("1e3", "1E+3"),
        ('"2450.75"', "2450.75"),
        ('"100000000000000.07"', "100000000000000.07"),
        ('" 2450.70 "', "2450.70"),
        ('"2450.7"', "2450.7"),
        ('"1e3"', "1E+3"),
        ('"+5"', "5"),
        ('"-5"', "-5"),
        ('"007"', "7"),
        ("null", "None"),
        ('""', "None"),
    ],
)
@pytest.mark.parametrize(("kind", "name"), MONEY_MEMBERS)
def test_money_is_read_with_its_own_digits(kind: type[Reply], name: str, raw: str, digits: str) -> None:
    """The converter reads integers, decimals and numeric strings; null and empty text are None."""
    document = exact_json.loads(f'{{"{name}": {raw}}}'.encode())
    assert str(read(kind, name, document[name])) == digits
    assert structure(document, kind).extra == {}


@given(st.decimals(-(10**24), 10**24, allow_nan=False, places=4), st.booleans())
@example(Decimal("100000000000000.07"), False)
def test_any_amount_is_itself_from_the_wire_to_the_value(number: Decimal, quoted: bool) -> None:
    """The converter keeps every digit of a number and of a string."""
    text = f'"{number}"' if quoted else str(number)
    bill = structure(exact_json.loads(f'{{"amount": {text}}}'.encode()), Bill)
    assert bill.amount == number
    assert bill.amount is not None
    assert (bill.amount.as_tuple() if "." in text else number.as_tuple()) == number.as_tuple()


@pytest.mark.parametrize(
    "raw",
    [
        True,
        False,
        "abc",
        "NaN",
        "Infinity",
        "-Infinity",
        "sNaN",
        "1,234.50",
        "₹5",
        "5 INR",
        "1_000",
        "0x10",
        "٣",
        "３",
        "²",
        "1e",
        "--1",
        " ",
        [],
        {},
        [1],
        {"amount": 1},
        Decimal("1E+31"),
        Decimal("1E+999999"),
        Decimal("-1E+999999"),
        Decimal("1E-999999"),
        Decimal("0E+999999"),
        "1e999",
        "1e-999",
        "1e999999999999",
        "9" * 61,
    ],
    ids=repr,
)
@pytest.mark.parametrize(("kind", "name"), STRICT_MONEY)
def test_what_is_no_amount_is_an_error_that_names_the_member(kind: type[Reply], name: str, raw: Any) -> None:
    """The converter never guesses and never drops an amount."""
    problem = unreadable({name: raw}, kind)
    assert problem.where == name
    assert problem.expected.startswith("a number")
    assert str(raw) not in f"{problem.expected}{problem}" or raw == " "


@pytest.mark.parametrize(
    "raw",
    [10**4_299, -(10**4_299), "9" * 1_000_000, "1" + "0" * 1_000_000 + "e5", Decimal((0, (9,) * 100_000, 0))],
    ids=["int", "negative int", "string", "string with exponent", "decimal"],
)
def test_an_amount_of_absurd_size_is_refused(raw: Any) -> None:
    """The converter refuses it, so that later code can format every amount."""
    assert unreadable({"amount": raw}, Bill).where == "amount"


@given(JSON)
def test_no_json_is_a_crash_as_an_amount(raw: Any) -> None:
    """Any JSON is a finite Decimal, None, or an `UnreadableError`."""
    try:
        found = structure({"amount": raw}, Bill).amount
    except UnreadableError:
        return
    assert found is None or (found.is_finite() and len(f"{found:f}") < 100)


@pytest.mark.parametrize(
    ("raw", "value"), [(2001, 2001), ("2001", 2001), (Decimal("2001.0"), 2001), (" 7 ", 7), (Decimal("2E+3"), 2000)]
)
def test_a_biller_id_may_be_a_string_of_digits(raw: Any, value: int) -> None:
    """The converter makes an `int` of every whole number that EnKash may send."""
    found = structure({"billerId": raw}, Biller).biller_id
    assert (found, type(found)) == (value, int)


@pytest.mark.parametrize("raw", [2.9, "2.9", Decimal("2.9"), True, "abc", [], {}, Decimal("1E+40")], ids=repr)
def test_what_is_no_whole_number_is_no_biller_id(raw: Any) -> None:
    """The converter refuses 2.9, which cattrs' own hook would make 2."""
    assert unreadable({"billerId": raw}, Biller).where == "billerId"


@given(st.integers(-(10**30), 10**30))
def test_whole_numbers_are_read_exactly(number: int) -> None:
    """The converter reads them from a number, a string and a decimal."""
    assert integer(number) == integer(str(number)) == integer(Decimal(number)) == number


# --- strings ----------------------------------------------------------------------------------------------------------


@given(st.text())
def test_a_string_is_kept_as_it_is(text: str) -> None:
    """The converter trims nothing and keeps an empty string."""
    assert structure({"billNumber": text}, Bill) == Bill(bill_number=text)


@pytest.mark.parametrize(("raw", "text"), [(42, "42"), (Decimal("1.50"), "1.50"), (-1, "-1"), (10**20, "1" + "0" * 20)])
def test_a_number_where_a_string_belongs_is_its_digits(raw: Any, text: str) -> None:
    """The converter makes text of it, because EnKash's pages disagree about types."""
    assert structure({"failureCode": raw}, Bill).failure_code == text


@pytest.mark.parametrize("raw", [True, False, [], ["x"], {}, {"a": 1}], ids=repr)
def test_what_is_no_string_is_kept_in_extra(raw: Any) -> None:
    """The converter reads the rest of the bill and does not invent text such as `'True'`."""
    assert structure({"remarks": raw, "amount": 1}, Bill) == Bill(amount=Decimal(1), extra={"remarks": raw})


# --- days and moments -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "day", "moment"),
    [
        ("2025-06-02", date(2025, 6, 2), datetime(2025, 6, 2, tzinfo=IST)),
        (" 2025-06-02 ", date(2025, 6, 2), datetime(2025, 6, 2, tzinfo=IST)),
        ("2025-05-12T14:30:25", date(2025, 5, 12), datetime(2025, 5, 12, 14, 30, 25, tzinfo=IST)),
        ("2025-05-12 14:30:25", date(2025, 5, 12), datetime(2025, 5, 12, 14, 30, 25, tzinfo=IST)),
        ("2025-05-12T23:59:59", date(2025, 5, 12), datetime(2025, 5, 12, 23, 59, 59, tzinfo=IST)),
        (
            "2025-06-02T14:24:14.670Z",
            date(2025, 6, 2),
            datetime(2025, 6, 2, 14, 24, 14, 670_000, tzinfo=UTC),
        ),
        ("2025-06-02T18:29:59Z", date(2025, 6, 2), datetime(2025, 6, 2, 18, 29, 59, tzinfo=UTC)),
        ("2025-06-02T18:30:00Z", date(2025, 6, 3), datetime(2025, 6, 2, 18, 30, tzinfo=UTC)),
        ("2025-12-31T20:00:00.000Z", date(2026, 1, 1), datetime(2025, 12, 31, 20, tzinfo=UTC)),
        ("2025-06-02T02:00:00+05:30", date(2025, 6, 2), datetime(2025, 6, 2, 2, tzinfo=IST)),
        ("2025-06-02T02:00:00+0530", date(2025, 6, 2), datetime(2025, 6, 2, 2, tzinfo=IST)),
        ("2025-06-02T23:00:00-08:00", date(2025, 6, 3), datetime(2025, 6, 3, 7, tzinfo=UTC)),
        ("2024-02-29", date(2024, 2, 29), datetime(2024, 2, 29, tzinfo=IST)),
        ("9999-12-31", date(9999, 12, 31), datetime(9999, 12, 31, tzinfo=IST)),
    ],
)
def test_days_and_moments_are_read_in_every_documented_form(raw: str, day: date, moment: datetime) -> None:
    """A moment without a zone is India's, and a day is read from a moment by India's date."""
    bill = structure({"billDate": raw, "createdDate": raw}, Bill)
    assert (bill.bill_date, bill.created_date, bill.extra) == (day, moment, {})
    assert type(bill.bill_date) is date
    assert bill.created_date is not None
    assert bill.created_date.utcoffset() is not None


@pytest.mark.parametrize("raw", ["", None])
@pytest.mark.parametrize(("kind", "name", "attribute"), DATE_MEMBERS)
def test_no_date_is_none(kind: type[Reply], name: str, attribute: str, raw: str | None) -> None:
    """The converter makes None of null and empty text and keeps neither in `extra`."""
    assert structure({name: raw}, kind) == kind()


@pytest.mark.parametrize(
    "raw",
    [
        "NA",
        "N/A",
        " ",
        "null",
        "0000-00-00",
        "0000-00-00T00:00:00",
        "2025-13-01",
        "2025-02-30",
        "10/05/2025",
        "10-May-2025",
        "12:30",
        "2025",
        "2025-05-10T25:00:00",
        "2025-05-10T12:00:00+99:00",
        "٢٠٢٥-٠٥-١٠",
        "9999-12-31T23:59:59Z",
        "9999-12-31T23:59:59-05:00",
        "0001-01-01T00:00:00+14:00",
        "10000-01-01",
        1748870654670,
        20250510,
        0,
        Decimal("1748870654.670"),
        True,
        False,
        [],
        [2025, 5, 10],
        {},
        {"$date": "2025-05-10"},
    ],
    ids=repr,
)
@pytest.mark.parametrize(("kind", "name", "attribute"), DATE_MEMBERS)
def test_a_date_that_cannot_be_read_is_none_and_kept(kind: type[Reply], name: str, attribute: str, raw: Any) -> None:
    """The converter reads the rest of the reply and keeps the text in `extra`."""
    found = structure({name: raw}, kind)
    assert getattr(found, attribute) is None
    assert found.extra == {name: raw}


@given(st.datetimes(timezones=st.just(UTC)) | st.datetimes(timezones=st.just(None)) | st.dates() | st.text() | JSON)
@example("0001-01-01T00:00:00")
@example("0001-01-01")
@example("0001-01-01T00:00:00Z")
@example("9999-12-31T23:59:59.999999")
@example("0001-01-01T05:29:59")
def test_a_moment_that_was_read_can_be_shown_in_utc_and_in_india(raw: Any) -> None:
    """The converter refuses a moment that overflows in either zone and keeps its text."""
    text = raw.isoformat() if isinstance(raw, date) else raw
    bill = structure({"createdDate": text}, Bill)
    if bill.created_date is None:
        assert text in ("", None) or bill.extra == {"createdDate": text}
    else:
        assert bill.created_date.astimezone(UTC) == bill.created_date.astimezone(IST) == bill.created_date


@given(
    st.datetimes(
        datetime(1900, 1, 1),
        datetime(2999, 1, 1),
        timezones=st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes))),
    ),
    st.sampled_from(["auto", "microseconds"]),
)
def test_any_moment_with_a_zone_is_itself(moment: datetime, precision: str) -> None:
    """The converter reads the same moment, and its day by India's calendar."""
    bill = structure({"createdDate": moment.isoformat(timespec=precision), "billDate": moment.isoformat()}, Bill)
    assert bill.created_date == moment
    assert bill.bill_date == moment.astimezone(IST).date()


@given(st.datetimes(datetime(1900, 1, 1), datetime(2999, 1, 1)))
def test_any_moment_without_a_zone_is_indias(moment: datetime) -> None:
    """The converter keeps the digits and adds the offset of five and a half hours."""
    bill = structure({"createdDate": moment.isoformat(), "billDate": moment.isoformat()}, Bill)
    assert bill.created_date == moment.replace(tzinfo=IST)
    assert bill.bill_date == moment.date()


@given(st.dates(date(1900, 1, 1)))
def test_any_day_is_itself(day: date) -> None:
    """The converter reads a day as its midnight in India where a moment is wanted."""
    bill = structure({"createdDate": day.isoformat(), "billDate": day.isoformat()}, Bill)
    assert bill.bill_date == day
    assert bill.created_date == datetime(day.year, day.month, day.day, tzinfo=IST)


# --- words ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["COMPLETED", "success", " SUCCESS ", "é", "0"])
def test_an_unknown_word_is_kept(word: str) -> None:
    """The enum keeps the case and the spaces of a word that it does not know."""
    found = structure({"billpayStatus": word}, Bill).billpay_status
    assert found is not None
    assert (found.value, found.is_known, type(found)) == (word, False, BillPayStatus)


@pytest.mark.parametrize("word", ["", None])
def test_no_word_is_none(word: str | None) -> None:
    """The converter makes None of empty text, not a word without letters."""
    assert structure({"billpayStatus": word}, Bill) == Bill()


@pytest.mark.parametrize("name", ["billpayStatus", "paymentStatus"])
@pytest.mark.parametrize("raw", [5, True, ["SUCCESS"], {"name": "SUCCESS"}], ids=repr)
def test_a_status_that_is_no_word_is_an_error(name: str, raw: Any) -> None:
    """The converter raises, because «still pending» would be a guess about money."""
    problem = unreadable({name: raw}, Bill)
    assert (problem.where, problem.expected) == (name, "a word")
    assert str(problem) == "a word"


def test_a_word_that_no_money_hangs_on_may_be_odd() -> None:
    """The converter makes None of it and keeps it in `extra`."""
    bill = structure({"paymentMode": 5, "billCopyStatus": [5], "companyBiller": {"circleEnum": 5}}, Bill)
    assert (bill.payment_mode, bill.bill_copy_status, bill.unreadable) == (None, None, ())
    assert bill.extra == {"paymentMode": 5, "billCopyStatus": [5]}
    assert bill.company_biller == CompanyBiller(extra={"circleEnum": 5})


# --- objects and where they fail --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Bill, FetchedBill, Biller, CompanyBiller, BillerParam])
@pytest.mark.parametrize("payload", [None, "text", "", 5, True, [], [{}], Decimal("1.5")], ids=repr)
def test_what_is_no_object_is_no_value(kind: type[Reply], payload: Any) -> None:
    """The converter raises, because an empty bill would look like one without an amount."""
    assert unreadable(payload, kind).expected == "an object"


@pytest.mark.parametrize(
    ("payload", "where"),
    [
        ({"billpayStatus": "PENDING", "amount": "hush"}, "amount"),
        ({"AMOUNT": "hush", "paymentStatus": 5}, "AMOUNT"),
        ({"company_biller": "hush", "utility_enkash_id": ["hush"]}, "utility_enkash_id"),
        ({"approvedDate": "hush", "referenceId": {"hush": 1}}, "referenceId"),
    ],
)
def test_an_error_names_the_place_and_not_the_value(payload: Any, where: str) -> None:
    """The place is the first strict member that cannot be read, spelled as in the reply."""
    problem = unreadable(payload, Bill)
    assert problem.where == where
    assert "hush" not in f"{problem}{problem!r}{vars(problem)}"


# --- what no payment depends on ---------------------------------------------------------------------------------------

#: The members that are strict, as the issue names them: amounts to pay, ids, references and the two statuses.
STRICT = {
    FetchedBill: {"companyBillerId", "billId", "validationId", "billAmount", "billNetAmount"},
    Bill: {"utilityEnkashId", "referenceId", "amount", "billAmount", "paymentStatus", "billpayStatus"},
    CompanyBiller: {"companyBillerId"},
    Biller: {"billerId"},
    BillerParam: set(),
    BillerCategory: set(),
}
#: What no member can be read from: neither a number nor text, a date, a word, an object or a list.
UNREADABLE = Decimal("1E+99")


@pytest.mark.parametrize(
    ("payload", "attribute"),
    [
        ({"numberOfUnits": "245 KWH"}, "number_of_units"),
        ({"earlyPaymentAmount": "NA"}, "early_payment_amount"),
        ({"latePaymentAmount": "1,234.50"}, "late_payment_amount"),
        ({"companyBiller": "CB1"}, "company_biller"),
        ({"companyBiller": ["CB1"]}, "company_biller"),
        ({"billDate": "10/05/2025"}, "bill_date"),
        ({"createdDate": "1768010100000"}, "created_date"),
        ({"createdDate": 1768010100000}, "created_date"),
        ({"paymentMode": 5}, "payment_mode"),
        ({"remarks": True}, "remarks"),
    ],
)
def test_a_member_of_no_consequence_is_none_and_kept(payload: dict[str, Any], attribute: str) -> None:
    """The bill is read, the member is None, and `extra` has what EnKash sent under its name."""
    whole = {"utilityEnkashId": "U-1", "amount": MONEY, "approvalStatus": "MAKER_APPROVAL_PENDING"}
    bill = structure(whole | payload, Bill)
    assert getattr(bill, attribute) is None
    assert (bill.extra, bill.unreadable) == (payload, ())
    assert (bill.amount, bill.debit_confirmed) == (MONEY, False)


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind, table in TABLES for name in table], ids=lambda value: str(value)[-40:]
)
def test_every_member_is_strict_or_lenient_as_the_list_says(kind: type[Reply], name: str) -> None:
    """An unreadable value is an error if its member is strict; otherwise it reads as None and is in `extra`."""
    raw: Any = {"odd": 1} if name in {"amount", "billAmount", "billNetAmount", "billerId"} else [UNREADABLE]
    if name == "billerParams":
        raw = "odd"
    if name in STRICT[kind]:
        assert unreadable({name: raw}, kind).where == name
    else:
        found = structure({name: raw}, kind)
        assert found.extra == {name: raw}
        assert found == attrs.evolve(kind(), extra=found.extra, unreadable=found.unreadable)
        assert bool(found.unreadable) is (name in SIGNS and kind is Bill)


@pytest.mark.parametrize(("name", "attribute"), SIGNS.items())
@pytest.mark.parametrize("raw", ["10/05/2025", "0000-00-00", "NA", 1768010100000, ["x"], {"x": 1}, True], ids=repr)
def test_an_unreadable_sign_of_a_debit_leaves_the_debit_unknown(name: str, attribute: str, raw: Any) -> None:
    """Prevents a double debit: the date that cannot be read may be that of the first one."""
    waits = {"approvalStatus": "MAKER_APPROVAL_PENDING", "paymentStatus": "INIT", "billpayStatus": "PENDING"}
    assert structure(waits, Bill).debit_confirmed is False
    bill = structure(waits | {name: raw}, Bill)
    if name == "approvalStatus" and isinstance(raw, str):
        assert (bill.approval_status, bill.debit_confirmed) == (raw, None)
        return
    assert bill.debit_confirmed is None
    assert (getattr(bill, attribute), bill.extra) == (None, {name: raw})
    assert bill.unreadable == (f"{name} is not a {'word' if name == 'approvalStatus' else 'date'}",)


def test_a_reply_cannot_say_that_it_is_unreadable() -> None:
    """A member of that name goes into `extra`, like every other that EnKash does not document."""
    assert structure({"unreadable": ["x"]}, Bill) == Bill(extra={"unreadable": ["x"]})


def test_an_inner_object_keeps_what_can_be_read() -> None:
    """The id of a biller that cannot be read takes neither the biller nor the bill with it."""
    bill = structure({"companyBiller": {"consumerNumber": "CN1", "biller": {"name": "P", "billerId": "hush"}}}, Bill)
    assert bill.company_biller is not None
    assert bill.company_biller.consumer_number == "CN1"
    biller = Biller(name="P", extra={"billerId": "hush"}, unreadable=("billerId is not a number",))
    assert (bill.company_biller.biller, bill.unreadable) == (biller, ())


@pytest.mark.parametrize("kind", [Bill, Biller, BillerCategory, BillerParam])
def test_a_null_in_a_list_says_that_it_cannot_be_read(kind: type[Reply]) -> None:
    """A bill without a flaw would look like one of which EnKash knows nothing."""
    for built in (structure([{}, None], list[kind]), structure({"list": [{}, None]}, Page[kind]).items):  # type: ignore[valid-type]
        plain, null = built
        assert (plain, null) == (kind(), kind(unreadable=("the item is not an object",), extra={"": None}))


def test_an_unreadable_item_does_not_take_the_others_with_it() -> None:
    """The list has one value for each item, in order, and those that cannot be read say what they lack."""
    good, odd, none, word = structure(
        [{"utilityEnkashId": "U1", "amount": 1}, {"utilityEnkashId": "U2", "amount": "hush"}, None, "hush"], list[Bill]
    )
    assert good == Bill(utility_enkash_id="U1", amount=Decimal(1))
    assert odd == Bill(utility_enkash_id="U2", unreadable=("amount is not a number",), extra={"amount": "hush"})
    assert none == Bill(unreadable=("the item is not an object",), extra={"": None})
    assert word == Bill(unreadable=("the item is not an object",), extra={"": "hush"})
    assert "hush" not in repr([odd, word])


@settings(deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from(sorted(BILL)), JSON) | JSON, max_size=6))
def test_any_list_has_as_many_bills_as_items_and_no_odd_one_waits(items: list[Any]) -> None:
    """No item is an error, and one that says `unreadable` never says that its debit is still to be confirmed."""
    found = structure(items, list[Bill])
    assert len(found) == len(items)
    for item, bill in zip(items, found, strict=True):
        assert not bill.unreadable or bill.debit_confirmed is None
        assert isinstance(item, dict) or item is None or bill.unreadable


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(BILL)), JSON))
def test_one_bill_is_refused_where_a_list_calls_a_strict_member_unreadable(payload: dict[str, Any]) -> None:
    """A single reply is an error exactly if a strict member is among those that the item of a list names."""
    (item,) = structure([payload], list[Bill])
    lacks_strict = any(flaw.split(" ", 1)[0] in STRICT[Bill] for flaw in item.unreadable)
    try:
        found = structure(payload, Bill)
    except UnreadableError as problem:
        assert lacks_strict
        assert problem.where in STRICT[Bill]
    else:
        assert not lacks_strict
        assert found == item


@settings(deadline=None)
@given(JSON, st.sampled_from([Bill, FetchedBill, CompanyBiller, Biller, BillerParam, BillerCategory]))
def test_no_json_is_a_crash(payload: Any, kind: Any) -> None:
    """Any JSON is a value or an `UnreadableError`, for each kind alone and in a list."""
    wanted: Any
    for wanted in (kind, list[kind]):
        try:
            found = structure(payload, wanted)
        except UnreadableError:
            continue
        assert isinstance(found, list if wanted is not kind else kind)


@settings(deadline=None)
@given(st.data())
def test_no_value_of_a_known_member_is_a_crash(data: st.DataObject) -> None:
    """Any value under a known name is read or is an `UnreadableError`."""
    kind, table = data.draw(st.sampled_from(TABLES))
    payload = data.draw(st.dictionaries(st.sampled_from(sorted(table)), JSON))
    try:
        found = structure(payload, kind)
    except UnreadableError as problem:
        assert any(problem.where.startswith(name) for name in payload)
    else:
        assert isinstance(found, kind)


# --- lists ------------------------------------------------------------------------------------------------------------

ROWS = [{"utilityEnkashId": "U1"}, {"utilityEnkashId": "U2"}]


@pytest.mark.parametrize(
    "payload",
    [
        ROWS,
        {"list": ROWS},
        {"records": ROWS, "total": 2},
        {"content": ROWS, "pageable": {"sort": []}, "totalElements": 2},
        {"data": ROWS},
        {"items": ROWS},
        {"results": ROWS},
        {"utilityPayments": ROWS},
        {"utility_payments": ROWS},
        {"Bills": ROWS},
        {"whatever": ROWS},
        {"whatever": ROWS, "fields": ["a", "b"]},
        {"whatever": ROWS, "errors": []},
        {"list": ROWS, "other": [{"x": 1}]},
        {"data": {"list": ROWS}},
        {"result": {"whatever": ROWS, "total": 2}, "total": 2},
    ],
    ids=lambda payload: ",".join(payload) if isinstance(payload, dict) else "bare",
)
def test_a_list_is_found_bare_or_within_an_object(payload: Any) -> None:
    """The converter finds the list in each form, because the search's page shows no reply."""
    assert [bill.utility_enkash_id for bill in structure(payload, list[Bill])] == ["U1", "U2"]


@pytest.mark.parametrize(
    "payload",
    [
        None,
        [],
        {"list": []},
        {"list": None},
        {"whatever": []},
        {"total": 0},
        {"total": "0"},
        {"totalElements": 0, "list": None},
        {"data": {"total": 0}},
        {"data": {"list": []}},
    ],
    ids=repr,
)
def test_an_empty_list_is_found_in_every_form(payload: Any) -> None:
    """A total of zero counts as an empty list."""
    assert structure(payload, list[Bill]) == []


@pytest.mark.parametrize(
    "payload",
    [
        "text",
        "",
        5,
        True,
        {},
        {"total": 5},
        {"total": None},
        {"nothing": None},
        {"list": "text"},
        {"list": 0},
        {"message": "ok"},
        {"one": ROWS, "two": ROWS},
        {"one": {"list": ROWS}, "two": {"list": ROWS}},
        {"a": {"b": {"list": ROWS}}},
        {"one": [], "two": []},
    ],
    ids=repr,
)
def test_what_holds_no_list_for_certain_is_an_error(payload: Any) -> None:
    """The converter raises where «no bills» or another list would be a guess."""
    assert "a list" in unreadable(payload, list[Bill]).expected


def test_a_single_bill_is_not_taken_for_a_page() -> None:
    """The converter does not make bills of the params list inside one bill."""
    payload = {"utilityEnkashId": "U1", "companyBiller": {"billerParams": [{"key": "cn"}, {"key": "ad1"}]}}
    try:
        found = structure(payload, list[Bill])
    except UnreadableError:
        return
    assert [bill.utility_enkash_id for bill in found] == ["U1"]


@settings(deadline=None)
@given(st.data(), st.sampled_from([(kind, table) for kind, table in TABLES if table]), st.sampled_from(FRAMES))
def test_a_list_in_slices_is_the_list_at_once(
    data: st.DataObject, chosen: tuple[type[Reply], Documented], frame: Callable[[Any], Any]
) -> None:
    """Both readers return the same values, or the same place of the first unreadable one."""
    kind, table = chosen
    item = st.dictionaries(st.sampled_from(sorted(table)), st.sampled_from([None, "", 1, MONEY, True, "x"]), max_size=3)
    payload = frame(data.draw(st.lists(item | st.none() | JSON, max_size=5)))
    wanted: Any = list[kind]  # type: ignore[valid-type]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(converter, "_SLICE", data.draw(st.sampled_from([1, 2, 100])))
        try:
            expected = structure(payload, wanted)
        except UnreadableError as problem:
            with pytest.raises(UnreadableError) as caught:
                drained(structure_in_slices(payload, wanted))
            assert (caught.value.where, caught.value.expected) == (problem.where, problem.expected)
        else:
            assert drained(structure_in_slices(payload, wanted))[1] == expected


def test_the_samples_of_a_search_are_the_same_bills() -> None:
    """The bare list and the page give the same bills."""
    bare, page = (structure(sample(name)["payload"], list[Bill]) for name in ("search_list.json", "search_page.json"))
    assert bare == page
    assert [bill.amount for bill in bare] == [MONEY, Decimal(99)]


def test_billers_are_read_under_either_name() -> None:
    """The converter knows the names of neighbouring pages, because the list's page is not public."""
    power, gas = structure(sample("billers.json")["payload"], list[Biller])
    assert (power.biller_id, power.name, power.biller_type) == (2001, "Sample Power", BillerType.ELECTRICITY)
    assert [param.key for param in power.biller_params] == ["cn", "ad1"]
    assert gas == Biller(biller_id=2002, name="Sample Gas", biller_type=BillerType("GAS"))


@pytest.mark.parametrize("raw", [[], None, {"list": []}, {"total": 0}])
def test_no_params_are_an_empty_tuple(raw: Any) -> None:
    """The value stays hashable without params."""
    assert structure({"billerParams": raw}, Biller).biller_params == ()


# --- what is not documented -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "raw",
    [
        "GAS",
        {"name": "GAS"},
        {"billerType": "GAS"},
        {"category": "GAS"},
        {"categoryName": "GAS"},
        {"billerCategory": "GAS"},
        {"biller_category": "GAS"},
    ],
    ids=repr,
)
def test_a_category_is_a_word_or_an_object(raw: Any) -> None:
    """Both forms give the word that `billers.list(category=…)` takes."""
    assert structure([raw], list[BillerCategory]) == [BillerCategory(name="GAS")]


def test_what_else_a_category_says_is_kept() -> None:
    """The converter puts unknown members of a category under `extra` and refuses what is no object."""
    assert structure({"name": "GAS", "id": 7}, BillerCategory) == BillerCategory(name="GAS", extra={"id": 7})
    assert structure({}, BillerCategory).name == ""
    assert unreadable(5, BillerCategory).expected == "an object"


@given(JSON)
def test_the_reply_of_a_payment_is_kept_whole_whatever_it_is(payload: Any) -> None:
    """The converter does not raise, because the payment has been started."""
    assert structure(payload, PaymentInitiation).payload == payload


@pytest.mark.parametrize("raw", [1, True, ["INIT"], {"name": "INIT"}], ids=repr)
def test_an_odd_member_does_not_cost_the_reply_of_a_payment(raw: Any) -> None:
    """The caller still gets the link of the payment that was started."""
    found = structure({"paymentStatus": raw, "url": "https://pay.example/once"}, PaymentInitiation)
    assert found.payload == {"paymentStatus": raw, "url": "https://pay.example/once"}


def test_a_payments_reply_is_read_as_far_as_it_is_understood() -> None:
    """The value has the status, and `payload` has the whole reply."""
    payload = {"paymentStatus": "INIT", "url": "https://pay.example/once"}
    found = structure(payload, PaymentInitiation)
    assert (found.payment_status, found.payload) == (PaymentStatus.INIT, payload)
    assert found.extra == {"url": "https://pay.example/once"}


@pytest.mark.parametrize("payload", [None, "text", 5, [1], {"a": Decimal("1.50")}], ids=repr)
def test_a_call_of_the_users_own_gets_the_payload_as_it_is(payload: Any) -> None:
    """`client.request()` returns the same payload object, because no type was named for it."""
    assert structure(payload, object) is payload


@pytest.mark.parametrize("payload", [None, "", {}, [], "Success", " SUCCESS "], ids=repr)
def test_nothing_is_what_says_nothing(payload: Any) -> None:
    """The converter takes the word «Success» for nothing, too."""
    assert structure(payload, type(None)) is None


@pytest.mark.parametrize("payload", ["text", 0, False, [1], {"a": Decimal("1.50")}], ids=repr)
def test_a_payload_that_says_something_is_not_nothing(payload: Any) -> None:
    """The converter raises: such a payload of a confirmation may be a list of the bills that failed."""
    assert unreadable(payload, type(None)).expected == "empty"


@pytest.mark.parametrize("name", ["a", "a.b"])
def test_places_are_joined_as_one_reads_them(name: str) -> None:
    """The place has a dot between names."""
    assert UnreadableError("a number", name).under("x").where == f"x.{name}"
    assert UnreadableError("a number").under("x").where == "x"


# --- pages ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "total"),
    [
        (ROWS, None),
        ({"list": ROWS}, None),
        ({"list": ROWS, "total": 250}, 250),
        ({"content": ROWS, "totalElements": "250", "totalPages": 3}, 250),
        ({"records": ROWS, "total_count": Decimal(250)}, 250),
        ({"data": {"list": ROWS, "totalRecords": 250}}, 250),
        ({"list": ROWS, "page": {"totalItems": 250, "size": 2}}, 250),
        ({"list": ROWS, "total": None, "totalCount": 250}, 250),
        ({"list": ROWS, "total": -1}, None),
        ({"list": ROWS, "total": True}, None),
        ({"list": ROWS, "total": "many"}, None),
        ({"list": ROWS, "total": 2.5}, None),
        ({"list": ROWS, "count": 2, "size": 99, "totalPages": 3, "totalAmount": 99}, None),
    ],
    ids=str,
)
def test_a_page_has_the_total_that_the_reply_states(payload: Any, total: int | None) -> None:
    """Both readers take a whole number under a known name; the pages, rupees and rows of one page are no total."""
    at_once = structure(copy.deepcopy(payload), Page[Bill])
    assert ([bill.utility_enkash_id for bill in at_once.items], at_once.total) == (["U1", "U2"], total)
    assert drained(structure_in_slices(copy.deepcopy(payload), Page[Bill]))[1] == at_once


def test_a_page_without_rows_may_state_that_there_are_none() -> None:
    """The converter reads `{"list": null, "total": 0}` as an empty page with a total, and null as one without."""
    assert structure({"list": None, "total": 0}, Page[Bill]) == Page([], 0)
    assert structure(None, Page[Bill]) == Page([])
