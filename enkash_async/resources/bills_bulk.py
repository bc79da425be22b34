"""The public bulk calls about bills: fetch, create, read and wait for thousands, and report every item.

Each bulk call is a job: the call for one bill, with the check and the name of its items.
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
    """The calls about bills, as `client.bills`: for single bills, or for thousands with a limit on calls in flight."""

    async def fetch_many(
        self, requests: Source[BillRequest], *, concurrency: int = 16, on_progress: OnProgress | None = None
    ) -> BulkResult[FetchedBill]:
        """Ask billers for the bills that are due for many consumers; `fetch_current` for each.

        EnKash page: Fetch Current Bill (api-10664798).

        Args:
            requests: The bills to fetch; any iterable, asynchronous or not. The next item is read only when a slot is
                free. A repeated request is fetched once.
            concurrency: Fetches in flight at once, 1 to 1,000.
            on_progress: Called after each item with (items done, items in all); the second is None for a source
                without a length. An error that it raises is only logged.

        Returns:
            Every request in one group, in the order given. A failed request does not stop the others.

        Raises:
            InvalidRequestError: `requests` cannot be iterated over, or the concurrency is out of bounds.
            BulkError: The source failed; `result` has the items before that, and the cause is the source's error.
        """
        return await collect(_fetching(self), requests, concurrency=concurrency, on_progress=on_progress)

    def fetch_each(
        self, requests: Source[BillRequest], *, concurrency: int = 16
    ) -> AsyncGenerator[BulkItem[FetchedBill], None]:
        """Yield the due bill of each consumer as soon as the biller answers; like `fetch_many`, but keeps no results.

        Memory grows only by the keys that detect repeated requests. At most `concurrency` items are in flight or wait
        to be taken. Items come in the order of the answers.

        Args:
            requests: The bills to fetch; as for `fetch_many`.
            concurrency: Fetches in flight at once, 1 to 1,000.
        """
        return stream(_fetching(self), requests, concurrency=concurrency)

    async def create_many(
        self, requests: Source[BillRequest], *, concurrency: int = 16, on_progress: OnProgress | None = None
    ) -> BulkResult[Bill]:
        """Create many bills; `create` for each, or `create_from_fetch` for a request that has `fetched`.

        Every request needs a `reference_id`: run again after a crash with the same references, the job creates only the
        missing bills. Of two different requests with one reference, the later is refused.

        EnKash pages: Create Bill Without Bill Fetch (api-10664800), Create Bill After Successful Bill Fetch
        (api-10664803).

        Args:
            requests: The bills to create; any iterable, asynchronous or not, as for `fetch_many`.
            concurrency: Creates in flight at once, 1 to 1,000. A create that ended unclearly counts until its bill is
                found or given up, so that an EnKash in trouble gets no new creates meanwhile.
            on_progress: As for `fetch_many`.

        Returns:
            Every request in one group, in the order given, with its reference as the key.

        Raises:
            InvalidRequestError: `requests` cannot be iterated over, or the concurrency is out of bounds.
            BulkError: The source failed; `result` has the items before that, and the cause is the source's error.
        """
        return await collect(_creating(self), requests, concurrency=concurrency, on_progress=on_progress)

    def create_each(
        self, requests: Source[BillRequest], *, concurrency: int = 16
    ) -> AsyncGenerator[BulkItem[Bill], None]:
        """Create many bills and yield each as soon as its outcome is known; like `create_many`, but keeps no results.

        The job is about `concurrency` items ahead of the caller. Ending the loop early cancels the creates in flight;
        run the job again with the same references to finish it.

        Args:
            requests: The bills to create; as for `create_many`.
            concurrency: Creates in flight at once, 1 to 1,000.
        """
        return stream(_creating(self), requests, concurrency=concurrency)

    async def get_many(
        self, ids: Source[str], *, concurrency: int = 16, on_progress: OnProgress | None = None
    ) -> BulkResult[Bill]:
        """Return many bills by EnKash's ids; `get` for each.

        EnKash page: Get Utility Bill Status (api-10664797).

        Keeps all bills in memory, about 3 kB each; `get_each` keeps none.

        Args:
            ids: `utility_enkash_id` of each bill; any iterable, asynchronous or not, as for `fetch_many`.
            concurrency: Calls in flight at once, 1 to 1,000.
            on_progress: As for `fetch_many`.

        Returns:
            Every id in one group, in the order given.

        Raises:
            InvalidRequestError: `ids` cannot be iterated over, or the concurrency is out of bounds.
            BulkError: The source failed; `result` has the ids before that, and the cause is the source's error.
        """
        return await collect(_getting(self), ids, concurrency=concurrency, on_progress=on_progress)

    def get_each(self, ids: Source[str], *, concurrency: int = 16) -> AsyncGenerator[BulkItem[Bill], None]:
        """Yield many bills, each as soon as it is read; like `get_many`, but keeps none.

        Args:
            ids: `utility_enkash_id` of each bill; as for `get_many`.
            concurrency: Calls in flight at once, 1 to 1,000.
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
        """Poll many bills in growing pauses until the outcome of each is final.

        One poller reads all the bills, by search, 99 bills per call.

        EnKash pages: Fetch Bulk Bill Details (api-10664799), Get Utility Bill Status (api-10664797).

        Args:
            ids: `utility_enkash_id` of each bill; any iterable, asynchronous or not, which is read to its end first.
            timeout: Seconds to wait in all; 0 looks once.
            policy: Pauses between the looks.
            notifier: Ends a pause early when there is news of a bill, and only that bill is read; None means no news.
            on_progress: Called with (bills that need no more waiting, bills in all). An error it raises is only logged.

        Returns:
            `succeeded`: settled, PAID *or* FAILED (see `value.outcome`). `unknown`: not settled in time, with a
            `WaitTimeoutError` whose `last` is the last state seen. `failed`: EnKash does not show the bill.

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
    """Return the job that fetches the due bill of each request."""

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
    """Return the job that creates a bill for each request, from its fetched bill where it has one."""

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
    """Return a hash that differs for different requests within this process; ten times faster than `request.digest`."""
    fetched = request.fetched
    return hash(
        (
            (request.biller_id, tuple(sorted(request.params.items())), request.bill_amount, str(request.circle)),
            # As text: these are checked only when they are sent, so that here a value may still be unhashable.
            repr((request.bill_date, request.bill_due_date, request.remarks, request.key_contact_email)),
            repr((request.name, request.email, request.extra)),
            fetched and (fetched.company_biller_id, fetched.bill_net_amount, fetched.bill_amount),
        )
    )


def _identifier(given: object) -> str:
    return checks.identifier(given, "an id")
