"""Credentials, logins and token providers from the environment variables ENKASH_…."""

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
    """Reads the settings from environment variables; its `repr` does not show them.

    Args:
        environ: The variables; read only by the methods, so that an error of the caller's shows none in its traceback.
    """

    __slots__ = ("_environ",)

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    @property
    def base_url(self) -> str:
        """The base URL, from `ENKASH_BASE_URL`."""
        return self._environ["ENKASH_BASE_URL"]

    @property
    def has_redis(self) -> bool:
        """Whether `ENKASH_REDIS_URL` is set, so that tokens are shared."""
        return bool(self._environ.get("ENKASH_REDIS_URL", "").strip())

    def credentials(self) -> Credentials:
        """Return the credentials for the login.

        Raises:
            ConfigurationError: A value is unusable, or variables are missing; the message names all that are missing.
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
        credentials = self.credentials()  # first, since it names all missing variables, the base URL included
        return PasswordGrant(self.base_url, credentials, session=session, path=path, allow_insecure=allow_insecure)

    def provider(self, grant: PasswordGrant) -> CachingTokenProvider:
        """Return a provider that shares tokens through Redis if `ENKASH_REDIS_URL` is set, else one of this process.

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
        # An empty variable is a mistake, such as a secret that was not filled in. `TokenSealer` refuses it; tokens must
        # not be stored in plain text because of it.
        return None if keys is None else TokenSealer(keys)
