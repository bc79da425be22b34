"""The pager iterates: when it sends, what it yields, and what it keeps."""

from __future__ import annotations

import gc
import tracemalloc
from typing import Any

import pytest

from enkash_async._flow.pager import AsyncPager
from enkash_async._support import exact_json
from enkash_async._wire.envelope import read
from enkash_async._wire.operation import Effect, Operation, Request, Response
from enkash_async._wire.page import Page
from enkash_async.models import Bill

Asked = list[tuple[int, int]]


class Server:
    """An honest list behind an API; keeps what it was asked for."""

    def __init__(self, count: int) -> None:
        self.items = list(range(1, count + 1))
        self.asked: Asked = []

    async def __call__(self, offset: int, limit: int) -> Page[int]:
        self.asked.append((offset, limit))
        return Page(self.items[offset : offset + limit])

    def pager(self, page_size: int) -> AsyncPager[int]:
        return AsyncPager(self, name="test", page_size=page_size, key=lambda item: item)


async def everything(pager: AsyncPager[int]) -> list[int]:
    return [item async for item in pager]


@pytest.mark.parametrize(
    ("count", "asked"),
    [
        (0, [(0, 3), (1, 3), (0, 3)]),
        (1, [(0, 3), (1, 3)]),
        (2, [(0, 3), (1, 3)]),
        (3, [(0, 3), (2, 3), (1, 3)]),
        (4, [(0, 3), (2, 3), (3, 3)]),
        (6, [(0, 3), (2, 3), (4, 3), (5, 3)]),
        (7, [(0, 3), (2, 3), (4, 3), (6, 3), (5, 3)]),
    ],
)
async def test_pages_overlap_until_the_last_row_comes_alone(count: int, asked: Asked) -> None:
    """Each request begins at the last row of the page before; an end is looked at twice where a full page is
    before it, and an empty list is asked for once more."""
    server = Server(count)
    assert await everything(server.pager(3)) == server.items
    assert server.asked == asked


@pytest.mark.parametrize(
    ("count", "page_size", "requests"), [(5, 99, 2), (98, 99, 2), (99, 99, 3), (1000, 99, 12), (1000, 5000, 2)]
)
async def test_few_requests_are_made(count: int, page_size: int, requests: int) -> None:
    """An honest list takes one request for each 98 rows, and one that shows its end."""
    server = Server(count)
    assert len(await everything(server.pager(page_size))) == count
    assert len(server.asked) == requests


async def test_a_page_of_one_row_is_asked_for_as_two() -> None:
    """A page of one row could not overlap with the next one."""
    server = Server(3)
    assert await everything(server.pager(1)) == [1, 2, 3]
    assert server.asked == [(0, 2), (1, 2), (2, 2), (1, 2)]


async def test_nothing_is_sent_before_the_first_item_is_asked_for() -> None:
    """The pager sends nothing when it is made or iterated, and then one request for each page."""
    server = Server(7)
    pager = server.pager(3)
    iterator, pages = aiter(pager), pager.pages()
    assert server.asked == []
    for _ in range(3):
        await anext(iterator)
    assert server.asked == [(0, 3)]
    await anext(iterator)
    assert server.asked == [(0, 3), (2, 3)]
    assert await anext(pages) == [1, 2, 3]
    assert server.asked[2:] == [(0, 3)]


async def test_each_iteration_starts_anew() -> None:
    """Two iterators of one pager do not share their position."""
    server = Server(4)
    pager = server.pager(3)
    one, two = aiter(pager), aiter(pager)
    assert [await anext(one), await anext(two), await anext(one)] == [1, 1, 2]
    server.items = [1, 2]
    assert await everything(pager) == [1, 2]


async def test_pages_come_as_lists() -> None:
    """`pages()` yields lists without the rows of earlier pages, and no empty list."""
    assert [page async for page in Server(4).pager(2).pages()] == [[1, 2], [3], [4]]
    assert [page async for page in Server(0).pager(2).pages()] == []


async def test_a_failing_page_is_raised_and_the_items_before_it_are_kept() -> None:
    """The caller sees the error after it has got every item of the pages before."""

    async def fetch(offset: int, _: int) -> Page[int]:
        if offset:
            raise RuntimeError("page 2")
        return Page([1, 2])

    seen: list[int] = []

    async def collect() -> None:
        async for item in AsyncPager(fetch, name="test", page_size=2, key=lambda item: item):
            seen.append(item)  # noqa: PERF401 (what was seen before the error is the point)

    with pytest.raises(RuntimeError, match="page 2"):
        await collect()
    assert seen == [1, 2]


async def test_a_null_among_the_bills_is_not_the_end_of_the_list() -> None:
    """A null counts as a bill without an id, and the bills behind it come."""
    everything_there: list[Any] = [
        {"utilityEnkashId": "U1"},
        None,
        {"utilityEnkashId": "U3"},
        {"utilityEnkashId": "U4"},
    ]

    async def fetch(offset: int, limit: int) -> Page[Bill]:
        payload = everything_there[offset : offset + limit]
        body = exact_json.dumps({"response_code": 0, "payload": payload}).encode()
        operation = Operation(
            name="bills.search", request=Request(method="POST", path="/x"), result=Page[Bill], effect=Effect.READ
        )
        found = read(operation, Response(status=200, headers={}, body=body))
        assert isinstance(found, Page)
        return found

    pager = AsyncPager(fetch, name="bills.search", page_size=2, key=lambda bill: bill.utility_enkash_id or None)
    ids = [bill.utility_enkash_id async for bill in pager]
    assert ids == ["U1", "", "U3", "U4"]


async def test_memory_holds_the_ids_and_no_rows() -> None:
    """Of 20,000 rows of 2 kB each, which would take 40 MB, the pager keeps less than 250 bytes a row."""
    count = 20_000

    async def fetch(offset: int, limit: int) -> Page[tuple[str, bytes]]:
        return Page([(f"UTIL-{number:08}", bytes(2_000)) for number in range(offset, min(offset + limit, count))])

    pager = AsyncPager(fetch, name="test", page_size=99, key=lambda row: row[0])
    met = 0
    gc.collect()
    tracemalloc.start()
    try:
        async for _ in pager:
            met += 1
        highest = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert met == count
    assert highest < 250 * count
