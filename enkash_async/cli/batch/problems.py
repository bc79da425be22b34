"""Collects the problems of a file by line and column, so that the user sees all of them at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs

from enkash_async._support.text import clean
from enkash_async.errors import InvalidRequestError
from enkash_async.models.base import shown_short

__all__ = ["LONGEST_SHOWN", "Problems", "shown"]

_MOST_PROBLEMS = 20  # problems shown; about one screen
_MOST_EQUAL = 3  # equal problems shown one by one; more are merged into one line, so that rare problems stay visible
_MOST_RANGES = 5  # ranges of line numbers in a merged line
LONGEST_SHOWN = 6  # characters; a longer cell may be a consumer number in a wrong column


@attrs.define
class _Equal:
    """Problems of one kind in one column: the texts of the first few, and the line numbers of all."""

    column: str
    first: list[tuple[int, int | None, str]] = attrs.Factory(list)  # for each problem: its number, its line, its text
    lines: list[int] = attrs.Factory(list)


class Problems:
    """Collects the problems of a file.

    Args:
        file: Name of the file, for messages.
    """

    def __init__(self, file: str) -> None:
        self._file = clean(file)
        self._found: dict[tuple[str, str], _Equal] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, text: str, line: int | None = None, column: str | None = None, *, kind: str | None = None) -> None:
        """Note a problem.

        Args:
            text: What is wrong, and what to write instead.
            line: Number of the line; None means the file as a whole.
            column: Header of the column; None means the line as a whole.
            kind: Key under which many equal problems are merged into one line; None takes `text`.
        """
        equal = self._found.setdefault((column or "", kind or text), _Equal(clean(column or "")))
        if len(equal.first) < _MOST_EQUAL:
            equal.first.append((self._count, line, text))
        if line is not None:
            equal.lines.append(line)
        self._count += 1

    def raise_any(self) -> None:
        """Raise the noted problems as one error, if there are any."""
        if self._found:
            raise self._error()

    def fatal(self, text: str, line: int | None = None) -> InvalidRequestError:
        """Note a problem that ends the reading, and return the error for the caller to raise."""
        self.add(text, line)
        return self._error()

    def _error(self) -> InvalidRequestError:
        texts = [text for _, _, text in sorted(self._texts())]
        more = [f"and {len(texts) - _MOST_PROBLEMS} more"] if len(texts) > _MOST_PROBLEMS else []
        return InvalidRequestError("\n".join([*texts[:_MOST_PROBLEMS], *more]))

    def _texts(self) -> Iterator[tuple[int, int, str]]:
        """Yield line, number and text of each problem; the caller sorts by line and number."""
        for equal in self._found.values():
            if len(equal.lines) <= _MOST_EQUAL:
                for number, line, text in equal.first:
                    yield line or 0, number, self._text(line, equal.column, text)
            else:
                number, line, text = equal.first[0]
                many = f"{len(equal.lines)} rows: {text} (lines {_ranges(equal.lines)})"
                yield line or 0, number, self._text(line, equal.column, many)

    def _text(self, line: int | None, column: str, text: str) -> str:
        place = self._file if line is None else f"{self._file}:{line}"
        return ": ".join(filter(None, (place, column, text)))


def _ranges(lines: Sequence[int]) -> str:
    """Return line numbers as ranges, such as `2-7, 9`."""
    ranges: list[list[int]] = []
    for line in lines:
        if ranges and line == ranges[-1][1] + 1:
            ranges[-1][1] = line
        else:
            ranges.append([line, line])
    texts = [str(first) if first == last else f"{first}-{last}" for first, last in ranges[:_MOST_RANGES]]
    return ", ".join([*texts, *(["…"] if len(ranges) > _MOST_RANGES else [])])


def shown(text: str) -> str:
    """Return a cell for a message; shorten a long one, which may be a consumer number in a wrong column."""
    return shown_short(clean(text)) if len(text) > LONGEST_SHOWN else repr(clean(text))
