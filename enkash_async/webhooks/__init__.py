"""Receives EnKash's posts: verifies them, confirms the bill with the API, and hands each event to your handler once.

::

    verifier = WebhookVerifier(headers={"X-Webhook-Key": os.environ["ENKASH_WEBHOOK_KEY"]})
    receiver = WebhookReceiver(verifier, client=client, on_bill=on_bill)
    app.router.add_post("/enkash", aiohttp_handler(receiver))

EnKash signs nothing, numbers no events and promises no resends: a post proves only that its sender knows your header.
`WebhookVerifier` by itself reads posts without any I/O.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from enkash_async.webhooks._aiohttp import aiohttp_handler
    from enkash_async.webhooks._asgi import asgi_app
    from enkash_async.webhooks._django import django_view
    from enkash_async.webhooks._event import BillEvent
    from enkash_async.webhooks._receiver import WebhookReceiver
    from enkash_async.webhooks._verifier import WebhookVerifier

__all__ = [
    "BillEvent",
    "WebhookReceiver",
    "WebhookVerifier",
    "aiohttp_handler",
    "asgi_app",
    "django_view",
]

# Loaded on first use (PEP 562): an application has only one of the web frameworks installed.
_HOMES = {
    "BillEvent": "_event",
    "WebhookReceiver": "_receiver",
    "WebhookVerifier": "_verifier",
    "aiohttp_handler": "_aiohttp",
    "asgi_app": "_asgi",
    "django_view": "_django",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value  # the next access does not call this function
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
