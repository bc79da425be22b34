"""News of bills from elsewhere, such as a webhook: whoever waits for one of them looks at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

__all__ = ["BillNotifier", "News"]


class News:
    """What one waiter hears of the bills that it waits for."""

    def __init__(self) -> None:
        self._heard: dict[str, None] = {}
        self._arrived = asyncio.Event()

    def hear(self, utility_enkash_id: str) -> None:
        """Note that there is news of a bill."""
        self._heard[utility_enkash_id] = None
        self._arrived.set()

    def take(self) -> tuple[str, ...]:
        """Return the bills that there is news of since the last time, each once."""
        heard = tuple(self._heard)
        self._heard.clear()
        self._arrived.clear()
        return heard

    async def wait(self) -> None:
        """Wait until there is news; news that was not taken yet counts."""
        await self._arrived.wait()


class BillNotifier:
    """Tells those who wait for a bill that something has happened to it.

    Pass one to `bills.wait_until_settled(…, notifier=…)` or `bills.wait_many(…, notifier=…)`, and call `notify` where
    the news arrives. The news itself is not believed: the waiter asks EnKash at once instead of at its next look. All
    of it happens in one event loop.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, list[News]] = {}

    def notify(self, utility_enkash_id: str) -> None:
        """Wake everyone who waits for a bill; nobody may.

        Args:
            utility_enkash_id: EnKash's id of the bill.
        """
        for news in self._waiting.get(utility_enkash_id, ()):
            news.hear(utility_enkash_id)

    @contextmanager
    def listen(self, utility_enkash_ids: Iterable[str]) -> Iterator[News]:
        """Hear of bills for as long as the block runs.

        Args:
            utility_enkash_ids: Which bills.
        """
        news, wanted = News(), tuple(utility_enkash_ids)
        for one in wanted:
            self._waiting.setdefault(one, []).append(news)
        try:
            yield news
        finally:
            for one in wanted:
                self._waiting[one].remove(news)
                if not self._waiting[one]:
                    del self._waiting[one]
