"""The store in Redis: whose connections it uses, what it sends, what it may do, and what it says of the server."""

from __future__ import annotations

import asyncio
import importlib.resources
import logging
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis, RedisCluster
from stores.stores import SECRET, alone, cluster_url, count_up, in_child, number_in, put, sentinel_url, timed, value_of
from tokens.doubles import until

from enkash_async.errors import ConfigurationError, StoreError, StoreUnavailableError
from enkash_async.stores import Change, MemoryStore, RedisStore, Store, open_store, refuse_eviction

from servers import HOST, Cluster, Server, running, running_cluster, running_sentinels, tls_relay
from support import shown

KEY = "enkash:test:v2:key"

#: What a Redis user needs; `info` only to be told of eviction and lost records, `waitaof` only for durability.
COMMANDS = ("eval", "evalsha", "mget", "get", "set", "del", "time", "info")
CLUSTER_COMMANDS = (*COMMANDS, "cluster|slots", "command", "asking")


async def lived(store: Store, key: str = KEY) -> bool:
    """Whether a record is set, read, changed, kept and deleted."""
    swaps = [await put(store, key, b"a"), await put(store, key, b"b", b"a"), await put(store, key, b"c", b"x")]
    there = await value_of(store, key)
    [gone] = await store.swap([Change(key, b"b", None)])
    return swaps == [True, True, False] and there == b"b" and gone and await value_of(store, key) is None


def strangers(server: Server) -> int:
    """Return how many connections a server has that are neither another server's nor the harness's."""
    lines = server.ask("CLIENT", "LIST").splitlines()
    return sum(f"addr={HOST}" in line and "name=sentinel" not in line and "flags=N" in line for line in lines)


# What is sent.


def test_the_scripts_are_short() -> None:
    """Both together have under 25 lines of code."""
    folder = importlib.resources.files("enkash_async.stores").joinpath("lua")
    lines = [line.strip() for file in folder.iterdir() for line in file.read_text(encoding="utf-8").splitlines()]
    assert 0 < len([line for line in lines if line and not line.startswith("--")]) < 25


async def test_one_call_is_one_command(redis_server: Server) -> None:
    """After the first one, which asks the server about itself and makes the scripts known."""
    store = RedisStore.from_url(redis_server.url)
    await lived(store)
    redis_server.ask("CONFIG", "RESETSTAT")
    for _ in range(3):
        await value_of(store, KEY)
        await put(store, KEY, None)
    stats = {
        name: calls
        for name, calls in redis_server.commandstats().items()
        if name not in {"info", "config|resetstat", "client|setinfo"}
    }
    await store.aclose()
    assert stats == {"evalsha": 6, "time": 3, "mget": 3, "get": 3, "del": 3}


async def test_a_server_that_forgot_the_scripts_is_given_them_again(redis_server: Server) -> None:
    """As a restarted one."""
    store = RedisStore.from_url(redis_server.url)
    await put(store, KEY, b"a")
    redis_server.ask("SCRIPT", "FLUSH")
    assert await put(store, KEY, b"b", b"a")
    redis_server.ask("SCRIPT", "FLUSH")
    assert await value_of(store, KEY) == b"b"
    await store.aclose()


async def test_a_record_is_one_key_with_its_bytes_and_its_end(redis_server: Server) -> None:
    """Nothing else is there."""
    store = RedisStore.from_url(redis_server.url)
    await store.swap([Change(KEY, None, b"\xffvalue", 90.5), Change("other", None, b"", None)])
    await store.aclose()
    with redis_server.admin() as admin:
        assert sorted(admin.keys()) == [KEY, "other"]
        assert (admin.pttl("other"), 89_000 < admin.pttl(KEY) <= 90_500) == (-1, True)
    with redis_server.admin(decode_responses=False) as admin:
        assert admin.get(KEY) == b"\xffvalue"


async def test_now_is_the_clock_of_the_server(redis_server: Server) -> None:
    """To the microsecond."""
    store = RedisStore.from_url(redis_server.url)
    seconds, micros = redis_server.ask("TIME")
    now = (await store.read([KEY]))[KEY].now
    await store.aclose()
    assert 0 < now - (seconds + micros / 1e6) < 2


# Whose connections.


@pytest.mark.parametrize("url", ["url", "unix_url"])
@pytest.mark.parametrize("protocol", [2, 3])
async def test_a_url_leads_to_the_server(redis_server: Server, url: str, protocol: int) -> None:
    """Over TCP as well as over a Unix socket, in RESP2 and RESP3; what was opened is closed."""
    before = strangers(redis_server)
    where = getattr(redis_server, url)
    store = open_store(f"{where}{'&' if '?' in where else '?'}protocol={protocol}")
    assert await lived(store)
    await store.aclose()
    await store.aclose()
    await until(lambda: strangers(redis_server) == before)
    with pytest.raises(StoreError, match="is closed"):
        await value_of(store, KEY)


async def test_tls_is_verified_with_the_ca_of_the_url(redis_server: Server, tmp_path: Path) -> None:
    """A certificate that is not in order is no way to the records."""
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)  # refused handshakes are wanted
    async with tls_relay(redis_server.port, tmp_path) as relay:
        good, bad = RedisStore.from_url(f"{relay.url}?ssl_ca_certs={relay.ca_file}"), RedisStore.from_url(relay.url)
        assert await lived(good)
        with pytest.raises(StoreUnavailableError):
            await lived(bad)
        for store in (good, bad):
            await store.aclose()


async def test_a_few_connections_serve_many_tasks(redis_server: Server) -> None:
    """Four in each loop."""
    before = strangers(redis_server)
    store = RedisStore.from_url(redis_server.url, timeout=10)  # on a busy machine, 200 tasks keep the first one waiting
    await asyncio.gather(*(put(store, f"key-{number}", b"value") for number in range(200)))
    assert strangers(redis_server) - before <= 4
    await store.aclose()


async def test_a_client_of_the_application_stays_open(redis_server: Server) -> None:
    """When the store is closed."""
    async with Redis.from_url(redis_server.url) as client:
        store = RedisStore(client)
        assert await lived(store)
        await store.aclose()
        assert await client.ping()


def test_a_client_of_the_application_in_another_loop_is_an_error_that_says_so(redis_server: Server) -> None:
    """Redis is not away, and nothing is sent; the loop of its first use goes on."""

    async def both() -> tuple[object, object]:
        client = Redis.from_url(redis_server.url)
        store = RedisStore(client)
        await value_of(store, KEY)
        elsewhere = await asyncio.to_thread(alone, timed(value_of(store, KEY)))
        here = await value_of(store, KEY)
        await client.aclose()
        return elsewhere[0], here

    problem, here = alone(both())
    assert isinstance(problem, StoreError)
    assert not isinstance(problem, StoreUnavailableError)
    assert "another event loop" in str(problem)
    assert "RedisStore.from_url" in str(problem)
    assert here is None


def test_connections_are_closed_with_their_loop(redis_server: Server) -> None:
    """As in a worker that calls `asyncio.run` for each job; a store that is closed elsewhere closes those too."""
    before = strangers(redis_server)
    store = RedisStore.from_url(redis_server.url)
    for expected in range(1, 4):
        assert alone(count_up(store, KEY)) == [expected]
        assert strangers(redis_server) == before


async def test_a_child_does_not_use_the_parents_connections(redis_server: Server) -> None:
    """Each gets its own replies."""
    store = RedisStore.from_url(redis_server.url)
    assert await count_up(store, KEY) == [1]
    child = asyncio.to_thread(in_child, lambda: len(alone(count_up(store, KEY, 20))) == 20)
    mine, is_well = await asyncio.gather(count_up(store, KEY, 20), child)
    assert is_well
    assert len(set(mine)) == 20
    assert number_in(await value_of(store, KEY)) == 41
    await store.aclose()


@pytest.mark.parametrize("wrong", [None, 5, MemoryStore()])
def test_what_is_no_client_is_refused(wrong: Any) -> None:
    """With a word on what to use for a URL."""
    with pytest.raises(ConfigurationError, match="from_url"):
        RedisStore(wrong)


@pytest.mark.parametrize("timeout", [0, -1, 60, True, "1"])
def test_a_time_out_that_is_none_is_refused(timeout: Any) -> None:
    """Before anything is opened."""
    with pytest.raises(ConfigurationError, match="timeout must be"):
        RedisStore.from_url("redis://127.0.0.1:1/0", timeout=timeout)


# Secrets.


async def test_a_password_is_not_shown(any_flavour: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Neither by the store, nor by an error with all that it is tied to, nor in a log."""
    caplog.set_level(logging.DEBUG)
    with running(any_flavour, tmp_path, "requirepass right") as server:
        for host in (f"redis://:{SECRET}@{HOST}:{server.port}/0", f"redis+sentinel://:{SECRET}@{HOST}:1/enkash"):
            store = open_store(host)
            with pytest.raises(StoreUnavailableError) as caught:
                await value_of(store, KEY)
            assert SECRET not in shown(caught.value)
            assert SECRET not in repr(store) + repr(vars(store)) + repr(vars(store._clients))  # type: ignore[attr-defined]
            await store.aclose()
    for wrong in (f"redis://:{SECRET}@host:port/0", f"redis+sentinel://:{SECRET}@host"):
        with pytest.raises(ConfigurationError) as refused:
            open_store(wrong)
        assert SECRET not in shown(refused.value)
    assert SECRET not in caplog.text


async def test_a_value_is_not_shown_by_an_error(any_server: Server) -> None:
    """It may be a token in plain text."""
    store = RedisStore.from_url(any_server.url)
    await put(store, KEY, SECRET.encode())
    any_server.ask("CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(StoreUnavailableError, match="out of memory") as caught:
        await put(store, KEY, f"new {SECRET}".encode(), SECRET.encode())
    assert SECRET not in shown(caught.value)
    await store.aclose()


# Rights.


@pytest.fixture
def guarded(redis_server: Server) -> Iterator[Server]:
    yield redis_server
    redis_server.ask("ACL", "DELUSER", "enkash")


def allow(server: Server, commands: Iterable[str], keys: str = "~enkash:*") -> str:
    allowed = (f"+{command}" for command in commands)
    server.ask("ACL", "SETUSER", "enkash", "reset", "on", ">made-up", keys, "-@all", *allowed)
    return f"redis://enkash:made-up@{HOST}:{server.port}/0"


@pytest.mark.parametrize("protocol", [2, 3])
async def test_the_listed_commands_are_enough(guarded: Server, protocol: int) -> None:
    """With the keys of this package and no others."""
    store = open_store(f"{allow(guarded, COMMANDS)}?protocol={protocol}")
    assert await lived(store)
    await refuse_eviction(store)
    await store.aclose()


@pytest.mark.parametrize("missing", COMMANDS[:-1])
async def test_without_one_of_them_the_store_is_away(guarded: Server, missing: str) -> None:
    """Also where the scripts are known already."""
    full = open_store(guarded.url)
    if missing != "eval":  # it is only needed where they are not
        assert await lived(full)
    store = open_store(allow(guarded, [command for command in COMMANDS if command != missing]))
    with pytest.raises(StoreUnavailableError, match="Redis refuses"):
        await lived(store)
    for one in (full, store):
        await one.aclose()


async def test_without_info_records_are_shared_and_the_log_says_what_is_not_known(
    guarded: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """Who must know whether records are evicted is told that it cannot be read."""
    store = open_store(allow(guarded, COMMANDS[:-1]))
    assert await lived(store)
    assert caplog.text.count("does not allow INFO") == 1
    for _ in range(2):
        with pytest.raises(StoreUnavailableError, match="allow the command INFO"):
            await refuse_eviction(store)
    await store.aclose()


async def test_other_keys_are_refused(guarded: Server) -> None:
    """That is a store that is away, and not one without records."""
    store = open_store(allow(guarded, COMMANDS, keys="~others:*"))
    with pytest.raises(StoreUnavailableError, match="Redis refuses"):
        await value_of(store, KEY)
    await store.aclose()


# What the server says of itself.


@pytest.mark.parametrize(
    ("policy", "tokens", "debits"),
    [
        ("noeviction", True, True),
        ("volatile-lru", True, False),
        ("volatile-ttl", True, False),
        ("allkeys-lru", False, False),
        ("allkeys-random", False, False),
    ],
)
async def test_a_server_that_evicts_records_is_refused(
    any_flavour: str, tmp_path: Path, policy: str, tokens: bool, debits: bool
) -> None:
    """For tokens alone, one that spares what is kept for ever is good enough. It is asked once."""
    with running(any_flavour, tmp_path, f"maxmemory-policy {policy}") as server:
        store = open_store(server.url)
        for expiring_only, accepted in ((True, tokens), (False, debits)):
            outcome, _ = await timed(refuse_eviction(store, expiring_only=expiring_only))
            assert (outcome is None) is accepted
            if not accepted:
                assert isinstance(outcome, StoreUnavailableError)
                assert f"maxmemory-policy is {policy}" in str(outcome)
        server.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
        assert await store.eviction_policy() == policy  # type: ignore[attr-defined]
        await store.aclose()


async def test_a_store_that_never_evicts_is_not_asked(tmp_path: Path) -> None:
    """Memory, a file, and one of the user's own."""
    for url in ("memory:", f"sqlite://{tmp_path}/store"):
        await refuse_eviction(open_store(url))
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("aof", ["yes", "no"])
async def test_a_server_without_an_append_only_file_is_warned_of_once(
    any_flavour: str, tmp_path: Path, aof: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A restart loses minutes."""
    with running(any_flavour, tmp_path, f"appendonly {aof}") as server:
        store = open_store(server.url)
        for _ in range(3):
            await value_of(store, KEY)
        await store.aclose()
    assert caplog.text.count("no append-only file") == (1 if aof == "no" else 0)


async def test_a_durable_change_is_on_disk(any_flavour: str, tmp_path: Path) -> None:
    """It is there after the server was killed; the wait is on the connection of the script."""
    lines = ("appendonly yes", "appendfsync everysec")
    with running(any_flavour, tmp_path, *lines) as server:
        store = RedisStore.from_url(server.url, durability="waitaof")
        assert await put(store, KEY, b"a")
        server.ask("SCRIPT", "FLUSH")
        assert await put(store, KEY, b"b", b"a")
        assert server.commandstats()["waitaof"] == 4  # twice after each EVALSHA that is not known
        server.kill()
        server.restart()
        assert await value_of(store, KEY) == b"b"
        await store.aclose()


async def test_durability_that_a_server_cannot_give_is_an_error(any_server: Server) -> None:
    """Without an append-only file; reading goes on."""
    store = RedisStore.from_url(any_server.url, durability="waitaof")
    with pytest.raises(StoreUnavailableError):
        await put(store, KEY, b"a")
    assert await value_of(store, KEY) == b"a"  # made, yet not durable: the error says that it is not known
    await store.aclose()


async def test_a_durable_change_is_with_the_replica_too(any_flavour: str, tmp_path: Path) -> None:
    """And is an error while the replica does not answer."""
    with running_sentinels(any_flavour, tmp_path, "appendonly yes", "appendfsync always") as watched:
        store = RedisStore.from_url(sentinel_url(watched), durability="waitaof")
        assert await put(store, KEY, b"a")
        assert watched.replica.ask("GET", KEY) == "a"
        watched.replica.freeze()
        outcome, took = await timed(put(store, KEY, b"b", b"a"))
        watched.replica.thaw()
        assert isinstance(outcome, StoreUnavailableError)
        assert took < 4
        await store.aclose()


@pytest.mark.parametrize(("options", "words"), [({"durability": "always"}, '"server" or "waitaof"')])
def test_an_unknown_durability_is_refused(options: dict[str, Any], words: str) -> None:
    """And a known one where it cannot work."""
    with pytest.raises(ConfigurationError, match=words):
        RedisStore.from_url("redis://127.0.0.1:1/0", **options)
    with pytest.raises(ConfigurationError, match="does not work with a cluster"):
        RedisStore.from_url("redis+cluster://127.0.0.1:1", durability="waitaof")


# A cluster and a set with sentinels.


@pytest.fixture(scope="module")
def cluster(flavour: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(flavour, tmp_path_factory.mktemp(flavour)) as made:
        yield made


@pytest.mark.parametrize("whose", ["ours", "theirs"])
async def test_a_call_for_a_cluster_goes_to_every_node_that_holds_a_key(cluster: Cluster, whose: str) -> None:
    """Keys of one slot in one script; each cell has the clock of its own node."""
    client = RedisCluster.from_url(cluster.url) if whose == "theirs" else None
    store = RedisStore(client) if client else RedisStore.from_url(cluster_url(cluster))
    keys = [f"enkash:test:v2:{whose}-{number}" for number in range(30)] + [f"{{{whose}}}{n}" for n in range(5)]
    assert len({cluster.owner_of(key).port for key in keys}) == 3
    changes = [Change(key, None, key.encode(), 60) for key in keys]
    assert list(await store.swap(changes)) == [True] * 35
    for node in cluster.nodes:
        node.ask("CONFIG", "RESETSTAT")
    assert [cell.value for cell in map((await store.read(keys)).__getitem__, keys)] == [key.encode() for key in keys]
    sent = sum(node.commandstats().get("mget", 0) for node in cluster.nodes)
    assert sent == len({cluster.slot_of(key) for key in keys})
    assert await store.eviction_policy() == "noeviction"
    await store.aclose()
    if client:
        assert await client.ping()
        await client.aclose()


async def test_the_commands_for_a_cluster_are_enough(cluster: Cluster) -> None:
    """Also while a slot moves."""
    for node in cluster.nodes:
        allow(node, CLUSTER_COMMANDS)
    store = RedisStore.from_url(cluster_url(cluster).replace("//", "//enkash:made-up@"))
    slot = cluster.slot_of(KEY)
    with cluster.migrating(slot, cluster.other_than(cluster.owner_of_slot(slot))):
        assert await lived(store)
    assert await lived(store)
    await store.aclose()


async def test_sentinels_lead_to_the_primary(any_flavour: str, tmp_path: Path) -> None:
    """With connections that are all closed in the end."""
    with running_sentinels(any_flavour, tmp_path) as watched:
        store = open_store(sentinel_url(watched))
        assert await lived(store)
        await put(store, KEY, b"value")
        assert watched.primary.ask("GET", KEY) == "value"
        await store.aclose()
        await until(lambda: not any(map(strangers, [watched.primary, *watched.watchers])))


def test_this_file_knows_the_scripts() -> None:
    """The list of commands is what they call, and what runs them."""
    folder = importlib.resources.files("enkash_async.stores").joinpath("lua")
    called = {name.lower() for file in folder.iterdir() for name in re.findall(r"call\('(\w+)'", file.read_text())}
    assert called | {"eval", "evalsha", "info"} == set(COMMANDS)
