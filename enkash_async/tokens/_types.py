"""What a token is, and the three protocols around it: who hands it out, who logs in, what processes share."""

from __future__ import annotations

import enum
from typing import NoReturn, Protocol, TypeAlias, runtime_checkable

import attrs

from enkash_async._support.clock import instant
from enkash_async._support.headers import is_visible
from enkash_async._support.secret import Secret
from enkash_async.errors import ConfigurationError
from enkash_async.tokens._credentials import Identity

__all__ = [
    "Claim",
    "Cooling",
    "Failure",
    "Found",
    "Lead",
    "Refused",
    "Token",
    "TokenProvider",
    "TokenSource",
    "TokenStore",
    "Wait",
]


@attrs.frozen(init=False)
class Token:
    """A bearer token that does not show itself.

    `repr`, `str`, `format` and `attrs.asdict` hide the secret; pickling is refused.

    Args:
        access_token: The secret; later only through `reveal()` and `authorization`.
        expires_in: Lifetime in seconds, counted from `requested_at`.
        requested_at: Instant just *before* the login was sent; the default is now. It is one of a clock that counts the
            sleep of the machine: CLOCK_BOOTTIME on Linux, CLOCK_MONOTONIC on macOS, `time.monotonic()` elsewhere.
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
            now: An instant of the same clock as `requested_at`; None reads the clock.
        """
        return self.requested_at + self.expires_in - (instant() if now is None else now)

    def __copy__(self) -> Token:
        return self

    def __deepcopy__(self, memo: object) -> Token:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a Token is not pickled; workers share tokens through a TokenStore")


@runtime_checkable
class TokenProvider(Protocol):
    """Hands out a usable token; what the client asks before each request."""

    async def get_token(self, *, rejected: Token | None = None) -> Token:
        """Return a token to attach to a request.

        Args:
            rejected: A token that EnKash refused with 401; the answer is never that token nor an older one.

        Raises:
            TokenError: There is no token; the subclass says why.
        """
        ...

    async def aclose(self) -> None:
        """Release what the provider opened; a second call does nothing."""
        ...


@runtime_checkable
class TokenSource(Protocol):
    """Logs in; `PasswordGrant`, or one of your own."""

    @property
    def identity(self) -> Identity:
        """Whose token this is."""
        ...

    async def fetch_token(self) -> Token:
        """Make exactly one login attempt and return its token; never retry here, retries can lock the account.

        Raises:
            CredentialsRejectedError: EnKash said no; the credentials are barred.
            TokenEndpointError: It failed for another reason; `counted` says whether EnKash may have counted it.
        """
        ...


class Failure(enum.Enum):
    """How a login attempt failed, as far as the guard cares."""

    REJECTED = "rejected"  # EnKash said no: bar these credentials
    LOCKED = "locked"  # EnKash said that the account is locked: stop altogether
    TRANSIENT = "transient"  # not counted by EnKash: cool down, then try again
    AMBIGUOUS = "ambiguous"  # may have been counted: charge it against unproven credentials, then cool down
    ABANDONED = "abandoned"  # cut off from this side: charged likewise, but no reason for others to wait


@attrs.frozen
class Found:
    """A claim's answer: the store has a token that is good enough.

    Attributes:
        token: The token.
        proven: Whether the credentials of the one who asks have worked.
        settled: Seconds for which a refusal of this token brings no other login, since it came in the place of a
            refused one just now.
    """

    token: Token
    proven: bool = False
    settled: float = 0.0


@attrs.frozen
class Lead:
    """A claim's answer: log in, and publish the token under this generation.

    Attributes:
        fence: The generation.
        forced: Whether the token will come in the place of one that EnKash refused.
    """

    fence: int
    forced: bool = False


@attrs.frozen
class Wait:
    """A claim's answer: another worker is logging in; ask again within `seconds`."""

    seconds: float


@attrs.frozen
class Cooling:
    """A claim's answer: the last login failed for a transient reason; nobody logs in for `seconds` more."""

    seconds: float


@attrs.frozen
class Refused:
    """A claim's answer: no login with these credentials; the reason as in `LoginGuardError.reason`."""

    reason: str


Claim: TypeAlias = Found | Lead | Wait | Cooling | Refused


@runtime_checkable
class TokenStore(Protocol):
    """What the workers of one account share: the token, the right to log in, the guard.

    Every method is atomic, and harmless when it is repeated with the same owner, since a lost reply is sent again.
    Instants never leave a process: lifetimes are given as what remains of them. A store that cannot be reached raises
    `TokenStoreError` from any method.
    """

    async def claim(self, identity: Identity, owner: str, *, above: int) -> Claim:
        """Ask for a token, or for the right to fetch one.

        Args:
            identity: Whose token.
            owner: Nonce of this refresh; the lease is held in its name.
            above: Only a token of a higher generation will do; a new one gets a higher number than this.

        A login that has begun, and whose lease ran out without a word from its owner, is charged to unproven
        credentials: it may have been sent.

        Returns:
            The first that applies: `Found`, `Refused`, `Cooling`, `Wait`, `Lead`.
        """
        ...

    async def beat(self, identity: Identity, owner: str) -> bool:
        """Begin a login, and extend its lease while it lasts; False when it is not the owner's any more.

        Asked once before the login is sent: from then on a leader that vanishes is charged.
        """
        ...

    async def publish(self, identity: Identity, owner: str, token: Token) -> bool:
        """Store a token under its generation and drop the owner's lease; clears cooldown and budget.

        The credentials count as proven from here on. What was refused or charged under a higher number than the
        token's stays so: a token that was fetched while the store was away says nothing about what came after it.

        Returns:
            False, and nothing stored, when a token of this generation or a newer one was stored or rejected meanwhile.
        """
        ...

    async def fail(
        self,
        identity: Identity,
        owner: str,
        failure: Failure,
        retry_after: float | None = None,
        *,
        fence: int | None = None,
    ) -> float:
        """Drop the owner's lease and note how the login failed.

        Args:
            retry_after: Seconds that EnKash asked to wait, or None.
            fence: The number that the attempt was made under. A report from before a login that worked is not charged,
                and does not bar credentials that have worked since; None is not known to be from before.

        Returns:
            Seconds of cooldown that now hold for everybody.
        """
        ...

    async def reject(self, identity: Identity, generation: int) -> None:
        """Note that EnKash refused this generation: it and older ones are not handed out again."""
        ...

    async def reset(self, identity: Identity) -> None:
        """Forget bars, budget and cooldown of the account; for operators who have put things right."""
        ...
