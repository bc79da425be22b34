"""The locks of a file in use: nothing that this process does beside the store drops them."""

from __future__ import annotations

import asyncio
import functools
import os
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from stores.stores import put, value_of

from enkash_async.stores import SQLiteStore, default_store, user_store_path
from enkash_async.stores.filesystems import make_file
from enkash_async.testing.racing import racers

KEY = "enkash:test:v2:key"
OTHER = "enkash:test:v2:other"


def look_from_outside(path: Path) -> None:
    """Have another process open the file and close it; where it takes itself for the last one, it deletes the log."""
    with racers(1, functools.partial(SQLiteStore, path)):
        pass


async def ask_for_the_default(path: Path) -> None:
    """As a second `EnkashClient.from_env()` does."""
    assert path == user_store_path()
    store = default_store()
    assert isinstance(store, SQLiteStore)
    await store.aclose()


async def use_a_second_store(path: Path) -> None:
    """Open the file once more, and close it."""
    store = SQLiteStore(path)
    assert await value_of(store, KEY) == b"value"
    await store.aclose()


async def make_it(path: Path) -> None:
    """As every store does that opens the file."""
    make_file(path)


@pytest.mark.parametrize("beside", [ask_for_the_default, use_a_second_store, make_it])
async def test_writes_of_all_processes_last(beside: Callable[[Path], Awaitable[None]]) -> None:
    """A process that opens and closes the file meanwhile deletes no log that this process goes on to write to."""
    path = user_store_path()
    store = SQLiteStore(path)
    assert await put(store, KEY, b"value")
    await beside(path)
    await asyncio.to_thread(look_from_outside, path)
    assert path.with_name(f"{path.name}-wal").exists()
    assert await put(store, OTHER, b"mine")
    with racers(1, functools.partial(SQLiteStore, path)) as [other]:
        other.start(f"take {OTHER}")
        assert other.line() == "False"
        other.start(f"take {KEY}-theirs")
        assert other.line() == "True"
    await store.aclose()
    again = SQLiteStore(path)
    assert [await value_of(again, key) is not None for key in (KEY, OTHER, f"{KEY}-theirs")] == [True, True, True]
    await again.aclose()


def test_a_file_is_closed_before_another_thread_may_open_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the end of the making would drop the locks that the other thread's store has taken meanwhile."""
    path = tmp_path / "store"
    events: list[str] = []
    is_made, close = threading.Event(), os.close

    def slow_close(descriptor: int) -> None:
        is_first = not is_made.is_set()
        is_made.set()
        if is_first:
            second.join(0.3)
        close(descriptor)
        if is_first:
            events.append("closed")

    def open_too() -> None:
        is_made.wait()
        make_file(path)
        events.append("may be opened")

    second = threading.Thread(target=open_too)
    second.start()
    monkeypatch.setattr(os, "close", slow_close)
    make_file(path)
    second.join()
    assert events == ["closed", "may be opened"]
