"""Writes the result file: the batch with the outcome of each row; the result file can be used as a batch again."""

from __future__ import annotations

import csv
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import attrs

from enkash_async._money.payment import Payment
from enkash_async._support.checks import IST
from enkash_async._support.text import clean
from enkash_async.cli.batch.header import holds_reference
from enkash_async.cli.batch.row import Row
from enkash_async.errors import ConfigurationError
from enkash_async.models import Bill

__all__ = ["Result", "write_results"]

_COLUMNS = (
    "result_outcome",
    "result_amount",
    "result_utility_enkash_id",
    "result_payment_status",
    "result_billpay_status",
    "result_error",
    "result_bill_number",
    "result_bill_due_date",
    "result_bill_reference_id",
    "result_bank_transaction_id",
    "result_payment_date",
)
_SAID = {"result_outcome": "REPEATED", "result_error": "the same bill as an earlier row: it is paid once"}
_COPY = tuple(map(_SAID.get, _COLUMNS))  # a repeated row gets no amount, so that a sum over the column stays right
_LONGEST = 40  # digits written out; more than any amount has
_NAME = 40  # characters of the file's name in its temporary file's name, which must stay below 255 bytes
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")  # first characters of cells that are read as formulas
_STEERING = ("\t", "\r", "\n")


@attrs.frozen(kw_only=True)
class Result:
    """The result of one row.

    Attributes:
        row: The row of the batch.
        payment: The state of the row's payment.
    """

    row: Row
    payment: Payment


def write_results(path: Path, results: Sequence[Result], *, sync: Callable[[int], None] = os.fsync) -> None:
    """Write a result file atomically, replacing an older one.

    The file is CSV in UTF-8 with a byte order mark, by which a spreadsheet recognises the encoding. First come the
    columns of the batch with their cells unchanged, then `reference` if the batch has no such column, then the columns
    that begin with `result_`. `read_rows` reads the same rows from this file. Only the file's owner may read the file,
    since it holds consumer numbers.

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
            sync(number)  # before the rename: otherwise a power cut could leave an empty file under the final name
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
    lines = [(one.row, _facts(one)) for one in results]
    lines += [(copy, _COPY) for one in results for copy in one.row.copies]
    for row, facts in sorted(lines, key=lambda line: line[0].line):
        cells = {reference: "", **row.given}
        if not cells[reference].strip():
            cells[reference] = row.reference_id
        yield [*(cells[header] for header in headers), *map(_text, facts)]


def _facts(result: Result) -> tuple[object, ...]:
    """Return the values of a row's result columns, in their order."""
    payment = result.payment
    bill, amount = payment.bill or Bill(), payment.amount
    # Leaves out a huge amount from EnKash: 1E+999999, written out, would fill a megabyte.
    short = amount is not None and abs(amount.adjusted()) < _LONGEST
    return (
        payment.state,
        format(amount, "f") if short else amount,
        bill.utility_enkash_id,
        bill.payment_status,
        bill.billpay_status,
        payment.reason,
        bill.bill_number,
        bill.bill_due_date,
        bill.bill_reference_id,
        bill.bank_transaction_id,
        None if bill.payment_date is None else bill.payment_date.astimezone(IST).isoformat(timespec="seconds"),
    )


def _text(value: object) -> str:
    """Return a cell as one line; a leading apostrophe keeps a spreadsheet from taking it for a formula."""
    text = "" if value is None else str(value)
    steering = text.lstrip().startswith(_FORMULA) or text.startswith(_STEERING)
    return clean(f"'{text}" if steering else text)
