"""Checks the arguments of a token provider."""

from __future__ import annotations

from enkash_async.errors import ConfigurationError
from enkash_async.tokens._account import LONGEST_LOGIN
from enkash_async.tokens._sealer import TokenSealer
from enkash_async.tokens._types import TokenSource

__all__ = ["check_arguments"]

_POLICIES = ("serve", "login_if_proven", "login")


def check_arguments(
    source: object, store: object, sealer: object, on_store_down: object, login_timeout: object
) -> None:
    """Refuse arguments that a provider cannot use.

    Raises:
        ConfigurationError: An argument is unusable; the message names it and says what to pass instead.
    """
    if not isinstance(source, TokenSource):
        raise ConfigurationError(f"source must be a TokenSource such as PasswordGrant, not {type(source).__name__}")
    if not all(callable(getattr(store, name, None)) for name in ("read", "swap", "aclose")):
        raise ConfigurationError(f"store must be a Store, such as SQLiteStore(path), not {type(store).__name__}")
    if sealer is not None and not isinstance(sealer, TokenSealer):
        raise ConfigurationError(f"sealer must be a TokenSealer, or None, not {type(sealer).__name__}")
    if on_store_down not in _POLICIES:
        raise ConfigurationError(f"on_store_down must be one of {', '.join(map(repr, _POLICIES))}")
    is_number = isinstance(login_timeout, (int, float)) and not isinstance(login_timeout, bool)
    if not is_number or not 0 < login_timeout <= LONGEST_LOGIN:  # type: ignore[operator]  # it is a number
        raise ConfigurationError(
            f"login_timeout must be a number of seconds above 0 and up to {LONGEST_LOGIN:g}, not {login_timeout!r}"
        )
