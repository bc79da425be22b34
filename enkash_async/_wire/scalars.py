"""Readers of single values in a reply: numbers, dates, words and strings. A value of another kind is refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from enkash_async._support.checks import IST
from enkash_async._support.exact_json import OddStr
from enkash_async.models import OpenEnum

__all__ = [
    "Hook",
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
_MAX_DIGITS = 30  # digits before the point; twice as many are allowed after the point, far more than money needs


class UnreadableError(Exception):
    """A value is not of its documented kind; the error carries the place and the expected kind, never the value."""

    def __init__(self, expected: str, where: str = "") -> None:
        super().__init__(expected)
        self.expected = expected
        self.where = where

    def under(self, name: str) -> UnreadableError:
        """Return the same error with `name` put before its place."""
        return UnreadableError(self.expected, f"{name}.{self.where}" if self.where else name)


def decimal(raw: Any, _: Any = None) -> Decimal:
    """Return an exact number from an integer, a decimal, or a string of either."""
    if isinstance(raw, str) and _NUMBER.fullmatch(raw.strip()):
        raw = Decimal(raw.strip())
    if isinstance(raw, bool) or not isinstance(raw, (int, Decimal)):
        raise UnreadableError("a number")
    number = Decimal(raw)
    exponent = number.as_tuple().exponent
    # `1e999999999` is valid JSON, but formatting it in full would fill the memory.
    if number.adjusted() > _MAX_DIGITS or not isinstance(exponent, int) or exponent < -2 * _MAX_DIGITS:
        raise UnreadableError("a number of a sane size")
    return number


def integer(raw: Any, _: Any = None) -> int:
    """Return a whole number from a number or a string; refuses 2.9."""
    number = decimal(raw)
    if number != number.to_integral_value():
        raise UnreadableError("a whole number")
    return int(number)


def string(raw: Any, _: Any = None) -> str:
    """Return a string, or the digits of a number; refuses text that no store could keep."""
    if isinstance(raw, str) and not isinstance(raw, OddStr):
        return raw
    if isinstance(raw, (int, Decimal)) and not isinstance(raw, bool):
        return str(raw)
    raise UnreadableError("text")


_iso, _combine = datetime.fromisoformat, datetime.combine
_SEPARATORS = frozenset(("T", " ", ""))  # characters between a date and a time; "" for a date without a time


def moment(raw: Any, _: Any = None) -> datetime:
    """Return an aware date-time from `2026-01-31`, alone or followed by `T` or a blank and a time.

    A value without a zone counts as India time, and a plain date as midnight in India.
    """
    try:
        # The fast path, for nearly every date-time. The conditions refuse `1768010100000`, which Python alone would
        # read as a date in the year 1768.
        found = _iso(raw) if raw[7] == "-" and raw[10] in _SEPARATORS else _stripped(raw)
    except (TypeError, ValueError, LookupError):
        found = _stripped(raw)
    if found.tzinfo is None:
        found = _combine(found, found.time(), IST)  # four times as fast as `replace`
    return found if 1 < found.year < 9999 else _on_the_calendar(found)


def _stripped(raw: Any) -> datetime:
    text = raw.strip() if isinstance(raw, str) else ""
    try:
        if text[4:8:3] == "--" and text[10:11] in _SEPARATORS:
            return _iso(text)
    except ValueError:
        pass
    raise UnreadableError("a date")


def _on_the_calendar(found: datetime) -> datetime:
    """Refuse a date-time in year 1 or 9999 that some zone cannot show; converting it would fail in the user's code."""
    try:
        found.astimezone(UTC).astimezone(IST)
    except OverflowError:
        raise UnreadableError("a date") from None
    return found


def day(raw: Any, _: Any = None) -> date:
    """Return a date; a date-time gives its date in India."""
    return moment(raw).astimezone(IST).date()


#: `day` with a cache, since the bills of a page share dates. Only for strings that are as long as a date.
remembered_day = lru_cache(1024)(day)


def word(kind: type[OpenEnum]) -> Hook:
    """Return the function that reads a word as a member of an open enum."""

    def hook(raw: Any, _: Any = None) -> OpenEnum:
        if isinstance(raw, str) and not isinstance(raw, OddStr):
            return kind(raw)
        raise UnreadableError("a word")

    return hook
