"""How an account stands in a Redis, for operators; without secrets."""

from __future__ import annotations

import attrs

__all__ = ["StoreStatus"]


@attrs.frozen(kw_only=True)
class StoreStatus:
    """How an account stands in the store; without secrets.

    Attributes:
        generation: Of the stored token, or None.
        remaining: Its seconds left to live, or None.
        sealed_with: Id of the key that it is sealed with; "" for a token in plain text, None without a token.
        readable: Whether this process can read it; None without a token.
        refused_up_to: The highest generation that EnKash refused, or None.
        attempts: Logins that may have counted at EnKash since the last one that worked.
        budget: How many of these are allowed before logins stop.
        locked: Whether EnKash said that the account is locked.
        barred: Whether these credentials were refused.
        barred_in_all: How many credentials of the account were refused.
        proven: Whether these credentials have worked.
        cooling: Seconds until the next login may be tried; 0 for at once.
        logging_in: Whether a login is under way.
        failures: Passing failures in a row.
    """

    generation: int | None
    remaining: float | None
    sealed_with: str | None
    readable: bool | None
    refused_up_to: int | None
    attempts: int
    budget: int
    locked: bool
    barred: bool
    barred_in_all: int
    proven: bool
    cooling: float
    logging_in: bool
    failures: int
