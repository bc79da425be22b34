"""Connections: none that the server has closed is used, and none is left by an event loop, a client or a process."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from loops import served, tls_contexts

from enkash_async import (
    Credentials,
    PasswordGrant,
    RetryPolicy,
    StaticTokenProvider,
)
from enkash_async._http.pipeline import Pipeline
from enkash_async._http.transport import Transport
from enkash_async._support.urls import checked_base_url
from enkash_async._wire.operation import Effect, Operation, Request

from support import RawServer, Reader, Writer, raw_server, reply

GET = Request(method="GET", path="/x")
POST = Request(method="POST", path="/x", body=b'{"a":1}', content_type="application/json")
KEEP = "Connection: keep-alive"
ONCE = RetryPolicy(attempts=1)
TWICE = RetryPolicy(attempts=2, backoff=0)

OWN = pytest.mark.parametrize("is_own", [True, False], ids=["session of the SDK", "session of the application"])


@asynccontextmanager
async def open_transport(base_url: str, *, is_own: bool, **how: Any) -> AsyncIterator[Transport]:
    """A transport with a session of its own, or with one of the application."""
    async with aiohttp.ClientSession() as session:
        transport = Transport(checked_base_url(base_url), session=None if is_own else session, **how)
        yield transport
        await transport.aclose()


class Ending:
    """A server that answers one request on each connection, and ends the connection some way when the test says so."""

    def __init__(self, end: Callable[[Writer], None]) -> None:
        self._end = end
        self._may_end = threading.Semaphore(0)
        self._ended = threading.Semaphore(0)

    async def __call__(self, server: RawServer, reader: Reader, writer: Writer) -> None:
        await server.read_request(reader)
        writer.write(reply(b"{}", "200 OK", KEEP))
        await asyncio.to_thread(self._may_end.acquire)
        self._end(writer)
        await asyncio.sleep(0.01)  # the loop of the server closes the socket in its next turn
        self._ended.release()
        await reader.read()

    def end(self, count: int = 1) -> None:
        """End so many connections, and meanwhile hold up the test's event loop, so that it cannot notice."""
        self._may_end.release(count)
        for _ in range(count):
            assert self._ended.acquire(timeout=30)


def _close(writer: Writer) -> None:
    writer.close()


def _reset(writer: Writer) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def _say_more(writer: Writer) -> None:
    writer.write(reply(b'{"stray":1}', "200 OK", KEEP))


# --- a connection that has ended meanwhile ----------------------------------------------------------------------------


@OWN
@pytest.mark.parametrize("request_", [GET, POST], ids=["GET", "POST"])
@pytest.mark.parametrize("end", [_close, _reset])
async def test_no_request_takes_a_connection_that_the_server_has_closed(
    end: Callable[[Writer], None], request_: Request, is_own: bool
) -> None:
    """Also where the event loop had no turn to notice: each of six kept connections is left, and nothing fails."""
    ending = Ending(end)
    with served(raw_server(ending)) as server:
        async with open_transport(server.base_url, is_own=is_own) as transport:
            await asyncio.gather(*(transport.send(GET) for _ in range(6)))
            ending.end(6)
            for _ in range(3):
                assert (await transport.send(request_)).status == 200
                ending.end()
    assert len(server.requests) == 9


async def test_no_request_takes_a_connection_with_stray_bytes() -> None:
    """They would pass for its reply, also for a GET, which has no body that could be held back."""
    ending = Ending(_say_more)
    with served(raw_server(ending)) as server:
        async with open_transport(server.base_url, is_own=True) as transport:
            for _ in range(3):
                assert (await transport.send(GET)).body == b"{}"
                ending.end()


@OWN
@pytest.mark.parametrize("end", [_close, _reset])
async def test_no_request_takes_a_tls_connection_that_the_server_has_closed(
    end: Callable[[Writer], None], is_own: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of a TLS connection takes the event loop more turns to see."""
    theirs, ours = tls_contexts()
    monkeypatch.setattr("aiohttp.connector._SSL_CONTEXT_VERIFIED", ours)
    ending = Ending(end)
    with served(raw_server(ending, theirs)) as server:
        async with open_transport(server.base_url, is_own=is_own) as transport:
            await asyncio.gather(*(transport.send(GET) for _ in range(6)))
            ending.end(6)
            for _ in range(3):
                assert (await transport.send(POST)).status == 200
                ending.end()
    assert len(server.requests) == 9


@OWN
async def test_a_repeated_read_has_a_fresh_connection(is_own: bool) -> None:
    """Where the server closes all kept connections just as they are used, two attempts are enough."""

    async def answer_once(server: RawServer, reader: Reader, writer: Writer) -> None:
        await server.read_request(reader)
        await asyncio.sleep(0.05)  # so that the first six have a connection each
        writer.write(reply(b"{}", "200 OK", KEEP))
        await server.read_request(reader)

    async with raw_server(answer_once) as server, open_transport(server.base_url, is_own=is_own) as transport:
        pipeline = Pipeline(transport, StaticTokenProvider("at"), TWICE)
        await asyncio.gather(*(pipeline(_operation(Effect.READ)) for _ in range(6)))
        assert await pipeline(_operation(Effect.READ)) == {}
    assert len(server.requests) == 8


def _operation(effect: Effect) -> Operation[object]:
    return Operation(name="x", request=POST, result=object, effect=effect)


@OWN
@pytest.mark.parametrize("effect", [Effect.CREATES, Effect.CONFIRMS, Effect.WRITES])
async def test_a_call_that_changes_something_has_a_connection_of_its_own(effect: Effect, is_own: bool) -> None:
    """No kept connection can end under it; reads go on to share theirs."""
    lines: list[list[int]] = []

    async def keep(server: RawServer, reader: Reader, writer: Writer) -> None:
        line: list[int] = []
        lines.append(line)
        while True:
            await server.read_request(reader)
            line.append(len(server.requests))
            writer.write(reply(b"{}", "200 OK", KEEP))

    async with raw_server(keep) as server, open_transport(server.base_url, is_own=is_own) as transport:
        pipeline = Pipeline(transport, StaticTokenProvider("at"), ONCE)
        for one in (Effect.READ, effect, Effect.READ, effect):
            await pipeline(_operation(one))
    assert lines == [[1, 3], [2], [4]]


async def test_a_login_has_a_connection_of_its_own() -> None:
    """A login counts, so none is lost on a connection of the application that the server has closed meanwhile."""
    ending = Ending(_close)
    with served(raw_server(ending)) as server:
        async with aiohttp.ClientSession() as session:
            async with session.get(server.base_url) as kept:
                await kept.read()
            ending.end()
            grant = PasswordGrant(server.base_url, Credentials("c", "s", "u", "p"), session=session)
            with pytest.raises(Exception, match="without a token that can be read"):  # the server answers `{}`
                await grant.fetch_token()
            ending.end()
    assert b"Connection: close" in server.requests[1]
