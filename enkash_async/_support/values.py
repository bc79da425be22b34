"""Turns the SDK's values into JSON types and JSON for other programs; no amount loses a digit."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

import attrs

from enkash_async._support import exact_json
from enkash_async.errors import EnkashError
from enkash_async.models import Bill

__all__ = ["plain", "to_dict", "to_json"]


def to_dict(value: object) -> dict[str, Any]:
    """Return a dictionary of JSON types for a value that the SDK returned; amounts stay `Decimal`.

    Members keep their Python names; a bill also has its `outcome`. Dates become ISO 8601 strings, and date-times keep
    their zone. Statuses become EnKash's words, inner values dictionaries, and tuples lists. The dictionary includes the
    personal data that `repr` hides.

    Args:
        value: A `Bill`, a `Payment`, a `BulkResult` or any other value of the SDK that holds no secret.

    Raises:
        TypeError: The value holds a secret, or is not a value of the SDK, such as a list of bills.
    """
    if not attrs.has(type(value)):
        raise TypeError(f"to_dict takes one value of the SDK, not {type(value).__name__}: [to_dict(one) for one in …]")
    return _attributes(value)


def to_json(value: object) -> str:
    """Return a value that the SDK returned, or a list of them, as compact JSON with every digit of an amount.

    The members are those of `to_dict`. Amounts are JSON numbers: read the text with
    `json.loads(text, parse_float=Decimal)`, since plain `json.loads` turns amounts into floats.

    Args:
        value: A value of the SDK, or a list, tuple or mapping of such values.

    Raises:
        TypeError: A part of the value cannot be written as JSON, or holds a secret.
    """
    return exact_json.dumps(plain(value))


def plain(value: object) -> Any:
    """Return a value as JSON types; see `to_dict`. A `float` becomes a `Decimal` with the digits of its `repr`.

    Raises:
        TypeError: A part of the value cannot be written as JSON, or holds a secret.
    """
    match value:
        case enum.Enum():
            return plain(value.value)
        case None | bool() | str() | int() | Decimal():
            return value
        case float():
            return Decimal(str(value))
        case date():
            return value.isoformat()
        case EnkashError():
            return {"error": type(value).__name__, "message": str(value)}
        case Mapping():
            return {str(name): plain(item) for name, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
        case _:
            return _attributes(value)


def _attributes(value: Any) -> dict[str, Any]:
    kind = type(value)
    if not attrs.has(kind):
        raise TypeError(f"{kind.__name__} has no form in JSON here")
    if getattr(kind, "_holds_secrets", False):
        raise TypeError(f"{kind.__name__} holds secrets, and does not travel")
    # Skips fields that `==` ignores, such as the caller's own object in `BulkItem.request`.
    found = {field.name: plain(getattr(value, field.name)) for field in attrs.fields(kind) if field.eq}
    if isinstance(value, Bill):
        found["outcome"] = value.outcome.value
    for last in ("unreadable", "extra"):  # these two come last, since they matter least
        if last in found:
            found[last] = found.pop(last)
    return found
