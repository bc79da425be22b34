"""Payments: let the money go for bills that exist."""

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
        routes: Where they go.
        reads: Reads bills.
        settling: Reads bills back after an unclear end.
        patience: Seconds for each request of a look.
        clock: Monotonic seconds.
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
        """Confirm the debit of bills from your EnKash account, 1,000 to a call.

        Not needed where the account is set to debit on creation. Bills that EnKash shows as confirmed are left out, and
        count as succeeded: running a job again after a crash confirms nothing twice. A call that ends unclearly is
        never sent again: its bills are read back until they show as confirmed, for as long as `RetryPolicy.settle`
        says. When EnKash refuses a call, it is sent in smaller parts, so that one bad bill does not stop the rest.

        One call, of 1,000 ids or fewer, that fails as a whole raises its failure, as every other call does; everything
        else returns. After a process was killed, wait two to three minutes before another one confirms the same bills:
        what the first one sent last may be on its way and not show yet.

        EnKash pages: Confirm Debit for Bill Payment (api-10664802); what a second confirmation of a bill does is not
        documented. Reading: Fetch Bulk Bill Details (api-10664799), Get Utility Bill Status (api-10664797).

        Args:
            ids: `utility_enkash_id` of each bill, one or more; any iterable, asynchronous or not. A collection, such as
                a list, is checked whole before anything is sent; of a generator, a wrong id ends up in `not_sent`. An
                id given twice is sent once.
            remarks: 1 to 255 letters, digits, spaces and a few signs; no full stop, no slash.
            check_first: False confirms without looking at the bills before. Only for bills that were certainly never
                confirmed.
            concurrency: Calls under way at once, 1 to 1,000.
            on_progress: Called after each call with (ids dealt with, ids in all; None for a generator). What it raises
                is only logged.

        Returns:
            Every bill in one group: look at them or use `raise_for_failures()`.

        Raises:
            InvalidRequestError: No ids, an empty one, or remarks that EnKash refuses; nothing was sent.
            OutcomeUnknownError: 1,000 bills or fewer, and none of them is known to be confirmed: they may or may not
                be. Come back with `reconcile`.
            BulkError: The generator failed; `result` has what became of the ids before.
            EnkashError: 1,000 bills or fewer, and none of them was confirmed: the failure.
        """
        note = checks.optional(checks.remarks, remarks, "remarks")
        checks.flag(check_first, "check_first")
        hands = checked_concurrency(concurrency)
        checked_source(ids, "ids")
        if isinstance(ids, Collection):
            checks.identifiers(ids, "ids")

        async def confirm(some: Sequence[str]) -> Mapping[str, ConfirmResult]:
            put = functools.partial(self._put, remarks=note)
            chunk = Chunk(put, self._reads, self._settling, self._in_flight, patience=self._patience)
            return await chunk.confirm(some, check_first=check_first)

        run = Confirming(confirm, Progress(on_progress, ids))
        try:
            await drive(run.portions(ids), run.confirm, hands)
        except Exception as problem:
            told = broken_off(problem, run.collected.result())
            if told is problem:
                raise
            raise told from problem
        return run.result()

    async def reconcile(self, ids: Source[str], *, settle: SettlePolicy | float | None = None) -> Confirmations:
        """Read bills back and sort them by whether EnKash shows their debit as confirmed; nothing is sent to confirm.

        For jobs that come back after `confirm_debit` said unknown. A bill that still waits two to three minutes after
        the unclear end was, by EnKash's guidance, not confirmed.

        EnKash pages: Fetch Bulk Bill Details (api-10664799), Get Utility Bill Status (api-10664797).

        Args:
            ids: `utility_enkash_id` of each bill, one or more.
            settle: How long to look until all of them are confirmed: seconds, or a `SettlePolicy`; 0 looks once. None
                takes `RetryPolicy.settle` of the client. The last look has `Timeouts.total` at least.

        Raises:
            InvalidRequestError: No ids, or an empty one.
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

        The page of this call is not public. Route and body are those of the *Payment Request* of EnKash's Accounts
        Payable product, which takes `UTILITY` and is probably the same; the route is unverified.

        EnKash page: Payment Request (api-18880652).

        Args:
            ids: `utility_enkash_id` of each bill, one or more.
            amount: Rupees, at least 1.
            remarks: Sent as `paymentRemarks`.
            payment_type: What is paid for.
            urn: EnKash's word, not explained on the page.
            account_no: Account to debit.
            seamless_banking: EnKash's word, not explained on the page.
            frontend_version: EnKash's word, not explained on the page.
            otp_reference_number: Reference of a one-time password.
            otp: The one-time password, six digits.
            partial_payment: Whether less than the whole may be paid.

        Raises:
            InvalidRequestError: The arguments are wrong; nothing was sent.
            OutcomeUnknownError: It may or may not have been started. Look the bills up, never resend.
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
