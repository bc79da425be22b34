"""The harness: its servers and relays do what the tests of shared tokens rely on."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest
import redis
from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff

from servers import (
    FLAVOURS,
    HOST,
    MISSING,
    ServerError,
    gate,
    running,
    running_cluster,
    running_sentinels,
    tls_relay,
    wait_until,
)

pytestmark = pytest.mark.skipif(not FLAVOURS, reason=MISSING)

each_flavour = pytest.mark.parametrize("flavour", list(FLAVOURS))

#: One of them is enough where the servers do not differ.
ANY = next(iter(FLAVOURS), "")


def _client(url: str, timeout: float = 5) -> Redis:
    """A client that reports a failure at once."""
    return Redis.from_url(url, socket_timeout=timeout, decode_responses=True, retry=Retry(NoBackoff(), 0))


@each_flavour
async def test_a_server_answers_and_counts_commands(flavour: str, tmp_path: Path) -> None:
    """The server answers over TCP and has the test's commands in its statistics."""
    with running(flavour, tmp_path) as server:
        async with _client(server.url) as client:
            await client.set("key", "value")
            assert await client.get("key") == "value"
        stats = server.commandstats()
        assert (stats["set"], stats["get"]) == (1, 1)
        assert server.info("persistence")["aof_enabled"] == 0


@each_flavour
async def test_a_server_listens_on_a_unix_socket(flavour: str, tmp_path: Path) -> None:
    """The server does so even in a folder whose path is too long for a socket."""
    with running(flavour, tmp_path / ("long" * 30)) as server:
        async with _client(server.unix_url) as client:
            assert await client.set("key", "value")
        place = server.unix_socket
    assert not place.parent.exists()


async def test_configuration_lines_are_heeded(tmp_path: Path) -> None:
    """The URL has the configured password, and the server refuses clients without it."""
    with running(ANY, tmp_path, "requirepass secret", "maxclients 50") as server:
        async with _client(server.url) as client:
            assert await client.config_get("maxclients") == {"maxclients": "50"}
        async with _client(server.url.replace(":secret@", "")) as client:
            with pytest.raises(redis.AuthenticationError):
                await client.get("key")


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    """The error has the end of the server's log."""
    with pytest.raises(ServerError, match="no-such-setting"):
        with running(ANY, tmp_path, "no-such-setting yes"):
            pass


@each_flavour
def test_a_killed_server_comes_back_empty_on_its_port(flavour: str, tmp_path: Path) -> None:
    """A server that was stopped or killed restarts without data on the same port."""
    with running(flavour, tmp_path) as server:
        port = server.port
        for end in (server.kill, server.stop):
            server.ask("SET", "key", "value")
            end()
            assert not server.alive
            with pytest.raises(redis.ConnectionError):
                server.ask("PING")
            server.restart()
            assert (server.port, server.ask("GET", "key")) == (port, None)


def test_a_binary_without_its_executable_bit_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The copy is in the server's folder, and the installed file is unchanged."""
    bare = Path(shutil.copyfile(FLAVOURS[ANY], tmp_path / "bare"))
    monkeypatch.setitem(FLAVOURS, "bare", bare)
    with running("bare", tmp_path / "server") as server:
        assert server.ask("SET", "key", "value")
    assert not os.access(bare, os.X_OK)


def test_servers_die_with_the_process_that_started_them(tmp_path: Path) -> None:
    """The server's port closes even when the test process is killed with SIGKILL."""
    script = (
        "import sys, time, pathlib\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from servers import Server\n"
        f"server = Server({ANY!r}, pathlib.Path({str(tmp_path)!r}))\n"
        "server.start()\n"
        "print(server.port, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as child:
        assert child.stdout
        port = int(child.stdout.readline())
        assert _listens(port)
        child.kill()
    wait_until(lambda: not _listens(port), 10, "the server is gone")


def _listens(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex((HOST, port)) == 0


async def test_a_frozen_server_makes_a_client_time_out(tmp_path: Path) -> None:
    """A client times out while the server is frozen and reads its value after the thaw."""
    with running(ANY, tmp_path) as server:
        async with _client(server.url, timeout=0.3) as client:
            await client.set("key", "value")
            server.freeze()
            with pytest.raises(redis.TimeoutError):
                await client.get("key")
            server.thaw()
        async with _client(server.url) as client:
            assert await client.get("key") == "value"


@each_flavour
async def test_a_key_survives_the_migration_of_its_slot(flavour: str, tmp_path: Path) -> None:
    """A client reads the key before, during and after the move."""
    with running_cluster(flavour, tmp_path) as cluster:
        slot, source = cluster.slot_of("{tag}"), cluster.owner_of("{tag}")
        target = cluster.other_than(source)
        async with RedisCluster.from_url(cluster.url, decode_responses=True) as client:
            keys = [f"{{tag}}:{number}" for number in range(4)]
            for key in keys:
                await client.set(key, key)
            with cluster.migrating(slot, target):
                assert (source.ask("DBSIZE"), target.ask("DBSIZE")) == (2, 2)
                assert [await client.get(key) for key in keys] == keys
                with pytest.raises(redis.ResponseError, match=r"TRYAGAIN|Multiple keys"):
                    source.ask("MGET", *keys)
                assert source.info("errorstats")["errorstat_ASK"]["count"] > 0
            assert cluster.owner_of("{tag}") is target
            assert (source.ask("DBSIZE"), target.ask("DBSIZE")) == (0, 4)
            back = asyncio.create_task(asyncio.to_thread(cluster.migrate_slot, slot, source, pause=0.1))
            while not back.done():
                assert [await client.get(key) for key in keys] == keys
            await back
        assert cluster.owner_of("{tag}") is source


async def test_sentinels_promote_the_replica(tmp_path: Path) -> None:
    """The data stay, and a client that asks the sentinels finds the new primary."""
    with running_sentinels(ANY, tmp_path) as watched:
        first = watched.primary
        assert watched.master_port() == first.port
        with first.admin() as admin:
            admin.set("key", "value")
            assert admin.wait(1, 5000) == 1
        await asyncio.to_thread(watched.kill_primary_and_wait)
        assert watched.master_port() == watched.primary.port != first.port
        sentinel = cast("Any", Sentinel)(watched.sentinels, socket_timeout=5)
        async with sentinel.master_for(watched.service) as client:
            assert await client.get("key") == b"value"
            assert await client.set("key", "changed")
        for asked in sentinel.sentinels:  # it does not close the clients it asks with
            await asked.aclose()


async def test_the_tls_relay_has_a_valid_certificate(tmp_path: Path) -> None:
    """A client that trusts its CA connects, and another one refuses it."""
    with running(ANY, tmp_path) as server:
        async with tls_relay(server.port, tmp_path) as relay:
            for url in (relay.url, relay.url.replace(HOST, "localhost")):
                async with Redis.from_url(url, ssl_ca_certs=str(relay.ca_file), ssl_check_hostname=True) as client:
                    assert await client.set("key", "value")
                    assert await client.get("key") == b"value"
            async with _client(relay.url) as stranger:
                with pytest.raises(redis.ConnectionError, match=r"(?i)certificate"):
                    await stranger.get("key")


async def test_the_gate_holds_replies(tmp_path: Path) -> None:
    """The server has carried out the command while the client waits."""
    with running(ANY, tmp_path) as server:
        async with gate(server.port) as between, _client(between.url) as client:
            await client.set("key", 1)
            between.hold()
            waiting = asyncio.ensure_future(client.incr("key"))
            await between.held()
            assert server.ask("GET", "key") == "2"
            assert not waiting.done()
            between.release()
            assert await waiting == 2
            assert (between.count, between.live) == (1, 1)


async def test_the_gate_cuts_and_refuses(tmp_path: Path) -> None:
    """A client reconnects after a cut, unless the gate refuses."""
    with running(ANY, tmp_path) as server:
        async with gate(server.port) as between, _client(between.url) as client:
            between.hold()
            waiting = asyncio.ensure_future(client.ping())
            await between.held()
            between.cut()
            with pytest.raises(redis.ConnectionError):
                await waiting
            between.release()
            await between.refuse()
            with pytest.raises(redis.ConnectionError):
                await client.ping()
            await between.refuse(False)
            assert await client.ping()
            assert between.count == 2


async def test_the_gate_swallows_everything(tmp_path: Path) -> None:
    """Old and new connections get no answer until the release."""
    with running(ANY, tmp_path) as server:
        async with gate(server.port) as between, _client(between.url, timeout=0.3) as client:
            await client.set("key", "value")
            between.blackhole()
            for _ in range(2):
                with pytest.raises(redis.TimeoutError):
                    await client.delete("key")
            assert server.ask("GET", "key") == "value"
            between.release()
        async with _client(between.url.replace(str(between.port), str(server.port))) as client:
            assert await client.get("key") == "value"
