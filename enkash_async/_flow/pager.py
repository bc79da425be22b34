"""Lists that arrive in pages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from typing import Generic, TypeVar

__all__ = ["AsyncPager"]

T = TypeVar("T")


class AsyncPager(Generic[T]):
    """Iterates over a paged list: `async for item in pager`, or `async for page in pager.pages()`.

    Nothing is sent before the first item is asked for, and each iteration starts anew. An item that appears on two
    pages, since the list moved meanwhile, comes once. The end is a page that is shorter than asked for, or one
    that brings nothing new.

    Args:
        fetch: Returns the items from an offset on, given (offset, limit).
        page_size: How many items to ask for at a time.
        key: What names an item; None for an item without an id, which is compared as a whole with the page before.
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
        """Iterate over the pages as lists, without the items that an earlier page had; an empty list makes no page."""
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
            # By what came, not by what was asked for: a server that ignores the limit is then still read right.
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
