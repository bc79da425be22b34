"""What is right with a batch as it stands, and may cost its owner money all the same."""

from __future__ import annotations

from collections.abc import Sequence

from enkash_async.batch.row import Row

__all__ = ["cautions"]

_MOST = 10  # lines


def cautions(rows: Sequence[Row], *, batch: str | None = None) -> list[str]:
    """Return what is right as it stands, and may pay a bill twice all the same.

    Args:
        rows: Of one file.
        batch: The name that references are derived from; None for the file's own.

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
