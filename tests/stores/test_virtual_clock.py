"""Virtual time: hours pass at once, for tasks and for stores."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from stores.stores import put, value_of

from enkash_async._support.clock import instant
from enkash_async._support.clock import machine as boottime
from enkash_async.stores import MemoryStore, SQLiteStore, Store
from enkash_async.testing import StoreContract, VirtualClock


def test_a_long_sleep_takes_no_time() -> None:
    """And the loop's time has passed."""
    clock = VirtualClock()
    began = time.monotonic()
    clock.run(asyncio.sleep(86400))
    assert 86400 <= clock.time() < 86401
    assert time.monotonic() - began < 5


def test_timers_fire_in_their_order_at_their_time() -> None:
    """Also those of other tasks and of time-outs."""
    clock = VirtualClock()
    seen: list[tuple[str, float]] = []

    async def wait(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        seen.append((name, round(asyncio.get_running_loop().time(), 3)))

    async def late() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60):
                await wait("never", 3600)
        seen.append(("timed out", round(clock.time(), 3)))

    async def test() -> None:
        await asyncio.gather(wait("b", 90), wait("a", 30), late())

    clock.run(test())
    assert seen == [("a", 30), ("timed out", 60), ("b", 90)]


def test_instants_follow_the_loop_only_where_it_is_virtual() -> None:
    """Elsewhere they are the machine's."""

    async def now() -> float:
        await asyncio.sleep(0.001)
        return instant()

    assert VirtualClock().run(now()) < 1
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        assert abs(runner.run(now()) - boottime()) < 5
    assert abs(instant() - boottime()) < 5


def test_a_memory_store_ends_its_records_by_it() -> None:
    """To the second."""

    async def test() -> None:
        store = MemoryStore()
        await put(store, "key", b"value")
        await asyncio.sleep(59)
        assert await value_of(store, "key") == b"value"
        await asyncio.sleep(2)
        assert await value_of(store, "key") is None

    VirtualClock().run(test())


@pytest.mark.parametrize("kind", ["memory", "file"])
def test_a_wrapped_store_ends_its_records_by_it(tmp_path: Path, kind: str) -> None:
    """Though the inner one has a clock of its own, and answers from a thread."""
    clock = VirtualClock(grace=0.05)
    makers: dict[str, Callable[[], Store]] = {
        "memory": MemoryStore,
        "file": functools.partial(SQLiteStore, tmp_path / "store"),
    }

    async def test() -> None:
        store = clock.store(makers[kind]())
        await put(store, "key", b"value")
        began = (await store.read(["key"]))["key"].now
        await asyncio.sleep(3600)
        assert await value_of(store, "key") is None
        assert 3599 < (await store.read(["key"]))["key"].now - began < 3610
        assert await put(store, "key", b"new")
        await store.aclose()

    clock.run(test())


def test_the_clock_of_a_store_can_be_set_back() -> None:
    """That is what a transition has to cope with."""
    clock = VirtualClock()

    async def test() -> None:
        store = clock.store(MemoryStore(), ahead=100)
        first = (await store.read(["key"]))["key"].now
        store.ahead -= 3600
        assert (await store.read(["key"]))["key"].now == first - 3600

    clock.run(test())


def test_a_test_that_hangs_ends() -> None:
    """With a word on why."""

    async def wait() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(RuntimeError, match="the test hangs"):
        VirtualClock(patience=0.05).run(wait())


class _RealTime(VirtualClock):
    """Tells the machine's time, so that the contract can be run over a wrapped store."""

    def time(self) -> float:
        return time.monotonic()


class TestWrappedStore(StoreContract):
    across_processes = False

    @pytest.fixture
    def store(self) -> Store:
        return _RealTime().store(MemoryStore())
