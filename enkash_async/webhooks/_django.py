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

_CHUNK = 64 * 1024
_respond: Callable[..., HttpResponse] = HttpResponse  # Django gives its constructor no types


class _Mute(SafeExceptionReporterFilter):
    """Keeps the headers and the body of a post out of Django's reports: it mails one to ADMINS for every 5xx."""

    hidden_settings = re.compile("")  # fits every name, whatever the header with the secret is called

    def get_post_parameters(self, request: HttpRequest | None) -> dict[str, Any]:  # noqa: ARG002 (Django's signature)
        return {}


def django_view(receiver: WebhookReceiver) -> Callable[[HttpRequest], Awaitable[HttpResponse]]:
    """Return an async view that takes posts, exempt from the CSRF check.

    `path("enkash", django_view(receiver))`. Django reads a body before it calls a view: set a limit in your web server
    as well. Run it under ASGI: under WSGI, every request has an event loop of its own, and a client belongs to one.

    Args:
        receiver: Takes the posts.
    """
    under_way: set[asyncio.Future[int]] = set()  # the event loop keeps only weak references

    async def view(request: HttpRequest) -> HttpResponse:
        request.exception_reporter_filter = _Mute()  # type: ignore[attr-defined]  # how Django is told, per request
        if request.method != "POST":
            return _respond(status=405, headers={"Allow": "POST"})
        # Django cancels a view whose sender has left; what was taken is handled to its end all the same.
        taken = asyncio.ensure_future(_status(receiver, request))
        under_way.add(taken)
        taken.add_done_callback(under_way.discard)
        return _respond(status=await asyncio.shield(taken))

    view.csrf_exempt = True  # type: ignore[attr-defined]  # how Django itself marks a view
    return view


async def _status(receiver: WebhookReceiver, request: HttpRequest) -> int:
    scope = getattr(request, "scope", None)
    # As they came, where there is a scope: `request.headers` runs repeated ones together.
    headers = request.headers if scope is None else scope["headers"]
    try:
        return await receiver.receive(headers, _chunks(request))
    except UnreadablePostError:
        return 400  # whoever posted has left, and nobody reads it


async def _chunks(request: Any) -> AsyncIterator[bytes]:
    while chunk := request.read(_CHUNK):
        yield chunk
