"""The windows before a token expires: for fetching a new token, for waiting for it, and for not using the old one.

======  ====================================  ======================  ======  =======  =========  ==========
window  meaning                               formula                 L=60 s  L=300 s  L=3,600 s  L=86,400 s
======  ====================================  ======================  ======  =======  =========  ==========
hold    no request uses the token any more    2 % of L, 2 to 30 s,         2        6         30          30
                                              at most L/10
wait    callers wait briefly for the new      5 % of L, 10 to 60 s,       10       15         60          60
        token                                 at most L/4
ahead   a new token is fetched in the         20 % of L, 60 to            30       60        720       1,200
        background                            1,200 s, at most L/2
======  ====================================  ======================  ======  =======  =========  ==========

L is the lifetime, counted from the instant *before* the login was sent: a slow login must not make a token look
younger than it is.
"""

from __future__ import annotations

import math

import attrs

__all__ = ["DEFAULT_LIFETIME", "LONGEST_LIFETIME", "Windows", "hold_back", "usable_lifetime"]

#: Seconds. Assumed if EnKash gives no lifetime, or gives 0 as in the example on its own page. EnKash's shortest
#: documented lifetime is 300 s.
DEFAULT_LIFETIME = 60.0
#: Seconds. A longer lifetime is cut to this length: EnKash documents only far shorter ones, so it is a mistake.
LONGEST_LIFETIME = 7 * 24 * 3600.0

_SPREAD = 0.25  # share of the time between `ahead` and `wait` over which processes spread their refreshes


def usable_lifetime(expires_in: object) -> float:
    """Return a usable lifetime in seconds; a missing, unusable or far too long one is replaced."""
    try:
        seconds = float(expires_in)  # type: ignore[arg-type]  # other types are caught
    except OverflowError:
        return LONGEST_LIFETIME
    except (TypeError, ValueError):
        return DEFAULT_LIFETIME
    return min(seconds, LONGEST_LIFETIME) if math.isfinite(seconds) and seconds > 0 else DEFAULT_LIFETIME


def hold_back(lifetime: float) -> float:
    """Return how many seconds before its expiry a token is no longer used."""
    return min(_clamp(0.02 * lifetime, 2, 30), lifetime / 10)


@attrs.frozen
class Windows:
    """The windows of a token, in seconds before its expiry; see the table above."""

    hold: float
    wait: float
    ahead: float

    @classmethod
    def of(cls, lifetime: float, share: float = 0.0) -> Windows:
        """Return the windows of a lifetime in seconds.

        Args:
            lifetime: Lifetime of the token in seconds.
            share: Number in [0, 1) of this process; different numbers spread the refreshes of several processes.
        """
        wait = min(_clamp(0.05 * lifetime, 10, 60), lifetime / 4)
        ahead = min(_clamp(0.20 * lifetime, 60, 1200), lifetime / 2)
        return cls(hold_back(lifetime), wait, ahead - share * _SPREAD * (ahead - wait))


def _clamp(value: float, least: float, most: float) -> float:
    return max(least, min(value, most))
