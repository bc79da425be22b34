"""The calls about billers as values: each function checks its arguments and returns an `Operation` to send."""

from __future__ import annotations

from enkash_async._support import checks
from enkash_async._wire.operation import Effect, Operation, Request, path
from enkash_async._wire.page import Page
from enkash_async.config import Routes
from enkash_async.models import Biller, BillerCategory

__all__ = ["list_categories", "list_page"]


def list_categories(routes: Routes) -> Operation[list[BillerCategory]]:
    """Return the operation *Fetch Biller Categories*; only the title of its EnKash page is public."""
    return Operation(
        name="billers.list_categories",
        request=Request(method="GET", path=path(routes.biller_categories)),
        result=list[BillerCategory],
        effect=Effect.READ,
    )


def list_page(routes: Routes, category: str | None, *, offset: int, limit: int) -> Operation[Page[Biller]]:
    """Return the operation *Fetch Biller List* for one page; only the title of its EnKash page is public.

    Args:
        routes: Paths of EnKash's operations.
        category: Name of a category; None asks for all billers.
        offset: How many billers to skip.
        limit: How many billers to return at most.

    Raises:
        InvalidRequestError: The category is empty.
    """
    wanted = {
        "category": checks.optional(checks.text, category, "category"),
        "offset": str(offset),
        "limit": str(limit),
    }
    return Operation(
        name="billers.list",
        request=Request(method="GET", path=path(routes.billers), query=tuple(checks.dropped_none(wanted).items())),
        result=Page[Biller],
        effect=Effect.READ,
    )
