"""JSON with exact numbers, both ways; nothing but `ValueError` comes out of hostile input."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, NoReturn

__all__ = ["dumps", "loads"]

_PLAIN = 40  # digits before or after the point up to which a number is written out in full


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


_decoder = json.JSONDecoder(parse_float=Decimal, parse_constant=_refuse)


def loads(body: bytes) -> Any:
    """Return the decoded document, with `Decimal` for every number that has a fraction or an exponent.

    Raises:
        ValueError: Not UTF-8, not JSON, nested too deeply, or a number that Python refuses to hold. Do not chain it:
            `json.JSONDecodeError` keeps the whole text.
    """
    try:
        return _decoder.decode(body.decode("utf-8-sig"))
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
