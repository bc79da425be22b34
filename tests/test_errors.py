"""The error tree: which class catches which, and what survives a trip to another process."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enkash_async import bulk, errors
from enkash_async.bulk import BulkError, BulkItem, BulkResult
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
from enkash_async.models import Bill, BillPayStatus

#: Each class with its direct bases, as the design draws the tree.
TREE: dict[type[EnkashError], tuple[type, ...]] = {
    ConfigurationError: (EnkashError, ValueError),
    InvalidRequestError: (EnkashError, ValueError),
    TransportError: (EnkashError,),
    RequestTimeoutError: (TransportError, TimeoutError),
    ResponseDecodeError: (EnkashError,),
    ApiError: (EnkashError,),
    BadRequestError: (ApiError,),
    AuthenticationError: (ApiError,),
    PermissionDeniedError: (ApiError,),
    NotFoundError: (ApiError,),
    RateLimitError: (ApiError,),
    ServerError: (ApiError,),
    BillerInactiveError: (ApiError,),
    VelocityLimitError: (ApiError,),
    DuplicateReferenceError: (ApiError,),
    OutcomeUnknownError: (EnkashError,),
    BulkError: (EnkashError,),
    WaitTimeoutError: (EnkashError, TimeoutError),
    TokenError: (EnkashError,),
    CredentialsRejectedError: (TokenError,),
    LoginGuardError: (TokenError,),
    TokenEndpointError: (TokenError,),
    TokenReplyError: (TokenEndpointError,),
    StoreError: (EnkashError,),
    StoreUnavailableError: (TokenError, StoreError),
    WebhookError: (EnkashError,),
    WebhookAuthenticationError: (WebhookError,),
    WebhookPayloadError: (WebhookError,),
}

BILL = Bill(utility_enkash_id="UTIL-1", amount=Decimal("2450.75"), billpay_status=BillPayStatus("COMPLETED"))
FAILED = BulkItem[None]("UTIL-1", error=InvalidRequestError("no"))
API: dict[str, Any] = {
    "status": 400,
    "response_code": 1,
    "response_message": "Failed",
    "payload": {"amount": Decimal("2450.75")},
    "method": "GET",
    "path": "/x",
    "request_id": "r-1",
}
#: The evidence that each class carries, with values unlike the defaults.
EVIDENCE: dict[type[EnkashError], dict[str, Any]] = {
    **{kind: API for kind in TREE if issubclass(kind, ApiError)},
    TransportError: {"sent": False},
    RequestTimeoutError: {"sent": False},
    ResponseDecodeError: {"status": 200, "content_type": "text/html", "where": "payload.amount"},
    OutcomeUnknownError: {"operation": "bills.create", "reference_id": "inv-1", "utility_enkash_ids": ("UTIL-1",)},
    BulkError: {"result": BulkResult[None](failed=(FAILED,))},
    WaitTimeoutError: {"last": BILL},
    CredentialsRejectedError: {"status": 401, "error": "invalid_grant", "locked": True},
    LoginGuardError: {"reason": "budget"},
    TokenEndpointError: {"retry_after": 7.5, "counted": True},
    TokenReplyError: {"status": 200, "content_type": "text/html"},
    WebhookAuthenticationError: {"header": "X-Webhook-Key"},
    WebhookPayloadError: {"where": "companyBiller.biller", "too_large": True},
}
#: Evidence that is set after construction, where the reply has it.
LATER: dict[type[EnkashError], dict[str, Any]] = {
    NotFoundError: {"bill_absent": True},
    RateLimitError: {"retry_after": 7.5},
    ServerError: {"retry_after": 7.5},
    DuplicateReferenceError: {"differences": ("consumer_number", "amount")},
}
#: What a caller can rely on even when nobody gave any evidence.
DEFAULTS: dict[type[EnkashError], dict[str, Any]] = {
    TransportError: {"sent": True},
    ResponseDecodeError: {"status": 0, "content_type": None, "where": None},
    ApiError: {name: {"status": 0, "method": "", "path": ""}.get(name) for name in API},
    NotFoundError: {"bill_absent": False},
    RateLimitError: {"retry_after": None},
    ServerError: {"retry_after": None},
    DuplicateReferenceError: {"differences": ()},
    OutcomeUnknownError: {"operation": "", "reference_id": None, "utility_enkash_ids": ()},
    WaitTimeoutError: {"last": None},
    CredentialsRejectedError: {"status": 0, "error": None, "locked": False},
    LoginGuardError: {"reason": "rejected"},
    TokenEndpointError: {"retry_after": None, "counted": False},
    TokenReplyError: {"status": 0, "content_type": None, "retry_after": None, "counted": True},
    WebhookAuthenticationError: {"header": ""},
    WebhookPayloadError: {"where": None, "too_large": False},
}


def made(kind: type[EnkashError]) -> EnkashError:
    error = kind("what happened and what to do", **EVIDENCE.get(kind, {}))
    for name, value in LATER.get(kind, {}).items():
        setattr(error, name, value)
    return error


def evidence(kind: type[EnkashError]) -> dict[str, Any]:
    return {**EVIDENCE.get(kind, {}), **LATER.get(kind, {})}


@pytest.fixture(params=TREE, ids=lambda kind: kind.__name__)
def kind(request: pytest.FixtureRequest) -> type[EnkashError]:
    found: type[EnkashError] = request.param
    return found


def test_the_tree_is_the_one_that_is_drawn() -> None:
    """Each class has the drawn bases and a place in the public list."""
    found = {
        value
        for module in (errors, bulk)
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, EnkashError) and value.__module__.startswith(module.__name__)
    }
    assert found == {EnkashError, *TREE}
    assert {value.__name__ for value in found} | {"RetryAdvice"} == {*errors.__all__, "BulkError"}
    assert {kind: kind.__bases__ for kind in TREE} == TREE
    assert EnkashError.__bases__ == (Exception,)


def test_the_module_draws_every_class() -> None:
    """The drawing in the module's docstring has every class."""
    assert errors.__doc__ is not None
    assert all(kind.__name__ in errors.__doc__ for kind in TREE)


def test_an_error_carries_its_evidence(kind: type[EnkashError]) -> None:
    """Evidence is in attributes, so that no user has to parse a message."""
    error = made(kind)
    assert {name: getattr(error, name) for name in evidence(kind)} == evidence(kind)


def test_an_error_has_defaults_for_its_evidence() -> None:
    """A user's test can make an error with a message alone."""
    for kind, expected in DEFAULTS.items():
        error = kind("x")
        assert {name: getattr(error, name) for name in expected} == expected


def test_every_attribute_that_is_documented_is_there(kind: type[EnkashError]) -> None:
    """Each error has the names under *Attributes:* of its class and bases."""
    for base in kind.__mro__:
        _, _, listed = (base.__doc__ or "").partition("Attributes:\n")
        names = [line.split(":")[0].strip() for line in listed.splitlines() if line.startswith("    ") and ":" in line]
        for name in (name for name in names if name.isidentifier()):
            assert hasattr(made(kind), name), f"{kind.__name__}.{name}"


def test_the_message_is_what_is_shown(kind: type[EnkashError]) -> None:
    """`str()` returns the message, not the text of a standard mix-in class; EnKash's id of the request follows."""
    error = made(kind)
    theirs = " [EnKash's request id r-1]" if isinstance(error, ApiError) else ""
    assert str(error) == f"what happened and what to do{theirs}"
    assert error.args == ("what happened and what to do",)


def test_the_ids_of_a_call_are_shown_once(kind: type[EnkashError]) -> None:
    """The call's own id and EnKash's follow the message; not where the message of a cause has them, or both are one."""
    error = made(kind)
    error.call_id = "00ff"
    both = "[call 00ff, EnKash's request id r-1]" if isinstance(error, ApiError) else "[call 00ff]"
    assert str(error) == f"what happened and what to do {both}"
    later = OutcomeUnknownError(f"it may have happened. Cause: {error}")
    later.call_id = "00ff"
    assert str(later) == f"it may have happened. Cause: what happened and what to do {both}"
    if isinstance(error, ApiError):
        error.request_id = "00ff"
        assert str(error) == "what happened and what to do [call 00ff]"


def test_the_id_of_a_call_is_in_a_copy(kind: type[EnkashError]) -> None:
    """A task queue that pickles the error can still name the call."""
    error = made(kind)
    error.call_id = "00ff"
    assert pickle.loads(pickle.dumps(error)).call_id == error.copy().call_id == "00ff"
    assert made(kind).call_id is None


def by_pickle(protocol: int) -> Callable[[EnkashError], EnkashError]:
    def copied(error: EnkashError) -> EnkashError:
        found: EnkashError = pickle.loads(pickle.dumps(error, protocol))
        return found

    return copied


@pytest.mark.parametrize(
    "copied",
    [*map(by_pickle, range(pickle.HIGHEST_PROTOCOL + 1)), copy.copy, copy.deepcopy, EnkashError.copy],
    ids=[*(f"pickle {number}" for number in range(pickle.HIGHEST_PROTOCOL + 1)), "copy", "deepcopy", "own"],
)
def test_an_error_survives_a_copy_with_all_of_it(
    kind: type[EnkashError], copied: Callable[[EnkashError], EnkashError]
) -> None:
    """Prevents a loss in Celery: pickle would drop the keyword-only evidence of an exception."""
    error = made(kind)
    error.add_note("seen in job 7")
    twin = copied(error)
    assert twin is not error
    assert type(twin) is kind
    assert (str(twin), twin.args) == (str(error), error.args)
    if kind is not BulkError:  # errors within its result compare by identity
        assert vars(twin) == vars(error)
    assert vars(twin).keys() == vars(error).keys()
    assert twin.__notes__ == ["seen in job 7"]


def test_the_result_of_a_bulk_error_survives_pickling() -> None:
    """The result has the error of each item afterwards."""
    twin = pickle.loads(pickle.dumps(made(BulkError)))
    [item] = twin.result.failed
    assert (item.key, type(item.error), str(item.error)) == ("UTIL-1", InvalidRequestError, "no")


def test_a_copy_is_independent(kind: type[EnkashError]) -> None:
    """Several waiting callers get one failure each, and each may add evidence, notes and a traceback."""
    error = made(kind)
    try:
        raise error
    except EnkashError as raised:
        twin = raised.copy()
    twin.__dict__["later"] = 1
    assert "later" not in vars(error)
    assert error.__traceback__ is not None
    assert twin.__traceback__ is None


def test_an_error_can_have_a_cause(kind: type[EnkashError]) -> None:
    """`raise … from …` sets a cause, and `copy()` drops it."""
    cause = EnkashError("deeper")
    with pytest.raises(kind, match="what happened") as caught:
        raise made(kind) from cause
    assert caught.value.__cause__ is cause
    assert caught.value.copy().__cause__ is None


@pytest.mark.parametrize("kind_without_message", [kind for kind in TREE if kind is not BulkError])
def test_an_error_needs_no_message(kind_without_message: type[EnkashError]) -> None:
    """An error without a message survives pickling as well."""
    assert str(pickle.loads(pickle.dumps(kind_without_message()))) == ""


def test_ids_may_come_from_anything_that_yields_them() -> None:
    """The error keeps a tuple, so that a generator is not used up by the first read."""
    assert OutcomeUnknownError(utility_enkash_ids=iter(["a", "b"])).utility_enkash_ids == ("a", "b")


@given(
    st.text(),
    st.integers(),
    st.none() | st.text(),
    st.recursive(
        st.none() | st.decimals(allow_nan=False) | st.text(), lambda x: st.dictionaries(st.text(), x), max_leaves=20
    ),
)
def test_any_evidence_survives_pickling(message: str, status: int, said: str | None, payload: object) -> None:
    """Decimals, odd text and nested payloads are equal after a trip through pickle."""
    error = ApiError(message, status=status, response_message=said, payload=payload)
    twin = pickle.loads(pickle.dumps(error))
    assert (twin.args, vars(twin)) == (error.args, vars(error))
