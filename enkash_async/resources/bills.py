"""Bills: fetch what is due, create what is to be paid, see what became of it; one at a time or by the thousand."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

import attrs

from enkash_async._calls import bills as calls
from enkash_async._calls.requests import BillRequest
from enkash_async._flow.jobs import Job, OnProgress, Source, checked_source, collect, items_of, stream
from enkash_async._flow.notifier import BillNotifier
from enkash_async._flow.poller import Poller
from enkash_async._flow.verdicts import judge
from enkash_async._money.reads import Reads
from enkash_async._money.settle import Settling, checked_settle
from enkash_async._money.wait import checked_timeout, wait_for
from enkash_async._support import checks
from enkash_async._wire.operation import Send
from enkash_async.bulk import BulkItem, BulkResult
from enkash_async.config import PollPolicy, Routes, SettlePolicy
from enkash_async.errors import DuplicateReferenceError, OutcomeUnknownError, WaitTimeoutError
from enkash_async.models import Bill, Circle, FetchedBill
from enkash_async.resources import bills_bulk as jobs

__all__ = ["Bills"]


class Bills(Reads):
    """The calls about bills, as `client.bills`.

    Args:
        send: Sends operations.
        routes: Where they go.
        settle: How long to look for a bill after a create that ended unclearly.
        attempt_timeout: Seconds that one attempt of a call may take.
        new_reference: Makes a `reference_id` that was never used.
        clock: Monotonic seconds, for waiting.
        sleep: Waits so many seconds.
        random: Returns a number in [0, 1), for jitter.
    """

    def __init__(
        self,
        send: Send,
        routes: Routes,
        *,
        settle: SettlePolicy = SettlePolicy(),
        attempt_timeout: float = 30.0,
        new_reference: Callable[[], str] = lambda: uuid.uuid4().hex,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        random: Callable[[], float] = random.random,
    ) -> None:
        super().__init__(send, routes)
        self._new_reference = new_reference
        self._poller = Poller(clock, sleep, random)
        self._settling = Settling(self, settle, attempt_timeout, self._poller)

    # --- fetch and create ---------------------------------------------------------------------------------------------

    async def fetch_current(
        self,
        biller_id: int,
        params: Mapping[str, str | int],
        *,
        circle: Circle | str | None = None,
        remarks: str | None = None,
        key_contact_email: str | None = None,
    ) -> FetchedBill:
        """Ask the biller what is due at the moment.

        No money moves. EnKash calls the route «fetch *or add*»: it may remember the consumer as one of your company's,
        which is why repeating it is safe as far as money goes and no further.

        EnKash page: Fetch Current Bill (api-10664798).

        Args:
            biller_id: EnKash's number of the biller, from `billers.list()`.
            params: The biller's inputs; `cn`, the consumer number, is always needed, `ad1` and further ones where the
                biller asks for them. Strings keep leading zeros.
            circle: For billers that differ by circle.
            remarks: Free text.
            key_contact_email: Whom EnKash mails after payment.

        Raises:
            InvalidRequestError: The arguments are wrong; nothing was sent.
            BillerInactiveError: The biller is not active.
            BadRequestError: EnKash does not know the biller, or misses an input.
            ServerError: The fetch failed at the biller, among other reasons.
        """
        return attrs.evolve(
            await self._send(
                calls.fetch_current(
                    self._routes,
                    biller_id,
                    params,
                    circle=circle,
                    remarks=remarks,
                    key_contact_email=key_contact_email,
                )
            ),
            biller_id=biller_id,
            consumer_number=str(params["cn"]),
        )

    async def create_from_fetch(
        self, fetched: FetchedBill, *, reference_id: str | None = None, amount: Decimal | int | None = None
    ) -> Bill:
        """Create the bill that was fetched, ready for its debit to be confirmed.

        Choose `reference_id` yourself and store it first: it is what finds the bill again. Sent once, ever: after an
        unclear end the bill is looked for by its reference, for as long as `RetryPolicy.settle` says. A reference that
        was used before for the same biller, consumer and amount brings back that bill, so that a job can be run again.
        Both come with `recovered=True`. When the call is cancelled, `reconcile` tells later what became of it.

        EnKash page: Create Bill After Successful Bill Fetch (api-10664803).

        Args:
            fetched: What `fetch_current` returned.
            reference_id: Your id, never used before; None makes one, which the bill carries.
            amount: Rupees to pay, at least 1, where it differs from the fetched `bill_net_amount`, such as the early
                amount.

        Raises:
            InvalidRequestError: The arguments are wrong, or nothing payable was fetched; nothing was sent.
            DuplicateReferenceError: The `reference_id` was used before, for another bill.
            VelocityLimitError: The account's limit is reached.
            OutcomeUnknownError: It may or may not have been created; it was looked for in vain. Come back with
                `reconcile`.
        """
        reference = self._reference(reference_id)
        return await self._create(calls.create_from_fetch(self._routes, fetched, reference_id=reference, amount=amount))

    async def create(
        self,
        biller_id: int,
        params: Mapping[str, str | int],
        *,
        reference_id: str | None = None,
        bill_amount: Decimal | int | None = None,
        circle: Circle | str | None = None,
        bill_date: date | None = None,
        bill_due_date: date | None = None,
        remarks: str | None = None,
        key_contact_email: str | None = None,
        name: str | None = None,
        email: str | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> Bill:
        """Create a bill that was not fetched, ready for its debit to be confirmed.

        After an unclear end, a cancellation, or with a reference that was used before, as `create_from_fetch`.

        EnKash page: Create Bill Without Bill Fetch (api-10664800).

        Args:
            biller_id: EnKash's number of the biller.
            params: The biller's inputs, `cn` among them; strings keep leading zeros.
            reference_id: Your id, never used before; None makes one, which the bill carries.
            bill_amount: Rupees to pay, at least 1; None leaves the amount to EnKash.
            circle: For billers that differ by circle.
            bill_date: Date of the bill.
            bill_due_date: Day by which it is to be paid.
            remarks: Free text.
            key_contact_email: Whom EnKash mails after payment.
            name: The payer's name.
            email: The payer's address.
            extra: Further members of EnKash's request under EnKash's names, such as `{"walletId": "…"}`.

        Raises:
            InvalidRequestError: The arguments are wrong; nothing was sent.
            BillerInactiveError: The biller is not active.
            BadRequestError: EnKash does not know the biller, or misses an input.
            DuplicateReferenceError: The `reference_id` was used before, for another bill.
            VelocityLimitError: The account's limit is reached.
            OutcomeUnknownError: It may or may not have been created; it was looked for in vain. Come back with
                `reconcile`.
        """
        create = calls.create(
            self._routes,
            biller_id,
            params,
            reference_id=self._reference(reference_id),
            bill_amount=bill_amount,
            circle=circle,
            bill_date=bill_date,
            bill_due_date=bill_due_date,
            remarks=remarks,
            key_contact_email=key_contact_email,
            name=name,
            email=email,
            extra=extra,
        )
        return await self._create(create)

    async def _create(self, create: calls.Create) -> Bill:
        try:
            bill = await self._send(create.operation)
        except OutcomeUnknownError as unclear:
            return await self._settling.created(create.wanted, unclear)
        except DuplicateReferenceError as refused:
            return await self._settling.existing(create.wanted, refused)
        if not bill.utility_enkash_id:
            # The reply of a create is not documented; without the id the bill could not be confirmed.
            bill = await self._settling.identified(create.wanted, bill)
        # A reply may leave the reference out; the one that was sent is the one that finds the bill again.
        return bill if bill.reference_id else attrs.evolve(bill, reference_id=create.wanted.reference_id)

    def _reference(self, given: str | None) -> str:
        return self._new_reference() if given is None else checks.identifier(given, "reference_id")

    async def reconcile(self, reference_id: str, *, settle: SettlePolicy | float | None = None) -> Bill | None:
        """Look for the bill of a create that ended unclearly, or was cancelled; nothing is created.

        For jobs that come back later: store the reference before the create, and come here with it.

        EnKash page: Get Utility Bill By Reference ID (api-10664801).

        Args:
            reference_id: Your id of the bill.
            settle: How long to look: seconds, or a `SettlePolicy`; 0 looks once. None takes `RetryPolicy.settle` of the
                client. The last look has `Timeouts.total`, so this may end that much later.

        Returns:
            The bill, with `recovered=True`, as soon as it shows. None when EnKash said «No utility payment found» to
            the end: by EnKash's guidance a bill that does not show two to three minutes after an unclear end was not
            created. Create it again with the *same* reference, which EnKash takes once.

        Raises:
            InvalidRequestError: The arguments are wrong; nothing was sent.
            EnkashError: What the last look failed with; that says nothing about the bill.
        """
        policy = checked_settle(settle)
        seen = await self._settling.find(checks.identifier(reference_id, "reference_id"), policy)
        if isinstance(seen, Bill):
            return seen
        if judge(seen).says_absent:
            return None
        raise seen

    # --- by the thousand ----------------------------------------------------------------------------------------------

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
        return await collect(self._fetching(), requests, concurrency=concurrency, on_progress=on_progress)

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
        return stream(self._fetching(), requests, concurrency=concurrency)

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
        return await collect(self._creating(), requests, concurrency=concurrency, on_progress=on_progress)

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
        return stream(self._creating(), requests, concurrency=concurrency)

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
        return await collect(self._getting(), ids, concurrency=concurrency, on_progress=on_progress)

    def get_each(self, ids: Source[str], *, concurrency: int = 16) -> AsyncGenerator[BulkItem[Bill], None]:
        """Yield many bills as soon as each is read; as `get_many`, without keeping them.

        Args:
            ids: `utility_enkash_id` of each.
            concurrency: Calls under way at once, 1 to 1,000.
        """
        return stream(self._getting(), ids, concurrency=concurrency)

    def _fetching(self) -> Job[BillRequest, FetchedBill]:
        return jobs.fetching(self.fetch_current)

    def _creating(self) -> Job[BillRequest, Bill]:
        return jobs.creating(self.create, self.create_from_fetch)

    def _getting(self) -> Job[str, Bill]:
        return jobs.getting(self.get)

    # --- waiting ------------------------------------------------------------------------------------------------------

    async def wait_until_settled(
        self,
        utility_enkash_id: str,
        *,
        timeout: float = 300.0,
        policy: PollPolicy = PollPolicy(),
        notifier: BillNotifier | None = None,
    ) -> Bill:
        """Look at a bill in growing pauses until its outcome is final, and return it.

        A look that fails for a passing reason is followed by the next one. Each look gets a second at least, so a wait
        may end that much later than its timeout.

        EnKash page: Get Utility Bill Status (api-10664797).

        Args:
            utility_enkash_id: EnKash's id.
            timeout: Seconds to wait in all.
            policy: How often to look.
            notifier: Ends a pause early when there is news of the bill, such as from a webhook.

        Returns:
            The bill, PAID or FAILED; after FAILED, `payment_status` tells about the refund.

        Raises:
            InvalidRequestError: The id is empty, `.` or `..`, or the timeout is negative; nothing was sent.
            WaitTimeoutError: Not settled in time; it may still settle. `last` is the last state seen, and the cause is
                what the last look failed with, if it did.
            NotFoundError: EnKash knows no such bill.
        """
        wanted = checks.identifier(utility_enkash_id, "utility_enkash_id")
        result = await self._wait([wanted], timeout, policy, notifier, None)
        (item,) = (*result.succeeded, *result.failed, *result.unknown)
        if item.value is None:
            raise item.error or WaitTimeoutError()
        return item.value

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
        result = await self._wait(list(dict.fromkeys(given)), timeout, policy, notifier, on_progress)
        return attrs.evolve(result, duplicates=tuple(repeated))

    async def _wait(
        self,
        ids: list[str],
        timeout: float,
        policy: PollPolicy,
        notifier: BillNotifier | None,
        on_progress: OnProgress | None,
    ) -> BulkResult[Bill]:
        return await wait_for(
            self,
            ids,
            timeout=checked_timeout(timeout),
            policy=policy,
            notifier=notifier,
            poller=self._poller,
            on_progress=on_progress,
        )
