"""The public calls about billers, the companies whose bills EnKash pays."""

from __future__ import annotations

from enkash_async._calls import billers as calls
from enkash_async._flow.pager import PAGE_SIZE, AsyncPager
from enkash_async._wire.operation import Send
from enkash_async._wire.page import Page
from enkash_async.config import Routes
from enkash_async.models import Biller, BillerCategory

__all__ = ["Billers"]


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
        """Return a pager of the billers of one category or of all; sends nothing before you iterate.

        The pager yields each biller once. Pages have 99 billers and overlap by one. The query has `category`, `offset`
        and `limit`; if EnKash ignores these and sends the whole list each time, the pager makes two or three requests.

        EnKash page: Fetch Biller List, of which only the title is public; the route is unverified.

        Args:
            category: Name of a category; None lists all billers.

        Raises:
            InvalidRequestError: The category is empty.
            ResponseDecodeError: The list may be incomplete. Raised while iterating, after the billers that were read.
            EnkashError: While iterating; see the tree in `enkash_async.errors`.
        """
        calls.list_page(self._routes, category, offset=0, limit=PAGE_SIZE)  # checks the category before iteration

        async def fetch(offset: int, limit: int) -> Page[Biller]:
            return await self._send(calls.list_page(self._routes, category, offset=offset, limit=limit))

        return AsyncPager(fetch, name="billers.list", page_size=PAGE_SIZE, key=lambda biller: biller.biller_id or None)
