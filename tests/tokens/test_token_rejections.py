"""For any order of steps, no caller gets a token that was refused, an older one or a dead one."""

from __future__ import annotations

import asyncio

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st
from tokens.doubles import Clock, Login, SpyStore, ambiguous, transient

from enkash_async.errors import LoginGuardError, TokenEndpointError
from enkash_async.stores import MemoryStore
from enkash_async.tokens import StoreTokenProvider, Token


@attrs.frozen
class Pass:
    """Let time pass."""

    seconds: float


@attrs.frozen
class Ask:
    """Ask for a token several times at once: plainly, and naming one of those seen so far."""

    plainly: int
    naming: list[int]


@attrs.frozen
class Fail:
    """Have the next login fail."""

    counted: bool


STEPS = st.lists(
    st.one_of(
        st.builds(Pass, st.sampled_from([0.1, 1.0, 4.9, 5.0, 6.0, 20.0, 31.0, 59.0, 300.0])),
        st.builds(Ask, st.integers(0, 3), st.lists(st.integers(0, 9), max_size=4)),
        st.builds(Fail, st.booleans()),
    ),
    max_size=25,
)


class Run:
    """Carries steps out and checks each answer."""

    def __init__(self, lifetime: float) -> None:
        self.clock = Clock()
        self.login = Login(self.clock, lifetime=lifetime)
        self.provider = StoreTokenProvider(
            self.login,
            SpyStore(MemoryStore(clock=self.clock)),
            clock=self.clock,
            sleep=self.clock.sleep,
            random=lambda: 0.5,
        )
        self.seen: list[Token] = []
        self.refused = -1
        self.newest = -1

    async def ask(self, step: Ask) -> None:
        named = [self.seen[index % len(self.seen)] for index in step.naming if self.seen]
        floors = [-1] * step.plainly + [token.generation for token in named]
        before, attempts = self.refused, self.login.attempts
        calls = [self.provider.get_token() for _ in range(step.plainly)]
        calls += [self.provider.get_token(rejected=token) for token in named]
        answers = await asyncio.gather(*calls, return_exceptions=True)
        for floor, answer in zip(floors, answers, strict=True):
            self.check(floor, answer, before)
        # One renewal that was due, and one that a refusal asked for during it.
        assert self.login.attempts - attempts <= 2

    def check(self, floor: int, answer: Token | BaseException, refused_before: int) -> None:
        if isinstance(answer, Token):
            assert answer.generation > floor
            assert answer.generation > refused_before
            assert answer.remaining(self.clock()) > 0
            self.seen.append(answer)
            self.newest = max(self.newest, answer.generation)
            self.refused = max(self.refused, floor)
        else:
            # Two logins in a row without an answer close the guard for ten minutes.
            assert isinstance(answer, (LoginGuardError, TokenEndpointError))
            self.refused = max(self.refused, floor)


@settings(deadline=None, max_examples=150)
@given(lifetime=st.sampled_from([4.0, 60.0, 3600.0]), steps=STEPS)
def test_answers_are_always_usable(lifetime: float, steps: list[Pass | Ask | Fail]) -> None:
    """Any order of waiting, asking, refusing and failing logins gives usable tokens after one login worked."""

    async def carry_out() -> None:
        run = Run(lifetime)
        await run.ask(Ask(1, []))
        for step in steps:
            match step:
                case Pass(seconds):
                    await run.clock.advance(seconds)
                case Ask():
                    await run.ask(step)
                case Fail(counted):
                    run.login.script.append(ambiguous() if counted else transient())
        await run.clock.advance(600)
        await run.provider.aclose()
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(carry_out())
