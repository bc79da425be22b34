"""Looking again and again at something that takes its time, until it shows or the time is up."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import attrs

from enkash_async._flow.notifier import News
from enkash_async._support.clock import loop_now
from enkash_async.config import PollPolicy
from enkash_async.errors import EnkashError, RequestTimeoutError

__all__ = ["Poller", "peek"]

T = TypeVar("T")

_SHORTEST_LOOK = 1.0  # seconds; less would cut off the look at the end of a wait before it can be answered


async def peek(call: Awaitable[T], patience: float) -> T | EnkashError:
    """Return the result of one look, or what it failed with; it is given so many seconds."""
    try:
        async with asyncio.timeout(patience):
            return await call
    except EnkashError as problem:
        return problem
    except TimeoutError:
        return RequestTimeoutError(f"no answer within {patience:g} s")


@attrs.frozen
class Poller:
    """Time, pauses and chance for those who look again and again.

    Args:
        clock: Monotonic seconds.
        sleep: Waits so many seconds.
        random: Returns a number in [0, 1), for jitter.
    """

    clock: Callable[[], float] = loop_now
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    random: Callable[[], float] = random.random

    async def until(
        self,
        look: Callable[[float], Awaitable[bool]],
        *,
        seconds: float,
        pauses: PollPolicy,
        news: News | None = None,
    ) -> None:
        """Look at once and then after each pause, until there is no more to see or the time is up.

        The last look is made when the time is up, and each gets a second at least, so this may end that much later.

        Args:
            look: Is given the seconds that it may take, and returns whether it saw all there is to see.
            seconds: How long to go on.
            pauses: How long to wait between the looks.
            news: Ends a pause early.
        """
        deadline = self.clock() + seconds
        looks = 0
        while True:
            looks += 1
            if await look(max(deadline - self.clock(), _SHORTEST_LOOK)):
                return
            left = deadline - self.clock()
            if left <= 0:
                return
            await self._pause(min(pauses.pause(looks, self.random), left), news)

    async def _pause(self, seconds: float, news: News | None) -> None:
        if news is None:
            await self.sleep(seconds)
            return
        pause = asyncio.ensure_future(self.sleep(seconds))
        arrival = asyncio.ensure_future(news.wait())
        try:
            await asyncio.wait((pause, arrival), return_when=asyncio.FIRST_COMPLETED)
            if pause.done():
                pause.result()
        finally:
            pause.cancel()
            arrival.cancel()
