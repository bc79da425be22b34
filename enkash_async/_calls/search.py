"""The search for bills as a value: turns a filter into EnKash's request body, and returns the call for one page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs

from enkash_async._support import checks
from enkash_async._wire.operation import Effect, Operation, json_request, path
from enkash_async.config import Routes
from enkash_async.errors import InvalidRequestError
from enkash_async.models import Bill, BillFilter
from enkash_async.models.base import camel

__all__ = ["FORMS", "search_body", "search_page"]


def _any_amount(value: object, where: str) -> Any:
    return checks.amount(value, where, least=None)


#: Converters of a filter's values to JSON, by the `form` in the metadata of the filter's field.
FORMS: Mapping[str, Callable[[object, str], Any]] = {
    "text": checks.text,
    "texts": checks.texts,
    "amount": _any_amount,
    "day": checks.day,
}


def search_page(routes: Routes, bill_filter: BillFilter, *, offset: int, limit: int) -> Operation[list[Bill]]:
    """Return the operation *Fetch Bulk Bill Details* (api-10664799) for one page.

    Args:
        routes: The path of every operation.
        bill_filter: Conditions that a bill must match.
        offset: How many bills to skip.
        limit: The most bills to return.

    Raises:
        InvalidRequestError: A value of the filter cannot be sent.
    """
    body = {**search_body(bill_filter), "offset": offset, "limit": limit}
    return Operation(
        name="bills.search",
        request=json_request("POST", path(routes.search_bills), body),
        result=list[Bill],
        effect=Effect.READ,
        sensitive=_consumers(bill_filter),
    )


def search_body(bill_filter: BillFilter) -> dict[str, Any]:
    """Return the filter as members of EnKash's request; fields that are None are omitted.

    Raises:
        InvalidRequestError: A value cannot be sent.
    """
    if not isinstance(bill_filter, BillFilter):
        raise InvalidRequestError(f"search takes a BillFilter(...), not {type(bill_filter).__name__}")
    body: dict[str, Any] = {}
    for field in attrs.fields(BillFilter):
        value = getattr(bill_filter, field.name)
        if value is not None:
            body[camel(field.name)] = FORMS[field.metadata["form"]](value, f"BillFilter.{field.name}")
    return body


def _consumers(bill_filter: BillFilter) -> tuple[str, ...]:
    """Return the consumer numbers of a filter, which no error may repeat."""
    numbers = bill_filter.consumer_numbers or ()
    return (*numbers, bill_filter.consumer_number) if bill_filter.consumer_number is not None else tuple(numbers)
