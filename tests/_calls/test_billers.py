"""The calls about billers as values; EnKash's pages of them are not public (CONTRACT 2.3, 2.4)."""

from __future__ import annotations

import enum
from typing import Any

import pytest

from enkash_async import Biller, BillerCategory, BillerType, InvalidRequestError, Routes
from enkash_async._calls import billers as calls
from enkash_async._wire.operation import Effect, Operation, Request
from enkash_async._wire.page import Page


class Kind(str, enum.Enum):  # noqa: UP042 (`str()` of such a word is `Kind.POWER`)
    POWER = "ELECTRICITY"


def test_the_categories_are_a_get_without_anything() -> None:
    """No page names a parameter."""
    assert calls.list_categories(Routes()) == Operation(
        name="billers.list_categories",
        request=Request(method="GET", path="/api/v2/biller/billerTypes"),
        result=list[BillerCategory],
        effect=Effect.READ,
    )


@pytest.mark.parametrize(
    ("category", "query"),
    [
        (None, ()),
        ("gas & water", (("category", "gas & water"),)),
        (BillerType.ELECTRICITY, (("category", "ELECTRICITY"),)),
        (Kind.POWER, (("category", "ELECTRICITY"),)),
    ],
)
def test_a_page_of_billers_says_category_and_place(category: str | None, query: tuple[tuple[str, str], ...]) -> None:
    """As a query, which the transport encodes."""
    assert calls.list_page(Routes(), category, offset=200, limit=100) == Operation(
        name="billers.list",
        request=Request(method="GET", path="/api/v2/biller", query=(*query, ("offset", "200"), ("limit", "100"))),
        result=Page[Biller],
        effect=Effect.READ,
    )


@pytest.mark.parametrize(
    ("category", "said"),
    [("", "category is empty; leave it out or give it a value"), (5, "category must be a str, not int")],
)
def test_a_wrong_category_is_refused(category: Any, said: str) -> None:
    """An empty one would list all billers, or none."""
    with pytest.raises(InvalidRequestError) as caught:
        calls.list_page(Routes(), category, offset=0, limit=100)
    assert str(caught.value) == said
