"""The quick readers return the values and the errors of the careful ones for any reply."""

from __future__ import annotations

import copy
import gc
import json
import linecache
import pickle
import re
import sys
import traceback
import tracemalloc
import weakref
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args, get_origin

import attrs
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from enkash_async._wire import converter, readers
from enkash_async._wire.compiled import compiled_reader
from enkash_async._wire.converter import UnreadableError
from enkash_async._wire.scalars import Hook, moment
from enkash_async.models import (
    Bill,
    Biller,
    BillerCategory,
    BillerParam,
    CompanyBiller,
    FetchedBill,
    OpenEnum,
    PaymentInitiation,
    Reply,
)
from enkash_async.models.base import camel

SAMPLES = Path(__file__).parents[1] / "samples"
IST = timezone(timedelta(hours=5, minutes=30), "IST")
KINDS: list[type[Reply]] = [Bill, FetchedBill, CompanyBiller, Biller, BillerParam, BillerCategory, PaymentInitiation]
MEMBERS = {
    kind: list({known.attribute: known for known in converter._members(kind).values()}.values()) for kind in KINDS
}
LOCAL = [
    (kind, field.name, field.default) for kind in KINDS for field in attrs.fields(kind) if "local" in field.metadata
]
EVERY_KIND = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


def _careful() -> dict[type[Reply], Hook]:
    """Return a careful reader for each class, all of whose inner readers are careful as well."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(converter, "compiled_reader", lambda cls, known, careful: careful)
        patch.setattr(converter, "_converter", converter._build())
        return {kind: converter._converter.get_structure_hook(kind) for kind in KINDS}


CAREFUL = _careful()
QUICK: dict[type[Reply], Hook] = {
    **{kind: converter._converter.get_structure_hook(kind) for kind in KINDS},
    # A bare word is a category, and any reply to a payment is kept whole: that is done around these two.
    BillerCategory: converter._plain_category,
    PaymentInitiation: converter._plain_initiation,
}


class AskedError(Exception):
    """Says that the careful reader was asked."""


def never(raw: Any, kind: Any) -> Any:
    raise AskedError


def by_itself(kind: type[Reply], careful: Hook = never) -> Hook:
    """Return a quick reader that has another careful one behind it."""
    return compiled_reader(kind, converter._members(kind), careful)


def exactly(value: Any) -> Any:
    """Return everything that a value holds, with what its `repr` hides."""
    if isinstance(value, Reply):
        return type(value), [(field.name, exactly(getattr(value, field.name))) for field in attrs.fields(type(value))]
    if isinstance(value, tuple):
        return tuple, [exactly(item) for item in value]
    if isinstance(value, dict):
        return dict, [(name, repr(item)) for name, item in value.items()]  # in order
    return type(value), repr(value)


def outcome(hook: Hook, kind: type[Reply], document: Any) -> tuple[Any, Any]:
    """Return the value with all of its parts, or the error with its own."""
    try:
        found = hook(document, kind)
    except UnreadableError as problem:
        return None, ("unreadable", problem.where, problem.expected)
    return found, (exactly(found), repr(found))


# --- documents --------------------------------------------------------------------------------------------------------

#: Values of a wrong type, and values at the edge of what is accepted.
ODD: list[Any] = [
    *(None, None, None, "", "", " ", "x", "NA", "null", "0", "\ud800", True, False, 0, 1, -1, -0, 7),
    *(10**18, 10**18 - 1, -(10**18), 10**30, 10**31, -(10**31), 10**40, int("9" * 400)),
    *map(Decimal, ["0", "-0", "0.00", "0E+5", "1.0", "2.9", "2450.75", "2400.00", "100000000000000.07", "2E+3"]),
    *map(Decimal, ["1E+30", "1E+31", "9E+30", "1E-30", "1E-31", "1E-60", "1E-61", "0E-60", "0E-61", "0E+99"]),
    *map(Decimal, ["1E+999", "-1E-999", "1E+999999999", "0." + "1" * 29, "0." + "1" * 60, "0." + "1" * 61]),
    *map(Decimal, ["1" * 30, "1" * 31, "-" + "1" * 30, "-" + "1" * 31, "NaN", "sNaN", "Infinity", "-Infinity"]),
    *("1", "-1", "+1", " 12 ", "2450.75", "1e3", "1E400", "0x1", "1_000", "٣", "1" * 60, "1" * 61, "NaN", "Infinity"),
    *("2025-05-10", " 2025-05-10 ", "2025-05-10T12:00:00", "2025-05-10 12:00", "2025-06-02T14:24:14.670Z"),
    *("2025-06-02T02:00:00+0530", "2025-06-02T23:00:00-08:00", "2025-W19-6", "20250510", "2025-05-10T24:00:00"),
    *("0000-00-00", "0001-01-01", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "0002-01-01", "9998-12-31"),
    *("9999-12-31", "9999-12-31T23:59:59Z", "2025-02-30", "10/05/2025", 20250510, Decimal("1748870654.670")),
    *([], [None], ["SUCCESS"], [[]], [{}], [{}, 5], {}, {"a": 1}, {"list": [{}]}, {"list": None}, {"total": 0}),
    *("SUCCESS", "success", "FAILED", "COMPLETED", "MUMBAI"),
]
MOMENTS = st.datetimes().map(datetime.isoformat) | st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat)
STRANGE = st.sampled_from(["unknown", "extra", "recovered", "payload", "billerId", "consumerNumber", ""]) | st.text()


def _spellings(member: readers.Member, kind: type[Reply]) -> list[str]:
    """Draw a name of a member, the most likely one often."""
    usual = camel(member.attribute)
    others = [*attrs.fields_dict(kind)[member.attribute].metadata["aliases"], member.attribute, usual.lower()]
    return [*[usual] * 7, *others, usual.upper(), f"_{usual}", usual.swapcase()]


def _values(kind: Any) -> st.SearchStrategy[Any]:
    """Draw a value that EnKash may send for a type."""
    if kind is str:
        return st.text(max_size=5)
    if kind is Decimal:
        amounts = st.decimals(-(10**9), 10**9, places=2)
        return amounts | amounts.map(str) | st.integers(-(10**20), 10**20) | st.decimals(allow_nan=False)
    if kind is int:
        return st.integers(-(10**20), 10**20) | st.integers(0, 9999).map(str)
    if kind in {date, datetime}:
        return st.dates().map(date.isoformat) | MOMENTS
    if get_origin(kind) is tuple:
        return st.lists(DOCUMENTS[get_args(kind)[0]] | st.none(), max_size=3)
    if issubclass(kind, OpenEnum):
        return st.sampled_from([word.value for word in kind]) | st.text(max_size=5)
    return DOCUMENTS[kind]


def _documents(kind: type[Reply]) -> st.SearchStrategy[dict[str, Any]]:
    odd = st.sampled_from(ODD)
    row: list[st.SearchStrategy[tuple[str, Any]]] = [st.tuples(STRANGE, odd)]
    for member in MEMBERS[kind]:
        usual = _values(member.kind)
        row.append(st.tuples(st.sampled_from(_spellings(member, kind)), usual | usual | usual | odd))
    return st.lists(st.one_of(row), max_size=8).map(dict)


#: Objects of right and wrong names, with right and wrong values.
DOCUMENTS: dict[type[Reply], st.SearchStrategy[dict[str, Any]]] = {}
for _kind in reversed(KINDS):  # a class comes before those that it holds
    DOCUMENTS[_kind] = _documents(_kind)


def ordinary(kind: type[Reply]) -> dict[str, Any]:
    """Return a document with every member of a class, as the pages name and show them."""
    return {camel(member.attribute): _ordinary(member.kind) for member in MEMBERS[kind]}


def _ordinary(kind: Any) -> Any:
    plain: dict[Any, Any] = {
        str: "the text",
        int: 2001,
        Decimal: Decimal("2450.75"),
        date: "2025-05-10",
        datetime: "2025-06-02T14:24:14.670Z",
    }
    if kind in plain:
        return plain[kind]
    if get_origin(kind) is tuple:
        return [ordinary(get_args(kind)[0])]
    return next(iter(kind)).value if issubclass(kind, OpenEnum) else ordinary(kind)


def assert_the_same(kind: type[Reply], document: Any) -> None:
    """Check that both readers return the same and do not change the document."""
    before = repr(document)
    careful, expected = outcome(CAREFUL[kind], kind, document)
    for _ in range(2):
        quick, found = outcome(QUICK[kind], kind, document)
        assert found == expected
        assert repr(document) == before
        if careful is not None and "NaN" not in before:  # one in `extra` is not even equal to itself
            assert quick == careful
            assert hash(quick) == hash(careful)


# --- the same as ever -------------------------------------------------------------------------------------------------


@EVERY_KIND
@settings(max_examples=60)
@given(st.data())
def test_any_document_is_read_as_the_careful_reader_reads_it(kind: type[Reply], data: st.DataObject) -> None:
    """Both readers agree on fields, `extra` and its order, or on the error and its place."""
    assert_the_same(kind, data.draw(DOCUMENTS[kind]))


@EVERY_KIND
@settings(max_examples=50)
@given(st.data())
def test_a_whole_document_in_which_little_is_odd_is_read_as_ever(kind: type[Reply], data: st.DataObject) -> None:
    """Both readers agree when one documented member is odd, missing or renamed."""
    document = ordinary(kind)
    member = data.draw(st.sampled_from(MEMBERS[kind]))
    raw = document.pop(camel(member.attribute))
    name = data.draw(st.sampled_from(_spellings(member, kind)) | STRANGE)
    assert_the_same(kind, document | {name: data.draw(st.sampled_from([raw, *ODD]))})


@EVERY_KIND
def test_an_odd_value_is_read_as_ever_wherever_it_stands(kind: type[Reply]) -> None:
    """Both readers agree on each odd value under each member."""
    for raw in ODD:
        for member in MEMBERS[kind]:
            assert_the_same(kind, {camel(member.attribute): raw})


@EVERY_KIND
def test_two_spellings_of_a_member_are_read_as_ever(kind: type[Reply]) -> None:
    """Both readers take the first readable spelling, in either order, and keep the other."""
    for member in MEMBERS[kind]:
        names = set(_spellings(member, kind))
        usual, raw = camel(member.attribute), ordinary(kind)[camel(member.attribute)]
        for other in names - {usual}:
            for first, second in ((raw, raw), (raw, None), (None, raw), ("", raw), (raw, ""), ([], raw), (raw, 5)):
                assert_the_same(kind, {usual: first, other: second})
                assert_the_same(kind, {other: first, usual: second})


@pytest.mark.parametrize("raw", [None, "", "text", 0, 5, True, Decimal("1.5"), [], [{}], ()], ids=repr)
@EVERY_KIND
def test_what_is_no_object_is_refused_as_ever(kind: type[Reply], raw: Any) -> None:
    """The quick reader refuses a payload that is no object with the careful reader's error."""
    assert (
        outcome(QUICK[kind], kind, raw) == outcome(CAREFUL[kind], kind, raw) == (None, ("unreadable", "", "an object"))
    )


@EVERY_KIND
def test_an_ordinary_document_is_read_once(kind: type[Reply]) -> None:
    """The quick reader does not ask the careful one for whole, empty or unknown members."""
    quick = by_itself(kind)
    for document in (ordinary(kind), {}, dict.fromkeys(ordinary(kind)), ordinary(kind) | {"new": {"a": [1]}}):
        assert exactly(quick(document, kind)) == exactly(CAREFUL[kind](document, kind))


@pytest.mark.parametrize("name", ["bill_v0.json", "bill_v2.json", "fetch_v2.json", "webhook_bill.json"])
def test_a_documented_reply_is_read_once(name: str) -> None:
    """The quick reader reads every sample alone, save one with a casing of its own."""
    document = json.loads((SAMPLES / name).read_bytes(), parse_float=Decimal)
    kind = FetchedBill if name.startswith("fetch") else Bill
    payload = document.get("payload", document)
    assert exactly(by_itself(kind)(payload, kind)) == exactly(CAREFUL[kind](payload, kind))


@pytest.mark.parametrize(
    "document",
    [
        {"billdate": "2025-05-10"},
        {"dueDate": "2025-05-10"},
        {"bill_amount": 5},
        {"billDate": "NA"},
        {"billDate": ["2025-05-10"]},
        {"paymentDate": 5},
        {"remarks": True},
        {"amount": "hush"},
        {"amount": True},
        {"paymentStatus": ["SUCCESS"]},
        {"companyBiller": 5},
        5,
    ],
    ids=repr,
)
def test_what_is_odd_is_left_to_the_careful_reader(document: Any) -> None:
    """The careful reader alone decides about an odd value."""
    with pytest.raises(AskedError):
        by_itself(Bill)(document, Bill)


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"billDate": "NA"},
        {"billdate": "2025-05-10"},
        {"dueDate": "2025-05-10", "new": 1},
        {"remarks": True, "billpayDate": 5},
        {"paymentMode": ["UPI"]},
    ],
    ids=str,
)
def test_what_is_within_an_odd_object_is_read_once(odd: dict[str, Any]) -> None:
    """The cost does not double at each level of nested odd objects."""
    times = 0

    def counted(raw: Any, kind: Any) -> Any:
        nonlocal times
        times += 1
        return QUICK[CompanyBiller](raw, kind)

    known = {
        name: attrs.evolve(member, hook=counted) if member.attribute == "company_biller" else member
        for name, member in converter._members(Bill).items()
    }
    document = {"companyBiller": ordinary(CompanyBiller), **odd}
    found = compiled_reader(Bill, known, readers.careful_reader(Bill, known))(document, Bill)
    assert exactly(found) == exactly(CAREFUL[Bill](document, Bill))
    assert times == 1


# --- real values ------------------------------------------------------------------------------------------------------


def plainly(kind: type[Reply], found: Reply) -> Reply:
    """Make the same value by its `__init__`."""
    return kind(**{field.name: getattr(found, field.name) for field in attrs.fields(kind)})


@pytest.fixture(params=[*KINDS, "empty", "strange"], ids=lambda kind: getattr(kind, "__name__", kind))
def found(request: pytest.FixtureRequest) -> Reply:
    """A value of each class that the quick reader made."""
    kind = request.param if isinstance(request.param, type) else Bill
    document = {"empty": {}, "strange": {"new": 1, "amount": 5}}.get(request.param) if kind is Bill else None
    made: Reply = by_itself(kind)(ordinary(kind) if document is None else document, kind)
    return made


def test_a_value_is_of_its_class_and_of_no_other(found: Reply) -> None:
    """The value has the class that `__init__` gives, not that of the reader's draft."""
    kind = type(found)
    assert kind in KINDS
    assert isinstance(found, Reply)
    assert found.__class__ is kind
    again = plainly(kind, found)
    assert found == again
    assert repr(found) == repr(again)
    assert exactly(found) == exactly(again)


def test_a_value_is_frozen(found: Reply) -> None:
    """No caller can set, delete or add a field."""
    for name in [*(field.name for field in attrs.fields(type(found))), "new"]:
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            setattr(found, name, None)
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            delattr(found, name)
    assert not hasattr(found, "__dict__")


def test_a_value_is_hashed_and_compared_like_any_other(found: Reply) -> None:
    """Equal values are one key, and another field or `extra` makes another value."""
    again = plainly(type(found), found)
    assert hash(found) == hash(again)
    assert {found: 1} == {again: 1}
    assert found != attrs.evolve(found, extra={"another": 1})
    assert found != type(found)(extra={"new": 2})


@pytest.mark.parametrize(
    "duplicate",
    [copy.copy, copy.deepcopy, attrs.evolve]
    + [
        lambda value, protocol=protocol: pickle.loads(pickle.dumps(value, protocol))
        for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)
    ],
)
def test_a_value_survives_copying(found: Reply, duplicate: Callable[[Reply], Reply]) -> None:
    """Shallow, deep, pickled and evolved copies are equal and frozen."""
    again = duplicate(found)
    assert exactly(again) == exactly(found)
    assert (again, hash(again)) == (found, hash(found))
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        again.extra = {}  # type: ignore[misc]


def test_a_value_is_what_attrs_knows(found: Reply) -> None:
    """`asdict`, `astuple`, `evolve` and `has` treat it like a value from `__init__`."""
    kind, again = type(found), plainly(type(found), found)
    assert attrs.has(type(found))
    assert attrs.asdict(found) == attrs.asdict(again)
    assert attrs.astuple(found) == attrs.astuple(again)
    changed = attrs.evolve(found, extra={"a": 1})
    assert (type(changed), changed.extra) == (kind, {"a": 1})


def test_a_value_can_be_referred_to_weakly_and_is_freed() -> None:
    """The reader keeps no reference to a value."""
    found = by_itself(Bill)(ordinary(Bill), Bill)
    reference = weakref.ref(found)
    assert reference() is found
    del found
    gc.collect()
    assert reference() is None


@EVERY_KIND
def test_an_empty_document_has_the_defaults(kind: type[Reply]) -> None:
    """So has a document of nulls, and no two values share one `extra`."""
    quick = by_itself(kind)
    for document in ({}, dict.fromkeys(ordinary(kind))):
        assert exactly(quick(document, kind)) == exactly(kind())
    assert quick({}, kind).extra is not quick({}, kind).extra


@pytest.mark.parametrize(("kind", "name", "default"), LOCAL, ids=lambda value: str(getattr(value, "__name__", value)))
def test_what_is_ours_has_its_default(kind: type[Reply], name: str, default: Any) -> None:
    """A reply cannot set an SDK field; its member goes into `extra`."""
    assert getattr(by_itself(kind)(ordinary(kind), kind), name) is default
    for spelling in (name, camel(name)):
        found = by_itself(kind)({spelling: "theirs"}, kind)
        assert getattr(found, name) is default
        assert found.extra == {spelling: "theirs"}


# --- what it is read from ---------------------------------------------------------------------------------------------


@EVERY_KIND
def test_reading_takes_nothing_out_of_a_document(kind: type[Reply]) -> None:
    """The document can be read again, and changing it later changes no value."""
    document = ordinary(kind) | {"new": 1, "newer": [2]}
    before, names = copy.deepcopy(document), list(document)
    first = QUICK[kind](document, kind)
    for other in KINDS:
        outcome(QUICK[other], other, document)
    assert (document, list(document)) == (before, names)
    assert exactly(QUICK[kind](document, kind)) == exactly(first)
    document.clear()
    assert first.extra == {"new": 1, "newer": [2]}


def test_a_value_does_not_keep_the_room_of_its_document() -> None:
    """A value of thousands on a page keeps little of its document's memory."""
    for document in (ordinary(Bill), ordinary(Bill) | {"new": 1}):
        extra = by_itself(Bill)(document, Bill).extra
        assert sys.getsizeof(extra) <= sys.getsizeof({**extra})


NUMBERS = [
    pytest.param(kind, camel(member.attribute), id=f"{kind.__name__}.{member.attribute}")
    for kind in KINDS
    for member in MEMBERS[kind]
    if member.kind in {int, Decimal}
]


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize(("kind", "name"), NUMBERS)
def test_yes_and_no_are_no_numbers(kind: type[Reply], name: str, raw: bool) -> None:
    """The reader keeps `true` in `extra` and reads no amount from it, although Python counts it as 1."""
    (attribute,) = (member.attribute for member in MEMBERS[kind] if camel(member.attribute) == name)
    for document in ({}, ordinary(kind)):
        found = QUICK[kind](document | {name: raw}, kind)
        assert found.extra == {name: raw}
        assert getattr(found, attribute) == attrs.fields_dict(kind)[attribute].default


@pytest.mark.parametrize("digits", ["2450.75", "2400.00", "-0.00", "0", "100000000000000.07", "1E+3", "0E-7"])
def test_an_amount_is_the_very_number_that_was_decoded(digits: str) -> None:
    """The value holds the decoded object itself, so no digit can change."""
    number = Decimal(digits)
    assert by_itself(Bill)({"amount": number}, Bill).amount is number


@given(st.integers(-(10**30), 10**30))
def test_a_whole_amount_has_its_own_digits(number: int) -> None:
    """The quick reader makes a `Decimal` with every digit of a whole amount of up to 30 digits."""
    found = QUICK[Bill]({"amount": number}, Bill).amount
    assert type(found) is Decimal
    assert str(found) == str(number)


# --- dates ------------------------------------------------------------------------------------------------------------

ZONES = st.none() | st.integers(-(24 * 60) + 1, 24 * 60 - 1).map(lambda minutes: timezone(timedelta(minutes=minutes)))
WHITE = st.sampled_from(["", "", "", " ", "\n", " \t", "\u00a0", "\u2003"])
TAMPERED = st.tuples(
    st.datetimes(timezones=ZONES).map(datetime.isoformat),
    st.integers(0, 33),
    st.sampled_from(["", "", " ", "T", "0", "-", "+", ":", "Z", ".5", "\ud800", "W1", "\x00"]),
).map(lambda made: made[0][: made[1]] + made[2] + made[0][made[1] + len(made[2]) :])


@given(st.tuples(WHITE, TAMPERED | MOMENTS | st.dates().map(date.isoformat) | st.text(max_size=12), WHITE).map("".join))
@example("1768010100000")
@example("2025W19-12:00")
@example("2025-W19-6T12")
@example("2025-05-10t12:00:00")
@example("2025-05-10T12:00:00 ")
@example(" 2025-05-10")
@example("2025-05-10 ")
@example("0001-12-31T23:59:59+23:59")
@example("0002-01-01T00:00:00+23:59")
@example("9998-12-31T23:59:59-23:59")
@example("9999-01-01T00:00:00-23:59")
@example("9999-12-31T18:29:59Z")
@example("9999-12-31T18:30:00Z")
def test_a_moment_is_read_by_the_plain_rules(raw: str) -> None:
    """The reader strips it, takes India's zone by default, and refuses what has other marks or overflows in a zone."""
    expected: datetime | None
    try:
        if not re.match(r".{4}-..-..([T ]|$)", raw.strip(), re.DOTALL):
            raise ValueError("no dashes, or another separator")
        expected = datetime.fromisoformat(raw.strip())
        expected = expected if expected.utcoffset() is not None else expected.replace(tzinfo=IST)
        expected.astimezone(UTC).astimezone(IST)
    except (ValueError, OverflowError):
        expected = None
    try:
        found = moment(raw)
    except UnreadableError:
        assert expected is None
    else:
        assert expected is not None
        assert found == expected
        assert repr(found) == repr(expected)


def test_more_days_than_are_remembered_are_read_right() -> None:
    """The reader is right in two rounds, with days that the cache has and days that it dropped."""
    quick, first = by_itself(Bill), date(2020, 1, 1)
    days = [first + timedelta(days=number) for number in range(1500)]
    for day in days * 2:
        assert quick({"billDate": day.isoformat()}, Bill).bill_date == day


# --- memory -----------------------------------------------------------------------------------------------------------


def _growth(hook: Hook, rounds: Iterator[dict[str, Any]]) -> int:
    """Return by how many bytes the memory grows while documents are read and dropped."""
    tracemalloc.start()
    try:
        for document in rounds:
            hook(document, Bill)
        del document
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


def test_values_share_the_names_that_nobody_knows() -> None:
    """The values of a page share the strings of unknown names."""
    quick = by_itself(Bill)
    found = [quick({"".join(["remem", "bered"]): number}, Bill) for number in range(3)]
    assert [value.extra for value in found] == [{"remembered": 0}, {"remembered": 1}, {"remembered": 2}]
    assert len({id(name) for value in found for name in value.extra}) == 1


def test_names_that_nobody_knows_do_not_fill_the_memory() -> None:
    """The reader caches a thousand unknown names and reads the others as well."""
    quick = by_itself(Bill)
    names = (f"{number:0>60}" for number in range(12_000))
    assert _growth(quick, ({name: 1, "amount": 5} for name in names)) < 700_000
    found = quick({"the last one": 1, "amount": 5}, Bill)
    assert (found.amount, found.extra) == (5, {"the last one": 1})


@pytest.mark.parametrize("what", ["name", "date"])
def test_a_long_word_is_not_remembered(what: str) -> None:
    """The cache refuses long words, a thousand of which could take a gigabyte."""
    documents: dict[str, Callable[[int], dict[str, Any]]] = {
        "name": lambda number: {f"{number:0>100000}": 1},
        "date": lambda number: {"billDate": f"{date(2020, 1, 1) + timedelta(days=number)}T00:00:00.{'0' * 100_000}"},
    }
    made = documents[what]
    assert _growth(by_itself(Bill), (made(number) for number in range(100))) < 1_000_000


# --- classes that no quick reader could fill --------------------------------------------------------------------------


@attrs.frozen(kw_only=True, repr=False)
class Converted(Reply):
    amount: str = attrs.field(default="", converter=str, metadata={"aliases": ()})


@attrs.frozen(kw_only=True, repr=False)
class Validated(Reply):
    amount: Decimal | None = attrs.field(default=None, validator=lambda *_: None, metadata={"aliases": ()})


@attrs.frozen(kw_only=True, repr=False)
class Made(Reply):
    amount: Decimal | None = attrs.field(factory=lambda: None, metadata={"aliases": ()})


@attrs.frozen(kw_only=True, repr=False)
class Finished(Reply):
    amount: Decimal | None = attrs.field(default=None, metadata={"aliases": ()})

    def __attrs_post_init__(self) -> None:
        raise AskedError


@pytest.mark.parametrize("kind", [Converted, Validated, Made, Finished])
def test_a_class_whose_init_does_more_than_set_fields_keeps_its_careful_reader(kind: type[Reply]) -> None:
    """The quick reader sets fields without calling `__init__`, and would skip whatever else that does."""
    known = readers.members(kind, {"amount": Decimal}, lambda _: never)
    assert compiled_reader(kind, known, never) is never


# --- debugging --------------------------------------------------------------------------------------------------------


def test_a_traceback_shows_the_lines_of_a_compiled_reader() -> None:
    """The lines survive a check of the line cache for changed files."""

    def broken(raw: Any, kind: Any) -> Any:
        raise ZeroDivisionError

    linecache.checkcache()
    with pytest.raises(ZeroDivisionError) as caught:
        by_itself(Bill, broken)({"billDate": "NA"}, Bill)
    assert "return careful(raw, kind)" in "".join(traceback.format_exception(caught.value))
