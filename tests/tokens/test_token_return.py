"""When the store is back: which worker's token the fleet uses, and what the store hears of refused ones."""

from __future__ import annotations

import asyncio

import pytest
from tokens.doubles import Login, settle
from tokens.outages import AHEAD, HOLD, HOUR, OFFER_PAUSE, Outage

from enkash_async.tokens import Failure, Found, Refused, StoreTokenProvider, Token

pytestmark = pytest.mark.usefixtures("silent_asyncio")


async def alone(outage: Outage, login: Login) -> tuple[StoreTokenProvider, Token]:
    """Return a provider with a token that it fetched without the store."""
    provider = await outage.proven(login)
    outage.clock.now += HOUR
    return provider, await outage.ask(provider)


async def stored(outage: Outage, login: Login) -> Token:
    claim = await outage.store.claim(login.identity, "reader", above=-1)
    assert isinstance(claim, Found), claim
    return claim.token


class TestOffer:
    """A worker has a token that it fetched without the store."""

    async def test_it_is_offered_within_a_second(self, outage: Outage) -> None:
        """The worker offers it within a second without making callers wait, and the fleet uses it."""
        login, other = Login(outage.clock), Login(outage.clock)
        provider, token = await alone(outage, login)
        outage.store.come_back()
        outage.clock.now += OFFER_PAUSE
        assert [await provider.get_token() for _ in range(20)] == [token] * 20
        await settle()
        assert (await stored(outage, login)).reveal() == token.reveal()
        assert (await outage.provider(other).get_token()).reveal() == token.reveal()
        assert (login.attempts, other.attempts) == (2, 0)

    async def test_it_is_offered_once(self, outage: Outage) -> None:
        """The worker sends the store nothing more after the offer."""
        provider, token = await alone(outage, Login(outage.clock))
        outage.store.come_back()
        outage.store.calls.clear()
        for _ in range(10):
            outage.clock.now += OFFER_PAUSE
            assert (await outage.ask(provider)).reveal() == token.reveal()
        assert outage.store.calls == ["publish", "claim"]

    async def test_the_store_is_looked_for_once_a_second(self, outage: Outage) -> None:
        """The worker serves its token while the store is away."""
        provider, token = await alone(outage, Login(outage.clock))
        outage.store.tries = 0
        for tries in range(1, 6):
            outage.clock.now += OFFER_PAUSE
            assert [await provider.get_token() for _ in range(20)] == [token] * 20
            await settle()
            assert outage.store.tries == tries

    async def test_the_first_worker_has_the_fleets_token(self, outage: Outage) -> None:
        """Two workers offer one each of the same number, and the slower one drops its own without a login."""
        logins = [Login(outage.clock), Login(outage.clock)]
        providers = [outage.provider(login) for login in logins]
        for provider in providers:
            await provider.get_token()
        outage.store.leave()
        outage.clock.now += HOUR
        tokens = [await outage.ask(provider) for provider in providers]
        assert tokens[0].generation == tokens[1].generation
        assert tokens[0].reveal() == "at-first-password-2"
        assert tokens[1].reveal() == "at-first-password-1"
        outage.store.come_back()
        for provider in providers:
            outage.clock.now += OFFER_PAUSE
            await outage.ask(provider)
        for provider in providers:
            assert (await provider.get_token()).reveal() == tokens[0].reveal()
        assert [login.attempts for login in logins] == [2, 1]

    async def test_a_login_of_another_worker_is_newer(self, outage: Outage) -> None:
        """The worker drops its token for one that another worker fetched after the store's return."""
        login, quick = Login(outage.clock), Login(outage.clock, fingerprint="the same, faster")
        provider, _ = await alone(outage, login)
        outage.store.come_back()
        fleets = await outage.provider(quick).get_token()
        outage.clock.now += OFFER_PAUSE
        await outage.ask(provider)
        assert (await provider.get_token()).reveal() == fleets.reveal()
        assert (await stored(outage, login)).reveal() == fleets.reveal()
        assert (login.attempts, quick.attempts) == (2, 1)

    async def test_a_store_that_went_during_the_login_is_offered_its_token(self, outage: Outage) -> None:
        """The store gave the lease and hears of the token when it is back."""
        login = Login(outage.clock, gated=True)
        provider = outage.provider(login)
        call = asyncio.create_task(provider.get_token())
        await settle()
        outage.store.leave()
        await login.release()
        token = await call
        outage.store.come_back()
        outage.clock.now += OFFER_PAUSE
        assert await outage.ask(provider) is token
        assert (await stored(outage, login)).reveal() == token.reveal()
        assert login.attempts == 1

    @pytest.mark.parametrize("problem", [None, ConnectionResetError("rediss://:hunter2@store.example")])
    async def test_a_store_that_does_not_take_it_is_offered_it_again(
        self, outage: Outage, problem: Exception | None, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Dropping the token would cost one more login, and a user's store may fail with any error."""
        login = Login(outage.clock)
        outage.store.problem = problem or outage.store.problem
        outage.store.cut_off = {"publish"}
        provider = outage.provider(login)
        token = await provider.get_token()
        for _ in range(5):
            outage.clock.now += OFFER_PAUSE
            assert await outage.ask(provider) is token
        outage.store.come_back()
        outage.clock.now += OFFER_PAUSE + 1
        assert await outage.ask(provider) is token
        outage.clock.now += OFFER_PAUSE + 1
        assert await outage.ask(provider) is token
        assert (await stored(outage, login)).reveal() == token.reveal()
        assert login.attempts == 1
        assert "hunter2" not in caplog.text

    @pytest.mark.parametrize("problem", [None, ConnectionResetError("broken pipe")])
    async def test_a_store_that_never_takes_any_does_not_end_the_service(
        self, outage: Outage, problem: Exception | None
    ) -> None:
        """The worker makes one login per lifetime, as without a store."""
        login = Login(outage.clock)
        outage.store.problem = problem or outage.store.problem
        outage.store.cut_off = {"publish"}
        provider = outage.provider(login)
        for attempts in (1, 2, 3):
            token = await outage.ask(provider)
            assert token.remaining(outage.clock()) > HOLD
            assert login.attempts == attempts
            outage.clock.now += HOUR + 10

    async def test_a_dead_one_is_told_of(self, outage: Outage) -> None:
        """The store hears what became of the login, although the token is useless."""
        login = Login(outage.clock)
        provider, _ = await alone(outage, login)
        outage.clock.now += HOUR
        outage.store.come_back()
        outage.store.calls.clear()
        await outage.ask(provider)
        assert outage.store.calls == ["publish", "claim", "beat", "publish"]
        assert login.attempts == 3

    async def test_a_refused_one_is_not_offered(self, outage: Outage) -> None:
        """The store hears of the refusal in place of the token."""
        login = Login(outage.clock)
        provider, token = await alone(outage, login)
        outage.store.come_back()
        outage.store.calls.clear()
        assert (await outage.ask(provider, rejected=token)).generation > token.generation
        assert outage.store.calls == [f"reject {token.generation}", "claim", "beat", "publish"]

    @pytest.mark.parametrize(("failure", "reason"), [(Failure.REJECTED, "rejected"), (Failure.LOCKED, "locked")])
    async def test_it_does_not_lift_a_bar(self, outage: Outage, failure: Failure, reason: str) -> None:
        """A token fetched before EnKash refused the password gives that password no new attempt."""
        login = Login(outage.clock)
        provider, token = await alone(outage, login)
        outage.clock.now += 60
        outage.store.come_back()
        await outage.store.claim(login.identity, "other", above=-1)
        await outage.store.fail(login.identity, "other", failure)
        assert await outage.ask(provider) is token
        await settle()
        assert await provider.get_token() is token
        claim = await outage.store.claim(login.identity, "asker", above=token.generation)
        assert claim == Refused(reason)


class TestRefusals:
    """EnKash refused tokens and the store did not hear of it."""

    async def test_it_is_told_before_it_is_asked(self, outage: Outage) -> None:
        """The store hears first, or it would return the refused token once more."""
        login = Login(outage.clock)
        provider = outage.provider(login, "serve")
        token = await provider.get_token()
        outage.store.leave()
        await outage.failure(provider, rejected=token)
        outage.store.come_back()
        outage.store.calls.clear()
        assert (await outage.ask(provider)).generation > token.generation
        assert outage.store.calls == [f"reject {token.generation}", "claim", "beat", "publish"]
        assert login.attempts == 2

    async def test_it_is_told_by_who_has_another_token_already(self, outage: Outage) -> None:
        """The worker's new token replaces the refused one in the store."""
        login, other = Login(outage.clock), Login(outage.clock)
        provider = await outage.proven(login)
        token = await provider.get_token()
        new = await outage.ask(provider, rejected=token)
        outage.store.come_back()
        outage.store.calls.clear()
        for _ in range(3):
            outage.clock.now += OFFER_PAUSE
            await outage.ask(provider)
        assert outage.store.calls == [f"reject {token.generation}", "publish", "claim"]
        assert (await outage.provider(other).get_token()).reveal() == new.reveal()
        assert (login.attempts, other.attempts) == (2, 0)


async def test_an_ahead_renewal_offers_before_it_asks(outage: Outage) -> None:
    """Callers get the ageing token while the worker offers it and then renews."""
    login = Login(outage.clock)
    provider, token = await alone(outage, login)
    outage.clock.now += HOUR - AHEAD
    outage.store.come_back()
    assert await outage.ask(provider) is token
    outage.clock.now += 1
    assert (await outage.ask(provider)).reveal() == token.reveal()
    assert (await outage.ask(provider)).generation > token.generation
    assert login.attempts == 3
