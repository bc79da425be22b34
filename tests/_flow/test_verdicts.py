"""What may be done after a failure, and after which pause."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from enkash_async._flow.verdicts import Verdict, decide
from enkash_async._wire.operation import Effect
from enkash_async._wire.retry_after import parse_retry_after
from enkash_async.config import PollPolicy, RetryPolicy, SettlePolicy
from enkash_async.errors import (
    ApiError,
    AuthenticationError,
    BadRequestError,
    BillerInactiveError,
    ConfigurationError,
    CredentialsRejectedError,
    DuplicateReferenceError,
    EnkashError,
    InvalidRequestError,
    LoginGuardError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    RequestTimeoutError,
    ResponseDecodeError,
    ServerError,
    TokenEndpointError,
    TokenReplyError,
    TokenStoreError,
    TransportError,
    VelocityLimitError,
)

AGAIN, RAISE, RECONCILE = Verdict.AGAIN, Verdict.RAISE, Verdict.RECONCILE
OTHERS = [effect for effect in Effect if effect is not Effect.READ]
CHANCES = st.floats(0, 1, exclude_max=True)


def _unavailable(retry_after: float) -> ServerError:
    error = ServerError(f"unavailable, come back in {retry_after:g} s", status=503)
    error.retry_after = retry_after
    return error


def _asking(status: int, **evidence: Any) -> ServerError:
    """Return a failure that asks to come back, but does not say that nothing was done."""
    error = ServerError(f"{status} with Retry-After", status=status, **evidence)
    error.retry_after = 1.0
    return error


#: Failure, verdict for a call that only reads, verdict for every other one, and with `writes`; in the order of the
#: table in the docstring.
DECISIONS: list[tuple[EnkashError, Verdict, Verdict, Verdict]] = [
    (TransportError("refused", sent=False), AGAIN, AGAIN, AGAIN),
    (RequestTimeoutError("connecting", sent=False), AGAIN, AGAIN, AGAIN),
    (TokenEndpointError("login failed", counted=False), AGAIN, AGAIN, AGAIN),
    (TransportError("dropped", sent=True), AGAIN, RECONCILE, RECONCILE),
    (RequestTimeoutError("answering", sent=True), AGAIN, RECONCILE, RECONCILE),
    (RateLimitError("slow down", status=429), AGAIN, RAISE, AGAIN),
    (_unavailable(7.0), AGAIN, RECONCILE, AGAIN),
    (_unavailable(0.0), AGAIN, RECONCILE, AGAIN),
    (ApiError("time-out", status=408), AGAIN, RECONCILE, RECONCILE),
    (ServerError("bad gateway", status=502), AGAIN, RECONCILE, RECONCILE),
    (ServerError("unavailable", status=503), AGAIN, RECONCILE, RECONCILE),
    (ServerError("gateway time-out", status=504), AGAIN, RECONCILE, RECONCILE),
    (_asking(502), AGAIN, RECONCILE, RECONCILE),
    (_asking(504), AGAIN, RECONCILE, RECONCILE),
    (ServerError("error", status=500), RAISE, RECONCILE, RECONCILE),
    (ServerError("other", status=501), RAISE, RECONCILE, RECONCILE),
    (ServerError("other", status=599), RAISE, RECONCILE, RECONCILE),
    (_asking(500), RAISE, RECONCILE, RECONCILE),
    (_asking(200, response_code=503), RAISE, RECONCILE, RECONCILE),
    (ServerError("a code within a 200", status=200, response_code=503), RAISE, RECONCILE, RECONCILE),
    (ResponseDecodeError("HTML", status=200), RAISE, RECONCILE, RECONCILE),
    *(
        (ApiError(f"code {code}", status=200, response_code=code), RAISE, RECONCILE, RECONCILE)
        for code in (2, 202, 408)
    ),
    (BadRequestError("no", status=400), RAISE, RAISE, RAISE),
    (AuthenticationError("no", status=401), RAISE, RAISE, RAISE),
    (PermissionDeniedError("no", status=403), RAISE, RAISE, RAISE),
    (NotFoundError("no", status=404), RAISE, RAISE, RAISE),
    (BillerInactiveError("no", status=422), RAISE, RAISE, RAISE),
    (VelocityLimitError("no", status=200, response_code=36), RAISE, RAISE, RAISE),
    (VelocityLimitError("no", status=500, response_code=37), RAISE, RAISE, RAISE),
    (DuplicateReferenceError("no", status=200, response_code=38), RAISE, RAISE, RAISE),
    (DuplicateReferenceError("no", status=503, response_code=38), RAISE, RAISE, RAISE),
    (ApiError("refused in a 200", status=200, response_code=1), RAISE, RAISE, RAISE),
    (ApiError("a status for a code", status=200, response_code=404), RAISE, RAISE, RAISE),
    (ApiError("no code", status=200), RAISE, RAISE, RAISE),
    (ApiError("no", status=409), RAISE, RAISE, RAISE),
    (ApiError("moved", status=302, response_code=2), RAISE, RAISE, RAISE),
    (TokenEndpointError("login dropped", counted=True), RAISE, RAISE, RAISE),
    (TokenReplyError("login unreadable"), RAISE, RAISE, RAISE),
    (CredentialsRejectedError("no", status=401), RAISE, RAISE, RAISE),
    (LoginGuardError("no"), RAISE, RAISE, RAISE),
    (TokenStoreError("no"), RAISE, RAISE, RAISE),
    (InvalidRequestError("no"), RAISE, RAISE, RAISE),
]


# --- decide -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("failure", "reading", "changing", "with_writes"), DECISIONS, ids=str)
def test_a_failure_has_its_verdict(
    failure: EnkashError, reading: Verdict, changing: Verdict, with_writes: Verdict
) -> None:
    """What reads is repeated where that can help; what changes something is not resent after it may have arrived."""
    assert {decide(Effect.READ, failure, writes=writes) for writes in (False, True)} == {reading}
    assert {decide(effect, failure) for effect in OTHERS} == {changing}
    assert {decide(effect, failure, writes=False) for effect in OTHERS} == {changing}
    assert {decide(effect, failure, writes=True) for effect in OTHERS} == {with_writes}


def test_the_table_covers_every_effect() -> None:
    """Three effects change something: creating, confirming, and a call of the user's own."""
    assert {effect.name for effect in OTHERS} == {"CREATES", "CONFIRMS", "WRITES"}


@pytest.mark.parametrize("effect", OTHERS)
@pytest.mark.parametrize("failure", [failure for failure, *_ in DECISIONS], ids=str)
def test_what_may_have_arrived_is_never_resent(effect: Effect, failure: EnkashError) -> None:
    """The one rule that keeps money from moving twice, stated apart from the table."""
    if decide(effect, failure) is AGAIN:
        never_left = isinstance(failure, TransportError) and not failure.sent
        assert never_left or (isinstance(failure, TokenEndpointError) and not failure.counted)


@given(
    st.sampled_from(Effect),
    st.sampled_from([ApiError, ServerError]),
    st.integers(100, 599),
    st.none() | st.integers(0, 600),
    st.none() | st.floats(0, 1e6),
    st.booleans(),
)
def test_writes_repeats_a_503_that_names_a_time_and_no_other_answer(
    effect: Effect, kind: type[ApiError], status: int, code: int | None, retry_after: float | None, writes: bool
) -> None:
    """Whatever the status, the code and the header."""
    failure = kind("x", status=status, response_code=code)
    if isinstance(failure, ServerError):
        failure.retry_after = retry_after
    asked = kind is ServerError and status == 503 and retry_after is not None
    again = decide(effect, failure, writes=writes) is AGAIN
    assert again is (status in {408, 502, 503, 504} if effect is Effect.READ else writes and asked)


# --- RetryPolicy ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attempt", "ceiling"), [(1, 0.5), (2, 1.0), (3, 2.0), (4, 4.0), (5, 8.0), (6, 8.0), (1025, 8.0), (5000, 8.0)]
)
def test_the_pause_doubles_up_to_its_cap(attempt: int, ceiling: float) -> None:
    """Even where `2.0 ** attempt` would overflow; with full jitter anything from zero up to it can come."""
    policy = RetryPolicy(attempts=5000)
    assert policy.pause(attempt, None, lambda: 0.0) == 0
    assert policy.pause(attempt, None, lambda: 0.5) == ceiling / 2
    assert policy.pause(attempt, None, lambda: 1.0) == ceiling


@given(st.integers(1, 10**6), st.floats(0, 1e300), st.floats(0, 1e6), CHANCES)
def test_a_pause_is_never_negative_nor_above_its_cap(
    attempt: int, backoff: float, max_backoff: float, chance: float
) -> None:
    """Whatever the policy and whatever chance says."""
    pause = RetryPolicy(backoff=backoff, max_backoff=max_backoff).pause(attempt, None, lambda: chance)
    assert 0 <= pause <= max_backoff


@pytest.mark.parametrize(("asked", "pause"), [(None, 0.25), (0.0, 0.25), (0.1, 0.25), (7.0, 7.0), (59.0, 59.0)])
def test_retry_after_is_the_least_pause(asked: float | None, pause: float) -> None:
    """What EnKash asks for is waited for, above the cap of our own pauses too."""
    assert RetryPolicy().pause(1, asked, lambda: 0.5) == pause


def test_the_defaults_are_three_patient_attempts() -> None:
    """As documented."""
    policy = RetryPolicy()
    assert (policy.attempts, policy.backoff, policy.max_backoff, policy.max_retry_after) == (3, 0.5, 8.0, 60.0)
    assert policy.writes is False
    assert policy.settle == SettlePolicy()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RetryPolicy(attempts=0), "RetryPolicy.attempts must be at least 1, not 0"),
        (lambda: RetryPolicy(attempts=-1), "RetryPolicy.attempts must be at least 1, not -1"),
        (lambda: RetryPolicy(backoff=-0.1), "RetryPolicy.backoff must be at least 0, not -0.1"),
        (lambda: RetryPolicy(backoff=math.nan), "RetryPolicy.backoff must be at least 0, not nan"),
        (lambda: RetryPolicy(max_backoff=-1), "RetryPolicy.max_backoff must be at least 0, not -1"),
        (lambda: RetryPolicy(max_retry_after=-1), "RetryPolicy.max_retry_after must be at least 0, not -1"),
        (lambda: PollPolicy(first=0), "PollPolicy.first must be at least 0.001, not 0"),
        (lambda: PollPolicy(factor=0.9), "PollPolicy.factor must be at least 1, not 0.9"),
        (lambda: PollPolicy(longest=0), "PollPolicy.longest must be at least 0.001, not 0"),
        (lambda: PollPolicy(jitter=-0.1), "PollPolicy.jitter must be at least 0, not -0.1"),
        (lambda: PollPolicy(jitter=1.1), "PollPolicy.jitter must be at most 1, not 1.1"),
        (lambda: PollPolicy(first=True), "PollPolicy.first must be at least 0.001, not True"),
        (lambda: RetryPolicy(attempts="3"), "RetryPolicy.attempts must be at least 1, not '3'"),  # type: ignore[arg-type]
        (lambda: RetryPolicy(backoff=None), "RetryPolicy.backoff must be at least 0, not None"),  # type: ignore[arg-type]
        (lambda: RetryPolicy(writes=1), "RetryPolicy.writes must be True or False, not 1"),  # type: ignore[arg-type]
        (lambda: RetryPolicy(writes=None), "RetryPolicy.writes must be True or False, not None"),  # type: ignore[arg-type]
        (lambda: RetryPolicy(settle=-1), "SettlePolicy.window must be at least 0, not -1"),
        (lambda: RetryPolicy(settle="5"), "SettlePolicy.window must be at least 0, not '5'"),  # type: ignore[arg-type]
        (lambda: RetryPolicy(settle=True), "SettlePolicy.window must be at least 0, not True"),
        (lambda: SettlePolicy(window=-0.1), "SettlePolicy.window must be at least 0, not -0.1"),
        (lambda: SettlePolicy(window=math.nan), "SettlePolicy.window must be at least 0, not nan"),
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
    """One attempt switches repeating off; zero switches pauses off."""
    make()


# --- SettlePolicy -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [0, 5, 0.5])
def test_a_number_is_the_window_in_seconds(seconds: float) -> None:
    """As an argument of `RetryPolicy` and by itself; the pauses are those of the default."""
    policy = SettlePolicy(window=seconds)
    assert RetryPolicy(settle=seconds).settle == SettlePolicy.of(seconds) == policy
    assert policy.pauses == SettlePolicy().pauses


def test_a_settle_policy_is_taken_as_it_is() -> None:
    """With its own pauses."""
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
    """Two minutes at least, four time-outs at least; a window that was named is kept, however short."""
    policy = SettlePolicy(window=window, pauses=PollPolicy(first=0.5)).within(timeout)
    assert policy == SettlePolicy(window=seconds, pauses=PollPolicy(first=0.5))


def test_looks_after_an_unclear_end_double_their_pauses() -> None:
    """A quarter of a second at first, since most bills show at once; never more than 15 seconds."""
    pauses = SettlePolicy().pauses
    assert [pauses.pause(look, lambda: 0.5) for look in (1, 2, 3, 6, 7, 5000)] == [0.25, 0.5, 1.0, 8.0, 15.0, 15.0]


# --- PollPolicy -------------------------------------------------------------------------------------------------------


def test_looks_come_in_growing_pauses() -> None:
    """1, 1.5, 2.25 … up to 15 seconds, where chance says neither more nor less."""
    pauses = [PollPolicy().pause(look, lambda: 0.5) for look in (1, 2, 3, 7, 8, 5000)]
    assert pauses == [1.0, 1.5, 2.25, 11.390625, 15.0, 15.0]


def test_jitter_varies_a_pause_by_its_share() -> None:
    """Down by a fifth, so that many waiters do not ask at once."""
    assert PollPolicy().pause(1, lambda: 0.0) == pytest.approx(0.8)
    assert PollPolicy(jitter=0).pause(1, lambda: 0.0) == 1.0


@given(st.integers(1, 10**6), CHANCES)
@example(100, 0.999)
def test_no_pause_is_longer_than_the_longest(look: int, chance: float) -> None:
    """`longest` is documented as the upper bound of a pause, jitter or not."""
    assert PollPolicy(longest=15.0, jitter=0.2).pause(look, lambda: chance) <= 15.0


@given(st.integers(1, 10**6), CHANCES, st.floats(0, 10))
@example(1, 0.0, 2.0)
def test_a_pause_is_never_negative(look: int, chance: float, jitter: float) -> None:
    """A jitter that a policy accepts cannot turn waiting into a busy loop."""
    try:
        policy = PollPolicy(jitter=jitter)
    except ConfigurationError:
        return
    assert policy.pause(look, lambda: chance) >= 0


@given(st.integers(1, 5000), st.floats(1, 1e300))
@example(5000, 1e6)
def test_a_steep_factor_does_not_overflow(look: int, factor: float) -> None:
    """It only reaches the longest pause sooner."""
    assert PollPolicy(factor=factor, jitter=0).pause(look, lambda: 0.5) <= 15.0


# --- Retry-After ------------------------------------------------------------------------------------------------------

DATE = "Mon, 02 Jun 2025 14:24:14 GMT"


@pytest.mark.parametrize(
    ("value", "date", "seconds"),
    [
        (None, None, None),
        (None, DATE, None),
        ("0", None, 0.0),
        ("7", None, 7.0),
        (" 120 ", None, 120.0),
        ("007", None, 7.0),
        ("Mon, 02 Jun 2025 14:24:44 GMT", DATE, 30.0),
        ("Mon, 02 Jun 2025 19:54:44 +0530", DATE, 30.0),
        ("Mon, 02 Jun 2025 14:24:44 -0000", DATE, 30.0),
        ("Mon, 02 Jun 2025 14:24:44", DATE, 30.0),
        ("Monday, 02-Jun-25 14:24:44 GMT", DATE, 30.0),
        ("Mon, 02 Jun 2025 14:24:00 GMT", DATE, 0.0),
        (DATE, DATE, 0.0),
    ],
)
def test_seconds_and_http_dates_are_understood(value: str | None, date: str | None, seconds: float | None) -> None:
    """A date is read against the reply's own `Date`, so that this machine's clock does not matter; never negative."""
    assert parse_retry_after(value, date) == seconds


@pytest.mark.parametrize("date", [None, "", "yesterday"])
def test_without_a_readable_date_this_machines_clock_is_used(date: str | None) -> None:
    """An hour from now is about an hour."""
    then = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    seconds = parse_retry_after(then, date)
    assert seconds is not None
    assert 3590 <= seconds <= 3600


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "soon",
        "-5",
        "+5",
        "1.5",
        "1e3",
        "0x10",
        "5 seconds",
        "inf",
        "nan",
        "٣",
        "３",
        "²",
        "1٣",
        "\x00",
        "Mon, 32 Jun 2025 14:24:44 GMT",
        "Mon, 02 Jun 99999 14:24:44 GMT",
        "Mon, 02 Jun 2025 25:24:44 GMT",
        "Mon, 02 Jun 2025 14:24:44 +999999999999999999",
    ],
)
def test_what_cannot_be_read_is_none(value: str) -> None:
    """Negative numbers, fractions, and digits of other scripts among it."""
    assert parse_retry_after(value, DATE) is None


@pytest.mark.parametrize("value", ["9" * 20, "9" * 400, "9" * 10_000], ids=len)
def test_a_huge_number_is_huge_and_no_crash(value: str) -> None:
    """It is then longer than any `max_retry_after`, and the failure is raised at once."""
    seconds = parse_retry_after(value)
    assert seconds is not None
    assert seconds > 1e15


@given(st.text(), st.none() | st.text())
@example("Mon, 01 Jan 0001 00:00:00 +2359", "Fri, 31 Dec 9999 23:59:59 -2359")
@example("Fri, 31 Dec 9999 23:59:59 -2359", "Mon, 01 Jan 0001 00:00:00 +2359")
def test_no_header_is_a_crash(value: str, date: str | None) -> None:
    """Seconds from zero on, or None."""
    seconds = parse_retry_after(value, date)
    assert seconds is None or seconds >= 0


@given(
    st.lists(
        st.sampled_from(
            [
                "Mon,",
                "Mon",
                "02",
                "Jun",
                "2025",
                "14:24:44",
                "14.24.44.5",
                "GMT",
                "+0530",
                "-",
                ":",
                ",",
                "+",
                "0",
                "99",
            ]
        ),
        max_size=9,
    ).map(" ".join)
)
def test_no_header_that_looks_like_a_date_is_a_crash(value: str) -> None:
    """The parser of `email.utils` takes much for a date, and stumbles over some of it."""
    seconds = parse_retry_after(value, DATE)
    assert seconds is None or seconds >= 0


@given(st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1)), st.integers(0, 10**6))
def test_any_http_date_is_so_many_seconds_away(now: datetime, seconds: int) -> None:
    """Whole seconds, exactly."""
    date = now.replace(microsecond=0, tzinfo=UTC)
    then = format_datetime(date + timedelta(seconds=seconds), usegmt=True)
    assert parse_retry_after(then, format_datetime(date, usegmt=True)) == seconds
