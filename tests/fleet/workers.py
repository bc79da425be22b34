"""A worker process of a fleet: it carries out a test's orders and reports the result."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from functools import reduce
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeAlias

import attrs
from fleet.enkash import CLIENT_SECRET, RIGHT

from enkash_async import EnkashClient
from enkash_async.__main__ import main as command_line
from enkash_async._http.login import PasswordGrant
from enkash_async._support.clock import machine as boottime
from enkash_async.errors import LoginGuardError
from enkash_async.stores import Cell, Change, SQLiteStore, Store, open_store
from enkash_async.tokens import Credentials, OnStoreDown, SharedTokenProvider, StoreTokenProvider, Token, TokenProvider

__all__ = ["Maker", "Plan", "Report", "command", "from_env", "main", "shared", "together"]

#: Where this was imported: in the fork server, unless the workers have to import everything themselves.
IMPORTED_IN = os.getpid()

_LIFETIME = 900  # seconds without an order, after which a worker that nobody ends is ended


@attrs.frozen(kw_only=True)
class Report:
    """What a worker's callers met with.

    Attributes:
        served: Calls that brought a token.
        errors: Calls that raised, by the name of the exception.
        reasons: Why the guard was closed, of those errors.
        tokens: The access tokens that callers got, with the last instant at which they did.
        generations: Their generations.
        remaining: The least and the most seconds that they had left.
        waits: Calls that suspended, by callers under load.
        last: When the last caller was served.
        slowest: Seconds of the longest call.
    """

    served: int = 0
    errors: Counter[str] = attrs.field(factory=Counter)
    reasons: Counter[str] = attrs.field(factory=Counter)
    tokens: dict[str, float] = attrs.field(factory=dict)
    generations: frozenset[int] = frozenset()
    remaining: tuple[float, ...] = ()
    waits: int = 0
    last: float = 0.0
    slowest: float = 0.0

    def __add__(self, other: Report) -> Report:
        both = (*self.remaining, *other.remaining)
        texts = self.tokens.keys() | other.tokens.keys()
        return Report(
            served=self.served + other.served,
            errors=self.errors + other.errors,
            reasons=self.reasons + other.reasons,
            tokens={text: max(self.tokens.get(text, 0.0), other.tokens.get(text, 0.0)) for text in texts},
            generations=self.generations | other.generations,
            remaining=(min(both), max(both)) if both else (),
            waits=self.waits + other.waits,
            last=max(self.last, other.last),
            slowest=max(self.slowest, other.slowest),
        )

    @classmethod
    def of_token(cls, token: Token, now: float, took: float = 0.0) -> Report:
        at = time.monotonic()
        return cls(
            served=1,
            tokens={token.reveal(): at},
            generations=frozenset({token.generation}),
            remaining=(token.remaining(now),),
            last=at,
            slowest=took,
        )

    @classmethod
    def of_error(cls, error: Exception, took: float = 0.0) -> Report:
        reasons = Counter([error.reason] if isinstance(error, LoginGuardError) else [])
        return cls(errors=Counter([type(error).__name__]), reasons=reasons, slowest=took)


def together(reports: Iterable[Report]) -> Report:
    """Return one report of all callers."""
    return reduce(Report.__add__, reports, Report())


@attrs.frozen(kw_only=True)
class Plan:
    """The settings of a worker.

    Attributes:
        base_url: Of EnKash.
        store: URL of the store.
        user: Whose account.
        make: Makes the provider; a control puts a broken one here.
        callers: How many tasks ask at once.
        hermits: Whether each caller has a provider of its own.
        login_timeout: Seconds. A lease lasts ten seconds longer.
        clock_shift: Seconds by which its clock of ages is off; None takes the package's own.
        wall_shift: Seconds by which its wall clock is off.
        env: Environment variables of the process.
    """

    base_url: str
    store: str
    user: str
    make: Maker
    password: str = RIGHT
    client_secret: str = CLIENT_SECRET
    callers: int = 20
    hermits: bool = False
    on_store_down: OnStoreDown = "login_if_proven"
    login_timeout: float = 20.0
    clock_shift: float | None = None
    wall_shift: float = 0.0
    env: Mapping[str, str] = attrs.field(factory=dict)

    @property
    def credentials(self) -> Credentials:
        return Credentials("made-up-client", self.client_secret, self.user, self.password)


Maker: TypeAlias = "Callable[[TellingGrant, Plan, Counting, dict[str, Any]], TokenProvider]"


def shared(source: TellingGrant, plan: Plan, store: Counting, options: dict[str, Any]) -> TokenProvider:
    """Return what users have."""
    return StoreTokenProvider(
        source, store, on_store_down=plan.on_store_down, login_timeout=plan.login_timeout, **options
    )


class TellingGrant(PasswordGrant):
    """A login that tells the test when it begins."""

    tell: Callable[[str], None]
    stops: Callable[[], None] | None = None

    async def fetch_token(self) -> Token:
        self.tell("login")
        token = await super().fetch_token()
        if self.stops is not None:
            self.stops()
        return token


class Counting:
    """A store that counts its calls, and whose clock a test can put wrong."""

    def __init__(self, plan: Plan) -> None:
        self.stops_in = 0
        self.stop: Callable[[], None]
        self.calls: list[tuple[str, float]] = []
        self.shift = 0.0
        if plan.store.startswith("sqlite:"):
            path = plan.store.removeprefix("sqlite://")
            self.inner: Store = SQLiteStore(path, clock=lambda: boottime() + self.shift, patience=2.0)
        else:
            self.inner = open_store(plan.store)

    async def read(self, keys: Sequence[str]) -> Mapping[str, Cell]:
        self.calls.append(("read", time.monotonic()))
        cells = await self.inner.read(keys)
        if isinstance(self.inner, SQLiteStore) or not self.shift:
            return cells
        return {key: attrs.evolve(cell, now=cell.now + self.shift) for key, cell in cells.items()}

    async def swap(self, changes: Sequence[Change]) -> Sequence[bool]:
        self.calls.append(("swap", time.monotonic()))
        made = await self.inner.swap(changes)
        if self.stops_in and all(made):
            self.stops_in -= 1
            if not self.stops_in:
                self.stop()
        return made

    async def aclose(self) -> None:
        await self.inner.aclose()


class Agent:
    """Carries out orders one after the other; each public method is an order."""

    def __init__(self, line: Connection) -> None:
        self._line = line
        self._plan: Plan
        self._source: TellingGrant
        self._store: Counting | None = None
        self._ahead = 0.0
        self._providers: list[TokenProvider] = []
        self._tokens: dict[int, Token] = {}
        self._tasks: list[asyncio.Task[Report]] = []
        self._load: list[asyncio.Task[Report]] = []
        self._rests = False
        self._before: dict[str, str | None] = {}

    async def run(self) -> None:
        """Take orders until the test hangs up."""
        asyncio.get_running_loop().set_exception_handler(lambda _, context: self._tell(f"!{context['message']}"))
        assert os.getppid() == IMPORTED_IN, "the fork server has not imported this module, so each worker has to"
        try:
            while (order := await self._order()) is not None:
                signal.alarm(_LIFETIME)
                name, arguments = order
                self._line.send(("reply", await getattr(self, name)(**arguments)))
        finally:
            await self.leave()

    # --- orders: the worker itself ------------------------------------------------------------------------------------

    async def become(self, *, plan: Plan) -> None:
        """Be a worker of this plan."""
        self._plan, self._ahead = plan, plan.clock_shift or 0.0
        self._before = {name: os.environ.get(name) for name in plan.env}
        os.environ.update(plan.env)
        if plan.wall_shift:
            time.time = lambda: _RIGHT_TIME() + plan.wall_shift
        self._store = Counting(plan)
        self._providers = [self._provider() for _ in range(plan.callers if plan.hermits else 1)]

    async def leave(self) -> None:
        """Be no worker any more."""
        for task in (*self._tasks, *self._load):
            task.cancel()
        await asyncio.gather(*self._tasks, *self._load, return_exceptions=True)
        for provider in self._providers:
            await provider.aclose()
        if self._store is not None:
            await self._store.aclose()
        self._providers, self._store = [], None
        self._tokens, self._tasks, self._load = {}, [], []
        time.time = _RIGHT_TIME
        for name, value in self._before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        self._before = {}

    async def advance(self, *, seconds: float) -> None:
        """Let time pass in this process alone."""
        self._ahead += seconds

    async def shift_store(self, *, seconds: float) -> None:
        """Put the store's clock wrong, as this process sees it."""
        assert self._store is not None
        self._store.shift = seconds

    async def stop_after_swaps(self, *, number: int) -> None:
        """Let the process stop itself when the given number of further changes is in the store."""
        assert self._store is not None
        self._store.stops_in, self._store.stop = number, self._stop

    async def stop_after_login(self) -> None:
        """Let the process stop itself when its next login has been answered, before it says so in the store."""
        self._source.stops = self._stop

    async def calls(self) -> list[tuple[str, float]]:
        """Return the calls of the store, and the logins among them, since the last time this was asked."""
        assert self._store is not None
        calls, self._store.calls = self._store.calls, []
        return calls

    async def logins(self) -> int:
        """Return how many logins of this process worked, as it says itself."""
        return sum(each.state().logins for each in self._providers if isinstance(each, StoreTokenProvider))

    async def reset(self) -> None:
        """Open the guard, as an operator does."""
        for provider in self._providers:
            assert isinstance(provider, SharedTokenProvider)
            await provider.reset_guard()

    async def limit_files(self, *, size: int) -> None:
        """Let the process write no file beyond a size, as on a full disk; -1 lifts that."""
        import resource  # noqa: PLC0415 (there is none on Windows)

        _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY if size < 0 else size, most))

    # --- orders: callers ----------------------------------------------------------------------------------------------

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
        """Let every caller ask for a token again and again, with pauses, until `rest`."""
        self._rests = False
        self._load = [asyncio.create_task(self._live(pause)) for _ in range(self._plan.callers)]
        await asyncio.sleep(0)  # so that all of them have begun

    async def rest(self) -> Report:
        """End the load, wait for a login in flight, and return what the callers got."""
        self._rests = True
        report = together(await asyncio.gather(*self._load))
        self._load = []
        if isinstance(provider := self._providers[0], StoreTokenProvider):
            while provider.state().refreshing:
                await asyncio.sleep(0.01)
        return report

    # --- orders: cancelled everywhere, other loops, threads and processes ---------------------------------------------

    async def close_everywhere(self, *, turns: int) -> None:
        """Close a provider after 0, 1, 2… turns of the loop while it is asked, then the next one.

        Closing ends the refresh itself, wherever it waits.
        """
        for number in range(turns):
            self._providers = [provider] = [self._provider()]
            asking = asyncio.create_task(self._call(0, False, 0.0))
            await self._turns(number)
            await provider.aclose()
            await asking

    async def cancel_callers(self, *, turns: int) -> Report:
        """Cancel callers of one provider after 0, 1, 2… turns of the loop; then ask with callers who stay."""
        for number in range(turns):
            asking = asyncio.create_task(self._providers[0].get_token())
            await self._turns(number)
            asking.cancel()
            await asyncio.wait([asking])
        return await self.ask()

    async def _turns(self, number: int) -> None:
        """Let the loop turn: first in single steps, then in milliseconds, since it stands still while threads work."""
        for _ in range(min(number, 15)):
            await asyncio.sleep(0)
        await asyncio.sleep(max(0, number - 15) / 1000)

    async def short_jobs(self, *, number: int, work: float) -> Report:
        """Run jobs, each with `asyncio.run` and some seconds of work, with the one provider of the process."""
        return await asyncio.to_thread(self._jobs, number, work)

    async def threads(self, *, number: int) -> Report:
        """Let threads with a loop each ask for a token at the same time."""
        reports: list[Report] = []
        gate = threading.Barrier(number)

        def run() -> None:
            gate.wait()
            reports.append(asyncio.run(self._some(5)))

        threads = [threading.Thread(target=run) for _ in range(number)]
        for thread in threads:
            thread.start()
        for thread in threads:
            await asyncio.to_thread(thread.join)
        return together(reports)

    async def fork(self, *, children: int, after: float) -> Report:
        """Ask for a token and fork meanwhile; the children ask as well, of the provider that they inherit."""
        mine = asyncio.create_task(self._some(5))
        await asyncio.sleep(after)
        lines = [self._forked() for _ in range(children)]
        reports = [await mine]
        for pid, line in lines:
            while not line.poll():
                await asyncio.sleep(0.01)
            reports.append(line.recv())
            await asyncio.to_thread(os.waitpid, pid, 0)
        return together(reports)

    # --- the rest -----------------------------------------------------------------------------------------------------

    async def _call(self, number: int, rejected: bool, delay: float) -> Report:
        await asyncio.sleep(delay)
        provider, began = self._providers[number % len(self._providers)], time.monotonic()
        try:
            token = await provider.get_token(rejected=self._tokens.get(number) if rejected else None)
        except Exception as error:  # noqa: BLE001 (whatever a caller meets with goes into the report)
            return Report.of_error(error, time.monotonic() - began)
        self._tokens[number] = token
        return Report.of_token(token, self._clock(), time.monotonic() - began)

    async def _live(self, pause: float) -> Report:
        report = Report()
        provider = self._providers[0]
        while not self._rests:
            turned: list[bool] = []
            turn = asyncio.get_running_loop().call_soon(turned.append, True)  # a call that suspends has waited
            try:
                report += Report.of_token(await provider.get_token(), self._clock())
            except Exception as error:  # noqa: BLE001 (as above)
                report += Report.of_error(error)
            turn.cancel()
            report = attrs.evolve(report, waits=report.waits + len(turned))
            await asyncio.sleep(pause)
        return report

    async def _some(self, callers: int) -> Report:
        return together(await asyncio.gather(*(self._call(-1, False, 0.0) for _ in range(callers))))

    def _jobs(self, number: int, work: float) -> Report:
        async def job() -> Report:
            report = await self._some(1)
            await asyncio.sleep(work)
            return report

        return together(asyncio.run(job()) for _ in range(number))

    def _forked(self) -> tuple[int, Connection]:
        import multiprocessing  # noqa: PLC0415

        ours, theirs = multiprocessing.Pipe()
        if pid := os.fork():
            theirs.close()
            return pid, ours
        try:
            theirs.send(asyncio.run(self._some(5)))
        finally:
            os._exit(0)

    def _provider(self) -> TokenProvider:
        assert self._store is not None
        plan = self._plan
        options: dict[str, Any] = {}
        if plan.clock_shift is not None:
            options["clock"] = self._clock
        self._source = TellingGrant(plan.base_url, plan.credentials, **options)
        self._source.tell = self._tell
        return plan.make(self._source, plan, self._store, options)

    def _clock(self) -> float:
        return boottime() + self._ahead

    def _stop(self) -> None:
        self._source.stops = None
        self._tell("stopped")
        os.kill(os.getpid(), signal.SIGSTOP)

    def _tell(self, note: str) -> None:
        if self._store is not None:
            self._store.calls.append((note, time.monotonic()))
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


_RIGHT_TIME = time.time


def main(line: Connection) -> None:
    """Run the worker until the test hangs up."""
    signal.alarm(_LIFETIME)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with line:
        asyncio.run(_work(line))


async def _work(line: Connection) -> None:
    await Agent(line).run()


def command(line: Connection) -> None:
    """Run one command of the command line, with the environment and the words that the test sends."""
    signal.alarm(_LIFETIME)
    with line, Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        env, words = line.recv()
        os.environ.clear()
        os.environ.update(env)
        line.send(command_line(words))


def from_env(source: TellingGrant, plan: Plan, store: Counting, options: dict[str, Any]) -> TokenProvider:
    """Return what `EnkashClient.from_env` makes in this process."""
    client = EnkashClient.from_env()
    return _OfClient(client)


class _OfClient:
    """The provider of a client that is closed with it."""

    def __init__(self, client: EnkashClient) -> None:
        self._client = client

    async def get_token(self, *, rejected: Token | None = None) -> Token:
        return await self._client.tokens.get_token(rejected=rejected)

    async def aclose(self) -> None:
        await self._client.aclose()
