"""What `enkash pay` prints: a table or JSON, totals in rupees, and the exit code."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

from enkash_async._money.payment import Payment, PaymentState
from enkash_async._support.text import rupees
from enkash_async.cli._errors import Exit
from enkash_async.cli._output import note, print_json, print_line, print_table
from enkash_async.cli.batch.results import Result
from enkash_async.errors import RetryAdvice

__all__ = ["AGAIN", "exit_of", "report"]

AGAIN = "run the same command again"

_SHOWN = 50  # rows to print; the result file and --json have all of them
_DONE = frozenset({PaymentState.PAID, PaymentState.ALREADY_PAID, PaymentState.PAYABLE})


def report(results: Sequence[Result], as_json: bool, *, dry_run: bool, result: Path | None) -> Exit:
    """Print what became of every row, and return the exit code.

    Args:
        results: The result of every row.
        as_json: True prints one JSON document; False prints a table.
        dry_run: Whether the run only rehearsed the payments and created nothing.
        result: Path of the result file; None if no file was written.
    """
    totals = _totals(results)
    if as_json:
        print_json(
            {
                "dry_run": dry_run,
                "result_file": None if result is None else str(result),
                "totals": {outcome: {"bills": count, "amount": amount} for outcome, (count, amount) in totals.items()},
                "rows": [_plain(one) for one in results],
            }
        )
        return exit_of(results)
    if dry_run:  # shows the unpaid rows first: a dry run has no result file with the rest
        _print_rows(results if len(results) <= _SHOWN else sorted(results, key=lambda one: one.payment.state in _DONE))
    else:
        _print_rows([one for one in results if one.payment.state not in _DONE])
    print_table(
        ["outcome", "bills", "amount"],
        [[outcome, str(count), rupees(amount)] for outcome, (count, amount) in totals.items()],
    )
    if dry_run:
        note("nothing was created or paid; run it without --dry-run to pay")
    elif {one.payment.state for one in results} == {PaymentState.ALREADY_PAID}:
        note("nothing was paid by this run: each bill was paid before; new bills need new references")
    if result is not None:
        note(f"every row, with what became of it: {result}")
    return exit_of(results)


def _print_rows(results: Sequence[Result]) -> None:
    if not results:
        return
    rows = [
        [
            str(one.row.line),
            one.row.reference_id,
            one.payment.state.value,
            rupees(one.payment.amount),
            _why(one.payment),
        ]
        for one in results[:_SHOWN]
    ]
    print_table(["line", "reference", "outcome", "amount", "why"], rows)
    if len(results) > _SHOWN:
        print_line(f"and {len(results) - _SHOWN} more")
    print_line()


def _why(payment: Payment) -> str:
    if payment.state is PaymentState.PENDING:
        return f"{payment.reason}: run the same command again later"
    if payment.state is PaymentState.UNKNOWN and payment.retry is RetryAdvice.LATER and AGAIN not in payment.reason:
        return f"{payment.reason}; {AGAIN} later"
    return payment.reason


def _totals(results: Sequence[Result]) -> dict[str, tuple[int, Decimal]]:
    """Return the number of bills and their rupees, for each outcome that occurs and for all outcomes."""
    totals: dict[str, tuple[int, Decimal]] = {}
    for outcome in PaymentState:
        amounts = [one.payment.amount or Decimal(0) for one in results if one.payment.state is outcome]
        if amounts:
            totals[outcome.value] = len(amounts), sum(amounts, Decimal(0))
    totals["all"] = len(results), sum((amount for _, amount in totals.values()), Decimal(0))
    return totals


def _plain(one: Result) -> dict[str, object]:
    return {
        "line": one.row.line,
        "reference_id": one.row.reference_id,
        "outcome": one.payment.state,
        "amount": one.payment.amount,
        "utility_enkash_id": None if one.payment.bill is None else one.payment.bill.utility_enkash_id,
        "payment_status": None if one.payment.bill is None else one.payment.bill.payment_status,
        "billpay_status": None if one.payment.bill is None else one.payment.bill.billpay_status,
        "reason": one.payment.reason,
        "retry": one.payment.retry,
        "retry_after": one.payment.retry_after,
    }


def exit_of(results: Sequence[Result]) -> Exit:
    """Return the exit code for what became of the rows."""
    outcomes = {one.payment.state for one in results}
    if PaymentState.UNKNOWN in outcomes:
        return Exit.UNKNOWN
    if outcomes <= _DONE:
        return Exit.DONE
    return Exit.PENDING if outcomes <= {*_DONE, PaymentState.PENDING} else Exit.FAILED
