"""One Redis: over TCP, over a Unix socket, over TLS, through a client of the application, and with a password."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis
from stores.lives import provider, record_of, whole_life

from enkash_async.errors import StoreUnavailableError
from enkash_async.sandbox import Sandbox

from servers import HOST, Server, TlsRelay, running, tls_relay
from support import shown

# It stands here and not in a test, since a rendered traceback shows the locals of the test as well.
WRONG = "made-up-and-wr0ng"


@pytest.mark.parametrize("url", ["url", "unix_url"])
@pytest.mark.parametrize("protocol", [2, 3])
async def test_workers_share_a_token_through_a_url(redis_server: Server, url: str, protocol: int) -> None:
    """They do so over TCP and over a Unix socket, in RESP2 and RESP3."""
    where = getattr(redis_server, url)
    await whole_life(f"{where}{'&' if '?' in where else '?'}protocol={protocol}", [redis_server])


@pytest.mark.parametrize("decode", [True, False])
@pytest.mark.parametrize("protocol", [2, 3])
async def test_a_client_of_the_application_serves_and_stays_open(
    redis_server: Server, decode: bool, protocol: int
) -> None:
    """The store reads replies as bytes and as text, because the application chooses which."""
    async with Redis.from_url(redis_server.url, decode_responses=decode, protocol=protocol) as client:
        await whole_life(client, [redis_server])
        assert await client.ping()


async def test_the_database_that_the_url_names_holds_the_record(redis_server: Server, sandbox: Sandbox) -> None:
    """No other database holds anything."""
    worker = provider(sandbox, redis_server.url.replace("/0", "/3"))
    await worker.get_token()
    await worker.aclose()
    with redis_server.admin() as nought, redis_server.admin(db=3) as third:
        assert (nought.keys(), third.keys()) == ([], [record_of(sandbox)])


@pytest.fixture
async def relay(redis_server: Server, tmp_path: Path) -> AsyncIterator[TlsRelay]:
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)  # refused handshakes are wanted
    async with tls_relay(redis_server.port, tmp_path) as made:
        yield made


async def test_workers_share_a_token_over_tls(relay: TlsRelay, redis_server: Server) -> None:
    """They trust the CA that the URL names."""
    await whole_life(f"{relay.url}?ssl_ca_certs={relay.ca_file}", [redis_server])


@pytest.mark.parametrize("case", ["unknown CA", "another name"])
async def test_a_certificate_in_doubt_is_refused(relay: TlsRelay, sandbox: Sandbox, case: str) -> None:
    """The worker raises its own error and does not try unproven credentials."""
    urls = {
        "unknown CA": relay.url,
        # Another spelling of the address, for which the certificate was not made out.
        "another name": f"{relay.url.replace(HOST, '127.1')}?ssl_ca_certs={relay.ca_file}",
    }
    worker = provider(sandbox, urls[case])
    with pytest.raises(StoreUnavailableError, match="Redis"):
        await worker.get_token()
    await worker.aclose()
    assert relay.count == 0  # no handshake came to its end
    assert sandbox.counts["token"] == 0


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("user", ["", "enkash"])
async def test_a_wrong_redis_password_is_tried_once(
    any_flavour: str, tmp_path: Path, sandbox: Sandbox, user: str, protocol: int, caplog: pytest.LogCaptureFixture
) -> None:
    """The worker says that Redis refuses it and makes no login; error, causes and log hide the password."""
    caplog.set_level(logging.DEBUG)
    lines = ("requirepass right", "user enkash on >right ~* +@all")
    with running(any_flavour, tmp_path, *lines) as server:
        server.ask("CONFIG", "RESETSTAT")
        worker = provider(sandbox, f"redis://{user}:{WRONG}@{HOST}:{server.port}/0?protocol={protocol}")
        with pytest.raises(StoreUnavailableError, match="refuses the user or the password") as caught:
            await worker.get_token()
        await worker.aclose()
        assert server.info("errorstats")["errorstat_WRONGPASS"]["count"] == 1
    assert WRONG not in shown(caught.value)
    assert WRONG not in caplog.text
    assert sandbox.counts["token"] == 0


async def test_workers_share_a_token_behind_a_password(any_flavour: str, tmp_path: Path) -> None:
    """The URL holds the password of the user `default`."""
    with running(any_flavour, tmp_path, "requirepass right") as server:
        await whole_life(server.url, [server])
