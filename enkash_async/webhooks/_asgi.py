"""The receiver as a plain ASGI application."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from enkash_async.webhooks._receiver import WebhookReceiver

__all__ = ["asgi_app"]

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]


class _GoneError(Exception):
    """The sender disconnected before the end of the body."""


class asgi_app:  # noqa: N801 (called like a function; Starlette recognises an application only if it is no function)
    """An ASGI application that passes posts to a receiver, at any path.

    In Starlette and FastAPI: `app.add_route("/enkash", asgi_app(receiver))`. A `mount` would answer at `/enkash/` only
    and redirect from `/enkash`; EnKash may not follow the redirect.

    Args:
        receiver: Handles the posts.
    """

    def __init__(self, receiver: WebhookReceiver) -> None:
        self._receiver = receiver

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request or lifespan, as the ASGI specification requires."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        elif scope["method"] != "POST":
            await _answer(send, 405, [(b"allow", b"POST")])
        else:
            await self._post(scope, receive, send)

    async def _post(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        try:
            status = await self._receiver.receive(scope["headers"], _chunks(receive))
        except _GoneError:
            return
        await _answer(send, status)


async def _chunks(receive: Receive) -> AsyncIterator[bytes]:
    is_over = False
    while not is_over:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _GoneError
        yield message.get("body", b"")
        is_over = not message.get("more_body", False)


async def _answer(send: Send, status: int, headers: list[tuple[bytes, bytes]] | None = None) -> None:
    await send(
        {"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0"), *(headers or [])]}
    )
    await send({"type": "http.response.body", "body": b""})


async def _live(receive: Receive, send: Send) -> None:
    """Acknowledge startup and shutdown, for a server that runs this application by itself."""
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return
