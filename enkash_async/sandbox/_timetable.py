"""Which payments change by themselves, and which of them is the first."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TypeAlias

from enkash_async.sandbox._payment import Stage, UtilityPayment

__all__ = ["Timetable"]

# Since when, the order of entry, the payment's id.
_Entry: TypeAlias = tuple[datetime, int, str]


class Timetable:
    """The payments that wait for their settlement or for their refund.

    In each of these two stages the one that has waited longest is the first to change, whatever the delays are just
    now, so that nobody has to look through all of them.

    Args:
        payments: Every payment as it was last seen, by id.
    """

    def __init__(self, payments: Mapping[str, UtilityPayment]) -> None:
        self._payments = payments
        self._entries = itertools.count()
        # Not a plain queue: after a change of the delays a later refund can be due before an earlier one is entered.
        self._waiting: dict[Stage, list[_Entry]] = {Stage.CONFIRMED: [], Stage.REFUNDING: []}

    def enter(self, payment: UtilityPayment) -> None:
        """Note that a payment has come to a stage; one that waits for nothing is passed over."""
        since = payment.waits_since
        if since is not None:
            heapq.heappush(self._waiting[payment.stage], (since, next(self._entries), payment.utility_enkash_id))

    def first(self) -> Iterator[tuple[str, UtilityPayment]]:
        """Give the payment that has waited longest in each stage where one waits, and its id before it."""
        for stage, waiting in self._waiting.items():
            # One that was read in the meantime has gone on, and left its entry behind.
            while waiting and self._payments[waiting[0][-1]].stage is not stage:
                heapq.heappop(waiting)
            if waiting:
                key = waiting[0][-1]
                yield key, self._payments[key]
