"""A user of the package, an EnKash with faults, and a record of everything that the client told the user."""

from __future__ import annotations

import asyncio
import contextvars
from collections import Counter
from collections.abc import Awaitable, Callable, Container, Iterable, Sequence
from decimal import Decimal
from typing import Any, TypeVar

import attrs
from _money.arrivals import Arrivals
from _money.judge import (
    Order,
    agrees,
    by_request,
    groups_of,
    judge_confirmation,
    judge_create,
    judge_group,
    judge_repeated,
)
from _money.witness import ABSENT, CALL, End, Exchange, Witness

from enkash_async import (
    Bill,
    DuplicateReferenceError,
    EnkashClient,
    EnkashError,
    FetchedBill,
    MemoryStore,
    OutcomeUnknownError,
    PasswordGrant,
    PollPolicy,
    RetryPolicy,
    SettlePolicy,
    StoreTokenProvider,
    Timeouts,
)
from enkash_async._calls.requests import BillRequest
from enkash_async._money.instants import DURATIONS
from enkash_async.bulk import BulkGroup, BulkResult, Confirmations
from enkash_async.sandbox import FaultKind, Sandbox
from enkash_async.sandbox._payment import UtilityPayment

__all__ = ["LATER", "SLOW", "SOON", "UNHURRIED", "Cancel", "Fault", "World"]

T = TypeVar("T")

#: Seconds. What is slow outlasts an attempt; what is late comes within the window or after it.
ATTEMPT, WINDOW = 0.15, 0.08
SLOW, SOON, LATER = 0.2, 0.02, 0.3
UNHURRIED = 0.12  # is answered in time, though not within the window
_AFTERWARDS = {FaultKind.LATE, FaultKind.SLOW}  # a request may be worked on when nobody looks after it any longer
_CREATES = ("add_bill", "create_bill")
_BRIEF_TIMEOUTS = Timeouts(total=ATTEMPT)
_BRIEF = RetryPolicy(
    backoff=0,
    max_retry_after=0.05,
    settle=SettlePolicy(window=WINDOW, pauses=PollPolicy(first=0.01, longest=0.03)),
)


@attrs.frozen
class Fault:
    """Something that goes wrong during the next call; the route is a field of `Routes`, or `creates` for both."""

    route: str
    kind: FaultKind
    times: int | None = 1
    after: int = 0
    delay: float = SLOW


@attrs.frozen
class Cancel:
    """When to cancel a call: after the given exchanges, and the given rounds of the event loop later."""

    exchanges: int
    turns: int


@attrs.define
class _Clock:
    """A clock that moves between calls, so that a token refused in one call does not hinder the next."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


class World:
    """The client, the sandbox and the record that one run of the machine needs.

    Attributes:
        references: Every reference of an order.
        wanted: The order that was last given for each reference.
    """

    def __init__(self, settle_after: float) -> None:
        self.sandbox = Sandbox(settle_after=settle_after, repeat_debits=True)
        self._arrivals = Arrivals(self.sandbox)
        self.wanted: dict[str, Order] = {}
        self._clock = _Clock()
        self._store_clock = _Clock()  # it moves while nothing is in flight
        self._store = MemoryStore(clock=self._store_clock)  # as processes share one
        self._exchanges: list[Exchange] = []
        self._calls = 0
        self._patience = WINDOW / 2  # a look that ends with the window may have begun earlier
        self._loose: set[str] = set()  # bills whose confirmation may still be in flight
        self._left_open: set[str] = set()  # bills with a confirmation that was cancelled, or whose end is unknown
        self._told: dict[str, Bill] = {}
        self._not_created: set[tuple[str, str]] = set()
        self._not_confirmed: set[tuple[str, str]] = set()

    # --- beginning and end --------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Start the server and a first client."""
        await self.sandbox.__aenter__()
        grant = PasswordGrant(self.sandbox.base_url, self.sandbox.credentials, clock=self._clock)
        self._tokens = StoreTokenProvider(grant, MemoryStore(clock=self._clock), clock=self._clock)
        self._start_client()
        await self.client.billers.list_categories()  # from here on a failed login is not held against the credentials

    def _start_client(self) -> None:
        self.witness = Witness(self.sandbox.base_url, timeout=_BRIEF_TIMEOUTS, exchanges=self._exchanges)
        self.client = EnkashClient(
            self.sandbox.base_url, tokens=self._tokens, retry=_BRIEF, timeout=_BRIEF_TIMEOUTS, store=self._store
        )
        self.client.bills._debits._wall = self._store_clock
        self.client._transport = self.client._send._transport = self.witness

    async def close(self) -> None:
        """End client and server."""
        await self.client.aclose()
        await self._tokens.aclose()
        await self._arrivals.are_over()  # aiohttp complains of a request that its end cuts off
        await self.sandbox.__aexit__(None, None, None)

    async def come_back_later(self) -> None:
        """Go on as another process does, once nothing is in flight and every window is over."""
        await self.client.aclose()
        await self._arrivals.are_over()
        self._loose.clear()
        self._store_clock.now += DURATIONS.settled_after
        self._start_client()

    # --- the ledger ---------------------------------------------------------------------------------------------------

    def payments(self) -> list[UtilityPayment]:
        """Return every bill that EnKash has."""
        return self.sandbox.ledger.search()

    def existing(self, reference: str) -> UtilityPayment | None:
        """Return the bill of a reference."""
        return next((one for one in self.payments() if one.reference_id == reference), None)

    def debited(self) -> set[str]:
        """Return the ids of the bills whose debit was confirmed."""
        return {debit.utility_enkash_id for debit in self.sandbox.ledger.debits}

    def check(self) -> None:
        """Check everything that was said so far, and that nothing was done twice."""
        payments = self.payments()
        origins = [(_origin(one), one.reference_id) for one in payments]
        assert {one.reference_id for one in payments} <= set(self.wanted)
        assert _twice(one.reference_id for one in payments) == []
        assert _twice(origins) == []
        assert not self._not_created & set(origins), "it was said that it was not created"
        assert _twice(debit.utility_enkash_id for debit in self.sandbox.ledger.debits) == []
        confirmed = {(one.approval_remarks, one.utility_enkash_id) for one in payments if one.confirmed_at}
        assert not self._not_confirmed & confirmed, "it was said that it was not confirmed"
        self._check_arrivals()
        for one in payments:
            if one.utility_enkash_id in self._told:
                agrees(self._told[one.utility_enkash_id], one)
        assert set(self._told) <= {one.utility_enkash_id for one in payments}

    def _check_arrivals(self) -> None:
        """Check that exactly the requests of the client have arrived."""
        sent = [one for one in self._exchanges if one.end is not End.UNSENT]
        creates, counts = sum(one.created is not None for one in sent), self.sandbox.counts
        assert counts["add_bill"] + counts["create_bill"] <= creates, "it was said to be unsent, or sent unseen"
        assert counts["confirm_debit"] <= sum(bool(one.confirmed) for one in sent)

    # --- calls --------------------------------------------------------------------------------------------------------

    async def _run(
        self, work: Callable[[str], Awaitable[T]], cancel: Cancel | None = None
    ) -> tuple[str, T | EnkashError | None, list[Exchange]]:
        """Return the mark of a call, what came of it, which is None for cancelled, and its exchanges."""
        self._calls += 1
        number, mark = self._calls, f"call {self._calls}"
        context = contextvars.copy_context()
        context.run(CALL.set, number)
        task = asyncio.get_running_loop().create_task(_ending(work, mark), context=context)
        cancelled = cancel is not None and await self._cancel(task, cancel)
        await asyncio.wait([task])
        assert task.cancelled() == cancelled, "a cancellation passes on"
        exchanges = [one for one in self._exchanges if one.call == number]
        return mark, None if cancelled else task.result(), exchanges

    def _prepare(self, faults: Sequence[Fault]) -> None:
        self._clock.now += 60
        # A look that gets no token leaves no trace here.
        self._patience = 0.0 if any(fault.route == "token" for fault in faults) else WINDOW / 2
        self.sandbox.faults.clear()
        for fault in faults:
            for route in _CREATES if fault.route == "creates" else (fault.route,):
                self.sandbox.faults.add(
                    route, fault.kind, times=fault.times, after=fault.after, delay=fault.delay, retry_after=0.01
                )

    async def _cancel(self, task: asyncio.Task[Any], cancel: Cancel) -> bool:
        goal = self.witness.begun + cancel.exchanges
        while self.witness.begun < goal and not task.done():
            await asyncio.sleep(0)
        for _ in range(cancel.turns):
            await asyncio.sleep(0)
        return task.cancel()

    async def _create_call(self, order: Order, mark: str) -> Bill:
        if order.fetched:
            return await self.client.bills.create_from_fetch(
                self._fetched(order, mark), reference_id=order.reference, amount=order.amount
            )
        return await self.client.bills.create(
            order.biller_id,
            {"cn": order.consumer},
            reference_id=order.reference,
            bill_amount=order.amount,
            remarks=mark,
        )

    def _fetched(self, order: Order, mark: str) -> FetchedBill:
        enrolled = self.sandbox.ledger.enrol(order.biller_id, {"cn": order.consumer})
        return FetchedBill(
            company_biller_id=enrolled.company_biller_id,
            bill_number=mark,
            bill_net_amount=Decimal(77),
            biller_id=order.biller_id,
            consumer_number=order.consumer,
        )

    def _request(self, order: Order, mark: str) -> BillRequest:
        return BillRequest(
            order.biller_id,
            {"cn": order.consumer},
            reference_id=order.reference,
            bill_amount=order.amount,
            remarks=None if order.fetched else mark,
            fetched=self._fetched(order, mark) if order.fetched else None,
        )

    # --- what a user does ---------------------------------------------------------------------------------------------

    async def create(self, order: Order, faults: Sequence[Fault], cancel: Cancel | None = None) -> None:
        """Create a bill, and judge what is said about it."""
        self.wanted[order.reference] = order
        self._prepare(faults)
        mark, said, exchanges = await self._run(lambda mark: self._create_call(order, mark), cancel)
        if said is not None:
            self._judge_create(order, mark, said, exchanges)

    async def create_in_two_places(self, order: Order, faults: Sequence[Fault]) -> None:
        """Create one bill from two tasks at the same time."""
        self.wanted[order.reference] = order
        self._prepare(faults)
        ended = await asyncio.gather(*(self._run(lambda mark: self._create_call(order, mark)) for _ in range(2)))
        for mark, said, exchanges in ended:
            assert said is not None
            self._judge_create(order, mark, said, exchanges)

    def _judge_create(self, order: Order, mark: str, said: Bill | EnkashError, exchanges: Sequence[Exchange]) -> None:
        existing = self.existing(order.reference)
        if judge_create(order, exchanges, said, existing, patience=self._patience):
            self._not_created.add((mark, order.reference))
        if isinstance(said, Bill):
            assert existing is not None
            assert said.recovered or _origin(existing) == mark
            self._told[said.utility_enkash_id] = said

    async def create_many(
        self, orders: Sequence[Order], faults: Sequence[Fault], cancel: Cancel | None = None, *, concurrency: int = 4
    ) -> BulkResult[Bill] | None:
        """Create bills in bulk, and judge what is said about each."""
        for order in reversed(orders):
            self.wanted[order.reference] = order
        given: list[BillRequest] = []

        async def work(mark: str) -> BulkResult[Bill]:
            given.extend(self._request(order, mark) for order in orders)
            return await self.client.bills.create_many(given, concurrency=concurrency)

        self._prepare(faults)
        mark, said, exchanges = await self._run(work, cancel)
        if said is None:
            return None
        assert isinstance(said, BulkResult)
        items = by_request(said)
        first: dict[str, Order] = {}
        for order, request in zip(orders, given, strict=True):
            if order.reference in first:
                judge_repeated(order, first[order.reference], items.pop(id(request), None), said.duplicates)
                continue
            first[order.reference] = order
            item = items.pop(id(request))
            result = item.value or item.error
            assert result is not None
            judge_group(item, [one for one in exchanges if one.created == order.reference])
            self._judge_create(order, mark, result, exchanges)
        assert not items
        return said

    async def confirm(
        self, ids: Sequence[str], faults: Sequence[Fault], cancel: Cancel | None = None, *, check_first: bool = True
    ) -> BulkResult[None] | None:
        """Confirm debits and judge what is said about each, once nothing is in flight."""
        if self._loose & set(ids):
            await self.come_back_later()
        self._prepare(self._without_lies(ids, faults))
        before = set(self.debited())
        check = check_first or bool(before & set(ids))
        mark, said, exchanges = await self._run(
            lambda mark: self.client.payments.confirm_debit(ids, remarks=mark, check_first=check), cancel
        )
        if any(fault.kind in _AFTERWARDS for fault in faults):
            self._loose |= set(ids)
        if said is None:
            self._left_open |= set(ids)
            return None
        for one in dict.fromkeys(ids):
            groups = groups_of(one, said)
            judge_confirmation(
                one,
                exchanges,
                groups,
                patience=self._patience,
                was_debited=one in before,
                was_left_open=one in self._left_open,
            )
            self._note_confirmation(mark, one, groups_of(one, said))
        return said if isinstance(said, BulkResult) else None

    async def confirm_in_two_places(self, ids: Sequence[str], faults: Sequence[Fault]) -> None:
        """Confirm debits from two tasks at the same time, which must not both send what the other one is sending."""
        if self._loose & set(ids):
            await self.come_back_later()
        self._prepare(self._without_lies(ids, faults))
        ended = await asyncio.gather(
            *(self._run(lambda mark: self.client.payments.confirm_debit(ids, remarks=mark)) for _ in range(2))
        )
        for mark, said, _ in ended:
            assert said is not None
            for one in dict.fromkeys(ids):
                self._note_confirmation(mark, one, groups_of(one, said))

    def _without_lies(self, ids: Sequence[str], faults: Sequence[Fault]) -> list[Fault]:
        """Return the faults without a yes to what EnKash refuses, since no caller could see through it."""
        are_bills = set(ids) <= {one.utility_enkash_id for one in self.payments()}
        lie = ("confirm_debit", FaultKind.NULL_PAYLOAD)
        return [fault for fault in faults if are_bills or (fault.route, fault.kind) != lie]

    def _note_confirmation(self, mark: str, one: str, groups: Container[BulkGroup]) -> None:
        if BulkGroup.SUCCEEDED in groups:
            assert one in self.debited()
        elif BulkGroup.UNKNOWN in groups:
            self._left_open.add(one)
        else:
            self._not_confirmed.add((mark, one))

    async def reconcile(self, reference: str, faults: Sequence[Fault]) -> None:
        """Look for the bill of a reference, and judge what is said."""
        before = self.existing(reference)

        async def work(_: str) -> Bill | str:
            return await self.client.bills.reconcile(reference) or "absent"

        self._prepare(faults)
        _, said, exchanges = await self._run(work)
        shown = [look.shown for look in exchanges if look.looked_up == reference]
        existing = self.existing(reference)
        if any(state not in (None, ABSENT) for state in shown):
            assert isinstance(said, Bill)
            assert existing is not None
            assert said.recovered
            agrees(said, existing)
        elif said == "absent":
            assert shown[-1] is ABSENT
            assert before is None
        else:
            assert isinstance(said, EnkashError)
            assert not isinstance(said, (OutcomeUnknownError, DuplicateReferenceError))

    async def reconcile_payments(self, ids: Sequence[str], faults: Sequence[Fault]) -> None:
        """Read debits back, and judge into which group each is sorted."""
        before = self.debited()
        self._prepare(faults)
        _, said, exchanges = await self._run(lambda _: self.client.payments.reconcile(ids))
        assert isinstance(said, Confirmations)
        confirmed = [bill.utility_enkash_id for bill in said.confirmed]
        waiting = [bill.utility_enkash_id for bill in said.not_confirmed]
        unknown = [item.key for item in said.unknown]
        assert sorted(confirmed + waiting + unknown) == sorted(set(ids))
        assert set(confirmed) <= self.debited()
        assert not set(waiting) & before
        assert all(any(each.shows(one) for each in exchanges) for one in waiting)
        shown = [state for one in unknown for each in exchanges if (state := each.shows(one)) is not None]
        assert not any(state["approvalStatus"] == "APPROVED" for state in shown if state is not ABSENT)

    async def finish(self) -> None:
        """Repeat everything without faults: all of it is done, and nothing is done twice."""
        await self.come_back_later()
        standing = {one.reference_id: one.utility_enkash_id for one in self.payments()}
        orders = [self._as_it_stands(order) for order in self.wanted.values()]
        result = await self.create_many(orders, ())
        assert result is not None
        assert {order.reference for order in orders if order.payable} == {item.key for item in result.succeeded}
        ids = [item.value.utility_enkash_id for item in result.succeeded if item.value is not None]
        if ids:
            confirmed = await self.confirm(ids, ())
            assert confirmed is not None
            confirmed.raise_for_failures()
        assert len(self.sandbox.ledger.debits) == len(self.payments()) == len(ids)
        assert standing.items() <= {one.reference_id: one.utility_enkash_id for one in self.payments()}.items()

    def _as_it_stands(self, order: Order) -> Order:
        """Return an order with the content that EnKash has under its reference, if any."""
        existing = self.existing(order.reference)
        if existing is None:
            return order
        company = existing.company_biller
        return attrs.evolve(
            order, biller_id=company.biller.biller_id, consumer=company.consumer_number, amount=existing.amount
        )


async def _ending(work: Callable[[str], Awaitable[T]], mark: str) -> T | EnkashError:
    try:
        return await work(mark)
    except EnkashError as failure:
        return failure


def _origin(payment: UtilityPayment) -> str | None:
    """Return the mark of the call that made a bill."""
    return payment.remarks or payment.bill.bill_number


def _twice(items: Iterable[Any]) -> list[Any]:
    return [item for item, count in Counter(items).items() if count > 1]
