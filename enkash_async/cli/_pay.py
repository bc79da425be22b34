"""`enkash pay`: pays the bills of a file."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from decimal import Decimal
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from enkash_async._support import checks
from enkash_async._support.text import rupees
from enkash_async.batch.cautions import cautions
from enkash_async.batch.job import PayJob, Stage
from enkash_async.batch.journal import Journal
from enkash_async.batch.results import Result, RowOutcome, write_results
from enkash_async.batch.row import Row
from enkash_async.batch.rows import read_rows
from enkash_async.cli._arguments import SECONDS, settle_option
from enkash_async.cli._errors import Exit, complain
from enkash_async.cli._output import json_option, note, print_json, print_line, print_table
from enkash_async.cli._run import with_client
from enkash_async.client import EnkashClient
from enkash_async.config import RetryPolicy
from enkash_async.errors import ConfigurationError, InvalidRequestError, WaitTimeoutError

__all__ = ["pay"]

_SHOWN = 50  # rows to print; the result file has all of them
_DONE = frozenset({RowOutcome.PAID, RowOutcome.ALREADY_PAID, RowOutcome.PAYABLE})


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Look up, fetch and check the ceilings; create and pay nothing.")
@click.option("--batch", metavar="NAME", help="Name to derive references from; the default is that of the file.")
@click.option(
    "--result",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="PATH",
    help="Result file; the default is FILE with the ending .result.csv.",
)
@click.option("--remarks", metavar="TEXT", help="A note for the confirmation, without full stop and slash.")
@click.option(
    "--concurrency", type=click.IntRange(1, 100), default=8, show_default=True, help="Rows in progress at once."
)
@click.option(
    "--timeout",
    type=SECONDS,
    default=300.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for the bills to settle.",
)
@settle_option
@json_option
def pay(
    file: Path,
    dry_run: bool,
    batch: str | None,
    result: Path | None,
    remarks: str | None,
    concurrency: int,
    timeout: float,
    settle: float,
    as_json: bool,
) -> int:
    """Pay the bills of a CSV file: money leaves your EnKash account.

    Columns: reference, biller_id, consumer_number; circle, ad1 to ad9 and param.NAME where the biller asks for them;
    max_amount, the most to pay in rupees. For each row the command fetches the bill, compares it with max_amount,
    creates it, confirms its debit, and waits until it is settled.

    Run it again after a crash, Ctrl-C or an unclear end: it looks each bill up by its reference first and does nothing
    twice. A row without a reference gets one derived from the name of the file and the row's content, so a file that is
    used every month needs a new name, or references of your own.

    Exit codes: 0 all paid, 1 some not, 2 wrong file or set-up (nothing was sent), 3 some may or may not be paid: run it
    again, 4 some not settled yet: run it again later, 130 stopped by Ctrl-C or SIGTERM.
    """
    try:
        remark = None if remarks is None else checks.remarks(remarks)
        rows = read_rows(file, batch=batch)
    except InvalidRequestError as problem:
        for line in str(problem).splitlines():
            complain(line)
        return Exit.WRONG
    run = _Run(rows, concurrency=concurrency, timeout=timeout, settle=settle, remarks=remark)
    for line in cautions(rows, batch=batch):
        note(line)
    if dry_run:
        run.rehearse()
        return _nothing_sent(run.results) or _report(run.results, as_json, dry_run=True, result=None)
    name = file.stem.removesuffix(".result")
    target = result or file.with_name(f"{name}.result.csv")
    if not target.parent.is_dir():
        complain(f"--result: there is no directory {target.parent}")
        return Exit.WRONG
    if result is not None and target.resolve() == file.resolve() and not file.stem.endswith(".result"):
        complain("--result: this is the file itself; name another one")
        return Exit.WRONG
    written = False
    with Journal(file.with_name(f"{name}.journal")) as journal:
        try:
            run.pay(journal)
        except KeyboardInterrupt:
            note("stopped; run the same command again to finish: nothing is paid twice")
            raise
        finally:
            # Also after Ctrl-C, so that no result is lost. A run that never began writes no file: it would replace the
            # results of an earlier run.
            written = run.began and _is_written(target, run.results)
    code = _nothing_sent(run.results) or _report(
        run.results, as_json, dry_run=False, result=target if written else None
    )
    return code if written else max(code, Exit.FAILED)


def _nothing_sent(results: Sequence[Result]) -> Exit | None:
    """Report the reason once if nothing was sent and all rows share it, such as a refused password."""
    reasons = {str(one.error) for one in results}
    if any(map(_was_sent, results)) or len(reasons) != 1:
        return None
    complain(f"nothing was sent: {reasons.pop()}")
    return Exit.WRONG


def _was_sent(one: Result) -> bool:
    """Whether the row has a result: it was sent, or its bill exists although its confirmation was not sent."""
    return one.outcome is not RowOutcome.NOT_SENT or one.bill is not None


def _is_written(target: Path, results: Sequence[Result]) -> bool:
    """Write the result file; report a failure without raising: money has moved, and the table must be printed."""
    try:
        write_results(target, results)
    except ConfigurationError as problem:
        complain(f"{problem}; EnKash has it all, so running it again gives the same results")
        return False
    return True


class _Run:
    """Runs a job with a client and a progress display.

    Args:
        rows: Rows of the file, one for each bill.
        settle: Seconds to look up the effect of a call that ended unclearly.
        concurrency: Rows in progress at once.
        timeout: Seconds to wait for the bills to settle.
        remarks: Note for the confirmation, or None.
    """

    def __init__(
        self, rows: Sequence[Row], *, settle: float, concurrency: int, timeout: float, remarks: str | None
    ) -> None:
        self._rows = rows
        self._settle = settle
        self._concurrency = concurrency
        self._timeout = timeout
        self._remarks = remarks
        self._job: PayJob | None = None

    @property
    def began(self) -> bool:
        """Whether any row has a result."""
        return any(map(_was_sent, self.results))

    @property
    def results(self) -> list[Result]:
        """The result of each row so far."""
        if self._job is None:
            return [Result(row=row, outcome=RowOutcome.NOT_SENT) for row in self._rows]
        return self._job.results()

    def rehearse(self) -> None:
        """Look up, fetch and check the rows; create and pay nothing."""
        self._with_job(PayJob.rehearse)

    def pay(self, journal: Journal) -> None:
        """Pay the rows; the journal records confirmations before they are sent."""
        self._with_job(lambda job: job.pay(journal))

    def _with_job(self, work: Callable[[PayJob], Awaitable[None]]) -> None:
        with _progress() as tell:

            async def use(client: EnkashClient) -> None:
                _end_on_sigterm()
                self._job = PayJob(
                    client,
                    self._rows,
                    tell=tell,
                    say=note,
                    concurrency=self._concurrency,
                    timeout=self._timeout,
                    settle=self._settle,
                    remarks=self._remarks,
                )
                await work(self._job)

            try:
                with_client(use, retry=RetryPolicy(settle=self._settle))
            except asyncio.CancelledError:
                raise KeyboardInterrupt from None


def _end_on_sigterm() -> None:
    """Make SIGTERM, which stops services, cancel the running task, so that a run ends as after Ctrl-C.

    The event loop handles the signal between two steps of the work, even in a script that ignores SIGINT. It removes
    the handler when it closes.
    """
    task = asyncio.current_task()
    # Windows has no SIGTERM, and only the main thread may set a handler.
    with suppress(NotImplementedError, RuntimeError, ValueError):
        if task is not None:
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


@contextmanager
def _progress() -> Iterator[Callable[[Stage, int, int], None]]:
    """Show a progress bar for each stage on standard error, if that is a terminal."""
    console = Console(stderr=True, markup=False, emoji=False, highlight=False)
    if not console.is_terminal:
        yield lambda _stage, _done, _total: None  # `Progress(disable=True)` prints an empty line before rich 14.3
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    bars: dict[Stage, TaskID] = {}
    with Progress(*columns, console=console) as progress:

        def tell(stage: Stage, done: int, total: int) -> None:
            if stage not in bars:
                bars[stage] = progress.add_task(stage.value, total=total)
            progress.update(bars[stage], completed=done, total=total)

        yield tell


# --- printing the report ----------------------------------------------------------------------------------------------


def _report(results: Sequence[Result], as_json: bool, *, dry_run: bool, result: Path | None) -> Exit:
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
        return _exit(results)
    if dry_run:
        _print_rows(results)
    else:
        _print_rows([one for one in results if one.outcome not in _DONE])
    print_table(
        ["outcome", "bills", "amount"],
        [[outcome, str(count), rupees(amount)] for outcome, (count, amount) in totals.items()],
    )
    if dry_run:
        note("nothing was created or paid; run it without --dry-run to pay")
    elif {one.outcome for one in results} == {RowOutcome.ALREADY_PAID}:
        note("nothing was paid by this run: each bill was paid before; new bills need new references")
    if result is not None:
        note(f"every row, with what became of it: {result}")
    return _exit(results)


def _print_rows(results: Sequence[Result]) -> None:
    if not results:
        return
    rows = [
        [str(one.row.line), one.row.reference_id, one.outcome.value, rupees(one.amount), _why(one)]
        for one in results[:_SHOWN]
    ]
    print_table(["line", "reference", "outcome", "amount", "why"], rows)
    if len(results) > _SHOWN:
        print_line(f"and {len(results) - _SHOWN} more")
    print_line()


def _why(one: Result) -> str:
    if one.outcome is RowOutcome.FAILED:
        reason = (one.bill and one.bill.failure_reason) or "the payment failed"
        return f"{reason}; it is refunded: to pay the bill again give the row a new reference"
    if one.outcome is RowOutcome.PENDING and (one.error is None or isinstance(one.error, WaitTimeoutError)):
        return "not settled yet: run the same command again later"
    return "" if one.error is None else str(one.error)


def _totals(results: Sequence[Result]) -> dict[str, tuple[int, Decimal]]:
    """Return the number of bills and their rupees for each outcome that occurs, and for all of them."""
    totals: dict[str, tuple[int, Decimal]] = {}
    for outcome in RowOutcome:
        amounts = [one.amount or Decimal(0) for one in results if one.outcome is outcome]
        if amounts:
            totals[outcome.value] = len(amounts), sum(amounts, Decimal(0))
    totals["all"] = len(results), sum((amount for _, amount in totals.values()), Decimal(0))
    return totals


def _plain(one: Result) -> dict[str, object]:
    return {
        "line": one.row.line,
        "reference_id": one.row.reference_id,
        "outcome": one.outcome,
        "amount": one.amount,
        "utility_enkash_id": None if one.bill is None else one.bill.utility_enkash_id,
        "payment_status": None if one.bill is None else one.bill.payment_status,
        "billpay_status": None if one.bill is None else one.bill.billpay_status,
        "error": one.error,
    }


def _exit(results: Sequence[Result]) -> Exit:
    outcomes = {one.outcome for one in results}
    if RowOutcome.UNKNOWN in outcomes:
        return Exit.UNKNOWN
    if outcomes <= _DONE:
        return Exit.DONE
    return Exit.PENDING if outcomes <= {*_DONE, RowOutcome.PENDING} else Exit.FAILED
