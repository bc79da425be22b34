"""JSON with exact numbers, both ways."""

from __future__ import annotations

import contextlib
import json
import math
import time
import tracemalloc
from decimal import Decimal
from enum import Enum, StrEnum
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enkash_async import _json

RICH = "100000000000000.07"  # binary floating point makes 100000000000000.06 of it
DECIMALS = st.decimals(allow_nan=False, allow_infinity=False)
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | DECIMALS | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)


class Word(StrEnum):
    CN = "cn"


class Mixed(str, Enum):  # noqa: UP042 (what users on older code bases have)
    CN = "cn"


def exactly(text: str) -> Any:
    """What the standard library makes of a text when it keeps the digits."""
    return json.loads(text, parse_float=Decimal)


# --- reading ----------------------------------------------------------------------------------------------------------


def test_an_amount_arrives_with_its_own_digits() -> None:
    """No float stands between the wire and the value."""
    assert str(_json.loads(f'{{"amount": {RICH}}}'.encode())["amount"]) == RICH


def test_trailing_zeros_are_kept() -> None:
    """`2400.00` stays a number with two decimals."""
    assert str(_json.loads(b"2400.00")) == "2400.00"


@pytest.mark.parametrize(("text", "kind"), [("1", int), ("1.0", Decimal), ("1e2", Decimal), ("-0", int)])
def test_a_number_with_a_fraction_or_an_exponent_is_a_decimal(text: str, kind: type) -> None:
    """Whole numbers stay `int`."""
    assert type(_json.loads(text.encode())) is kind


@given(DECIMALS)
def test_any_decimal_is_read_digit_for_digit(number: Decimal) -> None:
    """Sign, digits and exponent are those of the text."""
    found = _json.loads(str(number).encode())
    assert Decimal(found) == number
    assert isinstance(found, int) or found.as_tuple() == number.as_tuple()


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize("frame", ["{}", "[{}]", '{{"amount": {}}}'])
def test_what_is_no_json_number_is_refused(word: str, frame: str) -> None:
    """The standard decoder would let these three through."""
    with pytest.raises(ValueError, match=word):
        _json.loads(frame.format(word).encode())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"   ",
        b"{",
        b'{"a": 1,}',
        b"{'a': 1}",
        b"01",
        b"1.",
        b".5",
        b"+1",
        b"tru",
        b"null null",
        b'"\x01"',
        b'"\xff"',
        b"\xff\xfe{\x00}\x00",
        b"<html></html>",
        b'{"amount": 1',
        "\u0661".encode(),
    ],
)
def test_what_is_not_json_is_a_value_error(body: bytes) -> None:
    """Empty, truncated, another encoding, HTML."""
    with pytest.raises(ValueError, match=r"."):
        _json.loads(body)


def test_a_byte_order_mark_is_skipped() -> None:
    """Some gateways put one in front."""
    assert _json.loads(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"a":'])
def test_deep_nesting_is_a_value_error(opening: bytes) -> None:
    """Not a `RecursionError`, which no caller expects of a reply."""
    with pytest.raises(ValueError, match="out of bounds"):
        _json.loads(opening * 100_000)


@pytest.mark.parametrize("number", [b"9" * 10_000, b"-" + b"9" * 10_000, b"1e" + b"9" * 30], ids=len)
def test_a_number_that_python_refuses_to_hold_is_a_value_error(number: bytes) -> None:
    """Found in bounded time, and never an `ArithmeticError`."""
    began = time.perf_counter()
    with pytest.raises(ValueError, match=r"."):
        _json.loads(b'{"amount": ' + number + b"}")
    assert time.perf_counter() - began < 1


def test_a_short_number_cannot_fill_the_memory() -> None:
    """`1e999999999` stays as small as it is written."""
    tracemalloc.start()
    try:
        number = _json.loads(b"1e999999999")
        assert _json.dumps(number) == "1E+999999999"
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@settings(deadline=None)
@given(st.binary())
def test_reading_raises_nothing_but_value_error(body: bytes) -> None:
    """Whatever the bytes are."""
    with contextlib.suppress(ValueError):
        _json.loads(body)


# --- reading what a stranger sends ------------------------------------------------------------------------------------

LONGEST = "9" * 60


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(10**50), 10**50) | st.decimals(-(10**9), 10**9, places=2) | st.text(),
        lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
        max_leaves=20,
    )
)
def test_a_sane_document_is_the_same_to_both_readers(document: Any) -> None:
    """Digit for digit."""
    body = _json.dumps(document).encode()
    assert repr(_json.loads_strictly(body)) == repr(_json.loads(body))


@pytest.mark.parametrize(
    "number", [LONGEST, f"-{LONGEST[1:]}", f"0.{LONGEST[2:]}", "1e60", "1E-60", "-1e60", "0e60", "2400.00"]
)
def test_a_number_of_any_use_is_taken(number: str) -> None:
    """Sixty characters, sixty orders of magnitude."""
    assert _json.loads_strictly(number.encode()) == Decimal(number)


@pytest.mark.parametrize(
    "number",
    [
        *(LONGEST + "9", f"-{LONGEST}", f"0.{LONGEST}", f"{LONGEST}e1", "1e61", "1E-61", "-1e61", "12e60", "0e61"),
        *("1e999999999", "1e-999999999", "-1e999999999999999999999", "9" * 10_000, "0." + "9" * 10_000),
        *("NaN", "Infinity", "-Infinity"),
    ],
    ids=lambda number: number[:12],
)
@pytest.mark.parametrize("frame", ["{}", "[[{}]]", '{{"a": {{"b": {}}}}}'])
def test_a_number_out_of_proportion_is_refused(number: str, frame: str) -> None:
    """Wherever it stands, also where `loads` takes it."""
    with pytest.raises(ValueError, match=r"."):
        _json.loads_strictly(frame.format(number).encode())


def test_digits_in_a_string_are_a_string() -> None:
    """Whoever makes a number of them has a limit of their own."""
    assert _json.loads_strictly(b'"' + b"9" * 10_000 + b'"') == "9" * 10_000


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
@pytest.mark.parametrize("inside", ["1", "[]", "{}"])
def test_forty_levels_are_enough(opening: str, closing: str, inside: str) -> None:
    """One more is refused; an empty list is a level as well."""
    most = 39 if inside == "1" else 38
    assert _json.loads_strictly((opening * most + inside + closing * most).encode())
    with pytest.raises(ValueError, match="nesting is out of bounds"):
        _json.loads_strictly((opening * (most + 2) + inside + closing * (most + 2)).encode())


@pytest.mark.parametrize("body", [b"[" * 2**20, b'{"a":' * 200_000, b"[" * 100_000 + b"]" * 100_000])
def test_a_stranger_cannot_exhaust_the_stack(body: bytes) -> None:
    """However deep it is, open or closed."""
    with pytest.raises(ValueError, match=r"."):
        _json.loads_strictly(body)


def test_twenty_thousand_values_are_enough() -> None:
    """All of them counted, lists and objects too."""
    most = 19_999  # and the list itself
    assert len(_json.loads_strictly(json.dumps([0] * most).encode())) == most
    for document in ([0] * (most + 1), [[0] * 10_000, [0] * 10_000], {str(number): [0] for number in range(10_000)}):
        with pytest.raises(ValueError, match="too many values"):
            _json.loads_strictly(json.dumps(document).encode())


@given(st.binary())
def test_reading_strictly_raises_nothing_but_value_error(body: bytes) -> None:
    """Whatever the bytes are."""
    with contextlib.suppress(ValueError):
        _json.loads_strictly(body)


# --- writing ----------------------------------------------------------------------------------------------------------


def test_a_decimal_goes_out_as_a_number_with_its_own_digits() -> None:
    """Neither a string nor a rounded float."""
    assert _json.dumps({"amount": Decimal(RICH)}) == f'{{"amount":{RICH}}}'


@pytest.mark.parametrize(
    ("number", "text"),
    [
        ("2400.00", "2400.00"),
        ("1E+3", "1000"),
        ("0.00000001", "0.00000001"),
        ("-0.10", "-0.10"),
        ("0E+5", "0"),
        ("1E+40", "1" + "0" * 40),
        ("1E-40", "0." + "0" * 39 + "1"),
        ("1E+41", "1E+41"),
        ("1E-41", "1E-41"),
    ],
)
def test_a_decimal_is_written_out_in_full_as_far_as_that_is_sane(number: str, text: str) -> None:
    """Beyond forty places the exponent says it shorter; both are JSON."""
    assert _json.dumps(Decimal(number)) == text
    assert exactly(text) == Decimal(number)


@given(DECIMALS)
def test_any_decimal_is_written_digit_for_digit(number: Decimal) -> None:
    """What the standard library reads back is the same number."""
    text = _json.dumps(number)
    assert Decimal(exactly(text)) == number
    assert len(text) < 60 + len(str(number))


@settings(deadline=None)
@given(DOCUMENTS)
def test_a_document_survives_the_way_out_and_back(document: Any) -> None:
    """By our own reader, and by the standard library's."""
    text = _json.dumps(document)
    assert _json.loads(text.encode()) == document
    assert exactly(text) == document


@pytest.mark.parametrize("number", ["NaN", "sNaN", "Infinity", "-Infinity"])
def test_a_number_that_json_does_not_have_is_refused(number: str) -> None:
    """The standard encoder would write `NaN`, which is not JSON."""
    with pytest.raises(ValueError, match="finite"):
        _json.dumps([Decimal(number)])


@pytest.mark.parametrize(
    "value", [1.5, math.nan, b"x", bytearray(b"x"), {1, 2}, object(), 1j, Fraction(1, 3), iter([1])]
)
def test_a_type_that_json_does_not_have_is_refused(value: object) -> None:
    """`float` among them: nothing that is sent may have lost digits on its way here."""
    with pytest.raises(TypeError, match=type(value).__name__):
        _json.dumps({"a": [value]})


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (False, "false"),
        (0, "0"),
        (10**20, "1" + "0" * 20),
        ("é\n\u2028", '"\\u00e9\\n\\u2028"'),
        ((1, "a"), '[1,"a"]'),
        ({}, "{}"),
        ([], "[]"),
        (Word.CN, '"cn"'),
        (Mixed.CN, '"cn"'),
        ({Word.CN: 1}, '{"cn":1}'),
    ],
)
def test_plain_values_are_written_as_json_has_them(value: object, text: str) -> None:
    """Compact, ASCII, and words of an enum as plain words."""
    assert _json.dumps(value) == text


def test_a_name_that_is_the_word_of_an_enum_is_that_word() -> None:
    """`str()` of a `(str, Enum)` member is `Mixed.CN`, which would reach EnKash as another member."""
    assert _json.dumps({Mixed.CN: "1"}) == '{"cn":"1"}'


def test_an_int_of_a_class_of_its_own_is_written_as_its_digits() -> None:
    """Whatever that class's `str` says."""

    class Loud(int):
        def __str__(self) -> str:
            return "loud"

    assert _json.dumps([Loud(7)]) == "[7]"
