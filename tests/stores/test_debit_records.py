"""The records of debits over each store: many at once, and each bill for one attempt."""

from __future__ import annotations

import asyncio
import base64
import functools
import os
import pickle
import random
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis
from _money import claimer
from stores.stores import alone, cluster_url

from enkash_async._money.debit_commands import Accepted, Claim, Go, MarkSent, Mine, Noted, Outcome, Settle, Wait
from enkash_async._money.debit_keys import Keys
from enkash_async._money.debit_records import DebitRecords
from enkash_async.stores import Cell, Change, MemoryStore, PostgresStore, SQLiteStore, Store, open_store

from servers import FLAVOURS, HOST, MISSING, Cluster, Postgres, Server, running, running_cluster

KEYS = Keys("https://enkash.example")
SHARED = ["sqlite", "redis", "postgres", "cluster"]


@pytest.fixture(scope="module")
def one_flavour() -> str:
    if not FLAVOURS:
        pytest.skip(MISSING)
    return next(iter(FLAVOURS))


@pytest.fixture(scope="module")
def one_redis(one_flavour: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(one_flavour, tmp_path_factory.mktemp("redis")) as made:
        yield made


@pytest.fixture(scope="module")
def one_cluster(one_flavour: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(one_flavour, tmp_path_factory.mktemp("cluster")) as made:
        yield made


@pytest.fixture
def opener(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[], Store]:
    """Opens one of the stores; only its own server is started."""
    if kind == "memory":
        return MemoryStore
    if kind == "sqlite":
        return functools.partial(SQLiteStore, tmp_path / "store.sqlite3")
    if kind == "postgres":
        postgres: Postgres = request.getfixturevalue("postgres")
        return functools.partial(PostgresStore, postgres.dsn)
    if kind == "cluster":
        cluster: Cluster = request.getfixturevalue("one_cluster")
        for port in cluster.ports:
            with redis.Redis(host=HOST, port=port) as node:
                node.flushall()
        return functools.partial(open_store, cluster_url(cluster))
    server: Server = request.getfixturevalue("one_redis")
    with server.admin() as admin:
        admin.flushall()
    return functools.partial(open_store, server.url)


@pytest.fixture
async def store(opener: Callable[[], Store]) -> AsyncIterator[Store]:
    made = opener()
    yield made
    await made.aclose()


class Counted:
    """A store that counts calls."""

    def __init__(self, inner: Store) -> None:
        self._inner = inner
        self.calls = 0

    async def read(self, keys: Sequence[str]) -> Mapping[str, Cell]:
        self.calls += 1
        return await self._inner.read(keys)

    async def swap(self, changes: Sequence[Change]) -> Sequence[bool]:
        self.calls += 1
        return await self._inner.swap(changes)

    async def aclose(self) -> None:
        await self._inner.aclose()


@pytest.mark.parametrize("kind", ["memory", *SHARED])
async def test_a_thousand_bills_take_two_calls_a_step(store: Store) -> None:
    """One read, with the store's birth in it, and one swap."""
    counted = Counted(store)
    debits, ids = DebitRecords(lambda: counted, KEYS), [f"UTIL-{number}" for number in range(1_000)]
    await debits.declare_nothing_pending()
    for command, answer in ((Claim("a"), Mine()), (MarkSent("a"), None), (Settle("a", Outcome.ACCEPTED), Noted())):
        counted.calls = 0
        answers = await debits.act(dict.fromkeys(ids, command))
        assert counted.calls == 2, command
        assert list(answers) == ids
        assert all(isinstance(one, Go) if answer is None else one == answer for one in answers.values())
    assert {shown.debit.state for shown in (await debits.show(ids)).values() if shown.debit} == {"accepted"}
    assert all(isinstance(one, Accepted) for one in (await debits.act(dict.fromkeys(ids, Claim("b")))).values())


@pytest.mark.parametrize("kind", ["memory", *SHARED])
async def test_of_several_attempts_one_gets_each_bill(store: Store) -> None:
    """They claim the same bills in different orders, side by side."""
    ids = [f"UTIL-{number}" for number in range(200)]
    await DebitRecords(lambda: store, KEYS).declare_nothing_pending()
    orders = [random.sample(ids, len(ids)) for _ in range(4)]
    got = await asyncio.gather(*(claimer.claimed(store, order, 40) for order in orders))
    assert Counter(one for each in got for one in each) == Counter(ids)


async def _declared(store: Store) -> None:
    await DebitRecords(lambda: store, KEYS).declare_nothing_pending()
    await store.aclose()


@pytest.mark.parametrize("kind", SHARED)
def test_of_several_processes_one_gets_each_bill(opener: Callable[[], Store]) -> None:
    """Begun together."""
    alone(_declared(opener()))
    job = base64.b64encode(pickle.dumps(opener)).decode()
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(path or "." for path in sys.path)}
    command, pipe = [sys.executable, claimer.__file__, job, "300"], subprocess.PIPE
    with ExitStack() as stack:
        started = [subprocess.Popen(command, stdin=pipe, stdout=pipe, env=environ, text=True) for _ in range(3)]
        for process in started:
            stack.callback(process.wait)
            stack.callback(process.kill)
        for process in started:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in started:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        said = [process.communicate()[0] for process in started]
    assert Counter(" ".join(said).split()) == Counter(f"UTIL-{number}" for number in range(300))


@pytest.mark.parametrize("kind", ["memory", *SHARED])
async def test_a_new_store_lets_through_only_what_was_created_in_it(store: Store) -> None:
    """The others wait until it is old; the wall clock is the test's, and the store's its own."""
    wall = 1_000.0
    debits = DebitRecords(lambda: store, KEYS, wall=lambda: wall)
    births = await debits.births()
    await debits.note_bills("step", ["UTIL-new"], births)
    answers = await debits.act({"UTIL-new": Claim("a"), "UTIL-other": Claim("a")})
    assert answers["UTIL-new"] == Mine(is_new=True)
    assert isinstance(answers["UTIL-other"], Wait)
    assert answers["UTIL-other"].why == "store"
    assert 195 < answers["UTIL-other"].seconds <= 200
    [birth] = (await debits.births_of(["UTIL-new"])).values()
    assert birth in births.values()
