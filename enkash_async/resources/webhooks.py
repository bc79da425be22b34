"""The public calls about webhooks: register a webhook with EnKash, and find changes whose posts did not arrive."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from datetime import date, datetime, timedelta

from enkash_async._calls import webhooks as calls
from enkash_async._flow.pager import PAGE_SIZE, AsyncPager
from enkash_async._money.reads import Reads
from enkash_async._news.content import content_key
from enkash_async._news.records import NewsRecords
from enkash_async._support import checks
from enkash_async._support.clock import wall
from enkash_async._support.headers import checked_headers
from enkash_async._support.urls import checked_url
from enkash_async._wire.operation import Send
from enkash_async._wire.page import Page
from enkash_async.config import Routes
from enkash_async.errors import InvalidRequestError, NotFoundError
from enkash_async.models import Bill, BillFilter, BillPayStatus, WebhookEvent, WebhookRegistration
from enkash_async.stores import Store

__all__ = ["BILL_EVENTS", "Webhooks"]

#: The events about bills; EnKash's other events are about payouts.
BILL_EVENTS = (
    WebhookEvent.UTILITY_BILLPAY_SUCCESS,
    WebhookEvent.UTILITY_BILLPAY_FAILED,
    WebhookEvent.UTILITY_BILLPAY_PENDING,
)


# How far back `missed` can look. A record of what was handed over is kept for 7 days. The search begins at the midnight
# before `since`, which can be almost a day earlier.
_OLDEST = timedelta(days=6)
_UNPAID = tuple(status for status in BillPayStatus if status is not BillPayStatus.SUCCESS)


class Webhooks:
    """The calls that register webhooks and find changes whose posts did not arrive, as `client.webhooks`."""

    def __init__(
        self, send: Send, routes: Routes, reads: Reads, open_store: Callable[[], Store], base_url: str
    ) -> None:
        self._send = send
        self._routes = routes
        self._reads = reads
        self._open_store = open_store
        self._base_url = base_url

    async def register(
        self,
        url: str,
        *,
        headers: Mapping[str, str],
        events: Iterable[WebhookEvent | str] = BILL_EVENTS,
        enabled: bool | None = None,
        ssl_certificate: str | None = None,
        company_id: str | None = None,
    ) -> WebhookRegistration:
        """Register your URL with EnKash, so that EnKash posts events to it.

        The registration is sent once. EnKash documents neither whether a second registration replaces the first, nor
        how to check that a registration has arrived.

        Args:
            url: URL to post to; https, except for this machine.
            headers: Static headers that EnKash sends with every post, such as `{"X-Webhook-Key": …}`. They are the only
                proof that EnKash sent a post. Give at least one header, with a long random value.
            events: Events for which EnKash posts; the three about bills by default.
            enabled: False registers the URL, but EnKash posts nothing; None keeps EnKash's default.
            ssl_certificate: Sent as `sslCertificate`, which EnKash does not explain; None sends nothing.
            company_id: EnKash's id of the company, if you act for several companies: `CEK` and seven capital letters or
                digits. None sends nothing.

        Raises:
            InvalidRequestError: The arguments are wrong; nothing was sent.
            OutcomeUnknownError: The registration may or may not have arrived.
            EnkashError: See the tree in `enkash_async.errors`.

        EnKash page: Create Webhook Configuration (api-10664805).
        """
        try:
            words = calls.checked_events(events)
            operation = calls.register(
                self._routes,
                checked_url(url),
                headers=checked_headers(headers),
                events=words,
                enabled=enabled,
                ssl_certificate=ssl_certificate,
                company_id=company_id,
            )
        except InvalidRequestError as problem:
            # Raise a copy without a traceback: a rendered traceback would show local variables of the checks, which
            # hold the secret headers.
            wrong = problem.copy()
        else:
            del headers, ssl_certificate
            return WebhookRegistration(webhook_url=url, events=words, payload=await self._send(operation))
        del headers, ssl_certificate
        raise wrong

    def missed(self, since: date, *, store: Store | None = None, name: str = "") -> AsyncIterator[Bill]:
        """Yield the bills that changed at EnKash without your handler being told. Call this in an hourly job.

        EnKash promises no resends, so a post can be lost. Hand each bill to the receiver::

            async for bill in client.webhooks.missed(datetime.now(UTC) - timedelta(hours=2)):
                await receiver.handle(bill.utility_enkash_id)

        Searches for bills that were created, paid, settled or refunded since the first day, and for all unpaid bills of
        the last six days, since EnKash may give a failure no date. Compares each bill with the receiver's records; if
        they differ, reads the bill again. Leaves out bills that a worker is handling now, and bills without a confirmed
        debit if the receiver has no record of them, and bills that a search shows and a single read does not show yet.

        EnKash page: Fetch Bulk Bill Details (api-10664799), Get Utility Bill Status (api-10664797).

        Args:
            since: First day of the search, as a day in India, at most six days ago; an aware date-time is taken as its
                day in India.
            store: The store of the receiver; None takes the client's store.
            name: The `name` that the receiver was given.

        Raises:
            InvalidRequestError: `since` has no zone, or is more than six days ago: older records may have expired.
            ResponseDecodeError: While iterating, after the bills that came: bills may be missing.
            StoreUnavailableError: While iterating: the store is unavailable.
            EnkashError: While iterating; see the tree in `enkash_async.errors`.
        """
        first = date.fromisoformat(checks.day(since, "since"))
        oldest = datetime.fromtimestamp(wall(), checks.IST).date() - _OLDEST
        if first < oldest:
            raise InvalidRequestError("since must be at most six days ago: what was handled is remembered for a week")
        records = NewsRecords(self._open_store if store is None else lambda: store, base_url=self._base_url, name=name)
        return self._missed(first, oldest, records)

    async def _missed(self, first: date, oldest: date, records: NewsRecords) -> AsyncIterator[Bill]:
        searches = (
            BillFilter(created_date_from=first),
            BillFilter(created_date_from=oldest, bill_pay_statuses=_UNPAID),
            BillFilter(payment_start_date=first),
            BillFilter(billpay_date_from=first),
            BillFilter(refund_date_from=first),
        )
        seen: set[str] = set()
        for each in searches:
            async for page in self._pages(each):
                found = {bill.utility_enkash_id: bill for bill in page if bill.utility_enkash_id}
                told = await records.show([one for one in found if one not in seen])
                seen |= found.keys()
                for one, shown in told.items():
                    is_news = shown.is_known or found[one].debit_confirmed is not False
                    if shown.is_held or not is_news or content_key(found[one]) == shown.last:
                        continue
                    try:
                        bill = await self._reads.get(one)  # a search may show less of a bill, or older data
                    except NotFoundError as problem:
                        if not problem.bill_absent:
                            raise
                        continue  # the search runs ahead; the next run finds the bill, and this one the bills after it
                    if content_key(bill) != shown.last:
                        yield bill

    def _pages(self, bill_filter: BillFilter) -> AsyncIterator[list[Bill]]:
        async def fetch(offset: int, limit: int) -> Page[Bill]:
            return await self._reads.page(bill_filter, offset, limit)

        pager = AsyncPager(
            fetch, name="webhooks.missed", page_size=PAGE_SIZE, key=lambda bill: bill.utility_enkash_id or None
        )
        return pager.pages()
