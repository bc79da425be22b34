"""Writes the result file: the batch with the outcome of each row; the result file can be used as a batch again."""

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
_LONGEST = 40  # digits written out; more than any amount has
_NAME = 40  # characters of the file's name in that of its temporary file, which stays below 255 bytes
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")  # a cell that begins with one is a formula to a spreadsheet
_STEERING = ("\t", "\r", "\n")


class RowOutcome(enum.StrEnum):
    """The outcome of a row."""

    PAID = "PAID"
    ALREADY_PAID = "ALREADY_PAID"  # an earlier run has paid it
    FAILED = "FAILED"
    REFUSED = "REFUSED"
    OVER_CEILING = "OVER_CEILING"
    PENDING = "PENDING"
    UNKNOWN = "UNKNOWN"  # it may or may not be paid
    NOT_SENT = "NOT_SENT"
    PAYABLE = "PAYABLE"  # a dry run would have gone on to create it


@attrs.frozen(kw_only=True)
class Result:
    """The result of one row.

    Attributes:
        row: The row of the batch.
        outcome: The outcome in one word.
        amount: Rupees to pay, or None where no amount is known.
        bill: The bill as EnKash last showed it, or None where there is none.
        error: The error that stopped the row, or None.
    """

    row: Row
    outcome: RowOutcome
    amount: Decimal | None = None
    bill: Bill | None = None
    error: EnkashError | None = None


def write_results(path: Path, results: Sequence[Result], *, sync: Callable[[int], None] = os.fsync) -> None:
    """Write a result file atomically, replacing an older one.

    The file is CSV in UTF-8 with a byte order mark, by which a spreadsheet recognises the encoding. First come the
    columns of the batch with their cells unchanged, then `reference` if the batch has no such column, then the columns
    that begin with `result_`. `read_rows` reads the same rows from it. Only its owner may read the file, since it holds
    consumer numbers.

    Args:
        path: Path of the file; its directory must exist.
        results: The results of one batch, in the order of its rows.
        sync: Flushes a file to the disk, given its file descriptor.

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
            sync(number)  # before the rename: after a power cut the name must not lead to an empty file
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
    """Return the values of a row's result columns, in their order."""
    bill = Bill() if result.bill is None else result.bill
    amount = result.amount
    # The amount comes from EnKash, and 1E+999999 written out would fill a megabyte.
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
    """Return a cell as one line; a leading apostrophe keeps a spreadsheet from taking it for a formula."""
    text = "" if value is None else str(value)
    steering = text.lstrip().startswith(_FORMULA) or text.startswith(_STEERING)
    return clean(f"'{text}" if steering else text)
