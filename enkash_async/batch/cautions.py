"""Warnings about a batch that is valid, but may pay a bill twice."""

from __future__ import annotations

from collections.abc import Sequence

from enkash_async.batch.row import Row

__all__ = ["cautions"]

_MOST = 10  # warnings; more would not be read


def cautions(rows: Sequence[Row], *, batch: str | None = None) -> list[str]:
    """Return warnings about valid rows that may pay a bill twice.

    Args:
        rows: The rows of one file.
        batch: The batch's name, from which references are derived; None takes the file's name.

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
    first: dict[object, int] = {}
    for row in rows:
        line = first.setdefault((row.biller_id, row.circle, tuple(sorted(row.params.items()))), row.line)
        if line != row.line:
            found.append(f"lines {line} and {row.line} name the same biller and consumer: both bills are paid")
    return found[:_MOST]
