"""What a token is, and the protocols around it: who hands it out, and who logs in."""

from __future__ import annotations

from typing import NoReturn, Protocol, runtime_checkable

import attrs

from enkash_async._support.clock import instant
from enkash_async._support.headers import is_visible
from enkash_async._support.secret import Secret
from enkash_async.errors import ConfigurationError
from enkash_async.tokens._credentials import Identity

__all__ = ["ProviderState", "SharedTokenProvider", "Token", "TokenProvider", "TokenSource"]


@attrs.frozen(init=False)
class Token:
    """A bearer token that does not show itself.

    `repr`, `str`, `format` and `attrs.asdict` hide the secret; pickling is refused.

    Args:
        access_token: The secret; later only through `reveal()` and `authorization`.
        expires_in: Lifetime in seconds, counted from `requested_at`.
        requested_at: Monotonic instant just *before* the login was sent; the default is now.
        generation: Order of tokens of one account: a newer one has a higher number. A `TokenSource` leaves it 0; the
            provider numbers what it publishes.

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
        del access_token  # a rendered traceback shows the locals of this frame
        self.__attrs_init__(secret, expires_in, instant() if requested_at is None else requested_at, generation)
        if not is_text or not is_visible(secret.reveal()):
            raise ConfigurationError("access_token must be a non-empty str of printable ASCII without spaces")

    def reveal(self) -> str:
        """Return the access token itself."""
        return self._secret.reveal()

    @property
    def authorization(self) -> str:
        """The value of the `Authorization` header."""
        return f"Bearer {self._secret.reveal()}"

    def remaining(self, now: float | None = None) -> float:
        """Return the seconds left to live, negative when dead.

        Args:
            now: A monotonic instant; None reads the clock.
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
        proven: Whether these credentials are known to work, as of the last look at the store.
        charged: Login attempts that EnKash may have counted since the last one that worked; two are the most.
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
    """Hands out a usable token; what the client asks before each request."""

    async def get_token(self, *, rejected: Token | None = None) -> Token:
        """Return a token to attach to a request.

        Args:
            rejected: A token that EnKash refused with 401; the answer is never that token, its secret under another
                number, nor an older token.

        Raises:
            TokenError: There is no token; the subclass says why.
        """
        ...

    async def aclose(self) -> None:
        """Release what the provider opened; a second call does nothing."""
        ...


@runtime_checkable
class TokenSource(Protocol):
    """Logs in; `PasswordGrant`, or one of your own.

    A source may have an attribute `seal_key`, 32 secret bytes under which its tokens are sealed in a store. Whoever can
    log in has to have the same ones.
    """

    @property
    def identity(self) -> Identity:
        """Whose token this is, without a secret."""
        ...

    async def fetch_token(self) -> Token:
        """Make exactly one login attempt and return its token; never retry here, since retries can lock the account.

        The provider ends an attempt that takes longer than its `login_timeout`.

        Raises:
            CredentialsRejectedError: EnKash said no.
            TokenEndpointError: With `counted=False`, the login was provably not sent. Any other exception counts as a
                login of unknown outcome.
        """
        ...


@runtime_checkable
class SharedTokenProvider(TokenProvider, Protocol):
    """What the providers of this package can do beside handing out tokens."""

    def state(self) -> ProviderState:
        """Return what the provider knows at the moment, without I/O; for health checks."""
        ...

    async def reset_guard(self) -> None:
        """Grant these credentials one more login attempt; for operators who have put the account right."""
        ...
