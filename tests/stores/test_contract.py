"""Each of the four stores does what a store has to do, on every server that there is; a cluster has its own module."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import pytest
from redis.asyncio import Redis

from enkash_async.stores import MemoryStore, PostgresStore, RedisStore, SQLiteStore, Store, open_store
from enkash_async.testing import StoreContract

from servers import Postgres, Server


class TestMemoryStore(StoreContract):
    across_processes = False

    @pytest.fixture
    def store(self) -> Store:
        return MemoryStore()


class TestSQLiteStore(StoreContract):
    @pytest.fixture
    def opener(self, tmp_path: Path) -> Callable[[], Store]:
        return functools.partial(SQLiteStore, tmp_path / "store.sqlite3")

    @pytest.fixture
    def store(self, opener: Callable[[], Store]) -> Store:
        return opener()


class TestRedisStore(StoreContract):
    @pytest.fixture
    def opener(self, redis_server: Server) -> Callable[[], Store]:
        return functools.partial(open_store, redis_server.url)

    @pytest.fixture
    def store(self, opener: Callable[[], Store]) -> Store:
        return opener()


@pytest.mark.parametrize("decode", [False, True])
class TestRedisStoreWithAClientOfTheApplication(StoreContract):
    across_loops = False
    across_processes = False

    @pytest.fixture
    def store(self, redis_server: Server, decode: bool) -> Store:
        return _ClosesItsClient(Redis.from_url(redis_server.url, decode_responses=decode))


class _ClosesItsClient(RedisStore):
    """The application closes its client when it closes the store."""

    def __init__(self, redis: Redis) -> None:
        super().__init__(redis)
        self._redis = redis

    async def aclose(self) -> None:
        await super().aclose()
        await self._redis.aclose()


class TestPostgresStore(StoreContract):
    @pytest.fixture
    def opener(self, postgres: Postgres) -> Callable[[], Store]:
        return functools.partial(PostgresStore, postgres.dsn)

    @pytest.fixture
    def store(self, opener: Callable[[], Store]) -> Store:
        return opener()
