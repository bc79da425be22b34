"""Wakes callers that wait for a bill when news of it arrives, for example by a webhook."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

__all__ = ["BillNotifier", "News"]


class News:
    """The news for one waiting caller: which of its bills have news that it has not taken yet."""

    def __init__(self) -> None:
        self._heard: dict[str, None] = {}
        self._arrived = asyncio.Event()

    def hear(self, utility_enkash_id: str) -> None:
        """Note that there is news of a bill."""
        self._heard[utility_enkash_id] = None
        self._arrived.set()

    def take(self) -> tuple[str, ...]:
        """Return the bills with news since the last call, each once."""
        heard = tuple(self._heard)
        self._heard.clear()
        self._arrived.clear()
        return heard

    async def wait(self) -> None:
        """Wait until there is news; return at once if some was not taken yet."""
        await self._arrived.wait()


class BillNotifier:
    """Wakes callers that wait for a bill, so that they ask EnKash at once.

    Pass one to `bills.wait_until_settled(…, notifier=…)` or `bills.wait_many(…, notifier=…)`, and call `notify` where
    the news arrives. The waiting caller does not trust the news: it asks EnKash at once, without waiting for the next
    poll. Use a notifier in one event loop only.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, list[News]] = {}

    def notify(self, utility_enkash_id: str) -> None:
        """Wake every caller that waits for a bill; do nothing when none does.

        Args:
            utility_enkash_id: EnKash's id of the bill.
        """
        for news in self._waiting.get(utility_enkash_id, ()):
            news.hear(utility_enkash_id)

    @contextmanager
    def listen(self, utility_enkash_ids: Iterable[str]) -> Iterator[News]:
        """Collect news of bills for as long as the `with` block runs.

        Args:
            utility_enkash_ids: EnKash's ids of the bills.
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
