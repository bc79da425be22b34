"""Iteration over lists that EnKash returns in pages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from typing import Generic, TypeVar

__all__ = ["AsyncPager"]

T = TypeVar("T")


class AsyncPager(Generic[T]):
    """Iterates over a paged list: `async for item in pager`, or `async for page in pager.pages()`.

    No request is sent before the first item is asked for, and each iteration starts anew. An item that appears on two
    pages, because the list changed between the requests, is yielded once. Iteration ends after a page that is shorter
    than requested, or that has no new item.

    Args:
        fetch: Returns one page, given (offset, limit).
        page_size: Items to request at a time.
        key: Returns the id of an item, or None. An item without an id is compared as a whole with the items of the
            page before.
    """

    def __init__(
        self,
        fetch: Callable[[int, int], Awaitable[list[T]]],
        *,
        page_size: int,
        key: Callable[[T], Hashable | None],
    ) -> None:
        self._fetch = fetch
        self._page_size = page_size
        self._key = key

    async def __aiter__(self) -> AsyncIterator[T]:
        async for page in self.pages():
            for item in page:
                yield item

    async def pages(self) -> AsyncIterator[list[T]]:
        """Yield the pages as lists, without items that an earlier page had; pages left empty are not yielded."""
        seen: set[Hashable] = set()
        nameless: list[T] = []
        offset = 0
        while True:
            page = await self._fetch(offset, self._page_size)
            fresh = self._fresh(page, seen, nameless)
            if fresh:
                yield fresh
            if len(page) < self._page_size or not fresh:
                return
            nameless = [item for item in page if self._key(item) is None]
            # Counts items received, not items requested: the next offset is right even if EnKash ignores `limit`.
            offset += len(page)

    def _fresh(self, page: list[T], seen: set[Hashable], nameless: list[T]) -> list[T]:
        fresh: list[T] = []
        for item in page:
            key = self._key(item)
            if key is None:
                new = item not in nameless
            else:
                new = key not in seen
                seen.add(key)
            if new:
                fresh.append(item)
        return fresh
