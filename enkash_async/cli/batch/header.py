"""The header of a batch file: which column holds what."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence

import attrs

from enkash_async._support.names import fold
from enkash_async._support.text import clean
from enkash_async.cli.batch.problems import LONGEST_SHOWN, Problems
from enkash_async.errors import InvalidRequestError
from enkash_async.models.base import shown_short

__all__ = [
    "ADDED", "BILLER", "CEILING", "CIRCLE", "CONSUMER", "HEADER", "NEEDED", "OUTCOME", "PARAM", "REFERENCE",
    "Column", "Names", "find_header", "header_name", "holds_reference", "read_columns",
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
_CLOSE = 0.87  # likeness of two names from which one is taken for a misspelling of the other
_LIMITS = frozenset({"max", "maximum", "ceiling", "limit", "cap"})
_UNIT = re.compile(r"\s*[(\[](rs\.?|inr|₹|rupees)[)\]]$", re.IGNORECASE)


@attrs.frozen
class Column:
    """A column of the file.

    Attributes:
        index: Place of the column, from 0.
        header: Its header as written; a second one of the same name has a number behind it.
        meaning: What its cells hold, such as `circle`; empty for a column without a header, None for a column that is
            not read, only copied into the result file.
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
        columns: The header of the file by the name that this package gives the column; None for the known headers only.

    Raises:
        InvalidRequestError: There is no column of this name.
    """

    def __init__(self, columns: Mapping[str, str] | None = None) -> None:
        self.mapped: dict[str, tuple[str, str]] = {}  # by the plain form of a header: what it means, and its name
        for name, header in (columns or {}).items():
            meaning = _meaning(name)
            if not meaning or meaning in {ADDED, OUTCOME, PARAM}:
                raise InvalidRequestError(f"there is no column {clean(name)[:_NAME]!r} to read: use {KNOWN}")
            self.mapped[_plain(header)] = (meaning, name)

    def meaning(self, header: str) -> str | None:
        """Return what a header means; an empty string for no header, None for an unknown one."""
        if (found := self.mapped.get(_plain(header))) is not None:
            return found[0]
        meaning = _meaning(header)
        return None if meaning in {one for one, _ in self.mapped.values()} else meaning

    def found(self, cells: Sequence[str]) -> set[str]:
        """Return what is read from the columns of a header."""
        return {meaning for cell in cells if (meaning := self.meaning(cell)) and meaning != ADDED}


def _plain(header: str) -> str:
    return " ".join(header.split()).casefold()


def _meaning(header: str) -> str | None:
    name = _UNIT.sub("", header.strip())
    if name.lower().startswith(PARAM):
        return PARAM + name[len(PARAM) :].strip()
    snake = _snake(name)
    if snake.startswith(ADDED):
        return OUTCOME if snake == OUTCOME else ADDED
    return _MEANINGS.get(fold(snake).rstrip(".")) if name else ""


def _snake(name: str) -> str:
    return re.sub(r"[\s\-]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)).lower()


def find_header(
    top: Sequence[tuple[int, list[str]]], names: Names, problems: Problems
) -> tuple[int, list[str], Sequence[tuple[int, list[str]]]]:
    """Return the line of the header, its cells, and the records below it; skip titles above it.

    A title is a record that has fewer cells than the header: a record above it that could be a bill is not skipped.

    Args:
        top: The first records of the file.
        names: What headers mean.
        problems: Gets what is wrong with records above the header.
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
    """Return the columns, also those without a header, but not those that a result file adds."""
    meanings = [names.meaning(cell) for cell in header]
    if not names.found(header):
        # The file most likely has no header. This line may hold consumer numbers, so the message does not show it.
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
    """Return the headers; a number tells those apart that stand there twice, such as two columns «Notes»."""
    found: list[str] = []
    for cell in header:
        name, number = cell, 1
        while name.strip() and name in found:
            number += 1
            name = f"{cell} ({number})"
        found.append(name)
    return found


def _doubt(header: str) -> str | None:
    """Return why an unknown header may not be left aside, or None: a misspelt ceiling would be no ceiling."""
    name = header_name(header)
    if header.lower() == PARAM:
        return f"column {name} names no input: write param.NAME with the name that the biller gives it"
    if _meaning(header):
        return None  # known, but another column was named for it
    folded = fold(_snake(_UNIT.sub("", header))).rstrip(".")
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
