"""The memory store: of the whole process, with its time, and in a child of fork."""

from __future__ import annotations

import tracemalloc

import msgspec
import pytest
from stores.stores import Skip, alone, in_child, put, value_of

from enkash_async.stores import MemoryStore, process_store


async def test_time_is_what_its_clock_says() -> None:
    """Records end by it, to the instant."""
    clock = Skip()
    store = MemoryStore(clock=clock)
    await put(store, "key", b"value")
    clock.ahead = 59
    assert await value_of(store, "key") == b"value"
    clock.ahead = 61
    assert await value_of(store, "key") is None


async def test_records_that_have_ended_are_removed() -> None:
    """Now and then, so that a long-lived process does not keep them all."""
    clock = Skip()
    store = MemoryStore(clock=clock)
    for number in range(2000):
        await put(store, f"key-{number}", b"value")
        clock.ahead += 1
    assert len(store._held) < 60 + 256 + 1
    assert await value_of(store, "key-1999") == b"value"


async def test_a_value_takes_no_more_than_its_bytes() -> None:
    """Bytes from msgspec keep the whole buffer in which they were written."""
    store, size, count = MemoryStore(), 300, 500
    tracemalloc.start()
    try:
        for number in range(count):
            await put(store, f"key-{number}", msgspec.json.encode("x" * (size - 2)))
        held = tracemalloc.get_traced_memory()[0]
        for number in range(count):
            store._held[f"key-{number}"] = b"", None
        held -= tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert size * count < held < 1.3 * size * count


def test_a_process_has_one_store() -> None:
    """Every caller gets the same; a store that a caller makes is another one."""
    assert process_store() is process_store()
    assert MemoryStore() is not process_store()


@pytest.mark.parametrize("pending", [True, False])
def test_the_declaration_is_carried(pending: bool) -> None:
    """False is the default."""
    assert MemoryStore(nothing_pending=pending).nothing_pending is pending
    assert MemoryStore().nothing_pending is False


def test_a_child_begins_with_a_copy_and_shares_nothing() -> None:
    """Also when another thread held the lock when it was born."""
    store = MemoryStore()
    alone(put(store, "key", b"parent's"))
    with store._lock:
        assert in_child(lambda: alone(_childs_life(store)))
    assert alone(value_of(store, "key")) == b"parent's"


async def _childs_life(store: MemoryStore) -> bool:
    return await value_of(store, "key") == b"parent's" and await put(store, "key", b"child's", b"parent's")
