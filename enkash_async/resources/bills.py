"""The public calls about single bills: fetch, create, look up, search, wait."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from logging import getLogger
from typing import Any

import attrs

from enkash_async._calls import bills as calls
from enkash_async._calls.search import search_page
from enkash_async._flow.notifier import BillNotifier
from enkash_async._flow.pager import PAGE_SIZE, AsyncPager
from enkash_async._flow.poller import Poller
from enkash_async._flow.verdicts import judge
from enkash_async._money import match as matching
from enkash_async._money.debit_records import DebitRecords
from enkash_async._money.reads import Reads
from enkash_async._money.settle import Settling, checked_settle
from enkash_async._money.wait import checked_timeout, wait_for
from enkash_async._support import checks
from enkash_async._wire.operation import Send
from enkash_async._wire.page import Page
from enkash_async.config import PollPolicy, Routes, SettlePolicy
from enkash_async.errors import (
    DuplicateReferenceError,
    NotFoundError,
    OutcomeUnknownError,
    StoreError,
    WaitTimeoutError,
)
from enkash_async.models import Bill, BillFilter, Circle, FetchedBill

__all__ = ["SingleBills"]

_log = getLogger("enkash_async")

_LARGEST_PAGE = 5000  # records; EnKash's limit for one search


class SingleBills:
    """The calls about single bills and searches; `Bills` adds the bulk calls.

    Args:
        send: Sends operations.
        routes: Paths of EnKash's operations.
        reads: Reads bills.
        settling: Looks for the bill of a create whose outcome is unclear.
        poller: Polls EnKash in the calls that wait.
        debits: Records each new bill in the store, as proof that no debit was sent for the bill before.
        new_reference: Returns a unique `reference_id`.
    """

    def __init__(
        self,
        send: Send,
        routes: Routes,
        reads: Reads,
        settling: Settling,
        poller: Poller,
        debits: DebitRecords,
        *,
        new_reference: Callable[[], str] = lambda: uuid.uuid4().hex,
    ) -> None:
        self._send = send
        self._routes = routes
        self._reads = reads
        self._settling = settling
        self._poller = poller
        self._debits = debits
        self._new_reference = new_reference

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
        """Ask the biller for the bill that is due now.

        No money moves, so repeating the call costs nothing. But EnKash calls the route «fetch *or add*»: EnKash may add
        the consumer to your company's consumers.

        EnKash page: Fetch Current Bill (api-10664798).

        Args:
            biller_id: EnKash's number of the biller, from `billers.list()`.
            params: The biller's inputs: always `cn`, the consumer number; also `ad1` and so on, if the biller asks for
                them. A number with leading zeros must be a string.
            circle: Telecom circle, for billers that differ by circle.
            remarks: Free text for EnKash.
            key_contact_email: Address to which EnKash mails after payment.

        Raises:
            InvalidRequestError: The arguments are wrong; nothing was sent.
            BillerInactiveError: The biller is not active.
            BadRequestError: EnKash does not know the biller, or requires another input.
            ServerError: EnKash failed, for example because the fetch failed at the biller.
        """
        operation = calls.fetch_current(
            self._routes, biller_id, params, circle=circle, remarks=remarks, key_contact_email=key_contact_email
        )
        consumer_number = str(params["cn"])
        held = attrs.evolve(operation, contradiction=matching.contradicts_fetch(consumer_number))
        return attrs.evolve(await self._send(held), biller_id=biller_id, consumer_number=consumer_number)

    async def create_from_fetch(
        self, fetched: FetchedBill, *, reference_id: str | None = None, amount: Decimal | int | None = None
    ) -> Bill:
        """Create the bill that was fetched, ready for its debit to be confirmed.

        Choose `reference_id` yourself and store it before the call, so that you can find the bill again. If the outcome
        is unclear, the client does not send the create again, but looks for the bill by its reference, for the time of
        `RetryPolicy.settle`. If the reference was used before for the same biller, consumer and amount, the client
        returns that bill, so that a job can be run again. In both cases, the bill has `recovered=True`. After a
        cancelled call, `reconcile` tells whether the bill was created.

        EnKash page: Create Bill After Successful Bill Fetch (api-10664803).

        Args:
            fetched: The result of `fetch_current`.
            reference_id: Your id of the bill, never used before. None makes a new id, which the returned bill has.
            amount: Rupees to pay, at least 1; None pays the fetched `bill_net_amount`.

        Raises:
            InvalidRequestError: The arguments are wrong, or the fetched bill has nothing to pay; nothing was sent.
            DuplicateReferenceError: The `reference_id` was used before, for another bill.
            VelocityLimitError: The account's limit is exceeded.
            OutcomeUnknownError: EnKash may or may not have created the bill, and does not show it. Call `reconcile`
                later.
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

        An unclear outcome, a cancellation and a reference that was used before are treated as in `create_from_fetch`.

        EnKash page: Create Bill Without Bill Fetch (api-10664800).

        Args:
            biller_id: EnKash's number of the biller.
            params: The biller's inputs, including `cn`. A number with leading zeros must be a string.
            reference_id: Your id of the bill, never used before. None makes a new id, which the returned bill has.
            bill_amount: Rupees to pay, at least 1; None lets EnKash set the amount.
            circle: Telecom circle, for billers that differ by circle.
            bill_date: Date of the bill.
            bill_due_date: Last day to pay the bill.
            remarks: Free text for EnKash.
            key_contact_email: Address to which EnKash mails after payment.
            name: The payer's name.
            email: The payer's mail address.
            extra: Further members of EnKash's request under EnKash's names, such as `{"walletId": "…"}`.

        Raises:
            InvalidRequestError: The arguments are wrong; nothing was sent.
            BillerInactiveError: The biller is not active.
            BadRequestError: EnKash does not know the biller, or requires another input.
            DuplicateReferenceError: The `reference_id` was used before, for another bill.
            VelocityLimitError: The account's limit is exceeded.
            OutcomeUnknownError: EnKash may or may not have created the bill, and does not show it. Call `reconcile`
                later.
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
        with self._debits.acts.here():
            births = await self._births()
            bill = await self._created(create)
            if bill.utility_enkash_id and not bill.recovered and births is not None:
                await self._note(bill.utility_enkash_id, births)
            return bill

    async def _births(self) -> Mapping[str, str] | None:
        """Return the ids of the store's birth records; None if the store is unavailable: a create needs no store."""
        try:
            return await self._debits.births()
        except StoreError as problem:
            _log.warning("the store does not learn of a new bill: %s", problem)
            return None

    async def _note(self, one: str, births: Mapping[str, str]) -> None:
        try:
            await self._debits.note_bills(uuid.uuid4().hex, [one], births)
        except StoreError as problem:
            _log.warning("the store does not learn of a new bill: %s", problem)

    async def _created(self, create: calls.Create) -> Bill:
        try:
            bill = await self._send(
                attrs.evolve(create.operation, contradiction=matching.contradicts_wanted(create.wanted))
            )
        except OutcomeUnknownError as unclear:
            return await self._settling.created(create.wanted, unclear)
        except DuplicateReferenceError as refused:
            return await self._settling.existing(create.wanted, refused)
        if not matching.vouches(create.wanted, bill):
            # Looks the bill up, since the reply to a create is not documented. Without the id, the bill could not be
            # confirmed; without reference and consumer, this may be the reply to another create.
            bill = await self._settling.identified(create.wanted, bill)
        # Adds the reference if the reply lacks it: the caller needs the reference to find the bill again.
        return bill if bill.reference_id else attrs.evolve(bill, reference_id=create.wanted.reference_id)

    def _reference(self, given: str | None) -> str:
        return self._new_reference() if given is None else checks.identifier(given, "reference_id")

    async def reconcile(self, reference_id: str, *, settle: SettlePolicy | float | None = None) -> Bill | None:
        """Look for the bill of a create that was cancelled or whose outcome is unclear; creates nothing.

        A job that may have to resume stores the reference before the create, and passes it here.

        EnKash page: Get Utility Bill By Reference ID (api-10664801).

        Args:
            reference_id: Your id of the bill.
            settle: How long to look: seconds, or a `SettlePolicy`; 0 looks once. None takes `RetryPolicy.settle` of the
                client. The last look may take `Timeouts.total` longer.

        Returns:
            The bill, with `recovered=True`, as soon as EnKash shows it. None if EnKash still says «No utility payment
            found» at the last look. By EnKash's guidance, a bill that does not appear within two to three minutes was
            not created. Create it again with the *same* reference: EnKash accepts each reference only once.

        Raises:
            InvalidRequestError: The arguments are wrong; nothing was sent.
            EnkashError: The last look failed with this error, which says nothing about the bill.
        """
        policy = checked_settle(settle)
        seen = await self._settling.find(checks.identifier(reference_id, "reference_id"), policy)
        if isinstance(seen, Bill):
            return seen
        if judge(seen).says_absent:
            return None
        raise seen

    # --- look up and search -------------------------------------------------------------------------------------------

    async def get(self, utility_enkash_id: str) -> Bill:
        """Return a bill by EnKash's id.

        EnKash page: Get Utility Bill Status (api-10664797).

        Raises:
            InvalidRequestError: The id is empty, `.` or `..`; nothing was sent.
            NotFoundError: EnKash knows no such bill.
        """
        return await self._reads.get(utility_enkash_id)

    async def get_by_reference(self, reference_id: str) -> Bill:
        """Return a bill by your own id.

        EnKash page: Get Utility Bill By Reference ID (api-10664801).

        Raises:
            InvalidRequestError: The id is empty, `.` or `..`; nothing was sent.
            NotFoundError: EnKash knows no such bill. Right after a create with an unclear outcome, this proves
                nothing, since the create may still be in flight.
        """
        return await self._reads.get_by_reference(reference_id)

    async def find_by_reference(self, reference_id: str) -> Bill | None:
        """Return a bill by your own id, or None if EnKash says «No utility payment found».

        Prevents a second payment: any other 404 is raised. A wrong route or a gateway may send such a 404, so it does
        not prove that the bill is missing.

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

    def search(self, bill_filter: BillFilter, *, page_size: int = PAGE_SIZE) -> AsyncPager[Bill]:
        """Return a pager of the bills that match a filter; sends nothing before you iterate.

        The pager yields each bill once. It may miss bills that join or leave the list meanwhile. The iteration ends
        without an error only if all other bills came. Pages overlap by one bill, so that 1,000 bills take 12 requests.

        EnKash page: Fetch Bulk Bill Details (api-10664799), which advises pages below 100 and allows 5,000.

        Args:
            bill_filter: Conditions that a bill must match.
            page_size: Bills per request, 1 to 5,000.

        Raises:
            InvalidRequestError: A value of the filter cannot be sent, or the page size is out of bounds.
            ResponseDecodeError: While iterating, after the bills that came: bills may be missing.
            EnkashError: While iterating; see the tree in `enkash_async.errors`.
        """
        checks.number(page_size, "page_size", least=1, most=_LARGEST_PAGE, whole=True)
        search_page(self._routes, bill_filter, offset=0, limit=page_size)  # checks the filter before iteration

        async def fetch(offset: int, limit: int) -> Page[Bill]:
            return await self._reads.page(bill_filter, offset, limit)

        return AsyncPager(
            fetch, name="bills.search", page_size=page_size, key=lambda bill: bill.utility_enkash_id or None
        )

    # --- waiting ------------------------------------------------------------------------------------------------------

    async def wait_until_settled(
        self,
        utility_enkash_id: str,
        *,
        timeout: float = 300.0,
        policy: PollPolicy = PollPolicy(),
        notifier: BillNotifier | None = None,
    ) -> Bill:
        """Poll a bill in growing pauses until its outcome is final, and return it.

        A transient failure does not end the wait. The last look gets at least one second, so that the wait may take
        about one second longer than `timeout`.

        EnKash page: Get Utility Bill Status (api-10664797).

        Args:
            utility_enkash_id: EnKash's id of the bill.
            timeout: Seconds to wait in all; 0 looks once.
            policy: Pauses between the looks.
            notifier: Ends a pause early when there is news of the bill, for example from a webhook. None: no pause ends
                early.

        Returns:
            The bill, PAID or FAILED; after FAILED, `payment_status` tells about the refund.

        Raises:
            InvalidRequestError: The id is empty, `.` or `..`, or the timeout is negative; nothing was sent.
            WaitTimeoutError: The bill did not settle in time; it may still settle. `last` is the last state seen.
                `__cause__` is the error of the last look, if that look failed.
            NotFoundError: EnKash knows no such bill.
        """
        wanted = checks.identifier(utility_enkash_id, "utility_enkash_id")
        result = await wait_for(
            self._reads,
            [wanted],
            timeout=checked_timeout(timeout),
            policy=policy,
            notifier=notifier,
            poller=self._poller,
        )
        (item,) = (*result.succeeded, *result.failed, *result.unknown)
        if item.value is None:
            raise item.error or WaitTimeoutError()
        return item.value
