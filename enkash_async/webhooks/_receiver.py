"""From a post to your handler: verify it, ask EnKash about the bill, hand each event over once; no web framework.

The receiver claims a post by its content, asks EnKash, claims what EnKash says, calls the handler, and commits. If it
stops before the commit, it releases the claims (or their leases end), so that the next post of the event starts anew.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterable, Awaitable, Callable, Coroutine, Iterator
from inspect import isawaitable
from logging import getLogger
from typing import Any, TypeAlias

import attrs

from enkash_async._flow.notifier import BillNotifier
from enkash_async._flow.poller import peek
from enkash_async._support.cancellation import is_cancelled
from enkash_async.client import EnkashClient
from enkash_async.errors import ConfigurationError, EnkashError, NotFoundError, WebhookError, WebhookPayloadError
from enkash_async.models import Bill
from enkash_async.webhooks._dedupe import Claimed, Dedupe, MemoryDedupe
from enkash_async.webhooks._event import BillEvent, content_key
from enkash_async.webhooks._verifier import Headers, WebhookVerifier

__all__ = ["OnBill", "WebhookReceiver"]

OnBill: TypeAlias = Callable[[BillEvent], Awaitable[object] | None]

_log = getLogger("enkash_async.webhooks")

_OK, _BAD, _REFUSED, _SLOW, _LARGE, _FAILED, _AGAIN = 200, 400, 401, 408, 413, 500, 503
_BODY_TIMEOUT = 20.0  # seconds for a whole body, which has a few kilobytes
_HELD_FIRST, _HELD_LONGEST = 0.05, 1.0  # seconds: first and longest pause before claiming a held event again
_LOOK_TIMEOUT = 5.0  # seconds for one look at a bill; the sender of the post waits meanwhile
_LOOK_PAUSES = (0.5, 1.5)  # seconds between looks at a bill while the API lags behind the post


class WebhookReceiver:
    """Receives posts about bills and hands each event to your handler once.

    With a `client`, the receiver reads each bill from EnKash before it calls the handler, since anyone who knows the
    header can post. The handler is called once for each state that EnKash confirms, however many posts report it. A
    post that is ahead of the API is answered with 503 after the handler got the API's state, so that EnKash posts again
    and the handler gets the rest. A post about a bill that EnKash does not know is answered with 503 and not handed
    over.

    Args:
        verifier: Checks who posted, and reads the post.
        on_bill: Your handler, async or not, called with a `BillEvent`. If it raises, the event is released and answered
            with 500. It should be quick, or put the event into a queue: EnKash does not document how long it waits.
        client: Reads bills from EnKash; None hands over posts unconfirmed.
        dedupe: The record of handled events, shared by all workers that receive posts; None keeps one in this process.
        notifier: Is told of every bill that a post is about, so that callers that wait for it look at once.
        sleep: Waits for the given seconds.

    Raises:
        ConfigurationError: An argument is unusable, or there is neither a handler nor a notifier.

    EnKash page: Bill Payment Webhook (api-12515630). It documents no reply: that EnKash expects a quick 2xx, and posts
    again after anything else, are assumptions.
    """

    def __init__(
        self,
        verifier: WebhookVerifier,
        *,
        on_bill: OnBill | None = None,
        client: EnkashClient | None = None,
        dedupe: Dedupe | None = None,
        notifier: BillNotifier | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        if not isinstance(verifier, WebhookVerifier):
            raise ConfigurationError(f"verifier must be a WebhookVerifier(…), not {type(verifier).__name__}")
        if client is not None and not isinstance(client, EnkashClient):
            raise ConfigurationError(f"client must be an EnkashClient, not {type(client).__name__}")
        if dedupe is not None and not isinstance(dedupe, Dedupe):
            raise ConfigurationError(f"dedupe must be a MemoryDedupe() or RedisDedupe(…), not {type(dedupe).__name__}")
        if notifier is not None and not isinstance(notifier, BillNotifier):
            raise ConfigurationError(f"notifier must be a BillNotifier, not {type(notifier).__name__}")
        if on_bill is None and notifier is None:
            raise ConfigurationError("give on_bill=… (your handler) or notifier=…: else every post would be dropped")
        if on_bill is not None and not callable(on_bill):
            raise ConfigurationError(f"on_bill must be a function of one BillEvent, not {type(on_bill).__name__}")
        self._verifier = verifier
        self._on_bill = on_bill
        self._client = client
        self._dedupe: Dedupe = MemoryDedupe() if dedupe is None else dedupe
        self._notifier = notifier
        self._sleep = sleep

    async def receive(self, headers: Headers, body: bytes | AsyncIterable[bytes]) -> int:
        """Handle one post and return the HTTP status to answer with; the reply needs no body.

        200: handled, now or before. 401: not from EnKash. 400, 408, 413: the body is unreadable, slow or too long. 500:
        the handler failed. 503: EnKash does not confirm the bill or all of the post, another worker handles the event,
        or the record of events is unavailable. After 5xx the event can be posted again.

        Args:
            headers: Headers of the request; see `WebhookVerifier.verify`.
            body: Body of the request: bytes, or its chunks. Chunks are read only after the headers proved right, and
                only up to `max_body`.
        """
        # An iterator of pairs is turned into a list, since the headers are checked twice: before the body and with it.
        seen: Any = list(headers) if isinstance(headers, Iterator) else headers
        found = await self._read(seen, body)
        del headers, seen, body  # a rendered traceback shows the locals of this frame
        if isinstance(found, int):
            return found
        if self._notifier is not None and found.posted.utility_enkash_id:
            self._notifier.notify(found.posted.utility_enkash_id)
        return _OK if self._on_bill is None else await self._deliver(found, self._on_bill)

    async def _read(self, headers: Headers, body: bytes | AsyncIterable[bytes]) -> BillEvent | int:
        """Return the event of a post, or the HTTP status that refuses it."""
        try:
            self._verifier.authenticate(headers)
            whole = await self._whole(body) if isinstance(body, AsyncIterable) else body
            return self._verifier.verify(headers, whole)
        except WebhookPayloadError as problem:
            status, said = _LARGE if problem.too_large else _BAD, str(problem)
        except WebhookError as problem:
            status, said = _REFUSED, str(problem)
        except TimeoutError:
            status, said = _SLOW, f"the body took longer than {_BODY_TIMEOUT:g} s"
        _log.warning("HTTP %d: %s", status, said)
        return status

    async def _whole(self, chunks: AsyncIterable[bytes]) -> bytes:
        """Read a body, within a limit of time and size."""
        whole = bytearray()
        async with asyncio.timeout(_BODY_TIMEOUT):
            async for chunk in chunks:
                whole += chunk
                if len(whole) > self._verifier.max_body:
                    break  # too long already; `verify` refuses it
        return bytes(whole)

    async def _deliver(self, event: BillEvent, on_bill: OnBill) -> int:
        """Handle each posted content once, and hand each state that EnKash confirms to the handler once.

        Both are needed: posts with different contents may be about one state, once EnKash is asked.
        """
        client = self._client
        if client is None:
            return await self._once(event.key, lambda: self._hand_over(event, on_bill))
        return await self._once(event.key, lambda: self._confirm(client, event, on_bill))

    async def _confirm(self, client: EnkashClient, posted: BillEvent, on_bill: OnBill) -> int:
        problem, event = await self._ask(client, posted)
        if problem is not None:
            _log.warning("HTTP %d: event %s is not confirmed: %s", _AGAIN, posted.key[:12], problem)
            return _AGAIN
        if self._notifier is not None and not event.posted.utility_enkash_id:
            self._notifier.notify(event.bill.utility_enkash_id)
        status = await self._once(event.key, lambda: self._hand_over(event, on_bill), known=posted.key)
        if status == _OK and event.is_ahead:
            # The handler has the state that EnKash shows now. A commit of this post would hide the later state from it.
            _log.warning("HTTP %d: event %s says more than EnKash's API does yet", _AGAIN, posted.key[:12])
            return _AGAIN
        return status

    async def _once(self, key: str, work: Callable[[], Awaitable[int]], *, known: str | None = None) -> int:
        """Do work under a claim, unless it was done under this key before; return an HTTP status.

        Args:
            key: Key of the event to claim.
            work: Handles the event and returns an HTTP status.
            known: A key that the caller has claimed already; if equal to `key`, nothing is claimed here.
        """
        if key == known:
            return await work()
        owner = uuid.uuid4().hex
        try:
            claimed = await self._claim(key, owner)
        except asyncio.CancelledError:
            # The claim may have been granted all the same; without a release, the event waits until the lease ends.
            await _undisturbed(self._conclude(key, owner, is_done=False))
            raise
        except Exception as problem:  # noqa: BLE001 (the record may be the user's own)
            _log.error("HTTP %d: event %s: %s", _AGAIN, key[:12], _told(problem))
            # A reply that was lost or late may have granted the claim.
            await _undisturbed(self._conclude(key, owner, is_done=False))
            return _AGAIN
        if claimed is Claimed.DONE:
            return _OK
        if claimed is Claimed.HELD:
            _log.info("HTTP %d: event %s is in the hands of another worker", _AGAIN, key[:12])
            return _AGAIN
        return await self._work(key, owner, work)

    async def _claim(self, key: str, owner: str) -> Claimed:
        """Claim an event; while another worker holds it, wait for up to one lease.

        EnKash promises no resends, so this may be the only chance to take the event over from a worker that died.
        """
        waited, pause = 0.0, _HELD_FIRST
        claimed = await self._dedupe.claim(key, owner)
        while claimed is Claimed.HELD and waited <= self._dedupe.lease:
            await self._sleep(pause)
            waited, pause = waited + pause, min(2 * pause, _HELD_LONGEST)
            claimed = await self._dedupe.claim(key, owner)
        return claimed

    async def _work(self, key: str, owner: str, work: Callable[[], Awaitable[int]]) -> int:
        beating = asyncio.create_task(self._beat(key, owner))
        status = _FAILED
        try:
            status = await work()
        finally:
            # Releases the claim also when the request is cancelled; else the next post must wait for the lease to end.
            beating.cancel()
            await _undisturbed(self._conclude(key, owner, is_done=status == _OK))
        return status

    async def _hand_over(self, event: BillEvent, on_bill: OnBill) -> int:
        try:
            result = on_bill(event)
            if isawaitable(result):
                await result
        except asyncio.CancelledError:
            if is_cancelled():
                raise
            _log.error("HTTP %d: on_bill was cancelled from within for event %s", _FAILED, event.key[:12])
            return _FAILED
        except Exception:  # noqa: BLE001 (the user's handler may raise anything; it is logged with its traceback)
            _log.exception("HTTP %d: on_bill failed for event %s", _FAILED, event.key[:12])
            return _FAILED
        return _OK

    async def _ask(self, client: EnkashClient, event: BillEvent) -> tuple[str | None, BillEvent]:
        """Return the reason why EnKash does not confirm the bill, or None, and the event with the bill it returned."""
        why: str | None = None
        for pause in (*_LOOK_PAUSES, None):
            seen = await peek(_look(client, event.posted), _LOOK_TIMEOUT)
            if isinstance(seen, Bill):
                why, event = None, attrs.evolve(event, confirmed=seen, key=content_key(seen))
                if not event.is_ahead:
                    break
            elif isinstance(seen, NotFoundError):
                why = "EnKash knows no such bill"
            else:
                return str(seen), event
            if pause is not None:
                await self._sleep(pause)
        return why, event

    async def _beat(self, key: str, owner: str) -> None:
        """Extend the lease for as long as the handler works."""
        while True:
            await self._sleep(self._dedupe.lease / 3)
            try:
                is_held = await self._dedupe.extend(key, owner)
            except Exception as problem:  # noqa: BLE001 (the record may be the user's own)
                _log.warning("the lease on event %s could not be extended: %s", key[:12], _told(problem))
                continue
            if not is_held:
                _log.warning("the lease on event %s was lost; another worker may handle it as well", key[:12])
                return

    async def _conclude(self, key: str, owner: str, *, is_done: bool) -> None:
        try:
            if not is_done:
                await self._dedupe.release(key, owner)
            elif not await self._dedupe.commit(key, owner):
                _log.warning("event %s was handled after its lease had ended, perhaps twice", key[:12])
        except Exception as problem:  # noqa: BLE001 (the record may be the user's own)
            # Not raised: a handled event is answered with 200 even so, since a resend would be handled again.
            lost = "handled, but not recorded: it may be handled again" if is_done else "not given back"
            _log.error("event %s is %s: %s", key[:12], lost, _told(problem))


async def _look(client: EnkashClient, posted: Bill) -> Bill:
    if posted.utility_enkash_id:
        return await client.bills.get(posted.utility_enkash_id)
    return await client.bills.get_by_reference(posted.reference_id or "")


async def _undisturbed(work: Coroutine[Any, Any, None]) -> None:
    """Finish short work even if the running task is cancelled meanwhile; the cancellation takes effect afterwards."""
    task = asyncio.create_task(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as again:
            cancelled = again
    if cancelled is not None:
        raise cancelled


def _told(problem: Exception) -> str:
    """Return a failure for the log: the message of an `EnkashError`, but only the class of any other exception."""
    return str(problem) if isinstance(problem, EnkashError) else type(problem).__name__
