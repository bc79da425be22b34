"""The token, and the protocols of the objects that log in and that hand out tokens."""

from __future__ import annotations

from typing import NoReturn, Protocol, runtime_checkable

import attrs

from enkash_async._support.clock import instant
from enkash_async._support.headers import is_visible
from enkash_async._support.secret import Secret
from enkash_async._support.text import hidden_flaw
from enkash_async.errors import ConfigurationError
from enkash_async.tokens._credentials import Identity

__all__ = ["ProviderState", "SharedTokenProvider", "Token", "TokenProvider", "TokenSource"]


@attrs.frozen(init=False)
class Token:
    """A bearer token that hides its secret.

    `repr`, `str`, `format` and `attrs.asdict` hide the secret; pickling is refused.

    Args:
        access_token: The secret. Only `reveal()` and `authorization` return it.
        expires_in: Lifetime of the token in seconds, counted from `requested_at`.
        requested_at: Monotonic instant just *before* the login was sent; the default is now.
        generation: Number of the token; a newer token of the same account has a higher number. A `TokenSource` leaves
            the number at 0, and the provider sets it.

    Raises:
        ConfigurationError: The access token cannot be sent in a header.
    """

    _secret: Secret = attrs.field(alias="access_token", repr=False)
    expires_in: float
    requested_at: float = attrs.field(repr=False)
    generation: int

    def __init__(
        self, access_token: str | Secret, expires_in: float, requested_at: float | None = None, generation: int = 0
    ) -> None:
        secret = access_token if isinstance(access_token, Secret) else Secret(str(access_token))
        is_text = isinstance(access_token, (Secret, str))
        del access_token  # keeps secrets out of rendered tracebacks, which show the locals of this frame
        self.__attrs_init__(secret, expires_in, instant() if requested_at is None else requested_at, generation)
        if not is_text or not is_visible(secret.reveal()):
            flaw = hidden_flaw(secret.reveal()) if is_text else None
            must = "must be a non-empty str of printable ASCII without spaces"
            raise ConfigurationError(f"access_token {flaw or must}")

    def reveal(self) -> str:
        """Return the access token itself."""
        return self._secret.reveal()

    @property
    def authorization(self) -> str:
        """The value of the `Authorization` header."""
        return f"Bearer {self._secret.reveal()}"

    def remaining(self, now: float | None = None) -> float:
        """Return the seconds until the token expires, negative once it has expired.

        Args:
            now: Instant on the clock of `requested_at`; None reads the default clock.
        """
        return self.requested_at + self.expires_in - (instant() if now is None else now)

    def __copy__(self) -> Token:
        return self

    def __deepcopy__(self, memo: object) -> Token:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a Token is not pickled; processes share tokens through a Store")


@attrs.frozen
class ProviderState:
    """What a provider knows at the moment; it is cheap to obtain, and holds no secrets.

    Attributes:
        generation: Generation of the token in hand; None without a token.
        remaining: Seconds until the token in hand expires; None without a token.
        refreshing: Whether a refresh is under way in this process.
        logins: Number of successful logins by this process.
        failures: Number of failed refreshes of this process.
        barred: Why the guard forbade a login when the store was last read, as `LoginGuardError.reason`; None if it
            allowed a login.
        cooling: Seconds until a login may be tried after a transient failure; 0 if no wait is needed.
        store_away: Whether the shared store was unavailable when it was last needed.
        proven: Whether these credentials were known to work when the store was last read.
        charged: Number of attempts that EnKash may count as wrong logins, since the last successful login. After two,
            the guard forbids logins.
    """

    generation: int | None
    remaining: float | None
    refreshing: bool
    logins: int
    failures: int
    barred: str | None
    cooling: float
    store_away: bool
    proven: bool = False
    charged: int = 0


@runtime_checkable
class TokenProvider(Protocol):
    """Hands out usable tokens; the client asks for a token before each request."""

    async def get_token(self, *, rejected: Token | None = None) -> Token:
        """Return a token to attach to a request.

        Args:
            rejected: A token that EnKash refused with 401. The returned token is newer, and has another secret.

        Raises:
            TokenError: No token is available; the subclass of the error says why.
        """
        ...

    async def aclose(self) -> None:
        """Release what the provider opened; a second call does nothing."""
        ...


@runtime_checkable
class TokenSource(Protocol):
    """An object that logs in: a `PasswordGrant`, or an object of your own.

    A source may have an attribute `seal_key`: the 32 secret bytes of the key that seals its tokens in a store. Every
    process that logs in to the account must have the same key.
    """

    @property
    def identity(self) -> Identity:
        """Identifies the account and the credentials, without a secret."""
        ...

    async def fetch_token(self) -> Token:
        """Make exactly one login attempt and return its token; never retry here, since retries can lock the account.

        The provider cancels an attempt that takes longer than its `login_timeout`.

        Raises:
            CredentialsRejectedError: EnKash refused the credentials.
            TokenEndpointError: The login failed; raise it with `counted=False` only if the login was provably not sent.
                Any other exception means that the outcome of the login is unknown.
        """
        ...


@runtime_checkable
class SharedTokenProvider(TokenProvider, Protocol):
    """A token provider of this package, which also reports its state and lets an operator reset its guard."""

    def state(self) -> ProviderState:
        """Return what the provider knows at the moment, without I/O; for health checks."""
        ...

    async def reset_guard(self) -> None:
        """Grant these credentials one more login attempt; for operators who have repaired the account."""
        ...
