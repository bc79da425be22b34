"""What a provider holds, says of itself, and tells its callers when there is no token."""

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
    """What a refresh brought.

    Attributes:
        token: The new token.
        repeats: Logins that brought the same living secret again.
        is_unshared: Whether the store does not know of the token yet.
        is_own: Whether a login with the caller's own credentials brought it, which proves that they work.
    """

    token: Token
    repeats: int = 0
    is_unshared: bool = False
    is_own: bool = True


@attrs.define
class Held:
    """The token in hand with the instants at which its windows begin, on the clock of its age.

    Attributes:
        is_unshared: Whether the store does not know of the token yet.
        is_own: Whether a login with the caller's own credentials brought it.
        fresh_until: Until then, on the clock `fast_clock`, `ahead_at` has not come, as was last looked.
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
    """A failure that is answered from memory until an instant, without asking the store again.

    Attributes:
        until: That instant, on the clock of waits.
        due: When the next login may be tried, as far as is known; not before `until`.
        failure: What callers are told.
    """

    until: float
    due: float
    failure: EnkashError

    def failure_at(self, now: float) -> EnkashError:
        """Return the failure as it stands at an instant, for one caller alone."""
        if isinstance(self.failure, TokenEndpointError):
            return cooling(self.due - now, is_renewal=self.failure.reason == "renewal")
        return self.failure.copy()


def cooling(seconds: float, *, is_renewal: bool = False) -> TokenEndpointError:
    """Return the error of a pause, in seconds, during which nobody logs in."""
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
    """Return the error of a provider that was closed."""
    return TokenError("the token provider is closed; make a new one")


def guard_closed(reason: str) -> LoginGuardError:
    """Return the error of an attempt that is not made; the reason as in `LoginGuardError.reason`."""
    return LoginGuardError(_REASONS[reason], reason=reason)


def store_away(problem: StoreUnavailableError, policy: str, *, logged_in: bool) -> StoreUnavailableError:
    """Return the error of a token that is needed while the store is away, and of a login that is not made."""
    if policy == "serve":
        why = "on_store_down='serve' makes no login"
    elif policy == "login":
        why = "logins were closed when the store was last read"
    elif logged_in:
        why = "this process has made the one login that it may make during an outage"
    else:
        why = "the EnKash credentials are not known to work, and several processes trying them could lock the account"
    return StoreUnavailableError(f"{problem}; no token is in hand, and none was fetched: {why}")
