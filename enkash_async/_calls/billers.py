"""The calls about billers as values: arguments in, what to send out; nothing is sent here."""

from __future__ import annotations

from enkash_async._support import checks
from enkash_async._wire.operation import Effect, Operation, Request, path
from enkash_async.config import Routes
from enkash_async.models import Biller, BillerCategory

__all__ = ["list_categories", "list_page"]


def list_categories(routes: Routes) -> Operation[list[BillerCategory]]:
    """Return *Fetch Biller Categories*, of which only the title is public."""
    return Operation(
        name="billers.list_categories",
        request=Request(method="GET", path=path(routes.biller_categories)),
        result=list[BillerCategory],
        effect=Effect.READ,
    )


def list_page(routes: Routes, category: str | None, *, offset: int, limit: int) -> Operation[list[Biller]]:
    """Return *Fetch Biller List*, of which only the title is public, for one page.

    Args:
        routes: The path of every operation.
        category: A category's name; None asks for all billers.
        offset: Billers before this page.
        limit: Billers on this page, at most.

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
        result=list[Biller],
        effect=Effect.READ,
    )
