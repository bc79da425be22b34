"""Lets requests begin: how many are under way, how fast they begin, and when none may."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

from enkash_async._support.clock import loop_now
from enkash_async.config import Limits

__all__ = ["Gate"]

#: Bounds of the interval in seconds and of the burst, far beyond any use, so that their sums and product stay finite.
_LONGEST, _MOST = 1e9, 10**9


class Gate:
    """What every request of one client passes: first a slot, then its turn.

    Args:
        limits: How many at once, and how fast.
        clock: Monotonic seconds.
        sleep: Waits so many seconds; to wake a little early or late does no harm.

    Attributes:
        decode_lock: Held while a large reply is read, so that large replies are read one after the other.
    """

    # Semaphore and Lock of asyncio are queues here. Since Python 3.11.0 (gh-90155) both hand over in the order of
    # arrival: who arrives while one that was woken has not yet run lines up behind it, and one that is cancelled after
    # it was woken wakes the next. So nobody overtakes, and no place is lost or doubled.

    def __init__(
        self,
        limits: Limits,
        *,
        clock: Callable[[], float] = loop_now,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._places = asyncio.Semaphore(limits.concurrency)
        self._queue = asyncio.Lock()
        self.decode_lock: asyncio.Lock = asyncio.Lock()
        self._in_line = 0
        # The generic cell rate algorithm: at a steady rate the next request would be due at `_due`, and it may come
        # early by the tolerance. One number is the whole state, so there is nothing to refill and nothing to drift.
        self._interval = min(1 / limits.rate, _LONGEST) if limits.rate is not None else 0.0
        self._tolerance = min(limits.burst - 1, _MOST) * self._interval
        self._due = -math.inf
        self._reopens = -math.inf

    def slot(self) -> AbstractAsyncContextManager[None]:
        """Hold one of the places for requests under way, waiting in line for it."""
        return self._places

    async def turn(self) -> None:
        """Wait until the gate is open and the rate allows one more request, first come, first served.

        Who is cancelled while waiting uses nothing up and holds up nobody.
        """
        if self._interval == 0 and not self._in_line and self._reopens <= self._clock():
            return  # no rate to keep, and nobody to overtake
        self._in_line += 1
        try:
            async with self._queue:
                # Only the first in line sleeps. It looks again each time, since meanwhile the gate may have been closed
                # for longer, and `sleep` may have woken it early.
                while (wait := self._wait()) > 0:
                    await self._sleep(wait)
                # Nothing is awaited from here on: a turn is either taken and returned, or neither.
                self._due = max(self._due, self._clock()) + self._interval
        finally:
            self._in_line -= 1

    def pause(self, seconds: float) -> None:
        """Let nobody begin for a while; those who already wait in `turn` are held up too.

        Args:
            seconds: From now on; it can put off the reopening and never brings it forward. What is no finite number
                above zero changes nothing, since a gate that never reopens would be a dead client.
        """
        if 0 < seconds < math.inf:
            self._reopens = max(self._reopens, self._clock() + seconds)

    def _wait(self) -> float:
        return max(self._reopens, self._due - self._tolerance) - self._clock()
