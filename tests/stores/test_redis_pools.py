"""A Redis client with few connections: Redis is not away because they are all in use."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import BlockingConnectionPool, ConnectionPool, Redis, RedisCluster
from stores.stores import cluster_url, count_up, put, timed, value_of

from enkash_async.errors import StoreError, StoreUnavailableError
from enkash_async.stores import Change, RedisStore

from servers import HOST, Server, running_cluster

KEY = "enkash:test:v2:key"


def failing(url: str) -> Redis:
    """Return a client of two connections that raises when both are in use."""
    return Redis.from_pool(ConnectionPool.from_url(url, max_connections=2))


def waiting(url: str) -> Redis:
    """Return a client of two connections whose callers wait for one."""
    return Redis.from_pool(BlockingConnectionPool.from_url(url, max_connections=2, timeout=20))


def impatient(url: str) -> Redis:
    """Return the same, with callers that wait for less than the store does."""
    return Redis.from_pool(BlockingConnectionPool.from_url(url, max_connections=2, timeout=0.01))


CLIENTS = [failing, waiting, impatient]


@asynccontextmanager
async def busy(client: Redis, seconds: float) -> AsyncIterator[None]:
    """Use both connections for a while, as an application does that waits for jobs."""
    jobs = [asyncio.ensure_future(client.blpop(["jobs"], timeout=seconds)) for _ in range(2)]
    await asyncio.sleep(0.1)
    yield
    await asyncio.gather(*jobs)


@pytest.mark.parametrize("make", CLIENTS)
async def test_a_connection_is_waited_for(redis_server: Server, make: Callable[[str], Redis]) -> None:
    """A read and a swap are made as soon as the application has one to spare."""
    async with make(redis_server.url) as client:
        store = RedisStore(client)
        assert await put(store, KEY, b"value")
        async with busy(client, 0.7):
            held = await asyncio.gather(value_of(store, KEY), value_of(store, f"{KEY}-2"))
            assert list(held) == [b"value", None]
            assert await put(store, KEY, b"new", b"value")


@pytest.mark.parametrize("make", CLIENTS)
async def test_a_client_that_stays_busy_is_not_a_redis_that_is_away(
    redis_server: Server, make: Callable[[str], Redis]
) -> None:
    """The error says what to set, comes within a bound, and the next call finds the store."""
    async with make(redis_server.url) as client:
        store = RedisStore(client, timeout=0.2)
        assert await put(store, KEY, b"value")
        async with busy(client, 1.5):
            ended = await asyncio.gather(*(timed(value_of(store, KEY)) for _ in range(8)))
            for outcome, took in ended:
                assert isinstance(outcome, StoreError)
                assert not isinstance(outcome, StoreUnavailableError)
                assert "max_connections" in str(outcome)
                assert 0.5 < took < 1.4
        assert await value_of(store, KEY) == b"value"


@pytest.mark.parametrize("option", ["?max_connections=1", "?max_connections=2"])
async def test_a_url_may_allow_few_connections(redis_server: Server, option: str) -> None:
    """The store uses no more than those at a time."""
    store = RedisStore.from_url(f"{redis_server.url}{option}")
    counted = await asyncio.gather(*(count_up(store, KEY, 3) for _ in range(12)))
    assert sorted(number for numbers in counted for number in numbers) == list(range(1, 37))
    await store.aclose()


async def test_a_client_of_one_connection_serves_many_tasks(redis_server: Server) -> None:
    """One after the other."""
    async with Redis.from_url(redis_server.url, max_connections=1) as client:
        store = RedisStore(client)
        counted = await asyncio.gather(*(count_up(store, KEY, 3) for _ in range(12)))
        assert sorted(number for numbers in counted for number in numbers) == list(range(1, 37))


async def test_a_client_of_a_cluster_may_have_few_connections(any_flavour: str, tmp_path: Path) -> None:
    """One to each node serves a call on many slots, by a client of the application as well as by a URL."""
    with running_cluster(any_flavour, tmp_path) as cluster:
        keys = [f"{KEY}-{number}" for number in range(60)]
        async with RedisCluster(host=HOST, port=cluster.ports[0], max_connections=1) as client:
            theirs, ours = RedisStore(client), RedisStore.from_url(f"{cluster_url(cluster)}?max_connections=1")
            assert await theirs.swap([Change(key, None, b"value", 60) for key in keys]) == [True] * 60
            assert {cell.value for cell in (await ours.read(keys)).values()} == {b"value"}
            await ours.aclose()
