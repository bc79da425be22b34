"""The debit machine and the attempt hold over random schedules, and each rule is needed."""

from __future__ import annotations

import pytest
from _money import debit_controls as controls
from _money.model import Decide, Habits, Rule, play, run
from schedules import Violation

from enkash_async._money.attempt import Attempt, Do, End
from enkash_async._money.birth import Birth
from enkash_async._money.debit import decide
from enkash_async._money.debit_commands import (
    Answer,
    Claim,
    Command,
    Go,
    Here,
    Looked,
    MarkSent,
    Mine,
    Noted,
    Older,
    Reading,
    Renew,
    Stale,
)
from enkash_async._money.debit_record import Debit
from enkash_async._money.instants import Instant

PARTS = 4
SCHEDULES = 2_400  # here; `python -m _money.model` plays as many as it is told
NEAR = 1_200  # schedules within which a control is found out


@pytest.mark.parametrize("part", range(PARTS))
def test_the_rules_hold_over_random_schedules(part: int) -> None:
    """No bill is debited twice, no answer is untrue, and every payable bill is paid in the end."""
    count = SCHEDULES // PARTS
    tally = run(count, first=part * count)
    assert tally.violations == {}
    assert tally.acts > count
    assert not {"401", "502", "late", "reply lost", "velocity", "UNCLEAR", "UNREADABLE", "WAIT"} - tally.seen.keys()


def test_the_rules_hold_where_the_search_never_shows_a_debit() -> None:
    """Before a second confirmation only the single read counts."""
    assert run(300, slow_search=True).violations == {}


def _is_found(rule: Rule, **options: object) -> bool:
    for seed in range(NEAR):
        try:
            play(seed, **options)
        except Violation as found:
            if found.rule is rule:
                return True
    return False


@pytest.mark.parametrize(
    ("control", "rule"),
    [
        (controls.claims_end_early, Rule.D),
        (controls.stores_clock_alone, Rule.D),
        (controls.wall_clocks_alone, Rule.D),
        (controls.clamped_without_writing, Rule.L),
        (controls.store_never_young, Rule.D),
        (controls.unreadable_is_unconfirmed, Rule.D),
    ],
)
def test_a_machine_with_one_rule_taken_out_is_found_out(control: Decide, rule: Rule) -> None:
    """It does not take long."""
    assert _is_found(rule, decide=control)


@pytest.mark.parametrize(
    ("habits", "rule"),
    [
        (Habits(checks_time=False), Rule.D),
        (Habits(reads_anew=False), Rule.D),
        (Habits(notes_all=True), Rule.D),
        (Habits(names_anew=False), Rule.D),
        (Habits(own_connection=False), Rule.T),
    ],
)
def test_processes_with_one_bad_habit_are_found_out(habits: Habits, rule: Rule) -> None:
    """What the machine cannot see is kept by whoever drives it, so each of these is a rule as well."""
    assert _is_found(rule, habits=habits)


# --- two that chance finds in one of ten thousand schedules -----------------------------------------------------------


def _sends_after_a_lost_write(decide: Decide) -> list[float]:
    """Return when two attempts send: the first one is held up, its *sent* is lost, and EnKash is 150 s late."""

    def tell(debit: Debit | None, command: Command, now: float) -> tuple[Debit | None, Answer]:
        return decide(debit, command, Here(Instant(now, now), "p", Birth("birth", Instant(-1e6, -1e6))))

    debit, _ = tell(None, Claim("a"), 0)
    sent, answer = tell(debit, MarkSent("a"), 100)
    if isinstance(answer, Stale):
        debit, _ = tell(debit, Renew("a"), 100)
        sent, answer = tell(debit, MarkSent("a"), 100)
    assert isinstance(answer, Go)
    assert sent != debit  # this is the write that the store loses
    sends = [100.0]
    for now in (201, 301):
        debit, answer = tell(debit, Claim("b"), now)
        if isinstance(answer, Older):
            reading = Reading.CONFIRMED if now >= 100 + 150 else Reading.UNCONFIRMED
            debit, answer = tell(debit, Looked("b", answer.seen, reading), now)
            sends += [now] * isinstance(answer, Mine)
    return sends


def test_a_claim_that_is_not_renewed_debits_twice_after_a_lost_write() -> None:
    """With the claim's own instant in the store, others come too early."""
    assert _sends_after_a_lost_write(decide) == [100]
    assert _sends_after_a_lost_write(controls.renewed_and_sent_at_once) == [100, 201]


def test_a_claim_that_lands_in_an_emptied_store_is_not_sent() -> None:
    """The store was read while it was old, and it was emptied of another attempt's confirmation before the swap.

    The birth that is read again after *sent* tells; an attempt that skipped it would send.
    """
    now = Instant(1e6, 1e6)
    old, new = Birth("old", Instant(0, 0)), Birth("new", now)
    claimed, answer = decide(None, Claim("a"), Here(now, "p", old))
    attempt = Attempt("a").answered(answer).showed(Reading.UNCONFIRMED)
    assert attempt.command is not None
    sent, answer = decide(claimed, attempt.command, Here(now, "p", new))
    attempt = attempt.answered(answer)
    assert attempt.checked("old").do is Do.SEND
    attempt = attempt.checked("new")
    assert attempt.command is not None
    assert decide(sent, attempt.command, Here(now, "p", new)) == (None, Noted())
    assert attempt.answered(Noted()).end is End.NOT_SENT


# --- the rest ---------------------------------------------------------------------------------------------------------


def test_a_search_in_the_place_of_the_single_read_is_found_out() -> None:
    """It may lag behind by any time."""
    assert _is_found(Rule.D, habits=Habits(reads_singly=False), slow_search=True)


def test_a_process_held_up_between_the_last_check_and_the_first_byte_debits_twice() -> None:
    """This is not promised, and the documentation says so: no check can stand behind the last one."""
    assert _is_found(Rule.D, habits=Habits(held_at_the_byte=True))


def test_a_schedule_is_the_same_whenever_it_is_played() -> None:
    """Through documents or not; so what is found can be looked at."""
    for seed in range(40):
        assert play(seed).story == play(seed, through_bytes=True).story
