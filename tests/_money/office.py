"""A `Send` to an EnKash that debits a bill again whenever it is told to, in virtual time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable
from typing import Any

from enkash_async import (
    ApprovalStatus,
    Bill,
    BulkResult,
    MemoryStore,
    NotFoundError,
    PaymentStatus,
    PollPolicy,
    SettlePolicy,
)
from enkash_async._wire.operation import Effect, Operation
from enkash_async._wire.page import Page
from enkash_async.bulk import BulkItem
from enkash_async.resources.payments import Payments
from enkash_async.stores import Store

from support import bill_calls, depart, payment_calls

__all__ = ["SETTLE", "WINDOW", "Office", "all_of", "confirm", "keys"]

WINDOW = 10.0  # seconds for which a caller waits
SETTLE = SettlePolicy(window=WINDOW, pauses=PollPolicy(first=1, factor=1, jitter=0))
WAITING = ApprovalStatus("MAKER_APPROVAL_PENDING")
APPROVED = ApprovalStatus("CHECKER_APPROVED")


class Office:
    """A `Send`.

    Attributes:
        puts: The ids of each confirmation that arrived.
        at: When each arrived, in seconds of the loop.
        debits: What was debited, in its order.
        answer: Says of a confirmation which of its bills are debited, and how it ends.
        held: What does not go on until its event is set: a bill's id holds the read of it, a number that confirmation.
        ends: What a confirmation or the read of a bill ends with; likewise.
        shown: What single reads and searches show of a bill in place of the truth; None for «not found».
        search_lags: Whether the search shows no confirmation.
        is_vague: Whether bills show no approval.
        lag: Seconds for which no read shows a debit.
        searches: Requests that search.
        singles: Requests that read a bill by itself.
    """

    def __init__(self) -> None:
        self.puts: list[list[str]] = []
        self.at: list[float] = []
        self.debits: list[str] = []
        self.answer: Callable[[list[str]], tuple[Iterable[str], Exception | None]] = lambda ids: (ids, None)
        self.held: dict[str | int, asyncio.Event] = {}
        self.ends: dict[str | int, Exception] = {}
        self.shown: dict[str, Bill | None] = {}
        self.search_lags = self.is_vague = False
        self.lag = 0.0
        self.searches = self.singles = 0
        self.waiting: set[str | int] = set()
        self._debited_at: dict[str, float] = {}
        self._in_flight: list[tuple[float, list[str]]] = []

    async def __call__(self, operation: Operation[Any]) -> Any:
        if operation.effect is not Effect.READ:
            await depart(operation)
            return await self._confirm(list(operation.utility_enkash_ids))
        if operation.name == "bills.search":
            self.searches += 1
            await asyncio.sleep(0)
            wanted: list[str] = json.loads(operation.request.body or b"")["utilityEnkashIds"]
            found = [self._show(one, self.search_lags) for one in wanted]
            return Page([bill for bill in found if bill is not None])
        self.singles += 1
        one = operation.request.path.rpartition("/")[2]
        seen = self._show(one)  # as it is when the request arrives, however long the reply takes
        await self._end(one)
        if seen is None:
            absent = NotFoundError("No utility payment found")
            absent.bill_absent = True
            raise absent
        return seen

    async def _confirm(self, ids: list[str]) -> None:
        self.puts.append(ids)
        self.at.append(asyncio.get_running_loop().time())
        number = len(self.puts)
        try:
            await self._end(number)
        except asyncio.CancelledError:  # the client has hung up, and the work is done a little later
            self._in_flight.append((self.at[-1] + WINDOW / 2, ids))
            raise
        done, problem = self.answer(ids)
        self.debit(done)
        if problem is not None:
            raise problem

    def debit(self, ids: Iterable[str]) -> None:
        for one in ids:
            self.debits.append(one)
            self._debited_at.setdefault(one, asyncio.get_running_loop().time())

    async def _end(self, key: str | int) -> None:
        await asyncio.sleep(0)
        if key in self.held:
            self.waiting.add(key)
            await self.held[key].wait()
        if key in self.ends:
            raise self.ends[key]

    def _show(self, one: str, lags: bool = False) -> Bill | None:
        self.land()
        if one in self.shown:
            return self.shown[one]
        now = asyncio.get_running_loop().time()
        confirmed = one in self._debited_at and not lags and now >= self._debited_at[one] + self.lag
        if self.is_vague:
            return Bill(utility_enkash_id=one, payment_status=PaymentStatus("IN_PROCESS" if confirmed else "INIT"))
        approval = APPROVED if confirmed else WAITING
        return Bill(utility_enkash_id=one, payment_status=PaymentStatus.INIT, approval_status=approval)

    def land(self) -> None:
        """Carry out the confirmations whose delay is over."""
        now = asyncio.get_running_loop().time()
        for due, ids in list(self._in_flight):
            if due <= now:
                self._in_flight.remove((due, ids))
                self.debit(ids)

    def hold(self, key: str | int) -> asyncio.Event:
        return self.held.setdefault(key, asyncio.Event())

    async def is_held(self, key: str | int) -> None:
        """Wait until that read or that confirmation is held."""
        while key not in self.waiting:
            await asyncio.sleep(0)

    def client(self, store: Store | None = None, *, settle: float | SettlePolicy = SETTLE) -> Payments:
        """Return the calls of a client; each without a store has a memory of its own."""
        rare = PollPolicy(first=1, factor=2, longest=20, jitter=0)
        policy = SettlePolicy(window=settle, pauses=rare) if isinstance(settle, (int, float)) else settle
        bills = bill_calls(self, settle=policy, store=store or MemoryStore())
        return payment_calls(self, bills)


def confirm(client: Payments, ids: Iterable[str], **how: Any) -> asyncio.Task[BulkResult[None]]:
    return asyncio.create_task(client.confirm_debit(list(ids), **how))


def keys(items: Iterable[BulkItem[None]]) -> list[str]:
    return [item.key for item in items]


def all_of(result: BulkResult[None]) -> list[str]:
    return sorted(keys([*result.succeeded, *result.failed, *result.unknown, *result.not_sent]))
