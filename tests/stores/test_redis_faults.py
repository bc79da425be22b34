"""A Redis that fails: every call answers truthfully, or says within a bound that the store is away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
import pytest
from stores.stores import Skip, cluster_url, comes_back, count_up, number_in, put, sentinel_url, timed, value_of
from tokens.doubles import until

from enkash_async.errors import StoreUnavailableError
from enkash_async.stores import RedisStore

from servers import HOST, Gate, Server, free_ports, gate, running, running_cluster, running_sentinels

KEY = "enkash:test:v2:key"

#: Seconds for an attempt; a read makes up to three, with pauses between.
TIMEOUT = 0.3
BOUND = 3 * TIMEOUT + 2


async def both(store: RedisStore, key: str = KEY) -> tuple[object, object]:
    """Return how a read and a swap end; each within the bound."""
    outcomes = []
    for call in (value_of(store, key), put(store, key, b"new", b"value")):
        outcome, took = await timed(call)
        assert took < BOUND
        outcomes.append(outcome)
    return outcomes[0], outcomes[1]


@attrs.frozen
class Bench:
    """A server behind a gate, and a store with a clock that a test can put ahead."""

    server: Server
    between: Gate
    clock: Skip
    store: RedisStore


@pytest.fixture
async def bench(any_server: Server) -> AsyncIterator[Bench]:
    async with gate(any_server.port) as between:
        clock = Skip()
        store = RedisStore.from_url(between.url, timeout=TIMEOUT, clock=clock)
        assert await put(store, KEY, b"value")
        yield Bench(any_server, between, clock, store)
        between.release()
        if any_server.alive:
            any_server.thaw()
        await store.aclose()


@contextmanager
def trouble(bench: Bench, kind: str) -> Iterator[None]:
    """Bring one about for as long as the context lasts."""
    server = bench.server
    if kind == "killed":
        server.kill()
        yield
        server.restart()
        server.ask("SET", KEY, "value")
    elif kind == "frozen":
        server.freeze()
        yield
        server.thaw()
    else:
        bench.between.blackhole()
        yield
        bench.between.release()


@pytest.mark.parametrize("kind", ["killed", "frozen", "swallowed"])
async def test_a_server_that_is_gone_is_told_within_a_bound(bench: Bench, kind: str) -> None:
    """From the third failure on, every caller is told at once; and the server is found again when it is back."""
    with trouble(bench, kind):
        assert [type(outcome) for outcome in await both(bench.store)] == [StoreUnavailableError] * 2
        began = time.monotonic()
        crowd = await asyncio.gather(*(timed(value_of(bench.store, KEY)) for _ in range(100)))
        assert {type(outcome) for outcome, _ in crowd} == {StoreUnavailableError}
        assert time.monotonic() - began < BOUND
    bench.clock.ahead += 10
    assert await comes_back(bench.store, KEY) in {b"value", b"new"}


async def test_one_at_a_time_looks_whether_it_is_over(bench: Bench) -> None:
    """The other callers are told at once."""
    bench.between.blackhole()
    await timed(value_of(bench.store, KEY))
    before = bench.between.count
    bench.clock.ahead += 1.5
    await asyncio.gather(*(timed(value_of(bench.store, KEY)) for _ in range(50)))
    assert bench.between.count == before + 1


async def test_a_swap_whose_answer_is_lost_is_not_sent_again(bench: Bench) -> None:
    """It was made; sent again it would be answered with False."""
    bench.server.ask("CONFIG", "RESETSTAT")
    bench.between.hold()
    swap = asyncio.ensure_future(timed(put(bench.store, KEY, b"new", b"value")))
    await bench.between.held()
    bench.between.cut()
    bench.between.release()
    outcome, _ = await swap
    assert isinstance(outcome, StoreUnavailableError)
    assert await comes_back(bench.store, KEY) == b"new"
    assert bench.server.commandstats()["set"] == 1


async def test_a_read_whose_answer_is_lost_is_sent_again(bench: Bench) -> None:
    """Its caller does not notice."""
    bench.between.hold()
    read = asyncio.ensure_future(value_of(bench.store, KEY))
    await bench.between.held()
    bench.between.cut()
    bench.between.release()
    assert await read == b"value"


async def test_a_swap_that_the_server_makes_late_is_made_once(bench: Bench) -> None:
    """It was given up while the server was stopped; what was read since then is no longer true."""
    bench.server.freeze()
    outcome, _ = await timed(put(bench.store, KEY, b"late", b"value"))
    assert isinstance(outcome, StoreUnavailableError)
    bench.server.thaw()
    bench.clock.ahead += 10
    await until(lambda: bench.server.ask("GET", KEY) == "late")
    assert not await put(bench.store, KEY, b"other", b"value")


async def test_a_loop_that_is_blocked_is_no_server_that_is_away(bench: Bench) -> None:
    """The caller's own code stands still for longer than the time-out, again and again."""
    for _ in range(4):
        read = asyncio.ensure_future(value_of(bench.store, KEY))
        await asyncio.sleep(0)
        time.sleep(2 * TIMEOUT)  # noqa: ASYNC251 (what it is about)
        assert await read == b"value"
    assert bench.store._breaker._failures == 0


async def test_a_server_that_is_read_only_is_told(bench: Bench) -> None:
    """Reading goes on; swaps are made again when it is a primary."""
    bench.server.ask("REPLICAOF", HOST, free_ports(1)[0])
    read, swap = await both(bench.store)
    assert read == b"value"
    assert isinstance(swap, StoreUnavailableError)
    assert "read-only" in str(swap)
    bench.server.ask("REPLICAOF", "NO", "ONE")
    bench.clock.ahead += 10
    assert await put(bench.store, KEY, b"new", b"value")


async def test_a_server_without_memory_is_told(bench: Bench) -> None:
    """Reading and deleting go on; swaps are made again when there is some."""
    bench.server.ask("CONFIG", "SET", "maxmemory", "1")
    read, swap = await both(bench.store)
    assert read == b"value"
    assert isinstance(swap, StoreUnavailableError)
    assert "out of memory" in str(swap)
    assert await put(bench.store, KEY, None, b"value")
    bench.server.ask("CONFIG", "SET", "maxmemory", "0")
    assert await put(bench.store, KEY, b"again")


async def test_a_server_that_was_emptied_holds_nothing(bench: Bench) -> None:
    """That is the truth."""
    bench.server.ask("FLUSHALL")
    assert await both(bench.store) == (None, False)


async def test_a_restarted_server_is_used_at_once(any_server: Server) -> None:
    """The first call finds that its connection was closed, and opens another one."""
    store = RedisStore.from_url(any_server.url)
    assert await put(store, KEY, b"value")
    await asyncio.to_thread(any_server.restart)
    assert await put(store, KEY, b"new")
    await store.aclose()


async def test_a_failover_loses_no_count(any_flavour: str, tmp_path: Path) -> None:
    """What was replicated is there; acts go on with the new primary, and each is carried out once."""
    with running_sentinels(any_flavour, tmp_path) as watched:
        store = RedisStore.from_url(sentinel_url(watched))
        assert await count_up(store, KEY, 5) == [1, 2, 3, 4, 5]
        watched.primary.ask("WAIT", 1, 5000)
        await asyncio.to_thread(watched.kill_primary_and_wait)
        assert number_in(await comes_back(store, KEY)) == 5
        assert await count_up(store, KEY, 3) == [6, 7, 8]
        assert number_in(watched.primary.ask("GET", KEY).encode()) == 8
        await store.aclose()


async def test_without_sentinels_and_primary_the_answer_comes_soon(any_flavour: str, tmp_path: Path) -> None:
    """Nobody waits for three sentinels in turn, three times."""
    with running_sentinels(any_flavour, tmp_path) as watched:
        store = RedisStore.from_url(sentinel_url(watched), timeout=TIMEOUT)
        servers = [watched.primary, watched.replica, *watched.watchers]
        for server in servers:
            server.freeze()
        outcome, took = await timed(value_of(store, KEY))
        for server in servers:
            server.thaw()
        assert isinstance(outcome, StoreUnavailableError)
        assert took < 3 * TIMEOUT * 4 + 2
        await store.aclose()


@pytest.mark.parametrize("how", ["killed", "frozen"])
async def test_a_lost_node_of_a_cluster_takes_only_its_own_records_away(
    any_flavour: str, tmp_path: Path, how: str
) -> None:
    """The other nodes answer; a call that needs all of them does not."""
    with running_cluster(any_flavour, tmp_path, "cluster-require-full-coverage no") as cluster:
        clock = Skip()
        store = RedisStore.from_url(cluster_url(cluster), timeout=TIMEOUT, clock=clock)
        lost = cluster.nodes[2]
        keys = [f"enkash:test:v2:{number}" for number in range(30)]
        there = next(key for key in keys if cluster.owner_of(key) is not lost)
        gone = next(key for key in keys if cluster.owner_of(key) is lost)
        for key in (there, gone):
            assert await put(store, key, b"value")
        if how == "killed":
            lost.kill()
        else:
            lost.freeze()
        for keys in ([gone], [gone, there]):
            outcome, took = await timed(store.read(keys))
            assert isinstance(outcome, StoreUnavailableError)
            assert took < 3 * TIMEOUT * 4 + 3
        clock.ahead += 10
        assert await comes_back(store, there) == b"value"
        if how == "frozen":
            lost.thaw()
            cluster.await_ok()
            clock.ahead += 10
            assert await comes_back(store, gone) == b"value"
        await store.aclose()


async def test_no_count_is_lost_while_a_slot_moves(flavour: str, tmp_path: Path) -> None:
    """Callers see no error."""
    with running_cluster(flavour, tmp_path) as cluster:
        store = RedisStore.from_url(cluster_url(cluster))
        assert await count_up(store, KEY) == [1]
        slot = cluster.slot_of(KEY)
        target = cluster.other_than(cluster.owner_of_slot(slot))
        move = asyncio.create_task(asyncio.to_thread(cluster.migrate_slot, slot, target, pause=0.3))
        numbers: list[int] = []
        while not move.done():
            numbers += await count_up(store, KEY, 5)
        numbers += await count_up(store, KEY, 5)
        assert numbers == list(range(2, len(numbers) + 2))
        assert number_in(target.ask("GET", KEY).encode()) == len(numbers) + 1
        await store.aclose()


async def test_two_primaries_are_two_stores(any_flavour: str, tmp_path: Path) -> None:
    """What one holds is not what the other holds: the harness's servers are apart."""
    with running(any_flavour, tmp_path / "a") as one, running(any_flavour, tmp_path / "b") as other:
        stores = [RedisStore.from_url(server.url) for server in (one, other)]
        assert [await put(store, KEY, b"value") for store in stores] == [True, True]
        for store in stores:
            await store.aclose()
