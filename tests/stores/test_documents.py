"""Records as documents with a format number, and the names of their keys."""

from __future__ import annotations

import re
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enkash_async.errors import StoreError
from enkash_async.stores import Change, DocumentCodec, record_key


@attrs.frozen
class Part:
    name: str
    sealed: bytes | None = None


@attrs.frozen
class Whole:
    number: int
    at: float
    parts: tuple[Part, ...] = ()
    more: dict[str, Part] = attrs.field(factory=dict)


_FLOATS = st.floats(allow_nan=False, allow_infinity=False)
_PARTS = st.builds(Part, st.text(), st.none() | st.binary())
_WHOLES = st.builds(
    Whole, st.integers(-(2**63), 2**63 - 1), _FLOATS, st.lists(_PARTS).map(tuple), st.dictionaries(st.text(), _PARTS)
)


@given(_WHOLES)
def test_a_record_comes_back_as_it_was(record: Whole) -> None:
    """To the last digit of an instant, and to the last byte of a sealed token."""
    codec = DocumentCodec(Whole)
    assert codec.decode(codec.encode(record)) == record


def test_a_document_says_its_format() -> None:
    """As JSON that people can read."""
    assert DocumentCodec(Part, format=3).encode(Part("a")) == b'{"format":3,"record":{"name":"a","sealed":null}}'


def test_an_older_document_is_turned_into_a_record() -> None:
    """By the function that is given for its format."""

    def from_one(document: Any) -> Part:
        return Part(document["title"])

    codec = DocumentCodec(Part, format=2, older={1: from_one})
    assert codec.decode(b'{"format": 1, "record": {"title": "a"}}') == Part("a")
    assert codec.decode(codec.encode(Part("b"))) == Part("b")


@pytest.mark.parametrize("value", [b'{"format":3,"record":{"name":"s3cret"}}', b'{"format":0,"record":"s3cret"}'])
def test_an_unknown_format_is_named(value: bytes) -> None:
    """And nothing of the document is."""
    number = value.decode()[10]
    with pytest.raises(StoreError, match=f"format {number} is not known") as caught:
        DocumentCodec(Part, format=2).decode(value)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    "value", [b"", b"{}", b"[]", b'{"format":1}', b'{"format":1,"record":{"name":5}}', b"\xff\xfe"]
)
def test_a_damaged_document_is_refused(value: bytes) -> None:
    """With an error of ours."""
    with pytest.raises(StoreError, match="damaged"):
        DocumentCodec(Part).decode(value)


def test_a_key_names_its_kind_and_hides_the_rest() -> None:
    """It is the same in every process, and short enough for every store."""
    key = record_key("account", "api.example", "asha@example.in")
    assert re.fullmatch("enkash:account:v2:[0-9a-f]{40}", key)
    assert key == record_key("account", "api.example", "asha@example.in")


def test_other_parts_make_another_key() -> None:
    """Also where they read the same in one piece."""
    parts = [("ab", "c"), ("a", "bc"), ("abc",), ("abc", ""), ("", "abc"), ("1:ab", "c"), ("ä", "bc")]
    assert len({record_key("debit", *one) for one in parts} | {record_key("event", "abc")}) == len(parts) + 1


def test_a_change_does_not_show_its_values() -> None:
    """A rendered traceback shows the locals of every frame by their `repr`."""
    assert repr(Change("key", b"old", b"new", 60)) == "Change(key='key', keep=60)"
