"""The receiver behind aiohttp.web."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
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
        return web.Response(status=await _status(receiver, request))

    return handle


async def _status(receiver: WebhookReceiver, request: web.Request) -> int:
    """Return what to answer, also where the body breaks off; what the handler raises does not come this far."""
    try:
        return await receiver.receive(request.headers, request.content.iter_any())
    except ConnectionError:
        return 400  # whoever posted has left, and nobody reads it
    except web.RequestPayloadError:
        _log.warning("HTTP 400: the body is not encoded as its headers say")
        # Else aiohttp reads on after the reply, meets the same error and logs it as its own.
        request.content.feed_eof()
        return 400
