"""Polling: look, pause, and look again, until the poll is done or the time is up."""

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

_SHORTEST_LOOK = 1.0  # seconds a look gets at least; less would cut off the last look before EnKash can answer


async def peek(call: Awaitable[T], patience: float) -> T | EnkashError:
    """Return the result of a request, or its error; after `patience` seconds, return a `RequestTimeoutError`."""
    try:
        async with asyncio.timeout(patience):
            return await call
    except EnkashError as problem:
        return problem
    except TimeoutError:
        return RequestTimeoutError(f"no answer within {patience:g} s")


@attrs.frozen
class Poller:
    """Polls with growing pauses; a test passes its own clock, sleep and random numbers.

    Args:
        clock: Returns monotonic seconds.
        sleep: Waits for the given seconds.
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
        """Look at once, then again after each pause, until a look reports the end or the time is up.

        The last look begins when the time is up and gets at least one second, so that this may end later by that look.

        Args:
            look: Called with the seconds that it may take; returns True to end the polling.
            seconds: How long to poll.
            pauses: The pauses between the looks.
            news: Ends a pause early when there is news.
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
