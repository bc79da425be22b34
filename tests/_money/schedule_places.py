"""The stores that the workers of a schedule share, and the faults that a test can strike them with."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager, closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import attrs

from enkash_async._money.birth import BIRTH, Birth
from enkash_async._money.debit_keys import BIRTHS
from enkash_async._money.debit_record import DEBIT
from enkash_async._money.instants import Instant
from enkash_async.stores import Change, open_store
from enkash_async.stores.postgres import table_statement

from servers import FLAVOURS, HOST, Postgres, Server, running, running_postgres, wait_until

__all__ = ["KINDS", "REDIS", "Open", "Place", "opened", "places"]

REDIS = next(iter(FLAVOURS), "none")
KINDS = ("sqlite", REDIS, "postgres")

_AGE = 7_200.0  # seconds since the birth of a store that is old
_BEHIND = 0.01  # the most seconds that a replica is behind when it is promoted


@attrs.frozen
class Place:
    """One store.

    Attributes:
        url: Where it is.
        strikes: Faults by name: `empty` loses all records, `fail over` loses the last write of some.
    """

    url: str
    strikes: Mapping[str, Callable[[], object]]


#: Opens an empty store, given the number of the schedule, a folder, and whether it can fail over.
Open: TypeAlias = Callable[[int, Path, bool], AbstractContextManager[Place]]


@asynccontextmanager
async def opened(
    open_place: Open, number: int, folder: Path, *, fails_over: bool, is_old: bool
) -> AsyncIterator[Place]:
    """Open a store that is empty and new, or empty and old; its servers are started and ended in a thread."""
    stack = ExitStack()
    await asyncio.to_thread(partial(folder.mkdir, parents=True))
    try:
        place = await asyncio.to_thread(stack.enter_context, open_place(number, folder, fails_over))
        if is_old:
            await _make_old(place)
        yield place
    finally:
        await asyncio.to_thread(stack.close)


async def _make_old(place: Place) -> None:
    """Write birth records that are two hours old."""
    store = open_store(place.url)
    try:
        cells = await store.read(BIRTHS)
        at = Instant(cells[BIRTHS[0]].now - _AGE, time.time() - _AGE)
        births = [Birth(f"before-{number}", at, revision=1) for number, _ in enumerate(BIRTHS)]
        changes = [Change(key, None, BIRTH.codec.encode(birth)) for key, birth in zip(BIRTHS, births, strict=True)]
        assert all(await store.swap(changes))
    finally:
        await store.aclose()


@contextmanager
def places(kind: str, folder: Path) -> Iterator[Open]:
    """Run what all stores of one kind need, and hand out how to open one."""
    if kind == "sqlite":
        yield _file
    elif kind == "postgres":
        with running_postgres("max_connections = 400") as postgres:
            yield partial(_schema, postgres)
    else:
        with running(kind, folder / "server", "databases 4096") as server:
            yield partial(_database, server)


# --- SQLite -----------------------------------------------------------------------------------------------------------


@contextmanager
def _file(_: int, folder: Path, __: bool) -> Iterator[Place]:
    path = folder / "store.sqlite3"
    yield Place(f"sqlite:///{str(path).lstrip('/')}", {"empty": partial(_empty_file, path)})


def _empty_file(path: Path) -> None:
    with closing(sqlite3.connect(path, timeout=5)) as connection, connection:
        with suppress(sqlite3.OperationalError):  # no worker has opened it yet
            connection.execute("DELETE FROM records")


# --- PostgreSQL -------------------------------------------------------------------------------------------------------


@contextmanager
def _schema(server: Postgres, number: int, _: Path, __: bool) -> Iterator[Place]:
    name = f"schedule{number}"
    server.ask(f"DROP SCHEMA IF EXISTS {name} CASCADE")
    server.ask(f"CREATE SCHEMA {name}")
    for statement in table_statement(f"{name}.enkash_store").strip().split("\n"):
        server.ask(statement)
    url = f"{server.dsn}?options=-csearch_path%3D{name}"
    yield Place(url, {"empty": partial(server.ask, f"DELETE FROM {name}.enkash_store")})


# --- Redis ------------------------------------------------------------------------------------------------------------


@contextmanager
def _database(server: Server, number: int, folder: Path, fails_over: bool) -> Iterator[Place]:
    if not fails_over:
        url = f"{server.url.removesuffix('/0')}/{number % 4096}"
        empty = partial(_empty_database, server, number % 4096)
        empty()
        yield Place(url, {"empty": empty})
        return
    with running(server.flavour, folder / "a") as primary, running(server.flavour, folder / "b") as replica:
        replica.ask("REPLICAOF", HOST, primary.port)
        wait_until(lambda: replica.info("replication")["master_link_status"] == "up", 10, "a replica")
        yield Place(primary.url, {"fail over": partial(_fail_over, primary, replica)})


def _empty_database(server: Server, number: int) -> None:
    with server.admin(db=number) as admin:
        admin.flushdb()


def _fail_over(primary: Server, replica: Server) -> None:
    """Kill the primary, and put a replica into its place that has not heard of its last milliseconds."""
    port = primary.port
    replica.ask("REPLICAOF", "NO", "ONE")
    time.sleep(random.uniform(0, _BEHIND))
    with primary.admin() as admin, replica.admin() as other:
        admin.client_pause(60_000, all=False)  # writes only
        last, held = _records(admin), _records(other)
        for key in last.keys() | held.keys():
            if _misses_several(key, held.get(key), last.get(key)):  # two lost writes are not promised
                other.set(key, last[key])
    primary.kill()
    replica.ask("CONFIG", "SET", "port", port)


def _records(admin: Any) -> dict[str, str]:
    return {key: admin.get(key) for key in admin.keys("enkash:*")}


def _misses_several(key: str, held: str | None, last: str | None) -> bool:
    """Whether a replica that holds the one misses several writes of a primary that holds the other."""
    if last is None or held == last or ":debit:" not in key:
        return False
    return _revision(last) - (0 if held is None else _revision(held)) != 1


def _revision(record: str) -> int:
    return DEBIT.codec.decode(record.encode(errors="surrogateescape")).revision
