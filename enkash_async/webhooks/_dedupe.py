"""The record of handled events (claim, handle, commit), and its form in the memory of one process."""

from __future__ import annotations

import enum
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import attrs

from enkash_async._support import checks
from enkash_async._support.clock import loop_now
from enkash_async.errors import ConfigurationError

__all__ = ["KEEP", "LEASE", "Claimed", "Dedupe", "MemoryDedupe", "seconds"]

KEEP = 7 * 24 * 3600.0  # seconds; EnKash documents no resends, and other services resend for less than a week
LEASE = 30.0  # seconds; the longest wait for the event of a worker that died
_MOST = 100_000  # events; about 20 MB


class Claimed(enum.Enum):
    """The answer to a claim on an event."""

    MINE = "mine"  # the caller has it: handle it, then commit or release
    HELD = "held"  # another worker handles it now
    DONE = "done"  # it was handled before


@runtime_checkable
class Dedupe(Protocol):
    """A record of handled events, shared by all workers that may receive the same event.

    A worker claims an event before it handles it, and commits it afterwards. A claim is a lease, which the worker
    extends while it works. If the worker dies, the lease ends, and another worker can claim the event.

    Attributes:
        lease: Seconds for which a claim holds unless it is extended.
    """

    @property
    def lease(self) -> float:
        """Seconds for which a claim holds unless it is extended."""
        ...

    async def claim(self, key: str, owner: str) -> Claimed:
        """Ask for the right to handle an event; `owner` names this attempt, and may ask again for the same answer."""
        ...

    async def extend(self, key: str, owner: str) -> bool:
        """Restart the owner's lease; return False if the owner holds none any more."""
        ...

    async def commit(self, key: str, owner: str) -> bool:
        """Note that an event was handled; return False if the lease had ended, so that another may handle it too."""
        ...

    async def release(self, key: str, owner: str) -> None:
        """Give up the owner's claim, so that the next post of the event is handled."""
        ...


def seconds(value: float, name: str) -> float:
    """Return a positive number of seconds.

    Raises:
        ConfigurationError: The value is not a positive number of seconds.
    """
    return float(checks.number(value, name, above=0, below=10**9, unit="seconds", error=ConfigurationError))


@attrs.define
class _Entry:
    owner: str
    until: float
    is_done: bool


class MemoryDedupe:
    """Keeps the record in the memory of this process: enough for one worker, and lost when the process ends.

    Args:
        keep: Seconds for which a handled event is remembered; a week by default.
        lease: Seconds for which a claim holds unless it is extended.
        max_events: The most events to remember; beyond that the oldest are forgotten.
        clock: Returns monotonic seconds.

    Raises:
        ConfigurationError: An argument is unusable.
    """

    def __init__(
        self,
        *,
        keep: float = KEEP,
        lease: float = LEASE,
        max_events: int = _MOST,
        clock: Callable[[], float] = loop_now,
    ) -> None:
        checks.number(max_events, "max_events", least=1, whole=True, error=ConfigurationError)
        self._keep = seconds(keep, "keep")
        self._lease = seconds(lease, "lease")
        self._most = max_events
        self._clock = clock
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._lock = threading.Lock()  # one process may run several event loops in threads

    @property
    def lease(self) -> float:
        """Seconds for which a claim holds unless it is extended."""
        return self._lease

    async def claim(self, key: str, owner: str) -> Claimed:
        """Ask for the right to handle an event; see `Dedupe.claim`."""
        with self._lock:
            entry = self._known(key)
            if entry is not None and entry.is_done:
                return Claimed.DONE
            if entry is not None and entry.owner != owner:
                return Claimed.HELD
            self._note(key, owner, self._lease)
            return Claimed.MINE

    async def extend(self, key: str, owner: str) -> bool:
        """Restart the owner's lease; see `Dedupe.extend`."""
        with self._lock:
            held = self._is_held(key, owner)
            if held:
                self._note(key, owner, self._lease)
            return held

    async def commit(self, key: str, owner: str) -> bool:
        """Note that an event was handled; see `Dedupe.commit`."""
        with self._lock:
            entry = self._known(key)
            self._note(key, owner, self._keep, is_done=True)
            return entry is not None and entry.owner == owner

    async def release(self, key: str, owner: str) -> None:
        """Give up the owner's claim; see `Dedupe.release`."""
        with self._lock:
            if self._is_held(key, owner):
                del self._entries[key]

    def _known(self, key: str) -> _Entry | None:
        entry = self._entries.get(key)
        return None if entry is None or entry.until <= self._clock() else entry

    def _is_held(self, key: str, owner: str) -> bool:
        entry = self._known(key)
        return entry is not None and entry.owner == owner and not entry.is_done

    def _note(self, key: str, owner: str, duration: float, *, is_done: bool = False) -> None:
        now = self._clock()
        self._entries[key] = _Entry(owner, now + duration, is_done)
        self._entries.move_to_end(key)
        while len(self._entries) > self._most or self._first().until < now:
            self._entries.popitem(last=False)

    def _first(self) -> _Entry:
        return next(iter(self._entries.values()))
