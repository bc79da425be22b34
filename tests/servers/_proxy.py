"""A forward proxy on 127.0.0.1: tunnels for https, and requests in absolute form for http."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from servers._serving import serving

__all__ = ["ForwardProxy", "forward_proxy"]

_LARGEST = 64 * 1024  # bytes read at once


class ForwardProxy:
    """A proxy that reaches every host at one port of this machine.

    Attributes:
        url: URL of the proxy.
        asked: The first line of each request that came in the clear, in their order.
        connections: How many connections were made to it.
    """

    def __init__(self, target: int, login: str | None) -> None:
        self.url = ""
        self.asked: list[str] = []
        self.connections = 0
        self._target = target
        self._wanted = None if login is None else b"Basic " + b64encode(login.encode())

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        upstream: asyncio.StreamWriter | None = None
        back: asyncio.Task[None] | None = None
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                first, _, rest = head.partition(b"\r\n")
                self.asked.append(first.decode())
                if not self._is_allowed(rest):
                    writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
                    continue
                if upstream is None:
                    source, upstream = await asyncio.open_connection("127.0.0.1", self._target)
                    back = asyncio.create_task(_copy(source, writer))
                if first.startswith(b"CONNECT "):
                    writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                    await _copy(reader, upstream)
                    return
                method, url, version = first.split(b" ")
                path = b"/" + url.split(b"/", 3)[3]
                upstream.write(b" ".join([method, path, version]) + b"\r\n" + rest)
                upstream.write(await reader.readexactly(_length(rest)))
        finally:
            if back is not None:
                back.cancel()
            if upstream is not None:
                upstream.close()

    def _is_allowed(self, headers: bytes) -> bool:
        given = [line.partition(b": ")[2] for line in headers.split(b"\r\n") if line.lower().startswith(b"proxy-auth")]
        return self._wanted is None or given == [self._wanted]


def _length(headers: bytes) -> int:
    lines = [line for line in headers.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return int(lines[0].partition(b":")[2]) if lines else 0


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(_LARGEST):
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def forward_proxy(target: int, *, login: str | None = None) -> AsyncIterator[ForwardProxy]:
    """A proxy in front of a port of this machine.

    Args:
        target: The port that stands for every host.
        login: `user:password` that it wants, or None.
    """
    made = ForwardProxy(target, login)
    async with serving(made.serve) as port:
        made.url = f"http://127.0.0.1:{port}"
        yield made
