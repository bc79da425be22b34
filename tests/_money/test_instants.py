"""Instants on two clocks."""

from __future__ import annotations

from enkash_async._money.instants import DURATIONS, Instant

AT = Instant(100.0, 1_000.0)


def test_an_age_is_the_smaller_of_two_and_never_negative() -> None:
    """A window ends when both clocks say so."""
    assert AT.age(Instant(130, 4_600)) == 30
    assert AT.age(Instant(3_700, 1_010)) == 10
    assert AT.age(Instant(90, 1_010)) == 0
    assert AT.left(20, Instant(130, 1_015)) == 5
    assert AT.left(20, Instant(130, 1_030)) == 0


def test_the_greater_age_is_the_greater_of_two() -> None:
    """Never negative either."""
    assert AT.greater_age(Instant(130, 4_600)) == 3_600
    assert AT.greater_age(Instant(90, 990)) == 0


def test_an_instant_of_the_future_is_brought_back_on_that_clock_alone() -> None:
    """One of the past stays the very same."""
    assert AT.brought_back(Instant(50, 1_001)) == Instant(50, 1_000)
    assert AT.brought_back(Instant(101, 900)) == Instant(100, 900)
    assert AT.brought_back(Instant(101, 1_001)) is AT


def test_scaled_durations_keep_their_records() -> None:
    """All that a test waits for becomes shorter by the same factor."""
    scaled = DURATIONS.scaled(0.5)
    assert (scaled.window, scaled.begin_within, scaled.between_looks, scaled.settled_after) == (90, 10, 7.5, 100)
    assert scaled.keep == DURATIONS.keep == 35 * 86_400
