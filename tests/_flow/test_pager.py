"""The pager reads lists to their end, from servers that page correctly and from others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enkash_async._flow.pager import AsyncPager
from enkash_async._support import exact_json
from enkash_async._wire.envelope import read
from enkash_async._wire.operation import Effect, Operation, Request, Response
from enkash_async.models import Bill


@attrs.frozen
class Item:
    key: int | None
    text: str = ""


Serve = Callable[[list[Item], int, int], list[Item]]


def well(items: list[Item], offset: int, limit: int) -> list[Item]:
    return items[offset : offset + limit]


def without_limit(items: list[Item], offset: int, _: int) -> list[Item]:
    return items[offset:]


def without_offset(items: list[Item], _: int, limit: int) -> list[Item]:
    return items[:limit]


def without_either(items: list[Item], _: int, __: int) -> list[Item]:
    return list(items)


class Server:
    """A list behind an API; keeps what it was asked for."""

    def __init__(self, items: list[Item], serve: Serve = well) -> None:
        self.items = items
        self.asked: list[tuple[int, int]] = []
        self._serve = serve

    async def __call__(self, offset: int, limit: int) -> list[Item]:
        assert len(self.asked) < 1_000, "it does not end"
        self.asked.append((offset, limit))
        return self._serve(self.items, offset, limit)

    def pager(self, page_size: int) -> AsyncPager[Item]:
        return AsyncPager(self, page_size=page_size, key=lambda item: item.key)


def numbered(count: int) -> list[Item]:
    return [Item(number) for number in range(count)]


async def everything(pager: AsyncPager[Item]) -> list[Item]:
    return [item async for item in pager]


# --- the end ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "asked"),
    [
        (0, [(0, 3)]),
        (2, [(0, 3)]),
        (3, [(0, 3), (3, 3)]),
        (4, [(0, 3), (3, 3)]),
        (7, [(0, 3), (3, 3), (6, 3)]),
        (9, [(0, 3), (3, 3), (6, 3), (9, 3)]),
    ],
)
async def test_a_list_is_read_to_its_end_and_no_further(count: int, asked: list[tuple[int, int]]) -> None:
    """The pager stops after a short page, or after an empty one that follows a full page."""
    server = Server(numbered(count))
    assert await everything(server.pager(3)) == numbered(count)
    assert server.asked == asked


@pytest.mark.parametrize(
    ("serve", "found", "asked"),
    [
        (without_limit, 10, [(0, 3), (10, 3)]),
        (without_offset, 3, [(0, 3), (3, 3)]),
        (without_either, 10, [(0, 3), (10, 3)]),
    ],
)
async def test_a_server_that_ignores_a_parameter_does_not_go_on_for_ever(
    serve: Serve, found: int, asked: list[tuple[int, int]]
) -> None:
    """The pager stops at a second page without new items and yields each item once."""
    server = Server(numbered(10), serve)
    assert await everything(server.pager(3)) == numbered(found)
    assert server.asked == asked


@pytest.mark.parametrize("serve", [well, without_limit, without_offset, without_either])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 6, 7])
async def test_items_without_an_id_end_as_well(serve: Serve, count: int) -> None:
    """The pager compares the whole page with the one before and stops when they are equal."""
    items = [Item(None, str(number)) for number in range(count)]
    server = Server(items, serve)
    assert await everything(server.pager(3)) == (items[:3] if serve is without_offset else items)


async def test_equal_items_without_an_id_on_one_page_are_all_kept() -> None:
    """The pager yields two bills that look alike, because they may be two bills."""
    items = [Item(None, "twin"), Item(None, "twin")]
    assert await everything(Server(items).pager(5)) == items


async def test_ids_and_their_absence_may_be_mixed() -> None:
    """The pager yields items with an id and items without one in the order of the server."""
    items = [Item(1), Item(None, "a"), Item(2), Item(None, "b"), Item(3), Item(None, "c"), Item(4)]
    assert await everything(Server(items).pager(3)) == items


async def test_an_id_comes_once_within_a_page_and_across_pages() -> None:
    """The pager yields the first item of each id and drops every later one."""
    items = [Item(1, "first"), Item(1, "again"), Item(2), Item(1, "once more"), Item(3), Item(2, "again")]
    assert await everything(Server(items).pager(2)) == [Item(1, "first"), Item(2), Item(3)]


async def test_a_false_id_is_an_id() -> None:
    """The pager treats 0 and the empty text as ids; only None means that there is none."""
    assert await everything(Server([Item(0, "a"), Item(0, "b")]).pager(5)) == [Item(0, "a")]


# --- when things are sent ---------------------------------------------------------------------------------------------


async def test_nothing_is_sent_before_the_first_item_is_asked_for() -> None:
    """The pager sends nothing when it is made or iterated, and then one request for each page."""
    server = Server(numbered(7))
    pager = server.pager(3)
    iterator = aiter(pager)
    pages = pager.pages()
    assert server.asked == []
    for _ in range(3):
        await anext(iterator)
    assert server.asked == [(0, 3)]
    await anext(iterator)
    assert server.asked == [(0, 3), (3, 3)]
    assert await anext(pages) == numbered(3)
    assert server.asked[2:] == [(0, 3)]


async def test_each_iteration_starts_anew() -> None:
    """Two iterators of one pager do not share their position."""
    server = Server(numbered(4))
    pager = server.pager(3)
    one, two = aiter(pager), aiter(pager)
    assert [await anext(one), await anext(two), await anext(one)] == [Item(0), Item(0), Item(1)]
    server.items = numbered(2)
    assert await everything(pager) == numbered(2)


async def test_pages_come_as_lists() -> None:
    """`pages()` yields lists without the items of earlier pages, and no empty list."""
    server = Server([Item(1), Item(2), Item(2), Item(3), Item(1), Item(3)])
    assert [page async for page in server.pager(2).pages()] == [[Item(1), Item(2)], [Item(3)]]
    assert [page async for page in Server([]).pager(2).pages()] == []


async def test_a_failing_page_is_raised_and_the_items_before_it_are_kept() -> None:
    """The caller sees the error after it has got every item of the pages before."""

    async def fetch(offset: int, _: int) -> list[Item]:
        if offset:
            raise RuntimeError("page 2")
        return numbered(2)

    seen: list[Item] = []

    async def collect() -> None:
        async for item in AsyncPager[Item](fetch, page_size=2, key=lambda item: item.key):
            seen.append(item)  # noqa: PERF401 (what was seen before the error is the point)

    with pytest.raises(RuntimeError, match="page 2"):
        await collect()
    assert seen == numbered(2)


# --- properties -------------------------------------------------------------------------------------------------------


@given(st.integers(0, 40), st.integers(1, 7))
async def test_a_list_that_rests_comes_whole_and_in_order(count: int, page_size: int) -> None:
    """An unchanged list comes whole and in order for any length and any page size."""
    server = Server(numbered(count))
    assert await everything(server.pager(page_size)) == numbered(count)
    assert len(server.asked) == count // page_size + 1


@given(st.integers(0, 40), st.integers(2, 7), st.data())
async def test_a_list_that_grows_at_its_head_loses_nothing(count: int, page_size: int, data: st.DataObject) -> None:
    """New bills push old ones onto the next page; each of the old ones still comes exactly once, in order.

    As long as fewer than a page are added between two requests: a page of nothing but known items is how a server
    that ignores the offset looks.
    """
    items = numbered(count)
    newest = count

    def growing(_: list[Item], offset: int, limit: int) -> list[Item]:
        nonlocal newest
        page = items[offset : offset + limit]
        for _new in range(data.draw(st.integers(0, page_size - 1)) if newest < 60 else 0):
            items.insert(0, Item(newest))
            newest += 1
        return page

    found = await everything(Server(items, growing).pager(page_size))
    assert [item for item in found if item.key is not None and item.key < count] == numbered(count)
    assert len(found) == len(set(found))


@given(
    st.lists(st.lists(st.builds(Item, st.none() | st.integers(0, 9), st.sampled_from("ab"))), min_size=1),
    st.integers(1, 5),
)
async def test_a_server_that_answers_at_random_gives_no_id_twice(pages: list[list[Item]], page_size: int) -> None:
    """The pager yields no id twice and ends, although the server removes, reorders and repeats items."""
    answers = iter(pages)
    found = await everything(Server([], lambda *_: next(answers, [])).pager(page_size))
    keys = [item.key for item in found if item.key is not None]
    assert len(keys) == len(set(keys))


# --- together with the reading of replies -----------------------------------------------------------------------------


async def test_a_null_among_the_bills_is_not_the_end_of_the_list() -> None:
    """A page with a null counts as full; taking it for the last one would lose every bill after it."""
    everything_there: list[Any] = [
        {"utilityEnkashId": "U1"},
        None,
        {"utilityEnkashId": "U3"},
        {"utilityEnkashId": "U4"},
    ]

    async def fetch(offset: int, limit: int) -> list[Bill]:
        payload = everything_there[offset : offset + limit]
        response = Response(
            status=200, headers={}, body=exact_json.dumps({"response_code": 0, "payload": payload}).encode()
        )
        operation = Operation(
            name="bills.search", request=Request(method="POST", path="/x"), result=list[Bill], effect=Effect.READ
        )
        found = read(operation, response)
        assert isinstance(found, list)
        return found

    pager = AsyncPager(fetch, page_size=2, key=lambda bill: bill.utility_enkash_id or None)
    ids = [bill.utility_enkash_id async for bill in pager]
    assert [known for known in ids if known] == ["U1", "U3", "U4"]
