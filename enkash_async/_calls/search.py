"""The filter of a search as EnKash's request body."""

from __future__ import annotations

from typing import Any

import attrs

from enkash_async._support import checks
from enkash_async.errors import InvalidRequestError
from enkash_async.models import BillFilter
from enkash_async.models.base import camel

__all__ = ["consumers", "search_body"]


def consumers(bill_filter: BillFilter) -> tuple[str, ...]:
    """Return the consumer numbers of a filter, which no error may repeat."""
    numbers = bill_filter.consumer_numbers or ()
    return (*numbers, bill_filter.consumer_number) if bill_filter.consumer_number is not None else tuple(numbers)


def search_body(bill_filter: BillFilter) -> dict[str, Any]:
    """Return the filter as EnKash's members, with nothing for what is not set."""
    if not isinstance(bill_filter, BillFilter):
        raise InvalidRequestError(f"search takes a BillFilter(...), not {type(bill_filter).__name__}")
    body: dict[str, Any] = {}
    for field in attrs.fields(BillFilter):
        value = getattr(bill_filter, field.name)
        if value is None:
            continue
        body[camel(field.name)] = _filter_value(str(field.type), value, f"BillFilter.{field.name}")
    return body


def _filter_value(kind: str, value: object, where: str) -> Any:
    """Return one field of a filter in its JSON form, by the type that the class declares for it."""
    if kind.startswith("Sequence"):
        return [str(word) for word in checks.texts(value, where)]
    if kind.startswith("Decimal"):
        return checks.amount(value, where, least=None)
    if kind.startswith("date"):
        return checks.day(value, where)
    return str(checks.text(value, where))
