"""Makes the credentials, the login, the store and the sealer from the environment variables ENKASH_…."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from enkash_async._http.login import PasswordGrant
from enkash_async._support.secret import HiddenStr
from enkash_async._support.text import url_flaw
from enkash_async.errors import ConfigurationError
from enkash_async.stores import Store, default_store, open_store
from enkash_async.tokens import LOGIN_TIMEOUT, NEEDED, Credentials, TokenSealer, missing

if TYPE_CHECKING:
    import aiohttp

__all__ = ["Environment"]

_NEEDED = ("ENKASH_BASE_URL", *NEEDED)
_FIELD = re.compile(r"^Credentials\.(\w+)")


class Environment:
    """Reads the settings from environment variables; its `repr` does not show them.

    Args:
        environ: The variables. Callers pass this object around, not the variables, so that a traceback with the locals
            of a caller does not show them.
    """

    __slots__ = ("_environ",)

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    @property
    def base_url(self) -> str:
        """The base URL, from `ENKASH_BASE_URL`."""
        return self._environ["ENKASH_BASE_URL"]

    def credentials(self) -> Credentials:
        """Return the credentials for the login.

        Raises:
            ConfigurationError: A value is unusable, or variables are missing; the message names every missing variable.
        """
        if (error := missing(self._environ, _NEEDED)) is not None:
            raise error
        try:
            return Credentials.from_env(self._environ)
        except ConfigurationError as problem:
            found = _FIELD.sub(lambda field: f"ENKASH_{field[1].upper()}", str(problem))
        raise ConfigurationError(found)

    def grant(
        self,
        *,
        session: aiohttp.ClientSession | None = None,
        path: str = "/oauth/token",
        allow_insecure: bool = False,
        proxy: str | None = None,
    ) -> PasswordGrant:
        """Return the login; the arguments are those of `PasswordGrant`.

        Raises:
            ConfigurationError: As for `credentials()`.
        """
        credentials = self.credentials()  # before the base URL is read: this error names every missing variable
        if (flaw := url_flaw(self.base_url)) is not None:
            raise ConfigurationError(f"ENKASH_BASE_URL {flaw}")
        return PasswordGrant(
            self.base_url, credentials, session=session, path=path, allow_insecure=allow_insecure, proxy=proxy
        )

    def store(self) -> Store:
        """Return the store that the variables name, or the default store.

        `ENKASH_STORE_URL` comes before `ENKASH_REDIS_URL`. The default store is the SQLite file of this user.
        `ENKASH_NOTHING_PENDING=1` declares that no confirmation of a debit is under way anywhere.

        Raises:
            ConfigurationError: The URL is unusable; the message does not repeat it, since it may hold a password. Or
                `ENKASH_NOTHING_PENDING` is neither 0 nor 1.
        """
        nothing_pending = self._flag("ENKASH_NOTHING_PENDING")
        for name in ("ENKASH_STORE_URL", "ENKASH_REDIS_URL"):
            url = HiddenStr(self._environ.get(name, "").strip())
            if (flaw := url_flaw(url)) is not None:
                raise ConfigurationError(f"{name} {flaw}")
            if url:
                return _opened(name, url, nothing_pending)
        return default_store(nothing_pending=nothing_pending)

    def _flag(self, name: str) -> bool:
        text = self._environ.get(name, "").strip()
        if text not in {"", "0", "1"}:
            raise ConfigurationError(f"{name} must be 1, or 0 as if it were not set, not {text!r}")
        return text == "1"

    def sealer(self) -> TokenSealer | None:
        """Return the sealer with the keys of `ENKASH_TOKEN_KEYS`; None means a key derived from the credentials.

        Raises:
            ConfigurationError: The keys are unusable.
        """
        # An empty variable is refused: it is a mistake, such as a secret that was not filled in.
        if "ENKASH_TOKEN_KEYS" not in self._environ:
            return None
        try:
            return TokenSealer(self._environ["ENKASH_TOKEN_KEYS"])
        except ConfigurationError as problem:
            found = problem
        raise ConfigurationError(f"ENKASH_TOKEN_KEYS: {found}") from None

    def debit_on_create(self) -> bool:
        """Return whether `ENKASH_DEBIT_ON_CREATE` is 1.

        Raises:
            ConfigurationError: The variable is neither 1 nor 0; the SDK does not guess whether to confirm debits.
        """
        text = self._environ.get("ENKASH_DEBIT_ON_CREATE", "").strip()
        if text not in {"", "0", "1"}:
            raise ConfigurationError(f"ENKASH_DEBIT_ON_CREATE must be 1 or 0, not {text!r}")
        return text == "1"

    def login_timeout(self) -> float:
        """Return the seconds of `ENKASH_LOGIN_TIMEOUT`, or the default.

        Raises:
            ConfigurationError: The variable is not a number.
        """
        text = self._environ.get("ENKASH_LOGIN_TIMEOUT", "").strip()
        try:
            return float(text) if text else LOGIN_TIMEOUT
        except ValueError:
            raise ConfigurationError(f"ENKASH_LOGIN_TIMEOUT must be a number of seconds, not {text!r}") from None


def _opened(name: str, url: str, nothing_pending: bool) -> Store:
    try:
        return open_store(url, nothing_pending=nothing_pending)
    except ConfigurationError as problem:
        found = problem
    raise ConfigurationError(f"{name}: {found}") from None
