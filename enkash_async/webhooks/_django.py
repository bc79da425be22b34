"""The receiver as a Django view."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from django.http import HttpRequest, HttpResponse, UnreadablePostError
from django.views.debug import SafeExceptionReporterFilter

from enkash_async.webhooks._receiver import WebhookReceiver

__all__ = ["django_view"]

_CHUNK = 64 * 1024  # bytes read at once
_respond: Callable[..., HttpResponse] = HttpResponse  # Django's constructor has no type annotations


class _HideEverything(SafeExceptionReporterFilter):
    """Keeps the headers and body of a post out of the report that Django mails to ADMINS for every 5xx."""

    hidden_settings = re.compile("")  # matches every name, whatever the name of the secret header is

    def get_post_parameters(self, request: HttpRequest | None) -> dict[str, Any]:  # noqa: ARG002 (Django's signature)
        return {}


def django_view(receiver: WebhookReceiver) -> Callable[[HttpRequest], Awaitable[HttpResponse]]:
    """Return an async view that passes posts to a receiver, exempt from the CSRF check.

    `path("enkash", django_view(receiver))`. Django reads the whole body before it calls a view, so limit its size in
    your web server too. Use ASGI: under WSGI each request has its own event loop, and a client works in only one.

    Args:
        receiver: Handles the posts.
    """
    in_flight: set[asyncio.Future[int]] = set()  # keeps the tasks alive: the event loop holds only weak references

    async def view(request: HttpRequest) -> HttpResponse:
        request.exception_reporter_filter = _HideEverything()  # type: ignore[attr-defined]  # Django's documented hook
        if request.method != "POST":
            return _respond(status=405, headers={"Allow": "POST"})
        # Django cancels the view when the sender disconnects; `shield` lets the receiver finish the post.
        received = asyncio.ensure_future(_status(receiver, request))
        in_flight.add(received)
        received.add_done_callback(in_flight.discard)
        return _respond(status=await asyncio.shield(received))

    view.csrf_exempt = True  # type: ignore[attr-defined]  # as Django's decorator csrf_exempt does
    return view


async def _status(receiver: WebhookReceiver, request: HttpRequest) -> int:
    scope = getattr(request, "scope", None)
    # From the ASGI scope if there is one: `request.headers` joins repeated headers into one.
    headers = request.headers if scope is None else scope["headers"]
    try:
        return await receiver.receive(headers, _chunks(request))
    except UnreadablePostError:
        return 400  # the sender has disconnected and gets no answer


async def _chunks(request: Any) -> AsyncIterator[bytes]:
    while chunk := request.read(_CHUNK):
        yield chunk
