"""A worker process of a fleet: it carries out a test's orders and reports the result."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable
from functools import reduce
from multiprocessing.connection import Connection
from typing import Any, TypeAlias

import attrs

from enkash_async import EnkashClient, EnkashError, RetryPolicy, Timeouts
from enkash_async._http.login import LOGIN_TIMEOUTS, PasswordGrant
from enkash_async.errors import LoginGuardError
from enkash_async.tokens import CachingTokenProvider, Credentials, OnStoreDown, RedisTokenProvider, Token, TokenProvider

__all__ = ["Maker", "Plan", "Report", "main", "shared", "together"]

#: Where this was imported: in the fork server, unless the workers have to import everything themselves.
IMPORTED_IN = os.getpid()

_LIFETIME = 90  # seconds after which a worker that nobody ends is ended


@attrs.frozen(kw_only=True)
class Report:
    """What a worker's callers met with.

    Attributes:
        served: Calls that brought a token, or an answer of the API.
        errors: Calls that raised, by the name of the exception.
        reasons: Why the guard was closed, of those errors.
        tokens: The access tokens that callers got.
        generations: Their generations.
        remaining: The least and the most seconds that they had left.
        waits: Calls that suspended, by callers under load.
    """

    served: int = 0
    errors: Counter[str] = attrs.field(factory=Counter)
    reasons: Counter[str] = attrs.field(factory=Counter)
    tokens: frozenset[str] = frozenset()
    generations: frozenset[int] = frozenset()
    remaining: tuple[float, ...] = ()
    waits: int = 0

    def __add__(self, other: Report) -> Report:
        both = (*self.remaining, *other.remaining)
        return Report(
            served=self.served + other.served,
            errors=self.errors + other.errors,
            reasons=self.reasons + other.reasons,
            tokens=self.tokens | other.tokens,
            generations=self.generations | other.generations,
            remaining=(min(both), max(both)) if both else (),
            waits=self.waits + other.waits,
        )

    @classmethod
    def of_token(cls, token: Token, now: float) -> Report:
        return cls(
            served=1,
            tokens=frozenset({token.reveal()}),
            generations=frozenset({token.generation}),
            remaining=(token.remaining(now),),
        )

    @classmethod
    def of_error(cls, error: Exception) -> Report:
        reasons = Counter([error.reason] if isinstance(error, LoginGuardError) else [])
        return cls(errors=Counter([type(error).__name__]), reasons=reasons)


def together(reports: Iterable[Report]) -> Report:
    """Return one report of all callers."""
    return reduce(Report.__add__, reports, Report())


@attrs.frozen(kw_only=True)
class Plan:
    """The settings of a worker.

    Attributes:
        make: Makes its provider; a control puts a broken one here.
        callers: How many tasks ask at once.
        hermits: Whether each caller has a provider of its own.
        clock_shift: Seconds by which its monotonic clock is off.
        wall_shift: Seconds by which its wall clock is off.
    """

    base_url: str
    credentials: Credentials
    redis_url: str
    make: Maker
    callers: int = 20
    hermits: bool = False
    prefix: str = "enkash"
    on_store_down: OnStoreDown = "login_if_proven"
    login_timeout: Timeouts = LOGIN_TIMEOUTS
    clock_shift: float = 0.0
    wall_shift: float = 0.0


Maker: TypeAlias = Callable[[PasswordGrant, Plan, Callable[[], float]], TokenProvider]


def shared(source: PasswordGrant, plan: Plan, clock: Callable[[], float]) -> TokenProvider:
    """Return what users have."""
    return RedisTokenProvider(source, plan.redis_url, prefix=plan.prefix, on_store_down=plan.on_store_down, clock=clock)


class TellingGrant(PasswordGrant):
    """A login that tells the test when it begins."""

    tell: Callable[[str], None]

    async def fetch_token(self) -> Token:
        self.tell("login")
        return await super().fetch_token()


class Watched:
    """A provider that counts the callers who had to wait, where the client asks for a token."""

    def __init__(self, provider: TokenProvider) -> None:
        self._provider = provider
        self.waits = 0
        self.generations: set[int] = set()

    async def get_token(self, *, rejected: Token | None = None) -> Token:
        """Ask for a token; a call that suspends has waited, however short it was."""
        turned: list[bool] = []
        turn = asyncio.get_running_loop().call_soon(turned.append, True)
        try:
            token = await self._provider.get_token(rejected=rejected)
        finally:
            turn.cancel()
            self.waits += len(turned)
        self.generations.add(token.generation)
        return token

    async def aclose(self) -> None:
        await self._provider.aclose()


class Agent:
    """Carries out orders one after the other; each public method is an order."""

    def __init__(self, line: Connection, plan: Plan) -> None:
        self._line = line
        self._plan = plan
        self._ahead = plan.clock_shift
        self._providers = [self._provider() for _ in range(plan.callers if plan.hermits else 1)]
        self._tokens: dict[int, Token] = {}
        self._tasks: list[asyncio.Task[Report]] = []
        self._load: list[asyncio.Task[Report]] = []
        self._rests = False

    async def run(self) -> None:
        """Take orders until the test hangs up."""
        asyncio.get_running_loop().set_exception_handler(lambda _, context: self._tell(f"!{context['message']}"))
        assert os.getppid() == IMPORTED_IN, "the fork server has not imported this module, so each worker has to"
        self._tell("ready")
        try:
            while (order := await self._order()) is not None:
                name, arguments = order
                self._line.send(("reply", await getattr(self, name)(**arguments)))
        finally:
            for task in (*self._tasks, *self._load):
                task.cancel()
            await asyncio.gather(*self._tasks, *self._load, return_exceptions=True)
            for provider in self._providers:
                await provider.aclose()

    # --- orders -------------------------------------------------------------------------------------------------------

    async def ask(self, *, rejected: bool = False, wait: float = 0.0, spread: float = 0.0) -> Report:
        """Let every caller ask for a token, and return what they got."""
        await self.start(rejected=rejected, wait=wait, spread=spread)
        return await self.finish()

    async def start(self, *, rejected: bool = False, wait: float = 0.0, spread: float = 0.0) -> None:
        """Let every caller ask for a token; with `rejected`, for another one than it has.

        The first one does so after `wait` seconds, each other one `spread` seconds after the one before.
        """
        self._tasks = [
            asyncio.create_task(self._call(number, rejected, wait + number * spread))
            for number in range(self._plan.callers)
        ]
        await asyncio.sleep(0)  # so that all of them have begun

    async def cancel(self, *, callers: list[int]) -> int:
        """Cancel callers, whom the report omits; return how many of them were still waiting."""
        return sum(self._tasks[number].cancel() for number in callers)

    async def finish(self, *, within: float | None = None) -> Report:
        """Wait for the callers, and return what they got; the report omits callers without an answer in time."""
        tasks, self._tasks = self._tasks, []
        _, hanging = await asyncio.wait(tasks, timeout=within)
        for task in hanging:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        return together(result for result in results if isinstance(result, Report))

    async def load(self, *, pause: float) -> None:
        """Let every caller call the API again and again, with pauses, until `rest`."""
        self._rests = False
        watched = Watched(self._providers[0])
        self._load = [asyncio.create_task(self._live(watched, pause)) for _ in range(self._plan.callers)]
        await asyncio.sleep(0)  # so that all of them have begun

    async def rest(self) -> Report:
        """End the load, wait for a login in flight, and return what the callers got."""
        self._rests = True
        report = together(await asyncio.gather(*self._load))
        self._load = []
        if not isinstance(provider := self._providers[0], CachingTokenProvider):
            return report
        while provider.state().refreshing:
            await asyncio.sleep(0.01)
        last = provider.state().generation
        return report if last is None else report + Report(generations=frozenset({last}))

    async def advance(self, *, seconds: float) -> None:
        """Let time pass in this process alone."""
        self._ahead += seconds

    async def logins(self) -> int:
        """Return how many logins of this process worked, as it says itself."""
        return sum(each.state().logins for each in self._providers if isinstance(each, CachingTokenProvider))

    async def reset(self) -> None:
        """Open the guard, as an operator does."""
        for provider in self._providers:
            assert isinstance(provider, CachingTokenProvider)
            await provider.reset_guard()

    # --- callers ------------------------------------------------------------------------------------------------------

    async def _call(self, number: int, rejected: bool, delay: float) -> Report:
        await asyncio.sleep(delay)
        provider = self._providers[number % len(self._providers)]
        try:
            token = await provider.get_token(rejected=self._tokens.get(number) if rejected else None)
        except Exception as error:  # noqa: BLE001 (whatever a caller meets with goes into the report)
            return Report.of_error(error)
        self._tokens[number] = token
        return Report.of_token(token, self._clock())

    async def _live(self, watched: Watched, pause: float) -> Report:
        report = Report()
        async with EnkashClient(self._plan.base_url, tokens=watched, retry=RetryPolicy(attempts=1)) as client:
            while not self._rests:
                try:
                    await client.billers.list_categories()
                    report += Report(served=1)
                except EnkashError as error:
                    report += Report.of_error(error)
                await asyncio.sleep(pause)
        waits, watched.waits = watched.waits, 0  # one caller reports them for all
        return report + Report(generations=frozenset(watched.generations), waits=waits)

    # --- the rest -----------------------------------------------------------------------------------------------------

    def _provider(self) -> TokenProvider:
        source = TellingGrant(
            self._plan.base_url,
            self._plan.credentials,
            timeout=self._plan.login_timeout,
            clock=self._clock,
            wall_clock=time.time,  # by name, since it may have been put wrong
        )
        source.tell = self._tell
        return self._plan.make(source, self._plan, self._clock)

    def _clock(self) -> float:
        return time.monotonic() + self._ahead

    def _tell(self, note: str) -> None:
        self._line.send(("note", note))

    async def _order(self) -> tuple[str, dict[str, Any]] | None:
        """Wait for an order; None when the test has hung up."""
        readable = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._line.fileno(), readable.set)
        await readable.wait()
        asyncio.get_running_loop().remove_reader(self._line.fileno())
        try:
            order: tuple[str, dict[str, Any]] = self._line.recv()
        except EOFError:
            return None
        return order


def main(line: Connection, plan: Plan) -> None:
    """Run the worker until the test hangs up."""
    signal.alarm(_LIFETIME)
    if plan.wall_shift:
        right = time.time
        time.time = lambda: right() + plan.wall_shift
    with line:
        asyncio.run(_work(line, plan))


async def _work(line: Connection, plan: Plan) -> None:
    await Agent(line, plan).run()
