"""Request bodies that are written at most once, never late, and never on a connection with unrequested bytes."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from typing import Any

import aiohttp
from aiohttp.payload import BytesPayload

from enkash_async._http.connections import has_stray_bytes
from enkash_async._http.failures import NotBegunError
from enkash_async._support.causes import Cause
from enkash_async._support.transports import beneath_tls
from enkash_async._wire.operation import Departure, Request

__all__ = ["LoneShot", "OneShot", "body_of"]

_BARE = frozenset({"GET", "HEAD"})  # methods that change nothing, so that a retry by aiohttp does no harm
_USER_TIMEOUT: int | None = getattr(socket, "TCP_USER_TIMEOUT", None)  # Linux only
_UNHEARD = 30  # seconds without an acknowledgement of sent bytes, after which the system closes the connection


def body_of(request: Request, departure: Departure | None, *, alone: bool) -> OneShot | None:
    """Return the body of a request; None for a request that has none.

    Args:
        request: The request.
        departure: Says whether the body may still be sent; None for a body that may be sent late.
        alone: Whether the connection serves this request only.
    """
    if request.method in _BARE and request.body is None:
        return None
    body = request.body or b""
    if departure is None:
        return OneShot(body, content_type=request.content_type, alone=alone)
    return LoneShot(body, content_type=request.content_type, is_timely=departure.is_timely)


class OneShot(BytesPayload):
    """A request body that can be written only once; prevents a second debit.

    aiohttp silently retries PUT and DELETE when a kept-alive connection drops, and a confirmation of a debit is a PUT.
    This body refuses to be written a second time. `begun` is False if nothing was sent, and True if the request may
    have been sent.

    The body also refuses a connection on which unrequested bytes have arrived, since they could be taken for the reply.

    Args:
        value: The body.
        content_type: Media type of the body.
        alone: Whether the connection serves this request only.
    """

    begun = False
    is_replaced = False

    def __init__(self, value: bytes, *, content_type: str | None, alone: bool) -> None:
        super().__init__(value, content_type=content_type)
        self._alone = alone
        self._is_withdrawn = False
        # The transports of a connection that serves this request only: aiohttp's, and the one that has the socket.
        self._line: Any = None
        self._beneath: Any = None

    def withdraw(self, *, is_answered: bool) -> None:
        """Refuse from now on to write the body, because the caller already has a result.

        A connection that serves only this request is closed at once. Otherwise asyncio would wait up to 30 s for the
        server to end TLS, and each call would hold a file descriptor until then.

        Args:
            is_answered: Whether a whole reply has arrived.
        """
        self._is_withdrawn = True
        if is_answered and self._line is not None and not _unsent(self._line, self._beneath):
            self._beneath.abort()

    async def let_no_other(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Refuse a request whose body is not this object. Must be the last client middleware before the connection.

        Another middleware may replace the body. aiohttp could then send it twice, while `begun` stays False.
        """
        if request.body is not self:
            self.is_replaced = True
            raise NotBegunError(Cause.CLOSED)
        return await handler(request)

    async def write_with_length(self, writer: Any, content_length: int | None) -> None:
        if self.begun or self._is_withdrawn:
            raise NotBegunError(Cause.CLOSED)  # a retry by aiohttp, or a write after the caller got a result
        line = writer.transport  # None if the connection was lost meanwhile; aiohttp then raises
        if line is not None and has_stray_bytes(line.get_protocol()):
            line.abort()
            # No other request had this connection, so the bytes were meant for this one, or for nobody.
            raise NotBegunError(Cause.EARLY if self._alone else Cause.STRAY)
        if line is not None and self._alone:
            self._line, self._beneath = line, beneath_tls(line)
            line.get_protocol().force_close()  # even if the server ignores `Connection: close`
        self.begun = True
        await super().write_with_length(writer, content_length)


class LoneShot(OneShot):
    """The body of a request that has a connection of its own, and that must not be sent late.

    Prevents a double debit in two ways. The reply to a confirmation names no bill, so on a shared connection a stray
    reply could be taken for it. And a process that is suspended before the first byte must not send after it wakes up,
    since another process may have sent the confirmation by then.

    Args:
        value: The body.
        content_type: Media type of the body.
        is_timely: Returns whether the sending of the body may still begin.
    """

    def __init__(self, value: bytes, *, content_type: str | None, is_timely: Callable[[], bool]) -> None:
        super().__init__(value, content_type=content_type, alone=True)
        self._is_timely = is_timely
        self._socket: Any = None  # the transport that has it
        self._protocol: Any = None

    async def write_with_length(self, writer: Any, content_length: int | None) -> None:
        self._protocol = writer.transport.get_protocol()
        self._socket = beneath_tls(writer.transport)
        _set_option(self._socket, socket.IPPROTO_TCP, _USER_TIMEOUT, _UNHEARD * 1000)
        # aiohttp awaits the session's traces of a sent chunk before it writes the chunk: they could make it late.
        tell, writer._on_chunk_sent = getattr(writer, "_on_chunk_sent", None), None  # noqa: SLF001 (no public way)
        if not self.begun and not self._is_timely():
            raise NotBegunError(Cause.TOO_LATE)
        await super().write_with_length(writer, content_length)
        if tell is not None:
            await tell(self._value)

    @property
    def has_stray_bytes(self) -> bool:
        """Whether bytes have arrived that do not belong to the reply."""
        return has_stray_bytes(self._protocol)

    def withdraw(self, *, is_answered: bool) -> None:
        """Refuse from now on to write the body; without a reply, reset the connection, so that no byte leaves later."""
        super().withdraw(is_answered=is_answered)
        if self._socket is not None and not is_answered:
            _set_option(self._socket, socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._socket.abort()


def _unsent(line: Any, beneath: Any) -> int:
    """Return how many bytes of a connection wait to be sent; asyncio forgets those of TLS that was closed twice."""
    try:
        size: int = line.get_write_buffer_size()
    except AttributeError:
        size = beneath.get_write_buffer_size()
    return size


def _set_option(transport: asyncio.Transport, level: int, option: int | None, value: int | bytes) -> None:
    """Set an option of a transport's socket, if the system knows it and the socket is open."""
    line = transport.get_extra_info("socket")
    if option is not None and line is not None:
        with contextlib.suppress(OSError):
            line.setsockopt(level, option, value)
