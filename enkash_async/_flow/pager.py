"""Iteration over lists that EnKash returns in pages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from enkash_async._flow.reading import Reading
from enkash_async._wire.page import Page

__all__ = ["PAGE_SIZE", "AsyncPager"]

T = TypeVar("T")

PAGE_SIZE = 99  # rows; EnKash recommends a limit below 100 for its search


class AsyncPager(Generic[T]):
    """Iterates over a paged list: `async for item in pager`, or `async for page in pager.pages()`.

    The first request is sent when the first item is asked for, and each iteration starts anew. An iteration yields each
    item once. It ends without an error only if it certainly yielded every item that stayed in the list all the time.
    Otherwise it raises a `ResponseDecodeError` after the items that it could read.

    Args:
        fetch: Returns one page, given (offset, limit).
        name: Name of the call, for errors.
        page_size: Items to request at a time; 1 counts as 2, because pages overlap by one item.
        key: Returns the id of an item, or None.
    """

    def __init__(
        self,
        fetch: Callable[[int, int], Awaitable[Page[T]]],
        *,
        name: str,
        page_size: int,
        key: Callable[[T], Hashable | None],
    ) -> None:
        self._fetch = fetch
        self._name = name
        self._page_size = max(2, page_size)
        self._key = key

    async def __aiter__(self) -> AsyncIterator[T]:
        async for page in self.pages():
            for item in page:
                yield item

    async def pages(self) -> AsyncIterator[list[T]]:
        """Yield the new items of each page as a list; pages without new items are not yielded."""
        reading = Reading(self._name, self._page_size, self._key)
        while (ask := reading.ask()) is not None:
            fresh = reading.take(await self._fetch(*ask))
            if fresh:
                yield fresh
