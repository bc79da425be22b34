"""The account machine, a sentence of TOKENS §3 at a time."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from enkash_async.tokens._account import decide, lease_for, view
from enkash_async.tokens._commands import (
    Answer,
    Claim,
    Closed,
    Command,
    Cooling,
    Found,
    Free,
    FreshToken,
    Lead,
    Noted,
    Outcome,
    Reject,
    Reset,
    Settle,
    TooLate,
    Wait,
    Who,
)
from enkash_async.tokens._record import Account, StoredToken

LEASE = lease_for(15.0)
START = 1_000.0
HOUR = 3_600.0
REFUSALS = [Outcome.INVALID, Outcome.UNCLEAR, Outcome.LOCKED]


def who(fingerprint: str = "right", worker: str = "w1", client: str = "c", keys: tuple[str, ...] = ("k",)) -> Who:
    return Who(client, fingerprint, worker, keys)


class Cell:
    """An account and a store's clock, told one command at a time."""

    def __init__(self) -> None:
        self.account = Account()
        self.now = START
        self._ids = 0

    def tell(self, command: Command) -> Answer:
        self.account, answer = decide(self.account, command, self.now)
        return answer

    def claim(self, caller: Who | None = None, id_: str = "", **more: Any) -> Answer:
        self._ids += 1
        command = Claim(id_ or f"i{self._ids}", caller or who(), LEASE, share=0.5)
        return self.tell(attrs.evolve(command, **more))

    def begin(self, caller: Who | None = None, **more: Any) -> int:
        """Begin an attempt, and return its fence; its id is the last one."""
        answer = self.claim(caller, **more)
        assert isinstance(answer, Lead), answer
        return answer.fence

    def settle(self, outcome: Outcome, caller: Who | None = None, *, number: int = 0, **more: Any) -> Answer:
        """Report the attempt that was begun last, or the one of a number."""
        id_ = f"i{number or self._ids}"
        fence = next((a.fence for a in self.account.attempts if a.id == id_), 0)
        return self.tell(attrs.evolve(Settle(id_, caller or who(), fence, outcome, share=0.5), **more))

    def log_in(self, caller: Who | None = None, secret: str = "s", life: float = HOUR, key: str = "k") -> int:
        """Log in with success, and return the fence."""
        fence = self.begin(caller)
        assert self.settle(Outcome.WORKED, caller, token=fresh(secret, life, key=key)) == Noted(stored=True)
        return fence

    def try_in_vain(self, outcome: Outcome, caller: Who | None = None) -> None:
        self.begin(caller)
        self.settle(outcome, caller)

    @property
    def charged(self) -> list[str]:
        return [attempt.state for attempt in self.account.attempts]

    @property
    def tokens(self) -> list[StoredToken]:
        return list(self.account.client("c").tokens)


def fresh(secret: str = "s", life: float = HOUR, age: float = 0.0, key: str = "k") -> FreshToken:
    return FreshToken(key, f"sealed {secret}".encode(), f"mark {secret}", life, age)


@pytest.fixture
def cell() -> Cell:
    return Cell()


# --- an attempt is one object with one life ---------------------------------------------------------------------------


def test_an_attempt_is_in_the_record_and_charged_before_it_is_sent(cell: Cell) -> None:
    """With id, fence, fingerprint, instant and the length of its lease."""
    fence = cell.begin(id_="a")
    (attempt,) = cell.account.attempts
    assert attrs.astuple(attempt) == ("a", fence, "right", START, LEASE, "open")


def test_a_lease_lasts_five_seconds_more_than_the_login_on_either_side() -> None:
    """And a login is bounded by 110 s, whatever the source says."""
    assert (lease_for(15.0), lease_for(1_000.0)) == (25.0, 120.0)


def test_nobody_begins_while_a_login_is_under_way(cell: Cell) -> None:
    """Who asks is told for how long at most, to the end of the lease."""
    cell.begin()
    cell.now += 10
    assert cell.claim(who("other", "w2")) == Wait(LEASE - 10)


def test_a_begin_whose_reply_was_lost_is_answered_the_same_again(cell: Cell) -> None:
    """And nothing is charged twice."""
    fence = cell.begin(id_="a")
    before = cell.account
    assert cell.claim(id_="a") == Lead(fence, cut_off=False)
    assert cell.account is before


def test_a_begin_whose_lease_has_run_out_is_too_late(cell: Cell) -> None:
    """It stays so, since it is settled; nothing is sent under it."""
    cell.begin(id_="a")
    cell.now += LEASE
    assert cell.claim(id_="a") == TooLate()
    assert cell.charged == ["unknown"]
    cell.tell(Settle("a", who(), 0, Outcome.NOT_COUNTED, 0.0))
    assert cell.claim(id_="a") == TooLate()
    assert cell.charged == []


def test_a_lease_that_ran_out_is_unknown_and_stays_charged(cell: Cell) -> None:
    """Its cooldown counts from the end of the lease, not from when somebody looked."""
    cell.begin()
    cell.now += LEASE + 20
    assert cell.claim(who("other", "w2")) == Cooling(40.0)
    assert cell.charged == ["unknown"]


def test_a_claim_that_only_looks_begins_nothing(cell: Cell) -> None:
    """Where nothing stands in the way of a login it says so."""
    assert cell.claim(begins=False) == Free()
    assert cell.account == Account()


def test_a_leader_learns_that_the_last_login_of_its_credentials_was_cut_off(cell: Cell) -> None:
    """So that a job that is short waits for the next one."""
    cell.try_in_vain(Outcome.UNKNOWN)
    cell.now += 60
    answer = cell.claim()
    assert isinstance(answer, Lead)
    assert answer.cut_off


# --- what it is settled as --------------------------------------------------------------------------------------------


def test_a_login_that_works_clears_charges_and_cooldown_and_proves(cell: Cell) -> None:
    """Its token answers whoever asks."""
    cell.try_in_vain(Outcome.UNKNOWN)
    cell.now += 60
    fence = cell.log_in()
    assert cell.charged == []
    assert view(cell.account, who(), cell.now).proven
    answer = cell.claim(who(worker="w2"))
    assert isinstance(answer, Found)
    assert (answer.token.fence, answer.token.sealed) == (fence, b"sealed s")


def test_a_login_that_works_clears_only_charges_of_a_lower_fence(cell: Cell) -> None:
    """One that began later may have been refused after it."""
    cell.begin()
    cell.now += LEASE + 60
    cell.try_in_vain(Outcome.INVALID, who("wrong", "w2"))
    cell.settle(Outcome.WORKED, number=1, token=fresh())
    assert [attempt.fingerprint for attempt in cell.account.attempts] == ["wrong"]


@pytest.mark.parametrize("outcome", [*REFUSALS, Outcome.UNKNOWN, Outcome.UNREADABLE])
@pytest.mark.parametrize("is_proven", [False, True])
def test_what_enkash_may_have_counted_stays_charged(cell: Cell, outcome: Outcome, is_proven: bool) -> None:
    """For any credentials, for ever."""
    if is_proven:
        cell.log_in(life=10.0)
        cell.now += 20
    cell.try_in_vain(outcome)
    cell.now += 30 * 86_400
    cell.claim(who("other", "w9"))
    assert len([state for state in cell.charged if state != "open"]) == 1


@pytest.mark.parametrize("outcome", [Outcome.NOT_COUNTED, Outcome.PASSING])
def test_what_enkash_did_not_count_is_gone(cell: Cell, outcome: Outcome) -> None:
    """Never sent, or 429."""
    cell.try_in_vain(outcome)
    assert cell.charged == []


def test_what_was_never_sent_makes_nobody_wait(cell: Cell) -> None:
    """The next one begins at once."""
    cell.try_in_vain(Outcome.NOT_COUNTED)
    cell.begin()


@pytest.mark.parametrize(("asked", "waits"), [(120.0, 120.0), (9_999.0, 300.0), (0.0, 0.5)])
def test_429_cools_as_long_as_enkash_asks(cell: Cell, asked: float, waits: float) -> None:
    """Up to five minutes; where it asks for nothing, as after any failure."""
    cell.begin()
    cell.settle(Outcome.PASSING, retry_after=asked)
    assert cell.claim() == Cooling(waits)


def test_the_cooldown_of_proven_credentials_grows_to_half_a_minute(cell: Cell) -> None:
    """A random share of a bound that doubles with each failure in a row."""
    cell.log_in(life=10.0)
    cell.now += 20
    waits = []
    for _ in range(9):
        cell.begin()
        cell.settle(Outcome.PASSING, share=0.9999)
        answer = cell.claim()
        assert isinstance(answer, Cooling)
        waits.append(answer.seconds)
        cell.now += answer.seconds + 0.001
    assert waits == sorted(waits)
    assert 0.5 <= waits[0] < 1.0
    assert 29 < waits[-1] <= 30


def test_unknown_cools_unproven_credentials_for_a_minute(cell: Cell) -> None:
    """It holds for everybody, since EnKash counts for everybody."""
    cell.try_in_vain(Outcome.UNKNOWN)
    assert cell.claim(who("other", "w2")) == Cooling(60.0)


def test_unknown_cools_proven_credentials_for_seconds(cell: Cell) -> None:
    """They are hardly the reason."""
    cell.log_in(life=10.0)
    cell.now += 20
    cell.try_in_vain(Outcome.UNKNOWN)
    assert cell.claim() == Cooling(0.5)


def test_locked_lets_nobody_try(cell: Cell) -> None:
    """Whatever the fingerprint."""
    cell.try_in_vain(Outcome.LOCKED)
    assert cell.claim(who("other", "w2")) == Closed("locked")


# --- the budget -------------------------------------------------------------------------------------------------------


def test_two_charged_attempts_of_whatever_fingerprints_close_the_guard(cell: Cell) -> None:
    """Nobody tries a third time, neither the right password nor a proven one."""
    cell.try_in_vain(Outcome.INVALID, who("wrong 1"))
    cell.try_in_vain(Outcome.INVALID, who("wrong 2"))
    cell.now += 30 * 86_400
    assert cell.claim() == Closed("budget")


def _cut_off_twice(cell: Cell, second: Who | None = None) -> None:
    cell.log_in(life=10.0)
    cell.now += 10 + 600  # no attempt is kept for anybody
    for caller in (who(), second or who()):
        cell.try_in_vain(Outcome.UNKNOWN, caller)
        cell.now += 60


def test_two_unknown_of_one_proven_fingerprint_let_it_try_every_ten_minutes(cell: Cell) -> None:
    """Counted from the newest charge, which the next one is in its turn."""
    _cut_off_twice(cell)
    assert cell.claim() == Cooling(540.0)
    cell.now += 540
    cell.try_in_vain(Outcome.UNKNOWN)
    cell.now += 100
    assert cell.claim() == Cooling(500.0)
    cell.now += 500
    cell.log_in()
    assert cell.charged == []


def test_the_ten_minute_rule_is_for_nobody_else(cell: Cell) -> None:
    """Other credentials stay shut out."""
    _cut_off_twice(cell)
    cell.now += HOUR
    assert cell.claim(who("other", "w2")) == Closed("budget")


def test_two_unknown_of_an_unproven_fingerprint_close_the_guard(cell: Cell) -> None:
    """It may be wrong, and nobody has heard so."""
    for _ in range(2):
        cell.try_in_vain(Outcome.UNKNOWN)
        cell.now += HOUR
    assert cell.claim() == Closed("budget")


def test_two_unknown_of_different_fingerprints_close_the_guard(cell: Cell) -> None:
    """Proven or not: one of them may be wrong."""
    _cut_off_twice(cell, who("other"))
    cell.now += HOUR
    assert cell.claim() == Closed("budget")


def test_a_refusal_and_an_unknown_close_the_guard_for_the_proven_too(cell: Cell) -> None:
    """Three in a row could follow."""
    cell.log_in(life=10.0)
    cell.now += 20
    cell.try_in_vain(Outcome.UNCLEAR)
    cell.try_in_vain(Outcome.UNKNOWN, who(worker="w2"))
    cell.now += HOUR
    assert cell.claim() == Closed("budget")


# --- the reserved slot ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("later", [0.0, HOUR, HOUR + 599])
def test_the_last_attempt_is_kept_for_proven_credentials_whose_token_lives(cell: Cell, later: float) -> None:
    """And ten minutes beyond: with one charge, unproven ones do not begin, and the proven ones do."""
    cell.log_in(life=HOUR)
    cell.try_in_vain(Outcome.INVALID, who("wrong 1", keys=("k1",)))
    cell.now += later
    assert cell.claim(who("wrong 2", keys=("k2",))) == Closed("budget")
    cell.begin(above=10**9)


def test_the_last_attempt_is_free_ten_minutes_after_the_proven_token(cell: Cell) -> None:
    """A right password that is new then gets its token."""
    cell.log_in(life=HOUR)
    cell.try_in_vain(Outcome.INVALID, who("wrong", keys=("k1",)))
    cell.now += HOUR + 600
    cell.begin(who("new", keys=("k2",)))


def test_unproven_credentials_begin_where_nothing_is_charged(cell: Cell) -> None:
    """A token of proven ones alone keeps nobody out."""
    cell.log_in(life=HOUR)
    cell.begin(who("new", keys=("k2",)))


def test_no_slot_is_kept_for_credentials_that_are_proven_no_more(cell: Cell) -> None:
    """EnKash has refused them: their password was changed."""
    cell.log_in(life=HOUR)
    cell.begin(above=10**9)
    cell.settle(Outcome.INVALID)
    cell.begin(who("new", keys=("k2",)))


# --- bars -------------------------------------------------------------------------------------------------------------


def test_a_refusal_that_says_so_bars_the_fingerprint_for_the_fleet(cell: Cell) -> None:
    """At once and without end."""
    cell.try_in_vain(Outcome.INVALID, who("wrong"))
    cell.now += 30 * 86_400
    assert cell.claim(who("wrong", "w2")) == Closed("rejected")
    cell.begin()


@pytest.mark.parametrize("outcome", [Outcome.UNCLEAR, Outcome.UNREADABLE])
def test_an_unclear_refusal_bars_for_its_worker_alone_and_ten_minutes(cell: Cell, outcome: Outcome) -> None:
    """Its network may be what is refused."""
    cell.try_in_vain(outcome)
    cell.now += 599
    assert cell.claim() == Closed("rejected")
    assert cell.claim(who(worker="w2"), begins=False) == Free()
    cell.now += 1
    cell.begin()


@pytest.mark.parametrize("outcome", [Outcome.UNCLEAR, Outcome.UNREADABLE])
def test_an_unclear_refusal_of_a_second_worker_bars_for_the_fleet(cell: Cell, outcome: Outcome) -> None:
    """And does not end by itself."""
    cell.try_in_vain(outcome)
    cell.now += 60
    cell.try_in_vain(outcome, who(worker="w2"))
    cell.now += HOUR
    assert cell.claim(who(worker="w3")) == Closed("rejected")


def test_an_unclear_refusal_does_not_weaken_the_fleets_bar(cell: Cell) -> None:
    """A late one, of a worker that had begun before."""
    cell.begin(who("wrong"))
    cell.now += LEASE + 60
    cell.try_in_vain(Outcome.INVALID, who("wrong", "w2"))
    cell.settle(Outcome.UNCLEAR, who("wrong"), number=1)
    cell.now += HOUR
    assert cell.claim(who("wrong", "w3")) == Closed("rejected")


def test_a_refusal_of_proven_credentials_ends_proven_and_lifts_other_bars(cell: Cell) -> None:
    """The password was changed, maybe to one that was wrong before; the charges stay."""
    cell.try_in_vain(Outcome.INVALID, who("new"))
    cell.log_in(life=10.0)
    cell.now += 20
    cell.try_in_vain(Outcome.INVALID)
    assert cell.claim() == Closed("rejected")
    assert not view(cell.account, who(), cell.now).proven
    assert cell.charged == ["refused"]
    cell.begin(who("new"))


def test_bars_are_bounded_and_proven_fingerprints_outlast_them(cell: Cell) -> None:
    """After forty wrong passwords, each let in by an operator, 32 are known, and the proven one among them."""
    cell.log_in(life=10.0)
    cell.now += 20
    for number in range(40):
        wrong = who(f"wrong {number}", f"w{number}")
        cell.tell(Reset(f"r{number}", wrong))
        cell.try_in_vain(Outcome.INVALID, wrong)
    assert len(cell.account.fingerprints) == 32
    assert len(cell.account.attempts) == 32
    assert cell.account.fingerprint("right").proven
    assert cell.claim(who("wrong 39", "w39")) == Closed("rejected")


# --- reset_guard ------------------------------------------------------------------------------------------------------


def _shut(cell: Cell) -> None:
    cell.try_in_vain(Outcome.INVALID, who("wrong 1"))
    cell.try_in_vain(Outcome.INVALID, who("wrong 2"))


def test_a_reset_clears_no_charge_and_grants_its_fingerprint_one_attempt(cell: Cell) -> None:
    """For ten minutes, during which nobody else begins."""
    _shut(cell)
    cell.tell(Reset("r", who()))
    assert cell.charged == ["refused", "refused"]
    cell.now += 60
    assert cell.claim(who("other", "w2")) == Cooling(540.0)
    cell.begin()


def test_a_reset_of_an_open_guard_holds_up_nobody(cell: Cell) -> None:
    """There is nothing to grant, so that another right password logs in at once."""
    cell.tell(Reset("r", who()))
    assert cell.account.grant is None
    cell.begin(who("other", "w2"))


def test_a_granted_attempt_that_works_clears_the_rest(cell: Cell) -> None:
    """Everybody goes on as before."""
    _shut(cell)
    cell.tell(Reset("r", who()))
    cell.log_in()
    assert cell.charged == []
    assert cell.account.grant is None


@pytest.mark.parametrize("outcome", [Outcome.INVALID, Outcome.UNCLEAR, Outcome.UNKNOWN])
def test_a_granted_attempt_that_fails_needs_another_reset(cell: Cell, outcome: Outcome) -> None:
    """It was one attempt."""
    _shut(cell)
    cell.tell(Reset("r1", who()))
    cell.try_in_vain(outcome)
    cell.now += 60
    assert isinstance(cell.claim(who(worker="w2")), Closed)
    cell.tell(Reset("r2", who()))
    cell.log_in()


def test_a_granted_attempt_whose_worker_is_gone_needs_another_reset(cell: Cell) -> None:
    """It may have been sent."""
    _shut(cell)
    cell.tell(Reset("r", who()))
    cell.begin()
    cell.now += LEASE + 60
    assert cell.claim(who(worker="w2")) == Closed("budget")


@pytest.mark.parametrize("outcome", [Outcome.NOT_COUNTED, Outcome.PASSING])
def test_a_granted_attempt_that_enkash_did_not_count_can_be_made_again(cell: Cell, outcome: Outcome) -> None:
    """Within the same ten minutes."""
    _shut(cell)
    cell.tell(Reset("r", who()))
    cell.try_in_vain(outcome)
    cell.now += 30
    assert isinstance(cell.claim(who("other", "w2")), Cooling)
    cell.begin()


def test_a_grant_ends_after_ten_minutes(cell: Cell) -> None:
    """The guard is as it was."""
    _shut(cell)
    cell.tell(Reset("r", who()))
    cell.now += 600
    assert cell.claim() == Closed("budget")


def test_a_reset_lifts_lock_cooldown_and_the_bar_of_its_own_fingerprint(cell: Cell) -> None:
    """Other fingerprints stay barred."""
    cell.try_in_vain(Outcome.INVALID, who("wrong"))
    cell.try_in_vain(Outcome.LOCKED)
    cell.tell(Reset("r", who()))
    assert cell.claim(who("wrong", "w2")) == Closed("rejected")
    cell.try_in_vain(Outcome.INVALID)
    cell.tell(Reset("r2", who()))
    cell.begin()


def test_a_reset_lifts_the_cooldown_of_a_leader_that_vanished(cell: Cell) -> None:
    """Also where nobody has noticed it yet."""
    cell.begin(who("other", "w2"))
    cell.now += LEASE + 1
    cell.tell(Reset("r", who()))
    cell.begin()


def test_a_reset_that_is_told_again_grants_nothing_more(cell: Cell) -> None:
    """Its reply was lost, and the attempt has failed meanwhile."""
    _shut(cell)
    cell.tell(Reset("r", who()))
    cell.try_in_vain(Outcome.UNKNOWN)
    cell.now += 60
    cell.tell(Reset("r", who()))
    assert cell.claim() == Closed("budget")


# --- late reports -----------------------------------------------------------------------------------------------------


def _overtaken(cell: Cell, outcome: Outcome, second: Who | None = None) -> None:
    """A leader is paused, and its successor settles."""
    cell.begin()
    cell.now += LEASE + 60
    cell.begin(second or who(worker="w2"))
    cell.settle(outcome, second or who(worker="w2"), token=fresh("newer") if outcome is Outcome.WORKED else None)


@pytest.mark.parametrize("outcome", REFUSALS)
def test_a_refusal_is_charged_whenever_it_comes(cell: Cell, outcome: Outcome) -> None:
    """EnKash may have counted it after the success of another."""
    _overtaken(cell, Outcome.WORKED)
    assert cell.charged == []
    cell.settle(outcome, number=1)
    assert cell.charged == ["refused"]


@pytest.mark.parametrize("outcome", REFUSALS)
def test_a_late_refusal_neither_bars_nor_locks_what_has_worked_since(cell: Cell, outcome: Outcome) -> None:
    """The later answer is the better one."""
    _overtaken(cell, Outcome.WORKED)
    fence = cell.tokens[0].fence
    cell.tell(Settle("i1", who(), fence - 1, outcome, 0.5))
    assert view(cell.account, who(), cell.now).proven
    assert isinstance(cell.claim(above=10**9, begins=False), Free)


def test_a_late_lock_does_not_hold_where_enkash_has_said_otherwise_since(cell: Cell) -> None:
    """To anybody of the account."""
    cell.begin()
    cell.now += LEASE + 60
    cell.try_in_vain(Outcome.INVALID, who("wrong", "w2"))
    cell.settle(Outcome.LOCKED, number=1)
    assert cell.claim() == Closed("budget")


def test_a_late_success_does_not_prove_what_was_refused_since(cell: Cell) -> None:
    """It stores its token all the same, which EnKash may still take, and clears charges that are older."""
    _overtaken(cell, Outcome.INVALID)
    assert cell.settle(Outcome.WORKED, number=1, token=fresh("late", age=LEASE + 60)) == Noted(stored=True)
    assert not view(cell.account, who(), cell.now).proven
    assert cell.charged == ["refused"]
    assert cell.claim(above=10**9) == Closed("rejected")


def test_a_late_success_proves_where_nothing_was_said_since(cell: Cell) -> None:
    """No answer is none."""
    _overtaken(cell, Outcome.UNKNOWN)
    cell.settle(Outcome.WORKED, number=1, token=fresh(age=100.0))
    assert view(cell.account, who(), cell.now).proven
    assert cell.charged == ["unknown"]


def test_a_late_success_leaves_the_cooldown_of_later_attempts(cell: Cell) -> None:
    """EnKash has asked for patience after it."""
    cell.begin()
    cell.now += LEASE + 60
    cell.begin(who(worker="w2"))
    cell.settle(Outcome.PASSING, who(worker="w2"), retry_after=300.0)
    cell.settle(Outcome.WORKED, number=1, token=fresh(life=50.0, age=100.0))
    assert cell.claim() == Cooling(300.0)


def test_a_late_token_never_replaces_a_newer_one(cell: Cell) -> None:
    """A stale leader is told that its token is of no use."""
    _overtaken(cell, Outcome.WORKED)
    assert cell.settle(Outcome.WORKED, number=1, token=fresh("stale")) == Noted(stored=False)
    assert [token.mark for token in cell.tokens] == ["mark newer"]


def test_a_late_token_is_not_stored_below_the_watermark(cell: Cell) -> None:
    """EnKash has refused a newer one since."""
    fence = cell.begin()
    cell.tell(Reject("c", fence, "mark other"))
    assert cell.settle(Outcome.WORKED, token=fresh()) == Noted(stored=False)


def test_a_login_whose_token_may_not_be_shared_counts_as_worked(cell: Cell) -> None:
    """As where it cannot be sealed, and the store is a file."""
    cell.try_in_vain(Outcome.UNKNOWN)
    cell.now += 60
    cell.begin()
    assert cell.settle(Outcome.WORKED) == Noted(stored=False)
    assert (cell.charged, cell.tokens) == ([], [])
    assert view(cell.account, who(), cell.now).proven


def test_a_token_that_is_dead_when_it_is_reported_is_not_stored(cell: Cell) -> None:
    """The login counts as worked."""
    cell.begin()
    assert cell.settle(Outcome.WORKED, token=fresh(life=60.0, age=61.0)) == Noted(stored=False)
    assert view(cell.account, who(), cell.now).proven


@pytest.mark.parametrize("outcome", list(Outcome))
def test_a_report_that_is_told_again_changes_nothing(cell: Cell, outcome: Outcome) -> None:
    """Its reply was lost; the answer is the same."""
    cell.begin(id_="a")
    fence = cell.account.fence
    token = fresh() if outcome is Outcome.WORKED else None
    report = Settle("a", who(), fence, outcome, 0.5, token=token)
    answer = cell.tell(report)
    before = cell.account
    cell.now += 5
    assert cell.tell(report) == answer
    assert cell.account is before


def test_a_repeated_refusal_is_not_charged_after_a_success(cell: Cell) -> None:
    """Its id is kept among the last sixteen."""
    cell.begin(who("wrong"), id_="a")
    report = Settle("a", who("wrong"), cell.account.fence, Outcome.INVALID, 0.5)
    cell.tell(report)
    cell.log_in()
    cell.tell(report)
    assert cell.charged == []


def test_an_unknown_report_from_before_a_success_is_not_charged_again(cell: Cell) -> None:
    """Its charge was cleared; only a refusal comes back."""
    _overtaken(cell, Outcome.WORKED)
    cell.settle(Outcome.UNKNOWN, number=1)
    assert cell.charged == []


def test_an_unknown_report_of_a_lapsed_attempt_cools_only_once(cell: Cell) -> None:
    """The end of the lease was the same failure."""
    cell.begin()
    cell.now += LEASE
    cell.claim(who("other", "w2"))
    before = cell.account
    cell.settle(Outcome.UNKNOWN, number=1)
    assert (cell.account.failures, cell.account.cooling_for) == (before.failures, before.cooling_for)


# --- attempts that are not in the record ------------------------------------------------------------------------------


def _report(id_: str, fence: int, outcome: Outcome, secret: str = "alone", caller: Who | None = None) -> Settle:
    return Settle(id_, caller or who(), fence, outcome, 0.5, token=fresh(secret) if outcome is Outcome.WORKED else None)


def test_a_token_whose_attempt_is_unknown_is_stored_where_there_is_none(cell: Cell) -> None:
    """It was fetched while the store was away, or the store was flushed; it proves its credentials."""
    assert cell.tell(_report("x", 7, Outcome.WORKED)) == Noted(stored=True)
    assert view(cell.account, who(), cell.now).proven


def test_a_token_whose_attempt_is_unknown_does_not_take_anothers_place(cell: Cell) -> None:
    """However high its fence: after a flush nobody knows which is newer."""
    cell.log_in(secret="first")
    assert cell.tell(_report("x", 10**12, Outcome.WORKED)) == Noted(stored=False)
    assert [token.mark for token in cell.tokens] == ["mark first"]


def test_a_token_whose_attempt_is_unknown_takes_the_place_of_a_dead_one(cell: Cell) -> None:
    """A token that has ended is none."""
    fence = cell.log_in(life=10.0)
    cell.now += 11
    assert cell.tell(_report("x", fence + 1, Outcome.WORKED)) == Noted(stored=True)


@pytest.mark.parametrize("outcome", [Outcome.INVALID, Outcome.UNKNOWN])
def test_a_failure_whose_attempt_is_unknown_is_charged(cell: Cell, outcome: Outcome) -> None:
    """What was tried without the store counts when the store is back."""
    cell.tell(_report("x", 7, outcome))
    assert len(cell.charged) == 1


def test_a_report_of_what_was_never_begun_keeps_a_late_swap_out(cell: Cell) -> None:
    """The record changes, so a begin that is still on its way to the store finds other bytes."""
    before = cell.account
    cell.tell(Settle("never", who(), 0, Outcome.NOT_COUNTED, 0.0))
    assert cell.account.revision == before.revision + 1
    assert cell.claim(id_="never") == TooLate()


# --- fences -----------------------------------------------------------------------------------------------------------


def test_a_new_fence_is_above_all_that_is_known(cell: Cell) -> None:
    """The record's fence and watermarks, what the caller has seen, and the store's clock in milliseconds."""
    assert cell.begin() == int(START * 1000) + 1
    cell.settle(Outcome.NOT_COUNTED)
    assert cell.begin() == int(START * 1000) + 2
    cell.settle(Outcome.NOT_COUNTED)
    assert cell.begin(seen=10**7) == 10**7 + 1
    cell.settle(Outcome.NOT_COUNTED)
    cell.tell(Reject("another client", 10**8, "mark"))
    assert cell.begin() == 10**8 + 1


def test_fences_go_on_after_a_flush(cell: Cell) -> None:
    """The clock, and who has seen more, see to it."""
    before = cell.begin()
    cell.account = Account()
    cell.now += 1
    assert cell.begin() > before


# --- refused tokens ---------------------------------------------------------------------------------------------------


def test_a_refusal_raises_the_watermark_to_the_tokens_own_fence(cell: Cell) -> None:
    """A login that was under way then brings a token that answers."""
    fence = cell.log_in(secret="old")
    cell.begin(above=fence)
    cell.tell(Reject("c", fence, "mark old"))
    assert cell.account.client("c").watermark == fence
    assert cell.settle(Outcome.WORKED, token=fresh("new")) == Noted(stored=True)
    assert isinstance(cell.claim(rejected="mark old", above=fence), Found)


def test_late_refusals_of_one_token_change_nothing(cell: Cell) -> None:
    """Three hundred requests were under way with it."""
    fence = cell.log_in(secret="old")
    cell.tell(Reject("c", fence, "mark old"))
    cell.log_in(secret="new")
    before = cell.account
    cell.now += 1
    cell.tell(Reject("c", fence, "mark old"))
    assert cell.account is before


def test_a_refusal_is_of_the_secret_under_whatever_number(cell: Cell) -> None:
    """A login had brought it once more meanwhile."""
    fence = cell.log_in()
    again = cell.begin(above=fence)
    cell.settle(Outcome.WORKED, token=fresh())
    cell.tell(Reject("c", fence, "mark s"))
    assert [(token.fence, token.refused) for token in cell.tokens] == [(again, True)]
    cell.begin(above=fence)


def test_a_claim_is_never_answered_with_the_secret_that_it_rejects(cell: Cell) -> None:
    """Also where the record does not know of the refusal."""
    cell.log_in()
    assert isinstance(cell.claim(rejected="mark s"), Lead)


def test_a_token_that_is_refused_at_once_makes_everybody_wait(cell: Cell) -> None:
    """30 s, doubling to five minutes, as long as each new token is refused within 30 s of its login."""
    cell.tell(Reject("c", cell.log_in(secret="0"), "mark 0"))
    waits = []
    for number in range(1, 7):
        cell.tell(Reject("c", cell.log_in(secret=f"{number}"), f"mark {number}"))
        answer = cell.claim()
        assert isinstance(answer, Cooling)
        waits.append(answer.seconds)
        cell.now += answer.seconds + 0.001
    assert waits == [30, 60, 120, 240, 300, 300]


def test_a_token_that_has_served_for_half_a_minute_is_replaced_at_once(cell: Cell) -> None:
    """And the pauses begin anew."""
    cell.tell(Reject("c", cell.log_in(secret="0"), "mark 0"))
    cell.tell(Reject("c", cell.log_in(secret="1"), "mark 1"))
    cell.now += 30
    fence = cell.log_in(secret="2")
    cell.now += 30
    cell.tell(Reject("c", fence, "mark 2"))
    fence = cell.log_in(secret="3")
    cell.tell(Reject("c", fence, "mark 3"))
    assert cell.claim() == Cooling(30.0, is_renewal=True)


def test_a_token_fetched_before_the_refusal_was_noted_is_replaced_at_once(cell: Cell) -> None:
    """The same stroke has revoked it."""
    old = cell.log_in(secret="old")
    new = cell.begin(above=old)
    cell.tell(Reject("c", old, "mark old"))
    cell.settle(Outcome.WORKED, token=fresh("new"))
    cell.tell(Reject("c", new, "mark new"))
    cell.begin(above=new)


def test_the_pause_after_a_refused_token_is_its_client_ids_alone(cell: Cell) -> None:
    """Another client id of the account logs in."""
    for secret in "01":
        cell.tell(Reject("c", cell.log_in(secret=secret), f"mark {secret}"))
    assert isinstance(cell.claim(), Cooling)
    cell.begin(who(client="other"))


def test_a_login_that_brings_the_refused_secret_worked_but_is_not_stored(cell: Cell) -> None:
    """The refused token stays, marked, and a pause follows."""
    fence = cell.log_in()
    cell.tell(Reject("c", fence, "mark s"))
    cell.begin()
    assert cell.settle(Outcome.WORKED, token=fresh()) == Noted(stored=False)
    assert cell.charged == []
    assert [(token.fence, token.refused) for token in cell.tokens] == [(fence, True)]
    assert cell.claim() == Cooling(30.0, is_renewal=True)


def test_a_refused_token_goes_when_another_secret_takes_its_place(cell: Cell) -> None:
    """There is one token for each key."""
    cell.tell(Reject("c", cell.log_in(secret="old"), "mark old"))
    cell.log_in(secret="new")
    assert [token.mark for token in cell.tokens] == ["mark new"]


# --- tokens -----------------------------------------------------------------------------------------------------------


def test_a_token_answers_until_it_is_not_attached_any_more(cell: Cell) -> None:
    """Two percent of its life before its end."""
    cell.log_in(life=1_000.0)
    cell.now += 979
    assert isinstance(cell.claim(), Found)
    cell.now += 1
    cell.begin()


def test_a_token_lives_from_before_its_login_was_sent(cell: Cell) -> None:
    """A slow login does not make it younger."""
    cell.begin()
    cell.now += 15
    cell.settle(Outcome.WORKED, token=fresh(life=100.0, age=12.0))
    assert [(token.at, token.came_at) for token in cell.tokens] == [(START + 3, START + 15)]


def test_the_newest_two_tokens_stay_each_under_its_key(cell: Cell) -> None:
    """Who cannot open one carries its bytes through unchanged, and logs in."""
    for key in ("k1", "k2", "k3"):
        cell.log_in(who(keys=(key,)), secret=key, key=key)
    assert [token.sealed for token in cell.tokens] == [b"sealed k2", b"sealed k3"]
    answer = cell.claim(who(keys=("k2",)))
    assert isinstance(answer, Found)
    assert answer.token.mark == "mark k2"


def test_a_caller_with_several_keys_gets_the_newest_token(cell: Cell) -> None:
    """As while keys rotate."""
    cell.log_in(who(keys=("k1",)), secret="1", key="k1")
    cell.log_in(who(keys=("k2",)), secret="2", key="k2")
    answer = cell.claim(who(keys=("k1", "k2")))
    assert isinstance(answer, Found)
    assert answer.token.mark == "mark 2"


def test_tokens_of_one_client_id_are_none_of_anothers(cell: Cell) -> None:
    """They share the guard alone."""
    cell.log_in()
    cell.begin(who(client="other"))


@pytest.mark.parametrize(("life", "ends"), [(HOUR, START + HOUR), (60.0, START + 160.0)])
def test_the_same_living_secret_ends_at_the_earlier_of_both_ends(cell: Cell, life: float, ends: float) -> None:
    """A login that brings it again begins no new lifetime."""
    fence = cell.log_in(life=HOUR)
    cell.now += 100
    cell.begin(above=fence)
    cell.settle(Outcome.WORKED, token=fresh(life=life))
    (token,) = cell.tokens
    assert (token.at + token.life, token.repeats) == (ends, 1)


def test_a_secret_that_comes_again_and_again_costs_no_more_logins_to_its_end(cell: Cell) -> None:
    """Once from R on, once from M on; what is left then is waited for."""
    fence = cell.log_in(life=1_000.0)
    for _ in range(2):
        fence = cell.begin(above=fence)
        cell.settle(Outcome.WORKED, token=fresh(life=1_000.0))
    cell.now += 985
    assert cell.claim() == Cooling(15.0, is_renewal=True)
    assert isinstance(cell.claim(who(keys=("another",))), Lead)


def test_a_dead_secret_that_comes_again_lives_again(cell: Cell) -> None:
    """Where EnKash names no lifetime, ours was a guess."""
    cell.log_in(life=60.0)
    cell.now += 61
    cell.log_in(life=60.0)
    assert [token.repeats for token in cell.tokens] == [0]


# --- clocks -----------------------------------------------------------------------------------------------------------


def test_a_clock_that_was_set_back_moves_every_instant_along_and_writes_it(cell: Cell) -> None:
    """All ages are what they were; also a look writes it down."""
    cell.try_in_vain(Outcome.UNCLEAR, who("unclear", "w3"))
    fence = cell.log_in()
    cell.begin(above=fence)
    cell.settle(Outcome.UNKNOWN)
    cell.tell(Reject("c", fence, "mark s"))
    cell.tell(Reset("r", who()))
    cell.begin(above=fence)
    cell.now += 4
    cell.claim(above=fence, begins=False, id_="look")
    before = cell.account
    cell.now -= HOUR
    assert cell.claim(above=fence, begins=False) == Wait(LEASE)
    after, back = cell.account, before.now - cell.now
    assert (after.now, after.revision) == (cell.now, before.revision + 1)
    assert [a.at for a in after.attempts] == [a.at - back for a in before.attempts]
    assert [f.barred_at for f in after.fingerprints] == [f.barred_at - back for f in before.fingerprints]
    assert after.clients == tuple(client.moved_back(back) for client in before.clients)
    assert after.grant is not None
    assert before.grant is not None
    assert after.grant.at == before.grant.at - back
    assert after.cooling_at == before.cooling_at - back


def test_a_lease_does_not_last_for_the_hour_that_the_clock_was_set_back(cell: Cell) -> None:
    """It ends when its length has passed."""
    cell.begin()
    cell.now -= HOUR
    assert cell.claim(who("other", "w2")) == Wait(LEASE)
    cell.now += LEASE
    assert cell.claim(who("other", "w2")) == Cooling(60.0)


def test_an_age_is_never_negative(cell: Cell) -> None:
    """A clock set back by less than passed since the last change is not noticed, and lengthens nothing."""
    cell.begin()
    cell.account = attrs.evolve(cell.account, now=START - 50)
    cell.now = START - 40
    assert cell.claim(who("other", "w2")) == Wait(LEASE)


def test_the_length_of_a_lease_is_the_one_that_is_stored_with_it(cell: Cell) -> None:
    """Not that of whoever asks."""
    cell.begin(lease=120.0)
    cell.now += 100
    assert cell.claim(who(worker="w2"), lease=25.0) == Wait(20.0)


def test_a_jump_ahead_costs_one_more_login(cell: Cell) -> None:
    """The token seems dead, and the next one answers."""
    fence = cell.log_in()
    cell.now += 2 * HOUR
    assert cell.log_in(secret="new") > fence
    assert isinstance(cell.claim(), Found)


# --- what a process keeps for the time without the store --------------------------------------------------------------


def test_a_process_may_log_in_alone_if_proven_and_nothing_is_charged(cell: Cell) -> None:
    """And no lease is held, which is a charge as well."""
    assert not view(cell.account, who(), cell.now).alone
    fence = cell.log_in()
    assert view(cell.account, who(), cell.now).alone
    assert not view(cell.account, who("new"), cell.now).alone
    cell.begin(above=fence)
    assert not view(cell.account, who(), cell.now).alone


def test_a_view_tells_the_highest_fence(cell: Cell) -> None:
    """Watermarks too."""
    cell.log_in()
    cell.tell(Reject("other", 10**9, "mark"))
    assert view(cell.account, who(), cell.now).seen == 10**9


def test_a_command_that_changes_nothing_returns_the_very_same_account(cell: Cell) -> None:
    """So that its document keeps its bytes."""
    cell.log_in()
    before = cell.account
    cell.now += 5
    cell.claim()
    assert cell.account is before


def test_every_change_raises_the_revision(cell: Cell) -> None:
    """No earlier value of a record comes back."""
    cell.log_in()
    cell.tell(Reject("c", 1, "mark"))
    cell.tell(Reset("r", who()))
    assert cell.account.revision == 4
