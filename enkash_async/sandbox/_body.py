"""Reads the body of a request member by member, and refuses what EnKash's pages do not allow."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from datetime import date
from decimal import Decimal
from typing import NoReturn, TypeVar

import attrs

from enkash_async.sandbox._refusals import Refusal, RefusedError

__all__ = ["Body", "invalid", "required", "whole_number"]

T = TypeVar("T")

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_MAX_DIGITS = 15  # largest exponent of a number, up or down: from 1E-15 to below 1E+16


def invalid(text: str) -> RefusedError:
    """Return the error for a bad request, with a text that says what is wrong."""
    return RefusedError(Refusal.INVALID, text)


def required(value: T | None, name: str) -> T:
    """Return the value of a required member.

    Raises:
        RefusedError: The value is None.
    """
    if value is None:
        raise invalid(f"{name} is required")
    return value


def whole_number(text: str, name: str) -> int:
    """Return the value of a query parameter as a whole number, 0 or more.

    Raises:
        RefusedError: The text is no such number.
    """
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII):
        raise invalid(f"{name} must be a whole number")
    return int(text)


def _no_number(word: str) -> NoReturn:
    raise ValueError(word)


@attrs.frozen
class Body:
    """A JSON object; its methods return None for an absent or null member and raise `RefusedError` for a wrong one.

    Args:
        members: Decoded values by name.
    """

    members: Mapping[str, object]

    @classmethod
    def parse(cls, raw: bytes) -> Body:
        """Return a request body as values; numbers with a fraction become `Decimal`, so that no digit is lost.

        Raises:
            RefusedError: The body is not a JSON object.
        """
        try:
            members = json.loads(raw, parse_float=Decimal, parse_constant=_no_number)
        except (ValueError, ArithmeticError, RecursionError):
            # `Decimal` raises ArithmeticError for an exponent that is too large.
            raise invalid("the body is not JSON") from None
        if not isinstance(members, dict):
            raise invalid("the body must be a JSON object")
        return cls(members)

    def text(self, name: str, *, pattern: str | None = None, among: Collection[str] | None = None) -> str | None:
        """Return a non-empty string; refuse a string that does not match `pattern` or is not in `among`."""
        value = self.members.get(name)
        if value is None:
            return None
        if not isinstance(value, str) or not value:
            raise _wrong(name, "a non-empty string")
        if pattern is not None and not re.fullmatch(pattern, value, re.ASCII):
            raise _wrong(name, f"a string that matches {pattern}")
        if among is not None and value not in among:
            raise _wrong(name, f"one of {', '.join(sorted(among))}")
        return value

    def flag(self, name: str) -> bool | None:
        """Return a boolean."""
        value = self.members.get(name)
        if value is not None and not isinstance(value, bool):
            raise _wrong(name, "true or false")
        return value

    def integer(self, name: str, least: int = -(2**31)) -> int | None:
        """Return an int32 of at least `least`."""
        value = self.members.get(name)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value < 2**31:
            raise _wrong(name, f"an integer, {least} or more")
        return value

    def number(self, name: str, least: int = 0) -> Decimal | None:
        """Return an exact number of at least `least`."""
        value = self.members.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
            raise _wrong(name, "a number")
        exact = Decimal(value)
        # Limits the exponent, since the reply writes the number in full: 1E+1000000 would take a million digits.
        if exact < least or abs(exact.adjusted()) > _MAX_DIGITS:
            raise _wrong(name, f"a number, {least} or more")
        return exact

    def day(self, name: str) -> date | None:
        """Return a date that is written YYYY-MM-DD."""
        value = self.text(name)
        if value is None:
            return None
        try:
            # fromisoformat alone would accept 20250131 and 2025-W05-5, too.
            return date.fromisoformat(value if _DAY.fullmatch(value) else "")
        except ValueError:
            raise _wrong(name, "a date such as 2025-01-31") from None

    def texts(self, name: str, *, among: Collection[str] | None = None) -> list[str] | None:
        """Return an array of strings; with `among`, refuse an array with any other string."""
        value = self.members.get(name)
        if value is None:
            return None
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise _wrong(name, "an array of strings")
        if among is not None and not set(value) <= set(among):
            raise _wrong(name, f"an array of {', '.join(sorted(among))}")
        return value

    def string_map(self, name: str) -> dict[str, str] | None:
        """Return an object whose members are all strings."""
        value = self.members.get(name)
        if value is None:
            return None
        if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
            raise _wrong(name, "an object of strings")
        return value


def _wrong(name: str, right: str) -> RefusedError:
    return invalid(f"{name} must be {right}")
