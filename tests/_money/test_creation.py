"""The note of a create under one reference."""

from __future__ import annotations

import pytest

from enkash_async._money.creation import CREATION, Begin, Creation, End, note
from enkash_async._money.instants import Instant

NOW = Instant(500.0, 1_000.0)


def later(seconds: float) -> Instant:
    return Instant(NOW.store + seconds, NOW.wall + seconds)


SENT = Creation("sent", "a", NOW, revision=1)
ANSWERED = Creation("answered", "a", NOW, "UTIL-1", revision=2)


def test_a_create_is_noted_before_it_is_sent() -> None:
    """The step is told what it found: nothing."""
    assert note(None, Begin("a"), NOW) == (SENT, None)
    assert CREATION.codec.decode(CREATION.codec.encode(SENT)) == SENT
    assert CREATION.keep == 35 * 86_400


def test_a_create_whose_reply_was_lost_finds_its_own_note() -> None:
    """It is not written again."""
    assert note(SENT, Begin("a"), later(1)) == (SENT, SENT)


def test_another_create_under_way_is_told_and_counts_from_now() -> None:
    """EnKash takes the reference once, so it may be sent again."""
    after, found = note(SENT, Begin("b"), later(50))
    assert after == Creation("sent", "b", later(50), revision=2)
    assert found == SENT
    assert found.seconds_under_way(later(50)) == 150
    assert found.seconds_under_way(later(200)) == 0


def test_a_bill_that_is_known_stays_known() -> None:
    """Whatever is told later."""
    assert note(SENT, End("b", "UTIL-1"), NOW) == (Creation("answered", "b", NOW, "UTIL-1", revision=2), SENT)
    for command in (Begin("b"), End("b", None), End("a", None), End("a", "UTIL-2")):
        assert note(ANSWERED, command, later(5)) == (ANSWERED, ANSWERED)
    assert ANSWERED.seconds_under_way(NOW) == 0


def test_a_refused_create_takes_its_own_note_away() -> None:
    """And no other's."""
    assert note(SENT, End("b", None), NOW) == (SENT, SENT)
    assert note(SENT, End("a", None), NOW) == (None, SENT)
    assert note(None, End("a", None), NOW) == (None, None)
    assert note(None, End("a", "UTIL-1"), NOW) == (Creation("answered", "a", NOW, "UTIL-1", revision=1), None)


@pytest.mark.parametrize("command", [Begin("a"), End("b", None)])
def test_a_note_of_the_future_is_brought_back(command: Begin | End) -> None:
    """Otherwise it would be under way for the hour by which a clock was put back."""
    early = Instant(NOW.store - 3_600, NOW.wall)
    after, found = note(SENT, command, early)
    assert after == Creation("sent", "a", early, revision=2)
    assert found is not None
    assert found.seconds_under_way(early) == 200
