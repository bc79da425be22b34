"""The birth record of a store."""

from __future__ import annotations

from enkash_async._money.birth import BIRTH, Birth, See, see
from enkash_async._money.instants import DURATIONS, Instant

NOW = Instant(500.0, 1_000.0)


def later(seconds: float) -> Instant:
    return Instant(NOW.store + seconds, NOW.wall + seconds)


def test_a_store_is_born_once() -> None:
    """Who comes later finds the same record, kept for ever."""
    born, _ = see(None, See("a"), NOW)
    assert born == Birth("a", NOW, revision=1)
    assert see(born, See("b", nothing_pending=True), later(5)) == (born, born)
    assert BIRTH.keep is None
    assert BIRTH.codec.decode(BIRTH.codec.encode(born)) == born


def test_a_store_is_old_after_its_window() -> None:
    """By the clock that shows fewer seconds."""
    born, _ = see(None, See("a"), NOW)
    assert born.seconds_until_old(later(0), DURATIONS) == 200
    assert born.seconds_until_old(Instant(NOW.store + 3_600, NOW.wall + 50), DURATIONS) == 150
    assert born.seconds_until_old(later(200), DURATIONS) == 0


def test_a_new_store_may_be_declared_old() -> None:
    """By the process that writes its record, or later by the operator's command."""
    born, _ = see(None, See("a", nothing_pending=True), NOW)
    assert born.seconds_until_old(NOW, DURATIONS) == 0
    born, _ = see(None, See("a", declares=True), NOW)
    assert born.nothing_pending
    born, _ = see(None, See("a"), NOW)
    declared, answer = see(born, See("b", declares=True), NOW)
    assert declared == answer == Birth("a", NOW, nothing_pending=True, revision=2)


def test_a_birth_in_the_future_is_brought_back() -> None:
    """Otherwise everybody would wait for the hour by which a clock was put back."""
    born, _ = see(None, See("a"), NOW)
    after, _ = see(born, See("b"), Instant(NOW.store - 3_600, NOW.wall + 5))
    assert after == Birth("a", Instant(NOW.store - 3_600, NOW.wall), revision=2)
