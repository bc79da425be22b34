"""A primary that sentinels watch: workers find it through them and follow a failover."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from stores.lives import Callers, provider, record_of, sentinel_client, unreachable_port, whole_life
from stores.stores import put, sentinel_url, value_of
from tokens.doubles import until

from enkash_async.errors import StoreUnavailableError
from enkash_async.sandbox import Sandbox
from enkash_async.stores import RedisStore

from servers import HOST, SERVICE, SentinelSet, Server, free_ports, running_sentinels
from support import RawServer, Reader, Writer, raw_server

KEY = "enkash:test:v2:key"
_CLIENT_HELLO = b"\x16\x03\x01"  # how TLS begins


@pytest.fixture(scope="module")
def watched(flavour: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SentinelSet]:
    """A set whose primary stays; a test that kills one starts its own set."""
    with running_sentinels(flavour, tmp_path_factory.mktemp(flavour)) as made:
        yield made


@pytest.mark.parametrize("protocol", [2, 3])
async def test_workers_share_a_token_through_a_url_of_sentinels(watched: SentinelSet, protocol: int) -> None:
    """They do so in RESP2 and RESP3."""
    await whole_life(f"{sentinel_url(watched)}?protocol={protocol}", [watched.primary])


async def test_a_sentinel_client_of_the_application_serves_and_stays_open(watched: SentinelSet) -> None:
    """The workers share tokens through the application's client and do not close it."""
    async with sentinel_client(watched) as client:
        await whole_life(client, [watched.primary])
        assert await client.ping()


async def test_with_tls_a_sentinel_is_told_nothing_in_plain_text() -> None:
    """The store begins with a TLS handshake and sends no password."""
    said: list[bytes] = []

    async def listen(server: RawServer, reader: Reader, writer: Writer) -> None:
        said.append(await reader.read(3))

    async with raw_server(listen) as sentinel:
        place = sentinel.base_url.removeprefix("http://")
        store = RedisStore.from_url(f"rediss+sentinel://{place}/enkash?sentinel_password=made-up")
        with pytest.raises(StoreUnavailableError):
            await value_of(store, KEY)
        await store.aclose()
    assert set(said) == {_CLIENT_HELLO}


@pytest.mark.parametrize("loss", ["refuses", "is unreachable", "hangs"])
async def test_a_lost_sentinel_keeps_no_store_from_the_others(watched: SentinelSet, loss: str) -> None:
    """The store connects although the first sentinel of the list is lost."""
    good = sentinel_url(watched).removeprefix("redis+sentinel://")
    hanging = watched.watchers[0]
    with unreachable_port() as dark:
        port = {"refuses": free_ports(1)[0], "is unreachable": dark, "hangs": hanging.port}[loss]
        store = RedisStore.from_url(f"redis+sentinel://{HOST}:{port},{good}")
        if loss == "hangs":
            hanging.freeze()
        try:
            assert await put(store, f"{KEY} {loss}", b"value")
        finally:
            hanging.thaw()
            await store.aclose()


def _notice_after(watchers: list[Server], milliseconds: int) -> None:
    for watcher in watchers:
        watcher.ask("SENTINEL", "SET", SERVICE, "down-after-milliseconds", milliseconds)


async def test_a_failover_goes_unnoticed(flavour: str, tmp_path: Path) -> None:
    """Callers see no error, with tokens of a minute and with tokens that end during the failover."""
    async with Sandbox(token_lifetime=60) as steady, Sandbox(token_lifetime=1) as brief:
        with running_sentinels(flavour, tmp_path) as watched:
            url = sentinel_url(watched)
            async with sentinel_client(watched) as theirs:
                long_lived = [provider(steady, redis) for redis in (url, url, theirs, theirs)]
                short_lived = [provider(brief, redis, on_store_down="login") for redis in (url, theirs)]
                async with Callers(*long_lived) as calm, Callers(*short_lived) as busy:
                    await calm.hear(100)
                    await busy.hear(100)
                    watched.primary.ask("WAIT", 1, 5000)
                    _notice_after(watched.watchers, 60_000)
                    watched.primary.kill()
                    logins = brief.counts["token"]
                    # There is no primary, and tokens end: a worker that needs one logs in alone.
                    await until(lambda: brief.counts["token"] > logins)
                    # Two are a majority; if all three stood for election at once, they might have to do so again.
                    _notice_after(watched.watchers[:2], 500)
                    await asyncio.to_thread(watched.kill_primary_and_wait)
                    cold = provider(steady, url)
                    calm.generations.add((await cold.get_token()).generation)
                    await until(lambda: not any(one.state().store_away for one in short_lived))
                assert (calm.errors, busy.errors) == ([], [])
                assert steady.counts["token"] == len(calm.generations) <= 2
                assert (await cold.look()).generation in calm.generations
                assert record_of(steady) in watched.primary.ask("KEYS", "*")
                for one in (*long_lived, *short_lived, cold):
                    await one.aclose()
