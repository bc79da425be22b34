"""Sessions of the application: their middlewares and default headers do not change what is sent, nor how often."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import aiohttp
import pytest
from loops import tls_contexts

from enkash_async import ConfigurationError, EnkashClient, MemoryStore, StaticTokenProvider, TransportError
from enkash_async._http.transport import Transport
from enkash_async._support.urls import checked_base_url
from enkash_async._wire.operation import Request

from support import EAGER, RawServer, Reader, Timely, Writer, raw_server, reply

GET = Request(method="GET", path="/x")
PUT = Request(method="PUT", path="/x", body=b'{"a":1}', content_type="application/json")
FORM = Request(method="POST", path="/x", body=b"a=1", content_type="application/x-www-form-urlencoded")


async def seal(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Replace the body, as a middleware that encrypts it does."""
    if request.body:
        await request.update_body(b"sealed")
    return await handler(request)


async def sign(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    request.headers["X-Signature"] = str(len(await request.body.as_bytes()) if request.body else 0)
    return await handler(request)


async def answer(server: RawServer, reader: Reader, writer: Writer) -> None:
    await server.read_request(reader)
    writer.write(reply(b"{}"))


async def hang_up(server: RawServer, reader: Reader, writer: Writer) -> None:
    await server.read_request(reader)


@pytest.mark.parametrize("departure", [None, Timely()], ids=["change", "confirmation"])
@pytest.mark.parametrize("behave", [answer, hang_up])
async def test_a_middleware_that_replaces_the_body_is_refused(behave: object, departure: Timely | None) -> None:
    """aiohttp would send the other body twice if the server hangs up, and it would count as not sent."""
    async with (
        raw_server(behave) as server,  # type: ignore[arg-type]
        aiohttp.ClientSession(middlewares=(seal,)) as session,
    ):
        transport = Transport(checked_base_url(server.base_url), session=session)
        with pytest.raises(ConfigurationError, match="a middleware of the session replaced the body"):
            await transport.send(PUT, None, departure, alone=True)
    assert server.requests == []


async def test_a_bill_is_not_confirmed_through_a_middleware_that_replaces_bodies() -> None:
    async with raw_server(answer) as server, aiohttp.ClientSession(middlewares=(seal,)) as session:
        client = EnkashClient(
            server.base_url, tokens=StaticTokenProvider("at"), session=session, store=MemoryStore(), retry=EAGER
        )
        with pytest.raises(ConfigurationError, match="nothing was sent"):
            await client.payments.confirm_debit(["U-1"], check_first=False)
        (record,) = await client.payments.debits(["U-1"])
        assert record.state == "none"
        await client.aclose()
    assert server.requests == []


async def test_the_middlewares_of_the_session_do_their_work() -> None:
    """Those that only read the body or set headers stay in use, for requests with and without a body."""
    async with raw_server(answer) as server, aiohttp.ClientSession(middlewares=(sign,)) as session:
        transport = Transport(checked_base_url(server.base_url), session=session)
        for request in (GET, PUT):
            assert (await transport.send(request)).status == 200
    assert [b"X-Signature: 7" in one for one in server.requests] == [False, True]
    assert b"X-Signature: 0" in server.requests[0]


async def stop(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Raise what a task of aiohttp's own raises when it is cancelled."""
    (await handler(request)).close()
    raise asyncio.CancelledError


@pytest.mark.parametrize("departure", [None, Timely()], ids=["change", "confirmation"])
async def test_a_call_that_nobody_cancelled_is_not_told_as_cancelled(departure: Timely | None) -> None:
    """A `CancelledError` would end the caller's task; the request may have arrived, so the outcome is unclear."""
    async with raw_server(answer) as server, aiohttp.ClientSession(middlewares=(stop,)) as session:
        transport = Transport(checked_base_url(server.base_url), session=session)
        with pytest.raises(TransportError, match="the request may have arrived") as caught:
            await transport.send(PUT, None, departure, alone=True)
        assert caught.value.sent
        assert len(server.requests) == 1


async def linger(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    answered = await handler(request)
    await asyncio.sleep(0.1)  # meanwhile the server closes the connection
    return answered


@pytest.mark.parametrize("departure", [None, Timely()], ids=["change", "confirmation"])
async def test_a_tls_connection_that_is_closed_before_its_reply_is_read_is_no_failure(
    departure: Timely | None,
) -> None:
    """asyncio's transport then has no buffer to ask about; the reply counts all the same."""
    theirs, ours = tls_contexts()
    connector = aiohttp.TCPConnector(ssl=ours)
    async with (
        raw_server(answer, theirs) as server,
        aiohttp.ClientSession(connector=connector, middlewares=(linger,)) as session,
    ):
        transport = Transport(checked_base_url(server.base_url), session=session)
        assert (await transport.send(PUT, None, departure, alone=True)).status == 200


@pytest.mark.parametrize("request_", [PUT, FORM], ids=["JSON", "form"])
async def test_the_body_keeps_its_type(request_: Request) -> None:
    """A session for JSON would have the form of the login refused, and refused logins lock the account."""
    async with raw_server(answer) as server, aiohttp.ClientSession(headers={"Content-Type": "text/plain"}) as session:
        transport = Transport(checked_base_url(server.base_url), session=session)
        assert (await transport.send(request_)).status == 200
    assert f"Content-Type: {request_.content_type}\r\n".encode() in server.requests[0]
    assert server.requests[0].count(b"Content-Type") == 1


@pytest.mark.parametrize("departure", [None, Timely()], ids=["change", "confirmation"])
async def test_a_server_may_end_tls_together_with_its_reply(departure: Timely | None) -> None:
    """asyncio closes such a connection before aiohttp does, and forgets its buffers at the second time."""
    theirs, ours = tls_contexts()

    async def answer_and_end(server: RawServer, reader: Reader, writer: Writer) -> None:
        await reader.readuntil(b"}")
        if server.requests:
            writer.write(reply(b"{}"))
        server.requests.append(b"")
        writer.close()  # the client runs in the same event loop, so it finds reply and goodbye together

    async with raw_server(answer_and_end, theirs) as server:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=ours)) as session:
            transport = Transport(checked_base_url(server.base_url), session=session)
            with pytest.raises(TransportError) as caught:
                await transport.send(PUT, None, departure, alone=True)
            assert caught.value.sent
            for _ in range(3):
                assert (await transport.send(PUT, None, departure, alone=True)).status == 200


@pytest.mark.parametrize("departure", [None, Timely()], ids=["change", "confirmation"])
async def test_a_server_that_is_deaf_to_the_end_of_tls_holds_no_descriptor(departure: Timely | None) -> None:
    """Each create has a connection of its own; a client that waits for a goodbye would run out of descriptors."""
    theirs, ours = tls_contexts()
    opened: list[socket.socket] = []
    is_over = threading.Event()

    def opening(address: Any) -> socket.socket:
        opened.append(socket.socket(*address[:3]))
        return opened[-1]

    def answer_and_keep(listener: socket.socket) -> None:
        plain, _ = listener.accept()
        with theirs.wrap_socket(plain, server_side=True) as line:
            line.recv(65536)
            line.sendall(reply(b"{}", "200 OK", "Connection: keep-alive"))
            is_over.wait()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = threading.Thread(target=answer_and_keep, args=[listener])
        serving.start()
        connector = aiohttp.TCPConnector(ssl=ours, socket_factory=opening)
        async with aiohttp.ClientSession(connector=connector) as session:
            url = f"https://127.0.0.1:{listener.getsockname()[1]}"
            await Transport(checked_base_url(url), session=session).send(PUT, None, departure, alone=True)
            for _ in range(5):
                await asyncio.sleep(0)
            left = [one for one in opened if one.fileno() >= 0]
        is_over.set()
        await asyncio.to_thread(serving.join)
    assert len(opened) == 1
    assert left == []
