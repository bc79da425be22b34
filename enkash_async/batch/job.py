"""Pays a batch: looks up each row, fetches it, checks the ceiling, creates the bill, confirms it and waits for it.

Each row is looked up by its reference first, so that a second run goes on where the first one ended. Before each step
that may change something, the row gets the outcome for a run that is stopped there, so that its results are right too.
"""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from typing import TypeVar

import attrs

from enkash_async._calls.bills import Wanted, biller_words, due_amount
from enkash_async._flow.jobs import drive, items_of
from enkash_async._flow.verdicts import Next, judge
from enkash_async._money import match as matching
from enkash_async._support.clock import loop_now
from enkash_async._support.text import rupees
from enkash_async.batch.journal import Journal
from enkash_async.batch.results import Result, RowOutcome
from enkash_async.batch.row import Row
from enkash_async.bulk import BulkGroup, BulkItem, BulkResult
from enkash_async.client import EnkashClient
from enkash_async.errors import (
    ConfigurationError,
    EnkashError,
    InvalidRequestError,
    OutcomeUnknownError,
    WaitTimeoutError,
)
from enkash_async.models import Bill, FetchedBill, Outcome

__all__ = ["PayJob", "Stage"]

T = TypeVar("T")

_PORTION = 100  # bills per confirmation: small, so that an unclear end concerns few bills
_PORTIONS = 4  # confirmations in flight at once, so that an unclear one does not stop the others
_OF_GROUP = {BulkGroup.NOT_SENT: RowOutcome.NOT_SENT, BulkGroup.UNKNOWN: RowOutcome.UNKNOWN}

_UNCONFIRMED = "created, and its debit is not confirmed yet: run the same command again"
_EARLIER = "an earlier run was stopped while it confirmed this debit: run the same command again"


class Stage(enum.StrEnum):
    """The stages of a batch, in their order."""

    CREATE = "look up, fetch, create"
    CONFIRM = "confirm the debits"
    SETTLE = "wait until settled"


@attrs.define
class _Case:
    """One row and its state so far."""

    row: Row
    outcome: RowOutcome = RowOutcome.NOT_SENT
    amount: Decimal | None = None
    bill: Bill | None = None
    error: EnkashError | None = attrs.field(factory=lambda: EnkashError("not looked at by this run"))

    def end(self, outcome: RowOutcome, error: EnkashError | None = None) -> None:
        self.outcome, self.error = outcome, error

    def see(self, bill: Bill) -> None:
        self.bill = bill
        self.amount = bill.amount if bill.amount is not None else self.amount

    @property
    def bill_id(self) -> str:
        return "" if self.bill is None else self.bill.utility_enkash_id


class PayJob:
    """One run over the rows of a batch.

    Args:
        client: Makes the calls to EnKash.
        rows: The bills to pay.
        tell: Called with (stage, rows done, rows of that stage).
        say: Called with a sentence for the user before a long wait.
        concurrency: Rows that are looked up, fetched and created at once.
        timeout: Seconds to wait for the bills to settle.
        settle: Seconds for which a confirmation of an earlier run may still be in flight.
        remarks: Remarks of the confirmations; None sends none.
        now: Returns the present time, with a time zone.
        clock: Returns monotonic seconds.
    """

    def __init__(
        self,
        client: EnkashClient,
        rows: Sequence[Row],
        *,
        tell: Callable[[Stage, int, int], None],
        say: Callable[[str], None] = lambda _: None,
        concurrency: int = 8,
        timeout: float = 300.0,
        settle: float = 120.0,
        remarks: str | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = loop_now,
    ) -> None:
        self._client = client
        self._cases = [_Case(row) for row in rows]
        self._tell = tell
        self._say = say
        self._concurrency = concurrency
        self._timeout = timeout
        self._settle = settle
        self._remarks = remarks
        self._now = now
        self._clock = clock
        self._began = clock()
        self._stopped_by: EnkashError | None = None

    def results(self) -> list[Result]:
        """Return the result of each row so far, in the order of the file."""
        return [
            Result(row=case.row, outcome=case.outcome, amount=case.amount, bill=case.bill, error=case.error)
            for case in self._cases
        ]

    async def rehearse(self) -> None:
        """Make a dry run: look up, fetch and check the ceiling; create and confirm nothing."""
        await self._each(self._prepare)

    async def pay(self, journal: Journal) -> None:
        """Pay every row that can be paid.

        Args:
            journal: The journal of this batch, already entered.

        Raises:
            ConfigurationError: The journal cannot be written.
        """
        self._began = self._clock()  # this run holds the journal, so an earlier run has ended and sends nothing more
        await self._each(self._create)
        waiting = [case for case in self._cases if case.outcome is RowOutcome.PENDING]
        journal.answered(case.bill_id for case in self._cases if _is_confirmed(case))
        unconfirmed = [case for case in waiting if not _is_confirmed(case)]
        for case in unconfirmed:
            if _may_be_sent(case, journal):
                case.end(RowOutcome.UNKNOWN, OutcomeUnknownError(_EARLIER))
        await self._confirm_all(unconfirmed, journal)
        await self._wait([case for case in waiting if case.outcome is RowOutcome.PENDING])
        with suppress(ConfigurationError):  # a journal that stays does no harm
            journal.remove()

    # --- look up, fetch, create ---------------------------------------------------------------------------------------

    async def _each(self, step: Callable[[_Case], Awaitable[object]]) -> None:
        done = 0

        async def take(case: _Case) -> None:
            nonlocal done
            if self._stopped_by is None:
                try:
                    await step(case)
                except EnkashError as problem:
                    self._fail(case, problem)
            else:
                case.end(RowOutcome.NOT_SENT, self._stopped_by)
            done += 1
            self._tell(Stage.CREATE, done, len(self._cases))

        await drive(items_of(self._cases), take, self._concurrency)

    def _fail(self, case: _Case, problem: EnkashError) -> None:
        verdict = judge(problem)
        # A transient failure means that EnKash refused nothing: a sent write would be in the group UNKNOWN.
        failed = RowOutcome.NOT_SENT if verdict.is_transient else RowOutcome.REFUSED
        outcome = _OF_GROUP.get(verdict.group, failed)
        case.end(outcome, problem)
        if verdict.ends_job:
            self._stopped_by = problem

    async def _create(self, case: _Case) -> None:
        fetched = await self._prepare(case)
        if fetched is None or case.outcome is not RowOutcome.PAYABLE:
            return
        stopped = OutcomeUnknownError("the run was stopped while the bill was created: run it again")
        case.end(RowOutcome.UNKNOWN, stopped)
        reference = case.row.reference_id
        bill = await self._client.bills.create_from_fetch(fetched, reference_id=reference)
        if not bill.utility_enkash_id:  # the reply of a create is not documented
            bill = await self._shown(reference) or bill
        case.see(bill)
        if not bill.utility_enkash_id:
            raise OutcomeUnknownError("the bill was created, but EnKash does not show its id", reference_id=reference)
        case.end(RowOutcome.PENDING, None if _is_confirmed(case) else EnkashError(_UNCONFIRMED))

    async def _shown(self, reference: str) -> Bill | None:
        try:
            return await self._client.bills.reconcile(reference)
        except EnkashError:  # the look-up failed; the bill was created all the same
            return None

    async def _prepare(self, case: _Case) -> FetchedBill | None:
        """Look a row up; if EnKash has no bill for it yet, fetch the bill, check its ceiling and return it."""
        existing = await self._client.bills.find_by_reference(case.row.reference_id)
        if existing is not None:
            self._resume(case, existing)
            return None
        row = case.row
        fetched = await self._client.bills.fetch_current(row.biller_id, row.params, circle=row.circle)
        case.amount = due_amount(fetched)
        if case.amount is None or fetched.company_biller_id is None:
            words = biller_words(fetched)
            said = f": {words}" if words else ""
            case.end(RowOutcome.REFUSED, InvalidRequestError(f"the biller shows nothing to pay{said}"))
        elif not self._over(case):
            case.end(RowOutcome.PAYABLE)
        return fetched

    def _resume(self, case: _Case, bill: Bill) -> None:
        """Set the outcome of a row whose bill an earlier run has created."""
        case.see(bill)
        row = case.row
        wanted = Wanted(reference_id=row.reference_id, biller_id=row.biller_id, consumer_number=row.params["cn"])
        match = matching.compare(wanted, bill)
        if match.different or not match.identified:
            case.bill = case.amount = None  # they are facts of another bill
            case.end(RowOutcome.REFUSED, matching.refusal(wanted, bill, match))
        elif bill.is_settled:
            case.end(RowOutcome.ALREADY_PAID if bill.outcome is Outcome.PAID else RowOutcome.FAILED)
        elif bill.debit_confirmed is True:
            case.end(RowOutcome.PENDING)
        elif not self._over(case):
            case.end(RowOutcome.PENDING, EnkashError(_UNCONFIRMED))

    def _over(self, case: _Case) -> bool:
        most = case.row.max_amount
        if most is None or (case.amount is not None and case.amount <= most):
            return False
        error = InvalidRequestError(f"{rupees(case.amount)} is more than the max_amount of {rupees(most)}")
        case.end(RowOutcome.OVER_CEILING, error)
        return True

    # --- confirm ------------------------------------------------------------------------------------------------------

    async def _confirm_all(self, cases: Sequence[_Case], journal: Journal) -> None:
        done = 0

        async def take(portion: Sequence[_Case]) -> None:
            nonlocal done
            await self._confirm(portion, journal)
            done += len(portion)
            self._tell(Stage.CONFIRM, done, len(cases))

        # Rows that an earlier run may have confirmed come last: they may have to wait, and must not delay the others.
        open_ones = [case for case in cases if _may_be_sent(case, journal)]
        fresh = [case for case in cases if not _may_be_sent(case, journal)]
        self._tell(Stage.CONFIRM, 0, len(cases))
        await drive(_portions([fresh, open_ones]), take, _PORTIONS)

    async def _confirm(self, portion: Sequence[_Case], journal: Journal) -> None:
        cases = await self._after_earlier(portion, journal)
        if not cases:
            return
        ids = [case.bill_id for case in cases]
        try:
            journal.confirming(ids, self._now())
        except ConfigurationError as problem:  # without a note in the journal, the confirmation must not be sent
            for case in cases:
                case.end(RowOutcome.NOT_SENT, problem)
            return
        stopped = OutcomeUnknownError("the run was stopped while the debit was confirmed: run it again")
        for case in cases:
            case.end(RowOutcome.UNKNOWN, stopped)
        items = await self._confirmed(ids)
        journal.answered(one for one, item in items.items() if item.group is not BulkGroup.UNKNOWN)
        for case in cases:
            self._note(case, items[case.bill_id])

    def _note(self, case: _Case, item: BulkItem[None]) -> None:
        if item.error is None:
            case.end(RowOutcome.PENDING)
        else:
            case.end(_OF_GROUP.get(item.group, RowOutcome.REFUSED), item.error)

    async def _confirmed(self, ids: Sequence[str]) -> dict[str, BulkItem[None]]:
        try:
            result = await self._client.payments.confirm_debit(ids, remarks=self._remarks)
        except EnkashError as failure:
            # A confirmation that ends unclearly raises OutcomeUnknownError. So an error with the verdict RECONCILE came
            # from the reading before it, and nothing was sent.
            verdict = judge(failure)
            group = BulkGroup.NOT_SENT if verdict.write is Next.RECONCILE else verdict.group
            return {one: BulkItem(one, error=failure, group=group) for one in ids}
        return {item.key: item for item in _all(result)}

    async def _after_earlier(self, portion: Sequence[_Case], journal: Journal) -> list[_Case]:
        """Return the rows that may be confirmed now, after waiting for confirmations of an earlier run.

        A confirmation of a killed run may still be in flight: its bills are read until EnKash shows them as confirmed,
        or until no request can be in flight any more; then they are confirmed again.
        """
        sent = [case.bill_id for case in portion if _may_be_sent(case, journal)]
        if not sent:
            return list(portion)
        # Counted from this run's start: the earlier run may have sent long after its note, and clocks can be changed.
        left = max(self._settle - (self._clock() - self._began), 0)
        self._say(
            f"an earlier run was stopped while it confirmed {len(sent)} bills: waiting up to {left:.0f} s to see "
            "whether they were confirmed; stopping now begins this wait anew"
        )
        seen = await self._client.payments.reconcile(sent, settle=left)
        journal.answered(bill.utility_enkash_id for bill in (*seen.confirmed, *seen.not_confirmed))
        unclear = {item.key: item for item in seen.unknown}
        confirmed = {bill.utility_enkash_id for bill in seen.confirmed}
        for case in portion:
            if case.bill_id in confirmed:
                case.end(RowOutcome.PENDING)
            elif case.bill_id in unclear:
                error = unclear[case.bill_id].error
                case.end(RowOutcome.UNKNOWN, error or OutcomeUnknownError("EnKash leaves open whether it is confirmed"))
        waiting = {bill.utility_enkash_id for bill in seen.not_confirmed}
        return [case for case in portion if case.bill_id in waiting or case.bill_id not in sent]

    # --- wait ---------------------------------------------------------------------------------------------------------

    async def _wait(self, cases: Sequence[_Case]) -> None:
        if not cases:
            return
        by_id: dict[str, list[_Case]] = {}
        for case in cases:
            by_id.setdefault(case.bill_id, []).append(case)

        def tell(done: int, _: int | None) -> None:
            self._tell(Stage.SETTLE, done, len(by_id))

        self._tell(Stage.SETTLE, 0, len(by_id))
        result = await self._client.bills.wait_many(by_id, timeout=self._timeout, on_progress=tell)
        for item in _all(result):
            for case in by_id[item.key]:
                if item.value is None:
                    if isinstance(item.error, WaitTimeoutError) and item.error.last is not None:
                        case.see(item.error.last)
                    case.end(RowOutcome.PENDING, item.error)
                else:
                    case.see(item.value)
                    case.end(RowOutcome.PAID if item.value.outcome is Outcome.PAID else RowOutcome.FAILED)


def _is_confirmed(case: _Case) -> bool:
    return case.bill is not None and case.bill.debit_confirmed is True


def _may_be_sent(case: _Case, journal: Journal) -> bool:
    """Whether an earlier run may have confirmed it, by the journal or, if that was lost, by the result file."""
    return case.row.unclear or journal.sent_at(case.bill_id) is not None


async def _portions(groups: Sequence[Sequence[_Case]]) -> AsyncIterator[Sequence[_Case]]:
    for group in groups:
        for start in range(0, len(group), _PORTION):
            yield group[start : start + _PORTION]


def _all(result: BulkResult[T]) -> list[BulkItem[T]]:
    return [*result.succeeded, *result.failed, *result.unknown, *result.not_sent]
