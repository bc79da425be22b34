"""Billers: who can be paid."""

from __future__ import annotations

import builtins

from enkash_async._flow.pager import AsyncPager
from enkash_async._support.checks import text
from enkash_async._wire.operation import Effect, Operation, Request, Send, path
from enkash_async.config import Routes
from enkash_async.models import Biller, BillerCategory

__all__ = ["Billers"]

_PAGE_SIZE = 100


class Billers:
    """The calls about billers, as `client.billers`.

    EnKash's pages for them are not public, so both routes are unverified (`Routes.unverified()`): ask EnKash for the
    paths and set them in `Routes`.
    """

    def __init__(self, send: Send, routes: Routes) -> None:
        self._send = send
        self._routes = routes

    async def list_categories(self) -> list[BillerCategory]:
        """Return the kinds of billers, such as `ELECTRICITY`.

        EnKash page: Fetch Biller Categories, of which only the title is public; the route is unverified.

        Raises:
            EnkashError: See the tree in `enkash_async.errors`.
        """
        operation = Operation(
            name="billers.list_categories",
            request=Request(method="GET", path=path(self._routes.biller_categories)),
            result=builtins.list[BillerCategory],
            effect=Effect.READ,
        )
        return await self._send(operation)

    def list(self, category: str | None = None) -> AsyncPager[Biller]:
        """Return the billers, of one category or all, as a pager; nothing is sent before you iterate.

        The category is sent as `category`, the place in the list as `offset` and `limit`. Should EnKash ignore all
        three, the whole list comes back at once and is recognised as such.

        EnKash page: Fetch Biller List, of which only the title is public; the route is unverified.

        Args:
            category: A category's name; None lists all billers.

        Raises:
            InvalidRequestError: The category is empty.
            EnkashError: While iterating; see the tree in `enkash_async.errors`.
        """
        wanted = () if category is None else (("category", str(text(category, "category"))),)

        async def fetch(offset: int, limit: int) -> builtins.list[Biller]:
            query = (*wanted, ("offset", str(offset)), ("limit", str(limit)))
            operation = Operation(
                name="billers.list",
                request=Request(method="GET", path=path(self._routes.billers), query=query),
                result=builtins.list[Biller],
                effect=Effect.READ,
            )
            return await self._send(operation)

        return AsyncPager(fetch, page_size=_PAGE_SIZE, key=lambda biller: biller.biller_id or None)
