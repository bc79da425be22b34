"""Confirms debits: reads the bills first, sends each confirmation once, and reads bills back after an unclear end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

import attrs

from enkash_async._calls.payments import LARGEST_CALL
from enkash_async._flow.jobs import Collected, Progress, Source, items_of
from enkash_async._flow.verdicts import judge
from enkash_async._money.in_flight import InFlight
from enkash_async._money.reads import Reads
from enkash_async._money.settle import Settling
from enkash_async._support import checks
from enkash_async.bulk import BulkGroup, BulkItem, BulkResult
from enkash_async.config import SettlePolicy
from enkash_async.errors import (
    EnkashError,
    InvalidRequestError,
    OutcomeUnknownError,
)
from enkash_async.models import Bill

__all__ = ["Chunk", "ConfirmResult", "Confirming"]

Put: TypeAlias = Callable[[Sequence[str]], Awaitable[EnkashError | None]]

# Refusals in a row, with nothing accepted in between, after which a chunk is not split any further. Halving finds one
# bad bill among 1,000 within this number, and EnKash is not asked about each bill.
_MOST_REFUSALS = 16


@attrs.frozen
class ConfirmResult:
    """The outcome of one bill: its group, and the error when it was not confirmed."""

    group: BulkGroup
    error: EnkashError | None = None


_DONE = ConfirmResult(BulkGroup.SUCCEEDED)


class Chunk:
    """Confirms the bills of one call, 1,000 at most.

    Args:
        put: Sends one confirmation, and returns its failure, or None for success.
        reads: Reads bills.
        settling: Reads bills back after an unclear end.
        in_flight: This client's recent confirmations.
        patience: Seconds for reading one bill.
    """

    def __init__(self, put: Put, reads: Reads, settling: Settling, in_flight: InFlight, *, patience: float) -> None:
        self._put = put
        self._in_flight = in_flight
        self._reads = reads
        self._settling = settling
        self._patience = patience
        self._results: dict[str, ConfirmResult] = {}
        self._refusals = 0

    async def confirm(self, ids: Sequence[str], *, check_first: bool) -> dict[str, ConfirmResult]:
        """Confirm the bills and return the outcome of each."""
        left: Sequence[str] = ids
        while left:
            # This call holds no claims while it waits, so that two calls cannot wait for each other.
            await self._in_flight.released(left)
            mine = self._in_flight.claim(left)
            try:
                await self._send(await self._unconfirmed(mine) if check_first else mine)
            finally:
                self._in_flight.release(mine)
            left = [one for one in left if one not in self._results]
        return self._results

    async def _unconfirmed(self, ids: Sequence[str]) -> list[str]:
        """Return the bills whose debit still waits to be confirmed, and note the outcome of the others.

        Prevents a second debit: an interrupted job that is run again names bills that are confirmed already, and EnKash
        does not document what a second confirmation does. Each bill is read by its own call, which is documented in
        full; a search may lag behind.
        """
        seen = await self._read(ids)
        # Noted before the wait below, which lasts as long as the in-flight memory remembers an acceptance.
        accepted = {one for one in ids if self._in_flight.is_accepted(one)}
        self._file(accepted, _DONE)
        ids = [one for one in ids if one not in accepted]
        sent = [one for one in ids if self._in_flight.left(one) and _waits(seen[one])]
        if sent:
            window = max(self._in_flight.left(one) for one in sent)
            await self._settling.confirmations(sent, SettlePolicy(window=window))
            # Read again, one by one: the first reading is out of date, and the search of the wait may lag behind.
            seen = await self._read(ids)
        return [one for one in ids if self._is_open(one, seen[one])]

    async def _read(self, ids: Sequence[str]) -> Mapping[str, Bill | EnkashError]:
        # A bill that cannot be read is not confirmed, so every bill gets its full time, also under a rate limit.
        return await self._reads.read_each(ids, patience=self._patience * len(ids))

    def _is_open(self, one: str, seen: Bill | EnkashError) -> bool:
        if _is_confirmed(seen):
            self._results[one] = _DONE
            return False
        if _waits(seen):
            return True
        if isinstance(seen, Bill):
            self._results[one] = ConfirmResult(BulkGroup.UNKNOWN, _ambiguous(one, seen))
        elif judge(seen).says_absent:
            self._results[one] = ConfirmResult(BulkGroup.FAILED, seen)
        elif self._in_flight.left(one):
            self._results[one] = ConfirmResult(BulkGroup.UNKNOWN, self._unknown([one], _sent_before(seen)))
        else:
            self._results[one] = ConfirmResult(BulkGroup.NOT_SENT, seen)
        return False

    async def _send(self, given: Sequence[str]) -> None:
        accepted = {one for one in given if self._in_flight.is_accepted(one)}
        self._file(accepted, _DONE)
        # An earlier call sent these and did not see the end. Only with check_first=False does one still get here.
        sent = [one for one in given if one not in accepted and self._in_flight.left(one)]
        ids = [one for one in given if one not in accepted and not self._in_flight.left(one)]
        if ids:
            await self._put_and_note(ids)
        if sent:
            await self._read_back(sent, _sent_before(None))

    async def _put_and_note(self, ids: Sequence[str]) -> None:
        try:
            failure = await self._put(ids)
        finally:
            self._in_flight.end(ids)  # the window starts only now, since an exchange may take longer than the window
        if failure is None:
            self._refusals = 0
            self._in_flight.accept(ids)
            self._file(ids, _DONE)
            return
        if not isinstance(failure, OutcomeUnknownError):
            self._in_flight.refuse(ids)
        await self._failed(ids, failure)

    async def _failed(self, ids: Sequence[str], failure: EnkashError) -> None:
        if isinstance(failure, OutcomeUnknownError):
            await self._read_back(ids, failure)
        elif len(ids) > 1 and judge(failure).one_item and self._refusals < _MOST_REFUSALS:
            self._refusals += 1
            await self._send_in_parts(ids, failure)
        else:
            self._file(ids, ConfirmResult(judge(failure).group, failure))

    async def _send_in_parts(self, ids: Sequence[str], refused: EnkashError) -> None:
        """Confirm the bills in halves, so that a bad bill, for which EnKash refused the whole call, stops no other.

        The bills are read again first, in case EnKash confirmed some of them despite the refusal.
        """
        left = await self._unconfirmed(ids)
        for one in ids:
            result = self._results.get(one)
            if result is not None and result.group is BulkGroup.NOT_SENT:
                self._results[one] = ConfirmResult(BulkGroup.FAILED, refused)
        if not left:
            return
        half = len(left) // 2 if len(left) == len(ids) else 0
        if half:
            await self._send(left[:half])
            left = await self._unconfirmed(left[half:])  # the first half may have taken minutes
        if left:
            await self._send(left)

    async def _read_back(self, ids: Sequence[str], unclear: OutcomeUnknownError) -> None:
        seen = await self._settling.confirmations(ids)
        confirmed = [one for one in ids if _is_confirmed(seen[one])]
        self._in_flight.accept(confirmed)
        self._file(confirmed, _DONE)
        rest = [one for one in ids if not _is_confirmed(seen[one])]
        if rest:
            self._file(rest, ConfirmResult(BulkGroup.UNKNOWN, self._unknown(rest, unclear)))

    def _unknown(self, rest: Sequence[str], unclear: OutcomeUnknownError) -> OutcomeUnknownError:
        error = OutcomeUnknownError(
            f"payments.confirm_debit may or may not have happened: {len(rest)} bills do not show as confirmed after "
            f"{self._settling.window():g} s, and a request may still be on its way; come back with "
            f"payments.reconcile(), do not confirm them again before that. Cause: {unclear.__cause__}",
            operation=unclear.operation,
            utility_enkash_ids=rest,
        )
        error.__cause__ = unclear.__cause__
        return error

    def _file(self, ids: Iterable[str], result: ConfirmResult) -> None:
        self._results.update(dict.fromkeys(ids, result))


def _waits(seen: Bill | EnkashError) -> bool:
    return isinstance(seen, Bill) and seen.debit_confirmed is False


def _is_confirmed(seen: Bill | EnkashError) -> bool:
    return isinstance(seen, Bill) and seen.debit_confirmed is True


def _sent_before(trouble: EnkashError | None) -> OutcomeUnknownError:
    error = OutcomeUnknownError(operation="payments.confirm_debit")
    read = "" if trouble is None else f", and now they cannot be read: {trouble}"
    error.__cause__ = EnkashError(f"an earlier call of this client sent them and did not see the end{read}")
    return error


def _ambiguous(one: str, bill: Bill) -> OutcomeUnknownError:
    return OutcomeUnknownError(
        f"the debit of {one} was not confirmed by this call, since EnKash shows paymentStatus {bill.payment_status} "
        f"and approvalStatus {bill.approval_status}, which may mean that it was before: find out, and pass "
        "check_first=False to confirm it all the same",
        operation="payments.confirm_debit",
        utility_enkash_ids=(one,),
    )


@attrs.define
class _Portion:
    """The ids of one call, each once, with its place in the caller's order."""

    places: dict[str, int] = attrs.field(factory=dict)
    count: int = 0  # ids that the caller gave, repeated and malformed ones included


class Confirming:
    """One run of `payments.confirm_debit`.

    Args:
        confirm: Confirms the bills of one call and returns the outcome of each.
        progress: Is told the number of ids after each call.
    """

    def __init__(
        self, confirm: Callable[[Sequence[str]], Awaitable[Mapping[str, ConfirmResult]]], progress: Progress
    ) -> None:
        self._confirm = confirm
        self._progress = progress
        self._portions = 0
        self._seen: set[str] = set()
        self._stopped_by: EnkashError | None = None
        self.collected: Collected[None] = Collected()

    async def portions(self, ids: Source[str]) -> AsyncIterator[_Portion]:
        """Yield the ids in portions of one call each; raise a failure of the source after the ids before it."""
        portion = _Portion()
        index = -1
        try:
            async for given in items_of(ids):
                index += 1
                self._take(given, index, portion)
                if len(portion.places) == LARGEST_CALL:
                    yield portion
                    portion = _Portion()
        except Exception:
            if portion.places:
                yield portion
            raise
        if index < 0:
            raise InvalidRequestError("ids is empty: give at least one")
        if portion.count:
            yield portion

    def _take(self, given: object, index: int, portion: _Portion) -> None:
        portion.count += 1
        try:
            one = checks.identifier(given, "an id in ids")
        except InvalidRequestError as wrong:
            item = BulkItem[None](f"ids[{index}]", error=wrong, group=BulkGroup.NOT_SENT, request=given)
            self.collected.add(index, item)
            return
        if one in self._seen:
            self.collected.repeat(one)
            return
        self._seen.add(one)
        portion.places[one] = index

    async def confirm(self, given: _Portion) -> None:
        """Confirm one portion; after a permanent failure, later portions are not sent."""
        ids = tuple(given.places)
        self._portions += 1
        if self._stopped_by is not None:
            results: Mapping[str, ConfirmResult] = dict.fromkeys(
                ids, ConfirmResult(BulkGroup.NOT_SENT, self._stopped_by)
            )
        else:
            results = await self._confirmed(ids)
        for one, place in given.places.items():
            result = results[one]
            self.collected.add(place, BulkItem(one, error=result.error, group=result.group))
            if result.error is not None and judge(result.error).is_permanent:
                self._stopped_by = result.error
        self._progress.add(given.count)

    async def _confirmed(self, ids: Sequence[str]) -> Mapping[str, ConfirmResult]:
        try:
            return await self._confirm(ids)
        except Exception as problem:  # noqa: BLE001 (raised here, it would cancel the other calls)
            broken = OutcomeUnknownError(
                f"payments.confirm_debit broke off with {type(problem).__name__}; it may or may not have happened",
                operation="payments.confirm_debit",
                utility_enkash_ids=ids,
            )
            broken.__cause__ = problem
            return dict.fromkeys(ids, ConfirmResult(BulkGroup.UNKNOWN, broken))

    def result(self) -> BulkResult[None]:
        """Return every bill in its group.

        Raises:
            EnkashError: There was only one call, and it failed for all its bills with this error.
        """
        result = self.collected.result()
        groups = [group for group in (result.failed, result.unknown, result.not_sent) if group]
        if self._portions == 1 and not result.succeeded and len(groups) == 1:
            first = groups[0][0].error
            if first is not None and all(_is_the_same(item.error, first) for item in groups[0]):
                raise first
        return result


def _is_the_same(error: EnkashError | None, other: EnkashError) -> bool:
    # An OutcomeUnknownError names its bills, so two of them with the same text are still different errors.
    alike = not isinstance(other, OutcomeUnknownError) and type(error) is type(other) and str(error) == str(other)
    return error is other or alike
