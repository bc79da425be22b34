"""Where EnKash was told to post."""

from __future__ import annotations

from typing import Any

import attrs

from enkash_async.models._enums import WebhookEvent
from enkash_async.models.base import hidden

__all__ = ["WebhookRegistration"]


@attrs.frozen(kw_only=True)
class WebhookRegistration:
    """A registration that EnKash took.

    EnKash page: Create Webhook Configuration (api-10664805).

    Attributes:
        webhook_url: Where it posts.
        events: What about.
        payload: What EnKash answered, which is not documented, as decoded JSON; it may repeat the headers, so `repr`
            does not show it.
    """

    webhook_url: str
    events: tuple[WebhookEvent, ...]
    payload: Any = attrs.field(default=None, repr=hidden, hash=False)
