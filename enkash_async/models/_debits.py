"""The record of a debit, as a value for people who look into the store."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import attrs

from enkash_async.models.base import Travels

__all__ = ["DebitRecord"]


@attrs.frozen(kw_only=True)
class DebitRecord(Travels):
    """What the store knows of one bill's debit.

    Attributes:
        utility_enkash_id: EnKash's id of the bill.
        state: `none`: no record. `created`: a create brought the bill forth, and its debit was never sent. `claimed`: a
            process is about to send. `sent`: a confirmation may be under way, or was carried out. `accepted`: EnKash
            said yes, or showed the debit.
        at: When that was written down, by the writer's wall clock, or None.
        window_left: Seconds for which a confirmation may still be under way; 0 for none.
    """

    utility_enkash_id: str
    state: Literal["none", "created", "claimed", "sent", "accepted"]
    at: datetime | None = None
    window_left: float = 0.0
