"""Reads bills from EnKash, for `client.bills` and for payments that must know a bill's state."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import TypeVar

import attrs

from enkash_async._calls import bills as calls
from enkash_async._calls.search import search_page
from enkash_async._flow.deadline import Deadline
from enkash_async._flow.jobs import drive, items_of
from enkash_async._flow.verdicts import Lasts, judge
from enkash_async._money import match as matching
from enkash_async._wire.operation import Send
from enkash_async._wire.page import Page
from enkash_async.config import Routes
from enkash_async.errors import (
    EnkashError,
    NotFoundError,
)
from enkash_async.models import Bill, BillFilter

__all__ = ["BATCH", "FEW", "Reads"]

T = TypeVar("T")

BATCH = 99  # bills of one search; EnKash recommends a limit below 100
FEW = 3  # up to this many bills are read singly: EnKash documents the call for one bill in full, but not the search
_CONCURRENCY = 16  # reads of single bills in flight; the default of `bills.get_many`


class Reads:
    """Reads bills.

    Args:
        send: Sends operations.
        routes: The path of every operation.
    """

    def __init__(self, send: Send, routes: Routes) -> None:
        self._send = send
        self._routes = routes

    async def get(self, utility_enkash_id: str) -> Bill:
        """Return a bill by EnKash's id; see `bills.get`."""
        contradiction = matching.contradicts_id(utility_enkash_id)
        bill = await self._send(calls.get(self._routes, utility_enkash_id, contradiction))
        return bill if bill.utility_enkash_id.strip() else attrs.evolve(bill, utility_enkash_id=utility_enkash_id)

    async def get_by_reference(self, reference_id: str) -> Bill:
        """Return a bill by the user's own id; see `bills.get_by_reference`."""
        contradiction = matching.contradicts_reference(reference_id)
        bill = await self._send(calls.get_by_reference(self._routes, reference_id, contradiction))
        return bill if bill.reference_id else attrs.evolve(bill, reference_id=reference_id)

    async def page(self, bill_filter: BillFilter, offset: int, limit: int) -> Page[Bill]:
        """Return one page of the bills that match a filter; an empty page if EnKash says that no bill matches.

        EnKash page: Fetch Bulk Bill Details (api-10664799).
        """
        operation = search_page(self._routes, bill_filter, offset=offset, limit=limit)
        try:
            return await self._send(operation)
        except NotFoundError as problem:
            if problem.bill_absent:
                return Page([], 0)
            raise

    async def read(
        self,
        utility_enkash_ids: Sequence[str],
        *,
        patience: float,
        shows: Callable[[Bill], bool] | None = None,
    ) -> Mapping[str, Bill | EnkashError]:
        """Return the state of each bill, or the error with which its read failed; raises nothing.

        More than three bills are searched for, 99 at a time. EnKash does not document the reply of the search. So a
        bill that the search omits, or does not show in full, is read singly, by a call of its own.

        EnKash pages: Fetch Bulk Bill Details (api-10664799), Get Utility Bill Status (api-10664797).

        Args:
            utility_enkash_ids: EnKash's ids of the bills, each once.
            patience: Seconds for all bills together. Each request gets at least one second, or `patience` if that is
                shorter. After a request has timed out, no more requests are sent.
            shows: Returns whether the search shows enough of a bill; None accepts each bill with a status.
        """
        deadline = Deadline(patience)
        if len(utility_enkash_ids) <= FEW:
            return await self._each(utility_enkash_ids, deadline)
        found: dict[str, Bill | EnkashError] = {}

        async def read_batch(batch: Sequence[str]) -> None:
            found.update(await self._searched(batch, deadline, shows or _tells))
            found.update(await self._each([one for one in batch if one not in found], deadline))

        await drive(_batches(utility_enkash_ids), read_batch, 2)
        return {one: found[one] for one in utility_enkash_ids if one in found}

    async def searched(
        self, utility_enkash_ids: Sequence[str], *, patience: float
    ) -> tuple[dict[str, Bill | EnkashError], int]:
        """Return the bills that a search shows with a status, and the number of searches; raises nothing.

        Three bills or fewer are read singly; the number of searches is then 0.

        EnKash pages: Fetch Bulk Bill Details (api-10664799), Get Utility Bill Status (api-10664797).

        Args:
            utility_enkash_ids: EnKash's ids of the bills, each once.
            patience: As for `read`.
        """
        deadline = Deadline(patience)
        if len(utility_enkash_ids) <= FEW:
            return dict(await self._each(utility_enkash_ids, deadline)), 0
        found: dict[str, Bill | EnkashError] = {}

        async def search(batch: Sequence[str]) -> None:
            found.update(await self._searched(batch, deadline, _tells))

        await drive(_batches(utility_enkash_ids), search, 2)
        return found, -(-len(utility_enkash_ids) // BATCH)

    async def read_each(
        self, utility_enkash_ids: Sequence[str], *, patience: float
    ) -> Mapping[str, Bill | EnkashError]:
        """Return the state of each bill, or its error, with one call for each bill; raises nothing.

        EnKash page: Get Utility Bill Status (api-10664797).

        Args:
            utility_enkash_ids: EnKash's ids of the bills, each once.
            patience: As for `read`; but the requests stop only after 16 time-outs in a row.
        """
        return await self._each(utility_enkash_ids, Deadline(patience, most_late=_CONCURRENCY))

    async def _each(self, utility_enkash_ids: Sequence[str], deadline: Deadline) -> Mapping[str, Bill | EnkashError]:
        found: dict[str, Bill | EnkashError] = {}

        async def read_one(one: str) -> None:
            found[one] = await deadline.peek(lambda: self.get(one))

        await drive(items_of(utility_enkash_ids), read_one, min(_CONCURRENCY, len(utility_enkash_ids) or 1))
        return {one: found[one] for one in utility_enkash_ids}

    async def _searched(
        self, batch: Sequence[str], deadline: Deadline, shows: Callable[[Bill], bool]
    ) -> Mapping[str, Bill | EnkashError]:
        page = await deadline.peek(lambda: self.page(BillFilter(utility_enkash_ids=batch), 0, len(batch)))
        if not isinstance(page, EnkashError):
            return {one: bill for one, bill in _rows(page, batch).items() if not bill.unreadable and shows(bill)}
        # After a transient or permanent failure, the bills are not read singly: 99 more calls would burden EnKash. A
        # plain 500, or a reply that cannot be decoded, affects only this search, so the bills are read singly.
        verdict = judge(page)
        is_hopeless = verdict.lasts is not Lasts.CALL and not verdict.one_item
        return dict.fromkeys(batch, page) if is_hopeless else {}


async def _batches(ids: Sequence[str]) -> AsyncIterator[Sequence[str]]:
    for start in range(0, len(ids), BATCH):
        yield ids[start : start + BATCH]


def _rows(page: Page[Bill], batch: Sequence[str]) -> dict[str, Bill]:
    """Return the bills of a search by id, without those that it shows in two states: only a single read can decide."""
    rows: dict[str, Bill] = {}
    wanted, contradicted = frozenset(batch), set()
    for bill in page.items:
        one = bill.utility_enkash_id
        if one in wanted and rows.setdefault(one, bill) != bill:
            contradicted.add(one)
    return {one: bill for one, bill in rows.items() if one not in contradicted}


def _tells(bill: Bill) -> bool:
    return bill.payment_status is not None or bill.billpay_status is not None
