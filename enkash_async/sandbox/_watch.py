"""Sees to it that a bill that nobody reads changes in time."""

from __future__ import annotations

import asyncio

from enkash_async.sandbox._ledger import Ledger
from enkash_async.sandbox._tasks import Tasks

__all__ = ["Watch"]

# Seconds. The delays and a clock that a test moves may change at any time, and tell nobody.
_TICK = 0.02
# Bills that are read before others get a turn.
_AT_ONCE = 100


class Watch:
    """Reads the bills of a ledger that are due, for as long as a webhook wants to hear of them.

    A ledger works out settlements when a bill is read; without a reader there would be nothing to post.

    Args:
        ledger: Whose bills.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._tasks = Tasks()
        self._open = self._running = False

    def open(self) -> None:
        """Begin; inside a running event loop."""
        self._open = True
        self.wake()

    def wake(self) -> None:
        """Look again whether there is something to watch: a bill has changed, or a webhook was registered."""
        if not self._running and self._wanted() and self._ledger.next_change() is not None:
            self._running = True
            self._tasks.start(self._run())

    def look(self) -> bool:
        """Read some of the bills that are due, if a webhook wants to hear of them; return whether there were any."""
        return self._wanted() and self._ledger.read_due(_AT_ONCE) > 0

    async def close(self) -> None:
        """End at once."""
        self._open = False
        await self._tasks.cancel()

    def _wanted(self) -> bool:
        return self._open and any(one.enabled for one in self._ledger.registrations.values())

    async def _run(self) -> None:
        try:
            while self._wanted() and (left := self._ledger.next_change()) is not None:
                self.look()
                await asyncio.sleep(min(max(left, 0.0), _TICK))
        finally:
            # Noted here, since the task is over somewhat later than its last look, and a bill may change in between.
            self._running = False
