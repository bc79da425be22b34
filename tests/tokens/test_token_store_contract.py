"""The contract of every token store: tokens, leases and refusals. A new store joins by a parameter of `place`."""

from __future__ import annotations

import pytest
from tokens.benches import LEASE, OTHERS, OURS, WRONG, Bench

from enkash_async.tokens import Claim, Failure, Found, Lead, Refused, Wait


class TestToken:
    async def test_the_first_comer_leads(self, bench: Bench) -> None:
        """The lease has a generation above the one that its owner named."""
        assert await bench.lead("a") > -1
        assert await bench.lead("x", OTHERS, above=41) > 41

    async def test_a_published_token_is_found(self, bench: Bench) -> None:
        """Every worker of the account finds it, with any password, and the lease is free."""
        token = await bench.log_in("a")
        await bench.assert_found(token)
        await bench.assert_found(token, WRONG)

    async def test_accounts_are_apart(self, bench: Bench) -> None:
        """No account sees the token, the lease or the guard of another one."""
        await bench.log_in("a")
        await bench.lead("b", OTHERS)
        await bench.store.fail(OTHERS, "b", Failure.LOCKED)
        assert isinstance(await bench.claim("c", OTHERS), Refused)
        assert isinstance(await bench.claim("c"), Found)

    async def test_a_token_must_be_above_what_is_asked_for(self, bench: Bench) -> None:
        """A caller who names the stored generation gets the lease, because it wants a newer token."""
        token = await bench.log_in("a")
        assert isinstance(await bench.claim("b", above=token.generation - 1), Found)
        assert await bench.lead("b", above=token.generation) > token.generation

    @pytest.mark.parametrize(("passed", "found"), [(3565.0, True), (3570.0, False), (4000.0, False)])
    async def test_a_token_in_its_last_stretch_is_not_handed_out(
        self, bench: Bench, passed: float, found: bool
    ) -> None:
        """The store holds a token of an hour back in its last 30 s."""
        await bench.log_in("a")
        await bench.passes(passed)
        assert isinstance(await bench.claim("b"), Found if found else Lead)

    async def test_a_login_tops_a_token_that_was_offered(self, bench: Bench) -> None:
        """The next generation exceeds that of a token that was numbered during an outage."""
        known = await bench.log_in("a")
        offered = bench.token(known.generation + 1)
        assert await bench.store.publish(OURS, "offerer", offered)
        await bench.assert_found(offered)
        await bench.passes(3600)
        assert (await bench.log_in("b")).generation > offered.generation

    async def test_generations_only_grow(self, bench: Bench) -> None:
        """The next generation is higher after failures, rejections and abandoned leases too."""
        seen = [(await bench.log_in("a")).generation]
        await bench.store.reject(OURS, seen[-1])
        seen.append(await bench.lead("b"))
        await bench.passes(LEASE + 0.1)
        seen.append(await bench.lead("c"))
        await bench.store.fail(OURS, "c", Failure.TRANSIENT)
        await bench.passes(60)
        seen.append((await bench.log_in("d")).generation)
        await bench.store.reject(OURS, seen[-1] + 100)
        seen.append(await bench.lead("e"))
        assert seen == sorted(set(seen))
        assert seen[-1] > seen[-2] + 100

    async def test_a_token_comes_with_what_is_known_of_the_askers_credentials(self, bench: Bench) -> None:
        """The store says whether the asker's own credentials have worked."""
        await bench.log_in("a")
        assert (await bench.find(OURS)).proven
        assert not (await bench.find(WRONG)).proven
        assert isinstance(await bench.claim("x", OTHERS), Lead)

    async def test_credentials_that_were_refused_are_proven_no_more(self, bench: Bench) -> None:
        """The store keeps serving the token that they brought."""
        token = await bench.log_in("a")
        await bench.lead("b", above=token.generation)
        await bench.store.fail(OURS, "b", Failure.REJECTED)
        assert not (await bench.find(OURS)).proven
        await bench.assert_found(token)


class TestLease:
    async def test_one_leads_and_the_others_wait(self, bench: Bench) -> None:
        """The store tells the others to wait for the lease's length at most."""
        await bench.lead("a")
        waits = [await bench.claim(owner) for owner in ("b", "c", "d")]
        assert all(isinstance(wait, Wait) and 0 < wait.seconds <= LEASE for wait in waits)

    async def test_an_abandoned_login_is_taken_over(self, bench: Bench) -> None:
        """Six seconds after the last heartbeat another worker leads, under a higher generation."""
        first = await bench.lead("a")
        await bench.passes(LEASE - 2)
        assert isinstance(await bench.claim("b"), Wait)
        await bench.passes(2.1)
        assert await bench.lead("b") > first

    async def test_a_sign_of_life_keeps_the_lease(self, bench: Bench) -> None:
        """A heartbeat extends the lease for as long as a login takes."""
        await bench.lead("a")
        for _ in range(5):
            await bench.passes(LEASE - 2)
            assert await bench.store.beat(OURS, "a")
            assert isinstance(await bench.claim("b"), Wait)

    async def test_a_lost_lease_is_not_extended(self, bench: Bench) -> None:
        """The store refuses the heartbeat of a former owner and of one that never led."""
        await bench.store.reject(OURS, (await bench.log_in("proof")).generation)
        await bench.lead("a")
        await bench.passes(LEASE + 0.1)
        await bench.lead("b")
        await bench.passes(LEASE - 2)
        assert not await bench.store.beat(OURS, "a")
        assert not await bench.store.beat(OURS, "stranger")
        await bench.passes(2.1)
        await bench.lead("c")

    async def test_a_lease_that_ran_out_is_not_extended(self, bench: Bench) -> None:
        """The store refuses the heartbeat, although no other worker leads yet."""
        await bench.lead("a")
        await bench.passes(LEASE + 0.1)
        assert not await bench.store.beat(OURS, "a")
        await bench.lead("b")

    async def test_there_is_no_lease_where_nobody_leads(self, bench: Bench) -> None:
        """A heartbeat after its login changes nothing."""
        assert not await bench.store.beat(OURS, "a")
        await bench.log_in("a")
        assert not await bench.store.beat(OURS, "a")

    @pytest.mark.parametrize("failure", list(Failure))
    async def test_only_the_owner_ends_a_lease(self, bench: Bench, failure: Failure) -> None:
        """A leader that was stopped past its lease does not end its successor's."""
        await bench.lead("a")
        await bench.passes(LEASE + 0.1)
        await bench.lead("b")
        await bench.store.fail(OURS, "a", failure)
        assert await bench.store.beat(OURS, "b")

    async def test_a_leader_that_was_paused_cannot_overwrite_a_newer_token(self, bench: Bench) -> None:
        """The store refuses the older token, whenever it arrives."""
        late = bench.token(await bench.lead("a"))
        await bench.passes(LEASE + 0.1)
        newer = await bench.log_in("b")
        assert not await bench.store.publish(OURS, "a", late)
        await bench.assert_found(newer)

    async def test_a_stale_publication_says_nothing_about_its_credentials(self, bench: Bench) -> None:
        """The store does not mark them as proven, because others have led since."""
        late = bench.token(await bench.lead("a", WRONG))
        await bench.passes(LEASE + 0.1)
        newer = await bench.log_in("b")
        assert not (await bench.find(WRONG)).proven
        assert not await bench.store.publish(WRONG, "a", late)
        assert not (await bench.find(WRONG)).proven
        await bench.assert_found(newer, WRONG)

    async def test_a_token_that_died_before_it_is_written_is_nobodys(self, bench: Bench) -> None:
        """The store refuses the token of a process that was stopped until it died."""
        dead = bench.token(await bench.lead("a"), lifetime=5.0)
        await bench.passes(5.1)
        assert not await bench.store.publish(OURS, "a", dead)
        assert await bench.lead("b") > dead.generation

    async def test_a_leader_that_was_paused_does_not_end_its_successors_lease(self, bench: Bench) -> None:
        """The store takes its token as the newest, and the successor's login replaces it later."""
        late = bench.token(await bench.lead("a"))
        await bench.passes(LEASE + 0.1)
        newer = bench.token(await bench.lead("b"))
        assert await bench.store.publish(OURS, "a", late)
        await bench.assert_found(late)
        assert await bench.store.beat(OURS, "b")
        assert await bench.store.publish(OURS, "b", newer)
        await bench.assert_found(newer)


class TestRejection:
    async def test_a_refused_token_is_gone(self, bench: Bench) -> None:
        """The next worker that asks gets the lease."""
        token = await bench.log_in("a")
        await bench.store.reject(OURS, token.generation)
        assert await bench.lead("b") > token.generation

    async def test_an_old_refusal_leaves_the_current_token_alone(self, bench: Bench) -> None:
        """A late 401 of an older generation does not delete the token."""
        old = await bench.log_in("a")
        current = await bench.log_in("b", above=old.generation)
        await bench.store.reject(OURS, old.generation)
        await bench.assert_found(current)

    async def test_refusals_come_in_any_order(self, bench: Bench) -> None:
        """The store keeps the highest refused generation when an older refusal arrives later."""
        old = await bench.log_in("a")
        current = await bench.log_in("b", above=old.generation)
        await bench.store.reject(OURS, current.generation)
        await bench.store.reject(OURS, old.generation)
        assert isinstance(await bench.claim("c"), Lead)

    async def test_a_token_refused_before_it_is_written_is_not_stored(self, bench: Bench) -> None:
        """The store refuses a slow leader's token whose refusal arrived first."""
        late = bench.token(await bench.lead("a"))
        await bench.store.reject(OURS, late.generation)
        assert not await bench.store.publish(OURS, "a", late)
        assert isinstance(await bench.claim("b"), Lead)

    async def test_a_late_refusal_of_an_older_token_deletes_nothing(self, bench: Bench) -> None:
        """The next login is not a forced one either."""
        oldest = await bench.log_in("a")
        old = await bench.log_in("b", above=oldest.generation)
        current = await bench.log_in("c", above=old.generation)
        for late in (oldest, old, oldest):
            await bench.store.reject(OURS, late.generation)
            await bench.assert_found(current)
        assert not _forced(await bench.claim("d", above=current.generation))


class TestForcedRenewal:
    """The store marks a token that replaces a refused one, so that it is not replaced at once."""

    async def test_a_login_after_a_refusal_is_forced(self, bench: Bench) -> None:
        """The first login after it is forced, and the next one is not."""
        assert not _forced(await bench.claim("a"))
        first = bench.token(await bench.lead("a"))
        await bench.store.publish(OURS, "a", first)
        await bench.store.reject(OURS, first.generation)
        assert _forced(await bench.claim("b"))
        assert _forced(await bench.claim("b"))
        second = await bench.log_in("b")
        assert not _forced(await bench.claim("c", above=second.generation))

    async def test_it_stays_forced_until_a_login_works(self, bench: Bench) -> None:
        """Failed and expired logins do not clear the mark that asks for a login."""
        await bench.store.reject(OURS, (await bench.log_in("a")).generation)
        await bench.log_in_badly("b", Failure.TRANSIENT)
        await bench.passes(60)
        assert _forced(await bench.claim("c"))
        await bench.passes(LEASE + 0.1)
        assert _forced(await bench.claim("d"))

    async def test_its_token_is_settled_for_half_a_minute(self, bench: Bench) -> None:
        """Every worker that finds the token learns how much of that time is left."""
        await bench.store.reject(OURS, (await bench.log_in("a")).generation)
        await bench.passes(100)
        await bench.log_in("b")
        for who in (OURS, WRONG):
            assert (await bench.find(who)).settled == pytest.approx(30, abs=4)
        await bench.passes(20)
        assert (await bench.find()).settled == pytest.approx(10, abs=4)
        await bench.passes(10.1)
        assert (await bench.find()).settled == 0

    async def test_the_token_of_an_ordinary_login_is_not_settled(self, bench: Bench) -> None:
        """Neither a first login nor an early renewal marks its token."""
        first = await bench.log_in("a")
        assert (await bench.find()).settled == 0
        await bench.log_in("b", above=first.generation)
        assert (await bench.find()).settled == 0

    async def test_a_refusal_that_a_newer_token_has_answered_forces_nothing(self, bench: Bench) -> None:
        """The newer token came from an ordinary renewal, which the refusal does not mark."""
        old = await bench.log_in("a")
        current = await bench.log_in("b", above=old.generation)
        await bench.store.reject(OURS, old.generation)
        assert (await bench.find()).settled == 0
        assert not _forced(await bench.claim("c", above=current.generation))

    async def test_a_late_refusal_of_an_older_token_forces_nothing(self, bench: Bench) -> None:
        """The next login is an ordinary one, although the newer token has died meanwhile."""
        old = await bench.log_in("a")
        await bench.log_in("b", above=old.generation)
        await bench.passes(3600)
        await bench.store.reject(OURS, old.generation)
        assert not _forced(await bench.claim("c"))


def _forced(claim: Claim) -> bool:
    assert isinstance(claim, Lead), claim
    return claim.forced
