"""When the store is back, it hears of failed logins, of logins that were never made, and of operators."""

from __future__ import annotations

import asyncio

import pytest
from tokens.doubles import AwayStore, Clock, Login, ambiguous, locked, refused, transient
from tokens.outages import HOUR, OFFER_PAUSE, POLICIES, Outage

from enkash_async.errors import (
    CredentialsRejectedError,
    LoginGuardError,
    StoreUnavailableError,
    TokenEndpointError,
    TokenError,
)
from enkash_async.tokens import Claim, Failure, Identity, MemoryTokenStore, OnStoreDown

pytestmark = pytest.mark.usefixtures("silent_asyncio")


class TestFailures:
    """Failed logins that the store did not hear of."""

    @pytest.mark.parametrize("failure", [refused, locked, ambiguous])
    async def test_it_is_told_before_it_is_asked(self, outage: Outage, failure: type[TokenError]) -> None:
        """The store hears first, or it would allow one attempt too many."""
        login = Login(outage.clock, failure(), failure())
        provider = outage.provider(login, "login")
        outage.store.leave()
        await outage.failure(provider)
        outage.store.come_back()
        outage.clock.now += 60
        await outage.failure(provider)
        assert [name.partition(" ")[0] for name in outage.store.calls[:2]] == ["fail", "claim"]

    async def test_it_hears_of_each_once(self, clock: Clock) -> None:
        """The store gets each report once, although it goes away during the reports."""
        owners: list[str] = []

        class Wavering(AwayStore):
            async def fail(
                self,
                identity: Identity,
                owner: str,
                failure: Failure,
                retry_after: float | None = None,
                *,
                fence: int | None = None,
            ) -> float:
                pause = await super().fail(identity, owner, failure, retry_after, fence=fence)
                owners.append(owner)
                self.leave()
                return pause

        outage = Outage(clock, Wavering(clock=clock))
        login = Login(clock, ambiguous(), ambiguous())
        provider = outage.provider(login, "login")
        outage.store.leave()
        for _ in range(2):
            await outage.failure(provider)
            clock.now += 60
        for _ in range(4):
            outage.store.come_back()
            assert isinstance(await outage.failure(provider), LoginGuardError)
            clock.now += 60
        assert len(owners) == len(set(owners)) == 2
        assert login.attempts == 2

    async def test_the_other_workers_are_bound_by_them(self, outage: Outage) -> None:
        """Attempts without the store count for the whole fleet."""
        login, right = Login(outage.clock, ambiguous(), ambiguous()), Login(outage.clock, fingerprint="right password")
        provider = outage.provider(login, "login")
        outage.store.leave()
        for _ in range(2):
            await outage.failure(provider)
            outage.clock.now += 60
        outage.store.come_back()
        for each in (provider, outage.provider(right)):
            assert await outage.guard(each) == "budget"
        assert (login.attempts, right.attempts) == (2, 0)

    @pytest.mark.parametrize("proven", [False, True])
    @pytest.mark.parametrize("failure", [refused, locked])
    async def test_what_enkash_refused_is_not_tried_again(
        self, outage: Outage, proven: bool, failure: type[TokenError]
    ) -> None:
        """This process does not try the password, although the store still calls it proven."""
        login = Login(outage.clock, failure(), failure())
        provider = outage.provider(login, "login")
        if proven:
            login.script.insert(0, HOUR)
            await provider.get_token()
        attempts = login.attempts + 1
        outage.store.leave()
        outage.clock.now += HOUR
        assert isinstance(await outage.failure(provider), CredentialsRejectedError)
        outage.store.come_back()
        for _ in range(3):
            assert isinstance(await outage.failure(provider), LoginGuardError)
            outage.clock.now += HOUR
        assert login.attempts == attempts

    async def test_a_newcomer_is_believed_as_well(self, outage: Outage) -> None:
        """The store accepts the refusal of a worker that has seen no token."""
        fleet = outage.provider(Login(outage.clock))
        await outage.ask(fleet, rejected=await fleet.get_token())
        outage.store.leave()
        outage.clock.now += HOUR
        login = Login(outage.clock, refused(), refused(), fingerprint="wrong password")
        provider = outage.provider(login, "login")
        assert isinstance(await outage.failure(provider), CredentialsRejectedError)
        outage.store.come_back()
        assert await outage.guard(provider) == "rejected"
        assert login.attempts == 1

    async def test_a_login_that_worked_makes_them_void(self, outage: Outage) -> None:
        """The provider does not report earlier failures, because a login resets EnKash's count."""
        login = Login(outage.clock, ambiguous())
        provider = outage.provider(login, "login")
        outage.store.leave()
        await outage.failure(provider)
        outage.clock.now += 60
        token = await outage.ask(provider)
        outage.store.come_back()
        outage.clock.now += OFFER_PAUSE
        assert await outage.ask(provider) is token
        assert outage.store.calls == ["publish", "claim"]

    @pytest.mark.parametrize("policy", POLICIES)
    @pytest.mark.parametrize("problem", [None, OSError("gone")])
    async def test_a_refusal_that_the_store_cannot_note_is_not_repeated(
        self, outage: Outage, policy: OnStoreDown, problem: Exception | None
    ) -> None:
        """The caller gets EnKash's refusal, and no login follows before the store has heard of it."""
        outage.store.problem = problem or outage.store.problem
        outage.store.cut_off = {"fail"}
        login = Login(outage.clock, refused())
        provider = outage.provider(login, policy)
        assert isinstance(await outage.failure(provider), CredentialsRejectedError)
        for _ in range(3):
            outage.clock.now += HOUR
            assert isinstance(await outage.failure(provider), TokenError)
        outage.store.come_back()
        assert await outage.guard(provider) == "rejected"
        assert outage.store.calls[-2:] == ["fail rejected", "claim"]
        assert login.attempts == 1

    async def test_a_transient_failure_that_the_store_cannot_note_is_followed_by_a_pause(self, outage: Outage) -> None:
        """The pause holds in this process, and in all once the store has heard."""
        outage.store.cut_off = {"fail"}
        login, other = Login(outage.clock, transient(retry_after=100)), Login(outage.clock)
        provider = outage.provider(login, "login")
        for _ in range(5):
            assert isinstance(await outage.failure(provider), TokenEndpointError)
            outage.clock.now += 10
        outage.store.come_back()
        assert isinstance(await outage.failure(provider), TokenEndpointError)
        assert isinstance(await outage.failure(outage.provider(other)), TokenEndpointError)
        outage.clock.now += 100
        await outage.ask(provider)
        assert (login.attempts, other.attempts) == (2, 0)


class TestLostAnswers:
    """The store carries out a call and its answer is lost."""

    @pytest.mark.parametrize("policy", ["serve", "login_if_proven"])
    async def test_a_login_that_was_allowed_and_never_made_is_not_charged(
        self, clock: Clock, policy: OnStoreDown
    ) -> None:
        """Two leases whose answers were lost cost no attempt of the budget."""

        class Mumbling(AwayStore):
            async def claim(self, identity: Identity, owner: str, *, above: int) -> Claim:
                claim = await MemoryTokenStore.claim(self, identity, owner, above=above)
                self._contact("claim")
                return claim

        outage = Outage(clock, Mumbling(clock=clock))
        login = Login(clock)
        provider = outage.provider(login, policy)
        for _ in range(3):
            outage.store.leave()
            assert isinstance(await outage.failure(provider), StoreUnavailableError)
            assert login.attempts == 0
            clock.now += 7
        outage.store.come_back()
        await outage.ask(provider)
        assert login.attempts == 1


class TestReset:
    """An operator resets the guard."""

    async def test_it_clears_what_the_store_has_not_heard_of(self, outage: Outage) -> None:
        """The reset clears worker and store, and the same password is tried again."""
        login = Login(outage.clock, refused())
        provider = outage.provider(login, "login")
        outage.store.leave()
        await outage.failure(provider)
        outage.store.come_back()
        await provider.reset_guard()
        await outage.ask(provider)
        assert outage.store.calls == ["reset", "claim", "beat", "publish"]
        assert login.attempts == 2

    async def test_it_is_heard_by_the_store_or_not_at_all(self, outage: Outage) -> None:
        """The reset changes nothing in the worker when the store cannot hear of it."""
        login = Login(outage.clock, refused())
        provider = outage.provider(login, "login")
        outage.store.leave()
        await outage.failure(provider)
        with pytest.raises(TokenError):
            await provider.reset_guard()
        assert isinstance(await outage.failure(provider), LoginGuardError)
        assert login.attempts == 1

    async def test_it_may_come_while_the_store_is_being_told(self, outage: Outage) -> None:
        """The reset empties the list of reports while one of them is in flight, and that one arrives."""
        going_on, telling = asyncio.Event(), asyncio.Event()
        login = Login(outage.clock, refused())
        provider = outage.provider(login, "login")
        outage.store.leave()
        await outage.failure(provider)
        outage.store.come_back()
        tell = outage.store.fail

        async def slowly(
            identity: Identity,
            owner: str,
            failure: Failure,
            retry_after: float | None = None,
            *,
            fence: int | None = None,
        ) -> float:
            telling.set()
            await going_on.wait()
            return await tell(identity, owner, failure, retry_after, fence=fence)

        outage.store.fail = slowly  # type: ignore[method-assign]
        call = asyncio.create_task(provider.get_token())
        await telling.wait()
        await provider.reset_guard()
        going_on.set()
        with pytest.raises(LoginGuardError):
            await call
        await provider.reset_guard()
        await outage.ask(provider)
        assert login.attempts == 2
