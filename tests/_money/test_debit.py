"""The debit machine, a row of MONEY §1 at a time."""

from __future__ import annotations

from typing import Literal

import attrs
import pytest

from enkash_async._money.birth import Birth
from enkash_async._money.debit import decide, may_begin
from enkash_async._money.debit_commands import (
    Accepted,
    Answer,
    Changed,
    Claim,
    Command,
    Contradicted,
    Free,
    Go,
    Gone,
    Here,
    Looked,
    MarkSent,
    Mine,
    NoteCreated,
    Noted,
    Older,
    Outcome,
    Reading,
    Release,
    Released,
    Renew,
    Settle,
    Stale,
    Unborn,
    Unclear,
    Wait,
)
from enkash_async._money.debit_record import DEBIT, Debit
from enkash_async._money.instants import DURATIONS, Instant
from enkash_async.errors import StoreError

START = 1_000_000.0
HOUR = 3_600.0
SETTLED = 200.0  # the window of 180 s, counted from 20 s after the record's instant
OLD = Birth("birth", Instant(0.0, 0.0))


class Cell:
    """The record of one bill and two clocks, told one command at a time."""

    def __init__(self) -> None:
        self.debit: Debit | None = None
        self.birth: Birth | None = OLD
        self.store = self.wall = START

    def tell(self, command: Command, writer: str = "p1") -> Answer:
        here = Here(Instant(self.store, self.wall), writer, self.birth)
        self.debit, answer = decide(self.debit, command, here)
        return answer

    def wait(self, seconds: float) -> None:
        self.store += seconds
        self.wall += seconds

    def send(self, by: str = "a") -> None:
        """Claim and write down that it is sent."""
        assert isinstance(self.tell(Claim(by)), Mine)
        assert self.tell(MarkSent(by)) == Go("birth")

    def older(self, by: str = "b") -> Debit:
        """Wait for the end of the window, and return the record that is shown then."""
        self.wait(SETTLED)
        answer = self.tell(Claim(by))
        assert isinstance(answer, Older), answer
        return answer.seen

    def accept(self) -> None:
        self.send()
        self.tell(Settle("a", Outcome.ACCEPTED))

    @property
    def state(self) -> str:
        return "nothing" if self.debit is None else self.debit.state


@pytest.fixture
def cell() -> Cell:
    return Cell()


# --- nothing is found -------------------------------------------------------------------------------------------------


def test_a_bill_without_a_record_is_claimed_and_sent(cell: Cell) -> None:
    """Each step has the attempt, the instant on both clocks and the process in it."""
    assert cell.tell(Claim("a")) == Mine()
    assert cell.debit == Debit("claimed", "a", Instant(START, START), "p1", "birth", revision=1)
    cell.wait(5)
    assert cell.tell(MarkSent("a")) == Go("birth")
    assert cell.debit == Debit("sent", "a", Instant(START + 5, START + 5), "p1", "birth", sending=1, revision=2)


def test_a_claim_that_only_asks_changes_nothing(cell: Cell) -> None:
    """It says that nothing stands in the way."""
    assert cell.tell(Claim("a", begins=False)) == Free()
    assert cell.debit is None


@pytest.mark.parametrize("state", ["claimed", "sent"])
def test_a_command_whose_reply_was_lost_is_carried_out_once(cell: Cell, state: str) -> None:
    """The same claim, and the same sending, find themselves."""
    cell.tell(Claim("a"))
    if state == "sent":
        cell.tell(MarkSent("a"))
    before = cell.debit
    cell.wait(1)
    assert cell.tell(Claim("a") if state == "claimed" else MarkSent("a")) == (
        Mine() if state == "claimed" else Go("birth")
    )
    assert cell.debit == before


def test_a_claim_of_20_seconds_is_renewed_before_it_is_sent(cell: Cell) -> None:
    """If the store lost *sent*, what it then holds would let others in too early."""
    cell.tell(Claim("a"))
    cell.wait(19.9)
    assert cell.tell(Renew("b")) == Gone()
    before = cell.debit
    cell.wait(0.1)
    assert cell.tell(MarkSent("a")) == Stale()
    assert cell.debit == before
    assert cell.tell(Renew("a")) == Noted()
    assert cell.tell(MarkSent("a")) == Go("birth")


@pytest.mark.parametrize("clock", ["store", "wall"])
def test_either_clock_makes_a_claim_old(cell: Cell, clock: str) -> None:
    """Here the greater age counts, since renewing costs nothing."""
    cell.tell(Claim("a"))
    setattr(cell, clock, START + 20)
    assert cell.tell(MarkSent("a")) == Stale()


def test_a_further_sending_is_written_down_anew(cell: Cell) -> None:
    """After a 401, with its own instant, over a record that is not older than 20 s either."""
    cell.send()
    cell.wait(60)
    assert cell.tell(MarkSent("a", 2)) == Stale()
    assert cell.tell(Renew("a")) == Noted()
    assert cell.state == "sent"
    assert cell.tell(MarkSent("a", 2)) == Go("birth")
    assert cell.debit is not None
    assert (cell.debit.sending, cell.debit.at.store) == (2, START + 60)


@pytest.mark.parametrize("found", ["nothing", "another's"])
def test_an_attempt_that_lost_its_claim_does_not_send(cell: Cell, found: str) -> None:
    """The store forgot it, or another attempt has it now."""
    if found == "another's":
        cell.tell(Claim("b"))
    before = cell.debit
    assert cell.tell(MarkSent("a")) == Gone()
    assert cell.tell(Renew("a")) == Gone()
    assert cell.debit == before


# --- younger than the window ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["claimed", "sent"])
def test_others_wait_for_the_whole_window(cell: Cell, state: Literal["claimed", "sent"]) -> None:
    """There is no shorter lease for a claim; not even the same attempt claims what it has sent."""
    cell.tell(Claim("a"))
    if state == "sent":
        cell.tell(MarkSent("a"))
        assert cell.tell(Claim("a")) == Wait(SETTLED, "sent")
    before = cell.debit
    cell.wait(30)
    assert cell.tell(Claim("b")) == Wait(SETTLED - 30, state)
    cell.wait(SETTLED - 30.125)
    assert cell.tell(Claim("b")) == Wait(0.125, state)
    assert cell.debit == before


def test_a_debit_that_a_read_shows_is_accepted_whoever_sent_it(cell: Cell) -> None:
    """Also where the record is lost, or says less."""
    for prepare in (lambda: None, lambda: cell.tell(Claim("a")), cell.send):
        cell.debit = None
        prepare()
        assert cell.tell(Settle("b", Outcome.ACCEPTED)) == Noted()
        assert cell.debit is not None
        assert (cell.debit.state, cell.debit.by) == ("accepted", "b")
        assert cell.tell(MarkSent("a")) == Gone()


# --- older than the window --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["claimed", "sent"])
def test_a_bill_that_is_plainly_unconfirmed_after_the_window_is_claimed(cell: Cell, state: str) -> None:
    """By whoever read it, and then the single read is behind it."""
    cell.tell(Claim("a"))
    if state == "sent":
        cell.tell(MarkSent("a"))
    seen = cell.older()
    assert seen == cell.debit
    assert cell.tell(Looked("b", seen, Reading.UNCONFIRMED)) == Mine(again=True)
    assert cell.tell(Looked("b", seen, Reading.UNCONFIRMED)) == Mine(again=True)  # its reply was lost
    assert cell.tell(Claim("b")) == Mine(again=True)
    assert cell.tell(MarkSent("b")) == Go("birth")


@pytest.mark.parametrize("change", ["claimed", "claimed long ago", "taken away", "clock set back"])
def test_a_claim_after_the_window_replaces_exactly_what_was_seen(cell: Cell, change: str) -> None:
    """What another process has changed meanwhile is looked at anew."""
    cell.send()
    seen = cell.older()
    if change.startswith("claimed"):
        cell.tell(Looked("c", seen, Reading.UNCONFIRMED))
        cell.wait(SETTLED if change == "claimed long ago" else 0)
    elif change == "taken away":
        cell.tell(Release(seen))
    else:
        cell.store -= HOUR
    assert cell.tell(Looked("b", seen, Reading.UNCONFIRMED)) == Changed()
    assert cell.debit is None or cell.debit.by != "b"


def test_a_bill_that_does_not_say_is_never_claimed(cell: Cell) -> None:
    """Not found, not readable or ambiguous."""
    cell.send()
    seen = cell.older()
    assert cell.tell(Looked("b", seen, Reading.UNCLEAR)) == Unclear()
    assert cell.debit == seen


def test_a_bill_that_is_confirmed_after_the_window_is_accepted(cell: Cell) -> None:
    """From then on nobody looks."""
    cell.send()
    seen = cell.older()
    assert isinstance(cell.tell(Looked("b", seen, Reading.CONFIRMED)), Accepted)
    assert isinstance(cell.tell(Claim("c")), Accepted)


# --- accepted ---------------------------------------------------------------------------------------------------------


def test_an_accepted_debit_is_done(cell: Cell) -> None:
    """For 35 days; after a window, a single read must show it."""
    cell.accept()
    assert cell.debit is not None
    assert cell.tell(Claim("b")) == Accepted(cell.debit)
    assert cell.tell(Settle("b", Outcome.ACCEPTED)) == Noted()
    assert cell.debit.by == "a"
    cell.wait(SETTLED)
    assert cell.tell(Claim("b")) == Accepted(cell.debit, is_settled=True)
    assert DEBIT.keep == 35 * 86_400


def test_a_yes_without_a_debit_is_a_contradiction(cell: Cell) -> None:
    """More than a window later, and only where it is plain; nothing is changed, since a human has to look."""
    cell.accept()
    before = cell.debit
    assert before is not None
    assert cell.tell(Looked("b", before, Reading.UNCONFIRMED)) == Changed()  # too early
    cell.wait(SETTLED)
    assert cell.tell(Looked("b", before, Reading.UNCLEAR)) == Accepted(before, is_settled=True)
    assert cell.tell(Looked("b", before, Reading.CONFIRMED)) == Accepted(before)
    assert cell.tell(Looked("b", before, Reading.UNCONFIRMED)) == Contradicted()
    assert cell.debit == before


# --- what a sending came to -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", [Outcome.REFUSED, Outcome.NEVER_SENT])
def test_a_clear_refusal_takes_ones_own_record_away(cell: Cell, outcome: Outcome) -> None:
    """And no other's; so does a confirmation that never went out."""
    cell.send()
    assert cell.tell(Settle("b", outcome)) == Noted()
    assert cell.state == "sent"
    assert cell.tell(Settle("a", outcome)) == Noted()
    assert cell.state == "nothing"


def test_a_late_refusal_does_not_take_a_yes_away(cell: Cell) -> None:
    """The debit was shown to another process meanwhile."""
    cell.send()
    cell.tell(Settle("b", Outcome.ACCEPTED))
    for by in ("a", "b"):
        cell.tell(Settle(by, Outcome.REFUSED))
        assert cell.state == "accepted"


def test_an_unclear_end_leaves_the_record(cell: Cell) -> None:
    """It stays sent."""
    cell.send()
    before = cell.debit
    assert cell.tell(Settle("a", Outcome.UNCLEAR)) == Noted()
    assert cell.debit == before


def test_bills_that_were_refused_together_are_next_sent_alone(cell: Cell) -> None:
    """Some may have been debited, so they stay sent until their window is over."""
    cell.send()
    cell.tell(Settle("a", Outcome.REFUSED_TOGETHER))
    assert cell.state == "sent"
    assert cell.tell(Looked("b", cell.older(), Reading.UNCONFIRMED)) == Mine(again=True, alone=True)


@pytest.mark.parametrize(("seconds", "may"), [(0.0, True), (19.9, True), (20.0, False), (HOUR, False)])
def test_a_body_is_begun_within_20_seconds(seconds: float, may: bool) -> None:
    """From before *sent* was written."""
    assert may_begin(0.0, seconds) is may
    assert may_begin(0.0, seconds / 32, DURATIONS.scaled(1 / 32)) is may


# --- clocks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("clock", ["store", "wall"])
def test_one_clock_that_is_ahead_ends_no_window(cell: Cell, clock: str) -> None:
    """The age is the smaller of two."""
    cell.send()
    setattr(cell, clock, START + HOUR)
    assert cell.tell(Claim("b")) == Wait(SETTLED, "sent")


@pytest.mark.parametrize("clock", ["store", "wall"])
def test_an_instant_in_the_future_is_replaced_by_whoever_finds_it(cell: Cell, clock: str) -> None:
    """Otherwise its window would end an hour late; the other clock's instant stays."""
    cell.send()
    cell.wait(50)
    setattr(cell, clock, START - HOUR)
    assert cell.tell(Claim("b"), writer="p2") == Wait(SETTLED, "sent")
    assert cell.debit is not None
    expected = {"store": START, "wall": START} | {clock: START - HOUR}
    assert cell.debit.at == Instant(**expected)
    assert (cell.debit.by, cell.debit.writer, cell.debit.revision) == ("a", "p2", 3)
    cell.wait(SETTLED)
    assert isinstance(cell.tell(Claim("b")), Older)


# --- a young store ----------------------------------------------------------------------------------------------------


def young(age: float = 10.0, **more: bool) -> Birth:
    return Birth("birth", Instant(START - age, START - age), **more)


def test_a_young_store_lets_no_bill_through_that_it_does_not_know(cell: Cell) -> None:
    """It may have been sent before the store began, so the caller is told for how long to wait."""
    cell.birth = young(10)
    assert cell.tell(Claim("a")) == Wait(SETTLED - 10, "store")
    assert cell.debit is None
    cell.wait(SETTLED - 10)
    assert cell.tell(Claim("a")) == Mine()


@pytest.mark.parametrize("birth", [None, young(-5.0)])
def test_a_store_without_a_birth_of_the_past_is_seen_to_first(cell: Cell, birth: Birth | None) -> None:
    """Also for a bill that a create brought forth."""
    cell.tell(NoteCreated("a", "birth"))
    before, cell.birth = cell.debit, birth
    assert cell.tell(Claim("a")) == Unborn()
    assert cell.debit == before


def test_a_young_store_lets_through_what_a_create_of_its_time_brought_forth(cell: Cell) -> None:
    """Whoever claims it."""
    cell.birth = young()
    assert cell.tell(NoteCreated("create", "birth")) == Noted()
    assert cell.state == "created"
    assert cell.tell(Claim("a")) == Mine(is_new=True)
    assert cell.tell(MarkSent("a")) == Go("birth")


@pytest.mark.parametrize("outcome", [Outcome.REFUSED, Outcome.NEVER_SENT])
def test_a_bill_is_new_until_it_is_written_down_as_sent(cell: Cell, outcome: Outcome) -> None:
    """A claim that was not sent leaves it new; a sending does not."""
    cell.birth = young()
    cell.tell(NoteCreated("create", "birth"))
    cell.tell(Claim("a"))
    cell.tell(Settle("a", Outcome.NEVER_SENT))
    assert cell.tell(Claim("b")) == Mine(is_new=True)
    cell.tell(MarkSent("b"))
    cell.tell(Settle("b", outcome))
    assert cell.tell(Claim("c")) == Wait(SETTLED - 10, "store")


def test_a_create_that_began_before_the_store_notes_nothing(cell: Cell) -> None:
    """Nor does one where the debit is known already; and a note of another birth counts for nothing."""
    assert cell.tell(NoteCreated("create", "other")) == Noted()
    assert cell.debit is None
    cell.tell(NoteCreated("create", "birth"))
    cell.birth = attrs.evolve(young(), id="new")
    assert cell.tell(Claim("a")) == Wait(SETTLED - 10, "store")
    cell.birth = OLD
    cell.send()
    before = cell.debit
    cell.tell(NoteCreated("create", "birth"))
    assert cell.debit == before


def test_a_young_store_holds_back_a_second_confirmation_too(cell: Cell) -> None:
    """Before the single read, and after it."""
    cell.send()
    seen = cell.older()
    cell.birth = Birth("birth", Instant(cell.store - 10, cell.wall - 10))
    assert cell.tell(Claim("b")) == Wait(SETTLED - 10, "store")
    assert cell.tell(Looked("b", seen, Reading.UNCONFIRMED)) == Wait(SETTLED - 10, "store")
    assert cell.debit == seen


def test_a_store_that_was_declared_has_nothing_pending(cell: Cell) -> None:
    """It counts as old at once."""
    cell.birth = young(nothing_pending=True)
    assert cell.tell(Claim("a")) == Mine()


def test_an_attempt_is_told_under_which_birth_it_claimed(cell: Cell) -> None:
    """Its swap may have come after the store was emptied: it reads the birth again, and finds another one."""
    cell.tell(Claim("a"))
    cell.birth = Birth("new", Instant(START, START))
    assert cell.tell(MarkSent("a")) == Go("birth")


# --- by hand ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", [Outcome.ACCEPTED, Outcome.UNCLEAR])
def test_an_old_record_is_released(cell: Cell, outcome: Outcome) -> None:
    """A sent or an accepted one, provided that it is the one that was shown."""
    cell.send()
    cell.tell(Settle("a", outcome))
    seen = cell.debit
    assert seen is not None
    assert cell.tell(Release(seen)) == Wait(SETTLED, "sent")
    cell.wait(SETTLED)
    assert cell.tell(Release(attrs.evolve(seen, revision=1))) == Changed()
    assert cell.tell(Release(seen)) == Released()
    assert cell.tell(Claim("b")) == Mine()


def test_a_claim_is_not_released(cell: Cell) -> None:
    """It was not sent, and the next attempt takes it over; nor is what is gone."""
    cell.tell(Claim("a"))
    seen = cell.older()
    assert cell.tell(Release(seen)) == Changed()
    cell.debit = None
    assert cell.tell(Release(seen)) == Changed()


# --- the document -----------------------------------------------------------------------------------------------------


def test_a_record_goes_through_its_document_unchanged(cell: Cell) -> None:
    """With a format number; a newer format is refused."""
    cell.send()
    assert cell.debit is not None
    document = DEBIT.codec.encode(cell.debit)
    assert DEBIT.codec.decode(document) == cell.debit
    assert document.startswith(b'{"format":1,')
    with pytest.raises(StoreError, match="format 2 is not known"):
        DEBIT.codec.decode(document.replace(b'"format":1', b'"format":2'))
