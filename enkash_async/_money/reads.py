"""What EnKash shows of bills: the reads that `client.bills` has, and that calls which move money fall back on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TypeVar

import attrs

from enkash_async._calls import bills as calls
from enkash_async._calls.search import search_page
from enkash_async._flow.deadline import Deadline
from enkash_async._flow.jobs import drive, items_of
from enkash_async._flow.pager import AsyncPager
from enkash_async._flow.verdicts import Lasts, judge
from enkash_async._wire.operation import Send
from enkash_async.config import Routes
from enkash_async.errors import (
    EnkashError,
    InvalidRequestError,
    NotFoundError,
)
from enkash_async.models import Bill, BillFilter

__all__ = ["Reads"]

T = TypeVar("T")

_LARGEST_PAGE = 5000  # records; EnKash's limit for one search
_BATCH = 99  # bills of one search; EnKash recommends a limit below 100
_FEW = 3  # bills that are read one by one: that call is documented in full, the search is not
_HANDS = 16  # bills that are read one by one at the same time


class Reads:
    """The reads about bills.

    Args:
        send: Sends operations.
        routes: Where they go.
    """

    def __init__(self, send: Send, routes: Routes) -> None:
        self._send = send
        self._routes = routes

    async def get(self, utility_enkash_id: str) -> Bill:
        """Return a bill by EnKash's id.

        EnKash page: Get Utility Bill Status (api-10664797).

        Raises:
            InvalidRequestError: The id is empty, `.` or `..`; nothing was sent.
            NotFoundError: EnKash knows no such bill.
        """
        bill = await self._send(calls.get(self._routes, utility_enkash_id))
        return bill if bill.utility_enkash_id else attrs.evolve(bill, utility_enkash_id=utility_enkash_id)

    async def get_by_reference(self, reference_id: str) -> Bill:
        """Return a bill by your own id.

        EnKash page: Get Utility Bill By Reference ID (api-10664801).

        Raises:
            InvalidRequestError: The id is empty, `.` or `..`; nothing was sent.
            NotFoundError: EnKash knows no such bill. Right after an unclear create this proves nothing: the request
                may still be on its way.
        """
        bill = await self._send(calls.get_by_reference(self._routes, reference_id))
        return bill if bill.reference_id else attrs.evolve(bill, reference_id=reference_id)

    async def find_by_reference(self, reference_id: str) -> Bill | None:
        """Return a bill by your own id, or None where EnKash says «No utility payment found».

        Any other 404 is raised: it may come from a wrong route or a gateway, and taking it for «no such bill» could
        have the same bill paid twice.

        EnKash page: Get Utility Bill By Reference ID (api-10664801).

        Raises:
            InvalidRequestError: The id is empty, `.` or `..`; nothing was sent.
            NotFoundError: A 404 in which EnKash does not say that there is no such bill.
        """
        try:
            return await self.get_by_reference(reference_id)
        except NotFoundError as problem:
            if problem.bill_absent:
                return None
            raise

    def search(self, bill_filter: BillFilter, *, page_size: int = 100) -> AsyncPager[Bill]:
        """Return the bills that match a filter as a pager; nothing is sent before you iterate.

        EnKash does not document whether `offset` counts bills or pages, nor the order; this sends the number of bills
        received so far.

        EnKash page: Fetch Bulk Bill Details (api-10664799), which advises pages below 100 and allows 5,000.

        Args:
            bill_filter: What a bill must match.
            page_size: Bills a page, 1 to 5000.

        Raises:
            InvalidRequestError: A value cannot be sent, or the page size is out of bounds.
            EnkashError: While iterating; see the tree in `enkash_async.errors`.
        """
        if isinstance(page_size, bool) or not isinstance(page_size, int) or not 1 <= page_size <= _LARGEST_PAGE:
            raise InvalidRequestError(f"page_size must be an int from 1 to {_LARGEST_PAGE}")
        search_page(self._routes, bill_filter, offset=0, limit=page_size)  # refuses a wrong filter now

        async def fetch(offset: int, limit: int) -> list[Bill]:
            return await self._page(bill_filter, offset, limit)

        return AsyncPager(fetch, page_size=page_size, key=lambda bill: bill.utility_enkash_id or None)

    async def _page(self, bill_filter: BillFilter, offset: int, limit: int) -> list[Bill]:
        operation = search_page(self._routes, bill_filter, offset=offset, limit=limit)
        try:
            return await self._send(operation)
        except NotFoundError as problem:
            if problem.bill_absent:
                return []
            raise

    async def read(self, utility_enkash_ids: Sequence[str], *, patience: float) -> Mapping[str, Bill | EnkashError]:
        """Return how each of many bills stands, or why it could not be read; raises nothing.

        Many are searched for, 99 at a time. The reply of the search is not documented, so a bill that it leaves out,
        or shows without any status, is read by itself.

        EnKash pages: Fetch Bulk Bill Details (api-10664799), Get Utility Bill Status (api-10664797).

        Args:
            utility_enkash_ids: Which bills, each once.
            patience: Seconds for all of them; each request gets one second at least, or the patience if that is less.
                After a request that was too late no more are made.
        """
        deadline = Deadline(patience)
        if len(utility_enkash_ids) <= _FEW:
            return await self._each(utility_enkash_ids, deadline)
        found: dict[str, Bill | EnkashError] = {}

        async def read_batch(batch: Sequence[str]) -> None:
            found.update(await self._searched(batch, deadline))
            found.update(await self._each([one for one in batch if one not in found], deadline))

        await drive(_batches(utility_enkash_ids), read_batch, 2)
        return {one: found[one] for one in utility_enkash_ids}

    async def read_each(
        self, utility_enkash_ids: Sequence[str], *, patience: float
    ) -> Mapping[str, Bill | EnkashError]:
        """Return how each of many bills stands, or why it could not be read, one by one; raises nothing.

        EnKash page: Get Utility Bill Status (api-10664797).

        Args:
            utility_enkash_ids: Which bills, each once.
            patience: As for `read`.
        """
        return await self._each(utility_enkash_ids, Deadline(patience, most_late=_HANDS))

    async def _each(self, utility_enkash_ids: Sequence[str], deadline: Deadline) -> Mapping[str, Bill | EnkashError]:
        found: dict[str, Bill | EnkashError] = {}

        async def read_one(one: str) -> None:
            found[one] = await deadline.peek(lambda: self.get(one))

        await drive(items_of(utility_enkash_ids), read_one, min(_HANDS, len(utility_enkash_ids) or 1))
        return {one: found[one] for one in utility_enkash_ids}

    async def _searched(self, batch: Sequence[str], deadline: Deadline) -> Mapping[str, Bill | EnkashError]:
        page = await deadline.peek(lambda: self._page(BillFilter(utility_enkash_ids=batch), 0, len(batch)))
        if not isinstance(page, EnkashError):
            wanted = frozenset(batch)
            return {bill.utility_enkash_id: bill for bill in page if bill.utility_enkash_id in wanted and _tells(bill)}
        # After a passing failure the bills are not asked for one by one: a hundred calls more would not help EnKash. A
        # plain 500, or a reply that cannot be read, is a matter of this search alone.
        verdict = judge(page)
        is_hopeless = verdict.lasts is not Lasts.CALL and not verdict.one_item
        return dict.fromkeys(batch, page) if is_hopeless else {}


async def _batches(ids: Sequence[str]) -> AsyncIterator[Sequence[str]]:
    for start in range(0, len(ids), _BATCH):
        yield ids[start : start + _BATCH]


def _tells(bill: Bill) -> bool:
    return bill.payment_status is not None or bill.billpay_status is not None
