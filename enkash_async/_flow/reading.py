"""Decides how to read a paged list: which page to request next, which rows are new, and whether all rows came.

EnKash documents neither the order of a list nor what `offset` counts, and a list may change while it is read. So pages
overlap by one row: each request begins at the last row of the previous page. The list ends when a page contains only
that row. A *pass* is one reading from the start of the list:

- If every page begins with the last row of the previous page, the list is complete after this pass.
- If a page begins with another row, rows were added or removed meanwhile. The pass goes on from a row that it knows,
  and goes back to find one if necessary. Another pass follows, because a row may have moved from a page that was still
  unread to a page that was already read.
- If `offset` counts pages, pages cannot overlap, and the list is complete after two equal passes.

If no pass shows that the list is complete, the reading ends with a `ResponseDecodeError`. One assumption: a server that
returns fewer rows per page than requested returns at least two.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, Generic, NoReturn, TypeVar

import attrs

from enkash_async._wire.page import Page
from enkash_async.errors import ResponseDecodeError

__all__ = ["Reading"]

T = TypeVar("T")

_MOST_PASSES = 4  # later passes cost little time: only the first pass waits while the caller uses its rows
_SPARE = 8  # allowed requests without new rows, even for the shortest list
_SPARE_PER_PAGE = 5  # allowed requests without new rows for each page with new rows: a later pass repeats rows

_NO_OFFSET = "EnKash ignores the offset, so that only the first rows can be read"


@attrs.define
class _Pass:
    """One reading from the start of the list.

    Attributes:
        base: Rows with this number or a higher number were met in this pass.
        first: Identifiers of the rows of the first page.
        last: Identifier of the last row of the last page.
        before_last: Identifier of the row before `last`; None if the last page was shorter than requested.
        pages: Number of pages that overlapped as expected.
        rows: Number of rows met, repeated rows included.
        met: Number of different rows met.
        total: The last stated total that was not below the number of rows met; None if no reply stated such a total.
        digest: Hash of the ids in order, repeated ids included.
        moved: Whether a page did not begin with the last row of the previous page.
        disordered: Whether a row came again, or rows came in another order than before.
        apart: Whether pages did not overlap, so that this pass alone proves nothing.
        known: Whether an old row came: a row that an earlier pass had met.
        gap: Whether a new row came after an old row.
        late: Whether another old row came after that new row.
    """

    base: int
    first: list[Any]
    last: Any = None
    before_last: Any = None
    pages: int = 1
    rows: int = 0
    met: int = 0
    total: int | None = None
    digest: int = 0
    moved: bool = False
    disordered: bool = False
    apart: bool = False
    known: bool = False
    gap: bool = False
    late: bool = False

    @property
    def lacks(self) -> bool:
        """Whether the stated total is higher than the number of rows that came."""
        return self.total is not None and self.total > self.met and self.total != self.rows

    @property
    def proves(self) -> bool:
        """Whether this pass alone shows that all rows came: each page began where the previous page ended."""
        return not (self.lacks or self.moved or self.disordered or self.apart)

    def confirms(self, before: _Pass | None) -> bool:
        """Whether this pass and the previous completed pass together show that all rows came."""
        if before is None or self.lacks:
            return False
        if not self.moved and not before.moved and self.digest == before.digest:
            return True  # equal passes are proof enough, even if rows repeat or pages do not overlap
        # The order of rows stayed the same. A row that the previous pass missed would lie between its rows.
        in_order = not any(one.disordered or one.apart for one in (self, before))
        return in_order and not self.late


class Reading(Generic[T]):
    """One iteration over a paged list, without I/O: request the page that `ask` returns, and pass the reply to `take`.

    Keeps the id and the number of every row, and the identifiers of the rows of one page, but not the rows themselves.
    A row without an id is its own identifier.

    Args:
        name: Name of the call, for errors.
        page_size: Rows to ask for at a time, at least 2.
        key: Returns the id of a row, or None.
    """

    def __init__(self, name: str, page_size: int, key: Callable[[T], Hashable | None]) -> None:
        self._name = name
        self._limit = page_size
        self._key = key
        self._numbers: dict[Hashable, int] = {}  # number of each row by its id, in the order in which rows came
        self._count = 0
        self._delivered = 0
        self._nameless = False  # whether a row without an id came
        self._calm = True  # whether no row can have come twice: every page of the first pass began as expected
        self._stuck = False  # whether the second page of a pass did not overlap with the first page
        self._by_page = False  # whether `offset` counts pages
        self._stated: int | None = None  # total that the current reply states
        self._pass = _Pass(0, [])
        self._before: _Pass | None = None  # the previous completed pass
        self._passes = 1
        self._useful = 0
        self._spent = 0
        self._stride = 0  # rows by which the last step went back: a quarter page at first, doubled by each step
        self._step: Callable[[Sequence[T]], list[T]] = self._start
        self._ask: tuple[int, int] | None = (0, page_size)

    def ask(self) -> tuple[int, int] | None:
        """Return the (offset, limit) of the next request, or None when the list is complete.

        Raises:
            ResponseDecodeError: Too many requests brought few new rows or none.
        """
        if self._ask is not None and self._spent > _SPARE + _SPARE_PER_PAGE * self._useful:
            self._fail("the pages do not fit together, or the list changes faster than it can be read")
        return self._ask

    def take(self, page: Page[T]) -> list[T]:
        """Return the new rows of a page, which no earlier page had.

        Raises:
            ResponseDecodeError: It cannot be known whether all rows came.
        """
        self._stated = page.total
        fresh = self._step(page.items)
        self._delivered += len(fresh)
        # `ask` compares these counts: otherwise, a list that changes with every request would be read for ever.
        if fresh and 4 * len(fresh) >= len(page.items):
            self._useful += 1
        else:
            self._spent += 1
        return fresh

    # --- steps: each takes the rows of a page --------------------------------------------

    def _start(self, rows: Sequence[T]) -> list[T]:
        """Take the first page of a pass."""
        names = self._names(rows)
        stuck = self._stuck and names == self._pass.first
        self._stuck = False
        self._pass = _Pass(self._count, names, apart=self._by_page or (not rows and self._stated != 0))
        self._stride = 0
        fresh = self._meet(rows, -1)
        if not rows and (self._stated == 0 or (self._before is not None and not self._before.first)):
            self._end()
        elif self._by_page:
            self._go(1, self._apart)
        elif stuck:
            # The previous pass got no further than this page, and the page is the same: `offset` may count pages.
            self._pass.last = names[1] if len(names) > 1 else None
            self._go(1, self._second_by_page)
        else:
            self._pass.last = names[-1] if len(names) > 1 else None
            self._pass.before_last = names[-2] if len(names) == self._limit else None
            self._go(max(1, len(rows) - 1), self._second)
        return fresh

    def _second(self, rows: Sequence[T]) -> list[T]:
        """Take the second page; if it equals the first page, the server ignores `offset`."""
        if not rows and len(self._pass.first) < 2:
            return self._end()
        if self._names(rows) == self._pass.first:
            return self._without_offset()
        return self._join(rows)

    def _second_by_page(self, rows: Sequence[T]) -> list[T]:
        """Take the reply to offset 1: the rows from the second row on, or the second page if `offset` counts pages."""
        names = self._names(rows)
        if names != self._pass.first and self._knows_any(names):
            return self._join(rows)
        self._by_page = self._pass.apart = True
        return self._apart(rows)

    def _join(self, rows: Sequence[T]) -> list[T]:
        """Take a page that should begin with the last row of the previous page."""
        reading, names = self._pass, self._names(rows)
        if names and names[0] == reading.last:
            if len(rows) == 1:
                return self._alone()
            fresh = self._meet(rows[1:], self._number(names[0]))
        elif self._knows_any(names):
            # Rows were added before this place. The rows that were not met yet follow the known row.
            self._disturb()
            reading.moved = True
            fresh = self._meet(rows, -1)
        else:
            return self._back(rows)
        self._joined(names)
        return fresh

    def _joined(self, names: list[Any]) -> None:
        reading = self._pass
        reading.last = names[-1]
        reading.before_last = names[-2] if len(names) == self._limit else None
        reading.pages += 1
        self._stride = 0
        self._go(self._offset + len(names) - 1, self._join)

    def _alone(self) -> list[T]:
        """Take a page that contains only the last row of the previous page: the end of the list."""
        if self._pass.before_last is None:
            return self._end()
        # A list seldom ends exactly with a full page. EnKash may have sent too few rows instead, so read the end again.
        self._go(self._offset - 1, self._alone_again)
        return []

    def _alone_again(self, rows: Sequence[T]) -> list[T]:
        """Take the reply to a second look at the end of the list; this look begins one row earlier."""
        reading, names = self._pass, self._names(rows)
        expected, reading.before_last = [reading.before_last, reading.last], None
        if names[:2] != expected:
            return self._join(rows)
        if len(rows) == 2:
            return self._end()
        fresh = self._meet(rows[2:], self._number(reading.last))
        self._joined(names)
        return fresh

    def _apart(self, rows: Sequence[T]) -> list[T]:
        """Take a page from a server whose `offset` counts pages; an empty page is the end."""
        if not rows:
            return self._end()
        self._pass.pages += 1
        self._go(self._offset + 1, self._apart)
        return self._meet(rows, -1)

    def _without_limit(self, rows: Sequence[T]) -> list[T]:
        """Take the reply to a smaller `limit`; a server that ignores `offset` returns the same rows or fewer."""
        names, first = self._names(rows), self._pass.first
        if names == first:
            return self._end()
        if names == first[:-1]:
            self._fail(_NO_OFFSET)
        # The remaining case: exactly one page of rows was inserted meanwhile, so the first page is now the second.
        self._disturb()
        self._go(0, self._start)
        return []

    # --- what follows -----------------------------------------------------------------------------------------------

    def _go(self, offset: int, step: Callable[[Sequence[T]], list[T]], limit: int | None = None) -> None:
        self._offset, self._step = offset, step
        self._ask = (offset, limit or self._limit)

    def _back(self, rows: Sequence[T]) -> list[T]:
        """After a page without a known row, go back to find one: rows before that page were removed."""
        # After the first page, a new start costs no more than going back, and saves another pass. Only one such start
        # is made: otherwise a list that keeps losing rows would never be read beyond this place.
        early = self._pass.pages == 1 and (self._calm or not rows)
        self._disturb()
        self._pass.moved = True
        self._stride = 2 * self._stride or max(1, self._limit // 4)
        offset = 0 if early else max(0, self._offset - self._stride)
        if offset:
            self._go(offset, self._join)
        else:
            self._stuck = self._pass.pages == 1
            self._before = None
            self._go(0, self._start)
        return []

    def _without_offset(self) -> list[T]:
        """Decide whether a server that ignores `offset` has shown the whole list, or only its first rows."""
        reading = self._pass
        count = len(reading.first)
        if reading.lacks or count == self._limit:
            self._fail(_NO_OFFSET)
        if count in {1, reading.total} or count > self._limit:
            return self._end()  # more rows than requested: the server ignores the limit too, and sent the whole list
        self._go(0, self._without_limit, limit=count - 1)
        return []

    def _end(self) -> list[T]:
        """Finish a pass: end the reading if the list is complete, else start another pass."""
        reading, before = self._pass, self._before
        self._note_total()
        if reading.proves or reading.confirms(before):
            self._ask = None
            return []
        rests = before is not None and reading.digest == before.digest
        if self._passes == _MOST_PASSES or (rests and reading.lacks):
            self._fail(_trouble(reading))
        self._disturb()
        self._passes += 1
        self._before = reading
        self._go(0, self._start)
        return []

    def _disturb(self) -> None:
        """Allow rows to come twice from now on; fail if rows have no id, since repeats could not be recognised."""
        self._calm = False
        if self._nameless:
            self._fail("its pages do not join, and some rows have no id by which they could be known again")

    def _fail(self, why: str) -> NoReturn:
        raise ResponseDecodeError(
            f"{self._name}: the list may lack rows, and it cannot be known: {why}; it gave {self._delivered} rows",
            status=200,
            where="payload",
        )

    # --- rows -------------------------------------------------------------------------------------------------------

    def _names(self, rows: Sequence[T]) -> list[Any]:
        """Return the identifier of each row: its id, or the row itself if it has no id."""
        return [row if (key := self._key(row)) is None else _Id(key) for row in rows]

    def _number(self, name: Any) -> int:
        """Return the number of a row; -1 if the row was not met in this pass."""
        number = self._numbers.get(name.key, -1) if isinstance(name, _Id) else -1
        return number if number >= self._pass.base else -1

    def _knows_any(self, names: list[Any]) -> bool:
        return any(self._number(name) >= 0 for name in names)

    def _meet(self, rows: Sequence[T], top: int) -> list[T]:
        """Return the rows that never came before, and note the order of all rows.

        Args:
            rows: Consecutive rows of the list.
            top: Number of the row before `rows`; -1 if there is none or it is unknown.
        """
        reading, fresh = self._pass, list[T]()
        for row in rows:
            reading.rows += 1
            key = self._key(row)
            if key is None:
                self._nameless = True
                if not self._calm:
                    self._disturb()
                reading.met += 1
                fresh.append(row)
                continue
            reading.digest = hash((reading.digest, key))
            number = self._numbers.get(key)
            if number is not None and number >= reading.base:
                reading.disordered |= number <= top
                top = number
                continue
            if number is None:
                fresh.append(row)
                reading.gap |= reading.known
            else:
                reading.known = True
                reading.late |= reading.gap
            self._numbers[key] = self._count
            self._count += 1
            reading.met += 1
        self._note_total()
        return fresh

    def _note_total(self) -> None:
        # A total below the number of rows that came must count something else, such as pages or the rows of one page.
        if self._stated is not None and self._stated >= self._pass.met:
            self._pass.total = self._stated


@attrs.frozen
class _Id:
    """The identifier of a row that has an id. A row without an id is its own identifier."""

    key: Hashable


def _trouble(reading: _Pass) -> str:
    if reading.lacks:
        return f"EnKash states a total of {reading.total} and shows {reading.met}"
    return f"it changed in each of {_MOST_PASSES} readings"
