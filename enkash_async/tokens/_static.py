"""A token that somebody else looks after."""

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
        token: The token, or its bare string, which then never expires here.
        clock: Monotonic seconds.
    """

    def __init__(self, token: Token | str, *, clock: Callable[[], float] = instant) -> None:
        self._token = token if isinstance(token, Token) else Token(token, math.inf, clock())
        self._clock = clock
        self._ends = self._token.expires_in < math.inf  # a bare string has no end, and needs no look at the clock

    async def get_token(self, *, rejected: Token | None = None) -> Token:
        """Return the token.

        Raises:
            LoginGuardError: EnKash refused it, and there is no other.
            TokenError: It has expired.
        """
        if rejected is not None:
            raise LoginGuardError("EnKash refused the fixed token, which cannot be renewed here", reason="renewal")
        if self._ends and self._token.remaining(self._clock()) <= 0:
            raise TokenError("the fixed token has expired: obtain a new one and build a new provider")
        return self._token

    async def aclose(self) -> None:
        """Do nothing: there is nothing to release."""
