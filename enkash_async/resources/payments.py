"""The public calls that move money: confirm the debit of created bills, or pay them through the gateway."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
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
from enkash_async._money.confirm import Confirming, refuse_debited
from enkash_async._money.debits import Debits
from enkash_async._money.pay import Payer
from enkash_async._money.release import release, shown
from enkash_async._money.settle import Settling, checked_settle
from enkash_async._money.told import ConfirmResult
from enkash_async._support import checks
from enkash_async._wire.operation import Send
from enkash_async.bulk import BulkGroup, BulkItem, BulkResult, Confirmations
from enkash_async.config import Routes, SettlePolicy
from enkash_async.errors import EnkashError
from enkash_async.models import Bill, DebitRecord, PaymentInitiation, PaymentType
from enkash_async.resources.paying import PayCalls

__all__ = ["Payments"]


class Payments(PayCalls):
    """The calls that move money, as `client.payments`.

    Args:
        send: Sends operations.
        routes: The path of every operation.
        settling: Reads bills back after a call whose outcome is unclear.
        debits: Confirms debits, and keeps their records in the store.
        payer: Pays bills as one step.
    """

    def __init__(self, send: Send, routes: Routes, settling: Settling, debits: Debits, payer: Payer) -> None:
        super().__init__(payer)
        self._send = send
        self._routes = routes
        self._settling = settling
        self._debits = debits

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

        A client with `debit_on_create` refuses the call: the create of a bill was its debit. Prevents a double debit:
        the call records each bill in the store before it sends the confirmation, so that all processes that share the
        store confirm a bill once, even if a job is run again after a crash, or by two workers at once. Bills that
        EnKash shows as confirmed are not sent and count as succeeded. If the outcome is unclear, the call reads the
        bills back for `RetryPolicy.settle`. A bill that is still unclear then is `unknown`; the same call after
        `retry_after` finds out. If EnKash refuses a request with several bills, they are `unknown`, too: EnKash may
        carry out the request for three minutes. The same call afterwards confirms the bills one by one.

        With 1,000 ids or fewer, an error that all of them share is raised; all other outcomes are returned. A new store
        does not know what was sent before the store existed. So for its first minutes, it confirms only bills that were
        created since, unless `enkash store init --nothing-pending` says that no confirmation is in flight.

        EnKash pages: Confirm Debit for Bill Payment (api-10664802); it does not document what a second confirmation of
        a bill does. Reading: Fetch Bulk Bill Details (api-10664799), Get Utility Bill Status (api-10664797).

        Args:
            ids: `utility_enkash_id` of each bill, one or more; any iterable, asynchronous or not. A collection, such as
                a list, is checked whole before anything is sent; a wrong id from a generator gets into `not_sent`. A
                repeated id is sent once.
            remarks: 1 to 255 letters, digits, spaces and a few signs; no full stop, no slash. None sends none.
            check_first: False confirms without reading the bills first, but still obeys the records. Only for bills
                that were certainly never confirmed elsewhere.
            concurrency: Calls in flight at once, 1 to 1,000.
            on_progress: Called after each call with (ids done, ids in all); the number in all is None for a generator.
                An error of this callback is only logged.

        Returns:
            Every bill in one group: check the groups, or call `raise_for_failures()`.

        Raises:
            ConfigurationError: The client has `debit_on_create`; nothing was sent.
            InvalidRequestError: No ids, an empty id, or remarks that EnKash refuses; nothing was sent.
            OutcomeUnknownError: All bills, 1,000 or fewer, may or may not be confirmed. Call again after `retry_after`.
            StoreUnavailableError: Nothing can be written down, so nothing was sent.
            BulkError: The generator failed; `result` has the ids before the failure.
            EnkashError: None of the bills, 1,000 or fewer, was confirmed; all failed with this error.
        """
        refuse_debited(self._payer.debit_on_create)
        note = checks.optional(checks.remarks, remarks, "remarks")
        checks.flag(check_first, "check_first")
        calls_at_once = checked_concurrency(concurrency)
        checked_source(ids, "ids")
        if isinstance(ids, Collection):
            checks.identifiers(ids, "ids")

        async def confirm(some: Sequence[str]) -> Mapping[str, ConfirmResult]:
            return await self._debits.confirm(some, remarks=note, check_first=check_first)

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

        Use this after an unknown outcome. A bill that is not confirmed yet may be confirmed later, by a call in flight.
        To continue, call `confirm_debit` again, which knows from the store which calls may be in flight.

        EnKash pages: Fetch Bulk Bill Details (api-10664799), Get Utility Bill Status (api-10664797).

        Args:
            ids: `utility_enkash_id` of each bill, one or more.
            settle: How long to look until all bills are confirmed: seconds, or a `SettlePolicy`; 0 looks once. None
                takes `RetryPolicy.settle` of the client. The last look may take `Timeouts.total` longer.

        Raises:
            InvalidRequestError: No ids, or an empty id.
        """
        policy = checked_settle(settle)
        checked_source(ids, "ids")
        wanted = checks.identifiers([one async for one in items_of(ids)], "ids")
        return _sorted_by_state(await self._settling.confirmations(wanted, policy))

    async def debits(self, ids: Iterable[str]) -> list[DebitRecord]:
        """Return what the store knows of the debits of bills, in the order given; nothing is sent to EnKash.

        Args:
            ids: `utility_enkash_id` of each bill, one or more.

        Raises:
            InvalidRequestError: No ids, or an empty id.
            StoreUnavailableError: The store is unavailable.
            StoreError: This version cannot use a record.
        """
        return await shown(self._debits, checks.identifiers(ids, "ids"))

    async def release(self, ids: Iterable[str], *, because: str) -> BulkResult[None]:
        """Delete the records of debits that EnKash did not make, so that the bills can be confirmed again.

        For an operator who handles a payment with `RetryAdvice.LOOK`. A record is deleted only if it is older than
        three minutes, and two reads of the bill, 15 s apart, show the bill as unconfirmed. The log reports each
        deletion at WARNING, with the reason.

        EnKash page: Get Utility Bill Status (api-10664797).

        Args:
            ids: `utility_enkash_id` of each bill, one or more.
            because: Your reason for the deletion, for the log.

        Returns:
            `succeeded`: the record is deleted. `failed`: the record stays; `error` says why.

        Raises:
            InvalidRequestError: No ids, an empty id, or no reason.
            StoreUnavailableError: The store is unavailable.
        """
        wanted = checks.identifiers(ids, "ids")
        return await release(self._debits, wanted, checks.text(because, "because"))

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
            OutcomeUnknownError: The payment may or may not have been started. Look the bills up; never repeat the call.
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
