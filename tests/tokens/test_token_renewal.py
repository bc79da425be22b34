"""While the store is away: which callers are served, which worker logs in, and which must not."""

from __future__ import annotations

import asyncio
import logging

import pytest
from tokens.doubles import Login, ambiguous, locked, refused, settle, tell, transient
from tokens.outages import AHEAD, HOLD, HOUR, LEASE, POLICIES, WAIT, Outage

from enkash_async.errors import (
    ConfigurationError,
    CredentialsRejectedError,
    LoginGuardError,
    StoreUnavailableError,
    TokenEndpointError,
    TokenError,
)
from enkash_async.tokens import OnStoreDown, StoreTokenProvider, Token
from enkash_async.tokens._commands import Claim, Who

pytestmark = pytest.mark.usefixtures("silent_asyncio")

# Those under which credentials that have worked log in without the store.
TRUSTING: list[OnStoreDown] = ["login_if_proven", "login"]


def test_a_policy_has_a_name(outage: Outage) -> None:
    """The constructor refuses a wrong name at once and lists the right ones."""
    with pytest.raises(ConfigurationError, match="'serve', 'login_if_proven', 'login'"):
        outage.provider(Login(outage.clock), "serve_stale")  # type: ignore[arg-type]


def test_a_store_is_a_store(outage: Outage) -> None:
    """The constructor refuses a Redis client in place of a store at once."""
    with pytest.raises(ConfigurationError, match="store must be a Store, such as SQLiteStore"):
        StoreTokenProvider(Login(outage.clock), object())  # type: ignore[arg-type]


class TestInHand:
    """The worker has a usable token."""

    @pytest.mark.parametrize("policy", POLICIES)
    async def test_it_serves_to_its_end(self, outage: Outage, policy: OnStoreDown) -> None:
        """Callers get it until 30 s before its hour is over, without a login and without an error."""
        login = Login(outage.clock)
        provider = outage.provider(login, policy)
        token = await provider.get_token()
        outage.store.leave()
        for left in (HOUR, AHEAD, WAIT, HOLD + 0.1):
            outage.clock.now = 1000.0 + HOUR - left
            assert [await provider.get_token() for _ in range(10)] == [token] * 10
            await settle()
        assert login.attempts == 1
        assert provider.state().store_away
        assert provider.state().failures == 0

    async def test_the_store_is_looked_for_once_a_second(self, outage: Outage) -> None:
        """One look a second is made for all callers, who do not wait for it."""
        provider = await outage.proven(Login(outage.clock))
        outage.clock.now += HOUR - WAIT
        for passed, tries in ((0.0, 1), (0.9, 1), (0.2, 2), (0.9, 2), (0.2, 3)):
            outage.clock.now += passed
            for _ in range(20):
                await provider.get_token()
            await settle()
            assert outage.store.tries == tries

    async def test_its_renewal_goes_on_once_the_store_is_back(self, outage: Outage) -> None:
        """The provider serves the old token, then renews through the store and logs in once more."""
        login = Login(outage.clock)
        provider = await outage.proven(login)
        outage.clock.now += HOUR - AHEAD
        token = await outage.ask(provider)
        outage.store.come_back()
        outage.clock.now += 0.1
        assert await outage.ask(provider) is token
        assert (await provider.get_token()).generation > token.generation
        assert login.attempts == 2
        assert not provider.state().store_away

    async def test_the_log_tells_of_going_and_coming_once(
        self, outage: Outage, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Ten failed calls write one line, and the store's return writes another."""
        caplog.set_level(logging.INFO)
        provider = await outage.proven(Login(outage.clock))
        outage.clock.now += HOUR - AHEAD
        for _ in range(10):
            await outage.ask(provider)
        outage.store.come_back()
        for _ in range(3):
            await outage.ask(provider)
        assert [record.getMessage() for record in caplog.records] == [
            "the store of tokens is away: nobody answers at store.example",
            "the store of tokens is back",
        ]


class TestProven:
    """The worker has no usable token and credentials that have worked."""

    @pytest.mark.parametrize("policy", TRUSTING)
    async def test_a_process_logs_in_once(self, outage: Outage, policy: OnStoreDown) -> None:
        """One login serves all callers of the process for its token's life."""
        login = Login(outage.clock)
        provider = await outage.proven(login, policy)
        outage.clock.now += HOUR - HOLD
        calls = [asyncio.create_task(provider.get_token()) for _ in range(50)]
        await outage.clock.advance(1)
        tokens = await asyncio.gather(*calls)
        assert {token.reveal() for token in tokens} == {"at-first-password-2"}
        for _ in range(30):
            outage.clock.now += 100
            assert await outage.ask(provider) is tokens[0]
        assert login.attempts == 2

    async def test_serve_makes_no_login(self, outage: Outage) -> None:
        """The policy `serve` uses a token and never logs in without the store."""
        login = Login(outage.clock)
        provider = await outage.proven(login, "serve")
        outage.clock.now += HOUR
        failure = await outage.failure(provider)
        assert type(failure) is StoreUnavailableError
        assert str(failure) == (
            "nobody answers at store.example; no token is in hand, and none was fetched: on_store_down='serve' makes "
            "no login"
        )
        assert login.attempts == 1

    async def test_the_store_says_so_of_credentials_that_another_worker_used(self, outage: Outage) -> None:
        """The worker trusts the store, although it never logged in itself."""
        login = Login(outage.clock)
        await outage.provider(Login(outage.clock)).get_token()
        provider = outage.provider(login)
        await provider.get_token()
        outage.store.leave()
        outage.clock.now += HOUR
        assert (await outage.ask(provider)).reveal() == "at-first-password-1"
        assert login.attempts == 1

    async def test_each_outage_finds_the_latest_token(self, outage: Outage) -> None:
        """The worker does not use a refused or dead token of an earlier outage."""
        login = Login(outage.clock)
        provider = await outage.proven(login)
        for attempts in (2, 4, 6):
            outage.clock.now += HOUR
            alone = await outage.ask(provider)
            assert login.attempts == attempts
            outage.store.come_back()
            outage.clock.now += 31
            fleets = await outage.ask(provider, rejected=alone)
            assert fleets.generation > alone.generation
            assert login.attempts == attempts + 1
            outage.store.leave()

    async def test_a_token_that_enkash_refuses_is_replaced_once(self, outage: Outage) -> None:
        """One attempt per process and outage; the next outage allows another."""
        login = Login(outage.clock)
        provider = await outage.proven(login)
        token = await provider.get_token()
        new = await outage.ask(provider, rejected=token)
        assert new.generation > token.generation
        assert await outage.ask(provider, rejected=token) is new
        for rejected in (new, None):
            assert "the one login" in str(await outage.failure(provider, rejected=rejected))
        assert login.attempts == 2
        outage.store.come_back()
        assert (await outage.ask(provider, rejected=new)).generation > new.generation
        outage.store.leave()
        outage.clock.now += HOUR
        await outage.ask(provider)
        assert login.attempts == 4

    async def test_a_late_refusal_of_the_old_token_leaves_the_new_one_alone(self, outage: Outage) -> None:
        """The token that was fetched without the store has a higher number."""
        login = Login(outage.clock)
        provider = await outage.proven(login)
        old = await provider.get_token()
        outage.clock.now += HOUR
        new = await outage.ask(provider)
        assert await outage.ask(provider, rejected=old) is new
        assert login.attempts == 2

    @pytest.mark.parametrize("policy", TRUSTING)
    async def test_a_refusal_ends_the_trust(self, outage: Outage, policy: OnStoreDown) -> None:
        """The worker does not repeat a login with a changed password while the store is away."""
        login = Login(outage.clock, HOUR, refused())
        provider = await outage.proven(login, policy)
        outage.clock.now += HOUR
        assert isinstance(await outage.failure(provider), CredentialsRejectedError)
        for _ in range(3):
            outage.clock.now += HOUR
            assert isinstance(await outage.failure(provider), (StoreUnavailableError, LoginGuardError))
        assert login.attempts == 2

    async def test_a_transient_failure_is_followed_by_a_pause(self, outage: Outage) -> None:
        """The policy `login` waits for `retry_after` without the store, as it does with one."""
        login = Login(outage.clock, HOUR, transient(retry_after=100))
        provider = await outage.proven(login, "login")
        outage.clock.now += HOUR
        assert isinstance(await outage.failure(provider), TokenEndpointError)
        for _ in range(8):
            outage.clock.now += 10
            failure = await outage.failure(provider)
            assert isinstance(failure, TokenEndpointError)
            assert not failure.counted
        assert login.attempts == 2
        outage.clock.now += 20
        await outage.ask(provider)
        assert login.attempts == 3

    async def test_a_failure_uses_up_the_one_login(self, outage: Outage) -> None:
        """Also one that EnKash did not count."""
        login = Login(outage.clock, HOUR, transient())
        provider = await outage.proven(login)
        outage.clock.now += HOUR
        assert isinstance(await outage.failure(provider), TokenEndpointError)
        for _ in range(3):
            outage.clock.now += 60
            assert isinstance(await outage.failure(provider), StoreUnavailableError)
        assert login.attempts == 2

    async def test_an_attempt_under_way_elsewhere_forbids_it(self, outage: Outage) -> None:
        """When the record was last read, another process held the lease; it may be wrong once more already."""
        login = Login(outage.clock)
        provider = outage.provider(login)
        await provider.get_token()
        other = Who("client", "first password", "another worker", ())
        await tell(outage.store, Claim("a", other, LEASE, 0.5, above=2**50))
        await provider.look()
        outage.store.leave()
        outage.clock.now += HOUR
        assert isinstance(await outage.failure(provider), StoreUnavailableError)
        assert login.attempts == 1


class TestUnproven:
    """The worker has no usable token and credentials of which nothing is known."""

    @pytest.mark.parametrize("policy", ["serve", "login_if_proven"])
    async def test_they_are_not_tried(self, outage: Outage, policy: OnStoreDown) -> None:
        """The worker makes no login, because a fleet of workers would lock the account."""
        login = Login(outage.clock)
        provider = outage.provider(login, policy)
        outage.store.leave()
        failures = {str(await outage.failure(provider)) for _ in range(20)}
        assert len(failures) == 1
        assert "nobody answers at store.example; no token is in hand" in failures.pop()
        assert login.attempts == 0

    async def test_a_token_that_other_credentials_brought_proves_nothing(self, outage: Outage) -> None:
        """The worker uses it and makes no login at its end."""
        login = Login(outage.clock, fingerprint="corrected password")
        await outage.provider(Login(outage.clock)).get_token()
        provider = outage.provider(login)
        token = await provider.get_token()
        outage.store.leave()
        outage.clock.now += HOUR - HOLD - 1
        assert await provider.get_token() is token
        outage.clock.now += 1
        assert isinstance(await outage.failure(provider), StoreUnavailableError)
        assert login.attempts == 0

    async def test_a_token_that_enkash_refuses_is_gone(self, outage: Outage) -> None:
        """Callers get an error in place of a token that is known to be worthless."""
        await outage.provider(Login(outage.clock)).get_token()
        login = Login(outage.clock, fingerprint="corrected password")
        provider = outage.provider(login)
        token = await provider.get_token()
        outage.store.leave()
        for rejected in (token, None, token):
            assert isinstance(await outage.failure(provider, rejected=rejected), StoreUnavailableError)
        assert login.attempts == 0

    async def test_login_tries_them(self, outage: Outage) -> None:
        """The policy `login` is for one worker, or for a password that is known to be right."""
        login = Login(outage.clock)
        provider = outage.provider(login, "login")
        outage.store.leave()
        token = await outage.ask(provider)
        assert await provider.get_token() is token
        assert login.attempts == 1

    async def test_login_keeps_to_the_budget(self, outage: Outage) -> None:
        """The worker makes two attempts at most that EnKash may have counted."""
        login = Login(outage.clock, ambiguous(), ambiguous())
        provider = outage.provider(login, "login")
        outage.store.leave()
        for _ in range(2):
            assert isinstance(await outage.failure(provider), TokenEndpointError)
            outage.clock.now += 60
        assert await outage.guard(provider) == "budget"
        assert login.attempts == 2

    async def test_login_counts_a_refusal_that_the_store_did_not_hear_of(self, outage: Outage) -> None:
        """The guard of the process knows of it, and the fleet's when the store is back."""
        login = Login(outage.clock, refused(), refused())
        provider = outage.provider(login, "login")
        login.gated = True
        call = asyncio.create_task(provider.get_token())
        await settle()
        outage.store.leave()
        await login.release()
        with pytest.raises(CredentialsRejectedError):
            await call
        for _ in range(3):
            outage.clock.now += HOUR
            assert isinstance(await outage.failure(provider), (LoginGuardError, StoreUnavailableError))
        outage.store.come_back()
        outage.clock.now += 2
        assert await outage.guard(provider) == "rejected"
        assert login.attempts == 1

    @pytest.mark.parametrize(("failure", "reason"), [(refused, "rejected"), (locked, "locked")])
    async def test_login_keeps_to_the_bars(self, outage: Outage, failure: type[TokenError], reason: str) -> None:
        """The worker makes no second attempt with refused credentials."""
        login = Login(outage.clock, failure())
        provider = outage.provider(login, "login")
        outage.store.leave()
        assert isinstance(await outage.failure(provider), CredentialsRejectedError)
        for _ in range(3):
            outage.clock.now += HOUR
            assert await outage.guard(provider) == reason
        assert login.attempts == 1


class TestBarred:
    """The store has barred the credentials."""

    @pytest.mark.parametrize("policy", POLICIES)
    @pytest.mark.parametrize(
        ("script", "reason"),
        [((refused(),), "rejected"), ((locked(),), "locked"), ((ambiguous(), ambiguous()), "budget")],
    )
    async def test_they_are_not_tried_without_it(
        self, outage: Outage, policy: OnStoreDown, script: tuple[TokenError, ...], reason: str
    ) -> None:
        """The store's last answer holds for as long as it is away."""
        login = Login(outage.clock, *script)
        provider = outage.provider(login, policy)
        for _ in script:
            await outage.failure(provider)
            outage.clock.now += 60
        assert await outage.guard(provider) == reason
        outage.store.leave()
        for _ in range(3):
            outage.clock.now += HOUR
            assert isinstance(await outage.failure(provider), (LoginGuardError, StoreUnavailableError))
        assert login.attempts == len(script)

    @pytest.mark.parametrize("policy", POLICIES)
    async def test_the_refusal_itself_is_enough(self, outage: Outage, policy: OnStoreDown) -> None:
        """The worker obeys EnKash's refusal, although the store went away before it was asked again."""
        login = Login(outage.clock, refused())
        provider = outage.provider(login, policy)
        assert isinstance(await outage.failure(provider), CredentialsRejectedError)
        outage.store.leave()
        for _ in range(3):
            outage.clock.now += HOUR
            assert isinstance(await outage.failure(provider), (LoginGuardError, StoreUnavailableError))
        assert login.attempts == 1

    async def test_a_token_of_a_corrected_password_does_not_unbar_the_wrong_one(self, outage: Outage) -> None:
        """A third worker with the old password does not try it because others use the new one's token."""
        stale = Login(outage.clock)
        third = await outage.proven(stale)
        outage.store.come_back()
        outage.clock.now += HOUR
        await outage.failure(outage.provider(Login(outage.clock, refused())))
        await outage.provider(Login(outage.clock, fingerprint="corrected password")).get_token()
        assert (await outage.ask(third)).reveal() == "at-corrected-password-1"
        outage.store.leave()
        outage.clock.now += HOUR
        assert isinstance(await outage.failure(third), (LoginGuardError, StoreUnavailableError))
        assert stale.attempts == 1


class TestTheEnd:
    """The provider is closed while the store is away."""

    async def _close(self, outage: Outage, provider: StoreTokenProvider, *calls: asyncio.Task[Token]) -> None:
        await provider.aclose()
        for failure in await asyncio.gather(*calls, return_exceptions=True):
            assert type(failure) is TokenError
            assert "closed" in str(failure)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    async def test_during_a_login_without_the_store(self, outage: Outage) -> None:
        """Every waiting caller gets an error when the provider closes during the login."""
        login = Login(outage.clock, HOUR)
        provider = await outage.proven(login)
        login.gated = True
        outage.clock.now += HOUR
        calls = [asyncio.create_task(provider.get_token()) for _ in range(5)]
        await outage.clock.advance(3)
        assert login.attempts == 2
        await self._close(outage, provider, *calls)

    async def test_during_a_login_whose_store_has_gone(self, outage: Outage) -> None:
        """The lease runs out, the next worker charges the attempt, and one more is allowed."""
        login = Login(outage.clock, gated=True)
        provider = outage.provider(login)
        call = asyncio.create_task(provider.get_token())
        await settle()
        outage.store.leave()
        await self._close(outage, provider, call)
        outage.store.come_back()
        outage.clock.now += LEASE + 61
        other = outage.provider(Login(outage.clock, ambiguous()))
        assert isinstance(await outage.failure(other), TokenEndpointError)
        outage.clock.now += 60
        assert await outage.guard(other) == "budget"


class _VaultError(StoreUnavailableError):
    """A failure of the source's own store."""


async def test_a_source_that_speaks_of_a_store_has_made_its_attempt(outage: Outage) -> None:
    """The provider does not take it for its own store's error and makes no second login."""
    login = Login(outage.clock, HOUR, _VaultError("the vault is sealed"))
    provider = outage.provider(login)
    await provider.get_token()
    outage.clock.now += HOUR
    assert type(await outage.failure(provider)) is _VaultError
    assert login.attempts == 2


@pytest.mark.parametrize("lifetime", [0.2, 4.0])
async def test_a_login_that_outlasts_its_token_is_not_made_over_and_over(outage: Outage, lifetime: float) -> None:
    """Callers get an error and no dead token, and the next attempt waits for its pause."""

    class Slow(Login):
        async def fetch_token(self) -> Token:
            token = await super().fetch_token()
            outage.clock.now += 5
            return token

    login = Slow(outage.clock, lifetime=lifetime)
    provider = outage.provider(login, chance=0.5)
    assert isinstance(await outage.failure(provider), TokenEndpointError)
    assert login.attempts <= 3
