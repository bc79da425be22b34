"""Reads and changes the records of bills' news in the store."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
from yarl import URL

from enkash_async._news import record
from enkash_async._news.machine import Answer, Command, decide
from enkash_async._news.record import NEWS, Durations, News
from enkash_async._support.urls import folded_host, is_loopback
from enkash_async.stores import Cell, Store, act, record_key, refuse_forgetting

__all__ = ["NewsRecords", "Shown"]

_AT_A_TIME = 1_000  # records to read in one call; the most that a store accepts


@attrs.frozen
class Shown:
    """What a record says of a bill.

    Attributes:
        last: Hash of the last state that the handler took; empty if none is known.
        is_known: Whether there is a record.
        is_held: Whether a worker is handling the bill's news now.
    """

    last: str = ""
    is_known: bool = False
    is_held: bool = False


class NewsRecords:
    """Carries out commands on the records of bills at one EnKash host.

    Raises from every method:
        StoreUnavailableError: The store cannot be reached, or could lose events.
        StoreError: This version cannot read a record, or other workers changed the record before each attempt to
            write it.

    Args:
        open_store: Returns the store, shared by all workers that receive posts. It is called on first use.
        base_url: The client's base URL; empty without a client.
        name: Name of the service. Services that must each handle every event need different names.
        durations: Shorter durations for tests; None takes the normal ones.
    """

    def __init__(
        self, open_store: Callable[[], Store], *, base_url: str, name: str = "", durations: Durations | None = None
    ) -> None:
        self.durations = record.DURATIONS if durations is None else durations
        self._open = open_store
        self._host = folded_host(base_url) if base_url else ""
        self._is_loopback = bool(base_url) and is_loopback(URL(base_url).host or "")
        self._name = name
        self._is_checked = False

    def key(self, bill: str) -> str:
        """Return the key of a bill's record."""
        return record_key("event", self._host, self._name, bill)

    async def act(self, bill: str, command: Command) -> Answer:
        """Carry out a command on the record of a bill, and return the answer.

        Args:
            bill: EnKash's id of the bill. Without a client, the bill's reference if the post has no id.
        """
        await self._check()
        return await act(self._open(), self.key(bill), self._decide, command, kind=NEWS)

    def _decide(self, news: News | None, command: Command, now: float) -> tuple[News | None, Answer]:
        return decide(news, command, now, self.durations)

    async def show(self, ids: Sequence[str]) -> dict[str, Shown]:
        """Return what the records say of bills."""
        await self._check()
        shown: dict[str, Shown] = {}
        for start in range(0, len(ids), _AT_A_TIME):
            keys = {one: self.key(one) for one in ids[start : start + _AT_A_TIME]}
            cells = await self._open().read(list(keys.values()))
            shown |= {one: _shown(cells[key]) for one, key in keys.items()}
        return shown

    async def _check(self) -> None:
        """Refuse a store that would lose events."""
        if self._is_checked:
            return
        await refuse_forgetting(
            self._open(),
            need="webhooks need a store that the workers share",
            memory_if="one process receives all posts",
            is_loopback=self._is_loopback,
        )
        self._is_checked = True


def _shown(cell: Cell) -> Shown:
    if cell.value is None:
        return Shown()
    news = NEWS.codec.decode(cell.value).moved_back(cell.now)
    return Shown(news.last, is_known=True, is_held=news.seconds_held(cell.now) > 0)
