"""The contract of every token store: which worker may log in, how often, and after which pause."""

from __future__ import annotations

import pytest
from tokens.benches import LEASE, OURS, WORSE, WRONG, Bench

from enkash_async.tokens import Cooling, Failure, Lead, Refused, Token


class TestGuard:
    async def test_refused_credentials_are_barred(self, bench: Bench) -> None:
        """The store refuses the next claim at once and names no pause."""
        assert await bench.log_in_badly("a", Failure.REJECTED, WRONG) == 0
        assert await bench.claim("b", WRONG) == Refused("rejected")
        await bench.passes(1e6)
        assert await bench.claim("c", WRONG) == Refused("rejected")

    async def test_corrected_credentials_are_tried_at_once(self, bench: Bench) -> None:
        """The store bars the wrong credentials alone."""
        await bench.log_in_badly("a", Failure.REJECTED, WRONG)
        token = await bench.log_in("b")
        assert await bench.claim("c", WRONG, above=token.generation) == Refused("rejected")

    @pytest.mark.parametrize("failure", [Failure.REJECTED, Failure.AMBIGUOUS])
    async def test_unproven_credentials_get_two_attempts_in_all(self, bench: Bench, failure: Failure) -> None:
        """All passwords share the budget, because a third wrong one would lock the account."""
        for owner, who in (("a", WRONG), ("b", WORSE)):
            await bench.log_in_badly(owner, failure, who)
            await bench.passes(60)
        assert await bench.claim("c", OURS) == Refused("budget")
        await bench.passes(1e6)
        assert await bench.claim("d", OURS) == Refused("budget")

    async def test_credentials_that_worked_are_not_charged(self, bench: Bench) -> None:
        """A lost answer takes nothing from the budget of proven credentials."""
        token = await bench.log_in("a")
        await bench.store.reject(OURS, token.generation)
        for attempt in range(6):
            await bench.log_in_badly(f"b{attempt}", Failure.AMBIGUOUS)
            await bench.passes(60)
        await bench.log_in("c")

    async def test_a_login_that_works_gives_the_budget_back(self, bench: Bench) -> None:
        """The store resets the budget, as EnKash resets its count."""
        await bench.log_in_badly("a", Failure.REJECTED, WRONG)
        token = await bench.log_in("b")
        await bench.store.reject(OURS, token.generation)
        await bench.log_in_badly("c", Failure.REJECTED, WORSE)
        await bench.log_in("d")

    async def test_credentials_that_worked_before_can_be_barred(self, bench: Bench) -> None:
        """The store counts a password as unproven once EnKash refuses it."""
        token = await bench.log_in("a")
        await bench.store.reject(OURS, token.generation)
        await bench.log_in_badly("b", Failure.REJECTED)
        assert await bench.claim("c") == Refused("rejected")

    async def test_a_refusal_of_proven_credentials_is_charged(self, bench: Bench) -> None:
        """The old password and one correction use up the budget, so EnKash does not lock."""
        token = await bench.log_in("a")
        await bench.store.reject(OURS, token.generation)
        await bench.log_in_badly("b", Failure.REJECTED)
        await bench.log_in_badly("c", Failure.REJECTED, WRONG)
        assert await bench.claim("d", WORSE) == Refused("budget")

    async def test_a_login_that_was_cut_off_is_charged_and_keeps_nobody_waiting(self, bench: Bench) -> None:
        """The store charges it, because EnKash may have counted it, and sets no pause."""
        assert await bench.log_in_badly("a", Failure.ABANDONED) == 0
        await bench.log_in_badly("b", Failure.ABANDONED)
        assert await bench.claim("c") == Refused("budget")

    async def test_credentials_that_were_refused_have_to_prove_themselves_again(self, bench: Bench) -> None:
        """After an operator's reset they get two attempts and are unproven."""
        token = await bench.log_in("a")
        await bench.store.reject(OURS, token.generation)
        await bench.log_in_badly("b", Failure.REJECTED)
        await bench.store.reset(OURS)
        for owner in ("c", "d"):
            await bench.log_in_badly(owner, Failure.AMBIGUOUS)
            await bench.passes(60)
        assert await bench.claim("e") == Refused("budget")

    async def test_a_login_from_before_a_refusal_does_not_lift_the_bar(self, bench: Bench) -> None:
        """A stopped leader's token is served, and its credentials stay barred."""
        late = bench.token(await bench.lead("a"))
        await bench.passes(LEASE + 0.1)
        await bench.log_in_badly("b", Failure.REJECTED)
        assert await bench.store.publish(OURS, "a", late)
        await bench.assert_found(late)
        assert await bench.claim("c", above=late.generation) == Refused("rejected")

    async def test_a_refusal_from_before_a_login_that_worked_is_not_held_against_it(self, bench: Bench) -> None:
        """The store ignores a report that an outage delayed past a good login."""
        await bench.log_in("a")
        fence = (await bench.find()).token.generation - 1
        assert await bench.store.fail(OURS, "late", Failure.LOCKED, fence=fence) == 0
        assert (await bench.find()).proven
        await bench.lead("b", above=fence + 1)

    async def test_a_refusal_from_after_the_last_login_is_believed(self, bench: Bench) -> None:
        """The store accepts the report of a worker that never led."""
        await bench.log_in("a")
        fence = (await bench.find()).token.generation + 1
        await bench.store.fail(OURS, "late", Failure.REJECTED, fence=fence)
        assert not (await bench.find()).proven
        assert await bench.claim("b", above=fence) == Refused("rejected")

    async def test_a_locked_account_stops_everybody(self, bench: Bench) -> None:
        """The store refuses the right password too, because it could prolong the lock."""
        await bench.log_in_badly("a", Failure.LOCKED, WRONG)
        assert await bench.claim("b", WRONG) == Refused("locked")
        assert await bench.claim("c", OURS) == Refused("locked")

    async def test_a_token_in_the_store_serves_behind_the_guard(self, bench: Bench) -> None:
        """A lock stops logins and does not withhold a token that the store has."""
        token = await bench.log_in("a")
        await bench.lead("b", WRONG, above=token.generation)
        await bench.store.fail(WRONG, "b", Failure.LOCKED)
        await bench.assert_found(token, WRONG)

    @pytest.mark.parametrize("failure", list(Failure))
    async def test_an_operator_puts_everything_back(self, bench: Bench, failure: Failure) -> None:
        """`reset` clears bars, budget, lock and cooldown, so that the next claim leads."""
        for owner, who in (("a", OURS), ("b", WRONG)):
            if isinstance(await bench.claim(owner, who), Lead):
                await bench.store.fail(who, owner, failure)
            await bench.passes(60)
        await bench.store.reset(OURS)
        await bench.log_in("c")

    async def test_a_reset_forgets_the_cooldown_and_the_failures_before(self, bench: Bench) -> None:
        """The next pause has the length of a first one."""
        first = await bench.log_in_badly("a", Failure.TRANSIENT)
        await bench.passes(first)
        assert await bench.log_in_badly("b", Failure.TRANSIENT) > first
        await bench.store.reset(OURS)
        assert await bench.log_in_badly("c", Failure.TRANSIENT) == first

    async def test_the_failure_of_a_leader_without_lease_counts(self, bench: Bench) -> None:
        """The store charges it, because EnKash has counted the attempt."""
        await bench.lead("a", WRONG)
        await bench.passes(LEASE + 0.1)
        await bench.log_in_badly("b", Failure.REJECTED, WORSE)
        await bench.store.fail(WRONG, "a", Failure.REJECTED)
        assert await bench.claim("c", WRONG) == Refused("rejected")
        assert await bench.claim("c", OURS) == Refused("budget")


class TestAbandoned:
    """The store treats the login of a leader that vanished as made."""

    async def test_it_is_charged_to_credentials_that_never_worked(self, bench: Bench) -> None:
        """Two abandoned logins use up the budget."""
        for owner, who in (("a", WRONG), ("b", WORSE)):
            await bench.lead(owner, who)
            await bench.passes(LEASE + 0.1)
        assert await bench.claim("c", OURS) == Refused("budget")

    async def test_it_is_not_charged_to_credentials_that_have_worked(self, bench: Bench) -> None:
        """Workers can die any number of times."""
        await bench.store.reject(OURS, (await bench.log_in("a")).generation)
        for number in range(6):
            await bench.lead(f"b{number}")
            await bench.passes(LEASE + 0.1)
        await bench.log_in("c")

    async def test_it_is_charged_by_any_finder(self, bench: Bench) -> None:
        """The store charges the vanished leader's credentials, although the finder's are proven."""
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
        """The leader was stopped, and its one attempt is charged once."""
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
        """Its refusal bars its credentials and charges nothing more."""
        await bench.lead("a", WRONG)
        await bench.passes(LEASE + 0.1)
        await bench.lead("b")
        await bench.store.fail(WRONG, "a", Failure.REJECTED)
        assert await bench.claim("c", WRONG) == Refused("rejected")

    async def test_a_login_from_before_a_charge_does_not_give_the_budget_back(self, bench: Bench) -> None:
        """Its own credentials are proven and may log in."""
        late = bench.token(await bench.lead("a"))
        await bench.passes(LEASE + 0.1)
        await bench.log_in_badly("b", Failure.REJECTED, WRONG)
        await bench.store.publish(OURS, "a", late)
        assert await bench.claim("c", WORSE, above=late.generation) == Refused("budget")
        await bench.lead("d", above=late.generation)

    async def test_a_leader_that_comes_back_to_its_own_lease_is_not_charged(self, bench: Bench) -> None:
        """A repeated claim costs nothing, because its login has not begun."""
        first = await bench.lead("a", WRONG)
        await bench.passes(LEASE + 0.1)
        assert await bench.lead("a", WRONG) > first
        await bench.store.fail(WRONG, "a", Failure.TRANSIENT)
        await bench.passes(60)
        await bench.log_in_badly("b", Failure.AMBIGUOUS, WORSE)
        await bench.passes(60)
        await bench.lead("c")

    async def test_it_is_not_charged_before_it_began(self, bench: Bench) -> None:
        """The claim's answer was lost, so no worker made the login."""
        for number in range(4):
            assert isinstance(await bench.claim(f"a{number}", WRONG), Lead)
            await bench.passes(LEASE + 0.1)
        await bench.lead("b")

    async def test_a_beginning_that_was_given_up_is_not_charged(self, bench: Bench) -> None:
        """The owner asks again after a lost answer and before it sends anything."""
        await bench.lead("a", WRONG)
        await bench.passes(LEASE + 0.1)
        assert isinstance(await bench.claim("a", WRONG), Lead)
        await bench.passes(LEASE + 0.1)
        await bench.log_in_badly("b", Failure.AMBIGUOUS, WORSE)
        await bench.passes(60)
        await bench.lead("c")

    async def test_it_is_charged_although_the_account_was_reset_meanwhile(self, bench: Bench) -> None:
        """A reset does not cover a login in flight, or EnKash could count three in a row."""
        await bench.lead("a", WRONG)
        await bench.store.reset(OURS)
        await bench.passes(LEASE + 0.1)
        await bench.log_in_badly("b", Failure.AMBIGUOUS, WORSE)
        await bench.passes(60)
        assert await bench.claim("c") == Refused("budget")

    async def test_it_is_charged_once_however_many_ask(self, bench: Bench) -> None:
        """The first finder charges it, and later ones do not."""
        await bench.lead("a", WRONG)
        await bench.passes(LEASE + 0.1)
        for owner in ("b", "c", "d", "b"):
            await bench.claim(owner)
        await bench.store.fail(OURS, "b", Failure.TRANSIENT)
        await bench.passes(60)
        await bench.lead("e")


class TestOffered:
    """A token that was fetched during an outage says nothing about what came after it."""

    async def _offer(self, bench: Bench, known: Token) -> Token:
        token = bench.token(known.generation + 1)
        assert await bench.store.publish(OURS, "offerer", token)
        return token

    async def test_it_does_not_give_back_what_vanished_leaders_spent(self, bench: Bench) -> None:
        """EnKash may have counted their attempts after that login."""
        known = await bench.log_in("a")
        for owner in ("b", "c"):
            await bench.lead(owner, WRONG, above=known.generation)
            await bench.passes(LEASE + 0.1)
        assert await bench.claim("d", WRONG, above=known.generation) == Refused("budget")
        offered = await self._offer(bench, known)
        assert await bench.claim("e", WRONG, above=offered.generation) == Refused("budget")

    @pytest.mark.parametrize("failure", [Failure.TRANSIENT, Failure.AMBIGUOUS])
    async def test_it_does_not_end_a_cooldown(self, bench: Bench, failure: Failure) -> None:
        """The store keeps a pause that EnKash asked for after it had issued the offered token."""
        known = await bench.log_in("a")
        await bench.lead("b", above=known.generation)
        await bench.store.fail(OURS, "b", failure, 200.0)
        offered = await self._offer(bench, known)
        assert isinstance(await bench.claim("c", above=offered.generation), Cooling)

    @pytest.mark.parametrize("failure", [Failure.REJECTED, Failure.LOCKED])
    async def test_it_does_not_lift_a_bar(self, bench: Bench, failure: Failure) -> None:
        """Its own credentials and the account stay barred."""
        known = await bench.log_in("a")
        await bench.lead("b", above=known.generation)
        await bench.store.fail(OURS, "b", failure)
        offered = await self._offer(bench, known)
        await bench.assert_found(offered)
        assert not (await bench.find()).proven
        assert isinstance(await bench.claim("c", above=offered.generation), Refused)


class TestCooldown:
    @pytest.mark.parametrize("failure", [Failure.TRANSIENT, Failure.AMBIGUOUS])
    async def test_a_transient_failure_holds_everybody_back(self, bench: Bench, failure: Failure) -> None:
        """The pause holds for all credentials, and then one worker may try."""
        await bench.lead("a")
        assert await bench.store.fail(OURS, "a", failure, 20.0) == pytest.approx(20)
        await bench.passes(12)
        assert await bench.cooling(who=WORSE) == pytest.approx(8, abs=3)
        await bench.passes(8.1)
        await bench.lead("b")

    async def test_it_doubles_up_to_half_a_minute(self, bench: Bench) -> None:
        """Each failure in a row doubles the pause."""
        pauses = []
        for attempt in range(70):
            pauses.append(await bench.log_in_badly(f"a{attempt}", Failure.TRANSIENT))
            await bench.passes(pauses[-1] + 0.01)
        assert pauses[:8] == pytest.approx([0.5, 1, 2, 4, 8, 16, 30, 30])
        assert pauses[-1] == pytest.approx(30)

    async def test_a_random_part_of_it_is_waited(self, bench: Bench) -> None:
        """The pause is random, so that a fleet does not come back in step."""
        bench.chance[0] = 0.25
        assert await bench.log_in_badly("a", Failure.TRANSIENT) == pytest.approx(0.125)

    async def test_a_late_report_does_not_shorten_it(self, bench: Bench) -> None:
        """A stopped leader's report does not undo the pause that EnKash asked for."""
        await bench.lead("a")
        await bench.passes(LEASE + 0.1)
        await bench.lead("b", WRONG)
        await bench.store.fail(WRONG, "b", Failure.TRANSIENT, 200.0)
        assert await bench.store.fail(OURS, "a", Failure.TRANSIENT) == pytest.approx(200, abs=3)
        assert await bench.cooling() == pytest.approx(200, abs=3)

    async def test_a_login_that_works_starts_it_anew(self, bench: Bench) -> None:
        """The next failure has the pause of a first one."""
        for attempt in range(4):
            await bench.log_in_badly(f"a{attempt}", Failure.TRANSIENT)
            await bench.passes(60)
        token = await bench.log_in("b")
        await bench.store.reject(OURS, token.generation)
        assert await bench.log_in_badly("c", Failure.TRANSIENT) == pytest.approx(0.5)

    @pytest.mark.parametrize(("asked", "kept"), [(0.1, 0.5), (20.0, 20.0), (300.0, 300.0), (86_400.0, 300.0)])
    async def test_enkash_may_ask_for_more(self, bench: Bench, asked: float, kept: float) -> None:
        """The pause has EnKash's seconds up to five minutes and is never shorter than the store's own."""
        await bench.lead("a")
        assert await bench.store.fail(OURS, "a", Failure.TRANSIENT, asked) == pytest.approx(kept)
        if kept > 1:
            assert await bench.cooling() == pytest.approx(kept, abs=3)

    async def test_a_token_in_the_store_serves_meanwhile(self, bench: Bench) -> None:
        """Callers get the token, although its renewal failed."""
        token = await bench.log_in("a")
        await bench.lead("b", above=token.generation)
        await bench.store.fail(OURS, "b", Failure.TRANSIENT, 100.0)
        await bench.assert_found(token)
