"""`enkash pay`: pays the bills of a file."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager, suppress
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from enkash_async._calls.requests import BillRequest
from enkash_async._flow.jobs import drive, items_of
from enkash_async._money.payment import Payment, PaymentState
from enkash_async._support import checks
from enkash_async._support.call_ids import without_ids
from enkash_async.bulk import BulkGroup
from enkash_async.cli._arguments import SECONDS, settle_option
from enkash_async.cli._errors import Exit, complain
from enkash_async.cli._output import PRINTING, drop_output, json_option, note
from enkash_async.cli._pay_report import AGAIN, exit_of, report
from enkash_async.cli._run import with_client
from enkash_async.cli.batch.cautions import cautions
from enkash_async.cli.batch.marks import kept, unclear
from enkash_async.cli.batch.results import Result, write_results
from enkash_async.cli.batch.row import Row
from enkash_async.cli.batch.rows import read_rows
from enkash_async.cli.batch.source import is_stream, name_of
from enkash_async.client import EnkashClient
from enkash_async.config import RetryPolicy
from enkash_async.errors import ConfigurationError, EnkashError, InvalidRequestError, RetryAdvice

__all__ = ["pay"]


@click.command()
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--dry-run", is_flag=True, help="Look up, fetch and check the ceilings; create and pay nothing.")
@click.option("--batch", metavar="NAME", help="Name to derive references from; the default is that of the file.")
@click.option(
    "--result",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="PATH",
    help="Result file; the default is FILE with the ending .result.csv.",
)
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="NAME=HEADER",
    help='Which column of the file is NAME, such as consumer_number="Consumer No"; repeat it for each column.',
)
@click.option("--remarks", metavar="TEXT", help="A note for the confirmation, without full stop and slash.")
@click.option(
    "--concurrency",
    type=click.IntRange(1, 100),
    default=8,
    show_default=True,
    help="Rows that are fetched and created at once.",
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
    columns: tuple[str, ...],
    remarks: str | None,
    concurrency: int,
    timeout: float,
    settle: float,
    as_json: bool,
) -> int:
    """Pay the bills of a CSV file: money leaves your EnKash account.

    Columns: reference, biller_id, consumer_number; circle, ad1 to ad9 and param.NAME where the biller asks for them;
    max_amount, the most to pay in rupees. For each row the command fetches the bill, compares it with max_amount,
    creates it, confirms its debit, and waits until it is settled. Other columns are copied into the result file.
    FILE may be - for standard input, with --result and --batch.

    You can run the command again after a crash, Ctrl-C or an unclear end, or twice at once: runs that share a store
    divide the work, and nothing is paid twice. The store is a file of this user, or what ENKASH_STORE_URL names. For a
    row without a reference, the reference is derived from the name of the file and the row's content. So a file that is
    used every month needs a new name each month, or references of your own.

    Exit codes: 0 all paid, 1 some not, 2 wrong file or set-up (nothing was sent), 3 some may or may not be paid: run it
    again, 4 some not settled yet: run it again later, 130 stopped by Ctrl-C or SIGTERM.
    """
    try:
        remark = None if remarks is None else checks.remarks(remarks)
        names = _columns(columns)
        rows = read_rows(file, batch=batch, columns=names)
    except InvalidRequestError as problem:
        for line in str(problem).splitlines():
            complain(line)
        return Exit.WRONG
    target = _target(file, result, dry_run=dry_run)
    if target is None:
        return Exit.WRONG
    for line in cautions(rows, batch=batch):
        note(line)
    if dry_run:
        run = _Run(rows, frozenset())
        run.rehearse(concurrency, RetryPolicy(settle=settle))
        return _nothing_sent(run.results) or _reported(run.results, as_json, dry_run=True, result=None)
    run = _Run(rows, unclear(rows, target, names))
    written = False
    try:
        run.pay(timeout, remark, concurrency, RetryPolicy(settle=settle))
    except KeyboardInterrupt:
        note(f"stopped; {AGAIN} to finish: nothing is paid twice")
        raise
    finally:
        # Writes the results after Ctrl-C, too, so that none is lost. A run that never began writes no file, since the
        # file would replace the results of an earlier run.
        written = run.began and _is_written(target, run.results)
    shown = target if written else None
    code = _nothing_sent(run.results) or _reported(run.results, as_json, dry_run=False, result=shown)
    return code if written else max(code, Exit.FAILED)


def _columns(given: Sequence[str]) -> dict[str, str]:
    """Return a mapping of column names to the file's headers, from options such as `NAME=HEADER`."""
    pairs = [one.partition("=") for one in given]
    for one, (name, sign, header) in zip(given, pairs, strict=True):
        if not (name.strip() and sign and header.strip()):
            raise InvalidRequestError(f'--column: write consumer_number="Consumer No", not {one!r}')
    return {name.strip(): header for name, _, header in pairs}


def _target(file: Path, result: Path | None, *, dry_run: bool) -> Path | None:
    """Return the path of the result file; if the path is unusable, tell the user why and return None."""
    if is_stream(file) and result is None and not dry_run:
        complain(f"--result: {name_of(file)} has no folder for the result file: name one, or pay from a file")
        return None
    name = file.stem.removesuffix(".result")
    target = result or file.with_name(f"{name}.result.csv")
    if not target.parent.is_dir():
        complain(f"--result: there is no directory {target.parent}")
        return None
    if result is not None and is_stream(target):
        complain("--result: this is a pipe or a device: name a file")
        return None
    if result is not None and target.resolve() == file.resolve() and not file.stem.endswith(".result"):
        complain("--result: this is the file itself; name another one")
        return None
    return target


def _reported(results: Sequence[Result], as_json: bool, *, dry_run: bool, result: Path | None) -> Exit:
    """Print the report and return the exit code, even if printing fails: money has moved, so the code must be right."""
    try:
        return report(results, as_json, dry_run=dry_run, result=result)
    except OSError as problem:
        if problem.errno not in PRINTING:
            raise
        drop_output()
        place = "" if result is None else f"; every row is in {result}"
        complain(f"the report cannot be printed: {problem.strerror or type(problem).__name__}{place}")
        return max(exit_of(results), Exit.FAILED)


def _nothing_sent(results: Sequence[Result]) -> Exit | None:
    """If nothing was sent, and all rows share the reason, such as a refused password, report the reason once."""
    reasons = {without_ids(one.payment.reason): one.payment.reason for one in results}
    if any(_was_sent(one.payment) for one in results) or len(reasons) != 1:
        return None
    complain(f"nothing was sent: {next(iter(reasons.values()))}")
    return Exit.WRONG


def _was_sent(payment: Payment) -> bool:
    """Whether the report must show a payment: a request was sent, or EnKash has the bill without a confirmation."""
    return payment.state is not PaymentState.NOT_SENT or payment.bill is not None


def _is_written(target: Path, results: Sequence[Result]) -> bool:
    """Write the result file; report a failure without raising: money has moved, and the table must be printed."""
    try:
        write_results(target, results)
    except ConfigurationError as problem:
        complain(f"{problem}; EnKash has it all, so running it again gives the same results")
        return False
    return True


class _Run:
    """Pays or rehearses the rows of a file, and shows how many are done.

    Args:
        rows: Rows of the file, one for each bill.
        earlier: References that an earlier run left UNKNOWN.
    """

    def __init__(self, rows: Sequence[Row], earlier: frozenset[str]) -> None:
        self._rows = rows
        self._earlier = earlier
        self._taken: set[str] = set()
        self._payments: dict[str, Payment] = {}
        self._is_stopped = False

    @property
    def began(self) -> bool:
        """Whether any row has a result, or may have one."""
        return any(map(_was_sent, self._payments.values())) or (self._is_stopped and bool(self._taken))

    @property
    def results(self) -> list[Result]:
        """The result of each row so far, in the order of the file."""
        return [Result(row=row, payment=kept(self._payment(row), self._earlier)) for row in self._rows]

    def _payment(self, row: Row) -> Payment:
        known = self._payments.get(row.reference_id)
        if known is not None:
            return known
        if row.reference_id in self._taken:
            why = f"the run was stopped before it had ended: {AGAIN}"
            return Payment(row.reference_id, PaymentState.UNKNOWN, reason=why, retry=RetryAdvice.LATER)
        why = "not looked at by this run"
        return Payment(row.reference_id, PaymentState.NOT_SENT, reason=why, retry=RetryAdvice.NOW)

    def rehearse(self, concurrency: int, retry: RetryPolicy) -> None:
        """Look up, fetch and check the rows; create and pay nothing."""

        async def use(client: EnkashClient, tell: Callable[[int], None]) -> None:
            stopped_by: EnkashError | None = None

            async def take(row: Row) -> None:
                nonlocal stopped_by
                try:
                    self._note(await client.payments.rehearse(row.request) if stopped_by is None else stopped_by, row)
                except EnkashError as problem:
                    stopped_by = problem
                    self._note(problem, row)
                tell(len(self._payments))

            await drive(items_of(self._rows), take, concurrency)

        self._with_client(use, "look up, fetch", retry)

    def pay(self, wait: float, remarks: str | None, concurrency: int, retry: RetryPolicy) -> None:
        """Pay the rows."""
        by_reference = {row.reference_id: row for row in self._rows}

        async def use(client: EnkashClient, tell: Callable[[int], None]) -> None:
            paying = client.payments.pay_each(self._requests(), wait=wait, remarks=remarks, concurrency=concurrency)
            async with aclosing(paying) as items:
                async for item in items:
                    row = by_reference[item.key]
                    outcome = item.value or item.error or EnkashError("nothing is known of it")
                    self._note(outcome, row, is_open=item.group is BulkGroup.UNKNOWN)
                    tell(len(self._payments))

        self._with_client(use, "pay", retry)

    def _requests(self) -> Iterator[BillRequest]:
        for row in self._rows:
            self._taken.add(row.reference_id)
            yield row.request

    def _note(self, outcome: Payment | EnkashError, row: Row, *, is_open: bool = False) -> None:
        if isinstance(outcome, EnkashError):
            state = PaymentState.UNKNOWN if is_open else PaymentState.NOT_SENT
            reason = str(outcome) or type(outcome).__name__
            outcome = Payment(row.reference_id, state, reason=reason, retry=outcome.retry)
        self._payments[row.reference_id] = outcome

    def _with_client(
        self, work: Callable[[EnkashClient, Callable[[int], None]], Awaitable[None]], title: str, retry: RetryPolicy
    ) -> None:
        with _progress(title, len(self._rows)) as tell:

            async def use(client: EnkashClient) -> None:
                _end_on_sigterm()
                await work(client, tell)

            try:
                with_client(use, retry=retry)
            except (asyncio.CancelledError, KeyboardInterrupt):
                self._is_stopped = True
                raise KeyboardInterrupt from None


def _end_on_sigterm() -> None:
    """Make SIGTERM cancel the running task, so that a stopped service ends its run as after Ctrl-C.

    The event loop handles the signal between two steps of the work, even in a script that ignores SIGINT. The loop
    removes the handler when it closes.
    """
    task = asyncio.current_task()
    # Windows has no SIGTERM, and only the main thread may set a handler.
    with suppress(NotImplementedError, RuntimeError, ValueError):
        if task is not None:
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


@contextmanager
def _progress(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on standard error, if standard error is a terminal."""
    console = Console(stderr=True, markup=False, emoji=False, highlight=False)
    if not console.is_terminal:
        yield lambda _done: None  # `Progress(disable=True)` prints an empty line before rich 14.3
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task(title, total=total)
        yield lambda done: progress.update(bar, completed=done)
