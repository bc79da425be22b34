"""Stores that do not answer, refuse, or may forget."""

from __future__ import annotations

import asyncio
import signal
import socket
import sqlite3
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing

import psycopg
from redis.asyncio import ConnectionPool, Redis

from enkash_async import EnkashClient, PostgresStore, RedisStore, SQLiteStore
from enkash_async.stores import Change, Store, open_store

from servers import HOST, free_ports, running
from troubles import SECRET, Stage, Told, failure, of_store, ran, row
from troubles.logins import logged

KEY = "enkash:a:v2:k"


def redis_at(stage: Stage, login: str = ":right", database: int = 0) -> str:
    return f"redis://{login}@{HOST}:{stage.servers.redis.port}/{database}"


def postgres_at(stage: Stage, login: str = "owner:made-up", database: str = "postgres") -> str:
    return f"postgresql://{login}@{HOST}:{stage.servers.postgres.port}/{database}"


@asynccontextmanager
async def configured(stage: Stage, **settings: str) -> AsyncIterator[str]:
    """The Redis with other settings; yield its URL."""
    server = stage.servers.redis
    names = {name: name.replace("_", "-") for name in settings}
    before = {name: server.ask("CONFIG", "GET", name)[1] for name in names.values()}
    for name, value in settings.items():
        server.ask("CONFIG", "SET", names[name], value)
    try:
        yield redis_at(stage)
    finally:
        for name, value in before.items():
            server.ask("CONFIG", "SET", name, value)


# --- who may come in --------------------------------------------------------------------------------------------------


@row("refuses the user or the password that it was given (authentication failed)")
async def wrong_login(stage: Stage) -> Sequence[Told]:
    logins = [f":{SECRET}", f"nobody:{SECRET}"]
    found: list[Told] = [await of_store(redis_at(stage, login)) for login in logins]
    found.append(await of_store(f"redis://{HOST}:{stage.servers.redis.port}/0"))
    return [*found, *[await of_store(postgres_at(stage, login)) for login in (f"owner:{SECRET}", "owner", "nobody:x")]]


@row("authentication failed: this user may not log in from here")
async def not_admitted(stage: Stage) -> Sequence[Told]:
    stage.servers.postgres.ask(f"CREATE ROLE absent NOLOGIN PASSWORD '{SECRET}'")
    return [await of_store(postgres_at(stage, f"absent:{SECRET}"))]


@row("this user lacks a right")
async def no_right(stage: Stage) -> Sequence[Told]:
    stage.servers.redis.ask("ACL", "SETUSER", "few", "on", f">{SECRET}", "~*", "+hello", "+auth", "+client", "+info")
    server = stage.servers.postgres
    server.ask("CREATE TABLE IF NOT EXISTS theirs (key text, value bytea, expires timestamptz)")
    server.ask(f"CREATE ROLE few LOGIN PASSWORD '{SECRET}'")
    store = PostgresStore(postgres_at(stage, f"few:{SECRET}"), table="theirs")
    found = await failure(store.read([KEY]))
    await store.aclose()
    return [await of_store(redis_at(stage, f"few:{SECRET}")), found]


@row("too many connections")
async def too_many(stage: Stage) -> Sequence[Told]:
    server = stage.servers.postgres
    crowd = [psycopg.connect(server.dsn) for _ in range(5)]
    found: list[Told] = [await of_store(server.dsn)]
    for one in crowd:
        one.close()
    async with configured(stage, maxclients="1") as url:
        with socket.create_connection((HOST, stage.servers.redis.port)):
            found.append(await of_store(url))
    return found


@row("all connections of the Redis client are in use")
async def in_use(stage: Stage) -> Sequence[Told]:
    async with Redis.from_pool(ConnectionPool.from_url(redis_at(stage), max_connections=1)) as client:
        store = RedisStore(client, timeout=0.5)
        await store.read([KEY])
        job = asyncio.ensure_future(client.blpop(["jobs"], timeout=60))
        await asyncio.sleep(0.1)
        found = await failure(store.read([KEY]))
        job.cancel()
        await asyncio.gather(job, return_exceptions=True)
        await store.aclose()
    return [found]


# --- what state it is in ----------------------------------------------------------------------------------------------


@row("it is starting or shutting down")
async def stopping(stage: Stage) -> Sequence[Told]:
    server = stage.servers.postgres
    with closing(psycopg.connect(server.dsn)):
        process = server._process
        assert process is not None
        process.send_signal(signal.SIGTERM)  # it waits until the session above ends, and admits no other
        found = await of_store(server.dsn)
        for _ in range(200):
            if "starting or shutting down" in str(found):
                break
            await asyncio.sleep(0.05)
            found = await of_store(server.dsn)
    server.restart()
    return [found]


@row("it is read-only (a replica or standby, or a failover is under way)")
async def read_only(stage: Stage) -> Sequence[Told]:
    redis, postgres = stage.servers.redis, stage.servers.postgres
    redis.ask("REPLICAOF", HOST, "1")
    in_redis = await of_store(redis_at(stage), key=f"{KEY}-1")
    redis.ask("REPLICAOF", "NO", "ONE")
    store = PostgresStore(postgres.dsn)
    await store.init()
    await store.aclose()
    postgres.ask("ALTER ROLE owner SET default_transaction_read_only = on")
    in_postgres = await of_store(postgres.dsn)
    with psycopg.connect(postgres.dsn, autocommit=True, options="-c default_transaction_read_only=off") as admin:
        admin.execute("ALTER ROLE owner RESET default_transaction_read_only")
        admin.execute("DROP TABLE enkash_store")
    return [in_redis, in_postgres]


@row("the replica has no connection to its primary")
async def no_primary(stage: Stage) -> Sequence[Told]:
    async with configured(stage, replica_serve_stale_data="no") as url:
        stage.servers.redis.ask("REPLICAOF", HOST, "1")
        found = await of_store(url)
        stage.servers.redis.ask("REPLICAOF", "NO", "ONE")
    return [found]


@row("too few replicas to accept a write")
async def no_replicas(stage: Stage) -> Sequence[Told]:
    async with configured(stage, min_replicas_to_write="1") as url:
        return [await of_store(url, key=f"{KEY}-2")]


@row("out of memory")
async def no_memory(stage: Stage) -> Sequence[Told]:
    async with configured(stage, maxmemory="1", maxmemory_policy="noeviction") as url:
        return [await of_store(url, key=f"{KEY}-3")]


@row("it cannot write to its disk, which may be full")
async def no_disk(stage: Stage) -> Sequence[Told]:
    folder = stage.folder / "own"
    with running(stage.servers.redis.flavour, folder) as server:
        (folder / "dump.rdb").mkdir()  # where it wants to write
        server.ask("CONFIG", "SET", "save", "3600 1")
        server.ask("SET", "a", "b")
        server.ask("BGSAVE")
        for _ in range(200):
            if server.info("persistence")["rdb_last_bgsave_status"] != "ok":
                break
            await asyncio.sleep(0.05)
        return [await of_store(server.url)]


async def confirming(stage: Stage, store: Store) -> Exception:
    client = await stage.client(store=store)
    return await failure(client.payments.confirm_debit(["U-1"]))


@row("Redis may evict records (maxmemory-policy is …)")
async def evicting(stage: Stage) -> Sequence[Told]:
    async with configured(stage, maxmemory_policy="allkeys-lru") as url:
        store = open_store(url)
        found = await confirming(stage, store)
        await store.aclose()
    return [found]


@row("Redis keeps no append-only file")
async def forgetful(stage: Stage) -> Sequence[Told]:
    store = open_store(redis_at(stage))
    await store.read([KEY])
    await store.aclose()
    return logged(stage, "append-only")


@row("no such database")
async def no_database(stage: Stage) -> Sequence[Told]:
    return [await of_store(redis_at(stage, database=99)), await of_store(postgres_at(stage, database="missing"))]


@row("an option of its URL is wrong, or this server does not fulfil it")
async def bad_option(stage: Stage) -> Sequence[Told]:
    url = postgres_at(stage)
    wrong = ("sslmode=nonsense", "target_session_attrs=standby", "channel_binding=require", "client_encoding=nonsense")
    found: list[Told] = [await of_store(f"{url}?{option}") for option in wrong]
    return [*found, await of_store(f"postgresql://owner:{SECRET}@{HOST}:99999/postgres")]


@row("no such table: make it with")
async def no_table(stage: Stage) -> Sequence[Told]:
    return [await of_store(stage.servers.postgres.dsn)]


@row("something else answers there")
async def other_protocol(stage: Stage) -> Sequence[Told]:
    at = (await stage.serve(web_server)).removeprefix("http://")
    return [await of_store(f"redis://:{SECRET}@{at}/0"), await of_store(f"postgresql://user:{SECRET}@{at}/db")]


async def web_server(server: object, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    await writer.drain()


@row("no Sentinel answers, or none knows a primary of this name")
async def no_sentinel(stage: Stage) -> Sequence[Told]:
    (port,) = free_ports(1)
    return [
        await of_store(f"redis+sentinel://:{SECRET}@{host}/service") for host in (f"{HOST}:{port}", "redis.invalid")
    ]


@row("the server is of another kind than the URL says")
async def other_kind(stage: Stage) -> Sequence[Told]:
    at = f"{HOST}:{stage.servers.redis.port}"
    login = "sentinel_password=right"
    return [
        await of_store(f"redis+cluster://:right@{at}"),
        await of_store(f"redis+sentinel://:right@{at}/service?{login}"),
    ]


@row("it does not know a command that is needed")
async def no_command(stage: Stage) -> Sequence[Told]:
    hidden = ('rename-command EVAL ""', 'rename-command EVALSHA ""')
    with running(stage.servers.redis.flavour, stage.folder / "own", *hidden) as server:
        return [await of_store(server.url)]


# --- a file, and set-up -----------------------------------------------------------------------------------------------

_WITHOUT = """
import sys
sys.modules["psycopg"] = None
from enkash_async import open_store
open_store("postgresql://user:hunter2@localhost/db")
"""


@row("PostgresStore needs psycopg")
async def no_psycopg(stage: Stage) -> Sequence[Told]:
    _, err = await ran(sys.executable, "-c", _WITHOUT)
    return [err.splitlines()[-1]]


_FULL = """
import asyncio, pathlib, resource, signal, sys
from enkash_async import SQLiteStore
from enkash_async.stores import Change
async def main():
    store = SQLiteStore(pathlib.Path(sys.argv[1]))
    await store.read(["enkash:a:v2:k"])
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, limits[1]))
    try:
        await store.swap([Change("enkash:a:v2:k", None, b"x" * 200_000, 60)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)  # what measures this process writes a file as well
asyncio.run(main())
"""


@row("cannot be used: the disk …is full")
async def full_disk(stage: Stage) -> Sequence[Told]:
    _, err = await ran(sys.executable, "-c", _FULL, str(stage.folder / "store.sqlite3"))
    return [err.splitlines()[-1]]


@row("cannot be used: other processes have kept it locked for")
async def locked(stage: Stage) -> Sequence[Told]:
    store = SQLiteStore(path := stage.folder / "store.sqlite3", patience=0.3)
    await store.read([KEY])
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        found = await failure(store.swap([Change(KEY, None, b"x", 60)]))
    await store.aclose()
    return [found]


@row("cannot be used: it is damaged")
async def damaged(stage: Stage) -> Sequence[Told]:
    (path := stage.folder / "store.sqlite3").write_bytes(b"this is not a database" * 100)
    return [await of_store(f"sqlite:///{path}")]


@row("no file to share tokens in")
async def no_file(stage: Stage) -> Sequence[Told]:
    without_home(stage)
    EnkashClient.from_env(stage.sandbox.environ())
    return logged(stage, "no file to share")


def without_home(stage: Stage) -> None:
    """Let the default store find a file where it wants a folder."""
    (home := stage.folder / "home").write_text("a file")
    stage.monkeypatch.setattr("platformdirs.user_state_dir", lambda *_, **__: f"{home}/enkash-async")
    stage.monkeypatch.setattr("enkash_async.stores.default._told", set())


@row("a newer version of enkash-async has made")
async def newer(stage: Stage) -> Sequence[Told]:
    store = SQLiteStore(path := stage.folder / "store.sqlite3")
    await store.read([KEY])
    await store.aclose()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 2")
    return [await of_store(f"sqlite:///{path}")]


@row("Redis URL must be redis://host:6379/0")
async def wrong_url(stage: Stage) -> Sequence[Told]:
    return [
        await failure(of_store(url))
        for url in (f"redis+sentinel://:{SECRET}@host", f"redis://:{SECRET}@host/0?wrong=1")
    ]


@row("belongs to another event loop")
async def other_loop(stage: Stage) -> Sequence[Told]:
    async with Redis.from_url(redis_at(stage)) as client:
        store = RedisStore(client)
        await store.read([KEY])

        async def elsewhere() -> Exception:
            return await failure(store.read([KEY]))

        return [await asyncio.to_thread(asyncio.run, elsewhere())]
