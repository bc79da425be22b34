"""Judges how a sending ended: whether EnKash certainly debited nothing, and whether it refuses the whole account."""

from __future__ import annotations

from enkash_async._money.debit_commands import Outcome
from enkash_async.errors import (
    ApiError,
    AuthenticationError,
    ConfigurationError,
    EnkashError,
    InvalidRequestError,
    OutcomeUnknownError,
    StoreError,
    TokenError,
    TransportError,
)

__all__ = ["is_of_the_account", "outcome_of"]

_CLEAR_STATUSES = frozenset({400, 403, 412, 422})
_CLEAR_CODES = frozenset({1, 36, 37, 38, 403})
_NEVER_CLEAR = frozenset({408, 409, 425, 429})  # whatever the body says, EnKash may have begun or made the debit
_OF_THE_ACCOUNT = frozenset({36, 37, 403})
_BEFORE_SENDING = (TokenError, StoreError, ConfigurationError, InvalidRequestError)


def outcome_of(problem: EnkashError | None, count: int, *, begun: bool) -> Outcome:
    """Return the outcome of a sending.

    Args:
        problem: The error with which the sending ended; None if EnKash accepted it.
        count: Number of bills in the call; only the refusal of a call with one bill is certain.
        begun: Whether part of the body may have been sent since *sent* was last written.
    """
    if problem is None:
        return Outcome.ACCEPTED
    if isinstance(problem, OutcomeUnknownError):
        return Outcome.UNCLEAR
    # Nothing was debited, even if this is the second sending: the first one ended with a 401, which debits nothing.
    if not begun or isinstance(problem, _BEFORE_SENDING) or (isinstance(problem, TransportError) and not problem.sent):
        return Outcome.NEVER_SENT
    if isinstance(problem, AuthenticationError):
        return Outcome.REFUSED
    if isinstance(problem, ApiError) and _is_clear(problem):
        return Outcome.REFUSED if count == 1 else Outcome.REFUSED_TOGETHER
    return Outcome.UNCLEAR


def is_of_the_account(problem: EnkashError | None) -> bool:
    """Whether EnKash would refuse every other bill of the account too."""
    return isinstance(problem, ApiError) and (problem.status in {403, 429} or problem.response_code in _OF_THE_ACCOUNT)


def _is_clear(answer: ApiError) -> bool:
    if answer.status >= 500 or answer.status in _NEVER_CLEAR:
        return False
    return answer.status in _CLEAR_STATUSES or answer.response_code in _CLEAR_CODES
