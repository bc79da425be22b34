"""Hands news of a bill to the handler: claims the bill, reads it from EnKash, and calls the handler with a new state.

A worker reads the bill from EnKash only after it holds the claim. So the handler never gets an older state after a
newer one: a worker that waited for the claim reads the present state. The record holds the last state that was handed
over, so a state that comes back is news.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from logging import getLogger
from typing import Any

import attrs

from enkash_async._flow.notifier import BillNotifier
from enkash_async._flow.poller import peek
from enkash_async._news.content import content_key, numbered_key
from enkash_async._news.machine import Claim, Done, Extend, Go, Hand, Held, Lost, Mine, Noted, Release
from enkash_async._news.records import NewsRecords
from enkash_async._support.cancellation import is_cancelled
from enkash_async.client import EnkashClient
from enkash_async.errors import EnkashError, NotFoundError
from enkash_async.models import Bill
from enkash_async.webhooks._event import BillEvent
from enkash_async.webhooks._handler import InThread, OnBill, call_handler, to_its_end

__all__ = ["AGAIN", "FAILED", "OK", "Delivery"]

OK, FAILED, AGAIN = 200, 500, 503
_ROUNDS = 3  # attempts; more are not needed, since a worker loses its lease only while its process is suspended
_LOOK_TIMEOUT = 5.0  # seconds to read a bill from EnKash; the sender of the post waits meanwhile

_log = getLogger("enkash_async.webhooks")


@attrs.define
class _Attempt:
    """One claim on a bill.

    Attributes:
        bill: Key of the bill's record.
        shown: Short name of the event for the log.
        is_concluded: Whether the claim has ended, so that it need not be given back.
    """

    bill: str
    shown: str
    by: str = attrs.field(factory=lambda: uuid.uuid4().hex)
    is_concluded: bool = False


class Delivery:
    """Delivers the news of bills.

    Args:
        records: The records of what was handed over before, with the claims.
        on_bill: The user's handler.
        client: Reads bills from EnKash; None hands over bills as they were posted.
        notifier: Notified of a bill whose post lacks EnKash's id.
        sleep: Waits for the given seconds.
        in_thread: Runs a handler that is not async.
        looks: Seconds between looks at a bill while the API may lag behind a post; empty if there is no post.
    """

    def __init__(
        self,
        records: NewsRecords,
        on_bill: OnBill,
        client: EnkashClient | None,
        notifier: BillNotifier | None,
        sleep: Callable[[float], Awaitable[object]],
        in_thread: InThread,
        looks: Sequence[float],
    ) -> None:
        self._records = records
        self._on_bill = on_bill
        self._client = client
        self._notifier = notifier
        self._sleep = sleep
        self._in_thread = in_thread
        self._looks = looks

    async def deliver(self, event: BillEvent) -> int:
        """Hand over the news of a post, unless the handler was told before; return an HTTP status."""
        problem, bill = await self._bill_of(event.posted)
        if problem is not None:
            _log.warning("HTTP %d: event %s is not confirmed: %s", AGAIN, event.key[:12], problem)
            return AGAIN
        for _ in range(_ROUNDS):
            status = await self._attempt(_Attempt(bill, event.key[:12]), event)
            if status is not None:
                return status
        _log.error("HTTP %d: event %s was in other hands each time it was handled", AGAIN, event.key[:12])
        return AGAIN

    async def _bill_of(self, posted: Bill) -> tuple[str | None, str]:
        """Return two values: the reason why the bill is not known, or None; and the key of the bill's record."""
        if posted.utility_enkash_id or self._client is None:
            return None, posted.utility_enkash_id or f"reference {posted.reference_id}"
        seen = await peek(self._client.bills.get_by_reference(posted.reference_id or ""), _LOOK_TIMEOUT)
        if not isinstance(seen, Bill):
            return _why(seen), ""
        if self._notifier is not None:
            self._notifier.notify(seen.utility_enkash_id)
        return None, seen.utility_enkash_id

    async def _attempt(self, attempt: _Attempt, event: BillEvent) -> int | None:
        """Claim the bill and hand over its news; return an HTTP status, or None if the claim was lost meanwhile."""
        try:
            mine = await self._claim(attempt)
            if mine is not None:
                return await self._with_claim(attempt, event, mine)
        except EnkashError as problem:
            _log.error("HTTP %d: event %s: %s", AGAIN, attempt.shown, problem)
        except Exception as problem:  # noqa: BLE001 (the user's own store may raise anything)
            _log.error("HTTP %d: event %s: %s", AGAIN, attempt.shown, type(problem).__name__)
        else:
            _log.info("HTTP %d: event %s is in the hands of another worker", AGAIN, attempt.shown)
        finally:
            # Gives the claim back even if the request is cancelled or the store's answer to the claim was lost:
            # otherwise, the next post would have to wait until the lease ends.
            if not attempt.is_concluded:
                await _undisturbed(self._give_back(attempt))
        return AGAIN

    async def _claim(self, attempt: _Attempt) -> Mine | None:
        """Claim the bill; while another worker holds it, wait for up to one lease.

        Waits because EnKash promises no resends: if the other worker dies, this may be the only chance to hand over the
        news.
        """
        durations, waited = self._records.durations, 0.0
        pause = durations.first_pause
        answer = await self._records.act(attempt.bill, Claim(attempt.by))
        while isinstance(answer, Held) and waited <= durations.lease:
            await self._sleep(pause)
            waited, pause = waited + pause, min(2 * pause, durations.longest_pause)
            answer = await self._records.act(attempt.bill, Claim(attempt.by))
        if isinstance(answer, Mine):
            return answer
        attempt.is_concluded = True  # this attempt holds no claim that it would have to give back
        return None

    async def _with_claim(self, attempt: _Attempt, event: BillEvent, mine: Mine) -> int | None:
        beating = asyncio.create_task(self._beat(attempt))
        try:
            state, ever = event.key, True
            if self._client is not None:
                problem, event, state = await self._ask(self._client, attempt.bill, event, mine.last)
                ever = False
                if problem is not None:
                    _log.warning("HTTP %d: event %s is not confirmed: %s", AGAIN, attempt.shown, problem)
                    return AGAIN
            return await self._tell(attempt, event, state, ever=ever)
        finally:
            beating.cancel()

    async def _tell(self, attempt: _Attempt, event: BillEvent, state: str, *, ever: bool) -> int | None:
        answer = await self._records.act(attempt.bill, Hand(attempt.by, state, ever))
        if isinstance(answer, Lost):
            return None
        if isinstance(answer, Go):
            told = event if ever else attrs.evolve(event, key=numbered_key(state, answer.number))
            handled, was_cancelled = await self._hand_over(told, attempt)
            if not handled and was_cancelled:
                raise asyncio.CancelledError
            if not handled:
                return FAILED
            done = Done(attempt.by, state, answer.number, ever)
            in_time = await _undisturbed(self._commit(attempt, done))
            if was_cancelled:
                raise asyncio.CancelledError
            if not in_time and not ever:
                return None  # another worker's handler may have run meanwhile: read the bill again
        if event.is_ahead:
            _log.warning("HTTP %d: event %s says more than EnKash's API does yet", AGAIN, attempt.shown)
            return AGAIN
        return OK

    async def _hand_over(self, event: BillEvent, attempt: _Attempt) -> tuple[bool, bool]:
        """Call the handler; return whether it succeeded, and whether the request was cancelled meanwhile."""
        was_cancelled = False
        try:
            problem, was_cancelled = await call_handler(self._on_bill, event, self._in_thread)
            if problem is not None:
                raise problem
        except asyncio.CancelledError:
            if is_cancelled():
                raise
            _log.error("HTTP %d: on_bill was cancelled from within for event %s", FAILED, attempt.shown)
        except Exception:  # noqa: BLE001 (the user's handler may raise anything; it is logged with its traceback)
            _log.exception("HTTP %d: on_bill failed for event %s", FAILED, attempt.shown)
        else:
            return True, was_cancelled
        return False, was_cancelled

    async def _ask(
        self, client: EnkashClient, bill: str, event: BillEvent, last: str
    ) -> tuple[str | None, BillEvent, str]:
        """Read the bill from EnKash, again and again while the API may lag behind the post.

        The API may lag in two cases: the post shows more progress than the API; or the API shows the state that the
        handler already knows, while the post may tell of a later state.

        Returns:
            The reason why EnKash does not confirm the bill, or None; the event with EnKash's bill; the bill's state.
        """
        why, state = None, ""
        for pause in (*self._looks, None):
            seen = await peek(client.bills.get(bill), _LOOK_TIMEOUT)
            if isinstance(seen, Bill):
                why, event, state = None, attrs.evolve(event, confirmed=seen), content_key(seen)
                if not event.is_ahead and not (state == last and event.may_be_later):
                    break
            elif isinstance(seen, NotFoundError):
                why = _why(seen)
            else:
                return _why(seen), event, state
            if pause is not None:
                await self._sleep(pause)
        return why, event, state

    async def _beat(self, attempt: _Attempt) -> None:
        """Extend the lease for as long as the handler works."""
        while True:
            await self._sleep(self._records.durations.lease / 3)
            try:
                answer = await self._records.act(attempt.bill, Extend(attempt.by))
            except Exception as problem:  # noqa: BLE001 (the user's own store may raise anything)
                _log.warning("the lease on event %s could not be extended: %s", attempt.shown, _told(problem))
                continue
            if answer == Noted(in_time=False):
                _log.warning("the lease on event %s was lost; another worker may handle it as well", attempt.shown)
                return

    async def _commit(self, attempt: _Attempt, done: Done) -> bool:
        """Record that the handler took a state; return whether this worker still held the claim."""
        attempt.is_concluded = True
        try:
            answer = await self._records.act(attempt.bill, done)
        except Exception as problem:  # noqa: BLE001 (the user's own store may raise anything)
            # Prevents a second handling: the event was handled, so the answer must be 200, or EnKash may post it again.
            _log.error(
                "event %s is handled, but not recorded: it may be handled again: %s", attempt.shown, _told(problem)
            )
            return True
        if answer == Noted(in_time=True):
            return True
        _log.warning("event %s was handled after its lease had ended, perhaps twice", attempt.shown)
        return False

    async def _give_back(self, attempt: _Attempt) -> bool:
        attempt.is_concluded = True
        try:
            await self._records.act(attempt.bill, Release(attempt.by))
        except Exception as problem:  # noqa: BLE001 (the user's own store may raise anything)
            _log.error("event %s is not given back: %s", attempt.shown, _told(problem))
        return True


async def _undisturbed(work: Coroutine[Any, Any, bool]) -> bool:
    """Finish short work even if the current task is cancelled meanwhile; the cancellation takes effect afterwards."""
    result, was_cancelled = await to_its_end(work)
    if was_cancelled:
        raise asyncio.CancelledError
    return result


def _why(problem: EnkashError) -> str:
    return "EnKash knows no such bill" if isinstance(problem, NotFoundError) else str(problem)


def _told(problem: Exception) -> str:
    """Return a failure for the log: the message of an `EnkashError`, but only the class of any other exception."""
    return str(problem) if isinstance(problem, EnkashError) else type(problem).__name__
