"""Pays bills: carries out the steps of each payment, confirms up to 100 bills per call, and polls all bills together.

`payment_step.py` decides the next step. This module carries the step out, and passes the result back.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from logging import getLogger
from types import TracebackType
from typing import Self, TypeVar

import attrs

from enkash_async._calls import requested
from enkash_async._calls.requests import BillRequest
from enkash_async._flow.poller import Poller
from enkash_async._flow.verdicts import judge
from enkash_async._money import instants
from enkash_async._money import match as matching
from enkash_async._money import payment_step as steps
from enkash_async._money.creation import NOTHING, Receipt
from enkash_async._money.creations import Creations
from enkash_async._money.debits import Debits
from enkash_async._money.payment import Payment, PaymentState
from enkash_async._money.payment_state import Do, Options, Step
from enkash_async._money.portions import Portions
from enkash_async._money.reads import FEW, Reads
from enkash_async._money.settle import Settling
from enkash_async._money.told import ConfirmResult
from enkash_async._money.watch import Watch
from enkash_async._wire.operation import Send
from enkash_async.bulk import BulkGroup
from enkash_async.config import Routes, SettlePolicy
from enkash_async.errors import (
    ConfigurationError,
    DuplicateReferenceError,
    EnkashError,
    InvalidRequestError,
    OutcomeUnknownError,
    StoreError,
    StoreUnavailableError,
)
from enkash_async.models import Bill, FetchedBill

__all__ = ["Ended", "PayRun", "Payer"]

T = TypeVar("T")

_log = getLogger("enkash_async")


@attrs.frozen
class Payer:
    """The parts of one client that its payments use, and the settings.

    Attributes:
        send: Sends operations.
        routes: The path of every operation.
        reads: Reads bills.
        settling: Looks up bills that EnKash may not show yet.
        poller: Provides the clock and the sleep for all waits.
        debits: Confirms debits.
        creations: The notes of references.
        timeout: Seconds that one attempt of a request may take.
        debit_on_create: Whether creating a bill also debits it.
    """

    send: Send
    routes: Routes
    reads: Reads
    settling: Settling
    poller: Poller
    debits: Debits
    creations: Creations
    timeout: float = 30.0
    debit_on_create: bool = False

    def run(
        self, *, wait: float = 0.0, remarks: str | None = None, rehearses: bool = False, within: float = 0.0
    ) -> PayRun:
        """Return a run of payments, to be entered by `async with`.

        Args:
            wait: Seconds to wait until a payment is settled; 0 does not wait.
            remarks: Remarks of the confirmations; None sends none.
            rehearses: Whether the run only checks that the bills can be paid, and creates nothing.
            within: Seconds that a bill waits for other bills, so that one call confirms them together.
        """
        options = Options(
            wait=0.0 if rehearses else wait,
            debit_on_create=self.debit_on_create,
            rehearses=rehearses,
            settled_after=instants.DURATIONS.settled_after,
        )
        return PayRun(self, options, remarks, within)


@attrs.frozen
class Ended:
    """A payment at the end of its step, and the failure that caused its state, or None."""

    payment: Payment
    cause: EnkashError | None = None


class PayRun:
    """Payments that are confirmed and waited for together.

    Attributes:
        stopped_by: The error that stops all further payments of this account; None while payments may begin.
    """

    def __init__(self, payer: Payer, options: Options, remarks: str | None, within: float) -> None:
        self._payer = payer
        self._options = options
        self._remarks = remarks
        self._portions = Portions(self._confirm, within=within, sleep=payer.poller.sleep)
        self._watch = Watch(payer.reads, payer.poller, shortest=payer.timeout)
        self._stack = AsyncExitStack()
        self._debits_on_creation: ConfigurationError | None = None
        self.stopped_by: EnkashError | None = None

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._watch)
        await self._stack.enter_async_context(self._portions)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def pay(self, request: BillRequest, slots: asyncio.Semaphore | None = None) -> Ended:
        """Pay one bill, and return how far the payment got.

        Args:
            request: The bill.
            slots: Limits how many payments look up, fetch and create at once; None sets no limit. A payment releases
                its slot before it waits for its confirmation and its settlement.

        Raises:
            StoreError: The store cannot be used; nothing was sent.
            EnkashError: No request of this client can succeed, for example because it gets no token; nothing was sent.
        """
        step = steps.begin(request, self._options)
        by = uuid.uuid4().hex
        async with slots or asyncio.Semaphore():
            if self.stopped_by is not None:
                raise self.stopped_by
            try:
                while step.do not in {Do.CONFIRM, Do.WAIT, Do.END}:
                    step = await self._advanced(step, by)
            except StoreUnavailableError as problem:
                self.stopped_by = problem  # otherwise each further payment would wait for the store until it times out
                raise
        while step.do is not Do.END:
            step = await self._advanced(step, by)
        self.stopped_by = self.stopped_by or step.stops
        return await self._ended(step)

    async def _advanced(self, step: Step, by: str) -> Step:
        payer = self._payer
        match step.do:
            case Do.FIND:
                return steps.found(step, await payer.creations.find(step.reference_id))
            case Do.LOOK:
                return await self._looked(step, by)
            case Do.READ:
                return steps.looked(step, _usable(await _told(payer.reads.get(step.bill_id)), step))
            case Do.FETCH:
                return steps.fetched(step, _usable(await self._fetched(step)))
            case Do.CREATE:
                with payer.debits.records.acts.here():
                    return await self._created(step, by)
            case Do.CONFIRM:
                result = await self._portions.confirm(step.bill_id, waits=step.is_waiting)
                return steps.confirmed(step, result.group, result.error)
            case _:
                return steps.waited(step, await self._watch.settled(step.bill_id, self._options.wait))

    async def _looked(self, step: Step, by: str) -> Step:
        settle = attrs.evolve(self._payer.settling.policy, window=self._patience(step.patience))
        seen = _usable(await self._payer.settling.find(step.reference_id, settle), step)
        after = steps.looked(step, seen)
        bill = after.bill
        if isinstance(seen, Bill) and bill is not None and bill.utility_enkash_id != step.known.utility_enkash_id:
            await _if_it_can(
                self._payer.creations.end(step.reference_id, bill.utility_enkash_id, by=by, digest=step.digest)
            )
        elif _is_taken(step, after):  # delete the note: this create did not make the bill
            await _if_it_can(self._payer.creations.end(step.reference_id, None, by=by))
        return after

    async def _fetched(self, step: Step) -> FetchedBill | EnkashError:
        operation = requested.fetch(self._payer.routes, step.request)
        contradiction = matching.contradicts_fetch(step.request.params["cn"])
        return await _told(self._payer.send(attrs.evolve(operation, contradiction=contradiction)))

    async def _created(self, step: Step, by: str) -> Step:
        payer, reference = self._payer, step.reference_id
        try:
            create = requested.create(payer.routes, step.request, reference)
        except InvalidRequestError as flaw:  # in what the biller shows: the caller's own values were checked before
            return steps.created(step, flaw)
        births = await payer.debits.records.births()
        known = await payer.creations.begin(reference, by=by, digest=step.digest)
        if known.utility_enkash_id:  # another process has created the bill meanwhile
            return steps.found(step, known)
        step = attrs.evolve(step, known=known)
        contradiction = matching.contradicts_wanted(create.wanted)
        answer = await _told(payer.send(attrs.evolve(create.operation, contradiction=contradiction)))
        if isinstance(answer, EnkashError):
            if _did_nothing(answer) and not known.seconds_under_way:
                await _if_it_can(payer.creations.end(reference, None, by=by))
            return steps.created(step, _usable(answer))
        if not (answer.reference_id or "").strip() and await self._has_record(answer.utility_enkash_id):
            answer = attrs.evolve(answer, utility_enkash_id="")  # an older bill of the consumer: the reference decides
        if matching.vouches(create.wanted, answer):
            one = answer.utility_enkash_id
            await _if_it_can(payer.debits.records.note_bills(by, [one], births))
            await _if_it_can(payer.creations.end(reference, one, by=by, digest=step.digest))
        return steps.created(step, answer)

    async def _has_record(self, one: str) -> bool:
        """Whether the store knows a bill already; True if the store cannot tell."""
        shown = await _told(self._payer.debits.records.show([one]))
        return isinstance(shown, EnkashError) or shown[one].debit is not None

    async def _confirm(self, ids: Sequence[str], created: Collection[str]) -> Mapping[str, ConfirmResult]:
        window = self._patience(self._options.wait)
        settle: SettlePolicy = attrs.evolve(self._payer.settling.policy, window=window)
        waiting = await self._waiting(created)
        if created and self._debits_on_creation is not None:
            new = ConfirmResult(BulkGroup.UNKNOWN, self._debits_on_creation)
            others = [one for one in ids if one not in created]
            return {**dict.fromkeys(created, new), **(await self._confirm(others, ()) if others else {})}
        doubted = [one for one in ids if one not in created]  # a read has shown them unconfirmed
        return await self._payer.debits.confirm(
            ids, remarks=self._remarks, created=waiting, doubted=doubted, settle=settle
        )

    async def _waiting(self, created: Collection[str]) -> Collection[str]:
        """Return the new bills that a search does not show as debited, because the account may debit on creation.

        One search covers 99 bills. Up to three bills are returned unread, because each would take a call of its own.
        If the search shows a debit that nobody has confirmed, no new bill of this run is confirmed any more.
        """
        if len(created) <= FEW:
            return created
        found, _ = await self._payer.reads.searched(list(created), patience=self._payer.timeout)
        shown = [one for one, bill in found.items() if isinstance(bill, Bill) and bill.debit_confirmed]
        if shown:
            await self._stop_if_unconfirmed(shown)
        return [one for one in created if one not in shown]

    async def _stop_if_unconfirmed(self, debited: Sequence[str]) -> None:
        """Note that creates are debits if no process has confirmed one of the debited bills."""
        try:
            records = await self._payer.debits.records.show(debited)
        except StoreError:  # the confirmation fails too, and tells each payment
            return
        for one, shown in records.items():
            if shown.debit is None or shown.debit.state == "created":
                self._debits_on_creation = self._debits_on_creation or steps.debits_on_creation(one)

    def _patience(self, seconds: float) -> float:
        """Return how many seconds to wait for an unclear end: at most `seconds`, and at most the client's policy."""
        return min(seconds, self._payer.settling.window())

    async def _ended(self, step: Step) -> Ended:
        payment = step.payment or step.ended(PaymentState.UNKNOWN)
        bill = payment.bill
        is_news = payment.state in {PaymentState.PAID, PaymentState.ALREADY_PAID} and (
            step.known.paid is None or step.known.digest != step.digest
        )
        if is_news and bill is not None:
            receipt = Receipt.of(bill, payment.amount)
            await _if_it_can(self._payer.creations.paid(step.reference_id, receipt, digest=step.digest))
        return Ended(payment, step.cause)


async def _told(call: Awaitable[T]) -> T | EnkashError:
    """Return the result of a call, or the error that the call raised."""
    try:
        return await call
    except EnkashError as problem:
        return problem


def _usable(answer: T | EnkashError, step: Step | None = None) -> T | EnkashError:
    """Return an answer, or raise it if it is an error that every other call of this client would get too.

    The caller takes a raised error to mean that nothing was sent. So once `step` may have created the bill, every error
    is returned.
    """
    if step is not None and (step.has_sent or step.is_created):
        return answer
    if isinstance(answer, EnkashError) and (judge(answer).ends_job or isinstance(answer, StoreError)):
        raise answer
    return answer


def _did_nothing(failure: EnkashError) -> bool:
    return not isinstance(failure, (OutcomeUnknownError, DuplicateReferenceError))


def _is_taken(before: Step, after: Step) -> bool:
    """Whether EnKash refused the create because a process that does not share the store has used the reference."""
    is_refused = after.payment is not None and after.payment.state is PaymentState.REFUSED
    return isinstance(before.cause, DuplicateReferenceError) and before.known == NOTHING and is_refused


async def _if_it_can(note: Awaitable[object]) -> None:
    """Write a note, and only log a failure of the store: the note merely saves a later step a look-up."""
    try:
        await note
    except StoreError as problem:
        _log.warning("the store does not learn how a payment went: %s", problem)
