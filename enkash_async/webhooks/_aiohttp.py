"""The receiver behind aiohttp.web."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from logging import getLogger

from aiohttp import web

from enkash_async.webhooks._receiver import WebhookReceiver

__all__ = ["aiohttp_handler"]

_log = getLogger("enkash_async.webhooks")


def aiohttp_handler(receiver: WebhookReceiver) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Return a request handler that takes posts.

    `app.router.add_post("/enkash", aiohttp_handler(receiver))`

    Args:
        receiver: Takes the posts.
    """

    async def handle(request: web.Request) -> web.Response:
        if request.method != "POST":
            # Not raised: aiohttp would write the reason into the body.
            return web.Response(status=405, headers={"Allow": "POST"})
        response = web.Response(status=await _status(receiver, request))
        if not request.content.is_eof():
            await _hang_up(request, response)
        return response

    return handle


async def _status(receiver: WebhookReceiver, request: web.Request) -> int:
    """Return what to answer, also where the body breaks off; what your handler raises does not come this far."""
    try:
        return await receiver.receive(request.headers, request.content.iter_any())
    except ConnectionError:
        return 400  # whoever posted has left, and nobody reads it
    except web.RequestPayloadError:
        _log.warning("HTTP 400: the body is not encoded as its headers say")
        return 400


async def _hang_up(request: web.Request, response: web.Response) -> None:
    """Answer and close the connection, without looking at what is left of a body that is refused.

    aiohttp would go on and read it for ten seconds, even a gibibyte of packed zeros from a stranger, only to drop it.
    """
    response.force_close()
    with suppress(ConnectionError):  # whoever posted may have left
        await response.prepare(request)
        await response.write_eof()
    request.protocol.force_close()
