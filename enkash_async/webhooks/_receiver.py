"""Receives a post: verifies the post, and hands its news to your handler. Needs no web framework."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterable, Awaitable, Callable, Iterator, Sequence
from logging import getLogger
from typing import Any

from enkash_async._environment import Environment
from enkash_async._flow.notifier import BillNotifier
from enkash_async._news.content import post_key
from enkash_async._news.records import NewsRecords
from enkash_async._support import checks
from enkash_async.client import EnkashClient
from enkash_async.errors import ConfigurationError, WebhookError, WebhookPayloadError
from enkash_async.models import Bill
from enkash_async.stores import Store
from enkash_async.webhooks._body import RefusedError, encoding_of, read_whole, unpacked
from enkash_async.webhooks._delivery import OK, Delivery
from enkash_async.webhooks._event import BillEvent
from enkash_async.webhooks._handler import InThread, OnBill
from enkash_async.webhooks._headers import Headers
from enkash_async.webhooks._verifier import WebhookVerifier

__all__ = ["WebhookReceiver"]

_log = getLogger("enkash_async.webhooks")

_BAD, _REFUSED, _LARGE = 400, 401, 413


class WebhookReceiver:
    """Receives posts about bills and hands each piece of news to your handler once.

    With a `client`, a post is only a hint, since anyone who knows the header can post. The receiver claims the bill,
    reads it from EnKash, and calls the handler if the state differs from the last one that the handler was told about
    this bill. So a state that comes back is news, and news never arrives out of order.

    If a post shows more progress than the API, the handler gets the state of the API, and the answer is 503, so that
    EnKash posts again and the handler then gets the later state. If a post is about a bill that EnKash does not know,
    the answer is 503, and the handler is not called.

    Args:
        verifier: Checks who posted, and reads the post.
        on_bill: Your handler, called with a `BillEvent`: async, or a function, which runs in a thread. If the handler
            raises, the news is released, and the answer is 500. The handler should be quick, or put the event into a
            queue: EnKash does not document how long it waits for an answer.
        client: Reads bills from EnKash; with None, the handler gets unconfirmed posts, each different post once.
        store: Shared by all workers that receive posts; the receiver does not close it. None takes the client's store;
            without a client, the store that `ENKASH_STORE_URL` names, or the SQLite file of this user. The store
            remembers for 7 days what was handed over.
        notifier: Notified of every bill that a post is about, so that callers that wait for the bill ask EnKash at
            once.
        name: Name of your service. Services that share a store need different names if each must get all news.
        sleep: Waits for the given seconds.

    Raises:
        ConfigurationError: An argument is unusable, or there is neither a handler nor a notifier.

    EnKash page: Bill Payment Webhook (api-12515630). The page documents no reply. It is an assumption that EnKash
    expects a quick 2xx, and posts again after any other answer.
    """

    def __init__(
        self,
        verifier: WebhookVerifier,
        *,
        on_bill: OnBill | None = None,
        client: EnkashClient | None = None,
        store: Store | None = None,
        notifier: BillNotifier | None = None,
        name: str = "",
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        if (wrong := _flaw(verifier, on_bill, client, store, notifier, name)) is not None:
            raise ConfigurationError(wrong)
        self._verifier = verifier
        self._on_bill = on_bill
        self._client = client
        self._store = store
        self._own_store: Store | None = None
        self._notifier = notifier
        self._sleep = sleep
        self._records = NewsRecords(self._opened, base_url="" if client is None else client.base_url, name=name)

    async def receive(
        self,
        headers: Headers,
        body: bytes | AsyncIterable[bytes],
        *,
        in_thread: InThread = asyncio.to_thread,
    ) -> int:
        """Handle one post and return the HTTP status to answer with; the reply needs no body.

        200: the news was handled, now or before. 401: the post does not prove that EnKash sent it. 400, 408, 413, 415:
        the body is unreadable, slow, too long or in an unknown encoding. 500: the handler failed, or a middleware has
        read the body before. 503: EnKash's API does not show the bill, or shows an earlier state than the post; or
        another worker handles the bill; or the store is unavailable. After a 5xx, the same event can be posted again.

        Args:
            headers: Headers of the request; see `WebhookVerifier.verify`.
            body: Body of the request, plain or gzip: bytes, or an async iterable of chunks. Chunks are read only if the
                headers are right, and only up to `max_body`.
            in_thread: Called with the handler and the event if the handler is not async; runs the handler in a thread.
        """
        # Turns an iterator into a list, since the headers are read twice: before and after the body.
        seen: Any = list(headers) if isinstance(headers, Iterator) else headers
        found = await self._read(seen, body)
        del headers, seen, body  # keeps secrets out of rendered tracebacks, which show the locals of this frame
        if isinstance(found, int):
            return found
        if self._notifier is not None and found.posted.utility_enkash_id:
            self._notifier.notify(found.posted.utility_enkash_id)
        return await self._deliver(found, in_thread, self._records.durations.looks)

    async def handle(self, utility_enkash_id: str, *, in_thread: InThread = asyncio.to_thread) -> int:
        """Handle a bill as if EnKash had posted about it, and return the HTTP status that the post would have got.

        Use this for bills whose posts did not come: see `client.webhooks.missed`.

        Args:
            utility_enkash_id: EnKash's id of the bill.
            in_thread: Called with the handler and the event if the handler is not async; runs the handler in a thread.

        Raises:
            InvalidRequestError: The id is empty, `.` or `..`.
            ConfigurationError: The receiver has no client.
        """
        wanted = checks.identifier(utility_enkash_id, "utility_enkash_id")
        if self._client is None:
            raise ConfigurationError("handle() asks EnKash about the bill: give the receiver client=…")
        if self._notifier is not None:
            self._notifier.notify(wanted)
        asked = BillEvent(
            posted=Bill(utility_enkash_id=wanted), key=post_key(wanted)
        )  # the key is for the log alone: `deliver` derives the event's key from EnKash's state
        return await self._deliver(asked, in_thread, ())

    async def aclose(self) -> None:
        """Close the store that the receiver opened, if neither a store nor a client was given."""
        if self._own_store is not None:
            await self._own_store.aclose()

    async def _deliver(self, event: BillEvent, in_thread: InThread, looks: Sequence[float]) -> int:
        if self._on_bill is None:
            return OK
        delivery = Delivery(self._records, self._on_bill, self._client, self._notifier, self._sleep, in_thread, looks)
        return await delivery.deliver(event)

    def _opened(self) -> Store:
        if self._store is not None:
            return self._store
        if self._client is not None:
            return self._client.store
        if self._own_store is None:
            self._own_store = Environment(os.environ).store()
        return self._own_store

    async def _read(self, headers: Headers, body: bytes | AsyncIterable[bytes]) -> BillEvent | int:
        """Return the event of a post, or the HTTP status that refuses it."""
        limit, log = self._verifier.max_body, _log.warning
        try:
            self._verifier.authenticate(headers)
            encoding = encoding_of(headers)
            whole = await read_whole(body, headers, limit) if isinstance(body, AsyncIterable) else body
            return self._verifier.verify(headers, unpacked(whole, encoding, limit))
        except WebhookPayloadError as problem:
            status, said = _LARGE if problem.too_large else _BAD, str(problem)
        except WebhookError as problem:
            status, said = _REFUSED, str(problem)
        except RefusedError as problem:
            status, said = problem.status, str(problem)
            log = _log.error if problem.is_own_fault else log
        log("HTTP %d: %s", status, said)
        return status


def _flaw(
    verifier: object, on_bill: object, client: object, store: object, notifier: object, name: object
) -> str | None:
    """Return what is wrong with the arguments, or None."""
    if not isinstance(verifier, WebhookVerifier):
        return f"verifier must be a WebhookVerifier(…), not {type(verifier).__name__}"
    if client is not None and not isinstance(client, EnkashClient):
        return f"client must be an EnkashClient, not {type(client).__name__}"
    if store is not None and not all(callable(getattr(store, each, None)) for each in ("read", "swap", "aclose")):
        return f"store must be a Store, such as open_store(url) or MemoryStore(), not {type(store).__name__}"
    if notifier is not None and not isinstance(notifier, BillNotifier):
        return f"notifier must be a BillNotifier, not {type(notifier).__name__}"
    if on_bill is None and notifier is None:
        return "give on_bill=… (your handler) or notifier=…: else every post would be dropped"
    if on_bill is not None and not callable(on_bill):
        return f"on_bill must be a function of one BillEvent, not {type(on_bill).__name__}"
    if not isinstance(name, str) or not checks.is_encodable(name):
        return f"name must be a str, not {type(name).__name__}"
    return None
