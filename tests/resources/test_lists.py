"""Searches against real servers that page badly, or whose list changes: all rows that stay, or an error."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from resources.lists import Books, Change, Rows, Serve, Total, change, judged, read, serve, total

from enkash_async import BillFilter

#: Server or change, for 250 rows in pages of 99: the most requests, and a word of the error, or None for all rows.
SERVERS: dict[str, tuple[Serve, int, str | None]] = {
    "pages well": (serve.well, 4, None),
    "caps the limit at 50": (serve.capped, 7, None),
    "caps the limit differently each time": (serve.capped_anew, 12, None),
    "counts pages": (serve.by_page, 10, None),
    "counts pages and caps": (serve.by_capped_page, 14, None),
    "counts pages from 1": (serve.by_page_from_one, 10, None),
    "counts pages from 1, and takes 0 for 1": (serve.by_page_from_one_or_zero, 12, None),
    "ignores the offset": (serve.without_offset, 2, "ignores the offset"),
    "ignores the offset and caps": (serve.without_offset_capped, 3, "ignores the offset"),
    "ignores the limit": (serve.without_limit, 2, None),
    "ignores both": (serve.without_either, 2, None),
    "answers with an empty first page": (serve.first_empty, 6, None),
    "answers with an empty page in the middle": (serve.third_empty, 10, None),
    "answers with a short page in the middle": (serve.second_short, 6, None),
    "answers with one row in the middle": (serve.third_of_one, 6, None),
    "begins each page ten rows early": (serve.from_ten_before, 9, None),
    "repeats the last page": (serve.last_page_for_ever, 30, "do not fit together"),
    "shows a row twice": (serve.with_a_twin, 9, None),
    "shows every row twice": (serve.each_twice, 16, None),
}
CHANGES: dict[str, tuple[Change, int, str | None]] = {
    "50 rows are added": (change.added(50), 10, None),
    "150 rows are added": (change.added(150), 14, None),
    "a row is added now and then": (change.added(1, every=3), 14, None),
    "50 rows are added each time": (change.added(50, every=1), 40, "changes faster"),
    "60 rows leave": (change.left(60), 6, None),
    "60 rows leave each time": (change.left(60, every=1), 12, None),
    "30 rows leave anywhere each time": (change.left(30, every=1, anywhere=True), 16, None),
    "all rows of a page leave each time": (change.left(99, every=1), 10, None),
    "the last row of a page is deleted": (change.row_deleted(99), 6, None),
    "the last row of all is deleted": (change.row_deleted(250), 6, None),
    "the order turns round": (change.reversed_once, 10, None),
    "the order changes": (change.shuffled(), 12, None),
    "the order changes each time": (change.shuffled(every=1), 60, "cannot be known"),
    "rows move to the head": (change.last_to_head, 12, None),
    "rows move to the end": (change.first_to_end, 12, None),
}
TOTALS: dict[str, tuple[Total, int, str | None]] = {
    "right": (total.right, 4, None),
    "too high": (total.too_high, 8, "states a total of 260 and shows 250"),
    "too low": (total.too_low, 4, None),
    "that of the page": (total.of_the_page, 4, None),
    "that of pages": (total.of_pages, 4, None),
    "unreadable": (total.unreadable, 4, None),
}


async def _check(books: Books, most: int, word: str | None, *, page_size: int = 99, billers: bool = False) -> None:
    error = await judged(books, page_size=page_size, billers=billers)
    assert (error is None) == (word is None), error
    assert word is None or word in (error or "")
    assert len(books.asked) <= most


@pytest.mark.parametrize(("serving", "most", "word"), SERVERS.values(), ids=SERVERS)
@pytest.mark.parametrize("billers", [False, True], ids=["bills", "billers"])
async def test_a_server_that_pages_in_its_own_way(serving: Serve, most: int, word: str | None, billers: bool) -> None:
    """The client gives all 250 rows once, or raises where it cannot know whether more exist."""
    await _check(Books(_numbered(250), serving), most, word, billers=billers)


@pytest.mark.parametrize(("changing", "most", "word"), CHANGES.values(), ids=CHANGES)
async def test_a_list_that_changes_between_two_pages(changing: Change, most: int, word: str | None) -> None:
    """The client gives every row that stays, or raises where the list never rests."""
    await _check(Books(_numbered(250), serve.well, changing), most, word)


@pytest.mark.parametrize(("stating", "most", "word"), TOTALS.values(), ids=TOTALS)
async def test_a_total_is_held_against_what_came(stating: Total, most: int, word: str | None) -> None:
    """The client raises when fewer rows came than the total says; one below the rows that came is no total."""
    await _check(Books(_numbered(250), serve.well, total=stating), most, word)


async def test_a_total_that_changes_with_the_list_is_right() -> None:
    """The client compares with the total that was stated last."""
    await _check(Books(_numbered(250), serve.well, change.left(60), total.right), 6, None)
    await _check(Books(_numbered(250), serve.well, change.added(50), total.right), 10, None)


async def test_a_total_shows_that_a_server_without_offset_shows_all() -> None:
    """The client needs no third request for five rows of five, and raises for 99 of 250."""
    await _check(Books(_numbered(5), serve.without_offset, total=total.right), 2, None)
    await _check(Books(_numbered(250), serve.without_offset, total=total.right), 2, "ignores the offset")


@pytest.mark.parametrize("added", [1, 2])
async def test_as_many_new_rows_as_a_page_are_not_taken_for_a_server_without_offset(added: int) -> None:
    """The second page equals the first one, and a smaller page shows that the list has grown."""
    await _check(Books(_numbered(added + 1), serve.well, change.added(added)), 6, None)


@pytest.mark.parametrize("count", [1, 2, 3, 98, 99, 100, 197])
@pytest.mark.parametrize("serving", [each for each, _, _ in SERVERS.values()], ids=SERVERS)
async def test_lists_of_every_length_come_whole_or_not_at_all(serving: Serve, count: int) -> None:
    """The promise holds where a list ends at the end of a page, or has one row."""
    await judged(Books(_numbered(count), serving))


async def test_an_empty_list_is_asked_for_three_times_unless_its_total_says_so() -> None:
    """An empty page may be a fault, or page 0 of a server that counts from 1; a total of 0 is an answer."""
    for books, requests in ((Books([], serve.well), 3), (Books([], serve.well, total=total.right), 1)):
        assert await read(books) == ([], None)
        assert len(books.asked) == requests


@pytest.mark.parametrize("size", [2, 50, 99, 5000])
async def test_the_cases_that_lost_rows_before(size: int) -> None:
    """The client gives 300 of 300, 250 of 250 and 190 of 190 rows in pages of any size."""
    for books in (
        Books(_numbered(300), serve.well, change.added(50)),
        Books(_numbered(250), serve.capped),
        Books(_numbered(250), serve.by_page),
        Books(_numbered(250), serve.well, change.left(60)),
    ):
        assert await judged(books, page_size=size) is None


@pytest.mark.parametrize(
    ("serving", "requests"), [(serve.well, 12), (serve.capped, 22), (serve.by_page, 26), (serve.without_either, 2)]
)
async def test_a_thousand_bills_take_as_many_requests_as_the_docs_say(serving: Serve, requests: int) -> None:
    """The figures of `docs/lists.md`."""
    books = Books(_numbered(1000), serving)
    assert await read(books) == (_numbered(1000), None)
    assert len(books.asked) == requests


LOSING = [
    Books(_rows, serving, changing)
    for _rows, serving, changing in (
        (list(range(1, 301)), serve.well, change.added(50)),
        (list(range(1, 251)), serve.capped, change.added(0)),
        (list(range(1, 251)), serve.by_page, change.added(0)),
        (list(range(1, 251)), serve.well, change.left(60)),
    )
]


@pytest.mark.parametrize("books", LOSING, ids=["added", "capped", "by page", "left"])
async def test_the_judge_finds_a_pager_that_only_counts(books: Books) -> None:
    """Control: a pager that adds up what came, and stops at a short page, loses rows against these servers."""
    found: set[str] = set()
    async with books.client() as client:
        for offset in itertools.count(step=50):
            page = (await client.bills._reads.page(BillFilter(), offset, 60 if books is LOSING[1] else 50)).items
            new = {bill.utility_enkash_id for bill in page} - found
            found |= new
            if not new or len(page) < 50 or (books is LOSING[1] and len(page) < 60):
                break
    assert not {f"U{row}" for row in books.staying} <= found


# --- properties -------------------------------------------------------------------------------------------------------


def _numbered(count: int) -> Rows:
    return list(range(1, count + 1))


@settings(max_examples=60)
@given(st.integers(0, 120), st.integers(1, 30), st.lists(st.integers(2, 30), min_size=1, max_size=8))
async def test_a_list_that_rests_comes_whole_and_in_order(count: int, size: int, caps: Sequence[int]) -> None:
    """The client reads any length in any page size to its end, whatever the caps, if pages have two rows or more."""

    def capped(rows: Rows, offset: int, limit: int, number: int) -> Rows:
        return rows[offset : offset + min(limit, caps[number % len(caps)])]

    assert await read(Books(_numbered(count), capped), page_size=size) == (_numbered(count), None)


#: Rows that join and leave at any place: (place, rows to add, rows to take) before each request.
MOVES = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 12), st.integers(0, 12)), max_size=12)


@settings(max_examples=150)
@given(st.integers(0, 60), st.integers(2, 12), MOVES, st.booleans(), st.booleans())
async def test_rows_that_stay_come_while_others_join_and_leave(
    count: int, size: int, moves: Sequence[tuple[float, int, int]], for_ever: bool, stated: bool
) -> None:
    """Rows are added and taken away at any place between any two requests, for some time or for ever."""
    new = iter(range(-1, -200, -1))

    def move(rows: Rows, number: int) -> None:
        if not moves or (number > len(moves) and not for_ever):
            return
        place, added, taken = moves[number % len(moves)]
        at = int(place * len(rows))
        rows[at : at + taken] = list(itertools.islice(new, added))

    await judged(Books(_numbered(count), serve.well, move, total.right if stated else None), page_size=size)


@settings(max_examples=60)
@given(st.integers(0, 60), st.integers(2, 12), st.integers(1, 8), st.randoms(use_true_random=False))
async def test_a_list_that_is_sorted_anew_once_comes_whole(count: int, size: int, when: int, random: Random) -> None:
    """The order changes at any time, and the client needs no error to give all rows once it rests."""
    await judged(
        Books(_numbered(count), serve.well, lambda rows, number: random.shuffle(rows) if number == when else None),
        page_size=size,
    )


@settings(max_examples=60)
@given(st.integers(0, 60), st.integers(2, 12), st.lists(st.integers(-3, 70), min_size=1, max_size=6))
async def test_any_total_gives_all_rows_or_an_error(count: int, size: int, stated: Sequence[int]) -> None:
    """A total may be anything, and another one in each reply: it never ends a list early."""
    totals = itertools.cycle(stated)
    await judged(Books(_numbered(count), serve.well, total=lambda _rows, _page: next(totals)), page_size=size)


@settings(max_examples=100)
@given(st.lists(st.lists(st.integers(1, 15), max_size=8), min_size=1, max_size=10), st.integers(2, 6))
async def test_replies_at_random_give_no_row_twice_and_end(pages: Sequence[Rows], size: int) -> None:
    """The client stops asking a server that answers without sense, for ever."""
    books = Books([], lambda _rows, _offset, _limit, number: pages[number % len(pages)])
    found, _ = await read(books, page_size=size)
    assert len(found) == len(set(found))
    assert len(books.asked) < 8 + 6 * 16 + 2
