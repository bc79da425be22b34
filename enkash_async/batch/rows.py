"""Reads the file of a batch: checks every row, and reports all problems at once, by line and column."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path

import attrs

from enkash_async._support import checks
from enkash_async._support.names import fold
from enkash_async._support.text import clean, exact_rupees
from enkash_async.batch.problems import LONGEST_SHOWN, Problems, shown
from enkash_async.batch.row import Row
from enkash_async.errors import InvalidRequestError
from enkash_async.models.base import shown_short

__all__ = ["holds_reference", "read_rows"]

_REFERENCE, _BILLER, _CONSUMER, _CIRCLE, _CEILING = "reference", "biller_id", "param.cn", "circle", "max_amount"
_PARAM = "param."
_OUTCOME = "result_outcome"
_ADDED = "result_"  # prefix of the columns that only a result file has
_NEEDED = {_BILLER: "biller_id", _CONSUMER: "consumer_number"}
#: The accepted headers, without underscores, and what each means.
_MEANINGS = {
    **dict.fromkeys(("reference", "referenceid"), _REFERENCE),
    **dict.fromkeys(("biller", "billerid"), _BILLER),
    **dict.fromkeys(("cn", "consumer", "consumerno", "consumernumber"), _CONSUMER),
    "circle": _CIRCLE,
    **dict.fromkeys(("ceiling", "amountceiling", "max", "maxamount"), _CEILING),
    **{f"ad{digit}": f"{_PARAM}ad{digit}" for digit in range(1, 10)},
}
_KNOWN = "reference, biller_id, consumer_number, circle, max_amount, ad1 to ad9 and param.NAME"
_HEADER = "'reference,biller_id,consumer_number,max_amount'"
_EXAMPLE = "'nov-2026-1,2001,123456789,5000'"
_AS_UTF8 = "save it as UTF-8 (Excel: 'CSV UTF-8')"

_DELIMITERS = (",", ";", "\t")
# How a spreadsheet rewrites a long number (1.23E+11), and a number in a cell with fixed decimals (123.00).
_SHORTENED = re.compile(r"[0-9]+([.,][0-9]+)?[eE]\+[0-9]+|[0-9]+[.,]0+")
_NAME = 40  # characters of a name that are shown, so that a message stays one line


def read_rows(path: Path, *, batch: str | None = None) -> list[Row]:
    """Return the rows of a file, in the file's order.

    The file is CSV in UTF-8 with a header; commas, semicolons or tabs separate the cells. A row without a reference
    gets one that is derived from the batch's name and the row's biller, circle and inputs. So a second run over the
    same file finds the bills of the first one, also when the rows are in another order or other columns have changed.
    A file that is used every month therefore needs a new name each time, or references of its own.

    Args:
        path: Path of the file.
        batch: The batch's name; None takes the file's name without its suffix and a `.result` before that.

    Returns:
        At least one row, each with a different reference.

    Raises:
        InvalidRequestError: The file cannot be read or has problems. The message has one line per problem, 20 at most,
            and shows no consumer number in full.
    """
    problems = Problems(path.name)
    text = _text(path, problems)
    delimiter = _delimiter(text)
    records = _records(text, delimiter, problems)
    line, header = next(records, (0, []))
    problems.raise_any()
    if not header:
        raise problems.fatal(
            f"the file is empty: begin it with a header such as {_HEADER}, then rows such as {_EXAMPLE}"
        )
    name = path.stem.removesuffix(".result") if batch is None else batch
    reader = _Reader(_columns(header, line, problems), len(header), problems, _batch(name, problems))
    problems.raise_any()
    rows = [reader.row(line, cells) for line, cells in records]
    problems.raise_any()
    if not rows:
        raise problems.fatal(f"there are no rows below the header: write one for each bill, such as {_EXAMPLE}")
    return [row for row in rows if row is not None]


def holds_reference(header: str) -> bool:
    """Whether the column with this header holds references."""
    return _meaning(header) == _REFERENCE


# --- bytes, text, records ---------------------------------------------------------------------------------------------


def _text(path: Path, problems: Problems) -> str:
    """Return the file's text, without a byte order mark."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise problems.fatal("there is no such file") from None
    except IsADirectoryError:
        raise problems.fatal("this is a directory: name a CSV file in it") from None
    except OSError as problem:
        raise problems.fatal(f"the file cannot be read: {problem.strerror or type(problem).__name__}") from None
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise problems.fatal(f"the file is UTF-16: {_AS_UTF8}", 1)
    if b"\0" in data:
        line = _line_at(data, data.index(b"\0"))
        raise problems.fatal(f"a NUL character, which is in no CSV file, but in UTF-16 and .xlsx: {_AS_UTF8}", line)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        # The error counts bytes after the byte order mark. The mark has no line break, so the line number is right.
        line = _line_at(problem.object, problem.start)
    # Raised outside the `except` block: as its context, the UnicodeDecodeError would keep the whole file.
    raise problems.fatal(f"the file is not UTF-8: {_AS_UTF8}", line)


def _line_at(data: bytes, position: int) -> int:
    return len((data[:position] + b"-").splitlines())


def _records(text: str, delimiter: str, problems: Problems) -> Iterator[tuple[int, list[str]]]:
    """Yield each record that is not blank, with the line in which it begins."""
    lines = io.StringIO(text, newline="")
    reader = csv.reader(lines, delimiter=delimiter, strict=True, skipinitialspace=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as problem:
            # After a syntax error, the start of the next record is unknown.
            problems.add(_syntax(problem), line)
            return
        if cells is None:
            return
        if any(cell.strip() for cell in cells):
            yield line, cells


def _syntax(problem: csv.Error) -> str:
    said = str(problem)
    if "unexpected end" in said:
        return "a quote is opened in this row and never closed: close it, or write a quote inside a cell twice"
    if "field limit" in said:
        return f"a cell of this row has more than {csv.field_size_limit()} characters: look for a quote never closed"
    return "a cell of this row goes on behind its closing quote: write a quote inside a quoted cell twice"


def _delimiter(text: str) -> str:
    """Return the delimiter with which the header has all needed columns, or else the most known columns.

    So a result file, which is written with commas, is read like its batch, even if a header contains a semicolon.
    """

    def fitness(delimiter: str) -> tuple[bool, int]:
        _, header = next(_records(text, delimiter, Problems("")), (1, []))
        found = {_meaning(cell) for cell in header} - {None, "", _ADDED}
        return set(_NEEDED) <= found, len(found)

    return max(_DELIMITERS, key=fitness)  # `max` takes the first of equals: the comma


# --- the header -------------------------------------------------------------------------------------------------------


@attrs.frozen
class _Column:
    """A column to read.

    Attributes:
        index: Place of the column, from 0.
        header: Its header as written.
        meaning: What its cells hold, such as `circle`; empty for a column without a header.
    """

    index: int
    header: str
    meaning: str


def _meaning(header: str) -> str | None:
    """Return the meaning of a header in one spelling; an empty string for no header, None for an unknown one."""
    name = header.strip()
    if name.lower().startswith(_PARAM):
        return _PARAM + name[len(_PARAM) :].strip()
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    snake = re.sub(r"[\s\-]+", "_", words).lower()
    if snake.startswith(_ADDED):
        return _OUTCOME if snake == _OUTCOME else _ADDED
    return _MEANINGS.get(fold(snake).rstrip(".")) if name else ""


def _columns(header: Sequence[str], line: int, problems: Problems) -> list[_Column]:
    """Return the columns to read, also those without a header."""
    meanings = [_meaning(cell) for cell in header]
    if not any(meaning not in {None, "", _ADDED} for meaning in meanings):
        # The file most likely has no header. This line may hold consumer numbers, so the message does not show it.
        raise problems.fatal(
            f"this line is no header, no column of it is known: write one such as {_HEADER} above it", line
        )
    first: dict[str, str] = {}
    for cell, meaning in zip(header, meanings, strict=True):
        name = clean(cell.strip())[:_NAME]
        if meaning is None or meaning == _PARAM:
            problems.add(_unknown(name), line)
        elif meaning in first and meaning not in {"", _ADDED}:
            problems.add(f"the columns {first[meaning]!r} and {name!r} mean the same: remove one of them", line)
        first.setdefault(meaning or "", name)
    for meaning, name in _NEEDED.items():
        if meaning not in first:
            problems.add(f"there is no column {name}: write a header such as {_HEADER}", line)
    named = zip(header, meanings, strict=True)
    return [_Column(at, cell, word) for at, (cell, word) in enumerate(named) if word is not None and word != _ADDED]


def _unknown(name: str) -> str:
    if name.lower() == _PARAM:
        return f"column {name!r} names no input: write param.NAME with the name that the biller gives it"
    if sum(character.isdigit() for character in name) >= LONGEST_SHOWN:  # it may be a consumer number
        return f"column {shown_short(name)} is unknown: remove it, or use a known name: {_KNOWN}"
    return (
        f"column {name!r} is unknown: remove it, name it param.{name} if the biller asks for it, "
        f"or use a known name: {_KNOWN}"
    )


# --- a row ------------------------------------------------------------------------------------------------------------


def _batch(name: str, problems: Problems) -> str:
    """Return the batch's name in Unicode form NFC: file systems store one name in different forms."""
    if not name.strip():
        problems.add("the batch has no name: give it one such as november-2026")
    return unicodedata.normalize("NFC", name.strip())


def _derived(batch: str, biller_id: int, circle: str | None, params: Mapping[str, str]) -> str:
    """Return a reference that is the same for the same bill in the same batch.

    The readable part keeps ASCII alone, so two batches can share it: `नवंबर-2026` and `दिसंबर-2026` both give `2026`.
    The hash covers the whole name; without it the next month's bills would be taken for paid.
    """
    facts = json.dumps([batch, biller_id, circle, sorted(params.items())])
    short = re.sub(r"[^A-Za-z0-9._-]+", "-", batch)[:_NAME].strip("._-") or "batch"
    return f"{short}-{hashlib.sha256(facts.encode('ascii')).hexdigest()[:16]}"


def _odd(number: str) -> str | None:
    """Return what is wrong with the characters of a consumer number, or None."""
    hidden_one = next((one for one in number if not one.isprintable()), None)
    if hidden_one is not None:
        return f"there is an invisible character in it (U+{ord(hidden_one):04X}): type the cell again"
    if {"'", '"'} & set(number):  # users write '00123 or ="00123" to keep the zeros in a spreadsheet
        return "there is a quotation mark in it: write the number alone"
    return None


class _Reader:
    """Turns records into rows, and notes their problems.

    Args:
        columns: The columns to read.
        width: Number of cells of the header.
        problems: Collects the problems.
        batch: The batch's name.
    """

    def __init__(self, columns: Sequence[_Column], width: int, problems: Problems, batch: str) -> None:
        self._columns = [column for column in columns if column.meaning]
        self._unnamed = {column.index for column in columns if not column.meaning}
        self._headers = {column.meaning: column.header.strip() for column in self._columns}
        self._width = width
        self._problems = problems
        self._batch = batch
        self._lines: dict[str, tuple[int, bool]] = {}  # by reference: its line, and whether it is derived

    def row(self, line: int, cells: Sequence[str]) -> Row | None:
        """Return the row of a record; if it has problems, note at least one and return None."""
        if not self._fits(line, cells):
            return None
        cells = [*cells, *[""] * (self._width - len(cells))]
        values = {column.meaning: text for column in self._columns if (text := cells[column.index].strip())}
        biller = self._biller_id(line, values.get(_BILLER))
        params = self._params(line, values)
        max_amount = self._max_amount(line, values.get(_CEILING))
        circle, own = values.get(_CIRCLE), values.get(_REFERENCE)
        reference = None if own is None else self._own(line, own)
        if biller is not None and params is not None and own is None:
            reference = _derived(self._batch, biller, circle, params)
        if reference is not None:
            self._compare(line, reference, derived=own is None)
        if biller is None or params is None or reference is None:
            return None
        return Row(
            line=line,
            reference_id=reference,
            biller_id=biller,
            params=params,
            circle=circle,
            max_amount=max_amount,
            given={column.header: cells[column.index] for column in self._columns if column.meaning != _OUTCOME},
            unclear=values.get(_OUTCOME) == "UNKNOWN",
            derived=own is None,
        )

    def _fits(self, line: int, cells: Sequence[str]) -> bool:
        # A surplus cell mostly comes from an unquoted comma in a cell: all later cells are then in wrong columns.
        if any(cell.strip() for cell in cells[self._width :]):
            wrong = f"the row has {len(cells)} cells, but the header has {self._width}"
            self._note(line, None, f"{wrong}: put a cell that holds a comma into quotes")
            return False
        for index in sorted(self._unnamed):
            if index < len(cells) and cells[index].strip():
                self._unnamed.remove(index)  # notes each column only once
                self._note(line, None, f"column {index + 1} has no name in the header: name it, or empty its cells")
        return True

    def _biller_id(self, line: int, text: str | None) -> int | None:
        if text is not None and re.fullmatch(r"[0-9]{1,10}", text) and 0 < int(text) < 2**31:
            return int(text)
        wrong = "is empty" if text is None else f"not {shown(text)}"
        self._note(line, _BILLER, f"write EnKash's number of the biller, such as 2001; {wrong}")
        return None

    def _params(self, line: int, values: Mapping[str, str]) -> dict[str, str] | None:
        if _CONSUMER not in values:
            self._note(line, _CONSUMER, "is empty: write the consumer number")
            return None
        found = {_CONSUMER: values[_CONSUMER], **{name: it for name, it in values.items() if name.startswith(_PARAM)}}
        # Checks all cells, so that every wrong one is reported.
        sound = [self._is_sound(line, meaning, text) for meaning, text in found.items()]
        return {name.removeprefix(_PARAM): text for name, text in found.items()} if all(sound) else None

    def _is_sound(self, line: int, meaning: str, text: str) -> bool:
        """Whether a cell still holds what the user typed; notes a problem if a spreadsheet has changed it."""
        wrong = None
        if _SHORTENED.fullmatch(text):
            wrong = "a spreadsheet has changed the number: format the column as text, and write the number again"
        elif meaning == _CONSUMER:  # other inputs may be names with invisible joiners, or addresses with line breaks
            wrong = _odd(text)
        if wrong is not None:
            self._note(line, meaning, wrong)
        return wrong is None

    def _max_amount(self, line: int, text: str | None) -> Decimal | None:
        amount = None if text is None else exact_rupees(text)
        if text is not None and amount is None:
            least = ", at least 1" if text.startswith("0") else ""
            self._note(line, _CEILING, f"write rupees such as 2450.75{least}, not {shown(text)}")
        return amount

    def _own(self, line: int, text: str) -> str | None:
        """Return the row's own reference; if it is invalid, note that and return None."""
        if not self._is_sound(line, _REFERENCE, text):
            return None
        try:
            return checks.identifier(text, "it")
        except InvalidRequestError as problem:
            self._note(line, _REFERENCE, str(problem))
            return None

    def _compare(self, line: int, reference: str, *, derived: bool) -> None:
        """Note a problem if an earlier row has the same reference."""
        before, both = self._lines.setdefault(reference, (line, derived))
        if before == line:
            return
        if derived and both:
            same = f"the same biller and consumer as line {before}"
            self._note(line, None, f"{same}: remove one of the two, or give them references of their own")
        else:
            self._note(line, _REFERENCE, f"is already used in line {before}: give each bill one of its own")

    def _note(self, line: int, meaning: str | None, text: str) -> None:
        self._problems.add(text, line, None if meaning is None else self._headers.get(meaning, meaning))
