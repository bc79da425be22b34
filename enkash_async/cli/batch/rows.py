"""Reads the file of a batch: checks every row, and reports all problems at once, by line and column."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import chain, islice
from pathlib import Path

import attrs

from enkash_async._support import checks
from enkash_async._support.text import folded
from enkash_async.cli.batch import header as heads
from enkash_async.cli.batch.cells import altered, hidden_in, is_total, odd, rupees_of, shown_amount, stray
from enkash_async.cli.batch.header import Column, Names, find_header, read_columns
from enkash_async.cli.batch.problems import Problems, shown
from enkash_async.cli.batch.row import Row
from enkash_async.cli.batch.source import DELIMITERS, is_stream, name_of, records, text_of, without_preamble
from enkash_async.errors import InvalidRequestError

__all__ = ["read_rows"]

_EXAMPLE = "'nov-2026-1,2001,123456789,5000'"
_NAME = 40  # characters of the batch's name that a reference contains
_TOP = 20  # records at the top of the file that may be the header


def read_rows(path: Path, *, batch: str | None = None, columns: Mapping[str, str] | None = None) -> list[Row]:
    """Return the rows of a file, in the file's order.

    The file is CSV in UTF-8 with a header; commas, semicolons, tabs or bars separate the cells. Titles above the header
    are skipped, and the cells of unknown columns are kept in `Row.given`. A row that repeats an earlier row is the same
    bill, and is kept in the earlier row's `copies`.

    For a row without a reference, the reference is derived from the batch's name and the row's biller, circle and
    inputs. So a second run over the same file finds the bills of the first run, even if the order of the rows or other
    columns have changed. A file that is used every month therefore needs a new name each month, or its own references.

    Args:
        path: Path of the file; `-` is standard input.
        batch: The batch's name; None takes the file's name without its suffix and a preceding `.result`,
            and for a link the name of the file it leads to.
        columns: The file's headers by column name, such as `{"consumer_number": "Consumer No", "param.Zone": "Zone"}`;
            None reads the known headers only.

    Returns:
        At least one row, each with a different reference. `Row.request` is what `payments.pay_many` takes.

    Raises:
        InvalidRequestError: The file cannot be read or has problems. The message has one line per problem, 20 at most,
            and shows no consumer number in full.
    """
    names = Names(columns)
    problems = Problems(name_of(path))
    text, delimiter = without_preamble(text_of(path, problems))
    found = records(text, delimiter or _delimiter(text, names), problems)
    top = list(islice(found, _TOP))
    syntax = len(problems)
    line, header, below = find_header(top, names, problems)
    if not header:
        problems.raise_any()
        raise problems.fatal(
            f"the file is empty: begin it with a header such as {heads.HEADER}, then rows such as {_EXAMPLE}"
        )
    reader = _Reader(read_columns(header, line, names, problems), header, problems, _batch(path, batch, problems))
    if len(problems) > syntax:  # after a wrong header, every row would be reported too
        problems.raise_any()
    for each, cells in chain(below, found):
        reader.add(each, cells)
    problems.raise_any()
    if not reader.rows:
        raise problems.fatal(f"there are no rows below the header: write one for each bill, such as {_EXAMPLE}")
    return reader.rows


def _delimiter(text: str, names: Names) -> str:
    """Return the delimiter with which a header has all needed columns, or else the most known columns.

    So a result file, which has commas, is read correctly even if one of its headers contains a semicolon.
    """

    def fitness(delimiter: str) -> tuple[bool, int]:
        top = islice(records(text, delimiter, Problems("")), _TOP)
        return max(
            ((set(heads.NEEDED) <= (found := names.found(cells)), len(found)) for _, cells in top), default=(False, 0)
        )

    return max(DELIMITERS, key=fitness)  # of equally good delimiters, `max` takes the first: the comma


def _batch(path: Path, name: str | None, problems: Problems) -> str | None:
    """Return the batch's name in Unicode form NFC, since file systems differ in the form; None for a pipe.

    A link has the name of the file it leads to: otherwise the link and the file would pay the same bills twice.
    """
    if name is None and is_stream(path):
        return None
    name = path.resolve().stem.removesuffix(".result") if name is None else name
    if not name.strip():
        problems.add("the batch has no name: give it one such as november-2026")
    return unicodedata.normalize("NFC", name.strip())


def _derived(batch: str, biller_id: int, circle: str | None, params: Mapping[str, str]) -> str:
    """Return a reference that is the same for the same bill in the same batch.

    Spellings that `pay` treats as equal give the same reference, and so do spellings of a file's name that some file
    systems treat as equal: otherwise a cell that was edited from `mum` to `MUM` would pay its bill again.

    The readable part keeps only ASCII characters, so two batches can share this part: `नवंबर-2026` and `दिसंबर-2026`
    both give `2026`. The hash covers the whole name: otherwise the next month's bills would be taken for paid.
    """
    batch = folded(batch)
    inputs = sorted((name, folded(value)) for name, value in params.items())
    facts = json.dumps([batch, biller_id, None if circle is None else folded(circle).upper(), inputs])
    short = re.sub(r"[^A-Za-z0-9._-]+", "-", batch)[:_NAME].strip("._-") or "batch"
    return f"{short}-{hashlib.sha256(facts.encode('ascii')).hexdigest()[:16]}"


class _Reader:
    """Turns records into rows, and notes their problems.

    Args:
        columns: The columns of the file.
        header: The cells of the header.
        problems: Collects the problems.
        batch: The batch's name, or None for a pipe, from which no reference can be derived.
    """

    def __init__(self, columns: Sequence[Column], header: Sequence[str], problems: Problems, batch: str | None) -> None:
        self._read = [column for column in columns if column.meaning]
        self._kept = [column for column in columns if column.meaning not in {"", heads.OUTCOME}]
        self._unread = tuple(column.header.strip() for column in columns if column.meaning is None)
        self._unnamed = {column.index for column in columns if column.meaning == ""}
        self._headers = {str(column.meaning): column.header.strip() for column in self._read}
        self._header = [heads.seen(cell) for cell in header]
        self._width = len(header)
        self._ceiling = next((column.index for column in columns if column.meaning == heads.CEILING), None)
        self._problems = problems
        self._batch = batch
        self._lines: dict[str, tuple[int, bool]] = {}  # of each reference: its line, and whether it is derived
        self._rows: dict[str, Row] = {}

    @property
    def rows(self) -> list[Row]:
        """The rows so far, without rows that repeat an earlier row."""
        return list(self._rows.values())

    def add(self, line: int, cells: Sequence[str]) -> None:
        """Turn a record into a row and keep the row, or note at least one problem of the record."""
        if not self._fits(line, cells):
            return
        is_cut = self._ceiling is not None and len(cells) <= self._ceiling
        cells = [*cells, *[""] * (self._width - len(cells))]
        values = {str(column.meaning): text for column in self._read if (text := cells[column.index].strip())}
        if (other := self._no_bill(cells, values)) is not None:
            self._note(line, None, other)
            return
        biller = self._biller_id(line, values.get(heads.BILLER))
        params = self._params(line, values)
        max_amount = self._max_amount(line, values.get(heads.CEILING))
        circle, own = self._circle(line, values.get(heads.CIRCLE)), values.get(heads.REFERENCE)
        reference = None if own is None else self._own(line, own)
        if biller is not None and params is not None and own is None:
            reference = self._derive(line, biller, circle, params)
        if biller is None or params is None:
            if reference is not None:
                self._compare(line, reference, derived=own is None)
        elif reference is not None:
            self._keep(
                Row(
                    line=line,
                    reference_id=reference,
                    biller_id=biller,
                    params=params,
                    circle=circle,
                    max_amount=max_amount,
                    given={column.header: cells[column.index] for column in self._kept},
                    unclear=values.get(heads.OUTCOME) == "UNKNOWN",
                    derived=own is None,
                    is_cut=is_cut,
                    unread=self._unread,
                )
            )

    def _keep(self, row: Row) -> None:
        first = self._rows.get(row.reference_id)
        if first is not None and first.is_same_bill(row):
            unclear = first.unclear or row.unclear
            self._rows[row.reference_id] = attrs.evolve(first, copies=(*first.copies, row), unclear=unclear)
        elif self._compare(row.line, row.reference_id, derived=row.derived):
            self._rows[row.reference_id] = row

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

    def _no_bill(self, cells: Sequence[str], values: Mapping[str, str]) -> str | None:
        """Return what to do with a line that is no bill, such as a total, or None for a bill."""
        if [heads.seen(cell) for cell in cells] == self._header:
            return "this line repeats the header: remove it"
        needed = [values.get(meaning, "") for meaning in heads.NEEDED]
        if is_total(needed) or (is_total(cells) and "" in needed):
            return "this line looks like a total, not like a bill: remove it"
        if not any(needed):
            return "this line names neither biller nor consumer: remove it, or fill in biller_id and consumer_number"
        return None

    def _biller_id(self, line: int, text: str | None) -> int | None:
        if text is not None and re.fullmatch(r"[0-9]{1,10}", text) and 0 < int(text) < 2**31:
            return int(text)
        wrong = None if text is None else stray(text, is_id=True, is_needed=True) or hidden_in(text)
        if wrong is None:
            found = "is empty" if text is None else f"not {shown(text)}"
            wrong = f"write EnKash's number of the biller, such as 2001; {found}"
        self._note(line, heads.BILLER, wrong, kind="no number" if text is not None and "; not " in wrong else None)
        return None

    def _params(self, line: int, values: Mapping[str, str]) -> dict[str, str] | None:
        if heads.CONSUMER not in values:
            self._note(line, heads.CONSUMER, "is empty: write the consumer number")
            return None
        others = {name: it for name, it in values.items() if name.startswith(heads.PARAM)}
        found = {heads.CONSUMER: values[heads.CONSUMER], **others}
        # Checks all cells, so that every wrong cell is reported.
        sound = [self._is_sound(line, meaning, text) for meaning, text in found.items()]
        return {name.removeprefix(heads.PARAM): text for name, text in found.items()} if all(sound) else None

    def _is_sound(self, line: int, meaning: str, text: str) -> bool:
        """Whether a cell still holds what the user typed; notes a problem if a spreadsheet has changed it."""
        is_id = meaning in {heads.CONSUMER, heads.REFERENCE}
        is_number = meaning == heads.CONSUMER
        wrong = stray(text, is_id=is_id, is_needed=is_number) or altered(text, is_id=is_id, is_number=is_number)
        if wrong is None and meaning == heads.CONSUMER:
            # Only for consumer numbers: other inputs may be names with invisible joiners, or addresses on many lines.
            wrong = odd(text)
        if wrong is not None:
            self._note(line, meaning, wrong)
        return wrong is None

    def _circle(self, line: int, text: str | None) -> str | None:
        if text is not None and (wrong := stray(text, is_id=True) or hidden_in(text)) is not None:
            self._note(line, heads.CIRCLE, wrong)
        return text

    def _max_amount(self, line: int, text: str | None) -> Decimal | None:
        amount = None if text is None else rupees_of(text)
        if text is not None and amount is None:
            least = ", at least 1" if re.fullmatch(r"0[0-9.]*", text) else ""
            wrong = stray(text, is_id=False) or hidden_in(text.replace("\u00a0", " "))
            said = wrong or f"write rupees such as 2450.75{least}, not {shown_amount(text)}"
            self._note(line, heads.CEILING, said, kind=wrong or f"no amount{least}")
        return amount

    def _own(self, line: int, text: str) -> str | None:
        """Return the row's own reference; note an invalid reference as a problem and return None."""
        if not self._is_sound(line, heads.REFERENCE, text):
            return None
        try:
            checks.identifier(text, "it")
        except InvalidRequestError as problem:
            wrong = str(problem)
        else:
            wrong = hidden_in(text) or ""  # two references that look the same would be two payments of one bill
        if wrong:
            self._note(line, heads.REFERENCE, wrong)
        return None if wrong else text

    def _derive(self, line: int, biller: int, circle: str | None, params: Mapping[str, str]) -> str | None:
        if self._batch is None:
            advice = "name the batch (--batch november-2026), or give each bill a reference"
            self._note(line, heads.REFERENCE, f"is empty, and a pipe has no name to derive it from: {advice}")
            return None
        return _derived(self._batch, biller, circle, params)

    def _compare(self, line: int, reference: str, *, derived: bool) -> bool:
        """Return whether no earlier row has the same reference; note a repeated reference as a problem."""
        before, both = self._lines.setdefault(reference, (line, derived))
        if before == line:
            return True
        if derived and both:
            same = f"the same biller and consumer as line {before}"
            advice = "remove one of the two, or give them references of their own"
            self._note(line, None, f"{same}: {advice}", kind=advice)
        else:
            advice = "give each bill one of its own"
            self._note(line, heads.REFERENCE, f"is already used in line {before}: {advice}", kind=advice)
        return False

    def _note(self, line: int, meaning: str | None, text: str, *, kind: str | None = None) -> None:
        column = None if meaning is None else self._headers.get(meaning, meaning)
        self._problems.add(text, line, column, kind=kind)
