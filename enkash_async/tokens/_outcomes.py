"""The result of a login, and what an exception of the token source means for the account."""

from __future__ import annotations

import attrs

from enkash_async.errors import CredentialsRejectedError, TokenEndpointError, TokenError, TokenReplyError
from enkash_async.tokens._commands import Outcome
from enkash_async.tokens._types import Token

__all__ = ["LoginAttempt", "LoginResult", "outcome_of"]

_TOO_MANY = 429
_MAY_REFUSE = frozenset({400, 409, 412, 422})  # may mean a wrong password; EnKash documents no status for it


@attrs.frozen
class LoginAttempt:
    """A login that is about to be made; `asked_at` is the instant just before the store read that permitted it."""

    id: str
    fence: int
    asked_at: float


@attrs.frozen
class LoginResult:
    """A finished login attempt, with its token or the reason why there is none."""

    outcome: Outcome
    token: Token | None = None
    failure: TokenError | None = None

    @property
    def retry_after(self) -> float:
        """Seconds that EnKash asked the caller to wait; 0 if it did not ask."""
        return (self.failure.retry_after or 0.0) if self.failure is not None else 0.0


def outcome_of(failure: TokenError) -> Outcome:
    """Return what a failed login means for the account.

    =============================================  ===========
    what EnKash answered                           outcome
    =============================================  ===========
    400 or 401 with an error `invalid_*`           INVALID
    403, 423, any other 401 or 400, 409, 412, 422  UNCLEAR
    a text that says that the account is locked    LOCKED
    200 without a readable token                   UNREADABLE
    429                                            PASSING
    nothing, since the login was provably not sent NOT_COUNTED
    anything else                                  UNKNOWN
    =============================================  ===========
    """
    if isinstance(failure, CredentialsRejectedError):
        return _refusal(failure)
    if isinstance(failure, TokenReplyError):
        return Outcome.UNREADABLE
    if isinstance(failure, TokenEndpointError):
        if failure.status == _TOO_MANY:
            return Outcome.PASSING
        if failure.counted and failure.status in _MAY_REFUSE:
            return Outcome.UNCLEAR
        return Outcome.UNKNOWN if failure.counted else Outcome.NOT_COUNTED
    return Outcome.UNKNOWN


def _refusal(refusal: CredentialsRejectedError) -> Outcome:
    if refusal.locked:
        return Outcome.LOCKED
    # Status 0 comes from a user's own token source, which may not use HTTP. Some servers refuse with status 200.
    if refusal.status in {0, 200, 400, 401} and (refusal.error or "").startswith("invalid_"):
        return Outcome.INVALID
    return Outcome.UNCLEAR
