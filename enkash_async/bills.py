"""Bills: fetch what is due, create what is to be paid, see what became of it."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

import attrs

from enkash_async import _checks as checks
from enkash_async._search import consumers, search_body
from enkash_async._wire import Effect, Operation, Request, Send, json_request, path
from enkash_async.errors import (
    EnkashError,
    InvalidRequestError,
    NotFoundError,
    RateLimitError,
    RequestTimeoutError,
    ResponseDecodeError,
    ServerError,
    TokenEndpointError,
    TransportError,
    WaitTimeoutError,
)
from enkash_async.models import Bill, BillFilter, Circle, FetchedBill
from enkash_async.paging import AsyncPager
from enkash_async.retry import PollPolicy
from enkash_async.routes import Routes

__all__ = ["Bills"]

_LARGEST_PAGE = 5000  # records; EnKash's limit for one search
_SHORTEST_LOOK = 1.0  # seconds; less would cut off the look at the end of a wait before it can be answered
# After these, the next look at a bill may well succeed.
_PASSING = (TransportError, ServerError, RateLimitError, ResponseDecodeError, TokenEndpointError)


class Bills:
    """The calls about bills, as `client.bills`.

    Args:
        send: Sends operations.
        routes: Where they go.
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
        new_reference: Callable[[], str] = lambda: uuid.uuid4().hex,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        random: Callable[[], float] = random.random,
    ) -> None:
        self._send = send
        self._routes = routes
        self._new_reference = new_reference
        self._clock = clock
        self._sleep = sleep
        self._random = random

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
        inputs = checks.bill_params(params)
        body = checks.dropped_none(
            {
                "billerId": checks.biller_id(biller_id),
                "circle": _optional_text(circle, "circle"),
                "billParams": inputs,
                "remarks": _optional_text(remarks, "remarks"),
                "keyContactEmail": _optional_text(key_contact_email, "key_contact_email"),
            }
        )
        operation = Operation(
            name="bills.fetch_current",
            request=json_request("POST", path(self._routes.fetch_bill), body),
            result=FetchedBill,
            effect=Effect.READ,  # as far as money goes; see above
            sensitive=tuple(inputs.values()),
        )
        return await self._send(operation)

    async def create_from_fetch(
        self, fetched: FetchedBill, *, reference_id: str | None = None, amount: Decimal | int | None = None
    ) -> Bill:
        """Create the bill that was fetched, ready for its debit to be confirmed.

        Choose `reference_id` yourself and store it first: it is what finds the bill again should the call end unclearly
        or be cancelled.

        EnKash page: Create Bill After Successful Bill Fetch (api-10664803).

        Args:
            fetched: What `fetch_current` returned.
            reference_id: Your id, never used before; None makes one, which the bill carries.
            amount: Rupees to pay, at least 1, where it differs from the fetched `bill_net_amount`, such as the early
                amount.

        Raises:
            InvalidRequestError: The arguments are wrong, or nothing payable was fetched; nothing was sent.
            DuplicateReferenceError: The `reference_id` was used before.
            VelocityLimitError: The account's limit is reached.
            OutcomeUnknownError: It may or may not have been created: look it up by its reference, never resend.
        """
        if not isinstance(fetched, FetchedBill):
            raise InvalidRequestError(f"fetched must be what fetch_current returned, not {type(fetched).__name__}")
        reference = self._reference(reference_id)
        net = fetched.bill_net_amount if fetched.bill_net_amount is not None else fetched.bill_amount
        if fetched.company_biller_id is None or net is None:
            said = f" (the biller said: {fetched.status_message})" if fetched.status_message else ""
            raise InvalidRequestError(f"the fetched bill has no amount to pay or no company_biller_id{said}")
        due = net if amount is None else amount
        body = checks.dropped_none(
            {
                "referenceId": reference,
                "companyBillerId": checks.text(fetched.company_biller_id, "fetched.company_biller_id"),
                "billNetAmount": checks.amount(due, "amount"),
                # EnKash wants this one always; a biller that names a net amount alone means the same by it.
                "billAmount": fetched.bill_amount if fetched.bill_amount is not None else net,
                "earlyPaymentAmount": fetched.early_payment_amount,
                "latePaymentAmount": fetched.late_payment_amount,
                "billDate": fetched.bill_date,
                "earlyPaymentDate": fetched.early_payment_date,
                "billDueDate": fetched.bill_due_date,
                "actualDueDate": fetched.actual_due_date,
                "billStartDate": fetched.bill_start_date,
                "billEndDate": fetched.bill_end_date,
                "billNumber": fetched.bill_number,
                "validationId": fetched.validation_id,
                "billId": fetched.bill_id,
            }
        )
        return await self._create("bills.create_from_fetch", self._routes.create_bill, reference, body)

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

        EnKash page: Create Bill Without Bill Fetch (api-10664800).

        Args:
            biller_id: EnKash's number of the biller.
            params: The biller's inputs, `cn` among them; strings keep leading zeros.
            reference_id: Your id, never used before; None makes one, which the bill carries.
            bill_amount: Rupees to pay, at least 1.
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
            DuplicateReferenceError: The `reference_id` was used before.
            VelocityLimitError: The account's limit is reached.
            OutcomeUnknownError: It may or may not have been created: look it up by its reference, never resend.
        """
        reference = self._reference(reference_id)
        inputs = checks.bill_params(params)
        body = {
            "referenceId": reference,
            "billerId": checks.biller_id(biller_id),
            "circle": _optional_text(circle, "circle"),
            "billParams": inputs,
            "billAmount": None if bill_amount is None else checks.amount(bill_amount, "bill_amount"),
            "billDate": None if bill_date is None else checks.day(bill_date, "bill_date"),
            "billDueDate": None if bill_due_date is None else checks.day(bill_due_date, "bill_due_date"),
            "remarks": _optional_text(remarks, "remarks"),
            "keyContactEmail": _optional_text(key_contact_email, "key_contact_email"),
            "name": _optional_text(name, "name"),
            "email": _optional_text(email, "email"),
        }
        further = _further(extra, body)
        return await self._create(
            "bills.create",
            self._routes.add_bill,
            reference,
            checks.dropped_none({**body, **further}),
            sensitive=(*inputs.values(), *(word for word in further.values() if isinstance(word, str))),
        )

    async def _create(
        self, name: str, route: str, reference: str, body: Mapping[str, Any], sensitive: tuple[str, ...] = ()
    ) -> Bill:
        operation = Operation(
            name=name,
            request=json_request("POST", path(route), checks.wire(body, name)),
            result=Bill,
            effect=Effect.CREATES,
            reference_id=reference,
            sensitive=sensitive,
        )
        bill = await self._send(operation)
        # A reply may leave the reference out; the one that was sent is the one that finds the bill again.
        return bill if bill.reference_id else attrs.evolve(bill, reference_id=reference)

    def _reference(self, given: str | None) -> str:
        return self._new_reference() if given is None else checks.identifier(given, "reference_id")

    # --- look up ------------------------------------------------------------------------------------------------------

    async def get(self, utility_enkash_id: str) -> Bill:
        """Return a bill by EnKash's id.

        EnKash page: Get Utility Bill Status (api-10664797).

        Raises:
            InvalidRequestError: The id is empty, `.` or `..`; nothing was sent.
            NotFoundError: EnKash knows no such bill.
        """
        wanted = checks.identifier(utility_enkash_id, "utility_enkash_id")
        bill = await self._get("bills.get", path(self._routes.bill, utilityEnkashId=wanted))
        return bill if bill.utility_enkash_id else attrs.evolve(bill, utility_enkash_id=wanted)

    async def get_by_reference(self, reference_id: str) -> Bill:
        """Return a bill by your own id.

        EnKash page: Get Utility Bill By Reference ID (api-10664801).

        Raises:
            InvalidRequestError: The id is empty, `.` or `..`; nothing was sent.
            NotFoundError: EnKash knows no such bill. Right after an unclear create this proves nothing: the request
                may still be on its way.
        """
        wanted = checks.identifier(reference_id, "reference_id")
        bill = await self._get("bills.get_by_reference", path(self._routes.bill_by_reference, referenceId=wanted))
        return bill if bill.reference_id else attrs.evolve(bill, reference_id=wanted)

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

    async def _get(self, name: str, to: str) -> Bill:
        request = Request(method="GET", path=to)
        return await self._send(Operation(name=name, request=request, result=Bill, effect=Effect.READ))

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
        body = search_body(bill_filter)

        async def fetch(offset: int, limit: int) -> list[Bill]:
            operation = Operation(
                name="bills.search",
                request=json_request(
                    "POST", path(self._routes.search_bills), {**body, "offset": offset, "limit": limit}
                ),
                result=list[Bill],
                effect=Effect.READ,
                sensitive=consumers(bill_filter),
            )
            try:
                return await self._send(operation)
            except NotFoundError as problem:
                if problem.bill_absent:
                    return []
                raise

        return AsyncPager(fetch, page_size=page_size, key=lambda bill: bill.utility_enkash_id or None)

    # --- wait ---------------------------------------------------------------------------------------------------------

    async def wait_until_settled(
        self, utility_enkash_id: str, *, timeout: float = 300.0, policy: PollPolicy = PollPolicy()
    ) -> Bill:
        """Look at a bill in growing pauses until its outcome is final, and return it.

        A look that fails for a passing reason is followed by the next one. Each look gets a second at least, so a wait
        may end that much later than its timeout.

        EnKash page: Get Utility Bill Status (api-10664797).

        Args:
            utility_enkash_id: EnKash's id.
            timeout: Seconds to wait in all.
            policy: How often to look.

        Returns:
            The bill, PAID or FAILED; after FAILED, `payment_status` tells about the refund.

        Raises:
            InvalidRequestError: The id is empty, `.` or `..`, or the timeout is negative; nothing was sent.
            WaitTimeoutError: Not settled in time; it may still settle. `last` is the last state seen, and the cause is
                what the last look failed with, if it did.
            NotFoundError: EnKash knows no such bill.
        """
        if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not timeout >= 0:
            raise InvalidRequestError(f"timeout must be a number of seconds, 0 or more, not {timeout!r}")
        wanted = checks.identifier(utility_enkash_id, "utility_enkash_id")
        deadline = self._clock() + timeout
        last: Bill | None = None
        looks = 0
        while True:
            looks += 1
            seen = await self._look(wanted, max(deadline - self._clock(), _SHORTEST_LOOK))
            last = seen if isinstance(seen, Bill) else last
            if last is not None and last.is_settled:
                return last
            left = deadline - self._clock()
            if left <= 0:
                cause = None if isinstance(seen, Bill) else seen
                message = f"bill {wanted} is not settled after {timeout:g} s; it may still settle"
                raise WaitTimeoutError(message, last=last) from cause
            await self._sleep(min(policy.pause(looks, self._random), left))

    async def _look(self, wanted: str, patience: float) -> Bill | EnkashError:
        """Look at a bill once; a failure after which the next look may succeed is returned."""
        try:
            async with asyncio.timeout(patience):
                return await self.get(wanted)
        except EnkashError as problem:
            if not isinstance(problem, _PASSING) or (isinstance(problem, TokenEndpointError) and problem.counted):
                raise
            return problem
        except TimeoutError:
            return RequestTimeoutError(f"no answer within {patience:g} s")


def _optional_text(value: str | None, where: str) -> str | None:
    return None if value is None else str(checks.text(value, where))


def _further(extra: Mapping[str, Any] | None, body: Mapping[str, Any]) -> dict[str, Any]:
    """Return members that the caller adds under EnKash's names; one that has an argument of its own is refused."""
    if extra is None:
        return {}
    if not isinstance(extra, Mapping):
        raise InvalidRequestError(f"extra must be a mapping of EnKash's names, not {type(extra).__name__}")
    if twice := sorted(set(extra) & set(body)):
        raise InvalidRequestError(f"extra holds {', '.join(twice)}: use the argument of that meaning")
    return {name: checks.wire(value, f"extra[{name!r}]") for name, value in extra.items()}
