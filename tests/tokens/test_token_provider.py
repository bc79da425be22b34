"""The life of a token in one process: when callers get which token, and when somebody logs in."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import math
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from tokens.doubles import (
    KEY,
    Clock,
    Login,
    SpyStore,
    account_in,
    ambiguous,
    locked,
    refused,
    settle,
    transient,
    unclear,
    unreadable,
    unsent,
    until,
)

from enkash_async._support.clock import instant
from enkash_async.errors import (
    ConfigurationError,
    CredentialsRejectedError,
    LoginGuardError,
    StoreError,
    StoreUnavailableError,
    TokenEndpointError,
    TokenError,
    TokenReplyError,
)
from enkash_async.stores import Cell, Change, MemoryStore, SQLiteStore, Store
from enkash_async.tokens import InMemoryTokenProvider, StoreTokenProvider, Token
from enkash_async.tokens._account import lease_for

pytestmark = pytest.mark.usefixtures("silent_asyncio")

# An hour's token is held back for 30 s, waited for in its last 60 s, and renewed in its last 720 s.
HOUR, HOLD, WAIT, AHEAD = 3600.0, 30.0, 60.0, 720.0


LEASE = lease_for(15.0)


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, clock: Clock, tmp_path: Path) -> AsyncIterator[SpyStore]:
    """The store in memory and the one in a file, with the test's clock."""
    inner: Store = MemoryStore(clock=clock)
    if request.param == "sqlite":
        inner = SQLiteStore(tmp_path / "store", clock=clock, boot=lambda: "a boot", wall=clock)
    yield (made := SpyStore(inner))
    await made.aclose()


def provider_of(
    login: Login, store: Store, clock: Clock, *, share: float = 0.0, login_timeout: float = 15.0
) -> StoreTokenProvider:
    return StoreTokenProvider(
        login, store, clock=clock, sleep=clock.sleep, random=lambda: share, login_timeout=login_timeout
    )


@pytest.fixture
def long_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("enkash_async.tokens._provider._PATIENCE", 60.0)


def login_of(token: Token) -> int:
    """Return which login of its source brought a token."""
    return int(token.reveal().rpartition("-")[2])


def calls_of(provider: StoreTokenProvider, number: int, rejected: Token | None = None) -> list[asyncio.Task[Token]]:
    return [asyncio.create_task(provider.get_token(rejected=rejected)) for _ in range(number)]


async def failure_of(call: Coroutine[Any, Any, Token]) -> TokenError:
    with pytest.raises(TokenError) as caught:
        await call
    return caught.value


async def guard_of(provider: StoreTokenProvider, rejected: Token | None = None) -> str:
    """Return the reason for which the guard is closed."""
    failure = await failure_of(provider.get_token(rejected=rejected))
    assert isinstance(failure, LoginGuardError)
    return failure.reason


# --- the first token --------------------------------------------------------------------------------------------------


async def test_fifty_cold_callers_share_one_login(clock: Clock, store: SpyStore) -> None:
    """Fifty callers without a token get the same one."""
    login = Login(clock, gated=True)
    provider = provider_of(login, store, clock)
    calls = calls_of(provider, 50)
    await login.release()
    tokens = await asyncio.gather(*calls)
    assert login.attempts == 1
    assert {id(token) for token in tokens} == {id(tokens[0])}
    assert tokens[0].reveal() == "at-first-password-1"


async def test_a_token_is_numbered_and_keeps_its_instant(clock: Clock, store: SpyStore) -> None:
    """The token's age counts from before the login, however long that took."""
    login = Login(clock, gated=True)
    provider = provider_of(login, store, clock)
    call = asyncio.create_task(provider.get_token())
    await settle()
    clock.now += 5
    await login.release()
    token = await call
    assert token.generation >= 1
    assert token.remaining(clock()) == HOUR - 5


async def test_the_in_memory_provider_needs_a_source_only() -> None:
    """The defaults are one process and the real clock."""
    login = Login(instant)
    provider = InMemoryTokenProvider(login)
    assert (await provider.get_token()) is (await provider.get_token())
    assert login.attempts == 1
    await provider.aclose()


async def test_the_in_memory_provider_takes_a_clock(clock: Clock) -> None:
    """Provider and store use the same clock."""
    login = Login(clock)
    provider = InMemoryTokenProvider(login, clock=clock)
    first = await provider.get_token()
    clock.now += HOUR
    assert (await provider.get_token()).generation > first.generation
    assert login.attempts == 2


async def test_a_source_is_a_source(clock: Clock, store: SpyStore) -> None:
    """The constructor refuses credentials in place of a source at once."""
    with pytest.raises(ConfigurationError, match="TokenSource"):
        StoreTokenProvider("not a source", store, clock=clock)  # type: ignore[arg-type]


# --- fresh, ahead, wait, dead -----------------------------------------------------------------------------------------


async def test_a_fresh_token_is_returned_without_asking_anybody(clock: Clock, store: SpyStore) -> None:
    """The provider returns the same object and asks neither store nor source."""
    login = Login(clock)
    provider = provider_of(login, store, clock)
    token = await provider.get_token()
    asked = len(store.calls)
    clock.now += HOUR - AHEAD - 0.1
    assert all([await provider.get_token() is token for _ in range(100)])
    await settle()
    assert len(store.calls) == asked
    assert login.attempts == 1


async def test_a_fresh_token_is_returned_without_a_suspension(clock: Clock, store: SpyStore) -> None:
    """The caller's coroutine ends in its first step."""
    provider = provider_of(Login(clock), store, clock)
    token = await provider.get_token()
    with pytest.raises(StopIteration) as returned:
        provider.get_token().send(None)
    assert returned.value.value is token


async def test_a_renewal_goes_on_beside_the_work(clock: Clock, store: SpyStore) -> None:
    """From 720 s before the end, callers get the old token at once and, after one login, the new one."""
    login = Login(clock)
    provider = provider_of(login, store, clock)
    old = await provider.get_token()
    login.gated = True
    clock.now += HOUR - AHEAD
    for call in calls_of(provider, 50):
        assert await call is old
    await settle()
    assert await provider.get_token() is old
    assert provider.state().refreshing
    await login.release()
    await until(lambda: not provider.state().refreshing)
    new = await provider.get_token()
    assert new.generation > old.generation
    assert login.attempts == 2
    assert not provider.state().refreshing


async def test_processes_renew_apart(clock: Clock, store: SpyStore) -> None:
    """A process with a larger share begins later, by up to a quarter of the time between the windows."""
    login = Login(clock)
    provider = provider_of(login, store, clock, share=0.8)
    await provider.get_token()
    begin = AHEAD - 0.8 * 0.25 * (AHEAD - WAIT)
    clock.now += HOUR - begin - 0.1
    await provider.get_token()
    await settle()
    assert login.attempts == 1
    clock.now += 0.1
    await provider.get_token()
    await settle()
    assert login.attempts == 2


@pytest.mark.usefixtures("long_patience")
async def test_late_callers_wait_for_the_new_token(clock: Clock, store: SpyStore) -> None:
    """From 60 s before the end, callers wait for a login that is quick."""
    login = Login(clock)
    provider = provider_of(login, store, clock)
    old = await provider.get_token()
    login.gated = True
    clock.now += HOUR - WAIT
    calls = calls_of(provider, 20)
    await settle()
    assert not any(call.done() for call in calls)
    await login.release()
    tokens = await asyncio.gather(*calls)
    assert {login_of(token) for token in tokens} == {login_of(old) + 1}
    assert login.attempts == 2


async def test_late_callers_fall_back_to_the_old_token(clock: Clock, store: SpyStore) -> None:
    """A caller gets the old token when the login outlasts its patience, and the login goes on."""
    login = Login(clock)
    provider = provider_of(login, store, clock)
    old = await provider.get_token()
    login.gated = True
    clock.now += HOUR - WAIT
    assert await asyncio.gather(*calls_of(provider, 20)) == [old] * 20
    await login.release()
    assert (await provider.get_token()).generation > old.generation
    assert login.attempts == 2


@pytest.mark.usefixtures("long_patience")
async def test_nobody_waits_beyond_the_end_of_the_old_token(clock: Clock, store: SpyStore) -> None:
    """A caller waits for 20 ms when the old token has no more left."""
    login = Login(clock)
    provider = provider_of(login, store, clock)
    old = await provider.get_token()
    login.gated = True
    clock.now += HOUR - HOLD - 0.02
    async with asyncio.timeout(5):
        assert await provider.get_token() is old
    await provider.aclose()


async def test_a_caller_whose_token_dies_meanwhile_waits_on(clock: Clock, store: SpyStore) -> None:
    """The caller waits for the new token, because the old one is dead by then."""
    login = Login(clock)
    provider = provider_of(login, store, clock)
    old = await provider.get_token()
    login.gated = True
    clock.now += HOUR - WAIT
    call = asyncio.create_task(provider.get_token())
    await settle()
    clock.now += WAIT - HOLD
    await asyncio.sleep(0.05)
    assert not call.done()
    await login.release()
    assert (await call).generation > old.generation
    assert login.attempts == 2


@pytest.mark.parametrize("left", [HOLD, 1.0, 0.0, -1e6])
async def test_a_token_at_its_end_is_not_handed_out(clock: Clock, store: SpyStore, left: float) -> None:
    """The token is held back, because it could be dead when the request arrives."""
    login = Login(clock)
    provider = provider_of(login, store, clock)
    old = await provider.get_token()
    login.gated = True
    clock.now += HOUR - left
    calls = calls_of(provider, 50)
    await asyncio.sleep(0.05)
    assert not any(call.done() for call in calls)
    await login.release()
    assert {login_of(token) for token in await asyncio.gather(*calls)} == {login_of(old) + 1}
    assert login.attempts == 2


async def test_four_second_tokens_are_never_handed_out_dead(clock: Clock, store: SpyStore) -> None:
    """A minute of asking ten times a second costs one login per lifetime."""
    login = Login(clock, lifetime=4.0)
    provider = provider_of(login, store, clock)
    for _ in range(600):
        assert (await provider.get_token()).remaining(clock()) > 0.4
        await clock.advance(0.1)
    assert login.attempts <= 60 / 2 + 1


@pytest.mark.parametrize(
    ("said", "used"), [(0.0, 60.0), (-5.0, 60.0), (math.nan, 60.0), (math.inf, 60.0), (1e12, 604_800.0)]
)
async def test_an_odd_lifetime_is_replaced_and_mentioned_once(
    clock: Clock, store: SpyStore, caplog: pytest.LogCaptureFixture, said: float, used: float
) -> None:
    """The log has one line for all logins."""
    login = Login(clock, lifetime=said)
    provider = provider_of(login, store, clock)
    token = await provider.get_token()
    assert token.expires_in == used
    clock.now += used
    await provider.get_token()
    assert login.attempts == 2
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "lifetime" in warnings[0]
    assert f"{used:g}" in warnings[0]


# --- a renewal that fails while the old token lives -------------------------------------------------------------------


@pytest.mark.parametrize("failure", [transient, ambiguous, refused, locked, unreadable])
async def test_callers_keep_a_living_token_when_the_renewal_fails(
    clock: Clock, store: SpyStore, failure: type[TokenError]
) -> None:
    """Callers see no failure of any kind until the token is held back."""
    login = Login(clock, HOUR, failure())
    provider = provider_of(login, store, clock)
    old = await provider.get_token()
    clock.now += HOUR - AHEAD
    assert await provider.get_token() is old
    await settle()
    assert await asyncio.gather(*calls_of(provider, 20)) == [old] * 20
    await settle()
    assert login.attempts == 2
    assert provider.state().failures >= 1


async def test_a_failed_renewal_is_tried_again_after_its_pause(clock: Clock, store: SpyStore) -> None:
    """During the pause the source is not asked, and the store once a second, in case an operator ended it."""
    login = Login(clock, HOUR, transient(retry_after=100))
    provider = provider_of(login, store, clock)
    old = await provider.get_token()
    clock.now += HOUR - AHEAD
    await provider.get_token()
    await settle()
    store.calls.clear()
    for passed, asked in ((0.9, []), (98.9, ["read"])):
        clock.now += passed
        assert await provider.get_token() is old
        await settle()
        assert store.calls == asked
    assert login.attempts == 2
    clock.now += 0.3
    assert await provider.get_token() is old
    await settle()
    assert (await provider.get_token()).generation > old.generation


@pytest.mark.usefixtures("long_patience")
async def test_late_callers_do_not_wait_during_a_pause(clock: Clock, store: SpyStore) -> None:
    """Callers get the old token at once, because no login is in flight."""
    login = Login(clock, HOUR, transient(retry_after=300))
    provider = provider_of(login, store, clock)
    old = await provider.get_token()
    clock.now += HOUR - WAIT - 0.2
    await provider.get_token()
    await settle()
    clock.now += 0.5
    async with asyncio.timeout(5):
        assert await provider.get_token() is old


async def test_after_a_failed_renewal_the_end_of_the_token_is_felt(clock: Clock, store: SpyStore) -> None:
    """Callers get the renewal's error once the old token is held back."""
    login = Login(clock, HOUR, refused())
    provider = provider_of(login, store, clock)
    await provider.get_token()
    clock.now += HOUR - AHEAD
    await provider.get_token()
    await settle()
    clock.now += AHEAD - HOLD
    assert await guard_of(provider) == "rejected"
    assert login.attempts == 2


# --- a failure with nothing to fall back to ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (refused, CredentialsRejectedError),
        (locked, CredentialsRejectedError),
        (transient, TokenEndpointError),
        (ambiguous, TokenEndpointError),
        (unreadable, TokenReplyError),
    ],
)
async def test_fifty_callers_share_one_failure(
    clock: Clock, store: SpyStore, failure: type[TokenError], kind: type[TokenError]
) -> None:
    """Each caller gets its own copy of the exception, because each adds a traceback to it."""
    login = Login(clock, failure(), gated=True)
    provider = provider_of(login, store, clock)
    calls = calls_of(provider, 50)
    await login.release()
    failures = await asyncio.gather(*calls, return_exceptions=True)
    assert login.attempts == 1
    assert {type(each) for each in failures} == {kind}
    assert len({id(each) for each in failures}) == 50
    assert len({str(each) for each in failures}) == 1
    told = [vars(each) for each in failures if isinstance(each, TokenError)]
    assert told == [told[0]] * 50


@pytest.mark.parametrize(("failure", "reason"), [(refused, "rejected"), (locked, "locked")])
async def test_after_a_refusal_nobody_tries_again(
    clock: Clock, store: SpyStore, failure: Callable[[], TokenError], reason: str
) -> None:
    """Neither this provider nor another one on the store makes a login, now or later."""
    login, again = Login(clock, failure()), Login(clock)
    provider, other = provider_of(login, store, clock), provider_of(again, store, clock)
    await failure_of(provider.get_token())
    for _ in range(3):
        clock.now += 1e6
        assert [await guard_of(provider) for _ in range(10)] == [reason] * 10
        assert await guard_of(other) == reason
    assert login.attempts == 1
    assert again.attempts == 0


@pytest.mark.parametrize("failure", [unclear, unreadable])
async def test_an_unclear_refusal_holds_one_worker_back_for_ten_minutes(
    clock: Clock, store: SpyStore, failure: Callable[[], TokenError]
) -> None:
    """It may be the worker's own address that EnKash refuses; a second worker's refusal is the fleet's."""
    login, again, third = Login(clock, failure()), Login(clock, failure()), Login(clock)
    provider, other = provider_of(login, store, clock), provider_of(again, store, clock)
    await failure_of(provider.get_token())
    clock.now += 61
    assert await guard_of(provider) == "rejected"
    await failure_of(other.get_token())
    for each in (provider, other, provider_of(third, store, clock)):
        assert await guard_of(each) in {"rejected", "budget"}
    clock.now += 1e6
    assert await guard_of(provider) == "rejected"
    assert (login.attempts, again.attempts, third.attempts) == (1, 1, 0)


async def test_concurrent_callers_at_a_closed_guard_each_get_their_own_error(clock: Clock, store: SpyStore) -> None:
    """The provider asks the store once for all callers and not again within a second."""
    provider = provider_of(Login(clock, refused()), store, clock)
    await failure_of(provider.get_token())
    store.calls.clear()
    failures = await asyncio.gather(*calls_of(provider, 50), return_exceptions=True)
    failures += [await failure_of(provider.get_token()) for _ in range(50)]
    assert {type(failure) for failure in failures} == {LoginGuardError}
    assert len({id(failure) for failure in failures}) == 100
    assert store.calls == ["read"]


async def test_a_corrected_password_works_at_once(clock: Clock, store: SpyStore) -> None:
    """The wrong password stays barred, and all callers use the token of the right one."""
    wrong, right = Login(clock, refused()), Login(clock, fingerprint="corrected password")
    before, after = provider_of(wrong, store, clock), provider_of(right, store, clock)
    await failure_of(before.get_token())
    token = await after.get_token()
    clock.now += 2
    assert await before.get_token() == token
    assert (wrong.attempts, right.attempts) == (1, 1)


async def test_wrong_passwords_get_two_attempts_in_all(clock: Clock, store: SpyStore) -> None:
    """All wrong passwords share a budget of two, because EnKash locks at three."""
    logins = [Login(clock, refused(), fingerprint=f"guess {number}") for number in range(8)]
    providers = [provider_of(login, store, clock) for login in logins]
    calls = [asyncio.create_task(provider.get_token()) for provider in providers]
    await clock.advance(1)
    failures = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(login.attempts for login in logins) == 2
    # The callers that waited for the first two logins are answered.
    assert sorted(type(failure).__name__ for failure in failures) == (
        ["CredentialsRejectedError"] * 2 + ["LoginGuardError"] * 6
    )
    for provider in providers:
        clock.now += 60
        assert await guard_of(provider) in {"rejected", "budget"}
    assert sum(login.attempts for login in logins) == 2


async def test_wrong_passwords_get_one_attempt_where_the_right_one_serves(clock: Clock, store: SpyStore) -> None:
    """The last attempt is kept for the proven credentials, whose token lives."""
    await provider_of(Login(clock), store, clock).get_token()
    clock.now += HOUR
    logins = [Login(clock, refused(), fingerprint=f"guess {number}") for number in range(8)]
    for login in logins:
        await failure_of(provider_of(login, store, clock).get_token())
    assert sum(login.attempts for login in logins) == 1
    right = Login(clock)
    assert (await provider_of(right, store, clock).get_token()).remaining(clock()) == HOUR
    assert (await account_in(store)).attempts == ()


async def test_a_locked_account_stops_every_password(clock: Clock, store: SpyStore) -> None:
    """A provider with the right password makes no login while the account is locked."""
    right = Login(clock, fingerprint="right password")
    await failure_of(provider_of(Login(clock, locked()), store, clock).get_token())
    assert await guard_of(provider_of(right, store, clock)) == "locked"
    assert right.attempts == 0


async def test_an_operator_opens_the_guard(clock: Clock, store: SpyStore) -> None:
    """The next call tries the same password at once."""
    login = Login(clock, locked())
    provider = provider_of(login, store, clock)
    await failure_of(provider.get_token())
    assert await guard_of(provider) == "locked"
    await provider.reset_guard()
    assert (await provider.get_token()).generation >= 1
    assert login.attempts == 2


async def test_answers_that_never_come_close_the_guard_as_well(clock: Clock, store: SpyStore) -> None:
    """Both attempts are charged, because EnKash may have counted them."""
    login = Login(clock, ambiguous(), ambiguous())
    provider = provider_of(login, store, clock)
    for _ in range(2):
        failure = await failure_of(provider.get_token())
        assert isinstance(failure, TokenEndpointError)
        assert failure.counted
        clock.now += 60
    assert await guard_of(provider) == "budget"
    assert login.attempts == 2


async def test_a_password_that_worked_is_tried_every_ten_minutes_after_lost_answers(
    clock: Clock, store: SpyStore
) -> None:
    """Two lost answers are charged; from then on the proven password may log in once in ten minutes."""
    login = Login(clock, HOUR, *(ambiguous() for _ in range(4)))
    provider = provider_of(login, store, clock)
    await provider.get_token()
    clock.now += HOUR
    for attempts in (2, 3):
        await failure_of(provider.get_token())
        assert login.attempts == attempts
        clock.now += 31
    for attempts in (4, 5, 6):
        failure = await failure_of(provider.get_token())
        assert isinstance(failure, TokenEndpointError)
        assert failure.retry_after == pytest.approx(569)
        assert login.attempts == attempts - 1
        clock.now += 569
        if attempts < 6:
            await failure_of(provider.get_token())
            clock.now += 31
    await provider.get_token()
    assert login.attempts == 6


async def test_a_transient_failure_is_not_charged(clock: Clock, store: SpyStore) -> None:
    """The budget stays whole, because EnKash did not check the password."""
    login = Login(clock, *(transient() for _ in range(9)))
    provider = provider_of(login, store, clock)
    for _ in range(9):
        await failure_of(provider.get_token())
        clock.now += 60
    await provider.get_token()
    assert login.attempts == 10


async def test_a_failed_login_says_when_the_next_one_is_due(clock: Clock, store: SpyStore) -> None:
    """Later callers are refused at once and get the remaining seconds, and no attempt is made."""
    login = Login(clock, transient(retry_after=20))
    provider = provider_of(login, store, clock)
    failure = await failure_of(provider.get_token())
    assert isinstance(failure, TokenEndpointError)
    assert failure.retry_after == 20
    store.calls.clear()
    # Within a second the store is not asked again; then once, and what it says is believed for as long.
    for passed, left, asked in ((0.9, 19.1, []), (7.1, 12.0, ["read"]), (0.9, 11.1, ["read"])):
        clock.now += passed
        for _ in range(10):
            failure = await failure_of(provider.get_token())
            assert isinstance(failure, TokenEndpointError)
            assert failure.retry_after == pytest.approx(left)
            assert not failure.counted
        assert store.calls == asked
    assert login.attempts == 1
    clock.now += 11.2
    await provider.get_token()
    assert login.attempts == 2


async def test_a_caller_during_a_pause_is_told_what_is_left_of_it(clock: Clock, store: SpyStore) -> None:
    """A caller who comes 12 s into a pause of 20 s is told to come back in 8 s."""
    provider = provider_of(Login(clock, transient(retry_after=20)), store, clock)
    await failure_of(provider.get_token())
    clock.now += 12
    failure = await failure_of(provider.get_token())
    assert isinstance(failure, TokenEndpointError)
    assert failure.retry_after == pytest.approx(8)


async def test_a_pause_holds_for_other_providers_of_the_store(clock: Clock, store: SpyStore) -> None:
    """The other providers learn of the pause from the store and ask again after a second."""
    login = Login(clock)
    await failure_of(provider_of(Login(clock, transient(retry_after=20)), store, clock).get_token())
    provider = provider_of(login, store, clock)
    store.calls.clear()
    for passed, left, asked in ((2.0, 18.0, 1), (0.9, 17.1, 1), (0.2, 16.9, 2), (0.9, 16.0, 2)):
        clock.now += passed
        failure = await failure_of(provider.get_token())
        assert isinstance(failure, TokenEndpointError)
        assert failure.retry_after == pytest.approx(left)
        assert provider.state().cooling == pytest.approx(left)
        assert store.calls == ["read"] * asked
    clock.now += 16.1
    await provider.get_token()
    assert login.attempts == 1


async def test_retry_after_is_kept_up_to_five_minutes(clock: Clock, store: SpyStore) -> None:
    """A gateway cannot stop logins for a day."""
    login = Login(clock, transient(retry_after=86_400))
    provider = provider_of(login, store, clock)
    await failure_of(provider.get_token())
    clock.now += 299
    await failure_of(provider.get_token())
    assert login.attempts == 1
    clock.now += 1.1
    await provider.get_token()
    assert login.attempts == 2


async def test_a_login_that_was_not_sent_costs_nothing_and_is_soon_tried_again(clock: Clock, store: SpyStore) -> None:
    """It is not charged, and callers within the next half second share its failure."""
    login = Login(clock, *(unsent() for _ in range(5)))
    provider = provider_of(login, store, clock, share=0.5)
    for attempts in range(1, 6):
        failure = await failure_of(provider.get_token())
        assert str(failure) == "nobody listens"
        shared = await failure_of(provider.get_token())
        assert isinstance(shared, TokenEndpointError)
        assert (str(shared), shared.reason) == ("nobody listens", "cooldown")
        assert shared.retry_after is not None
        assert 0 < shared.retry_after <= 0.75
        assert login.attempts == attempts
        assert (await account_in(store)).attempts == ()
        clock.now += 0.51
    await provider.get_token()


async def test_a_source_may_ask_for_a_pause_after_a_login_that_was_not_sent(clock: Clock, store: SpyStore) -> None:
    """The process keeps to it, up to five minutes; the account knows of no pause."""
    login = Login(clock, unsent(retry_after=86_400))
    provider = provider_of(login, store, clock)
    await failure_of(provider.get_token())
    clock.now += 299
    await failure_of(provider.get_token())
    assert login.attempts == 1
    clock.now += 1.1
    await provider.get_token()
    assert login.attempts == 2


async def test_an_operator_ends_a_pause(clock: Clock, store: SpyStore) -> None:
    """`reset_guard` ends the cooldown as well as the guard, so the next call logs in."""
    provider = provider_of(Login(clock, transient(retry_after=300)), store, clock)
    await failure_of(provider.get_token())
    assert provider.state().cooling == pytest.approx(300)
    await provider.reset_guard()
    assert provider.state().cooling == 0
    await provider.get_token()


async def test_a_source_that_breaks_counts_as_an_unclear_login(clock: Clock, store: SpyStore) -> None:
    """The attempt is charged, and the source's text, which may hold secrets, is not repeated."""
    login = Login(clock, KeyError("hunter2"), KeyError("hunter2"))
    provider = provider_of(login, store, clock)
    failure = await failure_of(provider.get_token())
    assert isinstance(failure, TokenEndpointError)
    assert failure.counted
    assert "KeyError" in str(failure)
    assert "hunter2" not in str(failure)
    assert failure.__cause__ is failure.__context__ is None
    clock.now += 60
    await failure_of(provider.get_token())
    clock.now += 60
    assert await guard_of(provider) == "budget"


async def test_a_source_may_fail_with_an_error_of_its_own_kind(clock: Clock, store: SpyStore) -> None:
    """The caller gets the user's `TokenError` as it is, and the attempt is charged, since it may have been sent."""

    class VaultSealedError(TokenError):
        pass

    login = Login(clock, VaultSealedError("unseal the vault"))
    provider = provider_of(login, store, clock)
    assert type(await failure_of(provider.get_token())) is VaultSealedError
    assert [attempt.state for attempt in (await account_in(store)).attempts] == ["unknown"]
    assert isinstance(await failure_of(provider.get_token()), TokenEndpointError)
    clock.now += 61
    await provider.get_token()
    assert login.attempts == 2


# --- refused tokens ---------------------------------------------------------------------------------------------------


async def test_fifty_late_refusals_of_one_token_make_one_login(clock: Clock, store: SpyStore) -> None:
    """The store hears of the refusal once, whether the 401s come at once or one by one."""
    login = Login(clock)
    provider = provider_of(login, store, clock)
    revoked = await provider.get_token()
    store.calls.clear()
    tokens = await asyncio.gather(*calls_of(provider, 50, revoked))
    tokens += [await provider.get_token(rejected=revoked) for _ in range(50)]
    assert {login_of(token) for token in tokens} == {2}
    assert login.attempts == 2
    assert store.calls.count("swap") == 3  # the refusal, the begin, the settling


async def test_refusals_during_the_new_login_join_it(clock: Clock, store: SpyStore) -> None:
    """Callers with later 401s get its token, because the login began after the first refusal."""
    login = Login(clock)
    provider = provider_of(login, store, clock)
    revoked = await provider.get_token()
    login.gated = True
    calls = calls_of(provider, 25, revoked)
    await settle()
    calls += calls_of(provider, 25, revoked)
    await settle()
    await login.release()
    assert {login_of(token) for token in await asyncio.gather(*calls)} == {login_of(revoked) + 1}
    assert login.attempts == 2


async def test_a_late_refusal_does_not_throw_the_current_token_away(clock: Clock, store: SpyStore) -> None:
    """A refusal of an older token does not concern the current one."""
    login = Login(clock)
    provider = provider_of(login, store, clock)
    old = await provider.get_token()
    clock.now += HOUR
    current = await provider.get_token()
    asked = len(store.calls)
    assert await provider.get_token(rejected=old) is current
    assert await provider.get_token() is current
    assert (login.attempts, len(store.calls)) == (2, asked)


async def test_a_refused_token_is_not_handed_to_others(clock: Clock, store: SpyStore) -> None:
    """Other callers wait for the new token and do not meet the same 401."""
    login = Login(clock)
    provider = provider_of(login, store, clock)
    revoked = await provider.get_token()
    login.gated = True
    naming = asyncio.create_task(provider.get_token(rejected=revoked))
    await settle()
    others = calls_of(provider, 20)
    await asyncio.sleep(0.05)
    assert not any(call.done() for call in others)
    await login.release()
    assert {login_of(token) for token in await asyncio.gather(naming, *others)} == {login_of(revoked) + 1}


async def test_a_refused_token_stays_away_when_the_new_login_fails(clock: Clock, store: SpyStore) -> None:
    """Callers get an error in place of a token that is known to be worthless."""
    login = Login(clock, HOUR, transient(retry_after=20))
    provider = provider_of(login, store, clock)
    revoked = await provider.get_token()
    assert isinstance(await failure_of(provider.get_token(rejected=revoked)), TokenEndpointError)
    assert isinstance(await failure_of(provider.get_token()), TokenEndpointError)
    assert isinstance(await failure_of(provider.get_token(rejected=revoked)), TokenEndpointError)
    clock.now += 21
    assert (await provider.get_token()).generation > revoked.generation
    assert login.attempts == 3


async def test_a_login_that_began_after_a_refusal_answers_it_for_every_caller(clock: Clock, store: SpyStore) -> None:
    """A second caller's login replaces the token that the first caller saw refused."""
    login = Login(clock, HOUR, transient(retry_after=20))
    provider = provider_of(login, store, clock)
    revoked = await provider.get_token()
    await failure_of(provider.get_token(rejected=revoked))
    clock.now += 21
    login.gated = True
    plain = asyncio.create_task(provider.get_token())
    await settle()
    naming = asyncio.create_task(provider.get_token(rejected=revoked))
    await login.release()
    assert (await plain) is (await naming)
    assert login.attempts == 3


async def test_a_token_that_is_refused_before_it_arrives_is_not_kept(clock: Clock, store: SpyStore) -> None:
    """The provider drops the store's answer when a caller named that token meanwhile."""
    going_on = asyncio.Event()

    class Slow(SpyStore):
        async def read(self, keys: Sequence[str]) -> Mapping[str, Cell]:
            cells = await super().read(keys)
            if self.calls == ["read"]:
                await going_on.wait()
            return cells

    login = Login(clock, transient())
    revoked = await provider_of(Login(clock), store, clock).get_token()
    provider = provider_of(login, Slow(store), clock)
    plain = asyncio.create_task(provider.get_token())
    await settle()
    naming = asyncio.create_task(provider.get_token(rejected=revoked))
    await settle()
    going_on.set()
    for call in (plain, naming):
        with pytest.raises(TokenEndpointError):
            await call
    assert isinstance(await failure_of(provider.get_token()), TokenEndpointError)
    clock.now += 1
    assert (await provider.get_token()).generation > revoked.generation


async def test_a_refused_token_is_gone_for_other_providers_of_the_store(clock: Clock, store: SpyStore) -> None:
    """A provider that asks later gets the new token and makes no login."""
    login, other = Login(clock), Login(clock)
    provider = provider_of(login, store, clock)
    revoked = await provider.get_token()
    new = await provider.get_token(rejected=revoked)
    assert await provider_of(other, store, clock).get_token() == new
    assert (login.attempts, other.attempts) == (2, 0)


async def test_a_renewal_that_began_before_the_refusal_answers_it(clock: Clock, store: SpyStore) -> None:
    """Every token above the refused one answers, so no third login is made."""
    login = Login(clock)
    provider = provider_of(login, store, clock)
    old = await provider.get_token()
    login.gated = True
    clock.now += HOUR - AHEAD
    await provider.get_token()
    await settle()
    calls = [*calls_of(provider, 30, old), *calls_of(provider, 5)]
    await settle()
    await login.release()
    assert {login_of(token) for token in await asyncio.gather(*calls)} == {2}
    assert login.attempts == 2


async def test_a_renewed_token_that_is_refused_at_once_is_followed_by_a_pause(clock: Clock, store: SpyStore) -> None:
    """Prevents a login loop: for 30 s, and then longer, a refused new token leads to no further login."""
    login = Login(clock)
    provider, other = provider_of(login, store, clock), provider_of(login, store, clock)
    token = await provider.get_token()
    for attempts, pause in ((2, 30), (3, 60), (4, 120), (5, 240), (6, 300), (7, 300)):
        token = await provider.get_token(rejected=token)
        assert login.attempts == attempts
        clock.now += 5
        failures = await asyncio.gather(*calls_of(provider, 50, token), return_exceptions=True)
        failures.append(await failure_of(other.get_token()))
        assert {type(failure) for failure in failures} == {TokenEndpointError}
        assert failures[0].retry_after == pytest.approx(pause)  # type: ignore[union-attr]
        assert login.attempts == attempts
        clock.now += pause + 0.1


async def test_a_young_token_may_be_refused_after_a_calm_time(clock: Clock, store: SpyStore) -> None:
    """Pauses grow only while tokens are refused within seconds of their login."""
    login = Login(clock)
    provider = provider_of(login, store, clock)
    token = await provider.get_token()
    for _ in range(4):
        token = await provider.get_token(rejected=token)
        clock.now += 31
    assert login.attempts == 5


async def test_a_young_token_that_was_not_renewed_by_force_may_be_refused(clock: Clock, store: SpyStore) -> None:
    """One forced renewal is allowed, because a login elsewhere may have revoked the token."""
    login = Login(clock)
    provider = provider_of(login, store, clock)
    young = await provider.get_token()
    clock.now += 1
    assert (await provider.get_token(rejected=young)).generation > young.generation
    assert login.attempts == 2


async def test_a_refusal_that_a_newer_token_has_answered_is_served(clock: Clock, store: SpyStore) -> None:
    """The caller gets the newer token without a login."""
    login, elsewhere = Login(clock), Login(clock, lifetime=4.0)
    provider, other = provider_of(login, store, clock), provider_of(elsewhere, store, clock)
    first = await provider.get_token()
    assert await other.get_token() == first
    newest = await provider.get_token(rejected=first)
    assert await provider.get_token(rejected=first) is newest
    assert await other.get_token(rejected=first) == newest
    assert (login.attempts, elsewhere.attempts) == (2, 0)


async def test_a_token_from_elsewhere_may_be_named(clock: Clock, store: SpyStore) -> None:
    """A token without a number counts as the oldest, and a login exceeds an unknown higher number."""
    login = Login(clock)
    provider = provider_of(login, store, clock)
    held = await provider.get_token()
    assert await provider.get_token(rejected=Token("at-bare", 60.0, clock())) is held
    alien = Token("at-alien", 60.0, clock(), held.generation + 10**6)
    assert (await provider.get_token(rejected=alien)).generation > alien.generation
    assert login.attempts == 2


@pytest.mark.parametrize("number", [-1, 2**52, 2**70])
async def test_a_number_that_no_token_has_is_a_mistake(clock: Clock, store: SpyStore, number: int) -> None:
    """It would push the numbers of all later tokens beyond what a record holds."""
    provider = provider_of(Login(clock), store, clock)
    with pytest.raises(ConfigurationError, match="handed out"):
        await provider.get_token(rejected=Token("at", 60.0, clock(), number))


# --- cancelled callers ------------------------------------------------------------------------------------------------


async def test_cancelling_nineteen_of_twenty_leaves_the_twentieth_its_token(clock: Clock, store: SpyStore) -> None:
    """The last caller gets its token, although the caller who began the login was cancelled."""
    login = Login(clock, gated=True)
    provider = provider_of(login, store, clock)
    calls = calls_of(provider, 20)
    await settle()
    for call in calls[:19]:
        call.cancel()
    await settle()
    assert all(call.cancelled() for call in calls[:19])
    await login.release()
    assert login_of(await calls[19]) == 1
    assert login.attempts == 1


@pytest.mark.parametrize("outcome", [HOUR, refused(), transient()])
async def test_cancelling_all_lets_the_login_end(clock: Clock, store: SpyStore, outcome: float | TokenError) -> None:
    """The attempt was made, so its token serves the next caller and its failure is recorded."""
    login = Login(clock, outcome, gated=True)
    provider = provider_of(login, store, clock)
    calls = calls_of(provider, 20)
    await settle()
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    await login.release()
    assert not provider.state().refreshing
    if isinstance(outcome, TokenError):
        await failure_of(provider.get_token())
    else:
        assert login_of(await provider.get_token()) == 1
    assert login.attempts == 1


async def test_a_caller_with_a_deadline_leaves_alone(clock: Clock, store: SpyStore) -> None:
    """`asyncio.timeout` cancels the wait of its own caller and not the login."""
    login = Login(clock, gated=True)
    provider = provider_of(login, store, clock)
    patient = asyncio.create_task(provider.get_token())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await provider.get_token()
    await login.release()
    assert login_of(await patient) == 1
    assert login.attempts == 1


async def test_a_login_carries_nobodys_context(clock: Clock, store: SpyStore) -> None:
    """The login does not see the context variables of the caller who began it, such as a request id."""
    variable = contextvars.ContextVar("variable", default="nobody")
    seen: list[str] = []

    class Looking(Login):
        async def fetch_token(self) -> Token:
            seen.append(variable.get())
            return await super().fetch_token()

    variable.set("the first caller")
    await provider_of(Looking(clock), store, clock).get_token()
    assert seen == ["nobody"]


async def test_cancelling_the_login_itself_is_charged_as_unclear(clock: Clock, store: SpyStore) -> None:
    """When a program cancels all tasks, a waiting caller is told of the cooldown; EnKash may have counted the login."""
    login = Login(clock, gated=True)
    provider = provider_of(login, store, clock)
    calls = calls_of(provider, 5)
    await settle()
    for task in asyncio.all_tasks() - {asyncio.current_task(), *calls}:
        task.cancel()
    failures = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(failure) for failure in failures} == {TokenEndpointError}
    assert [attempt.state for attempt in (await account_in(store)).attempts] == ["unknown"]
    login.gated = False
    clock.now += 61
    await provider.get_token()
    assert (await account_in(store)).attempts == ()
    assert login.attempts == 2


async def test_a_login_that_is_cancelled_before_it_began_leaves_nobody_waiting(clock: Clock, store: SpyStore) -> None:
    """Later callers do not wait for a login whose task never ran."""
    login = Login(clock)
    provider = provider_of(login, store, clock)
    await provider.get_token()
    clock.now += HOUR - AHEAD
    await provider.get_token()  # returns at once, with the renewal not yet begun
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    await settle()
    clock.now += AHEAD
    async with asyncio.timeout(1):
        await provider.get_token()
    assert login.attempts == 2


# --- the end ----------------------------------------------------------------------------------------------------------


async def test_closing_wakes_waiting_callers(clock: Clock, store: SpyStore) -> None:
    """The waiting callers get an error that says so, and the login is cancelled and charged as unclear."""
    login = Login(clock, gated=True)
    provider = provider_of(login, store, clock)
    calls = calls_of(provider, 20)
    await settle()
    await provider.aclose()
    failures = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(failure) for failure in failures} == {TokenError}
    assert all("closed" in str(failure) for failure in failures)
    assert [attempt.state for attempt in (await account_in(store)).attempts] == ["unknown"]
    assert len(asyncio.all_tasks()) == 1


async def test_closing_twice_is_harmless(clock: Clock, store: SpyStore) -> None:
    """The provider closes without an error before its first use, twice at once, and once more."""
    provider = provider_of(Login(clock), store, clock)
    await provider.aclose()
    await provider.aclose()
    used = provider_of(Login(clock), store, clock)
    await used.get_token()
    await asyncio.gather(used.aclose(), used.aclose())
    await used.aclose()


async def test_a_closed_provider_hands_nothing_out(clock: Clock, store: SpyStore) -> None:
    """The closed provider refuses even the token that it had."""
    login = Login(clock)
    provider = provider_of(login, store, clock)
    token = await provider.get_token()
    await provider.aclose()
    for call in (provider.get_token(), provider.get_token(rejected=token)):
        assert "closed" in str(await failure_of(call))
    assert login.attempts == 1
    assert provider.state().generation is None


async def test_closing_does_not_take_the_token_from_others(clock: Clock, store: SpyStore) -> None:
    """The token stays in the store that the providers share."""
    token = await (first := provider_of(Login(clock), store, clock)).get_token()
    await first.aclose()
    login = Login(clock)
    assert await provider_of(login, store, clock).get_token() == token
    assert login.attempts == 0


# --- several providers on one store -----------------------------------------------------------------------------------


async def test_providers_of_one_store_share_a_login(clock: Clock, store: SpyStore) -> None:
    """The second provider polls the store, at first twenty times a second, and makes no login."""
    login, other = Login(clock, gated=True), Login(clock)
    leader, follower = provider_of(login, store, clock), provider_of(other, store, clock)
    calls = [*calls_of(leader, 5), *calls_of(follower, 5)]
    await clock.advance(0.3)
    await login.release()
    await clock.advance(0.1)
    tokens = await asyncio.gather(*calls)
    assert len({token.reveal() for token in tokens}) == 1
    assert (login.attempts, other.attempts) == (1, 0)
    assert store.calls.count("read") <= 8


async def test_a_slow_login_stays_the_only_one(clock: Clock, store: SpyStore) -> None:
    """For 9 s the lease holds without a heartbeat, and waiting providers poll ever more rarely."""
    login, other = Login(clock, gated=True), Login(clock)
    leader, follower = provider_of(login, store, clock), provider_of(other, store, clock)
    first, second = asyncio.create_task(leader.get_token()), asyncio.create_task(follower.get_token())
    await clock.advance(9)
    assert store.calls.count("read") <= 9 / 0.2 + 8
    await login.release()
    await clock.advance(0.5)
    assert await first == await second
    assert (login.attempts, other.attempts) == (1, 0)
    assert (await account_in(store)).attempts == ()


async def test_a_leader_that_was_paused_comes_back_with_the_newer_token(clock: Clock, store: SpyStore) -> None:
    """The record refuses its own token, because that was fetched first."""
    slow, quick = Login(clock, gated=True), Login(clock)
    paused, other = provider_of(slow, store, clock), provider_of(quick, store, clock)
    call = asyncio.create_task(paused.get_token())
    await settle()
    clock.now += LEASE + 60
    newer = await other.get_token()
    await slow.release()
    assert (await call).generation == newer.generation
    assert (await paused.get_token()).generation == newer.generation
    assert (slow.attempts, quick.attempts) == (1, 1)


async def test_an_attempt_is_not_sent_once_its_process_was_stopped(clock: Clock) -> None:
    """A process that stood still between the read and the sending settles the attempt as not counted."""

    class Stopping(SpyStore):
        async def swap(self, changes: Sequence[Change]) -> Sequence[bool]:
            made = await super().swap(changes)
            if self.calls.count("swap") == 1:
                clock.now += 5.0
            return made

    store, login = Stopping(MemoryStore(clock=clock)), Login(clock, refused())
    assert isinstance(await failure_of(provider_of(login, store, clock).get_token()), CredentialsRejectedError)
    assert login.attempts == 1
    assert store.calls == ["read", "swap"] * 4  # begun, settled; begun, settled
    assert len((await account_in(store)).attempts) == 1


async def test_a_record_that_takes_no_token_is_not_fed_with_logins(clock: Clock) -> None:
    """The attempts of a process whose clock runs wild are not sent, and it pauses after a few."""

    class Wild(SpyStore):
        async def swap(self, changes: Sequence[Change]) -> Sequence[bool]:
            made = await super().swap(changes)
            clock.now += 6.0
            return made

    login = Login(clock)
    provider = StoreTokenProvider(
        login, Wild(MemoryStore(clock=clock)), clock=clock, sleep=clock.hurry, random=lambda: 0.5
    )
    assert "takes no token" in str(await failure_of(provider.get_token()))
    assert login.attempts == 0
    assert "takes no token" in str(await failure_of(provider.get_token()))


async def test_a_renewal_finds_the_token_that_another_provider_fetched(clock: Clock, store: SpyStore) -> None:
    """The second renewal takes the new token from the store and makes no login."""
    login, other = Login(clock), Login(clock)
    early, late = provider_of(login, store, clock), provider_of(other, store, clock, share=0.99)
    assert await early.get_token() == await late.get_token()
    clock.now += HOUR - AHEAD
    await early.get_token()
    await settle()
    clock.now += AHEAD - WAIT
    await late.get_token()
    await settle()
    assert await early.get_token() == await late.get_token()
    assert (login.attempts, other.attempts) == (2, 0)


async def test_a_store_that_is_away_is_said_to_be(clock: Clock) -> None:
    """The caller gets the store's own error, and the provider makes no login."""

    class Away(SpyStore):
        async def read(self, keys: Sequence[str]) -> Mapping[str, Cell]:
            raise StoreUnavailableError("the store is away")

    login = Login(clock)
    failure = await failure_of(provider_of(login, Away(MemoryStore()), clock).get_token())
    assert type(failure) is StoreUnavailableError
    assert "not known to work" in str(failure)
    assert login.attempts == 0


async def test_a_store_that_breaks_is_a_token_error(clock: Clock) -> None:
    """The error does not repeat the store's text, which may hold its password."""

    class Broken(SpyStore):
        async def read(self, keys: Sequence[str]) -> Mapping[str, Cell]:
            raise ConnectionResetError("rediss://user:hunter2@host")

    login = Login(clock)
    failure = await failure_of(provider_of(login, Broken(MemoryStore()), clock).get_token())
    assert "failed with ConnectionResetError" in str(failure)
    assert "hunter2" not in f"{failure!r}{failure.__cause__!r}{failure.__context__!r}"
    assert login.attempts == 0


async def test_a_store_that_breaks_at_the_report_hears_of_it_later(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """The token serves meanwhile, and the attempt is not charged."""

    class Broken(SpyStore):
        async def swap(self, changes: Sequence[Change]) -> Sequence[bool]:
            if len(self.calls) == 3:
                self.calls.append("failed")
                raise ConnectionResetError("rediss://user:hunter2@host")
            return await super().swap(changes)

    store, login = Broken(MemoryStore(clock=clock)), Login(clock)
    provider = provider_of(login, store, clock)
    token = await provider.get_token()
    assert len((await account_in(store)).attempts) == 1
    clock.now += 1
    assert await provider.get_token() is token
    await settle()
    assert (await account_in(store)).attempts == ()
    assert (await provider_of(Login(clock), store, clock).get_token()).reveal() == token.reveal()
    assert "hunter2" not in caplog.text


async def test_a_record_of_a_newer_version_stops_logins_and_is_left_alone(clock: Clock, store: SpyStore) -> None:
    """It is no outage: nobody logs in alone, and nothing is overwritten."""
    login = Login(clock)
    provider = StoreTokenProvider(login, store, on_store_down="login", clock=clock, sleep=clock.sleep)
    await provider.get_token()
    held = (await store.read([KEY]))[KEY].value
    newer = b'{"format":3,"record":{}}'
    assert await store.swap([Change(KEY, held, newer)]) == [True]
    clock.now += HOUR
    for _ in range(3):
        with pytest.raises(StoreError, match="format 3") as caught:
            await provider.get_token()
        assert type(caught.value) is StoreError
        assert not provider.state().store_away
        clock.now += HOUR
    with pytest.raises(StoreError):
        await provider.look()
    with pytest.raises(StoreError):
        await provider.reset_guard()
    assert (await store.read([KEY]))[KEY].value == newer
    assert login.attempts == 1


# --- state ------------------------------------------------------------------------------------------------------------


async def test_state_says_what_is_known(clock: Clock, store: SpyStore) -> None:
    """`state()` is right before, during and after a login and does not ask the store."""
    login = Login(clock, gated=True)
    provider = provider_of(login, store, clock)
    state = provider.state()
    assert (state.generation, state.remaining, state.refreshing, state.logins, state.barred) == (
        None, None, False, 0, None
    )  # fmt: skip
    call = asyncio.create_task(provider.get_token())
    await settle()
    assert provider.state().refreshing
    await login.release()
    token = await call
    clock.now += 10
    asked = len(store.calls)
    state = provider.state()
    assert (state.generation, state.remaining, state.refreshing, state.logins) == (
        token.generation, HOUR - 10, False, 1
    )  # fmt: skip
    assert (state.barred, state.cooling, state.failures) == (None, 0, 0)
    assert token.reveal() not in repr(state)
    assert len(store.calls) == asked


async def test_state_tells_a_pause_from_a_closed_guard(clock: Clock, store: SpyStore) -> None:
    """`state()` shows that a pause ends by itself and a closed guard does not."""
    provider = provider_of(Login(clock, transient(retry_after=30), refused()), store, clock)
    await failure_of(provider.get_token())
    clock.now += 10
    state = provider.state()
    assert state.cooling == pytest.approx(20)
    assert (state.barred, state.failures) == (None, 1)
    clock.now += 20.1
    assert provider.state().cooling == 0
    await failure_of(provider.get_token())
    assert await guard_of(provider) == "rejected"
    state = provider.state()
    assert (state.cooling, state.barred) == (0, "rejected")
    assert state.failures >= 2
    await provider.reset_guard()
    assert provider.state().barred is None


async def test_a_failed_refresh_is_logged_once_with_its_reason(
    clock: Clock, store: SpyStore, caplog: pytest.LogCaptureFixture
) -> None:
    """The log has one line, because no caller may be waiting for the error."""
    provider = provider_of(Login(clock, transient()), store, clock)
    await asyncio.gather(*calls_of(provider, 10), return_exceptions=True)
    said = [record.getMessage() for record in caplog.records if record.name == "enkash_async.tokens"]
    assert said == [f"no new token: TokenEndpointError: {transient()}"]


@pytest.mark.parametrize(
    ("failure", "state", "guard"),
    [
        (refused(), "refused", "rejected"),
        (unclear(), "refused", "rejected"),
        (locked(), "refused", "locked"),
        (unreadable(), "unknown", "rejected"),
        (ambiguous(), "unknown", None),
        (KeyError("of the user's own"), "unknown", None),
        (transient(), None, None),
        (unsent(), None, None),
    ],
    ids=repr,
)
async def test_the_account_is_told_what_kind_of_failure_it_was(
    clock: Clock, store: SpyStore, failure: Exception, state: str | None, guard: str | None
) -> None:
    """It charges what EnKash may have counted, and closes where EnKash said no."""
    provider = provider_of(Login(clock, failure), store, clock)
    await failure_of(provider.get_token())
    assert [attempt.state for attempt in (await account_in(store)).attempts] == ([state] if state else [])
    assert (await provider.look()).barred == guard
    assert provider.state().charged == (1 if state else 0)


async def test_nothing_is_left_running(clock: Clock, store: SpyStore) -> None:
    """Neither the login's task nor its heartbeat runs after a login."""
    provider = provider_of(Login(clock, refused(), HOUR), store, clock)
    await failure_of(provider.get_token())
    await provider.reset_guard()
    await provider.get_token()
    await until(lambda: len(asyncio.all_tasks()) == 1)


# --- odd stores and sources -------------------------------------------------------------------------------------------


async def test_a_login_that_takes_too_long_says_how_long_it_waited(clock: Clock, store: SpyStore) -> None:
    """It is given up after `login_timeout` and charged, since EnKash may have counted it."""
    login = Login(clock, gated=True)
    failure = await failure_of(provider_of(login, store, clock, login_timeout=0.05).get_token())
    assert str(failure) == "the login was given up after 0.05 s without an answer: raise login_timeout"
    assert isinstance(failure, TokenEndpointError)
    assert failure.counted
    assert [attempt.state for attempt in (await account_in(store)).attempts] == ["unknown"]


async def test_a_source_with_a_time_limit_of_its_own_is_not_blamed_on_ours(clock: Clock, store: SpyStore) -> None:
    """The error names the source's exception."""
    failure = await failure_of(provider_of(Login(clock, TimeoutError("mine")), store, clock).get_token())
    assert str(failure) == "the token source failed with TimeoutError"


@pytest.mark.parametrize("seconds", [0, -1, 110.1, math.nan, math.inf, "15", None, True])
def test_a_login_timeout_is_a_number_of_seconds(clock: Clock, seconds: float) -> None:
    """No lease may outlast two minutes."""
    with pytest.raises(ConfigurationError, match="login_timeout must be a number of seconds above 0 and up to 110"):
        provider_of(Login(clock), MemoryStore(), clock, login_timeout=seconds)


async def test_a_record_of_a_newer_version_is_read_once_a_second(clock: Clock) -> None:
    """The token in hand serves on, and a thousand callers do not ask the store a thousand times."""
    store = SpyStore(MemoryStore(clock=clock))
    provider = provider_of(Login(clock), store, clock)
    token = await provider.get_token()
    held = (await store.read([KEY]))[KEY].value
    await store.swap([Change(KEY, held, b'{"format":99,"record":{}}')])
    clock.now += HOUR - AHEAD
    store.calls.clear()
    for _ in range(1000):
        assert await provider.get_token() is token
        await settle()
    assert store.calls.count("read") <= 2
    clock.now += AHEAD
    for _ in range(100):
        with pytest.raises(StoreError):
            await provider.get_token()
    assert store.calls.count("read") <= 4
