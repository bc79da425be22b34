"""The registration of a webhook with EnKash."""

from __future__ import annotations

from typing import Any

import attrs

from enkash_async.models._enums import WebhookEvent
from enkash_async.models.base import Travels, hidden

__all__ = ["WebhookRegistration"]


@attrs.frozen(kw_only=True)
class WebhookRegistration(Travels):
    """A webhook that EnKash has registered.

    EnKash page: Create Webhook Configuration (api-10664805).

    Attributes:
        webhook_url: URL to which EnKash posts.
        events: Events that EnKash posts.
        payload: EnKash's undocumented reply as decoded JSON; hidden in `repr`, since it may repeat the headers.
    """

    webhook_url: str
    events: tuple[WebhookEvent, ...]
    payload: Any = attrs.field(default=None, repr=hidden, hash=False)
