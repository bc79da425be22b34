"""No secret shows in a repr, a log, an error, or the locals of a rendered traceback.

The servers here are hostile: they repeat whatever they were sent in every place of their error replies.
"""

from __future__ import annotations

import asyncio
import json
import logging
import traceback
from base64 import b64encode
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote_plus

import attrs
import pytest

from enkash_async import ConfigurationError, Credentials, EnkashClient, EnkashError, RetryPolicy, Timeouts

from support import EAGER, RawServer, Reader, Writer, raw_server, reply, shown

CREDENTIALS = Credentials("my-client", "s3cret&client+", "ap-team@example.com", "pässwörd 4711%")
TOKEN = "tok-3f9a77c1d2"
SECRETS = [
    CREDENTIALS.client_secret,
    CREDENTIALS.password,
    quote_plus(CREDENTIALS.client_secret),
    quote_plus(CREDENTIALS.password),
    b64encode(f"{CREDENTIALS.client_id}:{CREDENTIALS.client_secret}".encode()).decode(),
    TOKEN,
]
CONSUMER = "CN-9876543210"


def _echo(status: str, *, login: bool, shape: str) -> Callable[[RawServer, Reader, Writer], Awaitable[None]]:
    """Return a server that fails at the login or after it, and repeats the request in its reply."""

    async def answer(server: RawServer, reader: Reader, writer: Writer) -> None:
        while True:
            request = (await server.read_request(reader)).decode()
            if b"oauth" in request.encode() and not login:
                writer.write(reply(json.dumps({"accessToken": TOKEN, "expiresIn": 300}).encode()))
            elif shape == "json":
                said = dict.fromkeys(
                    ("response_message", "payload", "error", "error_description", "message", "nested"), request
                )
                writer.write(reply(json.dumps({"response_code": 1, **said}).encode(), status))
            elif shape == "object":
                body = {"response_code": 1, "payload": {"headers": request, "list": [request, {"deep": request}]}}
                writer.write(reply(json.dumps(body).encode(), status, f"X-Request-Id: {TOKEN[:2]}"))
            elif shape == "html":
                writer.write(reply(f"<html>{request}</html>".encode(), status, "Content-Type: text/html"))
            elif shape == "truncated":
                writer.write(reply(request.encode(), status, length=100_000))
                return
            else:
                return

    return answer


CALLS: dict[str, Callable[[EnkashClient], Awaitable[object]]] = {
    "read": lambda client: client.bills.get("U-1"),
    "fetch": lambda client: client.bills.fetch_current(2001, {"cn": CONSUMER}),
    "create": lambda client: client.bills.create(2001, {"cn": CONSUMER}, bill_amount=10),
    "confirm": lambda client: client.payments.confirm_debit(["U-1"]),
    "confirm unseen": lambda client: client.payments.confirm_debit(["U-1"], check_first=False),
    "request": lambda client: client.request("POST", "x", json={"a": 1}),
}


def _assert_clean(text: str, *more: str) -> None:
    found = [secret for secret in (*SECRETS, *more) if secret in text]
    assert not found


@pytest.mark.parametrize(
    "status", ["200 OK", "400 Bad Request", "401 Unauthorized", "403 Forbidden", "502 Bad Gateway"]
)
@pytest.mark.parametrize("shape", ["json", "object", "html", "truncated", "drop"])
@pytest.mark.parametrize("call", sorted(CALLS))
async def test_a_failing_call_shows_no_secret(
    status: str, shape: str, call: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Error, log and traceback stay clean, although the server repeats the request in its reply."""
    caplog.set_level(logging.DEBUG)
    async with raw_server(_echo(status, login=False, shape=shape)) as server:
        async with EnkashClient.from_credentials(
            server.base_url, CREDENTIALS, retry=attrs.evolve(EAGER, attempts=1)
        ) as client:
            with pytest.raises(EnkashError) as caught:
                await CALLS[call](client)
    personal = (CONSUMER,) if call in {"fetch", "create"} else ()
    _assert_clean(shown(caught.value))
    _assert_clean(shown(caught.value, frames=False), *personal)
    _assert_clean(caplog.text, *personal)
    _assert_clean("".join(traceback.TracebackException.from_exception(caught.value).format()), *personal)


@pytest.mark.parametrize("status", ["200 OK", "400 Bad Request", "401 Unauthorized", "423 Locked", "503 Unavailable"])
@pytest.mark.parametrize("shape", ["json", "object", "html", "truncated", "drop"])
async def test_a_failing_login_shows_no_secret(status: str, shape: str, caplog: pytest.LogCaptureFixture) -> None:
    """The errors of the first caller and of later ones are clean."""
    caplog.set_level(logging.DEBUG)
    async with raw_server(_echo(status, login=True, shape=shape)) as server:
        once = RetryPolicy(attempts=1)
        async with EnkashClient.from_credentials(server.base_url, CREDENTIALS, retry=once) as client:
            calls = (client.bills.get("U-1") for _ in range(3))
            failures = [*await asyncio.gather(*calls, return_exceptions=True)]
            with pytest.raises(EnkashError) as caught:
                await client.bills.get("U-1")
    for failure in (*failures, caught.value):
        assert isinstance(failure, EnkashError)
        _assert_clean(shown(failure), CREDENTIALS.username)
    _assert_clean(caplog.text, CREDENTIALS.username)


async def test_a_time_out_and_a_cancellation_show_no_secret() -> None:
    """The exception has no frame of aiohttp, which holds the headers."""

    async def silence(server: RawServer, reader: Reader, writer: Writer) -> None:
        request = await server.read_request(reader)
        if b"oauth" in request:
            writer.write(reply(json.dumps({"access_token": TOKEN, "expires_in": "300"}).encode()))
            await server.read_request(reader)
        await asyncio.sleep(30)

    async with raw_server(silence) as server:
        brief = EnkashClient.from_credentials(
            server.base_url, CREDENTIALS, retry=EAGER, timeout=Timeouts(total=0.1), login_timeout=0.1
        )
        async with brief as client:
            with pytest.raises(EnkashError) as caught:
                await client.bills.create(2001, {"cn": CONSUMER})
        _assert_clean(shown(caught.value))
        _assert_clean(shown(caught.value, frames=False), CONSUMER)
        async with EnkashClient.from_credentials(server.base_url, CREDENTIALS) as client:
            task = asyncio.create_task(client.bills.get("U-1"))
            while not any(b"U-1" in request for request in server.requests):
                await asyncio.sleep(0.001)
            task.cancel()
            with pytest.raises(asyncio.CancelledError) as stopped:
                await task
        _assert_clean(shown(stopped.value))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Credentials("my-client", CREDENTIALS.client_secret, "", CREDENTIALS.password),
        lambda: Credentials("my:client", CREDENTIALS.client_secret, "u", CREDENTIALS.password),
        lambda: EnkashClient.from_credentials("http://api.example", CREDENTIALS),
        lambda: EnkashClient("https://api.example", tokens=TOKEN),  # type: ignore[arg-type]
        lambda: EnkashClient.from_env(
            {"ENKASH_CLIENT_SECRET": CREDENTIALS.client_secret, "ENKASH_PASSWORD": CREDENTIALS.password}
        ),
    ],
)
def test_a_wrong_set_up_shows_no_secret(wrong: Callable[[], Any]) -> None:
    """Users paste configuration errors into tickets."""
    with pytest.raises(ConfigurationError) as caught:
        wrong()
    _assert_clean(shown(caught.value))


def test_credentials_and_client_show_no_secret() -> None:
    """The reprs that a debugger prints show no secret, and neither do the client's attributes."""
    client = EnkashClient.from_credentials("https://api.example", CREDENTIALS)
    _assert_clean(f"{CREDENTIALS!r} {CREDENTIALS} {client!r} {vars(client)!r}")
