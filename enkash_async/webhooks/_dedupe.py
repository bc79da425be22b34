"""Which events were handled: claim, handle, commit; and the record of it in the memory of one process."""

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

KEEP = 7 * 24 * 3600.0  # seconds; EnKash documents no resends, and a week outlasts any that others make
LEASE = 30.0  # seconds
_MOST = 100_000  # events; some 20 MB


class Claimed(enum.Enum):
    """What a claim on an event came to."""

    MINE = "mine"  # handle it, then commit or release
    HELD = "held"  # another worker has it in hand
    DONE = "done"  # it was handled


@runtime_checkable
class Dedupe(Protocol):
    """A record of handled events, which all workers that could receive the same one share.

    An event is claimed before it is handled, and committed after it. A claim is a lease: the worker that holds it
    extends it while it works; where that worker is gone, the lease ends and the next post of the event is taken over.

    Attributes:
        lease: Seconds that a claim holds without being extended.
    """

    @property
    def lease(self) -> float:
        """Seconds that a claim holds without being extended."""
        ...

    async def claim(self, key: str, owner: str) -> Claimed:
        """Ask for the right to handle an event; asked again by the same owner, the answer is the same."""
        ...

    async def extend(self, key: str, owner: str) -> bool:
        """Begin the owner's lease anew; False when it holds none any more."""
        ...

    async def commit(self, key: str, owner: str) -> bool:
        """Note that an event was handled; False when the owner had lost its lease, and another may have begun."""
        ...

    async def release(self, key: str, owner: str) -> None:
        """Give the owner's claim back, so that the next post of the event is handled."""
        ...


def seconds(value: float, name: str) -> float:
    """Return a positive number of seconds.

    Raises:
        ConfigurationError: It is none.
    """
    return float(checks.number(value, name, above=0, below=10**9, unit="seconds", error=ConfigurationError))


@attrs.define
class _Entry:
    owner: str
    until: float
    is_done: bool


class MemoryDedupe:
    """Keeps the record in this process: enough for one worker, and forgotten when it ends.

    Args:
        keep: Seconds for which a handled event is known.
        lease: Seconds after which a claim that is not extended is given to another.
        max_events: How many events are known at most; beyond it the oldest are forgotten.
        clock: Monotonic seconds.

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
        self._lock = threading.Lock()  # a process may receive in several event loops

    @property
    def lease(self) -> float:
        """Seconds that a claim holds without being extended."""
        return self._lease

    async def claim(self, key: str, owner: str) -> Claimed:
        """Ask for the right to handle an event; as in `Dedupe.claim`."""
        with self._lock:
            entry = self._known(key)
            if entry is not None and entry.is_done:
                return Claimed.DONE
            if entry is not None and entry.owner != owner:
                return Claimed.HELD
            self._note(key, owner, self._lease)
            return Claimed.MINE

    async def extend(self, key: str, owner: str) -> bool:
        """Begin the owner's lease anew; as in `Dedupe.extend`."""
        with self._lock:
            held = self._is_held(key, owner)
            if held:
                self._note(key, owner, self._lease)
            return held

    async def commit(self, key: str, owner: str) -> bool:
        """Note that an event was handled; as in `Dedupe.commit`."""
        with self._lock:
            entry = self._known(key)
            self._note(key, owner, self._keep, is_done=True)
            return entry is not None and entry.owner == owner

    async def release(self, key: str, owner: str) -> None:
        """Give the owner's claim back; as in `Dedupe.release`."""
        with self._lock:
            if self._is_held(key, owner):
                del self._entries[key]

    def _known(self, key: str) -> _Entry | None:
        entry = self._entries.get(key)
        return None if entry is None or entry.until <= self._clock() else entry

    def _is_held(self, key: str, owner: str) -> bool:
        entry = self._known(key)
        return entry is not None and entry.owner == owner and not entry.is_done

    def _note(self, key: str, owner: str, lasting: float, *, is_done: bool = False) -> None:
        now = self._clock()
        self._entries[key] = _Entry(owner, now + lasting, is_done)
        self._entries.move_to_end(key)
        while len(self._entries) > self._most or self._first().until < now:
            self._entries.popitem(last=False)

    def _first(self) -> _Entry:
        return next(iter(self._entries.values()))
