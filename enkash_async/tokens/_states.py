"""What a provider holds, says of itself, and tells its callers when there is no token."""

from __future__ import annotations

import math

import attrs

from enkash_async.errors import (
    CredentialsRejectedError,
    LoginGuardError,
    TokenEndpointError,
    TokenError,
    TokenReplyError,
    TokenStoreError,
)
from enkash_async.tokens._types import Failure, Token

__all__ = [
    "Held",
    "Pause",
    "ProviderState",
    "RefreshResult",
    "closed",
    "cooling",
    "guard_closed",
    "guard_view",
    "store_away",
]

_RESET = "call reset_guard() of the token provider (for tokens shared through Redis: enkash token reset-guard)"
_REASONS = {
    "rejected": "no login was attempted, since EnKash refused these credentials or gave no token for them: correct "
    f"them, or, once the account is put right, {_RESET}",
    "budget": "no login was attempted, since too many failed that EnKash may have counted: check the credentials, then "
    f"{_RESET}",
    "locked": f"no login was attempted, since EnKash says that the account is locked: have it unlocked, then {_RESET}",
    "renewal": "the token was renewed a moment ago and EnKash refuses the new one as well",
}


@attrs.frozen
class ProviderState:
    """What a provider knows at the moment; cheap, and without secrets.

    Attributes:
        generation: Of the token in hand, or None.
        remaining: Its seconds left to live, or None.
        refreshing: Whether a login is under way in this process.
        logins: Logins made by this process that worked.
        failures: Refreshes of this process that did not.
        barred: Why no login is attempted, as `LoginGuardError.reason`, or None; as of the last look at the store.
        cooling: Seconds until the next attempt after a passing failure; 0 when there is none to wait for.
        store_away: Whether the shared store could not be reached when it was last needed.
    """

    generation: int | None
    remaining: float | None
    refreshing: bool
    logins: int
    failures: int
    barred: str | None
    cooling: float
    store_away: bool


@attrs.frozen
class RefreshResult:
    """What a refresh brought.

    Attributes:
        token: The new token.
        settled: Seconds for which a refusal of it brings no other login.
        unshared: The owner that fetched it, where the store does not know of it yet; None where it does.
    """

    token: Token
    settled: float = 0.0
    unshared: str | None = None


@attrs.define
class Held:
    """The token in hand with the instants at which its windows begin, on the clock of its age.

    Attributes:
        renewable_at: Until then, on the clock of waits, a refusal of it brings no other login.
        unshared: As in `RefreshResult`.
        fresh_until: Until then, on the clock `fast_clock`, `ahead_at` has not come, as was last looked.
    """

    token: Token
    ahead_at: float
    wait_at: float
    hold_at: float
    renewable_at: float
    unshared: str | None
    fresh_until: float = -math.inf


@attrs.frozen
class Pause:
    """A failure that is answered from memory until an instant of the clock of waits, without asking the store again.

    Attributes:
        until: That instant.
        due: When the next login may be tried, as far as is known; not before `until`.
        failure: What callers are told.
    """

    until: float
    due: float
    failure: TokenError

    def failure_at(self, now: float) -> TokenError:
        """Return the failure as it stands at an instant, for one caller alone."""
        is_transient = isinstance(self.failure, TokenEndpointError)
        return cooling(self.due - now) if is_transient else self.failure.copy()


def guard_view(failure: TokenError) -> Failure:
    """Return what a failed login means for the guard."""
    if isinstance(failure, CredentialsRejectedError):
        return Failure.LOCKED if failure.locked else Failure.REJECTED
    if isinstance(failure, TokenReplyError):
        return Failure.REJECTED  # success without a token: the attempt may have counted, and the next one will too
    counted = isinstance(failure, TokenEndpointError) and failure.counted
    return Failure.AMBIGUOUS if counted else Failure.TRANSIENT


def cooling(seconds: float) -> TokenEndpointError:
    """Return the error of a pause, in seconds, after a transient failure."""
    return TokenEndpointError(
        f"the last login failed for a passing reason; the next attempt is due in {seconds:.1f} s", retry_after=seconds
    )


def closed() -> TokenError:
    """Return the error of a provider that was closed."""
    return TokenError("the token provider is closed; make a new one")


def guard_closed(reason: str) -> LoginGuardError:
    """Return the error of an attempt that is not made; the reason as in `LoginGuardError.reason`."""
    return LoginGuardError(_REASONS[reason], reason=reason)


def store_away(problem: TokenStoreError, policy: str) -> TokenStoreError:
    """Return the error of a token that is needed while the store is away, and of a login that is not made."""
    why = (
        "on_store_down='serve' makes no login"
        if policy == "serve"
        else "the EnKash credentials have not been seen to work, and several workers trying them could lock the account"
    )
    return TokenStoreError(f"{problem}; no token is in hand, and none was fetched: {why}")
