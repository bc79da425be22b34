"""Reads and writes JSON with exact numbers; hostile input raises nothing but `ValueError`.

msgspec decodes two to three times as fast as the standard library, and loses no digits of a number. The standard
library decodes every document that msgspec refuses, so the result is the same as that of the standard library alone.
One exception: the two may disagree about documents that are nested about a thousand levels deep, near Python's limit.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Any, NoReturn

import msgspec

__all__ = ["OddStr", "dumps", "loads", "loads_in_slices", "loads_strictly"]

_LONGEST_NUMBER = 60  # characters, and also orders of magnitude; far more than any amount, count or time stamp has
_DEEPEST = 40  # levels of nesting
_MOST = 20_000  # values: EnKash's documented webhook has fifty, a hostile mebibyte could hold half a million
_OUTER = 3  # levels of objects around the list of a reply: the document, its payload, and one to spare
_SLICE = 64 * 1024  # characters decoded between two pauses; this takes less than a millisecond
_FEW = 1_000  # most items or members decoded between two pauses, even if their text is short
_PLAIN_FIRST = frozenset('-0123456789"tf]')  # characters after `[` that begin plain values or end an empty list
_SPACE = re.compile(r"[ \t\n\r]*")
_PLAIN = 40  # largest exponent, up or down, of a number that is written out in full
_ESCAPED_HALF = re.compile(r"\\u[dD][89a-fA-F]")
_HALF = re.compile("[\ud800-\udfff]")


class OddStr(str):
    """Stands in a document for valid JSON that Python or a store cannot hold.

    It is text with half of a surrogate pair, which a server sends if it cuts a text within an emoji, or the digits of a
    number that Python refuses. It has a class of its own so that the readers of replies can refuse it without a search
    through every string. msgspec refuses such documents, so only the decoders behind it make this class.
    """

    __slots__ = ()


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _short(word: str) -> str:
    if len(word) > _LONGEST_NUMBER:
        raise ValueError("a number is too long")
    return word


def _whole(word: str) -> int:
    return int(_short(word))


def _exact(word: str) -> Decimal:
    number = Decimal(_short(word))
    # `1e999999999` is short, but written out in full it takes a gigabyte.
    if abs(number.adjusted()) > _LONGEST_NUMBER:
        raise ValueError("a number is too large or too small")
    return number


def _held(kind: type[int | Decimal], word: str) -> int | Decimal | OddStr:
    try:
        return kind(word)
    except (ValueError, ArithmeticError):
        return OddStr(word)


_quick = msgspec.json.Decoder(float_hook=Decimal).decode
_decoder = json.JSONDecoder(parse_float=partial(_held, Decimal), parse_int=partial(_held, int), parse_constant=_refuse)
_fast_decoder = json.JSONDecoder(parse_float=Decimal, parse_constant=_refuse)  # raises an error for an odd number
_strict_decoder = json.JSONDecoder(parse_float=_exact, parse_int=_whole, parse_constant=_refuse)


def loads(body: bytes) -> Any:
    """Return the decoded document, with `Decimal` for every number that has a fraction or an exponent.

    Raises:
        ValueError: The body is not UTF-8 or not JSON, or is nested too deeply. A caller who raises another error
            instead writes `from None`: `json.JSONDecodeError` keeps the whole text.
    """
    try:
        return _quick(body)
    except (msgspec.DecodeError, ValueError, ArithmeticError, RecursionError):
        pass  # the standard library decodes or refuses the body
    return _decoded(_decoder, body)


def loads_strictly(body: bytes) -> Any:
    """Return the decoded document of an untrusted sender; its length bounds the time and memory that decoding takes.

    `loads` accepts numbers of any size and about a thousand levels, which can be expensive to use; this function
    refuses both.

    Raises:
        ValueError: As for `loads`; also for a number of more than 60 characters or orders of magnitude, more than 40
            levels, or more than 20,000 values.
    """
    document = _decoded(_strict_decoder, body)
    level, count = [document], 1
    for _ in range(_DEEPEST):
        level = [item for outer in level for item in _inside(outer)]
        if not level:
            return document
        count += len(level)
        if count > _MOST:  # limits the memory: each value may become an object that is several times as large
            raise ValueError("there are too many values")
    raise ValueError("the nesting is out of bounds")


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def loads_in_slices(body: bytes, *, shares_names: bool = False) -> Generator[None, None, Any]:
    """Do what `loads` does with a large document, pausing after each part for other tasks.

    The decoder of the standard library cannot pause, so this function calls it for one item of a list at a time. This
    is done only for lists in the outer objects of the document, where EnKash puts the lists of a reply. A list of
    numbers or words is decoded without a pause, since decoding its items one by one would take fourteen times as long.

    Args:
        body: The document, in UTF-8.
        shares_names: Whether the objects of a list share the strings of their member names, as in the result of
            `loads`. Sharing takes a little more time, and reduces the memory of the document to a quarter.

    Raises:
        ValueError: As for `loads`.
    """
    try:
        text = body.decode("utf-8-sig")
        yield
        is_odd = _may_be_torn(text)
        try:
            return (yield from _Walk(text, shares_names, is_odd=is_odd).document())
        except (ValueError, ArithmeticError):
            if is_odd:
                raise
        return (yield from _Walk(text, shares_names, is_odd=True).document())  # there may just be an odd number
    except RecursionError:
        raise ValueError("the nesting is out of bounds") from None


class _Walk:
    """Decodes a document in parts, with a pause after each slice of its text."""

    def __init__(self, text: str, shares_names: bool, *, is_odd: bool) -> None:
        self._text = text
        self._decode = _decode_odd if is_odd else _fast_decoder.raw_decode
        self._pause_at = _SLICE
        self._names: dict[str, str] | None = {} if shares_names else None

    def document(self) -> Generator[None, None, Any]:
        """Return the whole document."""
        document, end = yield from self.value(_skipped(self._text, 0), _OUTER)
        if _skipped(self._text, end) != len(self._text):
            raise ValueError("there is more after the document")
        return document

    def value(self, at: int, levels: int) -> Generator[None, None, tuple[Any, int]]:
        """Return the value that begins at `at`, and the position after it; pause in the `levels` outer objects."""
        first = self._text[at : at + 1]
        if first == "[":
            return (yield from self._list(at + 1))
        if first == "{" and levels:
            return (yield from self._object(at + 1, levels - 1))
        return self._decode(self._text, at)

    def _list(self, at: int) -> Generator[None, None, tuple[list[Any], int]]:
        text, items, begin = self._text, list[Any](), at - 1
        at = _skipped(text, at)
        if text[at : at + 1] in _PLAIN_FIRST:
            found: tuple[list[Any], int] = self._decode(text, begin)
            return found
        while True:
            item, at = self._decode(text, at)
            items.append(self._sharing(item))
            if self._is_due(at, len(items)):
                yield
            if (mark := text[(at := _skipped(text, at)) : at + 1]) != ",":
                break
            at = _skipped(text, at + 1)
        return items, _closed(mark, "]", at)

    def _object(self, at: int, levels: int) -> Generator[None, None, tuple[dict[str, Any], int]]:
        text, members = self._text, dict[str, Any]()
        at = _skipped(text, at)
        if text[at : at + 1] == "}":
            return members, at + 1
        while True:
            _closed(text[at : at + 1], '"', at)
            name, at = _decoder.raw_decode(text, at)
            at = _skipped(text, at)
            at = _skipped(text, _closed(text[at : at + 1], ":", at))
            members[name], at = yield from self.value(at, levels)
            if self._is_due(at, len(members)):
                yield
            if (mark := text[(at := _skipped(text, at)) : at + 1]) != ",":
                break
            at = _skipped(text, at + 1)
        return members, _closed(mark, "}", at)

    def _is_due(self, at: int, count: int) -> bool:
        """Whether to pause at position `at`, after `count` items or members."""
        if at <= self._pause_at and count % _FEW:
            return False
        self._pause_at = at + _SLICE
        return True

    def _sharing(self, item: Any) -> Any:
        names = self._names
        if names is None or type(item) is not dict:
            return item
        return {names.setdefault(name, name): value for name, value in item.items()}


def _skipped(text: str, at: int) -> int:
    """Return the position after any white space at `at`."""
    found = _SPACE.match(text, at)
    return at if found is None else found.end()


def _closed(mark: str, expected: str, at: int) -> int:
    """Return the position after a mark, or raise if the mark is not the expected one."""
    if mark != expected:
        raise ValueError(f"{expected} is expected")
    return at + 1


def _decoded(decoder: json.JSONDecoder, body: bytes) -> Any:
    try:
        text = body.decode("utf-8-sig")
        document = decoder.decode(text)
        return _torn(document) if _may_be_torn(text) else document
    except (ArithmeticError, RecursionError):
        raise ValueError("a number or the nesting is out of bounds") from None


def _may_be_torn(text: str) -> bool:
    return "\\u" in text and _ESCAPED_HALF.search(text) is not None


def _decode_odd(text: str, at: int) -> tuple[Any, int]:
    value, end = _decoder.raw_decode(text, at)
    return _torn(value), end


def _torn(value: Any) -> Any:
    """Return a decoded document in which every string with half of a surrogate pair is a `OddStr`."""
    match value:
        case str():
            return OddStr(value) if _HALF.search(value) else value
        case dict():
            return {name: _torn(item) for name, item in value.items()}
        case list():
            return [_torn(item) for item in value]
        case _:
            return value


def dumps(value: Any) -> str:
    """Return compact JSON that writes each `Decimal` as a number with its own digits.

    The standard encoder cannot do this: a `Decimal` would have to become a `float` or a string first.

    Raises:
        TypeError: A value has a type without a JSON form; `float` counts as such a type.
        ValueError: A `Decimal` is not finite.
    """
    if value is None or isinstance(value, (bool, str)):
        return json.dumps(value)
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, Decimal):
        return _number(value)
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{_name(name)}:{dumps(item)}" for name, item in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
        return "[" + ",".join(map(dumps, value)) + "]"
    raise TypeError(f"{type(value).__name__} has no JSON form here")


def _name(name: object) -> str:
    # `str()` of a `(str, Enum)` member would give `Kind.CN` instead of its text.
    return json.dumps(name if isinstance(name, str) else str(name))


def _number(value: Decimal) -> str:
    if not value.is_finite():
        raise ValueError("a number in JSON is finite")
    exponent = value.as_tuple().exponent
    # `1E+999999999` written out in full would fill the memory; its short form is JSON as well.
    plain = isinstance(exponent, int) and -_PLAIN <= exponent <= _PLAIN
    return format(value, "f") if plain else str(value)
