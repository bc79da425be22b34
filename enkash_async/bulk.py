"""The result of a call over many items: every item ends in exactly one of four groups."""

from __future__ import annotations

import enum
from typing import Any, Generic, TypeVar

import attrs

from enkash_async.errors import EnkashError, RetryAdvice
from enkash_async.models import Bill
from enkash_async.models.base import Travels

__all__ = ["BulkError", "BulkGroup", "BulkItem", "BulkResult", "Confirmations"]

T = TypeVar("T")


class BulkGroup(enum.StrEnum):
    """What became of one item."""

    SUCCEEDED = "succeeded"  # EnKash did the work
    FAILED = "failed"  # EnKash refused the item, or a read failed
    UNKNOWN = "unknown"  # EnKash may or may not have done the work: look the item up, never resend it
    NOT_SENT = "not_sent"  # the item surely never reached EnKash; safe to send again


@attrs.frozen
class BulkItem(Travels, Generic[T]):
    """One item of a bulk call.

    Attributes:
        key: Name of the item: its `utility_enkash_id`, or `BillRequest.key`.
        value: Result of the item; None for a call that returns no data, and in every group but `succeeded`. For a
            payment, it is the `Payment` in every group.
        error: Why the item did not succeed; None in `succeeded`.
        group: What became of the item.
        request: The item as the caller gave it.
    """

    key: str
    value: T | None = None
    error: EnkashError | None = None
    group: BulkGroup = BulkGroup.SUCCEEDED
    request: Any = attrs.field(default=None, repr=False, eq=False)


@attrs.frozen(kw_only=True)
class BulkResult(Travels, Generic[T]):
    """Every item of a bulk call, in the order given, in exactly one group.

    Attributes:
        succeeded: Items for which EnKash did the work.
        failed: Items that EnKash refused, or whose read failed.
        unknown: Items for which EnKash may or may not have done the work: look them up, never resend them.
        not_sent: Items that surely never reached EnKash; safe to send again.
        duplicates: Keys that the caller gave more than once, each listed once. Such an item was sent once, and is in
            its group once.
    """

    succeeded: tuple[BulkItem[T], ...] = ()
    failed: tuple[BulkItem[T], ...] = ()
    unknown: tuple[BulkItem[T], ...] = ()
    not_sent: tuple[BulkItem[T], ...] = ()
    duplicates: tuple[str, ...] = ()

    def raise_for_failures(self) -> None:
        """Raise an error unless every item succeeded.

        Raises:
            BulkError: At least one item did not succeed; its `result` is this object.
        """
        if self.failed or self.unknown or self.not_sent:
            raise BulkError(f"{self._counts()}; see .result", result=self)

    def _counts(self) -> str:
        return (
            f"{len(self.failed)} failed, {len(self.unknown)} unknown, {len(self.not_sent)} not sent, "
            f"{len(self.succeeded)} succeeded"
        )


class BulkError(EnkashError):
    """Not every item of a bulk call succeeded, or the source of the items raised an error.

    `BulkResult.raise_for_failures()` raises this error. A bulk call raises it if its source fails; `__cause__` is then
    the source's error.

    Attributes:
        result: The whole `BulkResult`.
    """

    _advice = RetryAdvice.LOOK  # the error of each item in `result` has its own advice
    result: BulkResult[Any]

    def __init__(self, message: str, *, result: BulkResult[Any]) -> None:
        super().__init__(message)
        self.result = result


@attrs.frozen(kw_only=True)
class Confirmations(Travels):
    """Which bills EnKash shows as confirmed, in the order in which the caller named them.

    Attributes:
        confirmed: Bills whose debit was confirmed.
        not_confirmed: Bills whose debit is not confirmed yet, as EnKash showed them last.
        unknown: Bills that could not be read, with the reason in `error`; and bills whose state is ambiguous, with the
            bill in `value`.
    """

    confirmed: tuple[Bill, ...] = ()
    not_confirmed: tuple[Bill, ...] = ()
    unknown: tuple[BulkItem[Bill], ...] = ()
