"""Splits any number of ids into portions of one call each, and collects the outcome of every bill."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

import attrs

from enkash_async._calls.payments import LARGEST_CALL
from enkash_async._flow.jobs import Collected, Progress, Source, items_of
from enkash_async._flow.verdicts import judge
from enkash_async._money.told import ConfirmResult
from enkash_async._support import checks
from enkash_async._support.cancellation import is_cancelled
from enkash_async._support.tracebacks import without_frames
from enkash_async.bulk import BulkGroup, BulkItem, BulkResult
from enkash_async.errors import (
    ConfigurationError,
    EnkashError,
    InvalidRequestError,
    OutcomeUnknownError,
)

__all__ = ["Confirming", "refuse_debited"]


def refuse_debited(debit_on_create: bool) -> None:
    """Refuse to confirm debits if the create of a bill is its debit.

    Prevents a double debit: no EnKash page says that a confirmation of a debited bill does nothing.

    Args:
        debit_on_create: Whether the client is told that EnKash debits the account on creation.

    Raises:
        ConfigurationError: The client is told so.
    """
    if debit_on_create:
        raise ConfigurationError(
            "nothing was sent: by debit_on_create or ENKASH_DEBIT_ON_CREATE, the create of a bill was its debit, so "
            "there is nothing to confirm; unset it if your account does not debit on creation"
        )


@attrs.define
class _Portion:
    """The unique ids of one call, each with its place in the result."""

    places: dict[str, int] = attrs.field(factory=dict)
    count: int = 0  # ids that the caller gave, repeated and malformed ones included


class Confirming:
    """One run of `payments.confirm_debit`.

    Args:
        confirm: Confirms the bills of one call and returns the outcome of each.
        progress: Counts the ids after each call.
    """

    def __init__(
        self, confirm: Callable[[Sequence[str]], Awaitable[Mapping[str, ConfirmResult]]], progress: Progress
    ) -> None:
        self._confirm = confirm
        self._progress = progress
        self._portions = 0
        self._places = 0  # items of the result so far; a repeated id has none of its own
        self._seen: set[str] = set()  # the only thing beside the result that grows with the number of ids
        self._stopped_by: EnkashError | None = None
        self.collected: Collected[None] = Collected()

    async def portions(self, ids: Source[str]) -> AsyncIterator[_Portion]:
        """Yield the ids in portions of one call each; if the source fails, yield the ids so far, then raise."""
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
            error = without_frames(wrong)
            item = BulkItem[None](f"ids[{index}]", error=error, group=BulkGroup.NOT_SENT, request=given)
            self.collected.add(self._next_place(), item)
            return
        if one in self._seen:
            self.collected.repeat(one)
            return
        self._seen.add(one)
        portion.places[one] = self._next_place()

    def _next_place(self) -> int:
        self._places += 1
        return self._places - 1

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
        except asyncio.CancelledError as problem:
            if is_cancelled():
                raise
            # No caller cancelled this task; something that the call awaited was cancelled, such as a call of the user's
            # own store. If the error were passed on, this task would end silently, and the result would lack its bills.
            return _broken_off(ids, problem)
        except Exception as problem:  # noqa: BLE001 (an error raised here would cancel the other calls)
            return _broken_off(ids, problem)

    def result(self) -> BulkResult[None]:
        """Return every bill in its group.

        Raises:
            EnkashError: There was only one call, and all its bills failed with the same error.
        """
        result = self.collected.result()
        groups = [group for group in (result.failed, result.unknown, result.not_sent) if group]
        if self._portions == 1 and not result.succeeded and len(groups) == 1:
            first = groups[0][0].error
            if first is not None and all(_is_the_same(item.error, first) for item in groups[0]):
                raise first
        return result


def _broken_off(ids: Sequence[str], problem: BaseException) -> Mapping[str, ConfirmResult]:
    broken = OutcomeUnknownError(
        f"payments.confirm_debit broke off with {type(problem).__name__}; it may or may not have happened",
        operation="payments.confirm_debit",
        utility_enkash_ids=ids,
    )
    broken.__cause__ = problem
    return dict.fromkeys(ids, ConfirmResult(BulkGroup.UNKNOWN, broken))


def _is_the_same(error: EnkashError | None, other: EnkashError) -> bool:
    # An OutcomeUnknownError names its bills, so two such errors with the same text are still different.
    alike = not isinstance(other, OutcomeUnknownError) and type(error) is type(other) and error.args == other.args
    return error is other or alike
