"""For any order of steps and outages, callers get good tokens and no password is tried again and again."""

from __future__ import annotations

import asyncio
from collections import Counter

import attrs
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokens.doubles import AwayStore, Clock, Login, ambiguous, refused, transient

from enkash_async.errors import CredentialsRejectedError, LoginGuardError, StoreUnavailableError, TokenEndpointError
from enkash_async.tokens import OnStoreDown, StoreTokenProvider, Token

WORKERS = 4


@attrs.frozen
class Step:
    """One thing that happens.

    Attributes:
        what: Its kind.
        worker: The worker that it happens to.
        naming: Which of the tokens seen last is named as refused; 0 for none.
        seconds: How long is waited.
    """

    what: str
    worker: int
    naming: int
    seconds: float


STEPS = st.lists(
    st.builds(
        Step,
        st.sampled_from(["ask", "ask", "ask", "pass", "pass", "leave", "come back", "change", "lose", "fail"]),
        st.integers(0, WORKERS - 1),
        st.integers(0, 2),
        st.sampled_from([0.5, 1.0, 7.0, 31.0, 600.0, 3600.0]),
    ),
    min_size=8,
    max_size=40,
)


class Fleet:
    """Workers with two passwords of one account, one store, and an EnKash that accepts one password at a time."""

    def __init__(self, policy: OnStoreDown) -> None:
        self.clock = Clock()
        self.store = AwayStore(clock=self.clock)
        self.right = "old"
        self.refused_with_store: Counter[str] = Counter()  # refusals of a password since its bar was last lifted
        self.proven: set[str] = set()  # passwords that have worked and were not refused since
        self.refused_to: Counter[int] = Counter()  # refusals of a worker since any login last worked
        self.told: set[int] = set()  # workers that the store has barred since any login last worked
        self.too_many = ""
        self.seen: list[Token] = []
        self.logins = [Person(self, number) for number in range(WORKERS)]
        self.providers = [
            StoreTokenProvider(
                login,
                self.store,
                on_store_down=policy,
                clock=self.clock,
                sleep=self.clock.sleep,
                random=lambda: 0.5,
            )
            for login in self.logins
        ]

    async def take(self, step: Step) -> None:
        match step.what:
            case "ask":
                await self.ask(step.worker, step.naming)
            case "pass":
                await self.clock.advance(step.seconds)
            case "leave":
                self.store.leave()
            case "come back":
                self.store.come_back()
            case "change":
                self.right = "new" if self.right == "old" else "old"
            case "lose":
                self.logins[step.worker].script.append(ambiguous())
            case "fail":
                self.logins[step.worker].script.append(transient())

    def note_refusal(self, login: Person) -> None:
        """Count the refusal and record an excess; raising here would be one more failed login."""
        self.refused_to[login.number] += 1
        if login.password in self.proven:
            # The refusal of a password that worked lifts the bars of the others: one of them may be the new password.
            self.proven.discard(login.password)
            self.refused_with_store.clear()
            self.told = {number for number in self.told if self.logins[number].password == login.password}
        self.refused_with_store[login.password] += not self.store.cut_off
        # Twice for one that missed the fleet's last token: its refusal seems to be from before that.
        if self.refused_with_store[login.password] > 1 or self.refused_to[login.number] > 2:
            self.too_many = f"{login.number} again: {self.refused_with_store} {self.refused_to}"
        if login.number in self.told:
            self.too_many = f"{login.number} knew better"

    def note_success(self, login: Person) -> None:
        self.refused_with_store[login.password] = 0
        self.proven.add(login.password)
        self.refused_to.clear()
        self.told.clear()

    async def ask(self, worker: int, naming: int) -> None:
        rejected = self.seen[-naming] if 0 < naming <= len(self.seen) else None
        call = asyncio.create_task(self.providers[worker].get_token(rejected=rejected))
        await self.clock.advance(1)
        while not call.done():  # it waits for the lease of a worker that was let go
            await self.clock.advance(1)
        try:
            token = call.result()
        except LoginGuardError as closed:
            if closed.reason == "rejected":
                self.told.add(worker)
            return
        except (CredentialsRejectedError, TokenEndpointError, StoreUnavailableError):
            return
        assert token.remaining(self.clock()) > 0
        # Two tokens that workers fetched without the store can have the same number.
        assert rejected is None or (token.generation >= rejected.generation and token != rejected)
        self.seen.append(token)


class Person(Login):
    """Logs in with one password; two workers have the old one and two the new one."""

    def __init__(self, fleet: Fleet, number: int) -> None:
        self.password = "old" if number < WORKERS // 2 else "new"
        super().__init__(fleet.clock, fingerprint=self.password)
        self.script = []
        self.number = number
        self.fleet = fleet

    async def fetch_token(self) -> Token:
        if not self.script and self.password != self.fleet.right:
            self.script.append(refused())
            self.fleet.note_refusal(self)
        token = await super().fetch_token()
        self.fleet.note_success(self)
        return token


# A password that was refused is tried again once the one that worked in the meantime is refused as well: by the worker
# that it was refused to, and by one that was told of the bar.
REFUSED_TO_IT = [
    *(Step("ask", 2, 0, 0.5), Step("ask", 0, 0, 0.5), Step("change", 0, 0, 0.5), Step("ask", 0, 1, 0.5)),
    *(Step("change", 0, 0, 0.5), Step("ask", 2, 0, 0.5)),
]
TOLD_OF_IT = [
    *(Step("ask", 0, 0, 0.5), Step("ask", 2, 1, 0.5), Step("ask", 1, 0, 0.5), Step("ask", 3, 0, 0.5)),
    *(Step("pass", 0, 0, 31.0), Step("change", 0, 0, 0.5), Step("ask", 0, 1, 0.5), Step("change", 0, 0, 0.5)),
    Step("ask", 3, 0, 0.5),
]


@settings(deadline=None, max_examples=200)
@given(policy=st.sampled_from(["serve", "login_if_proven"]), steps=STEPS)
@example(policy="serve", steps=REFUSED_TO_IT)
@example(policy="serve", steps=TOLD_OF_IT)
def test_the_fleet_stays_within_its_bounds(policy: OnStoreDown, steps: list[Step]) -> None:
    """With the store, all workers try a refused password once; without it, each worker at most once."""

    async def carry_out() -> None:
        fleet = Fleet(policy)
        for step in steps:
            await fleet.take(step)
            assert not fleet.too_many, fleet.too_many
        for provider in fleet.providers:
            await provider.aclose()
        await fleet.clock.advance(600)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(carry_out())
