"""Waits for many bills at once: each bill has its own deadline, and one poller reads all bills together."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

import attrs

from enkash_async._flow.poller import Poller
from enkash_async._flow.verdicts import judge
from enkash_async._money.reads import Reads
from enkash_async._money.wait_looks import WaitLooks, is_over
from enkash_async.config import PollPolicy
from enkash_async.errors import EnkashError
from enkash_async.models import Bill

__all__ = ["Watch"]


@attrs.define
class _Watched:
    """A bill that callers wait for."""

    deadline: float
    settled: asyncio.Future[Bill | EnkashError | None]
    last: Bill | EnkashError | None = None


class Watch:
    """Polls bills until each is settled; an async context manager.

    Args:
        reads: Reads bills.
        poller: Provides the clock, the sleep and the random numbers.
        policy: Pauses between the looks.
        shortest: Seconds that each look gets at least.
    """

    def __init__(
        self, reads: Reads, poller: Poller, *, policy: PollPolicy = PollPolicy(), shortest: float = 30.0
    ) -> None:
        self._reads = reads
        self._poller = poller
        self._policy = policy
        self._shortest = shortest
        self._watched: dict[str, _Watched] = {}
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def settled(self, utility_enkash_id: str, seconds: float) -> Bill | EnkashError | None:
        """Wait until a bill is settled or the time is up; return its last state or error, or None if there is neither.

        Args:
            utility_enkash_id: EnKash's id of the bill.
            seconds: Seconds to wait. The last look begins after this time, so the call may take longer.
        """
        deadline = self._poller.clock() + seconds
        watched = self._watched.get(utility_enkash_id)
        if watched is None:
            watched = _Watched(deadline, asyncio.get_running_loop().create_future())
            self._watched[utility_enkash_id] = watched
        watched.deadline = max(watched.deadline, deadline)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._poll())
        return await asyncio.shield(watched.settled)

    async def _poll(self) -> None:
        looks = WaitLooks(self._reads)
        count = 0
        try:
            while self._watched:
                count += 1
                await self._look(looks)
                if self._watched:
                    await self._pause(self._policy.pause(count, self._poller.random))
        except BaseException:
            for watched in self._watched.values():
                watched.settled.cancel()
            raise

    async def _look(self, looks: WaitLooks) -> None:
        now = self._poller.clock()
        due = [one for one, watched in self._watched.items() if watched.deadline <= now]
        patience = max(self._shortest, *(watched.deadline - now for watched in self._watched.values()))
        found = await looks.look(list(self._watched), patience=patience, last=due)
        for one, seen in found.items():
            self._watched[one].last = seen
            if is_over(seen) or (isinstance(seen, EnkashError) and judge(seen).is_permanent):
                self._end(one)
        for one in due:
            if one in self._watched:
                self._end(one)

    async def _pause(self, seconds: float) -> None:
        """Wait until the next look is due, or until the earliest deadline."""
        left = min(watched.deadline for watched in self._watched.values()) - self._poller.clock()
        await self._poller.sleep(max(0.0, min(seconds, left)))

    def _end(self, one: str) -> None:
        watched = self._watched.pop(one)
        if not watched.settled.done():
            watched.settled.set_result(watched.last)
