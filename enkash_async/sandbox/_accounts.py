"""Who may log in, and which tokens are good."""

from __future__ import annotations

import enum
from collections.abc import Callable
from datetime import datetime

import attrs

from enkash_async.tokens._credentials import Credentials

__all__ = ["Accounts", "IssuedToken", "LoginRefusal", "LoginRefusedError", "TokenState"]

_ALLOWED_FAILURES = 3


class LoginRefusal(enum.Enum):
    """Why nobody was logged in."""

    WRONG_CLIENT = "the client id, the client secret or the form's clientId is wrong"
    BAD_CREDENTIALS = "the user name or the password is wrong"
    LOCKED = "three wrong logins in a row have locked the account"


class LoginRefusedError(Exception):
    """A login was refused.

    Args:
        refusal: Why.
    """

    def __init__(self, refusal: LoginRefusal) -> None:
        super().__init__(refusal.value)
        self.refusal = refusal


class TokenState(enum.Enum):
    """What a bearer token is worth."""

    VALID = "valid"
    EXPIRED = "expired"
    UNKNOWN = "unknown"


@attrs.frozen
class IssuedToken:
    """A token as the login hands it out.

    Args:
        access_token: The bearer token.
        refresh_token: A second one, which no documented call takes.
        issued_at: When, aware.
        lifetime: Seconds it is good for.
    """

    access_token: str = attrs.field(repr=False)
    refresh_token: str = attrs.field(repr=False)
    issued_at: datetime
    lifetime: float


@attrs.define(kw_only=True, eq=False)
class Accounts:
    """One user, the lock on the account, and the tokens that were issued.

    Args:
        credentials: What a login has to bring.
        lifetime: Gives the seconds that a new token is good for.
        now: Gives the present instant, aware.
        new_id: Gives a text that it has not given before.

    EnKash page: Generate Authentication Token (api-12704314); the lock is told on api-9796904.
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
        """Open a locked account and forget its wrong logins, as EnKash's support would."""
        self._failures = 0

    def check_client(self, client_id: str, client_secret: str, form_client_id: str) -> None:
        """Check the client; a wrong one does not count towards the lock, since it names no user.

        Raises:
            LoginRefusedError: One of the three is wrong.
        """
        ours = self.credentials
        expected = (ours.client_id, ours.client_secret, ours.form_client_id or ours.client_id)
        if (client_id, client_secret, form_client_id) != expected:
            raise LoginRefusedError(LoginRefusal.WRONG_CLIENT)

    def log_in(self, username: str, password: str) -> IssuedToken:
        """Return a new token; older ones stay good.

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
        """Return what a bearer token is worth now."""
        token = self._tokens.get(access_token)
        if token is None:
            return TokenState.UNKNOWN
        age = (self.now() - token.issued_at).total_seconds()
        return TokenState.VALID if age < token.lifetime else TokenState.EXPIRED

    def revoke_tokens(self) -> None:
        """Make every token issued so far unknown."""
        self._tokens.clear()
