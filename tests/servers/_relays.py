"""Relays in front of a server: one that holds replies back and cuts connections, one that speaks TLS."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, cast

from servers._server import HOST


class Gate:
    """A relay to a server in which a test can hold replies, cut connections, and refuse them.

    Attributes:
        port: Where it listens.
        count: How many connections were made to it so far.
    """

    def __init__(self, target: int, context: ssl.SSLContext | None = None) -> None:
        self.port = 0
        self.count = 0
        self._target = target
        self._context = context
        self._server: asyncio.Server | None = None
        self._clients: dict[asyncio.Task[Any], asyncio.StreamWriter] = {}
        self._open = asyncio.Event()
        self._open.set()
        self._holding = asyncio.Event()
        self._dark = False

    @property
    def url(self) -> str:
        return f"{'rediss' if self._context else 'redis'}://{HOST}:{self.port}/0"

    @property
    def live(self) -> int:
        """How many connections are there now."""
        return len(self._clients)

    def hold(self) -> None:
        """Keep what the server says from now on until `release`; commands still arrive at the server."""
        self._holding.clear()
        self._open.clear()

    async def held(self) -> None:
        """Wait until a reply is being kept: the server has then done what it was told."""
        await self._holding.wait()

    def blackhole(self) -> None:
        """Accept connections and drop every byte in both directions until `release`."""
        self._dark = True

    def release(self) -> None:
        """Forward what was held, and all that comes.

        After `blackhole` connections are cut, because bytes are missing from them.
        """
        if self._dark:
            self.cut()
        self._dark = False
        self._open.set()

    def cut(self) -> None:
        """Break all connections; what was held for them is lost."""
        for writer in self._clients.values():
            writer.transport.abort()

    async def refuse(self, on: bool = True) -> None:
        """Stop listening, so that new connections are refused; with False, listen again on the same port."""
        if self._server and on:
            self._server.close()
            self._server = None
        elif not self._server and not on:
            await self.listen()

    async def listen(self) -> None:
        """Accept connections; `gate` and `tls_relay` call this."""
        self._server = await asyncio.start_server(self._relay, HOST, self.port, ssl=self._context)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """End all connections, and wait until they are gone."""
        await self.refuse()
        while self._clients:
            self.cut()
            await asyncio.wait(list(self._clients))

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.count += 1
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        self._clients[task] = writer
        try:
            with suppress(OSError):
                await self._join(reader, writer)
            await _closed(writer)
        finally:
            del self._clients[task]

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward in both directions until one side ends; this ends the other."""
        far_reader, far_writer = await asyncio.open_connection(HOST, self._target)
        pumps = [
            asyncio.create_task(self._commands(reader, far_writer)),
            asyncio.create_task(self._replies(far_reader, writer)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            await _closed(far_writer)

    async def _commands(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            await self._forward(data, writer)

    async def _replies(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if not self._open.is_set():
                self._holding.set()
                await self._open.wait()
            await self._forward(data, writer)

    async def _forward(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        if not self._dark and not writer.is_closing():
            writer.write(data)
            await writer.drain()


async def _closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


@asynccontextmanager
async def gate(port: int) -> AsyncIterator[Gate]:
    """A gate before the server on this port."""
    made = Gate(port)
    await made.listen()
    try:
        yield made
    finally:
        await made.close()


class TlsRelay(Gate):
    """A gate that speaks TLS to clients; a client that trusts `ca_file` finds its certificate in order."""

    def __init__(self, target: int, context: ssl.SSLContext, ca_file: Path) -> None:
        super().__init__(target, context)
        self.ca_file = ca_file


@asynccontextmanager
async def tls_relay(port: int, folder: Path) -> AsyncIterator[TlsRelay]:
    """A TLS relay before the server on this port; the CA's certificate is put in the folder."""
    import trustme  # noqa: PLC0415 (the benchmarks start servers without having it)

    authority = trustme.CA()
    ca_file = folder / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(HOST, "localhost").configure_cert(context)
    made = TlsRelay(port, context, ca_file)
    await made.listen()
    try:
        yield made
    finally:
        await made.close()
