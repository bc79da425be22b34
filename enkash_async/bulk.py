"""What came of a call over many items: every item is in exactly one of four groups."""

from __future__ import annotations

from typing import Generic, TypeVar

import attrs

from enkash_async.errors import BulkError, EnkashError

__all__ = ["BulkItem", "BulkResult"]

T = TypeVar("T")


@attrs.frozen
class BulkItem(Generic[T]):
    """One item of a bulk call.

    Attributes:
        key: What names the item, such as its `utility_enkash_id`.
        value: Its result; None for a call that answers without data, and in the groups other than `succeeded`.
        error: Why it did not succeed, or None.
    """

    key: str
    value: T | None = None
    error: EnkashError | None = None


@attrs.frozen(kw_only=True)
class BulkResult(Generic[T]):
    """Every item of a bulk call, in the order given, in exactly one group.

    Attributes:
        succeeded: EnKash did it.
        failed: EnKash refused it.
        unknown: It may or may not have happened: look it up, never resend it.
        not_sent: It provably never reached EnKash; safe to send again.
    """

    succeeded: tuple[BulkItem[T], ...] = ()
    failed: tuple[BulkItem[T], ...] = ()
    unknown: tuple[BulkItem[T], ...] = ()
    not_sent: tuple[BulkItem[T], ...] = ()

    def raise_for_failures(self) -> None:
        """Do nothing when every item succeeded.

        Raises:
            BulkError: Some did not; its `result` is this one.
        """
        if self.failed or self.unknown or self.not_sent:
            raise BulkError(
                f"{len(self.failed)} failed, {len(self.unknown)} unknown, {len(self.not_sent)} not sent, "
                f"{len(self.succeeded)} succeeded; see .result",
                result=self,
            )
