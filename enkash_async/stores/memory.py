"""A store in the memory of one process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence

from enkash_async._support.clock import instant
from enkash_async._support.forks import reset_after_fork
from enkash_async.stores.store import Cell, Change

__all__ = ["FallbackStore", "MemoryStore", "process_store"]

_SWEEP_EVERY = 256  # calls of `swap` after which expired records are removed


class MemoryStore:
    """Shares records within one process, between all its event loops and threads.

    A child process made by `fork` begins with a copy of the records, and then neither process sees the changes of the
    other. The child's copy shows calls that were in flight before the fork, but never gets the results of these calls.

    Args:
        nothing_pending: Declare that no confirmation of a debit is under way anywhere; see `Store`.
        clock: Returns seconds, including those in which the machine sleeps; under virtual time, the event loop's time.
    """

    def __init__(self, *, nothing_pending: bool = False, clock: Callable[[], float] = instant) -> None:
        self.nothing_pending = nothing_pending
        self._clock = clock
        self._held: dict[str, tuple[bytes, float | None]] = {}
        self._swaps = 0
        self._lock = threading.Lock()
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Replace the lock, since a thread of the parent may have held it. The records stay: each change is atomic."""
        self._lock = threading.Lock()

    async def read(self, keys: Sequence[str]) -> Mapping[str, Cell]:
        """Return the cell of every key."""
        with self._lock:
            now = self._clock()
            return {key: Cell(self._value(key, now), now) for key in keys}

    async def swap(self, changes: Sequence[Change]) -> Sequence[bool]:
        """Make each change whose key still holds exactly `old`."""
        with self._lock:
            now = self._clock()
            self._sweep(now)
            return [self._change(change, now) for change in changes]

    async def aclose(self) -> None:
        """Do nothing: other callers of this process may use the store, and there is no connection to close."""

    def _value(self, key: str, now: float) -> bytes | None:
        value, end = self._held.get(key, (None, None))
        return None if end is not None and end <= now else value

    def _change(self, change: Change, now: float) -> bool:
        if self._value(change.key, now) != change.old:
            return False
        if change.new is None:
            self._held.pop(change.key, None)
        else:
            # Copied, since bytes from msgspec keep the whole buffer in which they were written, a third more.
            value = bytes(memoryview(change.new))
            self._held[change.key] = value, None if change.keep is None else now + change.keep
        return True

    def _sweep(self, now: float) -> None:
        self._swaps += 1
        if self._swaps % _SWEEP_EVERY == 0:
            for key in [key for key in self._held if self._value(key, now) is None]:
                del self._held[key]


class FallbackStore(MemoryStore):
    """The memory store that is used if no file can be made; for tokens only, never for debits."""


class _DeclaredStore(MemoryStore):
    """The process's memory store with `nothing_pending` set, for the callers who declare that nothing is pending."""

    async def read(self, keys: Sequence[str]) -> Mapping[str, Cell]:
        """Return the cell of every key."""
        return await _process_store.read(keys)

    async def swap(self, changes: Sequence[Change]) -> Sequence[bool]:
        """Make each change whose key still holds exactly `old`."""
        return await _process_store.swap(changes)


_process_store = MemoryStore()
_declared_store = _DeclaredStore(nothing_pending=True)


def process_store(*, nothing_pending: bool = False) -> MemoryStore:
    """Return the one memory store of this process, through which its clients share login, guard and debits.

    Args:
        nothing_pending: Declare that no confirmation of a debit is under way anywhere. The returned store has the same
            records; only the declaration differs.
    """
    return _declared_store if nothing_pending else _process_store
