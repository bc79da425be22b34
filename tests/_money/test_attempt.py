"""An attempt says what is to be done next, whatever it is told."""

from __future__ import annotations

import pytest

from enkash_async._money.attempt import Attempt, Do, End
from enkash_async._money.debit_commands import (
    Accepted,
    Answer,
    Changed,
    Claim,
    Contradicted,
    Go,
    Gone,
    Looked,
    MarkSent,
    Mine,
    Noted,
    Older,
    Outcome,
    Reading,
    Renew,
    Settle,
    Stale,
    Unclear,
    Wait,
)
from enkash_async._money.debit_record import Debit
from enkash_async._money.instants import Instant

SEEN = Debit("sent", "other", Instant(0.0, 0.0))
STILL = Wait(30.0, "sent")


def sending() -> Attempt:
    """Return an attempt that is about to send."""
    return Attempt("a").answered(Mine()).showed(Reading.UNCONFIRMED).answered(Go("birth")).checked("birth")


def test_an_attempt_claims_reads_marks_checks_and_sends() -> None:
    """And tells the record what it came to."""
    attempt = Attempt("a")
    assert (attempt.do, attempt.command) == (Do.ACT, Claim("a"))
    attempt = attempt.answered(Mine())
    assert attempt.do is Do.SEARCH
    attempt = attempt.showed(Reading.UNCONFIRMED)
    assert (attempt.do, attempt.command) == (Do.ACT, MarkSent("a", 1))
    attempt = attempt.answered(Go("birth"))
    assert attempt.do is Do.CHECK
    attempt = attempt.checked("birth")
    assert attempt.do is Do.SEND
    attempt = attempt.returned(Outcome.ACCEPTED)
    assert (attempt.do, attempt.command) == (Do.ACT, Settle("a", Outcome.ACCEPTED))
    attempt = attempt.answered(Noted())
    assert (attempt.do, attempt.command, attempt.end) == (Do.END, None, End.DEBITED)


@pytest.mark.parametrize(
    ("outcome", "end"),
    [
        (Outcome.ACCEPTED, End.DEBITED),
        (Outcome.REFUSED, End.REFUSED),
        (Outcome.REFUSED_TOGETHER, End.UNCLEAR),
        (Outcome.NEVER_SENT, End.NOT_SENT),
        (Outcome.UNCLEAR, End.UNCLEAR),
    ],
)
def test_what_a_sending_came_to_is_told_to_the_record(outcome: Outcome, end: End) -> None:
    """Then the attempt ends; after an unclear end a new one takes another name."""
    attempt = sending().returned(outcome)
    assert attempt.command == Settle("a", outcome)
    assert attempt.answered(Noted()).end is end


@pytest.mark.parametrize(
    ("answer", "end"),
    [
        (Accepted(SEEN), End.DEBITED),
        (Contradicted(), End.CONTRADICTED),
        (Unclear(), End.UNREADABLE),
        (Gone(), End.NOT_SENT),
        (Changed(), End.NOT_SENT),
    ],
)
def test_an_answer_may_end_an_attempt(answer: Answer, end: End) -> None:
    """Nothing was sent by it."""
    attempt = Attempt("a").answered(answer)
    assert (attempt.do, attempt.end) == (Do.END, end)


def test_an_old_claim_is_renewed_and_then_marked() -> None:
    """The sending keeps its number."""
    attempt = Attempt("a").answered(Mine()).showed(Reading.UNCONFIRMED).answered(Stale())
    assert attempt.command == Renew("a")
    assert attempt.answered(Noted()).command == MarkSent("a", 1)


@pytest.mark.parametrize("why", ["claimed", "store"])
def test_an_attempt_that_has_to_wait_does_not_read(why: str) -> None:
    """It could not change anything."""
    wait = Wait(9.0, "store" if why == "store" else "claimed")
    attempt = Attempt("a").answered(wait)
    assert (attempt.do, attempt.wait) == (Do.WAIT, wait)


@pytest.mark.parametrize("reading", [Reading.UNCONFIRMED, Reading.UNCLEAR])
def test_a_confirmation_under_way_is_read_singly_and_waited_for(reading: Reading) -> None:
    """Unless the read shows its debit."""
    attempt = Attempt("a").answered(STILL)
    assert attempt.do is Do.READ
    assert attempt.showed(reading).do is Do.WAIT
    shown = attempt.showed(Reading.CONFIRMED)
    assert shown.command == Settle("a", Outcome.ACCEPTED)
    assert shown.answered(Noted()).end is End.DEBITED


@pytest.mark.parametrize("reading", list(Reading))
def test_after_the_window_a_single_read_is_told_with_what_was_seen(reading: Reading) -> None:
    """The machine decides on it, and a claim that follows is not read again."""
    attempt = Attempt("a").answered(Older(SEEN))
    assert attempt.do is Do.READ
    told = attempt.showed(reading)
    assert told.command == Looked("a", SEEN, reading)
    claimed = told.answered(Mine(again=True, alone=True))
    assert claimed.command == MarkSent("a")
    assert claimed.alone


@pytest.mark.parametrize(
    ("created", "reads", "is_new", "do"),
    [
        (True, True, True, Do.ACT),
        (True, True, False, Do.SEARCH),  # the step stood still, and the store does not know it as new any more
        (False, True, True, Do.SEARCH),
        (False, False, False, Do.ACT),
    ],
)
def test_a_bill_of_this_step_is_not_read_while_it_is_new(created: bool, reads: bool, is_new: bool, do: Do) -> None:
    """Nor one of which the caller says so."""
    assert Attempt("a", created=created, reads=reads).answered(Mine(is_new=is_new)).do is do


def test_a_bill_that_shows_as_debited_is_not_sent() -> None:
    """The record says accepted from then on."""
    attempt = Attempt("a").answered(Mine()).showed(Reading.CONFIRMED)
    assert attempt.command == Settle("a", Outcome.ACCEPTED)
    assert attempt.answered(Noted()).end is End.DEBITED


def test_a_bill_that_cannot_be_read_is_given_back() -> None:
    """The claim is taken away."""
    attempt = Attempt("a").answered(Mine()).showed(Reading.UNCLEAR)
    assert attempt.command == Settle("a", Outcome.NEVER_SENT)
    assert attempt.answered(Noted()).end is End.UNREADABLE


@pytest.mark.parametrize("birth", [None, "another"])
def test_nothing_is_sent_where_the_store_began_anew(birth: str | None) -> None:
    """Its record is taken away."""
    attempt = Attempt("a").answered(Mine()).showed(Reading.UNCONFIRMED).answered(Go("birth")).checked(birth)
    assert attempt.command == Settle("a", Outcome.NEVER_SENT)
    assert attempt.answered(Noted()).end is End.NOT_SENT


def test_a_401_is_answered_by_one_more_sending() -> None:
    """Written down anew; a second 401 is a refusal."""
    attempt = sending().unauthorized()
    assert attempt.command == MarkSent("a", 2)
    attempt = attempt.answered(Stale()).answered(Noted())
    assert attempt.command == MarkSent("a", 2)
    attempt = attempt.answered(Go("birth")).checked("birth").unauthorized()
    assert attempt.command == Settle("a", Outcome.REFUSED)
    assert attempt.answered(Noted()).end is End.REFUSED
