"""A provider of one fixed token, which it cannot renew."""

from __future__ import annotations

import math
from collections.abc import Callable

from enkash_async._support.clock import instant
from enkash_async.errors import LoginGuardError, TokenError
from enkash_async.tokens._types import Token

__all__ = ["StaticTokenProvider"]


class StaticTokenProvider:
    """Hands out one token that was obtained elsewhere; it never logs in.

    Args:
        token: The token. A string is taken as the secret of a token that never expires.
        clock: Returns monotonic seconds, on the clock of the token.
    """

    def __init__(self, token: Token | str, *, clock: Callable[[], float] = instant) -> None:
        self._token = token if isinstance(token, Token) else Token(token, math.inf, clock())
        self._clock = clock
        self._ends = self._token.expires_in < math.inf  # a token given as a string never expires

    async def get_token(self, *, rejected: Token | None = None) -> Token:
        """Return the token.

        Raises:
            LoginGuardError: EnKash refused the token, and this provider has no other.
            TokenError: The token has expired.
        """
        if rejected is not None:
            raise LoginGuardError("EnKash refused the fixed token, which cannot be renewed here", reason="renewal")
        if self._ends and self._token.remaining(self._clock()) <= 0:
            raise TokenError("the fixed token has expired: obtain a new one and build a new provider")
        return self._token

    async def aclose(self) -> None:
        """Do nothing: there is nothing to release."""
