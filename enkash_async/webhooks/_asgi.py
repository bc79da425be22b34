"""The receiver as a plain ASGI application."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias, overload

from enkash_async.webhooks._in_flight import InFlight
from enkash_async.webhooks._receiver import WebhookReceiver

__all__ = ["asgi_app"]

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]


class _GoneError(Exception):
    """The sender disconnected before the end of the body."""


class asgi_app:  # noqa: N801 (called like a function; must be a class, since Starlette treats a function as a view)
    """An ASGI application that passes posts to a receiver, at any path.

    In Starlette and FastAPI: `app.add_route("/enkash", asgi_app(receiver))`. With `mount`, only `/enkash/` would be
    answered, and `/enkash` would be redirected; EnKash may not follow the redirect.

    Args:
        receiver: Handles the posts.
    """

    def __init__(self, receiver: WebhookReceiver) -> None:
        self._receiver = receiver
        self._in_flight = InFlight[int | None]()

    # Starlette and FastAPI accept an application as a route, but their type hints demand a function of a request.
    @overload
    async def __call__(self, request: Any, /) -> Any: ...
    @overload
    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send, /) -> None: ...
    async def __call__(self, scope: Any, receive: Receive | None = None, send: Send | None = None, /) -> Any:
        """Answer one ASGI request or lifespan.

        Starlette may call the application with a request object alone. The call then returns the application as the
        response, and Starlette calls the response with the three arguments of ASGI.
        """
        if receive is None or send is None:
            return self
        await self._answer(scope, receive, send)
        return None

    async def _answer(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        elif scope["method"] != "POST":
            await _reply(send, 405, [(b"allow", b"POST")])
        elif (status := await self._in_flight.finish(self._status(scope, receive))) is not None:
            await _reply(send, status)

    async def _status(self, scope: MutableMapping[str, Any], receive: Receive) -> int | None:
        """Return the HTTP status to answer with; None if the sender has disconnected."""
        try:
            return await self._receiver.receive(scope["headers"], _chunks(receive))
        except _GoneError:
            return None


async def _chunks(receive: Receive) -> AsyncIterator[bytes]:
    is_over = False
    while not is_over:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _GoneError
        yield message.get("body", b"")
        is_over = not message.get("more_body", False)


async def _reply(send: Send, status: int, headers: list[tuple[bytes, bytes]] | None = None) -> None:
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
