"""Reads bills when they are due, so that webhooks are posted on time even if no call reads the bill."""

from __future__ import annotations

import asyncio

from enkash_async.sandbox._ledger import Ledger
from enkash_async.sandbox._tasks import TICK, Tasks

__all__ = ["Watch"]

# Number of bills to read before other tasks can run.
_AT_ONCE = 100


class Watch:
    """Reads the due bills of a ledger for as long as a webhook is registered and enabled.

    A ledger settles a bill only when the bill is read; without the watch, there would be no change to post.

    Args:
        ledger: Holds the bills and the registrations.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._tasks = Tasks()
        self._open = self._running = False

    def open(self) -> None:
        """Start watching; needs a running event loop."""
        self._open = True
        self.wake()

    def wake(self) -> None:
        """Resume watching if a bill waits for a change; call it when a bill changes or a webhook is registered."""
        if not self._running and self._wanted() and self._ledger.next_change() is not None:
            self._running = True
            self._tasks.start(self._run())

    def look(self) -> bool:
        """Read up to 100 due bills, if an enabled webhook is registered; return whether bills were due."""
        return self._wanted() and self._ledger.read_due(_AT_ONCE) > 0

    async def close(self) -> None:
        """Stop at once."""
        self._open = False
        await self._tasks.cancel()

    def _wanted(self) -> bool:
        return self._open and any(one.enabled for one in self._ledger.registrations.values())

    async def _run(self) -> None:
        try:
            while self._wanted() and (left := self._ledger.next_change()) is not None:
                self.look()
                await asyncio.sleep(min(max(left, 0.0), TICK))
        finally:
            # Clears the flag before the task ends, so that a bill that changes after the last look starts a new task.
            self._running = False
