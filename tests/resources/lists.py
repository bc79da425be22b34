"""Servers that page a list well or badly, lists that change while they are read, and the judge of what was read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random

import attrs
from aiohttp import web

from enkash_async import BillFilter, EnkashClient, ResponseDecodeError, Routes, StaticTokenProvider

from support import EAGER

__all__ = ["Books", "Change", "Rows", "Serve", "Total", "change", "judged", "read", "serve", "total"]

Rows = list[int]
Serve = Callable[[Rows, int, int, int], Rows]  # rows, offset, limit, number of the request
Change = Callable[[Rows, int], object]  # changes the rows before the request of this number
Total = Callable[[Rows, Rows], object]  # rows, rows of the page


@attrs.define
class Books:
    """A list of bills, or of billers, behind a server on 127.0.0.1.

    Args:
        rows: Ids of the rows; new ones are negative.
        serve: Returns a page.
        change: Changes the list before a request is answered.
        total: The total that each reply states; None for a bare list.
    """

    rows: Rows
    serve: Serve
    change: Change = lambda _rows, _number: None
    total: Total | None = None
    asked: list[tuple[int, int]] = attrs.field(factory=list)
    staying: set[int] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.staying = set(self.rows)

    async def answer(self, request: web.Request) -> web.Response:
        """Answer a search of bills or a request for billers."""
        place = request.query if request.method == "GET" else await request.json()
        offset, limit = int(place["offset"]), int(place["limit"])
        self.asked.append((offset, limit))
        self.change(self.rows, len(self.asked))
        self.staying &= set(self.rows)
        page = self.serve(self.rows, offset, limit, len(self.asked))
        items = [{"utilityEnkashId": f"U{row}", "billerId": row} for row in page]
        payload = items if self.total is None else {"list": items, "total": self.total(self.rows, page)}
        return web.json_response({"response_code": 0, "response_message": "Success", "payload": payload})

    @asynccontextmanager
    async def client(self) -> AsyncIterator[EnkashClient]:
        """Serve, and yield a client of the server."""
        app = web.Application()
        app.router.add_post(Routes().search_bills, self.answer)
        app.router.add_get(Routes().billers, self.answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.05)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            port = runner.addresses[0][1]
            tokens = StaticTokenProvider("t")
            async with EnkashClient(f"http://127.0.0.1:{port}", tokens=tokens, retry=EAGER) as client:
                yield client
        finally:
            await runner.cleanup()


async def read(books: Books, *, page_size: int = 99, billers: bool = False) -> tuple[Rows, str | None]:
    """Read the whole list; returns the rows that came, and the error with which the iteration ended, or None."""
    found: Rows = []
    async with books.client() as client:
        try:
            if billers:
                async for biller in client.billers.list():
                    found.append(biller.biller_id)
            else:
                async for bill in client.bills.search(BillFilter(), page_size=page_size):
                    found.append(int(bill.utility_enkash_id[1:]))
        except ResponseDecodeError as error:
            return found, str(error)
    return found, None


async def judged(books: Books, *, page_size: int = 99, billers: bool = False) -> str | None:
    """Read the whole list and check the promise: all rows that stayed, each once, or an error that says why not."""
    found, error = await read(books, page_size=page_size, billers=billers)
    assert len(found) == len(set(found)), "a row came twice"
    if error is None:
        assert books.staying <= set(found), "rows are missing, and nothing says so"
    else:
        assert "may lack rows, and it cannot be known" in error
    return error


# --- servers ----------------------------------------------------------------------------------------------------------


class serve:  # noqa: N801 (a namespace)
    """Ways to answer with a page."""

    @staticmethod
    def well(rows: Rows, offset: int, limit: int, _: int) -> Rows:
        return rows[offset : offset + limit]

    @staticmethod
    def capped(rows: Rows, offset: int, limit: int, _: int) -> Rows:
        return rows[offset : offset + min(limit, 50)]

    @staticmethod
    def capped_anew(rows: Rows, offset: int, limit: int, number: int) -> Rows:
        return rows[offset : offset + min(limit, Random(number).randint(2, 60))]

    @staticmethod
    def by_page(rows: Rows, offset: int, limit: int, _: int) -> Rows:
        return rows[offset * limit : (offset + 1) * limit]

    @staticmethod
    def by_capped_page(rows: Rows, offset: int, limit: int, _: int) -> Rows:
        return serve.by_page(rows, offset, min(limit, 50), 0)

    @staticmethod
    def by_page_from_one(rows: Rows, offset: int, limit: int, _: int) -> Rows:
        return serve.by_page(rows, offset - 1, limit, 0) if offset else []

    @staticmethod
    def by_page_from_one_or_zero(rows: Rows, offset: int, limit: int, _: int) -> Rows:
        return serve.by_page(rows, max(0, offset - 1), limit, 0)

    @staticmethod
    def without_offset(rows: Rows, _: int, limit: int, __: int) -> Rows:
        return rows[:limit]

    @staticmethod
    def without_offset_capped(rows: Rows, _: int, limit: int, __: int) -> Rows:
        return rows[: min(limit, 50)]

    @staticmethod
    def without_limit(rows: Rows, offset: int, _: int, __: int) -> Rows:
        return rows[offset:]

    @staticmethod
    def without_either(rows: Rows, _: int, __: int, ___: int) -> Rows:
        return rows

    @staticmethod
    def first_empty(rows: Rows, offset: int, limit: int, number: int) -> Rows:
        return [] if number == 1 else rows[offset : offset + limit]

    @staticmethod
    def third_empty(rows: Rows, offset: int, limit: int, number: int) -> Rows:
        return [] if number == 3 else rows[offset : offset + limit]

    @staticmethod
    def third_of_one(rows: Rows, offset: int, limit: int, number: int) -> Rows:
        return rows[offset : offset + (1 if number == 3 else limit)]

    @staticmethod
    def second_short(rows: Rows, offset: int, limit: int, number: int) -> Rows:
        return rows[offset : offset + (limit // 3 if number == 2 else limit)]

    @staticmethod
    def from_ten_before(rows: Rows, offset: int, limit: int, _: int) -> Rows:
        return serve.well(rows, max(0, offset - 10), limit, 0)

    @staticmethod
    def last_page_for_ever(rows: Rows, offset: int, limit: int, _: int) -> Rows:
        return serve.well(rows, min(offset, max(0, len(rows) - limit)), limit, 0)

    @staticmethod
    def with_a_twin(rows: Rows, offset: int, limit: int, _: int) -> Rows:
        middle = len(rows) * 2 // 3
        return serve.well([*rows[:middle], *rows[5:6], *rows[middle:]], offset, limit, 0)

    @staticmethod
    def each_twice(rows: Rows, offset: int, limit: int, _: int) -> Rows:
        return serve.well([row for row in rows for _ in range(2)], offset, limit, 0)


# --- changes ----------------------------------------------------------------------------------------------------------


class change:  # noqa: N801 (a namespace)
    """Ways in which a list changes; `always` between all requests, and else after the first one."""

    @staticmethod
    def added(count: int, *, every: int = 0) -> Change:
        def add(rows: Rows, number: int) -> None:
            if _due(number, every):
                rows[:0] = [-1000 * number - each for each in range(count)]

        return add

    @staticmethod
    def left(count: int, *, every: int = 0, anywhere: bool = False) -> Change:
        def leave(rows: Rows, number: int) -> None:
            for each in range(min(count, len(rows)) if _due(number, every) else 0):
                del rows[Random(1000 * number + each).randrange(len(rows)) if anywhere else 0]

        return leave

    @staticmethod
    def row_deleted(row: int) -> Change:
        return lambda rows, number: rows.remove(row) if number == 2 else None

    @staticmethod
    def reversed_once(rows: Rows, number: int) -> None:
        if number == 2:
            rows.reverse()

    @staticmethod
    def shuffled(*, every: int = 0) -> Change:
        return lambda rows, number: Random(number).shuffle(rows) if _due(number, every) else None

    @staticmethod
    def last_to_head(rows: Rows, number: int) -> None:
        if number in {2, 3}:
            rows.insert(0, rows.pop())

    @staticmethod
    def first_to_end(rows: Rows, number: int) -> None:
        if number in {2, 3}:
            rows.append(rows.pop(0))


def _due(number: int, every: int) -> bool:
    return number > 1 and number % every == 0 if every else number == 2


# --- totals -----------------------------------------------------------------------------------------------------------


class total:  # noqa: N801 (a namespace)
    """What a reply may call the total."""

    @staticmethod
    def right(rows: Rows, _: Rows) -> object:
        return len(rows)

    @staticmethod
    def too_high(rows: Rows, _: Rows) -> object:
        return str(len(rows) + 10)

    @staticmethod
    def too_low(rows: Rows, _: Rows) -> object:
        return len(rows) - 10

    @staticmethod
    def of_the_page(_: Rows, page: Rows) -> object:
        return len(page)

    @staticmethod
    def of_pages(rows: Rows, _: Rows) -> object:
        return -(-len(rows) // 99)

    @staticmethod
    def unreadable(_: Rows, __: Rows) -> object:
        return "many"
