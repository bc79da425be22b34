"""The record of a debit, as a value for operators who inspect the store."""

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
        state: `none`: no record. `created`: a call of the SDK created the bill; no confirmation was sent. `claimed`: a
            process is about to send the confirmation. `sent`: a confirmation may be in flight, or was carried out.
            `accepted`: EnKash accepted the confirmation, or showed the debit.
        at: When the record was written, by the wall clock of the process that wrote it; None if unknown.
        window_left: Seconds for which a confirmation may still be in flight; 0 if none can be.
    """

    utility_enkash_id: str
    state: Literal["none", "created", "claimed", "sent", "accepted"]
    at: datetime | None = None
    window_left: float = 0.0
