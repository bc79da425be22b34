"""Answers a request as its fault demands."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from http.client import responses
from typing import TypeAlias

import attrs
from aiohttp import web

from enkash_async.sandbox._faults import Fault, FaultKind
from enkash_async.sandbox._reply import Reply, enveloped
from enkash_async.sandbox._tasks import Sleep, Tasks

__all__ = ["Deed", "Failing", "Work", "failure", "hang_up", "response"]

# A `Deed` does the work of a request that was read and authenticated, and returns the reply. It needs no connection.
Deed: TypeAlias = Callable[[], Reply]
Work: TypeAlias = Callable[[web.Request], Awaitable[Deed]]


def failure(status: int, text: str, code: int = 1) -> Reply:
    """Return a failure in EnKash's envelope; the payload is the text, which explains the failure."""
    return enveloped(text, status=status, code=code, message="FAILURE")


def response(reply: Reply) -> web.Response:
    """Return a reply as aiohttp sends it."""
    return web.Response(
        status=reply.status, text=reply.text, content_type=reply.content_type, headers=dict(reply.headers)
    )


def hang_up(request: web.Request) -> web.Response:
    """Close the connection of a request, and return a response that never arrives."""
    # aiohttp then silently fails to write the reply to the closed connection, as intended.
    if request.transport is not None:
        request.transport.close()
    return web.Response()


class Failing:
    """Produces faults, and keeps the work and the replies that faults postpone.

    Args:
        sleep: Waits the given seconds.

    Attributes:
        late: Work that LATE postponed, after the caller got an answer or lost the connection.
    """

    def __init__(self, sleep: Sleep) -> None:
        self._sleep = sleep
        self.late = Tasks()
        self._strays: dict[asyncio.Transport | None, bytes] = {}
        self._held = Tasks()

    async def answer(self, fault: Fault, request: web.Request, work: Work) -> web.StreamResponse:
        """Return the response to a request to which a fault applies."""
        if fault.kind is FaultKind.DROP_BEFORE:
            return hang_up(request)
        refusal = _refusal(fault)
        if refusal is not None:
            return response(refusal)
        if fault.kind is FaultKind.SLOW:
            await request.read()  # read first, so that the work is done even if the caller gives up
            await self._sleep(fault.delay)
        deed = await work(request)
        if fault.kind is FaultKind.LATE:
            self.late.start(self._do_late(deed, fault.delay))
            return hang_up(request) if fault.status is None else response(_untrue(fault.status))
        if fault.kind is FaultKind.STRAY:
            return await self._send_twice(request, deed(), fault.delay)
        return await _send_after(fault, request, deed())

    def send_stray(self, request: web.Request) -> None:
        """Send the extra reply that a fault has left for the connection of this request, if there is one."""
        self._send_stray(request.transport)

    async def close(self) -> None:
        """Drop the work and the replies that are still postponed."""
        await self.late.cancel()
        await self._held.cancel()

    async def _do_late(self, deed: Deed, delay: float) -> None:
        await self._sleep(delay)
        deed()  # its reply is dropped, since the caller is gone

    async def _send_twice(self, request: web.Request, reply: Reply, delay: float) -> web.StreamResponse:
        sent = response(reply)
        await sent.prepare(request)
        await sent.write_eof()
        self._strays[request.transport] = _raw(reply)
        if delay:
            self._held.start(self._send_later(request.transport, delay))
        else:
            self._send_stray(request.transport)
        return sent

    async def _send_later(self, connection: asyncio.Transport | None, delay: float) -> None:
        await self._sleep(delay)
        self._send_stray(connection)

    def _send_stray(self, connection: asyncio.Transport | None) -> None:
        raw = self._strays.pop(connection, None)
        if raw is not None and connection is not None and not connection.is_closing():
            connection.write(raw)


async def _send_after(fault: Fault, request: web.Request, reply: Reply) -> web.StreamResponse:
    """Return the response of a fault that applies after the work is done."""
    match fault:
        case Fault(kind=FaultKind.DROP_AFTER):
            return hang_up(request)
        case Fault(kind=FaultKind.TRUNCATED):
            return await _truncated(request, reply)
        case Fault(kind=FaultKind.SERVER_ERROR_AFTER):
            return response(_untrue(502))
        case Fault(kind=FaultKind.NOT_JSON):
            return response(Reply.html(200, "Welcome"))
        case Fault(kind=FaultKind.NULL_PAYLOAD):
            return response(_untrue(200))
        case Fault(kind=FaultKind.REFUSED_AFTER, status=int(status)):
            return response(_untrue(status))
        case _:
            return response(reply)


def _refusal(fault: Fault) -> Reply | None:
    """Return the reply of a fault that prevents the work, or None for the other kinds."""
    headers = {} if fault.retry_after is None else {"Retry-After": fault.retry_after}
    match fault.kind:
        case FaultKind.UNAUTHORIZED:
            return failure(401, "Access token is unknown")
        case FaultKind.RATE_LIMITED:
            return attrs.evolve(failure(429, "Too many requests"), headers=headers)
        case FaultKind.BAD_GATEWAY:
            return Reply.html(502, "502 Bad Gateway")
        case FaultKind.UNAVAILABLE:
            return attrs.evolve(failure(503, "Service unavailable"), headers=headers)
        case FaultKind.SERVER_ERROR:
            return failure(500, "Internal server error")
        case _:
            return None


def _untrue(status: int) -> Reply:
    """Return a reply that hides whether the work is done: success without a payload, a refusal, or an HTML page."""
    reason = responses.get(status, "Unknown")
    if status == 200:
        return enveloped(None)
    return failure(status, reason) if status < 500 else Reply.html(status, f"{status} {reason}")


def _raw(reply: Reply) -> bytes:
    body = reply.text.encode()
    head = (
        f"HTTP/1.1 {reply.status} {responses.get(reply.status, '')}",
        f"Content-Type: {reply.content_type}; charset=utf-8",
        f"Content-Length: {len(body)}",
    )
    return "\r\n".join((*head, "", "")).encode() + body


async def _truncated(request: web.Request, reply: Reply) -> web.StreamResponse:
    body = reply.text.encode()
    cut = web.StreamResponse(status=reply.status, headers={"Content-Length": str(len(body))})
    cut.content_type = reply.content_type
    await cut.prepare(request)
    await cut.write(body[: len(body) // 2])
    hang_up(request)
    return cut
