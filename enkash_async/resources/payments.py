"""The public calls that move money: confirm the debit of created bills, or pay them through the gateway."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from decimal import Decimal

from enkash_async._calls import payments as calls
from enkash_async._flow.jobs import (
    OnProgress,
    Progress,
    Source,
    broken_off,
    checked_concurrency,
    checked_source,
    drive,
    items_of,
)
from enkash_async._money.confirm import Chunk, Confirming, ConfirmResult
from enkash_async._money.in_flight import InFlight
from enkash_async._money.reads import Reads
from enkash_async._money.settle import Settling, checked_settle
from enkash_async._support import checks
from enkash_async._support.clock import loop_now
from enkash_async._wire.operation import Send
from enkash_async.bulk import BulkGroup, BulkItem, BulkResult, Confirmations
from enkash_async.config import Routes, SettlePolicy
from enkash_async.errors import EnkashError
from enkash_async.models import Bill, PaymentInitiation, PaymentType

__all__ = ["Payments"]


class Payments:
    """The calls that move money, as `client.payments`.

    Args:
        send: Sends operations.
        routes: The path of every operation.
        reads: Reads bills.
        settling: Reads bills back after an unclear end.
        patience: Seconds for reading one bill.
        clock: Returns monotonic seconds.
    """

    def __init__(
        self,
        send: Send,
        routes: Routes,
        reads: Reads,
        settling: Settling,
        *,
        patience: float = 30.0,
        clock: Callable[[], float] = loop_now,
    ) -> None:
        self._send = send
        self._routes = routes
        self._reads = reads
        self._settling = settling
        self._patience = patience
        self._in_flight = InFlight(settling.window(), clock)

    async def confirm_debit(
        self,
        ids: Source[str],
        *,
        remarks: str | None = None,
        check_first: bool = True,
        concurrency: int = 4,
        on_progress: OnProgress | None = None,
    ) -> BulkResult[None]:
        """Confirm the debit of bills from your EnKash account, 1,000 bills per call.

        Not needed when the account is set to debit on creation. Bills that EnKash shows as confirmed are not sent and
        count as succeeded, so that a job that is run again after a crash confirms nothing twice. A call that ends
        unclearly is never sent again: the client reads its bills until EnKash shows them as confirmed, for the time of
        `RetryPolicy.settle`. A call that EnKash refuses is split into smaller parts, so that one bad bill does not stop
        the others.

        With 1,000 ids or fewer, a call that fails for all of them raises its error; all other outcomes are returned.
        After a process was killed, wait two to three minutes before another process confirms the same bills: its last
        request may still be in flight and not show yet.

        EnKash pages: Confirm Debit for Bill Payment (api-10664802); it does not document what a second confirmation of
        a bill does. Reading: Fetch Bulk Bill Details (api-10664799), Get Utility Bill Status (api-10664797).

        Args:
            ids: `utility_enkash_id` of each bill, one or more; any iterable, asynchronous or not. A collection, such as
                a list, is checked whole before anything is sent; a wrong id from a generator gets into `not_sent`. A
                repeated id is sent once.
            remarks: 1 to 255 letters, digits, spaces and a few signs; no full stop, no slash. None sends none.
            check_first: False confirms without reading the bills first. Only for bills that were certainly never
                confirmed.
            concurrency: Calls in flight at once, 1 to 1,000.
            on_progress: Called after each call with (ids done, ids in all); the second is None for a generator. An
                error that it raises is only logged.

        Returns:
            Every bill in one group: check the groups, or call `raise_for_failures()`.

        Raises:
            InvalidRequestError: No ids, an empty id, or remarks that EnKash refuses; nothing was sent.
            OutcomeUnknownError: All bills, 1,000 or fewer, may or may not be confirmed. Call `reconcile` later.
            BulkError: The generator failed; `result` has the ids before that.
            EnkashError: None of the bills, 1,000 or fewer, was confirmed; this is the failure.
        """
        note = checks.optional(checks.remarks, remarks, "remarks")
        checks.flag(check_first, "check_first")
        calls_at_once = checked_concurrency(concurrency)
        checked_source(ids, "ids")
        if isinstance(ids, Collection):
            checks.identifiers(ids, "ids")

        async def confirm(some: Sequence[str]) -> Mapping[str, ConfirmResult]:
            put = functools.partial(self._put, remarks=note)
            chunk = Chunk(put, self._reads, self._settling, self._in_flight, patience=self._patience)
            return await chunk.confirm(some, check_first=check_first)

        run = Confirming(confirm, Progress(on_progress, ids))
        try:
            await drive(run.portions(ids), run.confirm, calls_at_once)
        except Exception as problem:
            told = broken_off(problem, run.collected.result())
            if told is problem:
                raise
            raise told from problem
        return run.result()

    async def reconcile(self, ids: Source[str], *, settle: SettlePolicy | float | None = None) -> Confirmations:
        """Read bills back and sort them by whether EnKash shows their debit as confirmed; confirms nothing.

        For jobs that resume after an unknown outcome of `confirm_debit`. By EnKash's guidance, a bill that still waits
        two to three minutes after the unclear end was not confirmed.

        EnKash pages: Fetch Bulk Bill Details (api-10664799), Get Utility Bill Status (api-10664797).

        Args:
            ids: `utility_enkash_id` of each bill, one or more.
            settle: How long to look until all of them are confirmed: seconds, or a `SettlePolicy`; 0 looks once. None
                takes `RetryPolicy.settle` of the client. The last look may take `Timeouts.total` longer.

        Raises:
            InvalidRequestError: No ids, or an empty id.
        """
        policy = checked_settle(settle)
        checked_source(ids, "ids")
        wanted = checks.identifiers([one async for one in items_of(ids)], "ids")
        return _sorted_by_state(await self._settling.confirmations(wanted, policy))

    async def _put(self, ids: Sequence[str], remarks: str | None) -> EnkashError | None:
        operation = calls.confirm_debit(self._routes, ids, remarks=remarks)
        try:
            await self._send(operation)
        except EnkashError as failure:
            return failure
        return None

    async def initiate(
        self,
        ids: Iterable[str],
        *,
        amount: Decimal | int | None = None,
        remarks: str | None = None,
        payment_type: PaymentType | str = PaymentType.UTILITY,
        urn: str | None = None,
        account_no: str | None = None,
        seamless_banking: bool | None = None,
        frontend_version: bool | None = None,
        otp_reference_number: str | None = None,
        otp: str | None = None,
        partial_payment: bool | None = None,
    ) -> PaymentInitiation:
        """Start the payment of bills through EnKash's payment gateway.

        EnKash's page of this call is not public, and the route is unverified. Route and body are those of *Payment
        Request* of EnKash's Accounts Payable product, which accepts `UTILITY` and is probably the same call.

        EnKash page: Payment Request (api-18880652).

        Args:
            ids: `utility_enkash_id` of each bill, one or more.
            amount: Rupees to pay, at least 1.
            remarks: Sent as `paymentRemarks`.
            payment_type: Kind of payment; `UTILITY` for bills.
            urn: Sent as `urn`, which EnKash does not explain.
            account_no: Number of the account to debit.
            seamless_banking: Sent as `seamlessBanking`, which EnKash does not explain.
            frontend_version: Sent as `frontendVersion`, which EnKash does not explain.
            otp_reference_number: Reference of the one-time password.
            otp: The one-time password, six digits.
            partial_payment: Whether less than the whole amount may be paid.

        Raises:
            InvalidRequestError: The arguments are wrong; nothing was sent.
            OutcomeUnknownError: The payment may or may not have been started. Look the bills up; never send it again.
            EnkashError: See the tree in `enkash_async.errors`.
        """
        return await self._send(
            calls.initiate(
                self._routes,
                ids,
                amount=amount,
                remarks=remarks,
                payment_type=payment_type,
                urn=urn,
                account_no=account_no,
                seamless_banking=seamless_banking,
                frontend_version=frontend_version,
                otp_reference_number=otp_reference_number,
                otp=otp,
                partial_payment=partial_payment,
            )
        )


def _sorted_by_state(seen: Mapping[str, Bill | EnkashError]) -> Confirmations:
    confirmed: list[Bill] = []
    waiting: list[Bill] = []
    unknown: list[BulkItem[Bill]] = []
    for one, found in seen.items():
        if not isinstance(found, Bill):
            unknown.append(BulkItem[Bill](one, error=found, group=BulkGroup.UNKNOWN))
        elif found.debit_confirmed is None:
            unknown.append(BulkItem(one, found, group=BulkGroup.UNKNOWN))
        else:
            (confirmed if found.debit_confirmed else waiting).append(found)
    return Confirmations(confirmed=tuple(confirmed), not_confirmed=tuple(waiting), unknown=tuple(unknown))
