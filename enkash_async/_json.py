"""JSON with exact numbers, both ways; nothing but `ValueError` comes out of hostile input."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, NoReturn

__all__ = ["dumps", "loads", "loads_strictly"]

_LONGEST_NUMBER = 60  # characters; no amount, count or time stamp comes near it
_DEEPEST = 40  # levels
_MOST = 20_000  # values; the documented webhook has fifty, and a mebibyte could bring half a million
_PLAIN = 40  # digits before or after the point up to which a number is written out in full


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
    # Short to write, and a gigabyte once somebody formats it.
    if abs(number.adjusted()) > _LONGEST_NUMBER:
        raise ValueError("a number is too large or too small")
    return number


_decoder = json.JSONDecoder(parse_float=Decimal, parse_constant=_refuse)
_strict_decoder = json.JSONDecoder(parse_float=_exact, parse_int=_whole, parse_constant=_refuse)


def loads(body: bytes) -> Any:
    """Return the decoded document, with `Decimal` for every number that has a fraction or an exponent.

    Raises:
        ValueError: Not UTF-8, not JSON, nested too deeply, or a number that Python refuses to hold. Do not chain it:
            `json.JSONDecodeError` keeps the whole text.
    """
    return _decoded(_decoder, body)


def loads_strictly(body: bytes) -> Any:
    """Return the decoded document of a stranger, in time and memory that its length bounds.

    Where `loads` leaves numbers of any size and up to a thousand levels to whoever uses them, this refuses what is out
    of proportion.

    Raises:
        ValueError: As for `loads`; or a number of more than 60 characters or orders of magnitude, more than 40 levels,
            or more than 20,000 values.
    """
    document = _decoded(_strict_decoder, body)
    level, count = [document], 1
    for _ in range(_DEEPEST):
        level = [item for outer in level for item in _inside(outer)]
        if not level:
            return document
        count += len(level)
        if count > _MOST:  # each of them could become an object several times its size
            raise ValueError("there are too many values")
    raise ValueError("the nesting is out of bounds")


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _decoded(decoder: json.JSONDecoder, body: bytes) -> Any:
    try:
        return decoder.decode(body.decode("utf-8-sig"))
    except (ArithmeticError, RecursionError):
        raise ValueError("a number or the nesting is out of bounds") from None


def dumps(value: Any) -> str:
    """Return compact JSON in which a `Decimal` is a number with its own digits.

    The standard encoder cannot do that: it writes numbers through `float`, or a `Decimal` as a string.

    Raises:
        TypeError: A value that has no JSON form, a `float` among them.
        ValueError: A `Decimal` that is not finite.
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
    # `str()` of a `(str, Enum)` member is `Kind.CN`, not the word.
    return json.dumps(name if isinstance(name, str) else str(name))


def _number(value: Decimal) -> str:
    if not value.is_finite():
        raise ValueError("a number in JSON is finite")
    exponent = value.as_tuple().exponent
    # `1E+999999999` written out in full would fill the memory; its short form is JSON as well.
    plain = isinstance(exponent, int) and -_PLAIN <= exponent <= _PLAIN
    return format(value, "f") if plain else str(value)
