"""A virtual clock, for fast tests of code that waits for minutes."""

from __future__ import annotations

import asyncio
import math
import selectors
import struct
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

import attrs

from enkash_async.stores.store import Cell, Change, Store

__all__ = ["VirtualClock", "VirtualStore"]

_T = TypeVar("_T")

_END = struct.Struct("<d")  # written before each value: the time at which the record expires


class VirtualClock:
    """Runs event loops whose time leaps to the next timer when every task waits.

    `asyncio.sleep`, time-outs, token lifetimes and `MemoryStore` follow this clock. A store on a server follows the
    server's clock, unless you wrap the store with the method `store`::

        clock = VirtualClock()
        clock.run(test())  # `await asyncio.sleep(3600)` in it takes no time

    For pytest-asyncio or `asyncio.Runner`, pass `clock.new_event_loop` as the loop factory.

    Args:
        grace: Real seconds to wait for sockets and threads before time leaps. 0 suits a test without sockets and
            threads, and 0.05 a test with a server on this machine.
        patience: Real seconds to wait for sockets and threads while no timer is set; after that, the test counts as
            hanging, and `RuntimeError` is raised.
    """

    def __init__(self, *, grace: float = 0.0, patience: float = 10.0) -> None:
        self._grace = grace
        self._patience = patience
        self._now = 0.0

    def time(self) -> float:
        """Return the virtual time in seconds. It begins at 0, and a new event loop does not reset it."""
        return self._now

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        """Return an event loop that runs on this clock."""
        return _VirtualLoop(self)

    def run(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        """Run a coroutine in an event loop on this clock, and return its result."""
        with asyncio.Runner(loop_factory=self.new_event_loop) as runner:
            return runner.run(coroutine)

    def store(self, inner: Store, *, ahead: float = 0.0) -> VirtualStore:
        """Return a store that keeps its records in another store, and takes the time from this clock.

        Args:
            inner: Any store; closing the new store closes it too.
            ahead: Seconds by which the new store's clock is ahead of this clock; negative if it is behind.
        """
        return VirtualStore(self, inner, ahead)

    def wait(self, select: Callable[[float], list[_T]], timeout: float | None) -> list[_T]:
        """Wait for an event loop's sockets, or leap to its next timer; only the event loop calls this."""
        found = select(self._grace if timeout is None else min(self._grace, max(timeout, 0.0)))
        if found or timeout == 0:
            return found
        if timeout is None:
            return self._answered(select(self._patience))
        # An event loop runs only timers that were due before now, so the leap goes just beyond the timer.
        self._now = math.nextafter(self._now + timeout, math.inf)
        return select(0)

    @staticmethod
    def _answered(found: list[_T]) -> list[_T]:
        if not found:
            raise RuntimeError("every task waits, and no timer is set: the test hangs")
        return found


class _Selector(selectors.DefaultSelector):
    """A selector that waits as the virtual clock decides."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return self._clock.wait(super().select, timeout)


class _VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose `time` is virtual; the package's own clock then follows this time too."""

    def __init__(self, clock: VirtualClock) -> None:
        self._virtual_clock = clock
        super().__init__(_Selector(clock))

    def time(self) -> float:
        return self._virtual_clock.time()


@attrs.define
class VirtualStore:
    """Keeps records in another store, with the time of a virtual clock.

    Attributes:
        ahead: Seconds by which this store's clock is ahead of the virtual clock; a test may change it to set the
            store's clock forward or back.
    """

    _clock: VirtualClock
    _inner: Store
    ahead: float = 0.0

    async def read(self, keys: Sequence[str]) -> Mapping[str, Cell]:
        """Return the cell of every key."""
        cells = await self._inner.read(keys)
        now = self._now()
        return {key: Cell(_value(cells[key].value, now), now) for key in keys}

    async def swap(self, changes: Sequence[Change]) -> Sequence[bool]:
        """Make each change whose key still holds exactly `old`."""
        cells = await self._inner.read([change.key for change in changes])
        now = self._now()
        fitting = {one.key: one for one in changes if _value(cells[one.key].value, now) == one.old}
        made = await self._inner.swap([_wrapped(one, cells[one.key].value, now) for one in fitting.values()])
        done = dict(zip(fitting, made, strict=True))
        return [done.get(change.key, False) for change in changes]

    async def aclose(self) -> None:
        """Close the wrapped store."""
        await self._inner.aclose()

    def _now(self) -> float:
        return self._clock.time() + self.ahead


def _value(held: bytes | None, now: float) -> bytes | None:
    if held is None or _END.unpack_from(held)[0] <= now:
        return None
    return held[_END.size :]


def _wrapped(change: Change, held: bytes | None, now: float) -> Change:
    end = math.inf if change.keep is None else now + change.keep
    return Change(change.key, held, None if change.new is None else _END.pack(end) + change.new)
