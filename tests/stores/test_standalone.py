"""One Redis: over TCP, over a Unix socket, over TLS, and with a password."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis
from stores.lives import account_of, full_life, provider

from enkash_async.errors import TokenStoreError
from enkash_async.sandbox import Sandbox
from enkash_async.tokens import RedisTokenProvider, RedisTokenStore

from servers import HOST, Server, TlsRelay, running, tls_relay
from support import shown

# It stands here and not in a test, since a rendered traceback shows the locals of the test as well.
WRONG = "made-up-and-wr0ng"


@pytest.mark.parametrize("url", ["url", "unix_url"])
async def test_a_url_leads_to_a_token(redis_server: Server, sandbox: Sandbox, url: str) -> None:
    """Two workers share one login, over TCP and over a Unix socket."""
    workers = [provider(sandbox, getattr(redis_server, url)) for _ in range(2)]
    first, second = [await worker.get_token() for worker in workers]
    assert first.reveal() == second.reveal()
    assert sandbox.counts["token"] == 1
    for worker in workers:
        await worker.aclose()


@pytest.mark.parametrize("decode", [True, False])
async def test_a_client_of_the_application_serves_and_stays_open(redis_server: Server, decode: bool) -> None:
    """The store reads replies as bytes and as text, because the application chooses which."""
    async with Redis.from_url(redis_server.url, decode_responses=decode) as client:
        store = RedisTokenStore(client)
        await full_life(store)
        await store.aclose()
        assert await client.ping()


async def test_another_database_is_used_as_told(redis_server: Server) -> None:
    """The store writes its keys into the database that the URL names."""
    store = RedisTokenStore.from_url(redis_server.url.replace("/0", "/3"))
    await full_life(store)
    await store.aclose()
    with redis_server.admin() as nought, redis_server.admin(db=3) as third:
        assert (nought.dbsize(), bool(third.dbsize())) == (0, True)


@pytest.fixture
async def relay(redis_server: Server, tmp_path: Path) -> AsyncIterator[TlsRelay]:
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)  # refused handshakes are wanted
    async with tls_relay(redis_server.port, tmp_path) as made:
        yield made


async def test_tls_is_verified_with_the_ca_of_the_url(relay: TlsRelay) -> None:
    """The store runs through a token's whole life over one verified TLS connection."""
    store = RedisTokenStore.from_url(f"{relay.url}?ssl_ca_certs={relay.ca_file}")
    await full_life(store)
    await store.aclose()
    assert relay.count == 1


@pytest.mark.parametrize("case", ["unknown CA", "another name"])
async def test_a_certificate_in_doubt_is_refused(relay: TlsRelay, sandbox: Sandbox, case: str) -> None:
    """The store raises its own error, and no worker tries unproven credentials."""
    urls = {
        "unknown CA": relay.url,
        # Another spelling of the address, for which the certificate was not made out.
        "another name": f"{relay.url.replace(HOST, '127.1')}?ssl_ca_certs={relay.ca_file}",
    }
    worker = RedisTokenProvider.from_url(provider(sandbox, relay.url)._identity_source, urls[case])
    with pytest.raises(TokenStoreError, match="Redis"):
        await worker.get_token()
    await worker.aclose()
    assert relay.count == 0  # no handshake came to its end
    assert sandbox.counts["token"] == 0


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("user", ["", "enkash"])
async def test_a_wrong_redis_password_is_not_shown(
    any_flavour: str, tmp_path: Path, sandbox: Sandbox, user: str, protocol: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Error, its causes and log hide the password, and the store does not try it again and again."""
    caplog.set_level(logging.DEBUG)
    lines = ("requirepass right", "user enkash on >right ~* +@all")
    with running(any_flavour, tmp_path, *lines) as server:
        server.ask("CONFIG", "RESETSTAT")
        worker = provider(sandbox, f"redis://{user}:{WRONG}@{HOST}:{server.port}/0?protocol={protocol}")
        with pytest.raises(TokenStoreError, match="refuses the user or the password") as caught:
            await worker.get_token()
        await worker.aclose()
        assert server.info("errorstats")["errorstat_WRONGPASS"]["count"] == 1
    assert WRONG not in shown(caught.value)
    assert WRONG not in caplog.text
    assert sandbox.counts["token"] == 0


async def test_a_right_password_works(any_flavour: str, tmp_path: Path, sandbox: Sandbox) -> None:
    """The provider stores a proven token behind the password of the user `default`."""
    with running(any_flavour, tmp_path, "requirepass right") as server:
        worker = provider(sandbox, server.url)
        await worker.get_token()
        assert (await worker.status()).proven
        assert account_of(sandbox).account in server.ask("KEYS", "*")[0]
        await worker.aclose()
