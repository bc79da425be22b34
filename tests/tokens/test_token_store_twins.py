"""The memory store and Redis give the same answers to any calls in any order."""

from __future__ import annotations

import asyncio
from collections import Counter

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokens.benches import OURS, WORSE, WRONG, Bench, memory_bench, redis_bench
from tokens.doubles import Clock

from enkash_async.tokens import Claim, Cooling, Failure, Found, Lead, Refused, Token, Wait

from servers import Server

# An owner's name is unique, and it reports an attempt with the credentials of its claim.
OWNERS = {"a": OURS, "b": OURS, "c": WRONG, "d": WORSE}
CALLS = ["claim", "claim", "claim", "publish", "publish", "fail", "fail", "beat", "reject", "reset", "offer", "wait"]


@attrs.frozen
class Step:
    """One call, or a stretch of time.

    Attributes:
        call: What is done.
        owner: By whom.
        rank: Which of the generations so far is named, counted from the newest; -1 for none.
        failure: How a login failed.
        seconds: How long is waited.
    """

    call: str
    owner: str
    rank: int
    failure: Failure
    seconds: float


STEPS = st.lists(
    st.builds(
        Step,
        st.sampled_from(CALLS),
        st.sampled_from(list(OWNERS)),
        st.integers(-1, 2),
        st.sampled_from(Failure),
        # In whole seconds, so that the moment that passes on a server beside them decides nothing.
        st.sampled_from([2.0, 7.0, 45.0, 700.0, 4000.0]),
    ),
    min_size=3,
    max_size=30,
)


class Twin:
    """One of the two stores; generations are named by their order, because their numbers differ."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.generations: list[int] = []
        self.attempts = Counter[str]()
        self.led: dict[str, Token] = {}  # what the login of an attempt would bring
        self.ended: dict[str, str] = {}  # how an attempt ended, of which the store may hear again

    async def take(self, step: Step) -> list[object]:
        """Carry a step out and return the answer in terms that both stores share."""
        store, who, attempt = self.bench.store, OWNERS[step.owner], f"{step.owner}{self.attempts[step.owner]}"
        match step.call:
            case "claim":
                if attempt in self.ended:  # otherwise it is the same question again
                    attempt = self._attempt(step.owner)
                return self._told(attempt, await store.claim(who, attempt, above=self._named(step.rank)))
            case "beat":
                return [await store.beat(who, attempt)]
            case "publish" if attempt in self.led and self.ended.setdefault(attempt, "well") == "well":
                return [await store.publish(who, attempt, self.led[attempt])]
            case "offer" if self.generations:
                self.generations.append(max(self.generations) + 1)
                return [await store.publish(who, self._attempt("offer"), self.bench.token(self.generations[-1]))]
            case "fail" if self.ended.setdefault(attempt, "badly") == "badly":
                fence = self.led[attempt].generation if attempt in self.led else None
                return [await store.fail(who, attempt, step.failure, 20.0, fence=fence)]
            case "reject":
                await store.reject(who, self._named(step.rank))
            case "reset":
                await store.reset(who)
            case "wait":
                await self.bench.passes(step.seconds)
        return []

    def _attempt(self, owner: str) -> str:
        self.attempts[owner] += 1
        return f"{owner}{self.attempts[owner]}"

    def _named(self, rank: int) -> int:
        return self.generations[-1 - rank] if 0 <= rank < len(self.generations) else -1

    def _told(self, attempt: str, claim: Claim) -> list[object]:
        match claim:
            case Found(token, proven, settled):
                return ["found", self.generations.index(token.generation), proven, settled]
            case Lead(fence, forced):
                if attempt not in self.led or self.led[attempt].generation != fence:
                    assert fence > max(self.generations, default=-1)
                    self.generations.append(fence)
                    self.led[attempt] = self.bench.token(fence)
                return ["lead", self.generations.index(fence), forced]
            case Wait(seconds):
                return ["wait", seconds]
            case Cooling(seconds):
                return ["cooling", seconds]
            case Refused(reason):
                return ["refused", reason]


def alike(ours: list[object], theirs: list[object]) -> bool:
    """Compare answers, with a tolerance of seconds, because the two clocks are read apart."""
    near = [pytest.approx(each, abs=4) if isinstance(each, float) else each for each in ours]
    return near == theirs


def test_they_answer_alike(session_server: Server) -> None:
    """Four owners with three passwords send every kind of call."""

    async def compare(steps: list[Step]) -> None:
        memory = Twin(memory_bench(Clock()))
        async with redis_bench(Clock(), session_server) as bench:
            redis = Twin(bench)
            for number, step in enumerate(steps):
                ours, theirs = await memory.take(step), await redis.take(step)
                assert alike(ours, theirs), f"step {number}: {step}: {ours} but {theirs}"

    # The fixture is the same for all examples, and each of them has a prefix of its own.
    @settings(max_examples=100, suppress_health_check=list(HealthCheck))
    @given(STEPS)
    def run(steps: list[Step]) -> None:
        asyncio.run(compare(steps))

    run()
