"""The numbers that every token store keeps, so that two stores guard an account alike."""

from __future__ import annotations

__all__ = [
    "BUDGET",
    "COOLDOWN",
    "LEASE",
    "LONGEST_COOLDOWN",
    "LONGEST_RETRY_AFTER",
    "REMEMBERED",
    "RENEWAL_PAUSE",
    "cooldown_ceiling",
    "kept_retry_after",
]

#: Login attempts that credentials get before they have worked once, whatever the number of fingerprints. EnKash's
#: neighbouring products lock the account after three wrong ones in a row; one is left for a person.
BUDGET = 2
#: Seconds without a heartbeat after which a login counts as abandoned.
LEASE = 6.0
#: Seconds of cooldown after a first failure, doubled with every failure in a row; a random part of it is waited.
COOLDOWN = 0.5
LONGEST_COOLDOWN = 30.0
#: Seconds; EnKash may ask for more patience than the cooldown has, up to this.
LONGEST_RETRY_AFTER = 300.0
#: Seconds after a login that replaced a refused token, within which a refusal of the new one brings no other login.
RENEWAL_PAUSE = 30.0
#: Owners whose report is remembered, so that a report that is sent again is not counted again.
REMEMBERED = 16


def cooldown_ceiling(failures: int) -> float:
    """Return the seconds of which a random part is waited after so many failures in a row, counted from 1."""
    return float(min(LONGEST_COOLDOWN, COOLDOWN * 2.0 ** min(failures - 1, 60)))


def kept_retry_after(retry_after: float | None) -> float:
    """Return the seconds that EnKash asked to wait, within bounds; 0 when it asked for none."""
    return min(max(retry_after or 0.0, 0.0), LONGEST_RETRY_AFTER)
