"""The windows of a token: when it is renewed, waited for and held back."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enkash_async.tokens._windows import DEFAULT_LIFETIME, LONGEST_LIFETIME, Windows, hold_back, usable_lifetime

LIFETIMES = st.floats(min_value=1e-3, max_value=LONGEST_LIFETIME)
SHARES = st.floats(min_value=0, max_value=1, exclude_max=True)


@pytest.mark.parametrize(
    ("lifetime", "hold", "wait", "ahead"),
    [
        (4, 0.4, 1, 2),
        (60, 2, 10, 30),
        (300, 6, 15, 60),
        (3_600, 30, 60, 720),
        (86_400, 30, 60, 1_200),
    ],
)
def test_the_documented_table_holds(lifetime: float, hold: float, wait: float, ahead: float) -> None:
    """Each cell holds, and a token of four seconds, below all minimums, has its windows."""
    windows = Windows.of(lifetime)
    assert (windows.hold, windows.wait, windows.ahead) == pytest.approx((hold, wait, ahead))
    assert hold_back(lifetime) == windows.hold


@given(lifetime=LIFETIMES, share=SHARES)
def test_the_windows_lie_within_each_other(lifetime: float, share: float) -> None:
    """For any lifetime, renewing begins in the second half, then waiting, then holding back."""
    windows = Windows.of(lifetime, share)
    assert 0 < windows.hold <= windows.wait <= windows.ahead <= lifetime / 2


@given(lifetime=LIFETIMES, share=SHARES)
def test_a_share_only_delays_the_renewal(lifetime: float, share: float) -> None:
    """No process renews earlier than the table says, and the other windows are the same for all."""
    alone, apart = Windows.of(lifetime), Windows.of(lifetime, share)
    assert apart.ahead <= alone.ahead
    assert (apart.hold, apart.wait) == (alone.hold, alone.wait)


def test_different_shares_start_apart() -> None:
    """Two processes with different shares renew at different instants."""
    assert Windows.of(3_600, 0.9).ahead < Windows.of(3_600, 0.1).ahead < Windows.of(3_600).ahead


@pytest.mark.parametrize("unusable", [None, 0, -0.0, -1, -1e9, math.nan, math.inf, -math.inf, "soon", "", [], {}, b""])
def test_an_unusable_lifetime_becomes_a_minute(unusable: object) -> None:
    """The token lives 60 seconds where EnKash names no usable lifetime; its own page shows 0."""
    assert usable_lifetime(unusable) == DEFAULT_LIFETIME == 60


@pytest.mark.parametrize(
    ("said", "used"),
    [
        (0.5, 0.5),
        (300, 300),
        ("300", 300),
        (Decimal("300.5"), 300.5),
        (10**400, 604_800),
        (7 * 86_400, 604_800),
        (7 * 86_400 + 1, 604_800),
        (1.7e12, 604_800),
    ],
)
def test_a_lifetime_is_taken_up_to_seven_days(said: object, used: float) -> None:
    """A longer one is cut to seven days, as a mistake of units such as milliseconds."""
    assert usable_lifetime(said) == used <= LONGEST_LIFETIME
