"""The public calls that pay a bill as one step: fetch, create, confirm and wait, safe to call again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from enkash_async._calls.requests import BillRequest
from enkash_async._flow.jobs import Job, OnProgress, Source, checked_concurrency, checked_source, collect, stream
from enkash_async._money.pay import Ended, Payer, PayRun
from enkash_async._money.payment import Payment, error_of, group_of
from enkash_async._support import checks
from enkash_async.bulk import BulkItem, BulkResult
from enkash_async.errors import InvalidRequestError

__all__ = ["PayCalls"]

_IN_HAND = 1_000  # payments in progress at once; after its create, a payment holds no slot of `concurrency`
_TOGETHER = 1.0  # seconds that a bill waits for other bills, so that one call confirms them together


class PayCalls:
    """The calls that pay a bill as one step; `Payments` adds the calls that do only a part of a payment.

    Args:
        payer: Fetches, creates, confirms and awaits bills.
    """

    def __init__(self, payer: Payer) -> None:
        self._payer = payer

    async def pay(self, request: BillRequest, *, wait: float = 0.0, remarks: str | None = None) -> Payment:
        """Pay one bill: fetch the bill, compare it with `max_amount`, create it, confirm its debit, and wait.

        If a call fails or stops halfway, call `pay` again with the same reference, as often as you like, from any
        process that shares the store. The new call continues the payment, and never debits the bill twice. So a payment
        can be a job of a task queue: `Payment.retry` says what the queue should do next. Every call looks the bill up
        at EnKash, unless EnKash has already shown it as paid.

        A request with `bill_amount`, a date, a name, an address or `extra` is created without a fetch; a request with
        `fetched` is created from this fetched bill. A reference that was used for another bill is refused.

        EnKash pages: Fetch Current Bill (api-10664798), Create Bill After Successful Bill Fetch (api-10664803), Create
        Bill Without Bill Fetch (api-10664800), Confirm Debit for Bill Payment (api-10664802), Fetch Bulk Bill Details
        (api-10664799), Get Utility Bill Status (api-10664797), Get Utility Bill By Reference ID (api-10664801).

        Args:
            request: The bill, with a `reference_id`; `max_amount` is the most to debit, in rupees.
            wait: Seconds to wait until the bill is settled; 0 returns after the confirmation without a further look.
            remarks: Remarks of the confirmation, 1 to 255 letters, digits, spaces and a few signs; None sends none.

        Returns:
            The payment: `state` says how far the payment has come, and `reason` why it is in this state.

        Raises:
            InvalidRequestError: The arguments are wrong; nothing was sent.
            StoreUnavailableError: Nothing can be written down, so nothing was sent.
            TokenError: There is no token, so nothing was sent.
        """
        _checked(request)
        seconds, note = _checked_wait(wait), checks.optional(checks.remarks, remarks, "remarks")
        async with self._payer.run(wait=seconds, remarks=note) as run:
            return (await run.pay(request)).payment

    async def rehearse(self, request: BillRequest) -> Payment:
        """Return what `pay` would do with a bill: look up, fetch and compare with `max_amount`; creates nothing.

        EnKash pages: Get Utility Bill By Reference ID (api-10664801), Fetch Current Bill (api-10664798).

        Args:
            request: The bill, with a `reference_id`.

        Returns:
            `PAYABLE` with the amount if `pay` can pay the bill; otherwise the state and the reason why not.

        Raises:
            InvalidRequestError: The request is wrong or lacks a reference; nothing was sent.
            StoreUnavailableError: The store is unavailable, so `pay` would send nothing either.
            TokenError: There is no token, so nothing was sent.
        """
        _checked(request)
        async with self._payer.run(rehearses=True) as run:
            return (await run.pay(request)).payment

    async def pay_many(
        self,
        requests: Source[BillRequest],
        *,
        wait: float = 300.0,
        remarks: str | None = None,
        concurrency: int = 16,
        on_progress: OnProgress | None = None,
    ) -> BulkResult[Payment]:
        """Pay many bills, like `pay` for each; one call confirms many bills, and one poller waits for all of them.

        You can run the job again after a crash, or twice at once: runs that share a store divide the work.

        EnKash pages: as for `pay`.

        Args:
            requests: The bills, each with a `reference_id`; any iterable, asynchronous or not. A repeated request is
                paid once; of two different requests with one reference, the later is refused.
            wait: Seconds to wait until each bill is settled, from its confirmation; 0 does not wait.
            remarks: Remarks of the confirmations, as for `pay`.
            concurrency: Bills that are fetched and created at once, 1 to 1,000. Up to 1,000 further bills wait to be
                confirmed or settled.
            on_progress: Called after each payment with (payments done, payments in all); the number in all is None for
                a source without a length. An error of this callback is only logged.

        Returns:
            Every payment in one group, in the order given: `item.value` is the `Payment`, in each group. `succeeded`:
            paid; with `wait=0`, also pending. `failed`: not paid; do not retry the same request. `unknown`: the bill
            may or may not be paid, or is not settled yet. `not_sent`: nothing was sent; run the job again.

        Raises:
            InvalidRequestError: `requests` cannot be iterated over, or an argument is out of bounds.
            BulkError: The source failed; `result` has the payments before the failure, `__cause__` the source's error.
        """
        seconds, note = _checked_wait(wait), checks.optional(checks.remarks, remarks, "remarks")
        slots = asyncio.Semaphore(checked_concurrency(concurrency))
        async with self._payer.run(wait=seconds, remarks=note, within=_TOGETHER) as run:
            job = _paying(run, slots, seconds)
            return await collect(job, requests, concurrency=_IN_HAND, on_progress=on_progress)

    def pay_each(
        self, requests: Source[BillRequest], *, wait: float = 300.0, remarks: str | None = None, concurrency: int = 16
    ) -> AsyncGenerator[BulkItem[Payment], None]:
        """Pay many bills and yield each payment as soon as it has ended; like `pay_many`, but keeps no results.

        Ending the loop early cancels the payments in progress; run the job again with the same references to finish it.

        Args:
            requests: The bills; as for `pay_many`.
            wait: Seconds to wait until each bill is settled, from its confirmation; 0 does not wait.
            remarks: Remarks of the confirmations, as for `pay`.
            concurrency: Bills that are fetched and created at once, 1 to 1,000.

        Raises:
            InvalidRequestError: `requests` cannot be iterated over, or an argument is out of bounds.
        """
        seconds, note = _checked_wait(wait), checks.optional(checks.remarks, remarks, "remarks")
        checked_source(requests, "requests")
        return self._paid_each(requests, seconds, note, checked_concurrency(concurrency))

    async def _paid_each(
        self, requests: Source[BillRequest], wait: float, remarks: str | None, concurrency: int
    ) -> AsyncGenerator[BulkItem[Payment], None]:
        slots = asyncio.Semaphore(concurrency)
        async with self._payer.run(wait=wait, remarks=remarks, within=_TOGETHER) as run:
            items = stream(_paying(run, slots, wait), requests, concurrency=_IN_HAND)
            try:
                async for item in items:
                    yield item
            finally:
                await items.aclose()


def _paying(run: PayRun, slots: asyncio.Semaphore, wait: float) -> Job[BillRequest, Payment]:
    """Return the job that pays the bill of each request."""

    async def pay_one(request: BillRequest) -> Ended:
        return await run.pay(request, slots)

    def report(key: str, ended: Ended, request: BillRequest) -> BulkItem[Payment]:
        group = group_of(ended.payment, wait)
        error = error_of(ended.payment, group, ended.cause)
        return BulkItem(key, ended.payment, error=error, group=group, request=request)

    return Job(where="requests", check=_checked, key=_key, digest=_digest, work=pay_one, report=report)


def _checked(given: object) -> BillRequest:
    if not isinstance(given, BillRequest):
        raise InvalidRequestError(f"a payment takes a BillRequest(biller_id, params, …), not {type(given).__name__}")
    if given.reference_id is None:
        raise InvalidRequestError("a payment needs a reference_id: without one, a second call could pay twice")
    return given


def _key(request: BillRequest) -> str:
    return request.key


def _digest(request: BillRequest) -> object:
    return request.max_amount, request.digest


def _checked_wait(wait: float) -> float:
    return checks.number(wait, "wait", least=0, unit="seconds")
