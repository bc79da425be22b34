"""Checks of arguments before anything is sent; each message says what is wrong and what to write instead."""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta, timezone
from decimal import Context, Decimal
from typing import Any, NoReturn, TypedDict, TypeVar, Unpack

from enkash_async._support.text import hidden_flaw
from enkash_async.errors import InvalidRequestError

__all__ = [
    "IST",
    "Bounds",
    "amount",
    "bill_params",
    "biller_id",
    "day",
    "dropped_none",
    "flag",
    "identifier",
    "identifiers",
    "is_encodable",
    "is_in_paise",
    "number",
    "number_flaw",
    "optional",
    "remarks",
    "text",
    "texts",
    "wire",
]

T = TypeVar("T")

#: India Standard Time. EnKash documents no time zone; the whole package assumes this zone.
IST = timezone(timedelta(hours=5, minutes=30), "IST")

# The rule on EnKash's page Confirm Debit (api-10664802): neither a full stop nor a slash is allowed.
_REMARKS = re.compile(r"[A-Za-z0-9 ,@#$%^&*+:;?!()\-_\"'`]{1,255}")
_PLAIN_ID = re.compile(r"[A-Za-z0-9_-]+")
_INT32 = 2**31 - 1
_DEEPEST = 50  # levels of nesting: more than any request needs, and far below Python's recursion limit
_SHOWN = 40  # characters; a message shows only the type of a longer wrong value, to stay on one line
_MAX_DIGITS = 30  # digits: more than any amount has, and few enough to write out in full
_PAISE = 2  # decimals of an amount in rupees
_PAISA = Decimal("0.01")
_WIDE = Context(prec=2 * _MAX_DIGITS + _PAISE)  # digits, so that no amount within bounds is rounded by accident


def _wrong(message: str) -> NoReturn:
    raise InvalidRequestError(message)


def optional(check: Callable[[object, str], T], value: object, where: str) -> T | None:
    """Return the checked argument, or None if the caller omitted it."""
    return None if value is None else check(value, where)


def text(value: object, where: str) -> str:
    """Return a string that is not blank and can be sent as UTF-8."""
    if not isinstance(value, str):
        _wrong(f"{where} must be a str, not {type(value).__name__}")
    if not value.strip():
        _wrong(f"{where} is empty; leave it out or give it a value")
    if not is_encodable(value):
        _wrong(f"{where} holds half of a surrogate pair, which cannot be sent as UTF-8")
    return str.__str__(value)  # for a member of a str enum, `str()` could return `Kind.CN` instead of its value


def identifier(value: object, where: str) -> str:
    """Return an id that is safe to put into a path: not empty, not `.` or `..`, no control characters."""
    if type(value) is str and _PLAIN_ID.fullmatch(value):
        return value  # the fast path, for nearly every id
    found = text(value, where)
    if found in {".", ".."}:
        _wrong(f"{where} must not be {found!r}: as part of a path it would mean another address")
    if any(ord(character) < 0x20 or ord(character) == 0x7F for character in found):
        _wrong(f"{where} holds a control character")
    return found


class Bounds(TypedDict, total=False):
    """The range in which the number of an argument must lie; every check gives `least` or `above`.

    Attributes:
        least: Smallest number allowed.
        above: The number must be larger than this.
        most: Largest number allowed.
        below: The number must be smaller than this; `math.inf` allows every finite number.
        whole: True allows only an int.
        unit: Unit of the number for the error message, such as `seconds`.
        none: If given, None is allowed too; the text tells the user what None means, such as `for no limit`.
    """

    least: float
    above: float
    most: float
    below: float
    whole: bool
    unit: str
    none: str


def number(
    value: T, name: str, *, error: Callable[[str], Exception] = InvalidRequestError, **bounds: Unpack[Bounds]
) -> T:
    """Return a number that lies within bounds; refuse True, False and `nan`.

    Args:
        value: The argument.
        name: Name of the argument, for the message.
        error: Class of the error to raise.
        **bounds: The range that is allowed; see `Bounds`.
    """
    if (flaw := number_flaw(value, name, **bounds)) is not None:
        raise error(flaw)
    return value


def number_flaw(value: object, name: str, **bounds: Unpack[Bounds]) -> str | None:
    """Return the error message if a number is out of bounds, otherwise None; takes the arguments of `number`."""
    if _is_within(value, bounds) or (value is None and "none" in bounds):
        return None
    none = f", or None {bounds['none']}," if "none" in bounds else ","
    return f"{name} must be {_kind(bounds)}{_range(bounds)}{none} not {_shown(value)}"


def _is_within(value: object, bounds: Bounds) -> bool:
    if isinstance(value, bool) or not isinstance(value, int if bounds.get("whole") else (int, float)):
        return False
    low = value >= bounds.get("least", -math.inf) and value > bounds.get("above", -math.inf)
    return low and value <= bounds.get("most", math.inf) and ("below" not in bounds or value < bounds["below"])


def _kind(bounds: Bounds) -> str:
    if "unit" not in bounds:
        return "an int" if bounds.get("whole") else "a number"
    kind = "a whole" if bounds.get("whole") else "a finite" if bounds.get("below") == math.inf else "a"
    return f"{kind} number of {bounds['unit']}"


def _range(bounds: Bounds) -> str:
    if "least" in bounds and "most" in bounds:
        return f" from {bounds['least']} to {bounds['most']}"
    low = f", {bounds['least']} or more" if "least" in bounds else f" above {bounds['above']}"
    high = f" and at most {bounds['most']}" if "most" in bounds else ""
    return low + (f" and below {bounds['below']}" if bounds.get("below", math.inf) < math.inf else high)


def _shown(value: object) -> str:
    """Return text for a wrong value in a message: the value if it is short and plain, otherwise its type."""
    if isinstance(value, int) and abs(value) >= 10**_SHOWN:  # Python refuses to write out an int of 4,300 digits
        return f"an int of more than {_SHOWN} digits"
    is_plain = value is None or isinstance(value, (int, float, str, Decimal))
    return repr(value) if is_plain and len(repr(value)) <= _SHOWN else type(value).__name__


def biller_id(value: object) -> int:
    """Return a biller's number, checked to be a positive int32."""
    if isinstance(value, bool) or not isinstance(value, int):
        _wrong(f"biller_id must be an int such as 2001, not {type(value).__name__}")
    if not 0 < value <= _INT32:
        _wrong(f"biller_id must be between 1 and {_INT32}: take it from billers.list() or `enkash billers`")
    return value


def amount(value: object, where: str, *, least: int | None = 1) -> Decimal:
    """Return an exact amount in rupees and whole paise, with two decimals at most.

    Args:
        value: A `Decimal` or an `int`; a `float` is refused, since it may have lost digits already. Zeros after the
            second decimal are cut off; other digits there are refused, since only the caller knows how to round.
        where: Name of the argument, for the message.
        least: Smallest amount allowed; None allows any.
    """
    money = _exact(value, where)
    if least is not None and money < least:
        _wrong(f"{where} must be at least {least} rupee, not {money}")
    if money.as_tuple().exponent >= -_PAISE:  # type: ignore[operator]  # it is finite, so this is a number
        return money
    paise = money.quantize(_PAISA, context=_WIDE)
    if paise != money:
        _wrong(
            f"{where} has more than two decimals, which no amount of rupees has: "
            f"write Decimal('{money:f}').quantize(Decimal('0.01'), ROUND_HALF_UP), or round as your books do"
        )
    return paise


def is_in_paise(money: Decimal) -> bool:
    """Whether an amount has no digit other than zero after its second decimal."""
    _, digits, exponent = money.as_tuple()
    return not isinstance(exponent, int) or exponent >= -_PAISE or not any(digits[exponent + _PAISE :])


def _exact(value: object, where: str) -> Decimal:
    if isinstance(value, float):
        _wrong(f"{where} must not be a float, floats lose paise: write Decimal({str(value)!r})")
    if isinstance(value, bool) or not isinstance(value, (Decimal, int)):
        _wrong(f"{where} must be a Decimal or an int in rupees, not {type(value).__name__}: write Decimal('2450.75')")
    money = Decimal(value)
    if not money.is_finite():
        _wrong(f"{where} must be a finite number of rupees")
    exponent = money.as_tuple().exponent
    if money.adjusted() > _MAX_DIGITS or (isinstance(exponent, int) and exponent < -_MAX_DIGITS):
        _wrong(f"{where} has more digits than any amount of rupees")
    return money


def day(value: object, where: str) -> str:
    """Return a date as `YYYY-MM-DD`; a date-time with a zone becomes its date in India."""
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            shown = value.isoformat(sep=" ", timespec="seconds")
            _wrong(f"{where} is a date-time without a zone ({shown}): pass a date, or add tzinfo=timezone.utc")
        try:
            return value.astimezone(IST).date().isoformat()
        except OverflowError:
            _wrong(f"{where} has no date in India: it lies at the edge of the calendar")
    if not isinstance(value, date):
        _wrong(f"{where} must be a date, not {type(value).__name__}: write date(2026, 1, 31)")
    return value.isoformat()


def remarks(value: object, where: str = "remarks") -> str:
    """Return remarks, checked by the rule of EnKash's confirmation call."""
    found = text(value, where)
    if not _REMARKS.fullmatch(found):
        _wrong(
            f"{where} may hold 1 to 255 letters, digits, spaces and , @ # $ % ^ & * + : ; ? ! ( ) - _ \" ' `"
            " but no full stop, slash, line break or accented letter"
        )
    return found


def bill_params(value: object) -> dict[str, str]:
    """Return a biller's inputs as strings; `cn`, the consumer number, must be among them.

    An int becomes its digits. A number with leading zeros must be a string, since an int loses the zeros.
    """
    if not isinstance(value, Mapping):
        _wrong(f"params must be a mapping such as {{'cn': '123456789'}}, not {type(value).__name__}")
    found: dict[str, str] = {}
    for name, item in value.items():
        where = f"params[{text(name, 'a name in params')!r}]"
        whole = isinstance(item, int) and not isinstance(item, bool)
        found[name] = str(_whole(item, where)) if whole else text(item, where)
    if "cn" not in found:
        _wrong("params needs 'cn', the consumer number: {'cn': '123456789'}")
    if not found["cn"].isprintable() and (flaw := hidden_flaw(found["cn"])) is not None:
        _wrong(f"params['cn'] {flaw}")
    return found


def texts(value: object, where: str) -> list[str]:
    """Return a list of at least one string; refuse a bare string, which is most likely a mistake."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        _wrong(f"{where} must be a list of str, not one {type(value).__name__}: write ['…']")
    found = [text(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if not found:
        _wrong(f"{where} is empty: give at least one")
    return found


def identifiers(value: object, where: str) -> list[str]:
    """Return the ids without duplicates, in the caller's order."""
    return list(dict.fromkeys(identifier(item, f"an id in {where}") for item in texts(value, where)))


def flag(value: object, where: str) -> bool:
    """Return True or False; refuse every other value, even 0 and 1."""
    if not isinstance(value, bool):
        _wrong(f"{where} must be True or False, not {type(value).__name__}")
    return value


def dropped_none(members: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members that are not None, so that EnKash never gets a null."""
    return {name: value for name, value in members.items() if value is not None}


def wire(value: object, where: str, *, depth: int = 0) -> Any:
    """Return a value in its JSON form: exact numbers, dates as `YYYY-MM-DD`, enums as their words, lists, objects.

    Args:
        value: The value to convert.
        where: Name of the value, for the message.
        depth: How many containers surround this value. The limit also refuses a container that contains itself.

    Raises:
        InvalidRequestError: A float, a date-time without a zone, or a type that JSON does not have.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, enum.Enum):
        return wire(value.value, where)
    if isinstance(value, str):
        return value if is_encodable(value) else text(value, where)
    if isinstance(value, (int, float, Decimal)):
        return _whole(value, where) if isinstance(value, int) else _exact(value, where)
    if isinstance(value, date):
        return day(value, where)
    if depth > _DEEPEST:
        _wrong(f"{where[:60]}… is nested deeper than {_DEEPEST} levels, or holds itself")
    if isinstance(value, Mapping):
        return {
            text(name, f"a name in {where}"): wire(item, f"{where}[{name!r}]", depth=depth + 1)
            for name, item in value.items()
        }
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
        return [wire(item, f"{where}[{index}]", depth=depth + 1) for index, item in enumerate(value)]
    _wrong(f"{where} cannot be sent as JSON: {type(value).__name__}")


def _whole(value: int, where: str) -> int:
    # Without this check, Python would raise its own ValueError when it writes out an int of more than 4,300 digits.
    if abs(value) >= 10 ** (_MAX_DIGITS + 1):
        _wrong(f"{where} has more digits than any number here")
    return int(value)


def is_encodable(value: str) -> bool:
    """Whether text can be sent as UTF-8: it holds no half of a surrogate pair."""
    return value.isascii() or not any("\ud800" <= character <= "\udfff" for character in value)
