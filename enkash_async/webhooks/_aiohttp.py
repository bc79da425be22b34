"""The receiver as a request handler of aiohttp.web."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from logging import getLogger

from aiohttp import web

from enkash_async.webhooks._receiver import WebhookReceiver

__all__ = ["aiohttp_handler"]

_log = getLogger("enkash_async.webhooks")


def aiohttp_handler(receiver: WebhookReceiver) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Return a request handler of aiohttp.web that passes posts to a receiver.

    `app.router.add_post("/enkash", aiohttp_handler(receiver))`

    Args:
        receiver: Handles the posts.
    """

    async def handle(request: web.Request) -> web.Response:
        if request.method != "POST":
            # Returned, not raised: aiohttp would write the reason of an exception into the body.
            return web.Response(status=405, headers={"Allow": "POST"})
        response = web.Response(status=await _status(receiver, request))
        if not request.content.is_eof():
            await _hang_up(request, response)
        return response

    return handle


async def _status(receiver: WebhookReceiver, request: web.Request) -> int:
    """Return the HTTP status to answer with, also for a body that breaks off; `receive` lets no handler error out."""
    try:
        return await receiver.receive(request.headers, request.content.iter_any())
    except ConnectionError:
        return 400  # the sender has disconnected and gets no answer
    except web.RequestPayloadError:
        _log.warning("HTTP 400: the body is not encoded as its headers say")
        return 400


async def _hang_up(request: web.Request, response: web.Response) -> None:
    """Answer and close the connection, without reading the rest of a refused body.

    Otherwise aiohttp would read and drop the rest for ten seconds: a gibibyte of compressed zeros from a stranger, say.
    """
    response.force_close()
    with suppress(ConnectionError):  # the sender may have disconnected
        await response.prepare(request)
        await response.write_eof()
    request.protocol.force_close()
