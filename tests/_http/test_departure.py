"""A request that must not be sent twice: written down first, begun in time, on a connection of its own."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import aiohttp
import attrs
import pytest

from enkash_async import (
    InMemoryTokenProvider,
    PasswordGrant,
    RetryPolicy,
    StaticTokenProvider,
    StoreUnavailableError,
    Timeouts,
    TransportError,
)
from enkash_async._http.pipeline import Pipeline
from enkash_async._http.transport import Transport
from enkash_async._support.urls import checked_base_url
from enkash_async._wire.operation import Effect, Operation, Request
from enkash_async.errors import EnkashError
from enkash_async.sandbox import FaultKind, Sandbox

from support import RawServer, Reader, Writer, raw_server, reply

GET = Request(method="GET", path="/x")
PUT = Request(method="PUT", path="/x", body=b'{"a":1}', content_type="application/json")
KEEP = "Connection: keep-alive"


@attrs.define
class Notes:
    """A departure that counts, and does what the test says."""

    noted: int = 0
    timely: bool = True
    trouble: EnkashError | None = None

    async def note(self) -> None:
        self.noted += 1
        if self.trouble is not None:
            raise self.trouble

    def is_timely(self) -> bool:
        return self.timely


class Lines:
    """A server that keeps connections alive, and records which request came over which."""

    def __init__(self, stray: bytes = b"") -> None:
        self.lines: list[list[str]] = []
        self.stray = stray

    async def __call__(self, server: RawServer, reader: Reader, writer: Writer) -> None:
        line: list[str] = []
        self.lines.append(line)
        while True:
            line.append((await server.read_request(reader)).split(b" ")[0].decode())
            writer.write(reply(b"{}", "200 OK", KEEP) + self.stray)


@pytest.mark.parametrize("is_own", [True, False], ids=["session of the SDK", "session of the application"])
async def test_a_confirmation_has_a_connection_of_its_own(is_own: bool) -> None:
    """Reads share a connection that is kept; each confirmation opens one, also where the server would keep it."""
    lines = Lines()
    async with raw_server(lines) as server, aiohttp.ClientSession() as session:
        transport = Transport(checked_base_url(server.base_url), session=None if is_own else session)
        for request, departure in ((GET, None), (PUT, Notes()), (GET, None), (PUT, Notes()), (PUT, None)):
            await transport.send(request, None, departure)
        assert sorted(lines.lines) == [["GET", "GET", "PUT"], ["PUT"], ["PUT"]]
        assert sum(b"Connection: close" in request for request in server.requests) == 2
        await transport.aclose()


@pytest.mark.parametrize("stray", [reply(b'{"response_code":0}'), b"x"])
async def test_bytes_after_the_reply_make_it_unclear(stray: bytes) -> None:
    """The reply may be another request's, since it names no bill; a plain write keeps its reply."""
    async with raw_server(Lines(stray)) as server:
        transport = Transport(checked_base_url(server.base_url))
        with pytest.raises(TransportError, match=r"none is believed|broke off") as caught:
            await transport.send(PUT, None, Notes())
        assert caught.value.sent
        await transport.aclose()


@pytest.mark.parametrize("departure", [None, Notes()], ids=["create", "confirmation"])
async def test_a_reply_that_comes_before_the_request_is_not_believed(departure: Notes | None) -> None:
    """The server replies as soon as the connection is open; nothing is sent, and the error says so."""

    async def reply_first(server: RawServer, reader: Reader, writer: Writer) -> None:
        writer.write(reply(b'{"response_code":0}', "200 OK", KEEP))
        while True:
            await server.read_request(reader)

    async def wait(*_: object) -> None:
        await asyncio.sleep(0.1)

    watch = aiohttp.TraceConfig()
    watch.on_connection_create_end.append(wait)
    async with raw_server(reply_first) as server, aiohttp.ClientSession(trace_configs=[watch]) as session:
        transport = Transport(checked_base_url(server.base_url), session=session)
        with pytest.raises(TransportError, match="a reply came before the request was sent") as caught:
            await transport.send(PUT, None, departure, alone=True)
        assert not caught.value.sent
        await asyncio.sleep(0.05)
        assert server.requests == []
        await transport.aclose()


@pytest.mark.parametrize("status", ["413 Too Large", "401 No", "200 OK"])
@pytest.mark.parametrize("departure", [None, Notes()], ids=["create", "confirmation"])
async def test_an_early_answer_to_a_request_that_waits_for_100_is_told(departure: Notes | None, status: str) -> None:
    """The server answers the headers alone: its answer is named and not believed, and no body is sent."""

    async def refuse(server: RawServer, reader: Reader, writer: Writer) -> None:
        got.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(reply(b'{"response_code":0}', status, KEEP))
        with contextlib.suppress(ConnectionError):
            got.append(await reader.read())
        is_over.set()

    got: list[bytes] = []
    is_over = asyncio.Event()
    async with raw_server(refuse) as server, aiohttp.ClientSession(headers={"Expect": "100-continue"}) as session:
        transport = Transport(checked_base_url(server.base_url), session=session)
        with pytest.raises(TransportError) as caught:
            await transport.send(PUT, None, departure, alone=True)
        assert str(caught.value) == (
            f"127.0.0.1: a reply came before the request was sent (HTTP {status[:3]}), and is not believed; "
            "nothing was sent"
        )
        assert (caught.value.sent, caught.value.status) == (False, 0)
        await asyncio.wait_for(is_over.wait(), 30)
        await transport.aclose()
    assert got[0].startswith(b"PUT ")
    assert b"".join(got[1:]) == b""


async def test_the_connection_of_a_lone_read_is_never_kept() -> None:
    """Not for one turn of the event loop: a confirmation could take it, and then the late end of the read's reply."""
    kept: list[bool] = []

    class Connector(aiohttp.TCPConnector):
        def _release(self, key: Any, protocol: Any, *, should_close: bool = False) -> None:
            kept.append(not (should_close or protocol.should_close))
            super()._release(key, protocol, should_close=should_close)

    async def serve(server: RawServer, reader: Reader, writer: Writer) -> None:
        while True:
            await server.read_request(reader)
            whole = reply(b'{"a":"' + b"x" * 50 + b'"}', "200 OK", KEEP)
            writer.write(whole[:-10])
            await asyncio.sleep(0.05)
            writer.write(whole[-10:])

    async with raw_server(serve) as server, aiohttp.ClientSession(connector=Connector()) as session:
        transport = Transport(checked_base_url(server.base_url), session=session)
        await transport.send(GET, None)
        await transport.send(GET, None, alone=True)
        assert kept == [True, False]
        await transport.aclose()


async def test_a_request_that_was_held_up_is_not_begun() -> None:
    """Not a byte of its body leaves, so that the server sees no whole request."""
    async with raw_server(Lines()) as server:
        transport = Transport(checked_base_url(server.base_url))
        with pytest.raises(TransportError, match="nothing was sent") as caught:
            await transport.send(PUT, None, Notes(timely=False))
        assert not caught.value.sent
        await asyncio.sleep(0.05)
        assert server.requests == []
        await transport.aclose()


async def test_no_trace_comes_between_the_last_look_and_the_first_byte() -> None:
    """aiohttp awaits the traces of a chunk before it sends the chunk; a slow one would make a confirmation late."""
    departure, is_told = Notes(), asyncio.Event()
    arrived = asyncio.Event()

    async def serve(server: RawServer, reader: Reader, writer: Writer) -> None:
        await server.read_request(reader)
        arrived.set()
        writer.write(reply(b"{}"))

    async def trace(_session: object, _context: object, sent: aiohttp.TraceRequestChunkSentParams) -> None:
        assert sent.chunk == PUT.body
        is_told.set()
        await asyncio.wait_for(arrived.wait(), 30)

    watch = aiohttp.TraceConfig()
    watch.on_request_chunk_sent.append(trace)
    async with raw_server(serve) as server, aiohttp.ClientSession(trace_configs=[watch]) as session:
        transport = Transport(checked_base_url(server.base_url), session=session, timeout=Timeouts(total=60))
        assert (await transport.send(PUT, None, departure)).status == 200
        assert is_told.is_set()
        await transport.aclose()


async def test_a_connection_that_is_given_up_is_reset() -> None:
    """Bytes that are still buffered leave no more: the server sees a reset, not an end."""
    ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def wait(server: RawServer, reader: Reader, writer: Writer) -> None:
        await server.read_request(reader)
        try:
            ended.set_result("end" if await reader.read(1) == b"" else "more")
        except ConnectionResetError:
            ended.set_result("reset")

    async with raw_server(wait) as server:
        transport = Transport(checked_base_url(server.base_url), timeout=Timeouts(total=0.2))
        with pytest.raises(TransportError):
            await transport.send(PUT, None, Notes())
        assert await ended == "reset"
        await transport.aclose()


def _confirm(departure: Notes) -> Operation[object]:
    request = Request(method="PUT", path="/api/v2/biller", body=b"{}", content_type="application/json")
    return Operation(name="x", request=request, result=object, effect=Effect.CONFIRMS, departure=departure)


async def test_each_sending_is_noted_also_after_a_401() -> None:
    """The second one goes out with a new token, and is written down anew."""
    async with Sandbox(settle_after=0.0) as sandbox:
        notes = Notes()
        transport = Transport(sandbox.base_url)
        tokens = InMemoryTokenProvider(PasswordGrant(sandbox.base_url, sandbox.credentials))
        sandbox.faults.add("billers", FaultKind.UNAUTHORIZED, times=1)
        read = Operation(
            name="x",
            request=Request(method="GET", path="/api/v2/biller"),
            result=object,
            effect=Effect.READ,
            departure=notes,
        )
        await Pipeline(transport, tokens, RetryPolicy())(read)
        assert (notes.noted, sandbox.counts["billers"]) == (2, 2)
        await transport.aclose()


async def test_what_cannot_be_noted_is_not_sent() -> None:
    """The failure of the store is the caller's, and EnKash sees nothing."""
    async with raw_server(Lines()) as server:
        transport = Transport(checked_base_url(server.base_url))
        notes = Notes(trouble=StoreUnavailableError("the store is away"))
        with pytest.raises(StoreUnavailableError):
            await Pipeline(transport, StaticTokenProvider("at"), RetryPolicy())(_confirm(notes))
        assert (notes.noted, server.requests) == (1, [])
        await transport.aclose()


async def test_no_policy_repeats_what_was_noted() -> None:
    """`RetryPolicy.writes` repeats other writes after a 503 that asks to come back, and no confirmation."""

    async def busy(server: RawServer, reader: Reader, writer: Writer) -> None:
        await server.read_request(reader)
        writer.write(reply(b"", "503 Service Unavailable", "Retry-After: 0"))

    async with raw_server(busy) as server:
        transport = Transport(checked_base_url(server.base_url))
        policy = RetryPolicy(backoff=0.0, writes=True)
        with pytest.raises(EnkashError):
            await Pipeline(transport, StaticTokenProvider("at"), policy)(_confirm(Notes()))
        assert len(server.requests) == 1
        await transport.aclose()
