"""Single members of a reply: numbers, dates, words and strings, read strictly."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from enkash_async._support.checks import IST
from enkash_async.models import BillPayStatus, OpenEnum, PaymentStatus

__all__ = [
    "Hook",
    "UnconventionalError",
    "UnreadableError",
    "day",
    "decimal",
    "integer",
    "moment",
    "remembered_day",
    "string",
    "word",
]

Hook = Callable[[Any, Any], Any]

_NUMBER = re.compile(r"[+-]?\d{1,60}(\.\d{1,60})?([eE][+-]?\d{1,3})?", re.ASCII)
_MAX_DIGITS = 30

#: Words that say where the money is: reading one that is unreadable as «still pending» would be a guess.
_DECISIVE = frozenset({BillPayStatus, PaymentStatus})


class UnreadableError(Exception):
    """A member is not of its documented kind; carries where, and what was expected, never the value."""

    def __init__(self, expected: str, where: str = "") -> None:
        super().__init__(expected)
        self.expected = expected
        self.where = where

    def under(self, name: str) -> UnreadableError:
        """Return the same finding one level further out."""
        joint = "" if not self.where or self.where.startswith("[") else "."
        return UnreadableError(self.expected, f"{name}{joint}{self.where}")


class UnconventionalError(Exception):
    """A member whose loss endangers no money has a form that is not documented; it is kept as it is in `extra`."""


def decimal(raw: Any, _: Any = None) -> Decimal:
    """Read money or a number: an integer, a decimal, or a string of one; exact."""
    if isinstance(raw, str) and _NUMBER.fullmatch(raw.strip()):
        raw = Decimal(raw.strip())
    if isinstance(raw, bool) or not isinstance(raw, (int, Decimal)):
        raise UnreadableError("a number")
    number = Decimal(raw)
    exponent = number.as_tuple().exponent
    # `1e999999999` is a legal JSON number; nobody downstream should have to fear formatting it.
    if number.adjusted() > _MAX_DIGITS or not isinstance(exponent, int) or exponent < -2 * _MAX_DIGITS:
        raise UnreadableError("a number of a sane size")
    return number


def integer(raw: Any, _: Any = None) -> int:
    """Read a whole number, or a string of one; 2.9 is none."""
    number = decimal(raw)
    if number != number.to_integral_value():
        raise UnreadableError("a whole number")
    return int(number)


def string(raw: Any, _: Any = None) -> str:
    """Read a string, or a number by its digits."""
    if isinstance(raw, str):
        return raw
    if isinstance(raw, (int, Decimal)) and not isinstance(raw, bool):
        return str(raw)  # the digits as EnKash sent them
    raise UnconventionalError


_iso, _combine = datetime.fromisoformat, datetime.combine


def moment(raw: Any, _: Any = None) -> datetime:
    """Read a date-time: with a zone as it says, without one in India time; a plain date is its midnight in India."""
    try:
        found = _iso(raw)
    except (TypeError, ValueError):
        found = _stripped(raw)
    if found.tzinfo is None:
        found = _combine(found, found.time(), IST)  # a quarter of the time that `replace` takes
    return found if 1 < found.year < 9999 else _on_the_calendar(found)


def _stripped(raw: Any) -> datetime:
    try:
        return _iso(raw.strip())
    except (AttributeError, ValueError):
        raise UnconventionalError from None


def _on_the_calendar(found: datetime) -> datetime:
    """Years 1 and 9999 can leave the calendar here rather than in the user's hands."""
    try:
        found.astimezone(UTC).astimezone(IST)
    except OverflowError:
        raise UnconventionalError from None
    return found


def day(raw: Any, _: Any = None) -> date:
    """Read a date; of a date-time, the date that it has in India."""
    return moment(raw).astimezone(IST).date()


#: The same for strings of the length of a date, remembered: the bills of a page share their dates.
remembered_day = lru_cache(1024)(day)


def word(kind: type[OpenEnum]) -> Hook:
    """Return the reader of an open enum's words."""

    def hook(raw: Any, _: Any = None) -> OpenEnum:
        if isinstance(raw, str):
            return kind(raw)
        if kind in _DECISIVE:
            raise UnreadableError("a word")
        raise UnconventionalError

    return hook
