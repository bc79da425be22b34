"""When a token of a given lifetime is renewed, waited for, and given up.

======  ====================================  ======================  ======  =======  =========  ==========
window  meaning                               formula                 L=60 s  L=300 s  L=3,600 s  L=86,400 s
======  ====================================  ======================  ======  =======  =========  ==========
hold    not attached to a request any more    2 % of L, 2 to 30 s,         2        6         30          30
                                              at most L/10
wait    callers wait a little for the new     5 % of L, 10 to 60 s,       10       15         60          60
        one                                   at most L/4
ahead   a new one is fetched beside the work  20 % of L, 60 to            30       60        720       1,200
                                              1,200 s, at most L/2
======  ====================================  ======================  ======  =======  =========  ==========

L is counted from the instant *before* the login was sent, so that a slow login cannot make a token look younger.
"""

from __future__ import annotations

import math

import attrs

__all__ = ["DEFAULT_LIFETIME", "LONGEST_LIFETIME", "Windows", "hold_back", "usable_lifetime"]

#: Seconds assumed where EnKash names no lifetime, or 0 as on its own page; its shortest documented one is 300.
DEFAULT_LIFETIME = 60.0
#: Seconds; nothing that EnKash documents comes near, so more is taken for a mistake of units.
LONGEST_LIFETIME = 7 * 24 * 3600.0

_SPREAD = 0.25  # share of the time between `ahead` and `wait` by which processes start apart


def usable_lifetime(expires_in: object) -> float:
    """Return a lifetime in seconds to work with, whatever EnKash, or a token source of the user's own, said."""
    try:
        seconds = float(expires_in)  # type: ignore[arg-type]  # what is no number is caught
    except OverflowError:
        return LONGEST_LIFETIME
    except (TypeError, ValueError):
        return DEFAULT_LIFETIME
    return min(seconds, LONGEST_LIFETIME) if math.isfinite(seconds) and seconds > 0 else DEFAULT_LIFETIME


def hold_back(lifetime: float) -> float:
    """Return the seconds before its end at which a token is not attached any more."""
    return min(_clamp(0.02 * lifetime, 2, 30), lifetime / 10)


@attrs.frozen
class Windows:
    """Seconds before a token's end; see the table above."""

    hold: float
    wait: float
    ahead: float

    @classmethod
    def of(cls, lifetime: float, share: float = 0.0) -> Windows:
        """Return the windows of a lifetime in seconds.

        Args:
            share: A number in [0, 1) that differs from process to process; spreads the start of the refresh.
        """
        wait = min(_clamp(0.05 * lifetime, 10, 60), lifetime / 4)
        ahead = min(_clamp(0.20 * lifetime, 60, 1200), lifetime / 2)
        return cls(hold_back(lifetime), wait, ahead - share * _SPREAD * (ahead - wait))


def _clamp(value: float, least: float, most: float) -> float:
    return max(least, min(value, most))
