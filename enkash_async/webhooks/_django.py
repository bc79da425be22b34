"""The receiver as a Django view."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from django.http import HttpRequest, HttpResponse

from enkash_async.webhooks._receiver import WebhookReceiver

__all__ = ["django_view"]

_CHUNK = 64 * 1024
_respond: Callable[..., HttpResponse] = HttpResponse  # Django gives its constructor no types


def django_view(receiver: WebhookReceiver) -> Callable[[HttpRequest], Awaitable[HttpResponse]]:
    """Return an async view that takes posts, exempt from the CSRF check.

    `path("enkash", django_view(receiver))`. Django reads a body before it calls a view: set a limit in your web server
    as well. Run it under ASGI: under WSGI, every request has an event loop of its own, and a client belongs to one.

    Args:
        receiver: Takes the posts.
    """

    async def view(request: HttpRequest) -> HttpResponse:
        if request.method != "POST":
            return _respond(status=405, headers={"Allow": "POST"})
        scope = getattr(request, "scope", None)
        # As they came, where there is a scope: `request.headers` runs repeated ones together.
        headers = request.headers if scope is None else scope["headers"]
        return _respond(status=await receiver.receive(headers, _chunks(request)))

    view.csrf_exempt = True  # type: ignore[attr-defined]  # how Django itself marks a view
    return view


async def _chunks(request: Any) -> AsyncIterator[bytes]:
    while chunk := request.read(_CHUNK):
        yield chunk
