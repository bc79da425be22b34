"""Warnings about a batch that is valid, but may not be what the user means."""

from __future__ import annotations

import re
from collections.abc import Sequence

from enkash_async._support.text import folded
from enkash_async.cli.batch.header import header_name
from enkash_async.cli.batch.row import Row

__all__ = ["cautions"]

_KEPT = 15  # digits of a number that a spreadsheet keeps
_LONG = re.compile(rf"[0-9]{{{_KEPT + 1},}}")
_MOST = 10  # warnings; users would not read more


def cautions(rows: Sequence[Row], *, batch: str | None = None) -> list[str]:
    """Return what the user should know before valid rows are paid, such as rows that may pay a bill twice.

    Args:
        rows: The rows of one file.
        batch: The name from which the batch's references are derived; None takes the file's name.

    Returns:
        Sentences for the user, ten at most.
    """
    found = []
    derived = sum(row.derived for row in rows)
    if derived:
        source, again = ("the file's name", "a copy of the file under another name pays")
        if batch is not None:
            source, again = ("the name of the batch", "the file under another --batch pays")
        found.append(
            f"{derived} of {len(rows)} rows have no reference of their own, so theirs come from {source}: "
            f"{again} the same bills again"
        )
    if rows and rows[0].unread:
        names = ", ".join(map(header_name, rows[0].unread[:_MOST]))
        more = f" and {len(rows[0].unread) - _MOST} more" if len(rows[0].unread) > _MOST else ""
        found.append(f"not read, only copied into the result file: {names}{more}")
    found += [f"line {copy.line} repeats line {row.line}: the bill is paid once" for row in rows for copy in row.copies]
    found += _cut(rows)
    found += _rounded(rows)
    first: dict[object, int] = {}
    for row in rows:
        inputs = tuple(sorted((name, folded(value)) for name, value in row.params.items()))
        line = first.setdefault((row.biller_id, folded(row.circle or ""), inputs), row.line)
        if line != row.line:
            found.append(f"lines {line} and {row.line} name the same biller and consumer: both bills are paid")
    return found[:_MOST]


def _cut(rows: Sequence[Row]) -> list[str]:
    """Return a sentence if lines end before their ceiling, as those do in which a cell is missing."""
    lines = [str(row.line) for row in rows if row.is_cut]
    if not lines:
        return []
    named = ", ".join([*lines[:_MOST], *["…"] * (len(lines) > _MOST)])
    return [
        f"fewer cells than the header, so that no max_amount limits what is paid: line{'s' * (len(lines) > 1)} {named}"
    ]


def _rounded(rows: Sequence[Row]) -> list[str]:
    """Return a sentence if a spreadsheet may have rounded the long consumer numbers; it would have rounded all."""
    long = [row for row in rows if _LONG.fullmatch(row.params["cn"])]
    if not long or any(set(row.params["cn"][_KEPT:]) != {"0"} for row in long):
        return []
    like_it = f"has zeros after {_KEPT} digits, as have all long ones of the file"
    return [f"line {long[0].line}: the consumer number {like_it}: a spreadsheet may have rounded them"]
