"""The ENKASH_ variables, and what they set up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from enkash_async._http.login import PasswordGrant
from enkash_async.errors import ConfigurationError
from enkash_async.tokens import (
    CachingTokenProvider,
    Credentials,
    InMemoryTokenProvider,
    RedisTokenProvider,
    TokenSealer,
)

if TYPE_CHECKING:
    import aiohttp

__all__ = ["Environment"]

_NEEDED = ("ENKASH_BASE_URL", "ENKASH_CLIENT_ID", "ENKASH_CLIENT_SECRET", "ENKASH_USERNAME", "ENKASH_PASSWORD")


class Environment:
    """What environment variables say; it does not show their values.

    Args:
        environ: The variables. Nothing is asked of them yet, so that no traceback of a complaint shows them.
    """

    __slots__ = ("_environ",)

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    @property
    def base_url(self) -> str:
        """`ENKASH_BASE_URL`."""
        return self._environ["ENKASH_BASE_URL"]

    @property
    def has_redis(self) -> bool:
        """Whether `ENKASH_REDIS_URL` is set, so that tokens are shared."""
        return bool(self._environ.get("ENKASH_REDIS_URL", "").strip())

    def credentials(self) -> Credentials:
        """Return what EnKash gave for the login.

        Raises:
            ConfigurationError: A variable is missing, the message names every missing one; or a value is unusable.
        """
        if missing := [name for name in _NEEDED if not self._environ.get(name, "").strip()]:
            raise ConfigurationError(f"set the environment variable{'s' * (len(missing) > 1)} {', '.join(missing)}")
        return Credentials(
            self._environ["ENKASH_CLIENT_ID"],
            self._environ["ENKASH_CLIENT_SECRET"],
            self._environ["ENKASH_USERNAME"],
            self._environ["ENKASH_PASSWORD"],
            self._environ.get("ENKASH_FORM_CLIENT_ID") or None,
        )

    def grant(
        self, *, session: aiohttp.ClientSession | None = None, path: str = "/oauth/token", allow_insecure: bool = False
    ) -> PasswordGrant:
        """Return the login; the arguments are those of `PasswordGrant`.

        Raises:
            ConfigurationError: As for `credentials()`.
        """
        credentials = self.credentials()  # first: it names what is missing
        return PasswordGrant(self.base_url, credentials, session=session, path=path, allow_insecure=allow_insecure)

    def provider(self, grant: PasswordGrant) -> CachingTokenProvider:
        """Return a provider that shares tokens through `ENKASH_REDIS_URL` where that is set.

        Raises:
            ConfigurationError: `ENKASH_REDIS_URL` or `ENKASH_TOKEN_KEYS` is unusable.
        """
        return self.redis_provider(grant) if self.has_redis else InMemoryTokenProvider(grant)

    def redis_provider(self, grant: PasswordGrant) -> RedisTokenProvider:
        """Return a provider that shares tokens through Redis; `ENKASH_TOKEN_KEYS` seals them.

        Raises:
            ConfigurationError: `ENKASH_REDIS_URL` is missing or unusable, or `ENKASH_TOKEN_KEYS` is.
        """
        if not self.has_redis:
            raise ConfigurationError(
                "set the environment variable ENKASH_REDIS_URL: without it every process keeps its tokens, and its "
                "guard, to itself"
            )
        try:
            return RedisTokenProvider.from_url(grant, self._environ["ENKASH_REDIS_URL"].strip(), sealer=self._sealer())
        except ConfigurationError as problem:
            found = problem
        raise ConfigurationError(f"ENKASH_REDIS_URL or ENKASH_TOKEN_KEYS: {found}") from None

    def _sealer(self) -> TokenSealer | None:
        keys = self._environ.get("ENKASH_TOKEN_KEYS")
        # Set but empty is a mistake, such as a secret that was not filled in; plain text must not be the answer.
        return None if keys is None else TokenSealer(keys)
