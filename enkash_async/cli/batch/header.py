"""Reads the header of a batch file: what each column holds."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Mapping, Sequence

import attrs

from enkash_async._support.names import fold
from enkash_async._support.text import clean
from enkash_async.cli.batch.problems import LONGEST_SHOWN, Problems
from enkash_async.errors import InvalidRequestError
from enkash_async.models.base import shown_short

__all__ = [
    "ADDED", "BILLER", "CEILING", "CIRCLE", "CONSUMER", "HEADER", "NEEDED", "OUTCOME", "PARAM", "REFERENCE",
    "Column", "Names", "find_header", "header_name", "holds_reference", "read_columns", "seen",
]  # fmt: skip

REFERENCE, BILLER, CONSUMER, CIRCLE, CEILING = "reference", "biller_id", "param.cn", "circle", "max_amount"
PARAM = "param."
OUTCOME = "result_outcome"
ADDED = "result_"  # prefix of the columns that only a result file has
NEEDED = {BILLER: "biller_id", CONSUMER: "consumer_number"}
#: The accepted headers, without underscores, and what each means.
_MEANINGS = {
    **dict.fromkeys(("reference", "referenceid"), REFERENCE),
    **dict.fromkeys(("biller", "billerid"), BILLER),
    **dict.fromkeys(("cn", "consumer", "consumerno", "consumernumber"), CONSUMER),
    "circle": CIRCLE,
    **dict.fromkeys(("ceiling", "amountceiling", "max", "maxamount"), CEILING),
    **{f"ad{digit}": f"{PARAM}ad{digit}" for digit in range(1, 10)},
}
KNOWN = "reference, biller_id, consumer_number, circle, max_amount, ad1 to ad9 and param.NAME"
HEADER = "'reference,biller_id,consumer_number,max_amount'"

_NAME = 40  # characters of a name that are shown, so that a message stays one line
_CLOSE = 0.87  # similarity, 0 to 1, from which a header counts as a misspelling of a known one
_LIMITS = frozenset({"max", "maximum", "ceiling", "limit", "cap"})
_MARKS = ".:* _"  # behind a name: `Consumer No.`, or `Biller ID *` for a column that a form demands
_UNIT = re.compile(r"\s*[(\[](rs\.?|inr|₹|rupees)[)\]]$", re.IGNORECASE)


@attrs.frozen
class Column:
    """A column of the file.

    Attributes:
        index: Position of the column, from 0.
        header: The header as written; a repeated header has a number appended, as in `Notes (2)`.
        meaning: What the cells hold, such as `circle`. Empty for a column without a header. None for an unknown column,
            which is only copied into the result file.
    """

    index: int
    header: str
    meaning: str | None


def holds_reference(header: str) -> bool:
    """Whether the column with this header holds references."""
    return _meaning(header) == REFERENCE


class Names:
    """Knows what headers mean.

    Args:
        columns: The file's header for a column name of this package, such as `{"consumer_number": "Consumer No"}`; None
            accepts the known headers only.

    Raises:
        InvalidRequestError: A key of `columns` is not the name of a column of this package.
    """

    def __init__(self, columns: Mapping[str, str] | None = None) -> None:
        self.mapped: dict[str, tuple[str, str]] = {}  # meaning and column name, by normalised header
        for name, header in (columns or {}).items():
            meaning = _meaning(name)
            if not meaning or meaning in {ADDED, OUTCOME, PARAM}:
                raise InvalidRequestError(f"there is no column {clean(name)[:_NAME]!r} to read: use {KNOWN}")
            self.mapped[_plain(header)] = (meaning, name)

    def meaning(self, header: str) -> str | None:
        """Return the meaning of a header; an empty string for an empty header, None for an unknown header."""
        if (found := self.mapped.get(_plain(header))) is not None:
            return found[0]
        meaning = _meaning(header)
        return None if meaning in {one for one, _ in self.mapped.values()} else meaning

    def found(self, cells: Sequence[str]) -> set[str]:
        """Return the meanings of the header's columns whose cells are read."""
        return {meaning for cell in cells if (meaning := self.meaning(cell)) and meaning != ADDED}


def _plain(header: str) -> str:
    return " ".join(seen(header).split()).casefold()


def seen(header: str) -> str:
    """Return a header as the user sees it: without invisible characters, and full-width letters as plain ones."""
    return "".join(one for one in unicodedata.normalize("NFKC", header) if unicodedata.category(one) != "Cf").strip()


def _meaning(header: str) -> str | None:
    name = _UNIT.sub("", seen(header))
    if name.lower().startswith(PARAM):
        return PARAM + name[len(PARAM) :].strip()
    snake = _snake(name)
    if snake.startswith(ADDED):
        return OUTCOME if snake == OUTCOME else ADDED
    return _MEANINGS.get(fold(snake).rstrip(_MARKS)) if name else ""


def _snake(name: str) -> str:
    return re.sub(r"[\s\-]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)).lower()


def find_header(
    top: Sequence[tuple[int, list[str]]], names: Names, problems: Problems
) -> tuple[int, list[str], Sequence[tuple[int, list[str]]]]:
    """Return the line of the header, the header's cells, and the records below; skip titles above the header.

    A title is a record with fewer filled cells than the header. Any other record above the header may be a bill, so it
    is reported as a problem, not skipped.

    Args:
        top: The first records of the file.
        names: What headers mean.
        problems: Collects the problems of records above the header.
    """
    if not top:
        return 0, [], []
    at = next((at for at, (_, cells) in enumerate(top) if set(NEEDED) <= names.found(cells)), 0)
    line, header = top[at]
    for above, cells in top[:at]:
        if _filled(cells) >= _filled(header):
            problems.add(f"this line is above the header in line {line}: remove it, or put it below", above)
    return line, header, top[at + 1 :]


def _filled(cells: Sequence[str]) -> int:
    return sum(bool(cell.strip()) for cell in cells)


def read_columns(header: Sequence[str], line: int, names: Names, problems: Problems) -> list[Column]:
    """Return the columns, including those without a header, but without those that a result file adds."""
    meanings = [names.meaning(cell) for cell in header]
    if not names.found(header):
        # The file most likely has no header. The message does not show this line, which may hold consumer numbers.
        if len(header) == 1 and any(map(_meaning, re.split(r"[,;|:^~\s]+", header[0]))):
            raise problems.fatal(
                "the names of all columns are in one cell: separate them by commas, semicolons or tabs, and put no "
                "quotes around a whole line",
                line,
            )
        raise problems.fatal(
            f"this line is no header, no column of it is known: write one such as {HEADER} above it", line
        )
    first: dict[str, str] = {}
    for cell, meaning in zip(header, meanings, strict=True):
        name = clean(cell.strip())[:_NAME]
        if meaning == PARAM or meaning is None:
            if (doubt := _doubt(cell.strip())) is not None:
                problems.add(doubt, line)
        elif meaning in first and meaning not in {"", ADDED}:
            problems.add(f"the columns {first[meaning]!r} and {name!r} mean the same: remove one of them", line)
        first.setdefault(meaning or "", name)
    for meaning, mapped in names.mapped.values():
        if meaning not in first:
            problems.add(f"there is no column that was named for {clean(mapped)[:_NAME]}", line)
    for meaning, name in NEEDED.items():
        if meaning not in {*first, *(one for one, _ in names.mapped.values())}:
            advice = f"write a header such as {HEADER}, or name the column with --column {name}=HEADER"
            problems.add(f"there is no column {name}: {advice}", line)
    return [
        Column(at, cell, meaning)
        for at, (cell, meaning) in enumerate(zip(_distinct(header), meanings, strict=True))
        if meaning != ADDED
    ]


def _distinct(header: Sequence[str]) -> list[str]:
    """Return the headers with a number appended to repeated ones: `Notes`, `Notes (2)`."""
    found: list[str] = []
    for cell in header:
        name, number = cell, 1
        while name.strip() and name in found:
            number += 1
            name = f"{cell} ({number})"
        found.append(name)
    return found


def _doubt(header: str) -> str | None:
    """Return why an unknown header must not be ignored, or None. A misspelt `max_amount`, if ignored, sets no limit."""
    name = header_name(header)
    if header.lower() == PARAM:
        return f"column {name} names no input: write param.NAME with the name that the biller gives it"
    if _meaning(header):
        return None  # `columns` maps this meaning to another header
    folded = fold(_snake(_UNIT.sub("", header))).rstrip(_MARKS)
    if re.fullmatch(r"ad[0-9]+", folded):
        return f"column {name} is unknown: name it param.{folded} if the biller asks for it"
    close = difflib.get_close_matches(folded, _MEANINGS, n=1, cutoff=_CLOSE)
    known = _MEANINGS[close[0]] if close else None
    if known is None and _LIMITS & set(re.split(r"[^a-z]+", _snake(header))):
        known = CEILING
    if known is None:
        return None
    right = NEEDED.get(known, known)
    return (
        f"column {name} is unknown, and looks like {right}: call it {right} or name it with --column {right}=HEADER, "
        "or give it another name"
    )


def header_name(header: str) -> str:
    """Return a header for a message; shorten one that may be a consumer number."""
    name = clean(header.strip())[:_NAME]
    return shown_short(name) if sum(one.isdigit() for one in name) >= LONGEST_SHOWN else repr(name)
