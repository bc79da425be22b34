"""The receiver as a request handler of aiohttp.web."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from logging import getLogger

from aiohttp import web

from enkash_async.webhooks._in_flight import InFlight
from enkash_async.webhooks._receiver import WebhookReceiver

__all__ = ["aiohttp_handler"]

_log = getLogger("enkash_async.webhooks")


def aiohttp_handler(receiver: WebhookReceiver) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Return a request handler of aiohttp.web that passes posts to a receiver.

    `app.router.add_post("/enkash", aiohttp_handler(receiver))`

    Args:
        receiver: Handles the posts.
    """
    in_flight = InFlight[int]()

    async def handle(request: web.Request) -> web.Response:
        if request.method != "POST":
            # Return the response, do not raise it: aiohttp would write the reason of an exception into the body.
            return web.Response(status=405, headers={"Allow": "POST"})
        response = web.Response(status=await in_flight.finish(_status(receiver, request)))
        if not request.content.is_eof():
            await _hang_up(request, response)
        return response

    return handle


async def _status(receiver: WebhookReceiver, request: web.Request) -> int:
    """Return the HTTP status to answer with; the exceptions caught here come from the body, not from the handler."""
    try:
        return await receiver.receive(request.headers, _chunks(request))
    except ConnectionError:
        return 400  # the sender has disconnected and gets no answer
    except web.RequestPayloadError:
        _log.warning("HTTP 400: the body is not encoded as its headers say")
        return 400


async def _chunks(request: web.Request) -> AsyncIterator[bytes]:
    if request.content.at_eof():  # there is no body, or a middleware has read it and aiohttp has kept it
        yield await request.read()
        return
    async for chunk in request.content.iter_any():
        yield chunk


async def _hang_up(request: web.Request, response: web.Response) -> None:
    """Answer and close the connection, without reading the rest of a refused body.

    Otherwise aiohttp would read and drop the rest for up to ten seconds, for example a gibibyte of compressed zeros.
    """
    response.force_close()
    with suppress(ConnectionError):  # the sender may have disconnected
        await response.prepare(request)
        await response.write_eof()
    request.protocol.force_close()
