"""The receiver as a Django view."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse, UnreadablePostError
from django.views.debug import SafeExceptionReporterFilter

from enkash_async.webhooks._event import BillEvent
from enkash_async.webhooks._in_flight import InFlight
from enkash_async.webhooks._receiver import WebhookReceiver

__all__ = ["django_view"]

_CHUNK = 64 * 1024  # bytes read at once
_respond: Callable[..., HttpResponse] = HttpResponse  # Django's constructor has no type annotations


class _HideEverything(SafeExceptionReporterFilter):
    """Keeps the headers and body of a post out of the report that Django mails to ADMINS for every 5xx."""

    hidden_settings = re.compile("")  # matches every name, since the secret header may have any name

    def get_post_parameters(self, request: HttpRequest | None) -> dict[str, Any]:  # noqa: ARG002 (Django's signature)
        return {}


def django_view(receiver: WebhookReceiver) -> Callable[[HttpRequest], Awaitable[HttpResponse]]:
    """Return an async view that passes posts to a receiver, exempt from the CSRF check.

    `path("enkash", django_view(receiver))`. Django reads the whole body before it calls a view, so limit its size in
    your web server too. A handler that is not async may use the ORM. Use ASGI: under WSGI each request has its own
    event loop, and a client works in only one.

    Args:
        receiver: Handles the posts.
    """
    in_flight = InFlight[int]()  # Django cancels the view when the sender disconnects

    async def view(request: HttpRequest) -> HttpResponse:
        request.exception_reporter_filter = _HideEverything()  # type: ignore[attr-defined]  # Django's documented hook
        if request.method != "POST":
            return _respond(status=405, headers={"Allow": "POST"})
        return _respond(status=await in_flight.finish(_status(receiver, request)))

    view.csrf_exempt = True  # type: ignore[attr-defined]  # as Django's decorator csrf_exempt does
    return view


async def _status(receiver: WebhookReceiver, request: HttpRequest) -> int:
    scope = getattr(request, "scope", None)
    # Take the headers of the ASGI scope if there is one, since `request.headers` joins repeated headers into one.
    headers = request.headers if scope is None else scope["headers"]
    try:
        return await receiver.receive(headers, _chunks(request), in_thread=_in_thread)
    except UnreadablePostError:
        return 400  # the sender has disconnected and gets no answer


async def _in_thread(on_bill: Callable[[BillEvent], Any], event: BillEvent) -> Any:
    """Run a handler in a thread in which it may use the ORM; Django closes the database connections afterwards."""
    return await sync_to_async(on_bill, thread_sensitive=True)(event)


async def _chunks(request: Any) -> AsyncIterator[bytes]:
    if (read := getattr(request, "_body", None)) is not None:  # a middleware has read the body, and Django has kept it
        yield read
        return
    while chunk := request.read(_CHUNK):
        yield chunk
