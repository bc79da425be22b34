"""The contract of every token store: a call that is sent again changes nothing."""

from __future__ import annotations

import pytest
from tokens.benches import OURS, WORSE, WRONG, Bench

from enkash_async.tokens import Failure, Lead, Refused


class TestRepetition:
    """A call with a lost reply is sent again, so each call is idempotent for one owner."""

    async def test_a_claim(self, bench: Bench) -> None:
        """The leader keeps its lease and its generation."""
        assert len({await bench.lead("a") for _ in range(3)}) == 1

    async def test_a_publication(self, bench: Bench) -> None:
        """The store gives the same answer and has the token."""
        token = await bench.log_in("a")
        for _ in range(2):
            assert await bench.store.publish(OURS, "a", token)
            await bench.assert_found(token)

    async def test_a_publication_after_a_newer_one(self, bench: Bench) -> None:
        """The store refuses the older token and keeps the newer one."""
        token = await bench.log_in("a")
        newer = await bench.log_in("b", above=token.generation)
        assert not await bench.store.publish(OURS, "a", token)
        await bench.assert_found(newer)

    async def test_a_publication_after_a_refusal(self, bench: Bench) -> None:
        """The store does not bring a refused token back."""
        token = await bench.log_in("a")
        await bench.store.reject(OURS, token.generation)
        assert not await bench.store.publish(OURS, "a", token)
        assert isinstance(await bench.claim("b"), Lead)

    async def test_a_publication_does_not_undo_what_was_said_since(self, bench: Bench) -> None:
        """The account stays locked when an abandoned leader repeats its publication."""
        await bench.log_in_badly("a", Failure.REJECTED)
        late = bench.token(await bench.lead("b", WRONG))
        await bench.passes(7)
        assert await bench.claim("c") == Refused("rejected")
        assert await bench.store.publish(WRONG, "b", late)
        await bench.store.fail(OURS, "d", Failure.LOCKED)
        assert await bench.store.publish(WRONG, "b", late)
        assert await bench.claim("e", WRONG, above=late.generation) == Refused("locked")

    async def test_a_publication_of_a_forced_renewal(self, bench: Bench) -> None:
        """The half minute counts from the first publication."""
        await bench.store.reject(OURS, (await bench.log_in("a")).generation)
        token = await bench.log_in("b")
        await bench.passes(20)
        assert await bench.store.publish(OURS, "b", token)
        assert (await bench.find()).settled == pytest.approx(10, abs=4)

    @pytest.mark.parametrize("failure", [Failure.REJECTED, Failure.AMBIGUOUS])
    async def test_a_failure_is_charged_once(self, bench: Bench, failure: Failure) -> None:
        """A repeated report takes nothing from the budget, so a second attempt is left."""
        await bench.log_in_badly("a", failure, WRONG)
        await bench.store.fail(WRONG, "a", failure)
        await bench.passes(60)
        await bench.lead("b", WORSE)

    @pytest.mark.parametrize("failure", [Failure.AMBIGUOUS, Failure.TRANSIENT, Failure.ABANDONED])
    async def test_a_failure_is_counted_once_with_others_in_between(self, bench: Bench, failure: Failure) -> None:
        """The store charges it once, although another worker has reported in between."""
        await bench.log_in_badly("a", failure, WRONG)
        await bench.passes(60)
        others = [f"b{number}" for number in range(10)]
        for owner in others:
            await bench.log_in_badly(owner, Failure.TRANSIENT)
            await bench.store.fail(WRONG, "a", failure)
            await bench.passes(60)
        await bench.log_in_badly("c", Failure.TRANSIENT, WORSE)
        await bench.passes(60)
        await bench.lead("d", WORSE)

    async def test_a_failure_that_is_repeated_later_does_not_lengthen_the_next_pause(self, bench: Bench) -> None:
        """A repeat does not count as one more failure in a row."""
        await bench.log_in_badly("a", Failure.TRANSIENT)
        await bench.passes(60)
        assert await bench.log_in_badly("b", Failure.TRANSIENT) == pytest.approx(1)
        await bench.store.fail(OURS, "a", Failure.TRANSIENT)
        await bench.passes(60)
        assert await bench.log_in_badly("c", Failure.TRANSIENT) == pytest.approx(2)

    async def test_a_failure_cools_once(self, bench: Bench) -> None:
        """The second answer has the rest of the pause."""
        await bench.lead("a")
        assert await bench.store.fail(OURS, "a", Failure.TRANSIENT, 100.0) == pytest.approx(100)
        await bench.passes(25)
        assert await bench.store.fail(OURS, "a", Failure.TRANSIENT, 100.0) == pytest.approx(75, abs=3)
        assert await bench.cooling() == pytest.approx(75, abs=3)
        await bench.passes(76)
        assert await bench.store.fail(OURS, "a", Failure.TRANSIENT, 100.0) == 0

    async def test_a_failure_that_is_repeated_late_leaves_the_next_leader_alone(self, bench: Bench) -> None:
        """The repeat does not end the next leader's lease."""
        pause = await bench.log_in_badly("a", Failure.TRANSIENT)
        await bench.passes(pause + 0.01)
        await bench.lead("b")
        await bench.store.fail(OURS, "a", Failure.TRANSIENT)
        assert await bench.store.beat(OURS, "b")

    async def test_a_sign_of_life(self, bench: Bench) -> None:
        """Two heartbeats at once have the effect of one."""
        await bench.lead("a")
        assert [await bench.store.beat(OURS, "a") for _ in range(2)] == [True, True]

    async def test_a_rejection_and_a_reset(self, bench: Bench) -> None:
        """The store ends in the same state when each of the two calls is sent twice."""
        token = await bench.log_in("a")
        for _ in range(2):
            await bench.store.reject(OURS, token.generation)
            await bench.store.reset(OURS)
        assert isinstance(await bench.claim("b"), Lead)
