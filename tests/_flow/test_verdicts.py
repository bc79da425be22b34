"""One table says what may be done after a failure, and after which pause."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enkash_async import bulk, errors
from enkash_async._flow.verdicts import TABLE, Lasts, Next, decide, judge
from enkash_async._wire.operation import Effect
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
    OutcomeUnknownError,
    PermissionDeniedError,
    RateLimitError,
    RequestTimeoutError,
    ResponseDecodeError,
    RetryAdvice,
    ServerError,
    StoreError,
    StoreUnavailableError,
    TokenEndpointError,
    TokenError,
    TokenReplyError,
    TransportError,
    VelocityLimitError,
    WaitTimeoutError,
    WebhookAuthenticationError,
    WebhookError,
    WebhookPayloadError,
)

AGAIN, RAISE, RECONCILE = Next.AGAIN, Next.RAISE, Next.RECONCILE
OTHERS = [effect for effect in Effect if effect is not Effect.READ]
CHANCES = st.floats(0, 1, exclude_max=True)


def _unavailable(retry_after: float) -> ServerError:
    error = ServerError(f"unavailable, come back in {retry_after:g} s", status=503)
    error.retry_after = retry_after
    return error


def _asking(status: int, **evidence: Any) -> ServerError:
    """Return a failure that names a time to come back and does not say that nothing was done."""
    error = ServerError(f"{status} with Retry-After", status=status, **evidence)
    error.retry_after = 1.0
    return error


#: Failure, verdict for a call that only reads, verdict for every other one, and with `writes`; in the order of the
#: table in the docstring.
DECISIONS: list[tuple[EnkashError, Next, Next, Next]] = [
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
        for code in (2, 202, 408, 409)
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
    (ApiError("no", status=409), RAISE, RECONCILE, RECONCILE),
    (ApiError("done, see there", status=302, response_code=2), RAISE, RECONCILE, RECONCILE),
    (ApiError("done, see there", status=303), RAISE, RECONCILE, RECONCILE),
    (ApiError("send it there", status=307), RAISE, RAISE, RAISE),
    (ApiError("another protocol", status=101), RAISE, RECONCILE, RECONCILE),
    (TokenEndpointError("login dropped", counted=True), RAISE, RAISE, RAISE),
    (TokenEndpointError("refused at once", reason="renewal"), RAISE, RAISE, RAISE),
    (TokenReplyError("login unreadable"), RAISE, RAISE, RAISE),
    (CredentialsRejectedError("no", status=401), RAISE, RAISE, RAISE),
    (LoginGuardError("no"), RAISE, RAISE, RAISE),
    (StoreUnavailableError("no"), RAISE, RAISE, RAISE),
    (InvalidRequestError("no"), RAISE, RAISE, RAISE),
]


# --- the table --------------------------------------------------------------------------------------------------------

EVERY_ERROR = [
    kind
    for module in (errors, bulk)
    for kind in vars(module).values()
    if isinstance(kind, type) and issubclass(kind, EnkashError)
]


def test_every_class_of_the_tree_has_a_row_of_its_own() -> None:
    """A new error class without a row fails here, so it cannot inherit its base's verdict unnoticed."""
    assert len(EVERY_ERROR) > 25
    assert set(TABLE) == set(EVERY_ERROR)


def test_a_class_of_the_users_own_is_judged_as_its_base() -> None:
    """The table applies the row of the base to an error class that a token source defines."""

    class OwnError(TokenEndpointError):
        """An error class that a user defines."""

    assert judge(OwnError("x")) == judge(TokenEndpointError("x"))
    assert judge(OwnError("x", counted=True)) == judge(TokenEndpointError("x", counted=True))


TRANSIENT = [
    *(TransportError("x"), TransportError("x", sent=False), RequestTimeoutError("x"), ServerError("x")),
    *(RateLimitError("x"), ResponseDecodeError("x"), TokenEndpointError("x")),
]
PERMANENT = [
    *(AuthenticationError("x"), ConfigurationError("x"), CredentialsRejectedError("x"), InvalidRequestError("x")),
    *(LoginGuardError("x"), TokenEndpointError("x", counted=True), TokenReplyError("x")),
    TokenEndpointError("x", reason="renewal"),
]
OF_THE_CALL = [BadRequestError("x"), NotFoundError("x"), OutcomeUnknownError("x"), EnkashError("x")]


@pytest.mark.parametrize(
    ("problem", "lasts"),
    [
        *((problem, Lasts.TRANSIENT) for problem in TRANSIENT),
        *((problem, Lasts.PERMANENT) for problem in PERMANENT),
        *((problem, Lasts.CALL) for problem in OF_THE_CALL),
    ],
    ids=repr,
)
def test_a_failure_is_transient_or_permanent_or_of_the_one_call(problem: EnkashError, lasts: Lasts) -> None:
    """A login that may have been counted is permanent, although its failure looks transient."""
    verdict = judge(problem)
    assert verdict.lasts is lasts
    assert (verdict.is_transient, verdict.is_permanent) == (lasts is Lasts.TRANSIENT, lasts is Lasts.PERMANENT)


@pytest.mark.parametrize(
    ("problem", "ends_job"),
    [
        *((problem, False) for problem in (*TRANSIENT, *OF_THE_CALL, InvalidRequestError("x"), TokenError("x"))),
        *((problem, True) for problem in PERMANENT if not isinstance(problem, InvalidRequestError)),
    ],
    ids=repr,
)
def test_a_job_ends_with_what_every_item_would_meet(problem: EnkashError, ends_job: bool) -> None:
    """A refused password ends the job; a wrong argument fails its own item alone."""
    assert judge(problem).ends_job is ends_job


@pytest.mark.parametrize(
    ("problem", "one_item"),
    [
        (BadRequestError("x", status=400), True),
        (NotFoundError("x", status=404), True),
        (BillerInactiveError("x", status=422), True),
        (DuplicateReferenceError("x", status=400, response_code=38), True),
        (ServerError("x", status=500), True),
        (ResponseDecodeError("x", status=200), True),
        (ServerError("x", status=502), False),
        (PermissionDeniedError("x", status=403), False),
        (RateLimitError("x", status=429), False),
        (VelocityLimitError("x", response_code=36), False),
        (AuthenticationError("x", status=401), False),
        (TransportError("x"), False),
        (TokenEndpointError("x"), False),
    ],
    ids=repr,
)
def test_one_item_may_be_to_blame_for_an_answer_about_content(problem: EnkashError, one_item: bool) -> None:
    """The table blames no single item for a velocity limit, a 403 or an overload."""
    assert judge(problem).one_item is one_item


def test_only_enkashs_own_words_say_that_a_bill_is_absent() -> None:
    """A bare 404 does not count, because a wrong route or a gateway may send it."""
    bare, told = NotFoundError("x", status=404), NotFoundError("x", status=400)
    told.bill_absent = True
    assert (judge(bare).says_absent, judge(told).says_absent) == (False, True)
    assert not any(judge(problem).says_absent for problem, *_ in DECISIONS)


# --- advice for a task queue ------------------------------------------------------------------------------------------


def _with_differences() -> DuplicateReferenceError:
    error = DuplicateReferenceError("x")
    error.differences = ("amount",)
    return error


ADVICE: list[tuple[EnkashError, RetryAdvice]] = [
    (EnkashError("x"), RetryAdvice.NEVER),
    (ConfigurationError("x"), RetryAdvice.NEVER),
    (InvalidRequestError("x"), RetryAdvice.NEVER),
    (TransportError("x", sent=False), RetryAdvice.LATER),
    (TransportError("x"), RetryAdvice.LATER),
    (RequestTimeoutError("x"), RetryAdvice.LATER),
    (ResponseDecodeError("x"), RetryAdvice.LATER),
    (ApiError("x", status=418), RetryAdvice.NEVER),
    (ApiError("x", status=409), RetryAdvice.LOOK),
    (ApiError("x", status=408), RetryAdvice.LATER),
    (BadRequestError("x", status=400), RetryAdvice.NEVER),
    (AuthenticationError("x", status=401), RetryAdvice.NEVER),
    (PermissionDeniedError("x", status=403), RetryAdvice.LATER),
    (NotFoundError("x", status=404), RetryAdvice.NEVER),
    (RateLimitError("x", status=429), RetryAdvice.LATER),
    (ServerError("x", status=500), RetryAdvice.LATER),
    (BillerInactiveError("x", status=422), RetryAdvice.NEVER),
    (VelocityLimitError("x", response_code=37), RetryAdvice.LATER),
    (DuplicateReferenceError("x"), RetryAdvice.LOOK),
    (_with_differences(), RetryAdvice.NEVER),
    (OutcomeUnknownError("x"), RetryAdvice.LOOK),
    (bulk.BulkError("x", result=bulk.BulkResult()), RetryAdvice.LOOK),
    (WaitTimeoutError("x"), RetryAdvice.LATER),
    (TokenError("x"), RetryAdvice.LATER),
    (CredentialsRejectedError("x"), RetryAdvice.NEVER),
    (LoginGuardError("x", reason="budget"), RetryAdvice.NEVER),
    (LoginGuardError("x", reason="renewal"), RetryAdvice.NEVER),
    (TokenEndpointError("x", retry_after=7.0), RetryAdvice.LATER),
    (TokenReplyError("x"), RetryAdvice.NEVER),
    (StoreUnavailableError("x"), RetryAdvice.LATER),
    (StoreError("x"), RetryAdvice.LATER),
    (WebhookError("x"), RetryAdvice.NEVER),
    (WebhookAuthenticationError("x"), RetryAdvice.NEVER),
    (WebhookPayloadError("x"), RetryAdvice.NEVER),
]


@pytest.mark.parametrize(("problem", "advice"), ADVICE, ids=repr)
def test_an_error_tells_a_task_queue_what_to_do(problem: EnkashError, advice: RetryAdvice) -> None:
    """Each error says NOW, LATER, NEVER or LOOK, and the seconds where they are known."""
    assert problem.retry is advice
    assert problem.copy().retry is advice
    assert problem.retry_after == (7.0 if isinstance(problem, TokenEndpointError) and problem.retry_after else None)


def test_every_class_has_advice_that_was_thought_about() -> None:
    """The list above names each class of the tree, so a new class fails here."""
    assert {type(problem) for problem, _ in ADVICE} == set(TABLE)


@pytest.mark.parametrize("problem", [problem for problem, _ in ADVICE], ids=repr)
def test_advice_and_table_agree(problem: EnkashError) -> None:
    """A failure that may have moved money says LOOK, and one that may be repeated at once never says NEVER."""
    verdict = judge(problem)
    if verdict.group is bulk.BulkGroup.UNKNOWN:
        assert problem.retry is RetryAdvice.LOOK
    if verdict.is_transient:
        assert problem.retry is RetryAdvice.LATER
    if problem.retry is RetryAdvice.NEVER:
        assert verdict.read is verdict.write is Next.RAISE


# --- decide -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("failure", "reading", "changing", "with_writes"), DECISIONS, ids=str)
def test_a_failure_has_its_verdict(failure: EnkashError, reading: Next, changing: Next, with_writes: Next) -> None:
    """Reads are repeated where that can help, and a write that may have arrived is never sent again."""
    assert {decide(Effect.READ, failure, writes=writes) for writes in (False, True)} == {reading}
    assert {decide(effect, failure) for effect in OTHERS} == {changing}
    assert {decide(effect, failure, writes=False) for effect in OTHERS} == {changing}
    assert {decide(effect, failure, writes=True) for effect in OTHERS} == {with_writes}


def test_the_table_covers_every_effect() -> None:
    """Creates, confirmations and calls of the user's own each have a verdict as writes."""
    assert {effect.name for effect in OTHERS} == {"CREATES", "CONFIRMS", "WRITES"}


@pytest.mark.parametrize("effect", OTHERS)
@pytest.mark.parametrize("failure", [failure for failure, *_ in DECISIONS], ids=str)
def test_what_may_have_arrived_is_never_resent(effect: Effect, failure: EnkashError) -> None:
    """No write that may have arrived is repeated; this rule keeps money from moving twice."""
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
    """`writes` repeats a 503 with a time and no other answer, for any status, code and header."""
    failure = kind("x", status=status, response_code=code)
    if isinstance(failure, ServerError):
        failure.retry_after = retry_after
    asked = kind is ServerError and status == 503 and retry_after is not None
    again = decide(effect, failure, writes=writes) is AGAIN
    assert again is (status in {408, 502, 503, 504} if effect is Effect.READ else writes and asked)
