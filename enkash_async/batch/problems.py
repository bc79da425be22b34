"""Collects the problems of a file by line and column, so that the user sees all of them at once."""

from __future__ import annotations

from enkash_async._support.text import clean
from enkash_async.errors import InvalidRequestError
from enkash_async.models.base import shown_short

__all__ = ["LONGEST_SHOWN", "Problems", "shown"]

_MOST_PROBLEMS = 20  # problems shown; about one screen
LONGEST_SHOWN = 6  # characters; a longer cell may be a consumer number in a wrong column


class Problems:
    """Collects the problems of a file.

    Args:
        file: Name of the file, for messages.
    """

    def __init__(self, file: str) -> None:
        self._file = clean(file)
        self._found: list[str] = []
        self._more = 0

    def add(self, text: str, line: int | None = None, column: str | None = None) -> None:
        """Note a problem.

        Args:
            text: What is wrong, and what to write instead.
            line: Number of the line; None means the file as a whole.
            column: Header of the column; None means the line as a whole.
        """
        if len(self._found) == _MOST_PROBLEMS:
            self._more += 1
            return
        place = self._file if line is None else f"{self._file}:{line}"
        self._found.append(": ".join(filter(None, (place, clean(column or ""), text))))

    def raise_any(self) -> None:
        """Raise the noted problems as one error, if there are any."""
        if self._found:
            raise self._error()

    def fatal(self, text: str, line: int | None = None) -> InvalidRequestError:
        """Note a problem that ends the reading, and return the error for the caller to raise."""
        self.add(text, line)
        return self._error()

    def _error(self) -> InvalidRequestError:
        more = [f"and {self._more} more"] if self._more else []
        return InvalidRequestError("\n".join([*self._found, *more]))


def shown(text: str) -> str:
    """Return a cell for a message; shorten a long one, which may be a consumer number in a wrong column."""
    return shown_short(clean(text)) if len(text) > LONGEST_SHOWN else repr(clean(text))
