"""Batches for tests: a sandbox that reports each request, rows, runs over them, and what must hold afterwards."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
from aiohttp import web
from aiohttp.typedefs import Handler

from enkash_async import EnkashClient, PollPolicy, RetryPolicy, SettlePolicy
from enkash_async.batch.job import PayJob, Stage
from enkash_async.batch.journal import Journal
from enkash_async.batch.results import Result, RowOutcome
from enkash_async.batch.row import Row
from enkash_async.config import Routes
from enkash_async.sandbox import Ledger, Sandbox

__all__ = ["Batch", "Listener", "WatchedSandbox", "due", "money_moved_once", "outcomes", "row", "tells_the_truth"]

WINDOW = 0.3  # seconds that a confirmation may be in flight

Listener = Callable[[str, bool], None]

_NAMES = {getattr(Routes(), field.name): field.name for field in attrs.fields(Routes)}


class WatchedSandbox(Sandbox):
    """A sandbox that debits a bill at each confirmation, and reports each request.

    Attributes:
        listener: Is called with the route's name, first with False when a request has arrived, then with True once its
            work is done and the reply is about to be sent.
        edit: Changes the text of a reply, by the route's name.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(repeat_debits=True, **options)
        self.listener: Listener = lambda route, done: None
        self.edit: dict[str, Callable[[str], str]] = {}

        @web.middleware
        async def watch(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self._watch(request, handler)

        self._app.middlewares.append(watch)

    async def _watch(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        resource = request.match_info.route.resource
        name = _NAMES.get("" if resource is None else resource.canonical, "")
        self.listener(name, False)
        response = await handler(request)
        if name in self.edit and isinstance(response, web.Response):
            response.text = self.edit[name](response.text or "")
        self.listener(name, True)
        return response


def row(number: int = 1, **changes: Any) -> Row:
    """Return a row of its own for each number."""
    plain = Row(line=number + 1, reference_id=f"inv-{number}", biller_id=2001, params={"cn": f"{900_000_000 + number}"})
    return attrs.evolve(plain, **changes)


def due(sandbox: Sandbox, one: Row) -> Decimal:
    """Return the rupees that a row's consumer owes."""
    ledger = sandbox.ledger
    return ledger.due(ledger.enrol(one.biller_id, one.params, one.circle)).net_amount


@attrs.define
class Batch:
    """Runs over rows, each with its own client, as one process after the other would do.

    Attributes:
        path: Of the journal.
        told: What the last run told of its progress.
    """

    sandbox: WatchedSandbox
    path: Path
    told: list[tuple[Stage, int, int]] = attrs.field(factory=list)

    async def pay(self, *rows: Row, **options: Any) -> list[Result]:
        """Pay rows to the end."""
        results, _ = await self.begin(rows, **options)
        return results

    async def stopped(self, when: Callable[[str, bool], bool], *rows: Row, **options: Any) -> list[Result]:
        """Pay rows until the given request, and cancel the run there, as Ctrl-C does."""
        results, _ = await self.begin(rows, stop=when, **options)
        return results

    async def begin(
        self,
        rows: Sequence[Row],
        *,
        stop: Callable[[str, bool], bool] = lambda route, done: False,
        window: float = WINDOW,
        sync: Callable[[int], None] = os.fsync,
        rehearse: bool = False,
        **options: Any,
    ) -> tuple[list[Result], bool]:
        """Return the results of a run, and whether it came to its end."""
        self.told = []
        pauses = PollPolicy(first=0.01, factor=1.5, longest=0.05)
        retry = RetryPolicy(attempts=2, backoff=0, settle=SettlePolicy(window=window, pauses=pauses))
        async with EnkashClient.from_credentials(
            self.sandbox.base_url, self.sandbox.credentials, retry=retry
        ) as client:
            job = PayJob(client, rows, tell=self._tell, settle=window, **{"timeout": 5.0, **options})
            with Journal(self.path, sync=sync) as journal:
                work = asyncio.ensure_future(job.rehearse() if rehearse else job.pay(journal))

                def listen(route: str, done: bool) -> None:
                    if stop(route, done):
                        work.cancel()

                self.sandbox.listener = listen
                (problem,) = await asyncio.gather(work, return_exceptions=True)
                self.sandbox.listener = lambda route, done: None
        if isinstance(problem, Exception):
            raise problem
        return job.results(), problem is None

    def _tell(self, stage: Stage, done: int, total: int) -> None:
        self.told.append((stage, done, total))

    def note_earlier(self, *ids: str, at: datetime | None = None) -> None:
        """Write what a run that is killed during a confirmation leaves in the journal."""
        with Journal(self.path) as journal:
            journal.confirming(ids, datetime.now(UTC) if at is None else at)


def outcomes(results: Iterable[Result]) -> list[RowOutcome]:
    return [one.outcome for one in results]


def money_moved_once(ledger: Ledger, rows: Iterable[Row]) -> None:
    """Check that each row has one bill, that each bill has one debit, and that there is no other."""
    wanted = Counter(one.reference_id for one in rows)
    assert Counter(payment.reference_id for payment in ledger.search()) == wanted
    assert Counter(debit.reference_id for debit in ledger.debits) == wanted


def tells_the_truth(results: Iterable[Result], ledger: Ledger, *, earlier: Collection[str] = ()) -> None:
    """Check the results of a run against the ledger.

    Args:
        results: What the run says.
        ledger: What happened.
        earlier: References of bills from before the run, which may not have come to all of them.
    """
    bills = {payment.reference_id: payment for payment in ledger.search()}
    debits = Counter(debit.reference_id for debit in ledger.debits)
    for one in results:
        reference = one.row.reference_id
        assert debits[reference] <= 1
        if one.bill is not None:
            assert one.bill.utility_enkash_id in {"", bills[reference].utility_enkash_id}
            assert one.amount == bills[reference].amount
        match one.outcome:
            case RowOutcome.PAID | RowOutcome.ALREADY_PAID:
                assert (debits[reference], bills[reference].failed) == (1, False)
            case RowOutcome.FAILED:
                assert bills[reference].failed
            case RowOutcome.PENDING:
                assert reference in bills
            case RowOutcome.UNKNOWN:
                assert one.error is not None
            case _ if reference not in earlier:
                assert not debits[reference]
                assert one.bill is not None or reference not in bills
