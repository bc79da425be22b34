"""The token in hand, the result of a refresh, and the errors for callers when there is no token."""

from __future__ import annotations

import math

import attrs

from enkash_async.errors import EnkashError, LoginGuardError, StoreUnavailableError, TokenEndpointError, TokenError
from enkash_async.tokens._types import Token

__all__ = [
    "Held",
    "Pause",
    "RefreshResult",
    "closed",
    "cooling",
    "guard_closed",
    "store_away",
]

_RESET = "run: enkash token reset-guard, or call reset_guard() of the token provider"
_REASONS = {
    "rejected": "no login was attempted, since EnKash refused these credentials or gave no token for them: correct "
    f"them, or, once the account is put right, {_RESET}",
    "budget": "no login was attempted, since too many failed that EnKash may have counted: check the credentials, then "
    f"{_RESET}",
    "locked": f"no login was attempted, since EnKash says that the account is locked: have it unlocked, then {_RESET}",
}


@attrs.frozen
class RefreshResult:
    """The result of a successful refresh.

    Attributes:
        token: The new token.
        repeats: Number of logins that brought the same valid secret again.
        is_unshared: Whether the token is not in the store yet.
        is_own: Whether a login with the caller's own credentials brought the token, which proves that they work.
    """

    token: Token
    repeats: int = 0
    is_unshared: bool = False
    is_own: bool = True


@attrs.define
class Held:
    """The token in hand, and the instants at which its windows (see `Windows`) begin, on the clock of the token.

    Attributes:
        is_unshared: Whether the token is not in the store yet.
        is_own: Whether a login with the caller's own credentials brought the token.
        fresh_until: Instant on `fast_clock` before which `ahead_at` cannot have passed; `fast_clock` is cheap to read.
    """

    token: Token
    ahead_at: float
    wait_at: float
    hold_at: float
    is_unshared: bool
    is_own: bool
    fresh_until: float = -math.inf


@attrs.frozen
class Pause:
    """A cached failure: until an instant, callers get this failure without a store call.

    Attributes:
        until: The end of the pause, on the clock of waits.
        due: Instant from which a login may be tried, as far as is known; not before `until`.
        failure: The error for callers.
    """

    until: float
    due: float
    failure: EnkashError

    def failure_at(self, now: float) -> EnkashError:
        """Return a copy of the failure for one caller, with the seconds that are left at an instant."""
        if not isinstance(self.failure, TokenEndpointError):
            return self.failure.copy()
        if self.failure.reason:
            return cooling(self.due - now, is_renewal=self.failure.reason == "renewal")
        # The login of this process failed: its error says what the user has to mend, and the cooldown does not.
        failure = self.failure.copy()
        failure.retry_after, failure.reason = self.due - now, "cooldown"
        return failure


def cooling(seconds: float, *, is_renewal: bool = False) -> TokenEndpointError:
    """Return the error for a pause of some seconds, in which no login is made."""
    why = (
        "EnKash refused a token right after its login, or gives out the same token again"
        if is_renewal
        else "one failed a moment ago, or an operator has granted the next one to other credentials"
    )
    return TokenEndpointError(
        f"no login is made for another {seconds:.1f} s: {why}",
        retry_after=seconds,
        reason="renewal" if is_renewal else "cooldown",
    )


def closed() -> TokenError:
    """Return the error for a provider that was closed."""
    return TokenError("the token provider is closed; make a new one")


def guard_closed(reason: str) -> LoginGuardError:
    """Return the error for a login that the guard forbids; `reason` is that of `LoginGuardError`."""
    return LoginGuardError(_REASONS[reason], reason=reason)


def store_away(problem: StoreUnavailableError, policy: str, *, logged_in: bool) -> StoreUnavailableError:
    """Return the error for a caller who needs a token while the store is unavailable and no login is made."""
    if policy == "serve":
        why = "on_store_down='serve' makes no login"
    elif policy == "login":
        why = "logins were closed when the store was last read"
    elif logged_in:
        why = "this process has made the one login that it may make during an outage"
    else:
        why = "the EnKash credentials are not known to work, and several processes trying them could lock the account"
    return StoreUnavailableError(f"{problem}; no token is in hand, and none was fetched: {why}")
