"""Reads which payments an earlier run left UNKNOWN, from the batch itself or from the earlier result file."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import attrs

from enkash_async._money.payment import Payment, PaymentState
from enkash_async.cli.batch.row import Row
from enkash_async.cli.batch.rows import read_rows
from enkash_async.errors import InvalidRequestError, RetryAdvice

__all__ = ["kept", "unclear"]


def unclear(rows: Iterable[Row], target: Path, columns: Mapping[str, str] | None = None) -> frozenset[str]:
    """Return the references that an earlier run left UNKNOWN.

    Args:
        rows: The rows to pay. If the batch is itself a result file, the rows say which of them are UNKNOWN.
        target: Path of the result file of this run. An earlier result file may exist there; any other file is ignored.
        columns: The columns of the batch, as for `read_rows`.
    """
    try:
        before = read_rows(target, columns=columns)
    except InvalidRequestError:
        before = []
    return frozenset(row.reference_id for row in (*rows, *before) if row.unclear)


def kept(payment: Payment, earlier: Collection[str]) -> Payment:
    """Return a payment; its state becomes UNKNOWN if an earlier run left it UNKNOWN and this run did not send it."""
    if payment.state is not PaymentState.NOT_SENT or payment.reference_id not in earlier:
        return payment
    reason = f"an earlier run left it open, and this one found out nothing: {payment.reason}"
    return attrs.evolve(payment, state=PaymentState.UNKNOWN, reason=reason, retry=RetryAdvice.LATER)
