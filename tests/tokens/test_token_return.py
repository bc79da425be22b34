"""When the store is back: it hears of tokens, of failures and of refusals that it has missed, before it is asked."""

from __future__ import annotations

import asyncio

import pytest
from tokens.doubles import Clock, Login, account_in, ambiguous, locked, refused, settle, until
from tokens.outages import HOUR, OFFER_PAUSE, Outage

from enkash_async.errors import (
    CredentialsRejectedError,
    LoginGuardError,
    StoreUnavailableError,
    TokenEndpointError,
    TokenError,
)
from enkash_async.stores import MemoryStore
from enkash_async.tokens import StoreTokenProvider, Token

pytestmark = pytest.mark.usefixtures("silent_asyncio")


async def alone(outage: Outage, login: Login) -> tuple[StoreTokenProvider, Token]:
    """Return a provider with a token that it fetched without the store."""
    provider = await outage.proven(login)
    outage.clock.now += HOUR
    return provider, await outage.ask(provider)


async def test_a_token_that_was_fetched_alone_is_the_fleets_within_a_second(outage: Outage) -> None:
    """Callers do not wait for it, and other processes make no login."""
    login, other = Login(outage.clock), Login(outage.clock)
    provider, token = await alone(outage, login)
    outage.store.come_back()
    outage.clock.now += OFFER_PAUSE
    assert [await provider.get_token() for _ in range(20)] == [token] * 20
    await settle()
    shared = await outage.provider(other).get_token()
    assert shared.reveal() == token.reveal()
    assert shared.remaining(outage.clock()) == pytest.approx(token.remaining(outage.clock()))
    assert (login.attempts, other.attempts) == (2, 0)


async def test_the_first_worker_has_the_fleets_token(outage: Outage) -> None:
    """Two workers fetched one each; the slower one takes the other's without a login."""
    logins = [Login(outage.clock), Login(outage.clock)]
    providers = [outage.provider(login) for login in logins]
    for provider in providers:
        await provider.get_token()
    outage.store.leave()
    outage.clock.now += HOUR
    for provider in providers:
        await outage.ask(provider)
    outage.store.come_back()
    for provider in providers:
        outage.clock.now += OFFER_PAUSE
        await outage.ask(provider)
    tokens = {(await provider.get_token()).reveal() for provider in providers}
    assert tokens == {"at-first-password-2"}
    assert [login.attempts for login in logins] == [2, 1]


async def test_a_refused_token_is_not_offered(outage: Outage) -> None:
    """Its login is reported without it."""
    login, other = Login(outage.clock), Login(outage.clock)
    provider, token = await alone(outage, login)
    outage.store.come_back()
    newer = await outage.ask(provider, rejected=token)
    assert newer.reveal() != token.reveal()
    assert (await outage.provider(other).get_token()).reveal() == newer.reveal()
    assert (login.attempts, other.attempts) == (3, 0)


async def test_a_refusal_of_a_token_is_told_before_the_store_is_asked(outage: Outage) -> None:
    """The store would return the refused token once more."""
    login = Login(outage.clock)
    provider = outage.provider(login, "serve")
    token = await provider.get_token()
    outage.store.leave()
    assert isinstance(await outage.failure(provider, rejected=token), StoreUnavailableError)
    outage.store.come_back()
    assert (await outage.ask(provider)).generation > token.generation
    assert login.attempts == 2


@pytest.mark.parametrize(("failure", "state"), [(refused, "refused"), (locked, "refused")])
async def test_a_failed_login_is_charged_for_the_fleet(outage: Outage, failure: type[TokenError], state: str) -> None:
    """A process that logged in alone reports what EnKash answered, once."""
    login = Login(outage.clock, HOUR, failure())
    provider = await outage.proven(login)
    outage.clock.now += HOUR
    await outage.failure(provider)
    assert (await account_in(outage.store.inner)).attempts == ()
    outage.store.come_back()
    outage.clock.now += 2
    for _ in range(2):
        await outage.failure(provider)
    assert [attempt.state for attempt in (await account_in(outage.store)).attempts] == [state]
    assert login.attempts == 2


async def test_logins_without_the_store_close_the_fleets_guard(outage: Outage) -> None:
    """Two lost answers alone: no password is tried any more, not even the right one."""
    login, right = Login(outage.clock, ambiguous(), ambiguous()), Login(outage.clock, fingerprint="right password")
    provider = outage.provider(login, "login")
    outage.store.leave()
    for _ in range(2):
        await outage.failure(provider)
        outage.clock.now += 61
    outage.store.come_back()
    for each in (provider, outage.provider(right)):
        assert await outage.guard(each) == "budget"
    assert (login.attempts, right.attempts) == (2, 0)


async def test_a_login_that_was_allowed_and_never_made_is_not_charged(outage: Outage) -> None:
    """The store carried out the begin, and its answer was lost."""
    login = Login(outage.clock)
    provider = outage.provider(login)
    outage.store.deaf = {"swap"}
    outage.store.problem = StoreUnavailableError("the answer was lost")
    swap = outage.store.swap

    async def once(changes: object) -> object:
        try:
            return await swap(changes)  # type: ignore[arg-type]
        finally:
            outage.store.leave()

    outage.store.swap = once  # type: ignore[method-assign, assignment]
    assert isinstance(await outage.failure(provider), StoreUnavailableError)
    assert [attempt.state for attempt in (await account_in(outage.store.inner)).attempts] == ["open"]
    outage.store.swap = swap  # type: ignore[method-assign]
    outage.store.come_back()
    await outage.ask(provider)
    assert (await account_in(outage.store)).attempts == ()
    assert login.attempts == 1


async def test_a_401_during_a_renewal_whose_store_dies_comes_to_an_end(outage: Outage) -> None:
    """The caller gets a token or an error, and nobody spins."""
    login = Login(outage.clock)
    provider = outage.provider(login)
    old = await provider.get_token()
    login.gated = True
    outage.clock.now += HOUR - 700
    await provider.get_token()
    await settle()
    outage.store.leave()
    await login.release()
    new = await outage.ask(provider, rejected=old)
    assert new.generation > old.generation
    assert isinstance(await outage.failure(provider, rejected=new), StoreUnavailableError)
    assert outage.store.tries < 20
    assert login.attempts == 2


async def test_a_reset_is_heard_by_the_store_or_not_at_all(outage: Outage) -> None:
    """It comes after what the store has missed, and grants one attempt."""
    login = Login(outage.clock, refused())
    provider = outage.provider(login, "login")
    outage.store.leave()
    assert isinstance(await outage.failure(provider), CredentialsRejectedError)
    with pytest.raises(StoreUnavailableError):
        await provider.reset_guard()
    outage.store.come_back()
    outage.clock.now += 2
    await provider.reset_guard()
    await outage.ask(provider)
    assert login.attempts == 2
    assert (await account_in(outage.store)).attempts == ()


async def test_credentials_with_a_token_in_hand_stay_proven_in_a_store_that_was_emptied(clock: Clock) -> None:
    """Two processes that end during a login of these credentials hold the next one up for ten minutes at most."""
    store = MemoryStore(clock=clock)
    login = Login(clock)
    providers = [StoreTokenProvider(login, store, clock=clock, sleep=clock.sleep) for _ in range(2)]
    for provider in providers:
        await provider.get_token()
    store._held.clear()
    login.gated = True
    for provider in providers:
        clock.now += HOUR
        await end_during_a_login(provider, login)
    account = await account_in(store)
    assert ([attempt.state for attempt in account.attempts], account.fingerprints[0].proven) == (["unknown"] * 2, True)
    fresh = StoreTokenProvider(Login(clock), store, clock=clock, sleep=clock.sleep)
    with pytest.raises(TokenEndpointError) as caught:
        await fresh.get_token()
    assert caught.value.retry_after == pytest.approx(600)
    clock.now += 600
    assert (await fresh.get_token()).reveal()


async def test_credentials_without_a_token_in_hand_prove_nothing(clock: Clock) -> None:
    """After two logins that were cut off, the guard is closed until an operator resets it."""
    store, login = MemoryStore(clock=clock), Login(clock, gated=True)
    for _ in range(2):
        await end_during_a_login(StoreTokenProvider(login, store, clock=clock, sleep=clock.sleep), login)
        clock.now += HOUR
    with pytest.raises(LoginGuardError) as caught:
        await StoreTokenProvider(login, store, clock=clock, sleep=clock.sleep).get_token()
    assert caught.value.reason == "budget"


async def end_during_a_login(provider: StoreTokenProvider, login: Login) -> None:
    """Close a provider while its login has no answer."""
    before = login.attempts
    call = asyncio.create_task(provider.get_token())
    await until(lambda: login.attempts > before)
    await provider.aclose()
    with pytest.raises(TokenError, match="closed"):
        await call


async def test_a_login_that_ends_while_its_provider_closes_is_the_fleets(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closing waits for it, so nothing stays charged and the next process makes no login."""
    monkeypatch.setattr("enkash_async.tokens._provider._GRACE", 10.0)
    store, login, other = MemoryStore(clock=clock), Login(clock, gated=True), Login(clock)
    provider = StoreTokenProvider(login, store, clock=clock, sleep=clock.sleep)
    call = asyncio.create_task(provider.get_token())
    await until(lambda: login.attempts == 1)
    closing = asyncio.create_task(provider.aclose())
    await login.release()
    await closing
    with pytest.raises(TokenError, match="closed"):
        await call
    assert (await account_in(store)).attempts == ()
    await StoreTokenProvider(other, store, clock=clock, sleep=clock.sleep).get_token()
    assert other.attempts == 0
