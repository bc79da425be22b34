"""What every token store keeps; another implementation joins by one more parameter of `bench`."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import pytest
from tokens.doubles import Clock

from enkash_async.tokens import (
    Claim,
    Cooling,
    Failure,
    Found,
    Identity,
    Lead,
    MemoryTokenStore,
    Refused,
    Token,
    TokenStore,
    Wait,
)

OURS = Identity("account", "right password")
WRONG = Identity("account", "wrong password")
WORSE = Identity("account", "worse password")
OTHERS = Identity("another account", "right password")

LEASE = 6.0


@attrs.frozen
class Bench:
    """A fresh store, with its clock and its chance in the hands of the test."""

    store: TokenStore
    clock: Clock
    chance: list[float]

    async def claim(self, owner: str, who: Identity = OURS, above: int = -1) -> Claim:
        return await self.store.claim(who, owner, above=above)

    async def lead(self, owner: str, who: Identity = OURS, above: int = -1) -> int:
        claim = await self.claim(owner, who, above)
        assert isinstance(claim, Lead)
        return claim.fence

    async def cooling(self, owner: str = "asker", who: Identity = OURS) -> float:
        claim = await self.claim(owner, who)
        assert isinstance(claim, Cooling)
        return claim.seconds

    async def found(self, who: Identity = OURS) -> Token:
        claim = await self.claim("reader", who)
        assert isinstance(claim, Found)
        return claim.token

    def token(self, generation: int, lifetime: float = 3600.0) -> Token:
        return Token(f"at-{generation}", lifetime, self.clock(), generation)

    async def log_in(self, owner: str, who: Identity = OURS, above: int = -1) -> Token:
        """Make a login that works."""
        token = self.token(await self.lead(owner, who, above))
        assert await self.store.publish(who, owner, token)
        return token

    async def log_in_badly(self, owner: str, failure: Failure, who: Identity = OURS) -> float:
        await self.lead(owner, who)
        return await self.store.fail(who, owner, failure)


def _memory(clock: Clock, chance: Callable[[], float]) -> TokenStore:
    return MemoryTokenStore(clock=clock, random=chance)


@pytest.fixture(params=[_memory])
def bench(request: pytest.FixtureRequest, clock: Clock) -> Bench:
    chance = [1.0]
    return Bench(request.param(clock, lambda: chance[0]), clock, chance)


class TestToken:
    async def test_the_first_comer_leads(self, bench: Bench) -> None:
        """With a generation above the one that it named."""
        assert await bench.lead("a") > -1
        assert await bench.lead("x", OTHERS, above=41) > 41

    async def test_a_published_token_is_found(self, bench: Bench) -> None:
        """By everybody of the account, whatever the password they would have used; nobody leads any more."""
        token = await bench.log_in("a")
        assert (await bench.found()) == token
        assert (await bench.found(WRONG)).reveal() == token.reveal()

    async def test_accounts_are_apart(self, bench: Bench) -> None:
        """Token, lease and guard of one are nothing to the other."""
        await bench.log_in("a")
        await bench.lead("b", OTHERS)
        await bench.store.fail(OTHERS, "b", Failure.LOCKED)
        assert isinstance(await bench.claim("c", OTHERS), Refused)
        assert isinstance(await bench.claim("c"), Found)

    async def test_a_token_must_be_above_what_is_asked_for(self, bench: Bench) -> None:
        """Who names the stored generation wants a newer one, and is to fetch it."""
        token = await bench.log_in("a")
        assert isinstance(await bench.claim("b", above=token.generation - 1), Found)
        assert await bench.lead("b", above=token.generation) > token.generation

    @pytest.mark.parametrize(("passed", "found"), [(3569.0, True), (3570.0, False), (4000.0, False)])
    async def test_a_token_in_its_last_stretch_is_not_handed_out(
        self, bench: Bench, passed: float, found: bool
    ) -> None:
        """30 s of an hour are held back."""
        await bench.log_in("a")
        bench.clock.now += passed
        assert isinstance(await bench.claim("b"), Found if found else Lead)

    async def test_generations_only_grow(self, bench: Bench) -> None:
        """Also after failures, rejections and abandoned leases."""
        seen = [(await bench.log_in("a")).generation]
        await bench.store.reject(OURS, seen[-1])
        seen.append(await bench.lead("b"))
        bench.clock.now += LEASE + 0.1
        seen.append(await bench.lead("c"))
        await bench.store.fail(OURS, "c", Failure.TRANSIENT)
        bench.clock.now += 60
        seen.append((await bench.log_in("d")).generation)
        await bench.store.reject(OURS, seen[-1] + 100)
        seen.append(await bench.lead("e"))
        assert seen == sorted(set(seen))
        assert seen[-1] > seen[-2] + 100


class TestLease:
    async def test_one_leads_and_the_others_wait(self, bench: Bench) -> None:
        """No longer than the lease may last."""
        await bench.lead("a")
        waits = [await bench.claim(owner) for owner in ("b", "c", "d")]
        assert all(isinstance(wait, Wait) and 0 < wait.seconds <= LEASE for wait in waits)

    async def test_an_abandoned_login_is_taken_over(self, bench: Bench) -> None:
        """After six seconds without a sign of life, under a higher number."""
        first = await bench.lead("a")
        bench.clock.now += LEASE - 0.1
        assert isinstance(await bench.claim("b"), Wait)
        bench.clock.now += 0.2
        assert await bench.lead("b") > first

    async def test_a_sign_of_life_keeps_the_lease(self, bench: Bench) -> None:
        """For as long as a login takes."""
        await bench.lead("a")
        for _ in range(5):
            bench.clock.now += LEASE - 1
            assert await bench.store.beat(OURS, "a")
            assert isinstance(await bench.claim("b"), Wait)

    async def test_a_lost_lease_is_not_extended(self, bench: Bench) -> None:
        """Neither by its former owner nor by one who never had it."""
        await bench.lead("a")
        bench.clock.now += LEASE + 0.1
        await bench.lead("b")
        bench.clock.now += LEASE - 1
        assert not await bench.store.beat(OURS, "a")
        assert not await bench.store.beat(OURS, "stranger")
        bench.clock.now += 1.1
        await bench.lead("c")

    async def test_there_is_no_lease_where_nobody_leads(self, bench: Bench) -> None:
        """A heart that beats on after its login changes nothing."""
        assert not await bench.store.beat(OURS, "a")
        await bench.log_in("a")
        assert not await bench.store.beat(OURS, "a")

    @pytest.mark.parametrize("failure", list(Failure))
    async def test_only_the_owner_ends_a_lease(self, bench: Bench, failure: Failure) -> None:
        """A leader that was paused past its lease must not throw its successor out."""
        await bench.lead("a")
        bench.clock.now += LEASE + 0.1
        await bench.lead("b")
        await bench.store.fail(OURS, "a", failure)
        assert await bench.store.beat(OURS, "b")

    async def test_a_leader_that_was_paused_cannot_overwrite_a_newer_token(self, bench: Bench) -> None:
        """Its token came first, whenever it is written."""
        late = bench.token(await bench.lead("a"))
        bench.clock.now += LEASE + 0.1
        newer = await bench.log_in("b")
        assert not await bench.store.publish(OURS, "a", late)
        assert await bench.found() == newer

    async def test_a_leader_that_was_paused_does_not_end_its_successors_lease(self, bench: Bench) -> None:
        """Its token is stored, being the newest so far; the other login goes on and replaces it."""
        late = bench.token(await bench.lead("a"))
        bench.clock.now += LEASE + 0.1
        newer = bench.token(await bench.lead("b"))
        assert await bench.store.publish(OURS, "a", late)
        assert await bench.found() == late
        assert await bench.store.beat(OURS, "b")
        assert await bench.store.publish(OURS, "b", newer)
        assert await bench.found() == newer


class TestRejection:
    async def test_a_refused_token_is_gone(self, bench: Bench) -> None:
        """Whoever asks next fetches a newer one."""
        token = await bench.log_in("a")
        await bench.store.reject(OURS, token.generation)
        assert await bench.lead("b") > token.generation

    async def test_an_old_refusal_leaves_the_current_token_alone(self, bench: Bench) -> None:
        """A late 401 says nothing about the token that came after."""
        old = await bench.log_in("a")
        current = await bench.log_in("b", above=old.generation)
        await bench.store.reject(OURS, old.generation)
        assert await bench.found() == current

    async def test_refusals_come_in_any_order(self, bench: Bench) -> None:
        """The highest holds."""
        old = await bench.log_in("a")
        current = await bench.log_in("b", above=old.generation)
        await bench.store.reject(OURS, current.generation)
        await bench.store.reject(OURS, old.generation)
        assert isinstance(await bench.claim("c"), Lead)

    async def test_a_token_refused_before_it_is_written_is_not_stored(self, bench: Bench) -> None:
        """Its leader was slow, and the refusal has overtaken it."""
        late = bench.token(await bench.lead("a"))
        await bench.store.reject(OURS, late.generation)
        assert not await bench.store.publish(OURS, "a", late)
        assert isinstance(await bench.claim("b"), Lead)


class TestGuard:
    async def test_refused_credentials_are_barred(self, bench: Bench) -> None:
        """There is nothing to wait for."""
        assert await bench.log_in_badly("a", Failure.REJECTED, WRONG) == 0
        assert await bench.claim("b", WRONG) == Refused("rejected")
        bench.clock.now += 1e6
        assert await bench.claim("c", WRONG) == Refused("rejected")

    async def test_corrected_credentials_are_tried_at_once(self, bench: Bench) -> None:
        """While the wrong ones stay barred for new logins."""
        await bench.log_in_badly("a", Failure.REJECTED, WRONG)
        token = await bench.log_in("b")
        assert await bench.claim("c", WRONG, above=token.generation) == Refused("rejected")

    @pytest.mark.parametrize("failure", [Failure.REJECTED, Failure.AMBIGUOUS])
    async def test_unproven_credentials_get_two_attempts_in_all(self, bench: Bench, failure: Failure) -> None:
        """Whatever the number of passwords: a third wrong one would lock the account."""
        for owner, who in (("a", WRONG), ("b", WORSE)):
            await bench.log_in_badly(owner, failure, who)
            bench.clock.now += 60
        assert await bench.claim("c", OURS) == Refused("budget")
        bench.clock.now += 1e6
        assert await bench.claim("d", OURS) == Refused("budget")

    async def test_credentials_that_worked_are_not_charged(self, bench: Bench) -> None:
        """A login that gets no answer is no wrong password then."""
        token = await bench.log_in("a")
        await bench.store.reject(OURS, token.generation)
        for attempt in range(6):
            await bench.log_in_badly(f"b{attempt}", Failure.AMBIGUOUS)
            bench.clock.now += 60
        await bench.log_in("c")

    async def test_a_login_that_works_gives_the_budget_back(self, bench: Bench) -> None:
        """EnKash starts counting anew as well."""
        await bench.log_in_badly("a", Failure.REJECTED, WRONG)
        token = await bench.log_in("b")
        await bench.store.reject(OURS, token.generation)
        await bench.log_in_badly("c", Failure.REJECTED, WORSE)
        await bench.log_in("d")

    async def test_credentials_that_worked_before_can_be_barred(self, bench: Bench) -> None:
        """The password was changed at EnKash; from then on the old one counts as unproven."""
        token = await bench.log_in("a")
        await bench.store.reject(OURS, token.generation)
        await bench.log_in_badly("b", Failure.REJECTED)
        assert await bench.claim("c") == Refused("rejected")

    async def test_a_refusal_of_proven_credentials_is_charged(self, bench: Bench) -> None:
        """Old password, two wrong corrections: the third would be EnKash's third in a row."""
        token = await bench.log_in("a")
        await bench.store.reject(OURS, token.generation)
        await bench.log_in_badly("b", Failure.REJECTED)
        await bench.log_in_badly("c", Failure.REJECTED, WRONG)
        assert await bench.claim("d", WORSE) == Refused("budget")

    async def test_a_login_that_was_cut_off_is_charged_and_keeps_nobody_waiting(self, bench: Bench) -> None:
        """EnKash may have counted it, but there is no reason to pause."""
        assert await bench.log_in_badly("a", Failure.ABANDONED) == 0
        await bench.log_in_badly("b", Failure.ABANDONED)
        assert await bench.claim("c") == Refused("budget")

    async def test_credentials_that_were_refused_have_to_prove_themselves_again(self, bench: Bench) -> None:
        """An operator's word gives them two attempts, not the trust that they had."""
        token = await bench.log_in("a")
        await bench.store.reject(OURS, token.generation)
        await bench.log_in_badly("b", Failure.REJECTED)
        await bench.store.reset(OURS)
        for owner in ("c", "d"):
            await bench.log_in_badly(owner, Failure.AMBIGUOUS)
            bench.clock.now += 60
        assert await bench.claim("e") == Refused("budget")

    async def test_a_login_that_works_lifts_the_bar(self, bench: Bench) -> None:
        """It was refused to a second leader, and the first one, paused past its lease, got through with the same."""
        late = bench.token(await bench.lead("a"))
        bench.clock.now += LEASE + 0.1
        await bench.log_in_badly("b", Failure.REJECTED)
        assert await bench.store.publish(OURS, "a", late)
        await bench.lead("c", above=late.generation)

    async def test_a_locked_account_stops_everybody(self, bench: Bench) -> None:
        """Also the right password, which could only prolong it."""
        await bench.log_in_badly("a", Failure.LOCKED, WRONG)
        assert await bench.claim("b", WRONG) == Refused("locked")
        assert await bench.claim("c", OURS) == Refused("locked")

    async def test_a_token_in_the_store_serves_behind_the_guard(self, bench: Bench) -> None:
        """The guard is about logins."""
        token = await bench.log_in("a")
        await bench.lead("b", WRONG, above=token.generation)
        await bench.store.fail(WRONG, "b", Failure.LOCKED)
        assert await bench.found(WRONG) == token

    @pytest.mark.parametrize("failure", list(Failure))
    async def test_an_operator_puts_everything_back(self, bench: Bench, failure: Failure) -> None:
        """Bars, budget, lock and cooldown."""
        for owner, who in (("a", OURS), ("b", WRONG)):
            if isinstance(await bench.claim(owner, who), Lead):
                await bench.store.fail(who, owner, failure)
            bench.clock.now += 60
        await bench.store.reset(OURS)
        await bench.log_in("c")

    async def test_a_reset_forgets_the_cooldown_and_the_failures_before(self, bench: Bench) -> None:
        """The next pause is the first one again."""
        first = await bench.log_in_badly("a", Failure.TRANSIENT)
        bench.clock.now += first
        assert await bench.log_in_badly("b", Failure.TRANSIENT) > first
        await bench.store.reset(OURS)
        assert await bench.log_in_badly("c", Failure.TRANSIENT) == first

    async def test_the_failure_of_a_leader_without_lease_counts(self, bench: Bench) -> None:
        """It made its attempt, and EnKash has counted it."""
        await bench.lead("a", WRONG)
        bench.clock.now += LEASE + 0.1
        await bench.log_in_badly("b", Failure.REJECTED, WORSE)
        await bench.store.fail(WRONG, "a", Failure.REJECTED)
        assert await bench.claim("c", WRONG) == Refused("rejected")
        assert await bench.claim("c", OURS) == Refused("budget")


class TestCooldown:
    @pytest.mark.parametrize("failure", [Failure.TRANSIENT, Failure.AMBIGUOUS])
    async def test_a_passing_failure_holds_everybody_back(self, bench: Bench, failure: Failure) -> None:
        """For a moment, the first time half a second at most; then somebody may try."""
        assert await bench.log_in_badly("a", failure) == pytest.approx(0.5)
        bench.clock.now += 0.4
        assert await bench.cooling(who=WORSE) == pytest.approx(0.1)
        bench.clock.now += 0.11
        await bench.lead("b")

    async def test_it_doubles_up_to_half_a_minute(self, bench: Bench) -> None:
        """With every failure in a row."""
        pauses = []
        for attempt in range(70):
            pauses.append(await bench.log_in_badly(f"a{attempt}", Failure.TRANSIENT))
            bench.clock.now += pauses[-1] + 0.01
        assert pauses[:8] == pytest.approx([0.5, 1, 2, 4, 8, 16, 30, 30])
        assert pauses[-1] == pytest.approx(30)

    async def test_a_random_part_of_it_is_waited(self, bench: Bench) -> None:
        """So that a fleet does not come back in step."""
        bench.chance[0] = 0.25
        assert await bench.log_in_badly("a", Failure.TRANSIENT) == pytest.approx(0.125)

    async def test_a_login_that_works_starts_it_anew(self, bench: Bench) -> None:
        """The next failure is a first one."""
        for attempt in range(4):
            await bench.log_in_badly(f"a{attempt}", Failure.TRANSIENT)
            bench.clock.now += 60
        token = await bench.log_in("b")
        await bench.store.reject(OURS, token.generation)
        assert await bench.log_in_badly("c", Failure.TRANSIENT) == pytest.approx(0.5)

    @pytest.mark.parametrize(("asked", "kept"), [(0.1, 0.5), (20.0, 20.0), (300.0, 300.0), (86_400.0, 300.0)])
    async def test_enkash_may_ask_for_more(self, bench: Bench, asked: float, kept: float) -> None:
        """Up to five minutes; never for less than the pause itself."""
        await bench.lead("a")
        assert await bench.store.fail(OURS, "a", Failure.TRANSIENT, asked) == pytest.approx(kept)
        assert await bench.cooling() == pytest.approx(kept)

    async def test_a_token_in_the_store_serves_meanwhile(self, bench: Bench) -> None:
        """A renewal that failed is nobody's trouble yet."""
        token = await bench.log_in("a")
        await bench.lead("b", above=token.generation)
        await bench.store.fail(OURS, "b", Failure.TRANSIENT, 100.0)
        assert await bench.found() == token


class TestRepetition:
    """A lost reply is sent again, so every call is harmless when it is repeated with the same owner."""

    async def test_a_claim(self, bench: Bench) -> None:
        """The leader stays the leader, under the same number."""
        assert len({await bench.lead("a") for _ in range(3)}) == 1

    async def test_a_publication(self, bench: Bench) -> None:
        """The token is there, whatever the second answer is, and a claim finds it."""
        token = await bench.log_in("a")
        await bench.store.publish(OURS, "a", token)
        assert await bench.claim("a", above=token.generation - 1) == Found(token)

    @pytest.mark.parametrize("failure", [Failure.REJECTED, Failure.AMBIGUOUS])
    async def test_a_failure_is_charged_once(self, bench: Bench, failure: Failure) -> None:
        """Two attempts means two."""
        await bench.log_in_badly("a", failure, WRONG)
        await bench.store.fail(WRONG, "a", failure)
        bench.clock.now += 60
        await bench.lead("b", WORSE)

    async def test_a_failure_cools_once(self, bench: Bench) -> None:
        """The second answer is what is left of the pause."""
        pause = await bench.log_in_badly("a", Failure.TRANSIENT)
        bench.clock.now += pause / 4
        assert await bench.store.fail(OURS, "a", Failure.TRANSIENT) == pytest.approx(pause * 3 / 4)
        assert await bench.cooling() == pytest.approx(pause * 3 / 4)
        bench.clock.now += pause
        assert await bench.store.fail(OURS, "a", Failure.TRANSIENT) == 0

    async def test_a_failure_that_is_repeated_late_leaves_the_next_leader_alone(self, bench: Bench) -> None:
        """Its lease is not the reporter's."""
        pause = await bench.log_in_badly("a", Failure.TRANSIENT)
        bench.clock.now += pause + 0.01
        await bench.lead("b")
        await bench.store.fail(OURS, "a", Failure.TRANSIENT)
        assert await bench.store.beat(OURS, "b")

    async def test_a_sign_of_life(self, bench: Bench) -> None:
        """Two at once are as good as one."""
        await bench.lead("a")
        assert [await bench.store.beat(OURS, "a") for _ in range(2)] == [True, True]

    async def test_a_rejection_and_a_reset(self, bench: Bench) -> None:
        """Twice is once."""
        token = await bench.log_in("a")
        for _ in range(2):
            await bench.store.reject(OURS, token.generation)
            await bench.store.reset(OURS)
        assert isinstance(await bench.claim("b"), Lead)
