"""Reading and writing JSON with exact numbers."""

from __future__ import annotations

import contextlib
import json
import math
import tracemalloc
from collections.abc import Callable
from decimal import Decimal
from enum import Enum, StrEnum
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from enkash_async._support import exact_json
from enkash_async._support.exact_json import OddStr

from support import drained

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
    """Return what the standard library makes of a text when it keeps the digits."""
    return json.loads(text, parse_float=Decimal)


# --- reading ----------------------------------------------------------------------------------------------------------


def test_an_amount_arrives_with_its_own_digits() -> None:
    """The reader makes no float between the bytes and the value."""
    assert str(exact_json.loads(f'{{"amount": {RICH}}}'.encode())["amount"]) == RICH


def test_trailing_zeros_are_kept() -> None:
    """The reader returns `2400.00` as a number with two decimals."""
    assert str(exact_json.loads(b"2400.00")) == "2400.00"


@pytest.mark.parametrize(("text", "kind"), [("1", int), ("1.0", Decimal), ("1e2", Decimal), ("-0", int)])
def test_a_number_with_a_fraction_or_an_exponent_is_a_decimal(text: str, kind: type) -> None:
    """The reader returns `int` for a whole number and `Decimal` for every other, never a `float`."""
    assert type(exact_json.loads(text.encode())) is kind


@given(DECIMALS)
def test_any_decimal_is_read_digit_for_digit(number: Decimal) -> None:
    """The reader keeps sign, digits and exponent of the text."""
    found = exact_json.loads(str(number).encode())
    assert Decimal(found) == number
    assert isinstance(found, int) or found.as_tuple() == number.as_tuple()


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize("frame", ["{}", "[{}]", '{{"amount": {}}}'])
def test_what_is_no_json_number_is_refused(word: str, frame: str) -> None:
    """The reader refuses three words for numbers that the standard decoder accepts."""
    with pytest.raises(ValueError, match=word):
        exact_json.loads(frame.format(word).encode())


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
    """The reader refuses empty, truncated, wrongly encoded and HTML bodies with one type of error."""
    with pytest.raises(ValueError, match=r"."):
        exact_json.loads(body)


def test_a_byte_order_mark_is_skipped() -> None:
    """The reader ignores the mark that some gateways put first."""
    assert exact_json.loads(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"a":'])
def test_deep_nesting_is_a_value_error(opening: bytes) -> None:
    """The reader raises no `RecursionError`, which no caller expects of a reply."""
    with pytest.raises(ValueError, match="out of bounds"):
        exact_json.loads(opening * 100_000)


@pytest.mark.parametrize("number", ["9" * 10_000, "-" + "9" * 10_000, "1e" + "9" * 30], ids=len)
@pytest.mark.parametrize("size", [1, 100])
def test_a_number_that_python_refuses_to_hold_is_its_digits(number: str, size: int) -> None:
    """One such number of no consequence would cost a whole list; the readers of replies refuse it as any odd value."""
    body = f'{{"payload":[{",".join([f"""{{"a":1,"b":{number}}}"""] * size)}]}}'.encode()
    for decode in (exact_json.loads, plainly, in_slices, sharing):
        for row in decode(body)["payload"]:
            assert (row, type(row["b"])) == ({"a": 1, "b": number}, OddStr)


def test_a_short_number_cannot_fill_the_memory() -> None:
    """The reader keeps `1e999999999` as small as it is written."""
    tracemalloc.start()
    try:
        number = exact_json.loads(b"1e999999999")
        assert exact_json.dumps(number) == "1E+999999999"
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@settings(deadline=None)
@given(st.binary())
def test_reading_raises_nothing_but_value_error(body: bytes) -> None:
    """The reader raises `ValueError` or returns a value for any bytes at all."""
    with contextlib.suppress(ValueError):
        exact_json.loads(body)


# --- the same by every decoder ----------------------------------------------------------------------------------------

SPACE = st.sampled_from(["", "", "", "", " ", "\n", "\t\r\n "])
NUMBERS = st.from_regex(r"-?(0|[1-9][0-9]*)([.][0-9]+)?([eE][+-]?[0-9]{1,3})?", fullmatch=True) | st.sampled_from(
    ["-0", "-0.00", "18446744073709551616", "-9223372036854775809", "9" * 4300, "0." + "0" * 5000, "1e999999999", RICH]
)
STRINGS = st.one_of(
    st.text().map(json.dumps),
    st.text().map(lambda text: json.dumps(text, ensure_ascii=False)),
    st.sampled_from(
        ['"\\ud800"', '"\\udc00\\ud800x"', '"\\ud83d\\ude00"', '"\\/"', '"\\u0000"', '"\x7f\u2028"', '"a"', '""']
    ),
)


def _lists(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(SPACE, st.lists(_spaced(inner), max_size=5).map(",".join)).map(lambda made: f"[{''.join(made)}]")


def _objects(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    rows = st.tuples(_spaced(STRINGS), _spaced(inner)).map(":".join)
    return st.tuples(SPACE, st.lists(rows, max_size=4).map(",".join)).map(lambda made: f"{{{''.join(made)}}}")


def _spaced(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(SPACE, inner, SPACE).map("".join)


#: Documents as texts, with white space wherever JSON allows it.
TEXTS = _spaced(
    st.recursive(
        NUMBERS | STRINGS | st.sampled_from(["null", "true", "false"]),
        lambda inner: _lists(inner) | _objects(inner),
        max_leaves=12,
    )
).map(str.encode)
#: Valid JSON, invalid JSON, bytes that are no UTF-8, and dialects that Python accepts.
SCRAPS = [
    *(
        b"[",
        b"]",
        b"{",
        b"}",
        b",",
        b":",
        b'"',
        b"\\",
        b"-",
        b".",
        b"0",
        b"1",
        b"e5",
        b" ",
        b"\n",
        b"null",
        b'{"a":1}',
        b"[]",
    ),
    *(
        b"\x00",
        b"\x0b",
        b"\xef\xbb\xbf",
        b"\xff",
        b"\xed\xa0\x80",
        b"\xc0\x80",
        b"\xc2\xa0",
        b"\xe2\x80\xa8",
        "٣".encode(),
    ),
    *(
        b"NaN",
        b"-Infinity",
        b"1_0",
        b"0x1",
        b"'",
        b"//",
        b"9" * 4301,
        b"1e" + b"9" * 30,
        b"\\ud800",
        b"\\u12",
        b"[" * 50,
    ),
]


@st.composite
def mutilated(draw: st.DrawFn) -> bytes:
    """Return a document in which something replaces a part of it."""
    body = draw(TEXTS)
    start = draw(st.integers(0, len(body)))
    stop = draw(st.sampled_from([start, start + 1, start + 2, len(body)]))
    return body[:start] + draw(st.sampled_from([b"", *SCRAPS]) | st.binary(max_size=3)) + body[stop:]


def meaning(decode: Callable[[bytes], Any], body: bytes) -> str:
    """Return a document with its digits and the order of its members, or the fact that there is none."""
    try:
        return repr(decode(body))
    except ValueError:
        return "a ValueError"


def plainly(body: bytes) -> Any:
    """Decode without msgspec."""
    return exact_json._decoded(exact_json._decoder, body)


def in_slices(body: bytes) -> Any:
    """Decode with as many pauses as possible."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact_json, "_SLICE", 1)
        patch.setattr(exact_json, "_FEW", 1)
        return drained(exact_json.loads_in_slices(body))[1]


def sharing(body: bytes) -> Any:
    """Decode in slices of the default size, with shared names."""
    return drained(exact_json.loads_in_slices(body, shares_names=True))[1]


def assert_one_meaning(body: bytes) -> None:
    """Check that every decoder returns the same for a body."""
    expected = meaning(plainly, body)
    assert meaning(exact_json.loads, body) == expected
    assert meaning(in_slices, body) == expected
    assert meaning(sharing, body) == expected


@given(TEXTS)
def test_any_document_means_the_same_to_every_decoder(body: bytes) -> None:
    """msgspec, the standard library and the sliced reader return the same digits and order."""
    expected = meaning(plainly, body)
    assert expected != "a ValueError"
    assert_one_meaning(body)
    assert_one_meaning(b"\xef\xbb\xbf" + body)


@given(mutilated() | st.binary(max_size=20))
@example(b"[1]\x00")
@example(b"[1] [2]")
@example(b'{"a":1,"a":[2],"b":3}')
@example(b'{"a" 1}')
@example(b'{"a":}')
@example(b"{1:2}")
@example(b'{"a":1 "b":2}')
@example(b'{"a":1,')
@example(b'{"a"')
@example(b"[1 2]")
@example(b"[,1]")
@example(b"[1,]")
@example(b"[1")
@example(b"[")
@example(b"[]]")
def test_what_is_broken_means_the_same_to_every_decoder(body: bytes) -> None:
    """All decoders refuse a truncated, altered or continued document, or none does."""
    assert_one_meaning(body)


@pytest.mark.parametrize("frame", ["@", "@1", "1@", "[@]", "[1@2]", '{"a@":1}', '{"a":[{"b":@}]}', '"@"', '"\\@"'])
def test_no_scrap_means_something_to_one_decoder_alone(frame: str) -> None:
    """The decoders agree on huge numbers, half surrogate pairs, byte order marks and dialects."""
    for scrap in SCRAPS:
        assert_one_meaning(frame.encode().replace(b"@", scrap))


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]"), ('{"a":[', "]}")])
@pytest.mark.parametrize("levels", [1, 2, 3, 4, 5, 50, 200, 10_000])
def test_nesting_means_the_same_to_every_decoder(opening: str, closing: str, levels: int) -> None:
    """All decoders take a few hundred levels and refuse ten thousand, closed or open."""
    assert_one_meaning((opening * levels + "1" + closing * levels).encode())
    assert_one_meaning((opening * levels + closing * levels).encode())
    assert_one_meaning((opening * levels).encode())


@pytest.mark.parametrize("decode", [exact_json.loads, exact_json.loads_strictly, plainly, in_slices, sharing])
@pytest.mark.parametrize("text", [r"\ud83d", r"a\uDFFFb", r"\udc00\ud800", r"\uD83Dx\ude00"])
@pytest.mark.parametrize("frame", ["@", "[@]", '[["x", @]]', '{"a":@}', '{"a":[{"b":@}]}', '{"a":{"b":{"c":{"d":@}}}}'])
def test_every_decoder_marks_half_a_surrogate_pair(decode: Callable[[bytes], Any], text: str, frame: str) -> None:
    """The readers of replies then refuse the text, wherever in the document it stands."""

    def strings(value: Any) -> list[str]:
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        return [value] if isinstance(value, str) else [found for item in inner for found in strings(item)]

    for said, kind in ((text, OddStr), (r"\ud83d\ude00", str), (r"\\ud83d", str), ("\U0001f600", str)):
        found = strings(decode(frame.replace("@", f'"{said}"').encode()))[-1]
        assert (found, type(found)) == (json.loads(f'"{said}"'), kind)


# --- in slices --------------------------------------------------------------------------------------------------------

ROW = (
    '{"utilityEnkashId": "UTIL-87654321", "amount": 100000000000000.07, "remarks": "'
    + "x" * 400
    + '", "tags": [1, []]}'
)
ROWS = f"[{', '.join([ROW] * 4000)}]"


@pytest.mark.parametrize(
    "frame",
    [
        "@",
        '{"response_code": 0, "payload": @}',
        '{"payload": {"total": 5, "list": @, "more": {}}, "response_code": 0}',
        '{"payload": {"data": {"list": @}, "total": "5"}}',
        '{"payload": [], "data": @}',
        ' { "a" : [ ] , "b" : { } , "payload" : @ } ',
    ],
)
def test_a_long_list_is_read_with_pauses(frame: str) -> None:
    """The reader pauses at least ten times a megabyte in lists at each level that EnKash uses."""
    body = frame.replace("@", ROWS).encode()
    pauses, document = drained(exact_json.loads_in_slices(body))
    assert document == exact_json.loads(body)
    assert pauses >= 10 * len(body) / 2**20


@pytest.mark.parametrize("item", ["{}", "[]", '{"a":1}', "[null]", " [ 1 ] "])
def test_a_long_list_of_small_things_is_read_with_pauses(item: str) -> None:
    """The reader counts items as well as bytes, because each item takes time."""
    body = f"[{','.join([item] * 20_000)}]".encode()
    pauses, document = drained(exact_json.loads_in_slices(body))
    assert document == exact_json.loads(body)
    assert pauses >= 20


def test_a_long_list_that_begins_with_a_hole_is_read_with_pauses() -> None:
    """The reader pauses in a page of bills whose first item is null."""
    body = f"[ null, null,{ROWS[1:]}".encode()
    pauses, document = drained(exact_json.loads_in_slices(body))
    assert document == exact_json.loads(body)
    assert pauses >= 10 * len(body) / 2**20


@pytest.mark.parametrize("item", ["1", "2450.75", '"text"', "true"])
def test_a_long_list_of_numbers_or_words_is_read_at_a_stretch(item: str) -> None:
    """The reader makes no pause, because the standard library is quick with them."""
    body = f'{{"payload": [{",".join([item] * 20_000)}]}}'.encode()
    pauses, document = drained(exact_json.loads_in_slices(body))
    assert document == exact_json.loads(body)
    assert pauses <= 2


@pytest.mark.parametrize("frame", ["@", '{"payload": @}', '{"payload": {"data": @}}'])
def test_a_large_object_is_read_with_pauses(frame: str) -> None:
    """The reader pauses in large objects of the outer levels, by bytes and by members."""
    for row, count in (("1", 20_000), (f'"{"x" * 1000}"', 2_000)):
        members = ",".join(f'"{number}":{row}' for number in range(count))
        body = frame.replace("@", f"{{{members}}}").encode()
        pauses, document = drained(exact_json.loads_in_slices(body))
        assert document == exact_json.loads(body)
        assert pauses >= 19


@pytest.mark.parametrize("frame", ["@", '{"payload": {"list": @}}'])
def test_objects_in_a_list_can_share_their_names(frame: str) -> None:
    """Shared names take a quarter of the memory; `loads` shares them."""
    body = frame.replace("@", ROWS).encode()
    for document in (drained(exact_json.loads_in_slices(body, shares_names=True))[1], exact_json.loads(body)):
        rows = document if isinstance(document, list) else document["payload"]["list"]
        assert len(rows) == 4000
        assert len({id(name) for row in rows for name in row}) == len(rows[0])


def test_two_long_lists_are_both_read_with_pauses() -> None:
    """The reader goes on with the second list where the first one ended."""
    body = f'{{"one": {ROWS}, "two": {ROWS}}}'.encode()
    assert drained(exact_json.loads_in_slices(body))[0] >= 10 * len(body) / 2**20


def test_what_is_small_is_hardly_paused_for() -> None:
    """The reader makes few pauses, each of which costs a round of the event loop."""
    assert drained(exact_json.loads_in_slices(ROW.encode()))[0] <= 1


@pytest.mark.parametrize("cut", [1, 2, 1000])
def test_a_large_document_that_breaks_off_is_refused_in_the_end(cut: int) -> None:
    """The reader refuses the whole document, however much of it was readable."""
    with pytest.raises(ValueError, match=r"xpect|ntermin"):
        drained(exact_json.loads_in_slices(f'{{"payload": {ROWS[:-cut]}'.encode()))


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
    """The strict and the lenient reader return the same values, digit for digit."""
    body = exact_json.dumps(document).encode()
    assert repr(exact_json.loads_strictly(body)) == repr(exact_json.loads(body))


@pytest.mark.parametrize(
    "number", [LONGEST, f"-{LONGEST[1:]}", f"0.{LONGEST[2:]}", "1e60", "1E-60", "-1e60", "0e60", "2400.00"]
)
def test_a_number_of_any_use_is_taken(number: str) -> None:
    """The strict reader takes sixty characters and sixty orders of magnitude."""
    assert exact_json.loads_strictly(number.encode()) == Decimal(number)


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
    """The strict reader refuses such a number at any place, also where `loads` accepts it."""
    with pytest.raises(ValueError, match=r"."):
        exact_json.loads_strictly(frame.format(number).encode())


def test_digits_in_a_string_are_a_string() -> None:
    """The strict reader sets no bound there, because code that makes numbers of them has its own."""
    assert exact_json.loads_strictly(b'"' + b"9" * 10_000 + b'"') == "9" * 10_000


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
@pytest.mark.parametrize("inside", ["1", "[]", "{}"])
def test_forty_levels_are_enough(opening: str, closing: str, inside: str) -> None:
    """The strict reader refuses level 41, and counts an empty list as a level."""
    most = 39 if inside == "1" else 38
    assert exact_json.loads_strictly((opening * most + inside + closing * most).encode())
    with pytest.raises(ValueError, match="nesting is out of bounds"):
        exact_json.loads_strictly((opening * (most + 2) + inside + closing * (most + 2)).encode())


@pytest.mark.parametrize("body", [b"[" * 2**20, b'{"a":' * 200_000, b"[" * 100_000 + b"]" * 100_000])
def test_a_stranger_cannot_exhaust_the_stack(body: bytes) -> None:
    """The strict reader refuses any depth without a `RecursionError`, closed or open."""
    with pytest.raises(ValueError, match=r"."):
        exact_json.loads_strictly(body)


def test_twenty_thousand_values_are_enough() -> None:
    """The strict reader counts all values, lists and objects included."""
    most = 19_999  # and the list itself
    assert len(exact_json.loads_strictly(json.dumps([0] * most).encode())) == most
    for document in ([0] * (most + 1), [[0] * 10_000, [0] * 10_000], {str(number): [0] for number in range(10_000)}):
        with pytest.raises(ValueError, match="too many values"):
            exact_json.loads_strictly(json.dumps(document).encode())


@given(st.binary())
def test_reading_strictly_raises_nothing_but_value_error(body: bytes) -> None:
    """The strict reader raises `ValueError` or returns a value for any bytes at all."""
    with contextlib.suppress(ValueError):
        exact_json.loads_strictly(body)


# --- writing ----------------------------------------------------------------------------------------------------------


def test_a_decimal_goes_out_as_a_number_with_its_own_digits() -> None:
    """The writer makes neither a string nor a rounded float."""
    assert exact_json.dumps({"amount": Decimal(RICH)}) == f'{{"amount":{RICH}}}'


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
    """The writer uses an exponent beyond forty places, which is JSON as well."""
    assert exact_json.dumps(Decimal(number)) == text
    assert exactly(text) == Decimal(number)


@given(DECIMALS)
def test_any_decimal_is_written_digit_for_digit(number: Decimal) -> None:
    """The standard library reads the same number back."""
    text = exact_json.dumps(number)
    assert Decimal(exactly(text)) == number
    assert len(text) < 60 + len(str(number))


@settings(deadline=None)
@given(DOCUMENTS)
def test_a_document_survives_a_round_trip(document: Any) -> None:
    """The package's reader and the standard library's read the same document back."""
    text = exact_json.dumps(document)
    assert exact_json.loads(text.encode()) == document
    assert exactly(text) == document


@pytest.mark.parametrize("number", ["NaN", "sNaN", "Infinity", "-Infinity"])
def test_a_number_that_json_does_not_have_is_refused(number: str) -> None:
    """The standard encoder would write `NaN`, which is not JSON."""
    with pytest.raises(ValueError, match="finite"):
        exact_json.dumps([Decimal(number)])


@pytest.mark.parametrize(
    "value", [1.5, math.nan, b"x", bytearray(b"x"), {1, 2}, object(), 1j, Fraction(1, 3), iter([1])]
)
def test_a_type_that_json_does_not_have_is_refused(value: object) -> None:
    """The writer refuses `float` as well, because its digits may be lost already."""
    with pytest.raises(TypeError, match=type(value).__name__):
        exact_json.dumps({"a": [value]})


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
    """The writer makes compact ASCII and writes an enum as its plain word."""
    assert exact_json.dumps(value) == text


def test_a_name_that_is_the_word_of_an_enum_is_that_word() -> None:
    """The writer does not send `Mixed.CN`, which `str()` returns and EnKash does not know."""
    assert exact_json.dumps({Mixed.CN: "1"}) == '{"cn":"1"}'


def test_an_int_of_a_class_of_its_own_is_written_as_its_digits() -> None:
    """The writer does not call the `str` of a subclass of `int`, which may return any text."""

    class Loud(int):
        def __str__(self) -> str:
            return "loud"

    assert exact_json.dumps([Loud(7)]) == "[7]"
