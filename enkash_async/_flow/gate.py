"""Limits requests: how many are in flight, how many begin in a second, and for how long no request may begin."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

from enkash_async._support.clock import loop_now
from enkash_async.config import Limits

__all__ = ["Gate"]

#: Largest interval (seconds) and burst (requests): larger than any use needs, yet their product is finite.
_LONGEST, _MOST = 1e9, 10**9


class Gate:
    """Limits the requests of one client: each request first takes a slot, and then waits for its turn.

    Args:
        limits: How many requests may be in flight at once, and how many may begin in a second.
        clock: Returns monotonic seconds.
        sleep: Waits for the given seconds; it may wake a little early or late.

    Attributes:
        decode_lock: Held while a large reply is decoded, so that large replies are decoded one after the other.
    """

    # asyncio's Semaphore and Lock serve as queues here. Since Python 3.11.0 (gh-90155) both are first come, first
    # served: a new task lines up behind a task that was woken but has not run yet; if the woken task is cancelled, it
    # wakes the next task. So no task overtakes another, and no slot is lost or granted twice.

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
        # The generic cell rate algorithm: at a steady rate the next request is due at `_due`, and the request may begin
        # earlier by `_tolerance`. `_due` is the whole state, so there is nothing to refill, and nothing drifts.
        self._interval = min(1 / limits.rate, _LONGEST) if limits.rate is not None else 0.0
        self._tolerance = min(limits.burst - 1, _MOST) * self._interval
        self._due = -math.inf
        self._reopens = -math.inf

    def slot(self) -> AbstractAsyncContextManager[None]:
        """Return a context manager that waits for a slot and holds it for one request in flight."""
        return self._places

    async def turn(self) -> None:
        """Wait until the gate is open and the rate allows one more request, first come, first served.

        A caller that is cancelled while waiting uses up no turn and does not delay the others.
        """
        if self._interval == 0 and not self._in_line and self._reopens <= self._clock():
            return  # no rate limits this request, and no other caller waits
        self._in_line += 1
        try:
            async with self._queue:
                # Only the first task in line sleeps. It checks again after each sleep, since `pause` may have closed
                # the gate for longer meanwhile, and `sleep` may have ended early.
                while (wait := self._wait()) > 0:
                    await self._sleep(wait)
                # No `await` from here on, since a cancellation there would use up a turn that the caller never gets.
                self._due = max(self._due, self._clock()) + self._interval
        finally:
            self._in_line -= 1

    def pause(self, seconds: float) -> None:
        """Close the gate for a while, also for callers that already wait in `turn`.

        Args:
            seconds: Seconds from now. An earlier pause that lasts longer is kept. Values that are not above zero or not
                finite are ignored: a gate that never reopens would stop the client for good.
        """
        if 0 < seconds < math.inf:
            self._reopens = max(self._reopens, self._clock() + seconds)

    def _wait(self) -> float:
        return max(self._reopens, self._due - self._tolerance) - self._clock()
