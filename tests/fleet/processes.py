"""A fleet of real worker processes, as a test sees it."""

from __future__ import annotations

import asyncio
import functools
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any

import attrs
import pytest
from fleet.workers import Maker, Plan, Report, main, shared, together

from enkash_async.sandbox import FaultKind, Sandbox
from enkash_async.sandbox._token import TokenStyle
from enkash_async.tokens import Credentials, Identity, RedisTokenStore

from servers import Server

__all__ = ["Fleet", "Scene", "Seen", "Worker", "WorkerGoneError", "fleet", "scene"]

_LIMIT = 40.0  # seconds for anything that a test waits for
_END_LIMIT = 10.0
_TESTS = Path(__file__).parents[1]

# Starting a process also reaps ended ones, and two threads must not reap the same one.
_one_at_a_time = threading.Lock()


class WorkerGoneError(Exception):
    """A worker process has ended without an answer."""


@functools.cache
def _processes() -> ForkServerContext:
    """Start the process that all workers are forked from; it has imported what they need."""
    context = multiprocessing.get_context("forkserver")
    # Each worker imports the main module of the tests anew: with pytest at hand, that takes no time.
    context.set_forkserver_preload(["fleet.workers", "fleet.controls", "pytest"])
    with pytest.MonkeyPatch.context() as patch:
        # Up to Python 3.12 the fork server has not got this process's sys.path.
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(_TESTS), os.environ.get("PYTHONPATH")])))
        # A forked process ends without saving its coverage: measuring it would only make the workers slower.
        patch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
        forkserver.ensure_running()
    return context


class Worker:
    """A process that takes one order at a time."""

    def __init__(self, process: ForkServerProcess, line: Connection) -> None:
        self.process = process
        self.notes: list[str] = []
        self._line = line
        self._replies: asyncio.Queue[Any] = asyncio.Queue()
        self._noted = asyncio.Event()
        self._gone = False
        asyncio.get_running_loop().add_reader(line.fileno(), self._read)

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    async def tell(self, order: str, **arguments: Any) -> Any:
        """Give an order and return the reply.

        Raises:
            WorkerGoneError: The process ended meanwhile.
        """
        self._line.send((order, arguments))
        reply = await asyncio.wait_for(self._replies.get(), _LIMIT)
        if isinstance(reply, WorkerGoneError):
            raise reply
        return reply

    async def ask(self, **arguments: Any) -> Report:
        """Let the worker's callers ask for a token."""
        report: Report = await self.tell("ask", **arguments)
        return report

    async def noted(self, note: str) -> None:
        """Wait until the worker has noted something."""
        while note not in self.notes:
            if self._gone:
                raise WorkerGoneError(f"worker {self.pid} has ended")
            self._noted.clear()
            await self._noted.wait()

    def hang_up(self) -> None:
        """Close the pipe, at which the worker ends."""
        if not self._line.closed:
            asyncio.get_running_loop().remove_reader(self._line.fileno())
            self._line.close()

    def _read(self) -> None:
        try:
            kind, what = self._line.recv()
        except (EOFError, OSError):
            self._gone = True
            self._replies.put_nowait(WorkerGoneError(f"worker {self.pid} has ended"))
            self.hang_up()
        else:
            if kind == "note":
                self.notes.append(what)
            else:
                self._replies.put_nowait(what)
        self._noted.set()


@attrs.frozen
class Fleet:
    """Workers that get the same orders at the same time."""

    workers: Sequence[Worker]

    async def tell(self, order: str, **arguments: Any) -> list[Any]:
        """Give all workers an order, and return their replies."""
        return list(await asyncio.gather(*(worker.tell(order, **arguments) for worker in self.workers)))

    async def ask(self, **arguments: Any) -> Report:
        """Let all callers ask for a token, and return what they got."""
        return together(await self.tell("ask", **arguments))

    async def finish(self, *, within: float | None = None) -> Report:
        """Wait for all callers, for the given seconds at most, and return what they got."""
        return together(await self.tell("finish", within=within))

    async def rest(self) -> Report:
        """End the load, and return what the callers got."""
        return together(await self.tell("rest"))

    async def leader(self) -> Worker:
        """Wait until a worker logs in, and return it."""
        watches = [asyncio.create_task(worker.noted("login")) for worker in self.workers]
        try:
            done, _ = await asyncio.wait(watches, timeout=_LIMIT, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for watch in watches:
                watch.cancel()
        assert done, "nobody logs in"
        return self.workers[watches.index(done.pop())]

    def without(self, worker: Worker) -> Fleet:
        return Fleet([each for each in self.workers if each is not worker])


@asynccontextmanager
async def fleet(plans: Sequence[Plan]) -> AsyncIterator[Fleet]:
    """Run a worker process for each plan; they are ready, and have done nothing yet."""
    workers: list[Worker] = []
    ends: list[int | None] = []
    try:
        for process, line in await asyncio.to_thread(_start, plans):
            workers.append(Worker(process, line))
        async with asyncio.timeout(_LIMIT):
            await asyncio.gather(*(worker.noted("ready") for worker in workers))
        yield Fleet(workers)
        complaints = [note for worker in workers for note in worker.notes if note.startswith("!")]
        assert complaints == [], "the workers' event loops have something to complain of"
    finally:
        for worker in workers:
            worker.hang_up()
        ends += await asyncio.to_thread(_end, [worker.process for worker in workers])
    assert set(ends) <= {0, -signal.SIGKILL}, "not every worker ends by itself when the test hangs up"


def _start(plans: Sequence[Plan]) -> list[tuple[ForkServerProcess, Connection]]:
    started: list[tuple[ForkServerProcess, Connection]] = []
    for plan in plans:
        ours, theirs = multiprocessing.Pipe()
        with theirs, _one_at_a_time:
            process = _processes().Process(target=main, args=(theirs, plan), daemon=True)
            process.start()
        started.append((process, ours))
    return started


def _end(processes: Sequence[ForkServerProcess]) -> list[int | None]:
    """Wait until the workers have ended, and return their exit codes; None for one that had to be killed."""
    deadline = time.monotonic() + _END_LIMIT
    while True:
        with _one_at_a_time:
            ends = [process.exitcode for process in processes]
        if None not in ends or time.monotonic() > deadline:
            break
        time.sleep(0.01)
    with _one_at_a_time:
        for process in processes:
            process.kill()  # a stopped process as well
            process.join()
            process.close()
    return ends


@attrs.frozen
class Seen:
    """The result of a run: what callers got, how many logins were tried, and whether EnKash locked the account."""

    report: Report
    logins: int
    locked: bool


@attrs.frozen
class Scene:
    """An EnKash, and what a worker needs to use it."""

    sandbox: Sandbox
    plan: Plan

    @property
    def logins(self) -> int:
        """How many logins were tried."""
        return self.sandbox.counts["token"]

    @property
    def locked(self) -> bool:
        """Whether EnKash has locked the account."""
        return self.sandbox.ledger.accounts.locked

    async def logged_in(self, times: int) -> None:
        """Wait until the given number of logins has arrived."""
        async with asyncio.timeout(_LIMIT):
            while self.logins < times:
                await asyncio.sleep(0.005)

    async def called(self, times: int) -> None:
        """Wait until the API has been called the given number of times."""
        async with asyncio.timeout(_LIMIT):
            while self.sandbox.counts["biller_categories"] < times:
                await asyncio.sleep(0.005)

    async def stored_generation(self) -> int | None:
        """Return the generation of the token in Redis."""
        store = RedisTokenStore.from_url(self.plan.redis_url, timeout=5)
        try:
            return (await store.status(Identity.of(self.plan.base_url, self.plan.credentials))).generation
        finally:
            await store.aclose()

    async def seen(self, run: Awaitable[Report]) -> Seen:
        """Return the result of a run, without the logins before it."""
        before = self.logins
        report = await run
        return Seen(report, self.logins - before, self.locked)

    def changed(self, **changes: Any) -> Plan:
        """Return the plan with other attributes."""
        return attrs.evolve(self.plan, **changes)

    def fleet(self, number: int, **changes: Any) -> AbstractAsyncContextManager[Fleet]:
        """Run the given number of workers, with the given changes of their plan."""
        return fleet([self.changed(**changes)] * number)

    def with_password(self, password: str) -> Credentials:
        """Return the account's credentials with another password."""
        return attrs.evolve(self.plan.credentials, password=password)


@asynccontextmanager
async def scene(
    server: Server,
    make: Maker = shared,
    *,
    login_takes: float = 0.3,
    token_lifetime: float = 3600.0,
    token_style: TokenStyle = "camel",
    **plan: Any,
) -> AsyncIterator[Scene]:
    """Run an EnKash of its own, with an account that no other scene uses.

    Args:
        server: Where the workers share their token.
        make: Makes their providers.
        login_takes: Seconds, long enough for all workers of a cold fleet to want a token before there is one.
        token_lifetime: Seconds.
        token_style: As for the sandbox.
        plan: Further attributes of the plan.
    """
    async with Sandbox(token_lifetime=token_lifetime, token_style=token_style) as sandbox:
        if login_takes:
            sandbox.faults.add("token", FaultKind.SLOW, delay=login_takes, times=None)
        yield Scene(
            sandbox,
            Plan(
                base_url=sandbox.base_url,
                credentials=sandbox.credentials,
                redis_url=server.url,
                make=make,
                **plan,
            ),
        )
