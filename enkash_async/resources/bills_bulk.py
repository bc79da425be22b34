"""Bills by the thousand: fetch, create, read and wait, each item accounted for.

The calls about one bill become jobs here: what names an item, what can be worked on, and how.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator

import attrs

from enkash_async._calls.requests import BillRequest
from enkash_async._flow.jobs import Job, OnProgress, Source, checked_source, collect, items_of, stream
from enkash_async._flow.notifier import BillNotifier
from enkash_async._money.wait import checked_timeout, wait_for
from enkash_async._support import checks
from enkash_async.bulk import BulkItem, BulkResult
from enkash_async.config import PollPolicy
from enkash_async.errors import InvalidRequestError
from enkash_async.models import Bill, FetchedBill
from enkash_async.resources.bills import SingleBills

__all__ = ["Bills"]


class Bills(SingleBills):
    """The calls about bills, as `client.bills`: one at a time, or thousands with a bound on those under way."""

    async def fetch_many(
        self, requests: Source[BillRequest], *, concurrency: int = 16, on_progress: OnProgress | None = None
    ) -> BulkResult[FetchedBill]:
        """Ask billers what is due for many consumers; as `fetch_current` for each.

        EnKash page: Fetch Current Bill (api-10664798).

        Args:
            requests: What to fetch; any iterable, asynchronous or not. The next item is taken when there is a hand free
                for it. The same one twice is fetched once.
            concurrency: Fetches under way at once, 1 to 1,000.
            on_progress: Called after each item with (items dealt with, items in all; None where the source has no
                length). What it raises is only logged.

        Returns:
            Every request in one group, in the order given. One that fails does not stop the rest.

        Raises:
            InvalidRequestError: `requests` cannot be iterated over, or the concurrency is out of bounds.
            BulkError: The source failed; `result` has what became of the items before, the cause is its error.
        """
        return await collect(_fetching(self), requests, concurrency=concurrency, on_progress=on_progress)

    def fetch_each(
        self, requests: Source[BillRequest], *, concurrency: int = 16
    ) -> AsyncGenerator[BulkItem[FetchedBill], None]:
        """Yield what is due for each of many consumers as soon as it is known; as `fetch_many`, without keeping it.

        Memory stays flat however many there are, but for the keys by which a request that is given twice is noticed. No
        more than `concurrency` are under way or wait to be taken. The order is that of the answers.

        Args:
            requests: What to fetch.
            concurrency: Fetches under way at once, 1 to 1,000.
        """
        return stream(_fetching(self), requests, concurrency=concurrency)

    async def create_many(
        self, requests: Source[BillRequest], *, concurrency: int = 16, on_progress: OnProgress | None = None
    ) -> BulkResult[Bill]:
        """Create many bills; as `create` for each, or as `create_from_fetch` where a request has `fetched`.

        Every request needs a `reference_id`: with the same references the job can be run again after a crash, and
        creates only what is missing. Two different requests with one reference are refused, the later one.

        EnKash pages: Create Bill Without Bill Fetch (api-10664800), Create Bill After Successful Bill Fetch
        (api-10664803).

        Args:
            requests: What to create; any iterable, asynchronous or not, as for `fetch_many`.
            concurrency: Creates under way at once, 1 to 1,000. One that ended unclearly is under way until it is found
                or given up, so that a failing EnKash is not sent more and more.
            on_progress: As for `fetch_many`.

        Returns:
            Every request in one group, in the order given, under its reference.

        Raises:
            InvalidRequestError: `requests` cannot be iterated over, or the concurrency is out of bounds.
            BulkError: The source failed; `result` has what became of the items before, the cause is its error.
        """
        return await collect(_creating(self), requests, concurrency=concurrency, on_progress=on_progress)

    def create_each(
        self, requests: Source[BillRequest], *, concurrency: int = 16
    ) -> AsyncGenerator[BulkItem[Bill], None]:
        """Create many bills and yield each as soon as its end is known; as `create_many`, without keeping it.

        About `concurrency` more are begun than you have taken. Leaving the loop early cancels what is under way; run
        the job again with the same references to finish it.

        Args:
            requests: What to create.
            concurrency: Creates under way at once, 1 to 1,000.
        """
        return stream(_creating(self), requests, concurrency=concurrency)

    async def get_many(
        self, ids: Source[str], *, concurrency: int = 16, on_progress: OnProgress | None = None
    ) -> BulkResult[Bill]:
        """Return many bills by EnKash's ids; as `get` for each.

        EnKash page: Get Utility Bill Status (api-10664797).

        Keeps all of them, about 3 kB each; `get_each` keeps none.

        Args:
            ids: `utility_enkash_id` of each; any iterable, asynchronous or not, as for `fetch_many`.
            concurrency: Calls under way at once, 1 to 1,000.
            on_progress: As for `fetch_many`.

        Returns:
            Every id in one group, in the order given.

        Raises:
            InvalidRequestError: `ids` cannot be iterated over, or the concurrency is out of bounds.
            BulkError: The source failed; `result` has what became of the ids before, the cause is its error.
        """
        return await collect(_getting(self), ids, concurrency=concurrency, on_progress=on_progress)

    def get_each(self, ids: Source[str], *, concurrency: int = 16) -> AsyncGenerator[BulkItem[Bill], None]:
        """Yield many bills as soon as each is read; as `get_many`, without keeping them.

        Args:
            ids: `utility_enkash_id` of each.
            concurrency: Calls under way at once, 1 to 1,000.
        """
        return stream(_getting(self), ids, concurrency=concurrency)

    async def wait_many(
        self,
        ids: Source[str],
        *,
        timeout: float = 300.0,
        policy: PollPolicy = PollPolicy(),
        notifier: BillNotifier | None = None,
        on_progress: OnProgress | None = None,
    ) -> BulkResult[Bill]:
        """Look at many bills in growing pauses until the outcome of each is final.

        One poller looks at all of them, by search, 99 bills a call.

        EnKash pages: Fetch Bulk Bill Details (api-10664799), Get Utility Bill Status (api-10664797).

        Args:
            ids: `utility_enkash_id` of each; any iterable, asynchronous or not. It is read to its end first.
            timeout: Seconds to wait in all.
            policy: How often to look.
            notifier: Ends a pause early when there is news of one of them, which is then looked at.
            on_progress: Called with (bills that need no more waiting, bills in all). What it raises is only logged.

        Returns:
            `succeeded`: settled, PAID *or* FAILED (see `value.outcome`). `unknown`: not in time, with a
            `WaitTimeoutError` whose `last` is the last state seen. `failed`: EnKash does not show it.

        Raises:
            InvalidRequestError: An id is empty, or the timeout is negative; nothing was sent.
        """
        checked_source(ids, "ids")
        given = [checks.identifier(one, "an id in ids") async for one in items_of(ids)]
        repeated = [one for one, count in Counter(given).items() if count > 1]
        result = await wait_for(
            self._reads,
            list(dict.fromkeys(given)),
            timeout=checked_timeout(timeout),
            policy=policy,
            notifier=notifier,
            poller=self._poller,
            on_progress=on_progress,
        )
        return attrs.evolve(result, duplicates=tuple(repeated))


def _fetching(bills: SingleBills) -> Job[BillRequest, FetchedBill]:
    """Return the job that fetches what is due for each request."""

    async def fetch(request: BillRequest) -> FetchedBill:
        return await bills.fetch_current(
            request.biller_id,
            request.params,
            circle=request.circle,
            remarks=request.remarks,
            key_contact_email=request.key_contact_email,
        )

    return Job(where="requests", check=_request, key=_key, digest=_digest, work=fetch)


def _creating(bills: SingleBills) -> Job[BillRequest, Bill]:
    """Return the job that creates a bill for each request, from what was fetched where there is something."""

    async def create_one(request: BillRequest) -> Bill:
        if request.fetched is not None:
            return await bills.create_from_fetch(
                request.fetched, reference_id=request.reference_id, amount=request.bill_amount
            )
        return await bills.create(
            request.biller_id,
            request.params,
            reference_id=request.reference_id,
            bill_amount=request.bill_amount,
            circle=request.circle,
            bill_date=request.bill_date,
            bill_due_date=request.bill_due_date,
            remarks=request.remarks,
            key_contact_email=request.key_contact_email,
            name=request.name,
            email=request.email,
            extra=request.extra,
        )

    return Job(where="requests", check=_referenced, key=_key, digest=_digest, work=create_one)


def _getting(bills: SingleBills) -> Job[str, Bill]:
    """Return the job that reads the bill of each id."""
    return Job(where="ids", check=_identifier, key=str, work=bills.get)


def _request(given: object) -> BillRequest:
    if not isinstance(given, BillRequest):
        raise InvalidRequestError(f"requests must be BillRequest(biller_id, params, …), not {type(given).__name__}")
    return given


def _referenced(given: object) -> BillRequest:
    request = _request(given)
    if request.reference_id is None:
        raise InvalidRequestError(
            "a bulk create needs a reference_id in each BillRequest: a second run could pay twice without it"
        )
    return request


def _key(request: BillRequest) -> str:
    return request.key


def _digest(request: BillRequest) -> int:
    """Return what tells two requests of one reference apart within this run, ten times faster than their digests."""
    fetched = request.fetched
    return hash(
        (
            (request.biller_id, tuple(sorted(request.params.items())), request.bill_amount, str(request.circle)),
            # As text: these are not checked before they are sent, and what is no text may have no hash.
            repr((request.bill_date, request.bill_due_date, request.remarks, request.key_contact_email)),
            repr((request.name, request.email, request.extra)),
            fetched and (fetched.company_biller_id, fetched.bill_net_amount, fetched.bill_amount),
        )
    )


def _identifier(given: object) -> str:
    return checks.identifier(given, "an id")
