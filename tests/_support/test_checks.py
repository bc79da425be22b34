"""The argument checks report what is wrong before anything is sent."""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from decimal import ROUND_HALF_UP, Context, Decimal
from enum import Enum, IntEnum
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from enkash_async._support import checks, exact_json
from enkash_async.errors import ConfigurationError, InvalidRequestError
from enkash_async.models import Circle, PaymentStatus

HUGE = 10**10_000
HUGE_INTS = [pytest.param(HUGE, id="10000 digits"), pytest.param(-HUGE, id="minus 10000 digits")]
DOCUMENTED_REMARKS = re.compile(r"^[A-Za-z0-9 ,@#$%^&*+:;?!()\-_\"'`]{1,255}\Z")


def refusal(action: Callable[[], object]) -> str:
    with pytest.raises(InvalidRequestError) as caught:
        action()
    return str(caught.value)


# --- text -------------------------------------------------------------------------------------------------------------


@given(st.text())
def test_text_is_returned_as_it_is_or_refused(value: str) -> None:
    """The check trims nothing and refuses blank text and text that UTF-8 cannot carry."""
    try:
        value.encode()
        sendable = bool(value.strip())
    except UnicodeEncodeError:
        sendable = False
    if sendable:
        assert checks.text(value, "name") == value
    else:
        assert "name" in refusal(lambda: checks.text(value, "name"))


@pytest.mark.parametrize("value", [None, 5, b"x", ["x"], True])
def test_text_must_be_a_string(value: object) -> None:
    """The message names the argument and the type, never the value."""
    message = refusal(lambda: checks.text(value, "name"))
    assert "name must be a str" in message
    assert type(value).__name__ in message


class Kind(str, Enum):  # noqa: UP042 (`str()` of such a word is `Kind.CN`)
    CN = "cn"


@pytest.mark.parametrize("value", ["cn", Kind.CN, Circle("cn")])
def test_text_is_plain(value: str) -> None:
    """A word of an enum is sent as the word, whatever `str()` makes of it."""
    assert type(checks.text(value, "name")) is str
    assert checks.text(value, "name") == "cn"


@given(st.sampled_from([checks.text, checks.flag, checks.day, checks.amount, checks.identifier]), st.none() | st.text())
def test_an_optional_argument_is_checked_where_it_is_given(
    check: Callable[[object, str], object], value: object
) -> None:
    """None is «left out», and nothing else is: an empty string is checked like any other."""
    if value is None:
        assert checks.optional(check, value, "name") is None
        return
    try:
        expected = check(value, "name")
    except InvalidRequestError as refused:
        assert refusal(lambda: checks.optional(check, value, "name")) == str(refused)
    else:
        assert checks.optional(check, value, "name") == expected


@given(st.text(alphabet="0123456789", min_size=5), st.sampled_from(["\ud800", "\udc00x"]))
def test_a_refusal_does_not_repeat_the_value(value: str, broken: str) -> None:
    """The message hides the value, which may be a consumer number."""
    assert value not in refusal(lambda: checks.bill_params({"cn": value + broken}))


# --- biller_id --------------------------------------------------------------------------------------------------------


class Known(IntEnum):
    POWER = 2001


@pytest.mark.parametrize("value", [1, 2001, 2**31 - 1, Known.POWER])
def test_a_biller_id_is_a_positive_int32(value: int) -> None:
    """The check returns an id within the bounds unchanged."""
    assert checks.biller_id(value) == value


@pytest.mark.parametrize("value", [0, -1, 2**31, *HUGE_INTS])
def test_a_biller_id_outside_of_int32_is_refused(value: int) -> None:
    """The check refuses it, because EnKash's own message would be about something else."""
    assert "between 1 and 2147483647" in refusal(lambda: checks.biller_id(value))


@pytest.mark.parametrize("value", [True, False, "2001", 2001.0, Decimal(2001), None])
def test_a_biller_id_is_an_int_and_nothing_like_one(value: object) -> None:
    """The check refuses `True`, which is an `int` in Python alone, and texts and floats."""
    assert "such as 2001" in refusal(lambda: checks.biller_id(value))


# --- amount -----------------------------------------------------------------------------------------------------------


@given(st.builds(Decimal.scaleb, st.integers(10**15, 10**27).map(Decimal), st.integers(-2, 0)))
@example(Decimal("100000000000000.07"))
@example(Decimal("2400.00"))
@example(Decimal(1))
def test_money_is_returned_exactly_as_given(money: Decimal) -> None:
    """The check keeps every digit and the trailing zeros."""
    assert checks.amount(money, "amount").as_tuple() == money.as_tuple()


# Up to 99 * 10**27: rounded, 10**29 - 5 would have 29 digits, one more than `decimal` keeps by default.
@given(st.integers(10**27, 99 * 10**27).map(Decimal), st.integers(-29, -3))
@example(Decimal(2450755), -3)
@example(Decimal(2450750), -3)
@example(Decimal(999999999999999999999999999999000), -4)
def test_money_has_whole_paise(digits: Decimal, exponent: int) -> None:
    """Zeros after the second decimal are cut off; any other digit is refused, with the line that rounds it."""
    money = digits.scaleb(exponent, Context(prec=99))
    assume(money >= 1)
    if 100 % money.as_integer_ratio()[1] == 0:
        found = checks.amount(money, "amount")
        assert (found, found.as_tuple().exponent) == (money, -2)
        return
    message = refusal(lambda: checks.amount(money, "bill_amount"))
    assert message.startswith("bill_amount has more than two decimals")
    (line,) = re.findall(r"write (.+), or round", message)
    rounded = eval(line, {"Decimal": Decimal, "ROUND_HALF_UP": ROUND_HALF_UP})
    assert abs(rounded - money) <= Decimal("0.005")
    assert checks.amount(rounded, "bill_amount") == rounded


@given(st.integers(1, 10**28))
def test_whole_rupees_may_be_an_int(rupees: int) -> None:
    """The check returns a `Decimal` for an int."""
    found = checks.amount(rupees, "amount")
    assert isinstance(found, Decimal)
    assert found == rupees


@given(st.floats())
@example(2450.75)
@example(0.1)
@example(math.nan)
@example(1e22)
def test_a_float_is_refused_and_the_message_shows_the_decimal_to_write(number: float) -> None:
    """The message shows the number that the user meant, not its binary expansion."""
    message = refusal(lambda: checks.amount(number, "bill_amount"))
    assert f"Decimal('{number}')" in message
    assert "bill_amount" in message
    if math.isfinite(number):
        shown = re.search(r"Decimal\('(.+)'\)", message)
        assert shown is not None
        assert float(Decimal(shown[1])) == number


@pytest.mark.parametrize("value", [True, False, "2450.75", None, b"1", object(), [1], 1j])
def test_money_of_another_type_is_refused(value: object) -> None:
    """The check refuses strings too, because a decimal sign is ambiguous in text."""
    assert "Decimal('2450.75')" in refusal(lambda: checks.amount(value, "amount"))


@pytest.mark.parametrize("value", ["NaN", "sNaN", "-NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize("least", [1, None])
def test_money_is_finite(value: str, least: int | None) -> None:
    """The check refuses a signalling NaN before a comparison raises `InvalidOperation`."""
    assert "finite" in refusal(lambda: checks.amount(Decimal(value), "amount", least=least))


@pytest.mark.parametrize("value", [Decimal("0.99"), Decimal("0.999999"), 0, -1, Decimal("-0.00"), Decimal("-2450.75")])
def test_money_is_at_least_one_rupee(value: Decimal | int) -> None:
    """The check refuses what lies below EnKash's lower limit, before anything is sent."""
    assert "at least 1 rupee" in refusal(lambda: checks.amount(value, "amount"))


@given(st.builds(Decimal.scaleb, st.integers(-(10**15), 10**15).map(Decimal), st.integers(-2, 15)))
def test_money_without_a_lower_limit_may_be_anything_sane(money: Decimal) -> None:
    """The check accepts zero and negative amounts for members whose meaning is EnKash's."""
    assert checks.amount(money, "x", least=None) == money


@pytest.mark.parametrize(
    "value",
    [*(Decimal(f"1E{power:+d}") for power in (31, 999_999, 10**17, -31, -999_999, -(10**17))), *HUGE_INTS],
)
@pytest.mark.parametrize("least", [1, None])
def test_money_of_absurd_size_is_refused(value: Decimal | int, least: int | None) -> None:
    """The check does not write the digits out, and its message stays short for any size."""
    assert len(refusal(lambda: checks.amount(value, "amount", least=least))) < 200


# --- day --------------------------------------------------------------------------------------------------------------


@given(st.dates())
def test_a_date_is_written_as_year_month_day(value: date) -> None:
    """The text is ISO 8601 and reads back as the same date."""
    text = checks.day(value, "bill_date")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", text)
    assert date.fromisoformat(text) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (datetime(2025, 6, 2, 20, tzinfo=UTC), "2025-06-03"),
        (datetime(2025, 6, 2, 18, 29, 59, tzinfo=UTC), "2025-06-02"),
        (datetime(2025, 6, 2, 18, 30, tzinfo=UTC), "2025-06-03"),
        (datetime(2025, 6, 2, 0, 0, tzinfo=checks.IST), "2025-06-02"),
        (datetime(2025, 6, 2, 1, 0, tzinfo=timezone(timedelta(hours=14))), "2025-06-01"),
    ],
)
def test_an_aware_date_time_counts_as_its_date_in_india(value: datetime, text: str) -> None:
    """An evening in UTC counts as the next day in India."""
    assert checks.day(value, "bill_date") == text


class Shy(tzinfo):
    """A time zone that names no offset."""

    def utcoffset(self, _: datetime | None) -> None:
        return None

    def dst(self, _: datetime | None) -> None:
        return None

    def tzname(self, _: datetime | None) -> str:
        return "?"


@pytest.mark.parametrize("zone", [None, Shy()])
def test_a_naive_date_time_is_refused_and_the_message_says_what_to_write(zone: tzinfo | None) -> None:
    """The check treats a zone without an offset as naive."""
    message = refusal(lambda: checks.day(datetime(2025, 6, 2, 14, 24, 14, tzinfo=zone), "bill_date"))
    assert "bill_date" in message
    assert "2025-06-02 14:24:14" in message
    assert "tzinfo=timezone.utc" in message


@pytest.mark.parametrize("value", ["2025-06-02", 20250602, None, timedelta(1), 1.5])
def test_a_day_of_another_type_is_refused(value: object) -> None:
    """The message shows how a date is written."""
    assert "date(2026, 1, 31)" in refusal(lambda: checks.day(value, "bill_date"))


@pytest.mark.parametrize(
    "value",
    [
        datetime(9999, 12, 31, 23, tzinfo=UTC),
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))),
        datetime.max.replace(tzinfo=UTC),
    ],
)
def test_a_date_time_that_has_no_date_in_india_is_refused(value: datetime) -> None:
    """The check reports the argument where the conversion overflows at the edge of the calendar."""
    assert "bill_date" in refusal(lambda: checks.day(value, "bill_date"))


# --- remarks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", range(128))
def test_remarks_take_exactly_the_characters_of_the_page(code: int) -> None:
    """The check agrees with the pattern of api-10664802 on each ASCII character."""
    value = f"a{chr(code)}b"
    if DOCUMENTED_REMARKS.match(value):
        assert checks.remarks(value) == value
    else:
        assert "remarks" in refusal(lambda: checks.remarks(value))


def test_the_characters_that_remarks_take_are_these() -> None:
    """The list stands here in full, so that code and test cannot share one mistake."""
    accepted = {chr(code) for code in range(128) if DOCUMENTED_REMARKS.match(f"a{chr(code)}b")}
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    assert accepted == set(letters) | set(" ,@#$%^&*+:;?!()-_\"'`")
    assert accepted.isdisjoint("./\n\r\t<>[]{}=|~\\")


@pytest.mark.parametrize("value", ["a", "a" * 255, "Paid, ref #12 (50% off) - ok!"])
def test_remarks_of_allowed_length_pass(value: str) -> None:
    """The check returns remarks of one to 255 characters unchanged."""
    assert checks.remarks(value) == value


@pytest.mark.parametrize("value", ["", "a" * 256, "line\n", "\nline", "é", "٣", "Ⅷ", "paid. ok", "a/b", None, 5])
def test_other_remarks_are_refused(value: object) -> None:
    """The check refuses a line break at the end, which `$` would let pass, and digits of other scripts."""
    assert "remarks" in refusal(lambda: checks.remarks(value))


# --- number -----------------------------------------------------------------------------------------------------------

HAND: checks.Bounds = {"least": 1, "most": 1000, "whole": True}
WAIT: checks.Bounds = {"least": 0, "unit": "seconds"}
REPLY: checks.Bounds = {"above": 0, "below": 60, "unit": "seconds"}
RATE: checks.Bounds = {"above": 0, "below": math.inf, "unit": "requests per second", "none": "for no limit"}
SHARE: checks.Bounds = {"above": 0, "most": 1}
RATED = "x must be a finite number of requests per second above 0, or None for no limit"
BODY: checks.Bounds = {"least": 1, "whole": True, "unit": "bytes"}


@pytest.mark.parametrize(
    ("value", "bounds"),
    [
        *[(value, HAND) for value in (1, 1000)],
        *[(value, WAIT) for value in (0, 0.0, 5, 1e300, math.inf)],
        *[(value, REPLY) for value in (0.001, 59, 59.999)],
        *[(value, RATE) for value in (0.001, 5, 1e300, None)],
        *[(value, SHARE) for value in (0.001, 1)],
        *[(value, BODY) for value in (1, 2**40)],
    ],
)
def test_a_number_within_its_bounds_is_returned(value: Any, bounds: checks.Bounds) -> None:
    """As it was given; the bounds themselves belong to it, save those that it has to be above or below."""
    assert checks.number(value, "x", **bounds) is value


@pytest.mark.parametrize(
    ("value", "bounds", "said"),
    [
        *[(value, HAND, "x must be an int from 1 to 1000") for value in (0, 1001, 5.0, True, "5", None, math.nan)],
        *[(value, WAIT, "x must be a number of seconds, 0 or more") for value in (-1, False, "5", None, math.nan)],
        *[(value, REPLY, "x must be a number of seconds above 0 and below 60") for value in (0, 60, math.nan)],
        *[(value, RATE, RATED) for value in (0, math.inf, math.nan, True)],
        *[(value, SHARE, "x must be a number above 0 and at most 1") for value in (0, 1.1, Decimal("0.5"))],
        *[(value, BODY, "x must be a whole number of bytes, 1 or more") for value in (0, 1.0)],
    ],
)
def test_a_number_out_of_bounds_is_refused_with_what_to_write(value: Any, bounds: checks.Bounds, said: str) -> None:
    """And with what was written; neither a bool nor `nan` is a number."""
    assert refusal(lambda: checks.number(value, "x", **bounds)) == f"{said}, not {value!r}"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"cn": "CN123456789"}, "dict"),
        (["CN123456789"], "list"),
        ("CN123456789" * 4, "str"),
        pytest.param(-HUGE, "an int of more than 40 digits", id="minus 10000 digits"),
    ],
)
def test_a_value_that_is_far_from_a_number_is_not_repeated(value: Any, shown: str) -> None:
    """It may hold what is personal, or be too long to be read."""
    assert refusal(lambda: checks.number(value, "x", least=0)) == f"x must be a number, 0 or more, not {shown}"


def test_the_error_of_a_number_is_of_the_callers_choosing() -> None:
    """What sets a client up has another one than what a call is given."""
    with pytest.raises(ConfigurationError, match=r"^x must be an int from 1 to 1000, not 0$"):
        checks.number(0, "x", error=ConfigurationError, **HAND)


# --- bill_params ------------------------------------------------------------------------------------------------------


def test_bill_params_are_sent_as_strings_with_their_leading_zeros() -> None:
    """The check returns strings under any name, because EnKash's map is open beyond `ad3`."""
    given_params = {"cn": "000123", "ad1": 417, "ad2": 0, "ad9": "x y"}
    assert checks.bill_params(given_params) == {"cn": "000123", "ad1": "417", "ad2": "0", "ad9": "x y"}


@pytest.mark.parametrize("kind", [OrderedDict, MappingProxyType])
def test_bill_params_may_be_any_mapping(kind: Callable[[dict[str, str]], Any]) -> None:
    """The check copies any mapping into a dict."""
    assert checks.bill_params(kind({"cn": "1"})) == {"cn": "1"}


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        ("\n", "holds a line break (U+000A): remove it"),
        ("\x1b", "holds a control character (U+001B): remove it"),
        ("\u200b", "holds an invisible character: character 5 is U+200B, zero width space; remove it"),
        ("\u00a0", "holds an invisible character: character 5 is U+00A0, no-break space; remove it"),
    ],
)
def test_a_consumer_number_holds_nothing_that_nobody_sees(odd: str, said: str) -> None:
    """The biller would not know it; the message does not show the number. Other inputs may be addresses and names."""
    assert refusal(lambda: checks.bill_params({"cn": f"9876{odd}54321"})) == f"params['cn'] {said}"
    other = {"cn": "9876 54321", "ad1": f"9876{odd}54321"}
    assert checks.bill_params(other) == other


def test_bill_params_are_a_copy() -> None:
    """A request stays as it is when the caller changes its own mapping."""
    own = {"cn": "1"}
    checks.bill_params(own)["cn"] = "2"
    assert own == {"cn": "1"}


@pytest.mark.parametrize("value", [{}, {"CN": "1"}, {"ad1": "1"}, {"cn ": "1"}])
def test_cn_must_be_among_the_bill_params(value: object) -> None:
    """The check requires `cn`, the only input that every biller needs."""
    assert "'cn'" in refusal(lambda: checks.bill_params(value))


@pytest.mark.parametrize("value", [None, "cn=1", [("cn", "1")], 5])
def test_bill_params_are_a_mapping(value: object) -> None:
    """The message shows a mapping as the right form."""
    assert "{'cn': '123456789'}" in refusal(lambda: checks.bill_params(value))


@pytest.mark.parametrize("value", [None, True, False, 1.0, Decimal(1), "", "  ", b"1", ["1"], "\ud800"])
@pytest.mark.parametrize("name", ["cn", "ad1"])
def test_the_value_of_a_bill_param_is_text_or_a_whole_number(name: str, value: object) -> None:
    """The check refuses a float and a bool, which would be sent as `1.0` and `True`."""
    assert f"params['{name}']" in refusal(lambda: checks.bill_params({"cn": "1", name: value}))


@pytest.mark.parametrize("name", ["", " ", None, 5, True, "\udfff"])
def test_the_name_of_a_bill_param_is_text(name: object) -> None:
    """The check refuses a name that is blank, no text, or cannot be encoded."""
    assert "name in params" in refusal(lambda: checks.bill_params({"cn": "1", name: "x"}))


def test_an_int_that_python_will_not_write_is_refused() -> None:
    """The check reports a number of over 4,300 digits before Python raises its own `ValueError`."""
    assert "params['cn']" in refusal(lambda: checks.bill_params({"cn": HUGE}))


# --- wire -------------------------------------------------------------------------------------------------------------


class Colour(Enum):
    RED = "red"


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (None, None),
        (True, True),
        (0, 0),
        (Known.POWER, 2001),
        ("", ""),
        ("x", "x"),
        (Decimal("0.10"), Decimal("0.10")),
        (date(2025, 6, 2), "2025-06-02"),
        (datetime(2025, 6, 2, 20, tzinfo=UTC), "2025-06-03"),
        (Circle.MUM, "MUM"),
        (PaymentStatus("COMPLETED"), "COMPLETED"),
        (Colour.RED, "red"),
        ((1, [2, ("x",)]), [1, [2, ["x"]]]),
        ({"a": {"b": (date(2025, 6, 2),)}}, {"a": {"b": ["2025-06-02"]}}),
        (MappingProxyType({"a": None}), {"a": None}),
    ],
)
def test_values_have_their_json_form(value: object, sent: object) -> None:
    """The check writes numbers, days, words, lists and objects, and keeps the nulls of the caller."""
    found = checks.wire(value, "x")
    assert found == sent
    assert type(found) is type(sent)


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ({"a": [1, 2.5]}, "x['a'][1]"),
        ({"a": {"b": datetime(2025, 6, 2)}}, "x['a']['b']"),
        ([Decimal("NaN")], "x[0]"),
        ([Decimal("1E+999999")], "x[0]"),
        (["\ud800"], "x[0]"),
        ({"a": {1, 2}}, "x['a']"),
        ([b"bytes"], "x[0]"),
        ([bytearray(b"bytes")], "x[0]"),
        (object(), "x"),
        ({5: 1}, "x"),
        ({"": 1}, "x"),
        ({"a": math.inf}, "x['a']"),
    ],
)
def test_a_value_without_a_json_form_is_refused_with_its_place(value: object, where: str) -> None:
    """The message names the place in Python's own notation."""
    assert where in refusal(lambda: checks.wire(value, "x"))


def test_an_int_of_absurd_size_is_refused() -> None:
    """The check reports it before Python raises its own `ValueError`."""
    assert "x['a']" in refusal(lambda: checks.wire({"a": HUGE}, "x"))


@settings(deadline=None)
@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.decimals()
        | st.floats()
        | st.text()
        | st.dates()
        | st.datetimes()
        | st.datetimes(timezones=st.just(UTC), max_value=datetime(9999, 12, 30))
        | st.binary(max_size=3),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.integers(), inner, max_size=4),
        max_leaves=15,
    )
)
def test_what_is_accepted_can_be_written(value: Any) -> None:
    """Any other value is an `InvalidRequestError` and no other error."""
    try:
        sent = checks.wire(value, "x")
    except InvalidRequestError:
        return
    assert exact_json.loads(exact_json.dumps(sent).encode()) == sent


def test_unset_members_are_left_out() -> None:
    """The body holds no null for an unset member, and keeps zero, empty text and False."""
    members: dict[str, Any] = {"a": None, "b": 0, "c": "", "d": False, "e": []}
    assert checks.dropped_none(members) == {"b": 0, "c": "", "d": False, "e": []}


def test_india_is_five_and_a_half_hours_ahead() -> None:
    """The assumption about EnKash's time zone is tested here alone."""
    assert checks.IST.utcoffset(None) == timedelta(hours=5, minutes=30)


@pytest.mark.parametrize(
    ("amount", "is_so"),
    [("1", True), ("1.5", True), ("1.50", True), ("1.500", True), ("1.505", False), ("1E+400", True), ("1E-400", False),
     ("0E-400", True), ("9" * 90 + ".990", True), ("9" * 90 + ".999", False), ("0.001", False), ("-2.001", False)],
)  # fmt: skip
def test_an_amount_is_in_paise_or_not(amount: str, is_so: bool) -> None:
    """However many digits it has."""
    assert checks.is_in_paise(Decimal(amount)) is is_so
