"""The public calls about billers, the companies whose bills EnKash pays."""

from __future__ import annotations

import builtins

from enkash_async._calls import billers as calls
from enkash_async._flow.pager import AsyncPager
from enkash_async._wire.operation import Send
from enkash_async.config import Routes
from enkash_async.models import Biller, BillerCategory

__all__ = ["Billers"]

_PAGE_SIZE = 100  # billers; EnKash documents no limit


class Billers:
    """The calls about billers, as `client.billers`.

    EnKash's pages for these calls are not public, so both routes are unverified (`Routes.unverified()`): ask EnKash for
    the paths and set them in `Routes`.
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
        return await self._send(calls.list_categories(self._routes))

    def list(self, category: str | None = None) -> AsyncPager[Biller]:
        """Return a pager of the billers, of one category or all; sends nothing before you iterate.

        The query has `category`, `offset` and `limit`. If EnKash ignores all three and returns the whole list at once,
        the pager stops after that page.

        EnKash page: Fetch Biller List, of which only the title is public; the route is unverified.

        Args:
            category: Name of a category; None lists all billers.

        Raises:
            InvalidRequestError: The category is empty.
            EnkashError: While iterating; see the tree in `enkash_async.errors`.
        """
        calls.list_page(self._routes, category, offset=0, limit=_PAGE_SIZE)  # checks the category before iteration

        async def fetch(offset: int, limit: int) -> builtins.list[Biller]:
            return await self._send(calls.list_page(self._routes, category, offset=offset, limit=limit))

        return AsyncPager(fetch, page_size=_PAGE_SIZE, key=lambda biller: biller.biller_id or None)
