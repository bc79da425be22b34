"""What every token store keeps: who may log in, how often, and after which pause."""

from __future__ import annotations

import pytest
from tokens.benches import LEASE, OURS, WORSE, WRONG, Bench

from enkash_async.tokens import Cooling, Failure, Lead, Refused, Token


class TestGuard:
    async def test_refused_credentials_are_barred(self, bench: Bench) -> None:
        """There is nothing to wait for."""
        assert await bench.log_in_badly("a", Failure.REJECTED, WRONG) == 0
        assert await bench.claim("b", WRONG) == Refused("rejected")
        await bench.passes(1e6)
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
            await bench.passes(60)
        assert await bench.claim("c", OURS) == Refused("budget")
        await bench.passes(1e6)
        assert await bench.claim("d", OURS) == Refused("budget")

    async def test_credentials_that_worked_are_not_charged(self, bench: Bench) -> None:
        """A login that gets no answer is no wrong password then."""
        token = await bench.log_in("a")
        await bench.store.reject(OURS, token.generation)
        for attempt in range(6):
            await bench.log_in_badly(f"b{attempt}", Failure.AMBIGUOUS)
            await bench.passes(60)
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
            await bench.passes(60)
        assert await bench.claim("e") == Refused("budget")

    async def test_a_login_from_before_a_refusal_does_not_lift_the_bar(self, bench: Bench) -> None:
        """Its leader was paused; what it brings serves, but EnKash has said no since."""
        late = bench.token(await bench.lead("a"))
        await bench.passes(LEASE + 0.1)
        await bench.log_in_badly("b", Failure.REJECTED)
        assert await bench.store.publish(OURS, "a", late)
        await bench.assert_found(late)
        assert await bench.claim("c", above=late.generation) == Refused("rejected")

    async def test_a_refusal_from_before_a_login_that_worked_is_not_held_against_it(self, bench: Bench) -> None:
        """It was kept back by an outage; the fleet has a token by now."""
        await bench.log_in("a")
        fence = (await bench.find()).token.generation - 1
        assert await bench.store.fail(OURS, "late", Failure.LOCKED, fence=fence) == 0
        assert (await bench.find()).proven
        await bench.lead("b", above=fence + 1)

    async def test_a_refusal_from_after_the_last_login_is_believed(self, bench: Bench) -> None:
        """Although whoever reports it has never led here."""
        await bench.log_in("a")
        fence = (await bench.find()).token.generation + 1
        await bench.store.fail(OURS, "late", Failure.REJECTED, fence=fence)
        assert not (await bench.find()).proven
        assert await bench.claim("b", above=fence) == Refused("rejected")

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
        await bench.assert_found(token, WRONG)

    @pytest.mark.parametrize("failure", list(Failure))
    async def test_an_operator_puts_everything_back(self, bench: Bench, failure: Failure) -> None:
        """Bars, budget, lock and cooldown."""
        for owner, who in (("a", OURS), ("b", WRONG)):
            if isinstance(await bench.claim(owner, who), Lead):
                await bench.store.fail(who, owner, failure)
            await bench.passes(60)
        await bench.store.reset(OURS)
        await bench.log_in("c")

    async def test_a_reset_forgets_the_cooldown_and_the_failures_before(self, bench: Bench) -> None:
        """The next pause is the first one again."""
        first = await bench.log_in_badly("a", Failure.TRANSIENT)
        await bench.passes(first)
        assert await bench.log_in_badly("b", Failure.TRANSIENT) > first
        await bench.store.reset(OURS)
        assert await bench.log_in_badly("c", Failure.TRANSIENT) == first

    async def test_the_failure_of_a_leader_without_lease_counts(self, bench: Bench) -> None:
        """It made its attempt, and EnKash has counted it."""
        await bench.lead("a", WRONG)
        await bench.passes(LEASE + 0.1)
        await bench.log_in_badly("b", Failure.REJECTED, WORSE)
        await bench.store.fail(WRONG, "a", Failure.REJECTED)
        assert await bench.claim("c", WRONG) == Refused("rejected")
        assert await bench.claim("c", OURS) == Refused("budget")


class TestAbandoned:
    """A leader that vanished may have sent its login."""

    async def test_it_is_charged_to_credentials_that_never_worked(self, bench: Bench) -> None:
        """Two such, and there is no third."""
        for owner, who in (("a", WRONG), ("b", WORSE)):
            await bench.lead(owner, who)
            await bench.passes(LEASE + 0.1)
        assert await bench.claim("c", OURS) == Refused("budget")

    async def test_it_is_not_charged_to_credentials_that_have_worked(self, bench: Bench) -> None:
        """Workers may die as often as they like."""
        await bench.store.reject(OURS, (await bench.log_in("a")).generation)
        for number in range(6):
            await bench.lead(f"b{number}")
            await bench.passes(LEASE + 0.1)
        await bench.log_in("c")

    async def test_it_is_charged_whoever_finds_it(self, bench: Bench) -> None:
        """What counts is whose login it was, not that the finder's would have worked."""
        token = await bench.log_in("a")
        for owner, who in (("b", WRONG), ("c", OURS), ("d", WORSE), ("e", OURS)):
            await bench.lead(owner, who, above=token.generation)
            await bench.passes(LEASE + 0.1)
        assert await bench.claim("f", WRONG, above=token.generation) == Refused("budget")
        await bench.lead("g", OURS, above=token.generation)

    @pytest.mark.parametrize("failure", [Failure.REJECTED, Failure.AMBIGUOUS, Failure.ABANDONED])
    async def test_it_is_not_charged_again_when_the_leader_reports_after_all(
        self, bench: Bench, failure: Failure
    ) -> None:
        """It was stopped rather than gone; there was one attempt."""
        await bench.lead("a", WRONG)
        await bench.passes(LEASE + 0.1)
        await bench.lead("b", WORSE)
        await bench.store.fail(WRONG, "a", failure)
        await bench.store.fail(WORSE, "b", Failure.TRANSIENT)
        await bench.passes(60)
        await bench.log_in_badly("c", Failure.AMBIGUOUS)
        await bench.passes(60)
        assert await bench.claim("d") == Refused("budget")

    async def test_the_leader_that_reports_after_all_is_believed(self, bench: Bench) -> None:
        """Its refusal bars its credentials, though it charges nothing."""
        await bench.lead("a", WRONG)
        await bench.passes(LEASE + 0.1)
        await bench.lead("b")
        await bench.store.fail(WRONG, "a", Failure.REJECTED)
        assert await bench.claim("c", WRONG) == Refused("rejected")

    async def test_a_login_from_before_a_charge_does_not_give_the_budget_back(self, bench: Bench) -> None:
        """But its own credentials have worked, and may go on."""
        late = bench.token(await bench.lead("a"))
        await bench.passes(LEASE + 0.1)
        await bench.log_in_badly("b", Failure.REJECTED, WRONG)
        await bench.store.publish(OURS, "a", late)
        assert await bench.claim("c", WORSE, above=late.generation) == Refused("budget")
        await bench.lead("d", above=late.generation)

    async def test_a_leader_that_comes_back_to_its_own_lease_is_not_charged(self, bench: Bench) -> None:
        """The claim was sent again, late; its login is yet to come."""
        first = await bench.lead("a", WRONG)
        await bench.passes(LEASE + 0.1)
        assert await bench.lead("a", WRONG) > first
        await bench.store.fail(WRONG, "a", Failure.TRANSIENT)
        await bench.passes(60)
        await bench.log_in_badly("b", Failure.AMBIGUOUS, WORSE)
        await bench.passes(60)
        await bench.lead("c")

    async def test_it_is_not_charged_before_it_began(self, bench: Bench) -> None:
        """A claim whose answer was lost: nobody heard that it might log in, and so nobody did."""
        for number in range(4):
            assert isinstance(await bench.claim(f"a{number}", WRONG), Lead)
            await bench.passes(LEASE + 0.1)
        await bench.lead("b")

    async def test_a_beginning_that_was_given_up_is_not_charged(self, bench: Bench) -> None:
        """Its answer was lost, and the same owner asked again before anything was sent."""
        await bench.lead("a", WRONG)
        await bench.passes(LEASE + 0.1)
        assert isinstance(await bench.claim("a", WRONG), Lead)
        await bench.passes(LEASE + 0.1)
        await bench.log_in_badly("b", Failure.AMBIGUOUS, WORSE)
        await bench.passes(60)
        await bench.lead("c")

    async def test_it_is_charged_although_the_account_was_reset_meanwhile(self, bench: Bench) -> None:
        """An operator forgives what has been, not what is under way: with two more, there would be three in a row."""
        await bench.lead("a", WRONG)
        await bench.store.reset(OURS)
        await bench.passes(LEASE + 0.1)
        await bench.log_in_badly("b", Failure.AMBIGUOUS, WORSE)
        await bench.passes(60)
        assert await bench.claim("c") == Refused("budget")

    async def test_it_is_charged_once_however_many_ask(self, bench: Bench) -> None:
        """The first who finds it does."""
        await bench.lead("a", WRONG)
        await bench.passes(LEASE + 0.1)
        for owner in ("b", "c", "d", "b"):
            await bench.claim(owner)
        await bench.store.fail(OURS, "b", Failure.TRANSIENT)
        await bench.passes(60)
        await bench.lead("e")


class TestOffered:
    """A token that was fetched while the store was away says nothing of what came after it."""

    async def _offer(self, bench: Bench, known: Token) -> Token:
        token = bench.token(known.generation + 1)
        assert await bench.store.publish(OURS, "offerer", token)
        return token

    async def test_it_does_not_give_back_what_vanished_leaders_spent(self, bench: Bench) -> None:
        """Their attempts may be counted on top of it."""
        known = await bench.log_in("a")
        for owner in ("b", "c"):
            await bench.lead(owner, WRONG, above=known.generation)
            await bench.passes(LEASE + 0.1)
        assert await bench.claim("d", WRONG, above=known.generation) == Refused("budget")
        offered = await self._offer(bench, known)
        assert await bench.claim("e", WRONG, above=offered.generation) == Refused("budget")

    @pytest.mark.parametrize("failure", [Failure.TRANSIENT, Failure.AMBIGUOUS])
    async def test_it_does_not_end_a_cooldown(self, bench: Bench, failure: Failure) -> None:
        """EnKash asked for patience since."""
        known = await bench.log_in("a")
        await bench.lead("b", above=known.generation)
        await bench.store.fail(OURS, "b", failure, 200.0)
        offered = await self._offer(bench, known)
        assert isinstance(await bench.claim("c", above=offered.generation), Cooling)

    @pytest.mark.parametrize("failure", [Failure.REJECTED, Failure.LOCKED])
    async def test_it_does_not_lift_a_bar(self, bench: Bench, failure: Failure) -> None:
        """Neither its own credentials' nor that of the account."""
        known = await bench.log_in("a")
        await bench.lead("b", above=known.generation)
        await bench.store.fail(OURS, "b", failure)
        offered = await self._offer(bench, known)
        await bench.assert_found(offered)
        assert not (await bench.find()).proven
        assert isinstance(await bench.claim("c", above=offered.generation), Refused)


class TestCooldown:
    @pytest.mark.parametrize("failure", [Failure.TRANSIENT, Failure.AMBIGUOUS])
    async def test_a_passing_failure_holds_everybody_back(self, bench: Bench, failure: Failure) -> None:
        """Whatever their credentials; then somebody may try."""
        await bench.lead("a")
        assert await bench.store.fail(OURS, "a", failure, 20.0) == pytest.approx(20)
        await bench.passes(12)
        assert await bench.cooling(who=WORSE) == pytest.approx(8, abs=3)
        await bench.passes(8.1)
        await bench.lead("b")

    async def test_it_doubles_up_to_half_a_minute(self, bench: Bench) -> None:
        """With every failure in a row."""
        pauses = []
        for attempt in range(70):
            pauses.append(await bench.log_in_badly(f"a{attempt}", Failure.TRANSIENT))
            await bench.passes(pauses[-1] + 0.01)
        assert pauses[:8] == pytest.approx([0.5, 1, 2, 4, 8, 16, 30, 30])
        assert pauses[-1] == pytest.approx(30)

    async def test_a_random_part_of_it_is_waited(self, bench: Bench) -> None:
        """So that a fleet does not come back in step."""
        bench.chance[0] = 0.25
        assert await bench.log_in_badly("a", Failure.TRANSIENT) == pytest.approx(0.125)

    async def test_a_late_report_does_not_shorten_it(self, bench: Bench) -> None:
        """EnKash asked for patience; the leader that was paused knows nothing of that."""
        await bench.lead("a")
        await bench.passes(LEASE + 0.1)
        await bench.lead("b", WRONG)
        await bench.store.fail(WRONG, "b", Failure.TRANSIENT, 200.0)
        assert await bench.store.fail(OURS, "a", Failure.TRANSIENT) == pytest.approx(200, abs=3)
        assert await bench.cooling() == pytest.approx(200, abs=3)

    async def test_a_login_that_works_starts_it_anew(self, bench: Bench) -> None:
        """The next failure is a first one."""
        for attempt in range(4):
            await bench.log_in_badly(f"a{attempt}", Failure.TRANSIENT)
            await bench.passes(60)
        token = await bench.log_in("b")
        await bench.store.reject(OURS, token.generation)
        assert await bench.log_in_badly("c", Failure.TRANSIENT) == pytest.approx(0.5)

    @pytest.mark.parametrize(("asked", "kept"), [(0.1, 0.5), (20.0, 20.0), (300.0, 300.0), (86_400.0, 300.0)])
    async def test_enkash_may_ask_for_more(self, bench: Bench, asked: float, kept: float) -> None:
        """Up to five minutes; never for less than the pause itself."""
        await bench.lead("a")
        assert await bench.store.fail(OURS, "a", Failure.TRANSIENT, asked) == pytest.approx(kept)
        if kept > 1:
            assert await bench.cooling() == pytest.approx(kept, abs=3)

    async def test_a_token_in_the_store_serves_meanwhile(self, bench: Bench) -> None:
        """A renewal that failed is nobody's trouble yet."""
        token = await bench.log_in("a")
        await bench.lead("b", above=token.generation)
        await bench.store.fail(OURS, "b", Failure.TRANSIENT, 100.0)
        await bench.assert_found(token)
