"""What came of a call over many items: every item is in exactly one of four groups."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import attrs

from enkash_async.errors import EnkashError, RetryAdvice

if TYPE_CHECKING:
    from enkash_async.models import Bill

__all__ = ["BulkError", "BulkGroup", "BulkItem", "BulkResult", "Confirmations"]

T = TypeVar("T")


class BulkGroup(enum.StrEnum):
    """What became of one item."""

    SUCCEEDED = "succeeded"  # EnKash did it
    FAILED = "failed"  # EnKash refused it
    UNKNOWN = "unknown"  # it may or may not have happened: look it up, never resend it
    NOT_SENT = "not_sent"  # it provably never reached EnKash; safe to send again


@attrs.frozen
class BulkItem(Generic[T]):
    """One item of a bulk call.

    Attributes:
        key: What names the item: its `utility_enkash_id`, or `BillRequest.key`.
        value: Its result; None for a call that answers without data, and in the groups other than `succeeded`.
        error: Why it did not succeed, or None.
        group: What became of it.
        request: The item as it was given.
    """

    key: str
    value: T | None = None
    error: EnkashError | None = None
    group: BulkGroup = BulkGroup.SUCCEEDED
    request: Any = attrs.field(default=None, repr=False, eq=False)


@attrs.frozen(kw_only=True)
class BulkResult(Generic[T]):
    """Every item of a bulk call, in the order given, in exactly one group.

    Attributes:
        succeeded: EnKash did it.
        failed: EnKash refused it.
        unknown: It may or may not have happened: look it up, never resend it.
        not_sent: It provably never reached EnKash; safe to send again.
        duplicates: Keys that were given more than once, each named once; such an item was sent once and is in a group
            once.
    """

    succeeded: tuple[BulkItem[T], ...] = ()
    failed: tuple[BulkItem[T], ...] = ()
    unknown: tuple[BulkItem[T], ...] = ()
    not_sent: tuple[BulkItem[T], ...] = ()
    duplicates: tuple[str, ...] = ()

    def raise_for_failures(self) -> None:
        """Do nothing when every item succeeded.

        Raises:
            BulkError: Some did not; its `result` is this one.
        """
        if self.failed or self.unknown or self.not_sent:
            raise BulkError(f"{self._counts()}; see .result", result=self)

    def _counts(self) -> str:
        return (
            f"{len(self.failed)} failed, {len(self.unknown)} unknown, {len(self.not_sent)} not sent, "
            f"{len(self.succeeded)} succeeded"
        )


class BulkError(EnkashError):
    """Not every item of a bulk call succeeded, or the source of the items failed in the middle.

    Raised by `BulkResult.raise_for_failures()`, and by a bulk call whose source raised, with that error as its cause.

    Attributes:
        result: The whole `BulkResult`.
    """

    result: BulkResult[Any]

    def __init__(self, message: str, *, result: BulkResult[Any]) -> None:
        super().__init__(message)
        self.result = result

    @property
    def retry(self) -> RetryAdvice:
        """LOOK: each item of `result` has advice of its own."""
        return RetryAdvice.LOOK


@attrs.frozen(kw_only=True)
class Confirmations:
    """Which bills EnKash shows as confirmed, in the order asked for.

    Attributes:
        confirmed: Their debit was confirmed.
        not_confirmed: Their debit waits to be confirmed, as EnKash showed them last.
        unknown: They could not be read, with the reason in `error`, or what EnKash shows leaves it open, with the bill
            in `value`.
    """

    confirmed: tuple[Bill, ...] = ()
    not_confirmed: tuple[Bill, ...] = ()
    unknown: tuple[BulkItem[Bill], ...] = ()
