"""The policies of repeats and looks: their defaults, bounds and pauses."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from enkash_async.config import PollPolicy, RetryPolicy, SettlePolicy
from enkash_async.errors import ConfigurationError

CHANCES = st.floats(0, 1, exclude_max=True)


# --- RetryPolicy ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attempt", "ceiling"), [(1, 0.5), (2, 1.0), (3, 2.0), (4, 4.0), (5, 8.0), (6, 8.0), (1025, 8.0), (5000, 8.0)]
)
def test_the_pause_doubles_up_to_its_cap(attempt: int, ceiling: float) -> None:
    """The pause has full jitter and no overflow where `2.0 ** attempt` would raise."""
    policy = RetryPolicy(attempts=5000)
    assert policy.pause(attempt, None, lambda: 0.0) == 0
    assert policy.pause(attempt, None, lambda: 0.5) == ceiling / 2
    assert policy.pause(attempt, None, lambda: 1.0) == ceiling


@given(st.integers(1, 10**6), st.floats(0, 1e300), st.floats(0, 1e6), CHANCES)
def test_a_pause_is_never_negative_nor_above_its_cap(
    attempt: int, backoff: float, max_backoff: float, chance: float
) -> None:
    """The bounds hold for any policy and any random number."""
    pause = RetryPolicy(backoff=backoff, max_backoff=max_backoff).pause(attempt, None, lambda: chance)
    assert 0 <= pause <= max_backoff


@pytest.mark.parametrize(("asked", "pause"), [(None, 0.25), (0.0, 0.25), (0.1, 0.25), (7.0, 7.0), (59.0, 59.0)])
def test_retry_after_is_the_least_pause(asked: float | None, pause: float) -> None:
    """EnKash's seconds are waited for, above the policy's cap too."""
    assert RetryPolicy().pause(1, asked, lambda: 0.5) == pause


def test_the_defaults_are_three_patient_attempts() -> None:
    """The defaults equal those of the documentation, and writes are not repeated."""
    policy = RetryPolicy()
    assert (policy.attempts, policy.backoff, policy.max_backoff, policy.max_retry_after) == (3, 0.5, 8.0, 60.0)
    assert policy.writes is False
    assert policy.settle == SettlePolicy()


PAUSE = "a number of seconds, 0 or more"
WINDOW = f"{PAUSE}, or None for four times Timeouts.total"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RetryPolicy(attempts=0), "RetryPolicy.attempts must be a number, 1 or more, not 0"),
        (lambda: RetryPolicy(attempts=-1), "RetryPolicy.attempts must be a number, 1 or more, not -1"),
        (lambda: RetryPolicy(backoff=-0.1), "RetryPolicy.backoff must be a number of seconds, 0 or more, not -0.1"),
        (lambda: RetryPolicy(backoff=math.nan), "RetryPolicy.backoff must be a number of seconds, 0 or more, not nan"),
        (lambda: RetryPolicy(max_backoff=-1), "RetryPolicy.max_backoff must be a number of seconds, 0 or more, not -1"),
        (lambda: RetryPolicy(max_retry_after=-1), f"RetryPolicy.max_retry_after must be {PAUSE}, not -1"),
        (lambda: PollPolicy(first=0), "PollPolicy.first must be a number of seconds, 0.001 or more, not 0"),
        (lambda: PollPolicy(factor=0.9), "PollPolicy.factor must be a number, 1 or more, not 0.9"),
        (lambda: PollPolicy(longest=0), "PollPolicy.longest must be a number of seconds, 0.001 or more, not 0"),
        (lambda: PollPolicy(jitter=-0.1), "PollPolicy.jitter must be a number from 0 to 1, not -0.1"),
        (lambda: PollPolicy(jitter=1.1), "PollPolicy.jitter must be a number from 0 to 1, not 1.1"),
        (lambda: PollPolicy(first=True), "PollPolicy.first must be a number of seconds, 0.001 or more, not True"),
        (lambda: RetryPolicy(attempts="3"), "RetryPolicy.attempts must be a number, 1 or more, not '3'"),  # type: ignore[arg-type]
        (lambda: RetryPolicy(backoff=None), "RetryPolicy.backoff must be a number of seconds, 0 or more, not None"),  # type: ignore[arg-type]
        (lambda: RetryPolicy(writes=1), "RetryPolicy.writes must be True or False, not 1"),  # type: ignore[arg-type]
        (lambda: RetryPolicy(writes=None), "RetryPolicy.writes must be True or False, not None"),  # type: ignore[arg-type]
        (lambda: RetryPolicy(settle=-1), f"SettlePolicy.window must be {WINDOW}, not -1"),
        (lambda: RetryPolicy(settle="5"), f"SettlePolicy.window must be {WINDOW}, not '5'"),  # type: ignore[arg-type]
        (lambda: RetryPolicy(settle=True), f"SettlePolicy.window must be {WINDOW}, not True"),
        (lambda: SettlePolicy(window=-0.1), f"SettlePolicy.window must be {WINDOW}, not -0.1"),
        (lambda: SettlePolicy(window=math.nan), f"SettlePolicy.window must be {WINDOW}, not nan"),
        (lambda: SettlePolicy(pauses=1.0), "SettlePolicy.pauses must be PollPolicy(…), not float"),  # type: ignore[arg-type]
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(make: Callable[[], Any], message: str) -> None:
    """The message names the field, its bound and what was given."""
    with pytest.raises(ConfigurationError) as caught:
        make()
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "make",
    [
        lambda: RetryPolicy(attempts=1, backoff=0, max_backoff=0, max_retry_after=0, settle=0),
        lambda: PollPolicy(jitter=0),
        lambda: PollPolicy(first=0.001, factor=1, longest=0.001, jitter=1),
        lambda: SettlePolicy(window=0),
    ],
)
def test_the_bounds_themselves_are_allowed(make: Callable[[], Any]) -> None:
    """One attempt switches repeats off, and zero switches pauses off."""
    make()


# --- SettlePolicy -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [0, 5, 0.5])
def test_a_number_is_the_window_in_seconds(seconds: float) -> None:
    """A number alone, or in `RetryPolicy`, keeps the default pauses."""
    policy = SettlePolicy(window=seconds)
    assert RetryPolicy(settle=seconds).settle == SettlePolicy.of(seconds) == policy
    assert policy.pauses == SettlePolicy().pauses


def test_a_settle_policy_is_taken_as_it_is() -> None:
    """The policy keeps the same object, with its window and its pauses."""
    policy = SettlePolicy(window=1, pauses=PollPolicy(first=0.01))
    assert RetryPolicy(settle=policy).settle is SettlePolicy.of(policy) is policy


@pytest.mark.parametrize(
    ("window", "timeout", "seconds"),
    [
        (None, 0.1, 120.0),
        (None, 30.0, 120.0),
        (None, 31.0, 124.0),
        (None, 300.0, 1200.0),
        (0.0, 300.0, 0.0),
        (0.5, 300.0, 0.5),
    ],
)
def test_the_window_is_well_above_what_a_request_may_take(window: float | None, timeout: float, seconds: float) -> None:
    """The default is two minutes or four time-outs at least, and a given window is kept."""
    policy = SettlePolicy(window=window, pauses=PollPolicy(first=0.5)).within(timeout)
    assert policy == SettlePolicy(window=seconds, pauses=PollPolicy(first=0.5))


def test_looks_after_an_unclear_end_double_their_pauses() -> None:
    """Pauses grow from a quarter of a second, when most bills show, to 15 seconds."""
    pauses = SettlePolicy().pauses
    assert [pauses.pause(look, lambda: 0.5) for look in (1, 2, 3, 6, 7, 5000)] == [0.25, 0.5, 1.0, 8.0, 15.0, 15.0]


# --- PollPolicy -------------------------------------------------------------------------------------------------------


def test_looks_come_in_growing_pauses() -> None:
    """Without jitter the pauses are 1, 1.5, 2.25 … up to 15 seconds."""
    pauses = [PollPolicy().pause(look, lambda: 0.5) for look in (1, 2, 3, 7, 8, 5000)]
    assert pauses == [1.0, 1.5, 2.25, 11.390625, 15.0, 15.0]


def test_jitter_varies_a_pause_by_its_share() -> None:
    """A pause is a fifth shorter at most, so that many waiting callers do not ask at once."""
    assert PollPolicy().pause(1, lambda: 0.0) == pytest.approx(0.8)
    assert PollPolicy(jitter=0).pause(1, lambda: 0.0) == 1.0


@given(st.integers(1, 10**6), CHANCES)
@example(100, 0.999)
def test_no_pause_is_longer_than_the_longest(look: int, chance: float) -> None:
    """`longest` bounds a pause with any jitter, as documented."""
    assert PollPolicy(longest=15.0, jitter=0.2).pause(look, lambda: chance) <= 15.0


@given(st.integers(1, 10**6), CHANCES, st.floats(0, 10))
@example(1, 0.0, 2.0)
def test_a_pause_is_never_negative(look: int, chance: float, jitter: float) -> None:
    """No accepted jitter turns the poller into a busy loop."""
    try:
        policy = PollPolicy(jitter=jitter)
    except ConfigurationError:
        return
    assert policy.pause(look, lambda: chance) >= 0


@given(st.integers(1, 5000), st.floats(1, 1e300))
@example(5000, 1e6)
def test_a_steep_factor_does_not_overflow(look: int, factor: float) -> None:
    """The pauses come to the longest sooner."""
    assert PollPolicy(factor=factor, jitter=0).pause(look, lambda: 0.5) <= 15.0
