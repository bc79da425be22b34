"""Reading a paged list whose rows have no ids, or of which only some have one."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import pytest

from enkash_async._flow.reading import Reading
from enkash_async._wire.page import Page
from enkash_async.errors import ResponseDecodeError, RetryAdvice


@attrs.frozen
class Row:
    key: int | None
    text: str = ""


Change = Callable[[list[Row], int], object]


def read_all(rows: list[Row], *, size: int = 3, change: Change = lambda _rows, _number: None) -> list[Row]:
    """Read an honest list that `change` alters before each request of a number."""
    reading = Reading[Row]("test", size, lambda row: row.key)
    found: list[Row] = []
    number = 0
    while (ask := reading.ask()) is not None:
        number += 1
        assert number < 100, "it does not end"
        change(rows, number)
        offset, limit = ask
        found += reading.take(Page(rows[offset : offset + limit]))
    return found


def nameless(count: int) -> list[Row]:
    return [Row(None, f"row {number}") for number in range(count)]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 6, 7])
def test_rows_without_an_id_come_whole(count: int) -> None:
    """The overlap is found by comparing whole rows."""
    assert read_all(nameless(count)) == nameless(count)


def test_equal_rows_without_an_id_are_all_kept() -> None:
    """Two bills that look alike may be two bills."""
    rows = [Row(None, "twin"), Row(None, "twin"), *nameless(3)]
    assert read_all(list(rows)) == rows


def test_rows_with_and_without_an_id_come_in_the_order_of_the_server() -> None:
    """Ids and whole rows are compared alike, and 0 is an id."""
    rows = [Row(0), Row(None, "a"), Row(2), Row(None, "b"), Row(3), Row(None, "c"), Row(4)]
    assert read_all(list(rows)) == rows


def test_a_last_row_that_leaves_before_the_second_look_is_no_end() -> None:
    """The second look shows other rows than the first one, and the list is read again."""
    rows = [Row(number) for number in range(9)]
    assert read_all(rows, size=9, change=lambda rows, number: rows.pop() if number == 3 else None) == [
        Row(number) for number in range(9)
    ]


@pytest.mark.parametrize("place", [0, 2])
def test_rows_without_an_id_cannot_be_read_while_they_move(place: int) -> None:
    """A row that comes again could not be told from a new one, so the reading ends with an error."""

    def move(rows: list[Row], number: int) -> None:
        if number == 2:
            del rows[place]

    with pytest.raises(ResponseDecodeError, match="some rows have no id"):
        read_all(nameless(9), change=move)


def test_a_row_without_an_id_that_appears_after_a_move_ends_the_reading() -> None:
    """It may have come before, in the pass that the move disturbed."""

    def move(rows: list[Row], number: int) -> None:
        if number == 2:
            del rows[0]
        if number == 4:
            rows.append(Row(None, "new"))

    with pytest.raises(ResponseDecodeError, match="some rows have no id"):
        read_all([Row(number) for number in range(7)], change=move)


def test_a_list_that_never_comes_in_the_same_order_ends_with_an_error() -> None:
    """After four readings the error says so, names the call and the rows that came, and advises to try later."""

    def turn(rows: list[Row], number: int) -> None:
        if number % 3 == 0:
            rows.reverse()

    with pytest.raises(ResponseDecodeError) as caught:
        read_all([Row(number) for number in range(40)], size=20, change=turn)
    assert str(caught.value) == (
        "test: the list may lack rows, and it cannot be known: it changed in each of 4 readings; it gave 40 rows"
    )
    assert (caught.value.where, caught.value.status, caught.value.retry) == ("payload", 200, RetryAdvice.LATER)
