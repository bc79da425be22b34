"""The model of a fleet: S, L, F and R of TOKENS §7, each named exception, and each control that must fail."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from schedules import Violation
from tokens import controls
from tokens.model import LOGIN_TIMEOUT, Decide, Model, Reply, Rule, play, run, schedule

from enkash_async.tokens._account import SEND_WITHIN, decide

PARTS = 8
SCHEDULES = 6_400  # here; `python -m tokens.model` plays as many as it is told
RIGHT = 0
LEASE_IS_OVER = 26.0
TOKEN_IS_DEAD = 301.0


# --- S, L, F, R over random schedules ---------------------------------------------------------------------------------


@pytest.mark.parametrize("part", range(PARTS))
def test_the_rules_hold_over_random_schedules(part: int) -> None:
    """Save for the exceptions, each of which has a test below; there are many logins in them."""
    count = SCHEDULES // PARTS
    tally = run(count, first=part * count)
    assert tally.violations == {}
    assert tally.acts > 2 * count


@settings(max_examples=300)
@given(data=st.binary(max_size=250))
def test_the_rules_hold_over_schedules_that_hypothesis_draws(data: bytes) -> None:
    """Through documents; what fails is shortened."""
    play(data, through_bytes=True)


@pytest.mark.parametrize(
    ("control", "rule"),
    [
        (controls.unknown_gone_if_proven, Rule.S),
        (controls.reset_clears_charges, Rule.S),
        (controls.charges_end_after_ten_minutes, Rule.S),
        (controls.clamping_without_writing, Rule.L),
        (controls.watermark_at_the_record, Rule.L),
        (controls.late_tokens_stored, Rule.F),
        (controls.refusals_forgotten, Rule.R),
    ],
)
def test_random_schedules_find_a_machine_with_one_rule_taken_out(control: Decide, rule: Rule) -> None:
    """The model is worth something: it does not take long."""

    def is_found(seed: int) -> bool:
        try:
            play(schedule(seed), decide=control)
        except Violation as found:
            return found.rule is rule
        return False

    assert any(is_found(seed) for seed in range(6_000))


def test_a_schedule_is_the_same_whenever_it_is_played() -> None:
    """Through documents or not; so what is found can be looked at."""
    for seed in range(40):
        plain, through_bytes = play(schedule(seed)), play(schedule(seed), through_bytes=True)
        assert plain.story == through_bytes.story


# --- the controls, each in the shortest schedule ----------------------------------------------------------------------


def late_and_wrong(model: Model) -> None:
    """A leader with a wrong password is paused; another one works; the first is sent, and two more wrong ones try."""
    paused, right = model.join(1), model.join(RIGHT)
    model.lead(paused)
    model.wait(LEASE_IS_OVER + 60)
    model.run(right)
    model.step(paused)
    if paused.flying is not None:
        model.step(paused)
    model.deploy(0, 1)  # and never tells
    for password in (2, 3):
        model.run(model.join(password))


def lost_thrice(model: Model) -> None:
    """The password is changed, and every reply is lost, as by a gateway in trouble."""
    worker = model.join(RIGHT)
    model.run(worker)
    model.change_password(4)
    model.wait(TOKEN_IS_DEAD)
    for _ in range(3):
        model.next_reply = Reply.LOST
        model.run(worker)
        model.wait(61)


def reset_while_old_pods_drain(model: Model) -> None:
    """Two typos; the operator resets for the right password, whose worker dies before it sends; a third typo."""
    for password in (1, 2):
        model.run(model.join(password))
    right = model.join(RIGHT)
    model.reset(right)
    model.lead(right)
    model.deploy(2, RIGHT)
    model.wait(LEASE_IS_OVER)
    typo = model.join(3)
    for _ in range(2):
        model.run(typo)
        model.wait(61)


def three_typos_apart(model: Model) -> None:
    """One every ten minutes."""
    for password in (1, 2, 3):
        model.run(model.join(password))
        model.wait(601)


def clock_set_back(model: Model) -> None:
    """A leader dies, and the store's clock goes back by an hour."""
    model.lead(model.join(RIGHT))
    model.jump(-3_600.0)


def flushed(model: Model) -> None:
    """A token from before a flush, and not the first one, is refused after it."""
    worker = model.join(RIGHT)
    for _ in range(30):
        worker.wants = True
        model.run(worker)
    model.lose_writes()
    model.revoke()


def late_401(model: Model) -> None:
    """A token is revoked; more of its refusals come while the next login is under way."""
    model.run(model.join(RIGHT))
    model.revoke()


def overtaken(model: Model) -> None:
    """A leader is paused with its token in hand; another one leads meanwhile."""
    paused, other = model.join(RIGHT), model.join(RIGHT)
    model.lead(paused)
    model.step(paused)
    model.step(paused)
    model.wait(LEASE_IS_OVER + 60)
    model.run(other)
    model.run(paused)


def refused(model: Model) -> None:
    """A worker gets 401 for its token, and asks for another."""
    worker = model.join(RIGHT)
    model.run(worker)
    model.revoke()
    model.use(worker)
    model.run(worker)


Scene = Callable[[Model], None]
CONTROLS: list[tuple[Scene, Decide, float, Rule]] = [
    (late_and_wrong, controls.no_reserved_slot, math.inf, Rule.S),
    (lost_thrice, controls.unknown_gone_if_proven, SEND_WITHIN, Rule.S),
    (reset_while_old_pods_drain, controls.reset_clears_charges, SEND_WITHIN, Rule.S),
    (three_typos_apart, controls.charges_end_after_ten_minutes, SEND_WITHIN, Rule.S),
    (clock_set_back, controls.clamping_without_writing, SEND_WITHIN, Rule.L),
    (flushed, controls.fences_from_one, SEND_WITHIN, Rule.L),
    (late_401, controls.watermark_at_the_record, SEND_WITHIN, Rule.L),
    (overtaken, controls.late_tokens_stored, SEND_WITHIN, Rule.F),
    (refused, controls.refusals_forgotten, SEND_WITHIN, Rule.R),
]


@pytest.mark.parametrize(("scene", "control", "deadline", "rule"), CONTROLS)
def test_a_control_fails(scene: Scene, control: Decide, deadline: float, rule: Rule) -> None:
    """Each rule is needed: without it this very schedule goes wrong, in this very way."""

    def play_it() -> None:
        model = Model(decide=control, deadline=deadline)
        scene(model)
        model.be_quiet()

    with pytest.raises(Violation) as found:
        play_it()
    assert found.value.rule is rule


@pytest.mark.parametrize("scene", [scene for scene, *_ in CONTROLS])
def test_the_machine_holds_where_its_controls_fail(scene: Scene) -> None:
    """In the same schedules, and without an exception."""
    model = Model()
    scene(model)
    model.be_quiet()
    assert not model.excused


@pytest.mark.parametrize(("control", "deadline"), [(decide, math.inf), (controls.no_reserved_slot, SEND_WITHIN)])
def test_deadline_and_reserved_slot_stand_in_for_each_other(control: Decide, deadline: float) -> None:
    """Here either is enough; without both the account is locked."""
    model = Model(decide=control, deadline=deadline)
    late_and_wrong(model)
    assert len(model.row) < 3


# --- the exceptions, each of which locks the account ------------------------------------------------------------------


def a_lost_writes(model: Model) -> None:
    """(a) The store forgets two wrong passwords."""
    for password in (1, 2):
        model.run(model.join(password))
    model.lose_writes()
    model.run(model.join(3))


def _served(model: Model) -> None:
    """Three workers have a token and know that their password works."""
    for _ in range(3):
        model.run(model.join(RIGHT))


def _all_alone(model: Model) -> None:
    model.wait(TOKEN_IS_DEAD)
    for worker in model.workers:
        model.run(worker)


def b_changed_while_away(model: Model) -> None:
    """(b) The password is changed while the store is away."""
    _served(model)
    model.toggle_store()
    model.change_password(4)
    _all_alone(model)


def b_changed_before(model: Model) -> None:
    """Not named in §7: the password is changed before the store goes away, and nobody has logged in since."""
    _served(model)
    model.change_password(4)
    model.toggle_store()
    _all_alone(model)


def c_two_replies_lost(model: Model) -> None:
    """(c) The password is changed while two replies in a row are lost; the third goes after ten minutes."""
    lost_thrice(model)
    model.wait(600)
    model.run(model.workers[0])


def d_reset_for_a_wrong_password(model: Model) -> None:
    """(d) The operator resets the guard for a third wrong password."""
    for password in (1, 2):
        model.run(model.join(password))
    wrong = model.join(3)
    model.reset(wrong)
    model.run(wrong)


def e_stopped_after_the_last_check(model: Model) -> None:
    """(e) Two processes with wrong passwords stop between check and write; others log in; both go on, and a third."""
    right = model.join(RIGHT)
    held = [model.join(1), model.join(2)]
    for worker in held:
        model.lead(worker)
        worker.checked = True
        model.wait(LEASE_IS_OVER + 60)
        right.wants, right.idle_until = True, 0.0
        model.run(right)
    for number, worker in enumerate(held, 1):
        model.step(worker)
        model.step(worker)
        model.deploy(number, RIGHT)  # and never tells
    model.run(model.join(3))


def e_a_gateway_holds_the_request(model: Model) -> None:
    """(e) The same, of requests that a gateway holds beyond the lease."""
    right = model.join(RIGHT)
    for password in (1, 2):
        worker = model.join(password)
        model.lead(worker)
        model.step(worker)
        assert worker.flying is not None
        worker.flying.arrives_by, worker.flying.why = math.inf, "held"
        model.deploy(len(model.workers) - 1, RIGHT)
        model.wait(LEASE_IS_OVER + 60)
        right.wants, right.idle_until = True, 0.0
        model.run(right)
    for attempt in model.flying:
        attempt.arrives_by = model.t
    model.wait(0.1)
    model.run(model.join(3))


def e_the_clock_runs_over_the_lease(model: Model) -> None:
    """Not named in §7: the store's clock is set ahead while requests are under way, so their leases end too early."""
    right = model.join(RIGHT)
    for password in (1, 2):
        worker = model.join(password)
        model.lead(worker)
        model.step(worker)
        model.jump(3_600.0)
        model.deploy(len(model.workers) - 1, RIGHT)
        right.wants, right.idle_until = True, 0.0
        model.run(right)
    model.wait(LOGIN_TIMEOUT)
    model.run(model.join(3))


EXCEPTIONS: list[tuple[Scene, str]] = [
    (a_lost_writes, "a: lost writes"),
    (b_changed_while_away, "b: changed while away"),
    (b_changed_before, "b, wider: changed before"),
    (c_two_replies_lost, "c: two replies lost"),
    (d_reset_for_a_wrong_password, "d: reset for a wrong password"),
    (e_stopped_after_the_last_check, "e: held after the last check"),
    (e_a_gateway_holds_the_request, "e: held after the last check"),
    (e_the_clock_runs_over_the_lease, "e, wider: the store's clock ran over the lease"),
]


@pytest.mark.parametrize(("scene", "why"), EXCEPTIONS)
def test_an_exception_locks_the_account(scene: Scene, why: str) -> None:
    """EnKash sees three refusals in a row, and the model says why."""
    model = Model()
    scene(model)
    assert model.locked
    assert dict(model.excused) == {why: 1}


@pytest.mark.parametrize("scene", [scene for scene, _ in EXCEPTIONS])
def test_an_account_that_an_exception_has_locked_is_opened_by_its_operator(scene: Scene) -> None:
    """Unlocked at EnKash, and one `reset_guard` with the right password."""
    model = Model()
    scene(model)
    if not model.store_up:
        model.toggle_store()
    model.be_quiet()
    assert not model.locked


@pytest.mark.parametrize("scene", [b_changed_while_away, b_changed_before])
def test_serve_excludes_logins_without_the_store(scene: Scene) -> None:
    """`on_store_down="serve"`: no login at all while it is away."""
    model = Model(policy="serve")
    scene(model)
    assert model.row == []


def test_two_processes_do_not_lock_an_account_while_the_store_is_away() -> None:
    """It takes three; when the store is back their refusals are charges, and nobody else tries."""
    model = Model()
    for _ in range(2):
        model.run(model.join(RIGHT))
    model.toggle_store()
    model.change_password(4)
    _all_alone(model)
    assert len(model.row) == 2
    model.toggle_store()
    for worker in (*model.workers, model.join(RIGHT), model.join(3)):
        model.run(worker)
    assert len(model.row) == 2
