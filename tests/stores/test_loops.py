"""A store that outlives event loops: no descriptor of a loop that has ended stays open, however it ended."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from loops import ENDS, descriptors, falls_to, in_runner
from stores.stores import count_up

from enkash_async.stores import SQLiteStore, Store, open_store
from enkash_async.stores.postgres import PostgresStore

from servers import FLAVOURS, Postgres, running

KEY = "enkash:test:loops"


@pytest.fixture(params=["sqlite", "postgres", *list(FLAVOURS)[:1]])
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Store]]:
    """Makes stores of each kind that opens something."""
    if request.param == "sqlite":
        yield lambda: SQLiteStore(tmp_path / "store.sqlite3")
    elif request.param == "postgres":
        postgres: Postgres = request.getfixturevalue("postgres")
        yield lambda: PostgresStore(postgres.dsn)
    else:
        with running(request.param, tmp_path / "server") as server:
            yield lambda: open_store(server.url)


@pytest.mark.parametrize("end", ENDS)
def test_many_loops_use_one_store(made: Callable[[], Store], end: str) -> None:
    """Twenty loops cost no more descriptors than one; after `aclose` there is none."""
    warm = made()
    in_runner(count_up(warm, KEY))
    in_runner(warm.aclose())
    before = descriptors()
    store = made()
    ENDS[end](count_up(store, KEY, 3))
    used = descriptors()
    for _ in range(20):
        ENDS[end](count_up(store, KEY, 3))
    assert falls_to(used)
    in_runner(store.aclose())
    gc.collect()
    assert falls_to(before)


def test_each_loop_has_a_store_of_its_own(made: Callable[[], Store]) -> None:
    """As in a task that makes and closes a client each time."""

    async def life() -> None:
        store = made()
        await asyncio.gather(*(count_up(store, f"{KEY}:{number}") for number in range(3)))
        await store.aclose()

    in_runner(life())
    before = descriptors()
    for _ in range(10):
        in_runner(life())
    assert falls_to(before)


def test_a_store_that_is_closed_during_calls_leaves_nothing(made: Callable[[], Store]) -> None:
    """A call under way ends one way or the other, and its connection is closed as well."""

    async def life() -> None:
        store = made()
        await count_up(store, KEY)
        calls = [asyncio.create_task(count_up(store, f"{KEY}:{number}")) for number in range(3)]
        await asyncio.sleep(0)
        await store.aclose()
        await asyncio.gather(*calls, return_exceptions=True)

    in_runner(life())
    before = descriptors()
    for _ in range(10):
        in_runner(life())
    assert falls_to(before)
