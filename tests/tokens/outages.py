"""A store that goes and comes, and providers that need it."""

from __future__ import annotations

import asyncio

import attrs
import pytest
from tokens.doubles import AwayStore, Clock, Login

from enkash_async.errors import LoginGuardError, TokenError
from enkash_async.tokens import OnStoreDown, StoreTokenProvider, Token
from enkash_async.tokens._account import lease_for

__all__ = ["AHEAD", "HOLD", "HOUR", "LEASE", "OFFER_PAUSE", "POLICIES", "WAIT", "Outage"]

# An hour's token is held back for 30 s, waited for in its last 60 s, and renewed in its last 720 s.
HOUR, HOLD, WAIT, AHEAD = 3600.0, 30.0, 60.0, 720.0

# Seconds between looks at a store that is away, and until a token that it does not know of is offered.
OFFER_PAUSE = 1.0

LEASE = lease_for(15.0)

POLICIES: list[OnStoreDown] = ["serve", "login_if_proven", "login"]


@attrs.frozen
class Outage:
    """One store, one clock, and as many providers as a test wants."""

    clock: Clock
    store: AwayStore

    def provider(
        self, login: Login, policy: OnStoreDown = "login_if_proven", *, chance: float = 0.0
    ) -> StoreTokenProvider:
        return StoreTokenProvider(
            login,
            self.store,
            on_store_down=policy,
            clock=self.clock,
            sleep=self.clock.sleep,
            random=lambda: chance,
        )

    async def ask(self, provider: StoreTokenProvider, *, rejected: Token | None = None) -> Token:
        """Ask for a token and let the circuit breaker's second pass."""
        call = asyncio.create_task(provider.get_token(rejected=rejected))
        await self.clock.advance(1.5)
        return await call

    async def failure(self, provider: StoreTokenProvider, *, rejected: Token | None = None) -> TokenError:
        with pytest.raises(TokenError) as caught:
            await self.ask(provider, rejected=rejected)
        return caught.value

    async def guard(self, provider: StoreTokenProvider, *, rejected: Token | None = None) -> str:
        """Return the reason for which the guard is closed."""
        failure = await self.failure(provider, rejected=rejected)
        assert isinstance(failure, LoginGuardError), repr(failure)
        return failure.reason

    async def proven(self, login: Login, policy: OnStoreDown = "login_if_proven") -> StoreTokenProvider:
        """Return a provider that has logged in, whose store went away then."""
        provider = self.provider(login, policy)
        await provider.get_token()
        self.store.leave()
        return provider
