"""The user who may log in, and the tokens that are valid."""

from __future__ import annotations

import enum
from collections.abc import Callable
from datetime import datetime

import attrs

from enkash_async.tokens._credentials import Credentials

__all__ = ["Accounts", "IssuedToken", "LoginRefusal", "LoginRefusedError", "TokenState"]

_ALLOWED_FAILURES = 3  # wrong logins in a row, after which the account is locked


class LoginRefusal(enum.Enum):
    """Why a login was refused."""

    WRONG_CLIENT = "the client id, the client secret or the form's clientId is wrong"
    BAD_CREDENTIALS = "the user name or the password is wrong"
    LOCKED = "three wrong logins in a row have locked the account"


class LoginRefusedError(Exception):
    """A login was refused.

    Args:
        refusal: The reason.
    """

    def __init__(self, refusal: LoginRefusal) -> None:
        super().__init__(refusal.value)
        self.refusal = refusal


class TokenState(enum.Enum):
    """Whether a bearer token is accepted, and why not."""

    VALID = "valid"
    EXPIRED = "expired"
    UNKNOWN = "unknown"


@attrs.frozen
class IssuedToken:
    """A token as the login returns it.

    Args:
        access_token: The bearer token.
        refresh_token: A refresh token, which no documented call takes.
        issued_at: Instant of the login, aware.
        lifetime: Seconds that the bearer token is valid.
    """

    access_token: str = attrs.field(repr=False)
    refresh_token: str = attrs.field(repr=False)
    issued_at: datetime
    lifetime: float


@attrs.define(kw_only=True, eq=False)
class Accounts:
    """One user, the lock on the account, and the tokens that were issued.

    Args:
        credentials: Credentials that a login must send.
        lifetime: Returns the seconds that a new token is valid.
        now: Returns the present instant, aware.
        new_id: Returns a unique text.

    EnKash pages: Generate Authentication Token (api-12704314); api-9796904 describes the lock.
    """

    credentials: Credentials
    lifetime: Callable[[], float]
    now: Callable[[], datetime]
    new_id: Callable[[], str]
    _failures: int = attrs.field(default=0, init=False)
    _tokens: dict[str, IssuedToken] = attrs.field(factory=dict, init=False, repr=False)

    @property
    def locked(self) -> bool:
        """Whether three wrong logins in a row have locked the account."""
        return self._failures >= _ALLOWED_FAILURES

    def unlock(self) -> None:
        """Unlock the account and reset the count of wrong logins, as EnKash's support would."""
        self._failures = 0

    def check_client(self, client_id: str, client_secret: str, form_client_id: str) -> None:
        """Check the client's ids and secret; a wrong client does not count towards the lock, since it names no user.

        Raises:
            LoginRefusedError: One of the three arguments is wrong.
        """
        ours = self.credentials
        expected = (ours.client_id, ours.client_secret, ours.form_client_id or ours.client_id)
        if (client_id, client_secret, form_client_id) != expected:
            raise LoginRefusedError(LoginRefusal.WRONG_CLIENT)

    def log_in(self, username: str, password: str) -> IssuedToken:
        """Return a new token; older tokens stay valid.

        Raises:
            LoginRefusedError: The user name or the password is wrong, or the account is locked.
        """
        if username != self.credentials.username:
            raise LoginRefusedError(LoginRefusal.BAD_CREDENTIALS)
        if self.locked:
            raise LoginRefusedError(LoginRefusal.LOCKED)
        if password != self.credentials.password:
            self._failures += 1
            raise LoginRefusedError(LoginRefusal.BAD_CREDENTIALS)
        self._failures = 0
        return self._issue()

    def _issue(self) -> IssuedToken:
        token = IssuedToken(f"at-{self.new_id()}", f"rt-{self.new_id()}", self.now(), self.lifetime())
        self._tokens[token.access_token] = token
        return token

    def verify(self, access_token: str) -> TokenState:
        """Return whether a bearer token is valid, expired or unknown now."""
        token = self._tokens.get(access_token)
        if token is None:
            return TokenState.UNKNOWN
        age = (self.now() - token.issued_at).total_seconds()
        return TokenState.VALID if age < token.lifetime else TokenState.EXPIRED

    def revoke_tokens(self) -> None:
        """Revoke every token issued so far; `verify` then calls them unknown."""
        self._tokens.clear()
