"""The receiver behind aiohttp.web."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from enkash_async.webhooks._receiver import WebhookReceiver

__all__ = ["aiohttp_handler"]


def aiohttp_handler(receiver: WebhookReceiver) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Return a request handler that takes posts.

    `app.router.add_post("/enkash", aiohttp_handler(receiver))`

    Args:
        receiver: Takes the posts.
    """

    async def handle(request: web.Request) -> web.Response:
        if request.method != "POST":
            raise web.HTTPMethodNotAllowed(request.method, ["POST"])
        return web.Response(status=await receiver.receive(request.headers, request.content.iter_any()))

    return handle
