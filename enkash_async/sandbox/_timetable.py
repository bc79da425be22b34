"""Finds the payment that is the next to change with time, without a call."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TypeAlias

from enkash_async.sandbox._payment import WAITING, Stage, UtilityPayment

__all__ = ["Timetable"]

# An entry: when the payment began to wait, the number of the entry, and the payment's id.
_Entry: TypeAlias = tuple[datetime, int, str]


class Timetable:
    """The payments that wait for their settlement, for their refund or for another try.

    Avoids a scan of all payments: within a stage, the delay is the same for every payment, so the payment that has
    waited longest changes first.

    Args:
        payments: Every payment by its id, as it was last read.
    """

    def __init__(self, payments: Mapping[str, UtilityPayment]) -> None:
        self._payments = payments
        self._entries = itertools.count()
        # Heaps, since a test may change the delays meanwhile, so that payments enter a stage out of order.
        self._waiting: dict[Stage, list[_Entry]] = {stage: [] for stage in WAITING}

    def enter(self, payment: UtilityPayment) -> None:
        """Record that a payment has entered a stage; ignores stages that do not end by themselves."""
        if payment.stage in WAITING:
            heapq.heappush(
                self._waiting[payment.stage], (payment.since, next(self._entries), payment.utility_enkash_id)
            )

    def first(self) -> Iterator[tuple[str, UtilityPayment]]:
        """Yield, for each stage with waiting payments, the id and the value of the payment that has waited longest."""
        for stage, waiting in self._waiting.items():
            # Drops the entries of payments that are no longer in this stage.
            while waiting and self._payments[waiting[0][-1]].stage is not stage:
                heapq.heappop(waiting)
            if waiting:
                key = waiting[0][-1]
                yield key, self._payments[key]
