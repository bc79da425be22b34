"""The result file: the batch as it was given, with what became of each row; it can be fed in again."""

from __future__ import annotations

import csv
import enum
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path

import attrs

from enkash_async._support.text import clean
from enkash_async.batch.row import Row
from enkash_async.batch.rows import holds_reference
from enkash_async.errors import ConfigurationError, EnkashError
from enkash_async.models import Bill

__all__ = ["Result", "RowOutcome", "write_results"]

_COLUMNS = (
    "result_outcome",
    "result_amount",
    "result_utility_enkash_id",
    "result_payment_status",
    "result_billpay_status",
    "result_error",
)
_LONGEST = 40  # digits that are written out
_NAME = 40  # characters of the file's name that its forerunner has
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")  # how a spreadsheet is told to calculate
_STEERING = ("\t", "\r", "\n")


class RowOutcome(enum.StrEnum):
    """What became of a row."""

    PAID = "PAID"
    ALREADY_PAID = "ALREADY_PAID"  # by an earlier run
    FAILED = "FAILED"
    REFUSED = "REFUSED"
    OVER_CEILING = "OVER_CEILING"
    PENDING = "PENDING"
    UNKNOWN = "UNKNOWN"  # it may or may not have happened
    NOT_SENT = "NOT_SENT"
    PAYABLE = "PAYABLE"  # in a dry run


@attrs.frozen(kw_only=True)
class Result:
    """What became of one row.

    Attributes:
        row: The row.
        outcome: In one word.
        amount: Rupees, or None where none is known.
        bill: The bill as EnKash last showed it, or None where there is none.
        error: Why it went no further, or None.
    """

    row: Row
    outcome: RowOutcome
    amount: Decimal | None = None
    bill: Bill | None = None
    error: EnkashError | None = None


def write_results(path: Path, results: Sequence[Result], *, sync: Callable[[int], None] = os.fsync) -> None:
    """Write a result file, whole or not at all; one that is there already is replaced.

    It is CSV in UTF-8 with a byte order mark, by which a spreadsheet knows the encoding. The columns of the batch come
    first, with their cells untouched; a `reference` where the batch has none; then what begins with `result_`. Reading
    the file gives the same rows. Only its owner may read it, since consumer numbers are in it.

    Args:
        path: The file; its directory must exist.
        results: In the order of the rows, which are all of one batch.
        sync: Brings a file to the disk.

    Raises:
        ConfigurationError: The file cannot be written.
    """
    try:
        if path.exists() and not path.is_file():
            raise ConfigurationError(f"{clean(path.name)}: this is not a file: name one for the results")
        _replace(path.resolve(), _table(results), sync)
    except OSError as problem:
        cause = problem.strerror or type(problem).__name__
        text = f"the result file cannot be written: {cause}; close it where it is open, or name another"
        raise ConfigurationError(f"{clean(path.name)}: {text}") from None


def _replace(path: Path, lines: Iterable[Sequence[str]], sync: Callable[[int], None]) -> None:
    number, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:_NAME]}.", suffix=".tmp")
    try:
        with open(number, "w", encoding="utf-8-sig", newline="") as file:  # noqa: PTH123 (a number has no path)
            csv.writer(file).writerows(lines)
            file.flush()
            sync(number)  # a name that leads to an empty file would be worse than the old file
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)


# --- cells ------------------------------------------------------------------------------------------------------------


def _table(results: Sequence[Result]) -> Iterator[list[str]]:
    headers = list(results[0].row.given) if results else []
    reference = next((header for header in headers if holds_reference(header)), None)
    if reference is None:
        headers.append(reference := "reference")
    yield [*headers, *_COLUMNS]
    for result in results:
        cells = {reference: "", **result.row.given}
        if not cells[reference].strip():
            cells[reference] = result.row.reference_id
        yield [*(cells[header] for header in headers), *map(_text, _facts(result))]


def _facts(result: Result) -> tuple[object, ...]:
    """Return what is known, in the order of the columns."""
    bill = Bill() if result.bill is None else result.bill
    amount = result.amount
    # A server may send 1E+999999.
    short = amount is not None and abs(amount.adjusted()) < _LONGEST
    reason = bill.failure_reason if result.error is None else str(result.error) or type(result.error).__name__
    return (
        result.outcome,
        format(amount, "f") if short else amount,
        bill.utility_enkash_id,
        bill.payment_status,
        bill.billpay_status,
        reason,
    )


def _text(value: object) -> str:
    """Return a cell in one line that no spreadsheet calculates: a quotation mark before it makes it text."""
    text = "" if value is None else str(value)
    steering = text.lstrip().startswith(_FORMULA) or text.startswith(_STEERING)
    return clean(f"'{text}" if steering else text)
