"""A fleet of real worker processes, as a test sees it."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from typing import Any

import attrs
from fleet.enkash import Account, Enkash
from fleet.places import Place
from fleet.workers import Maker, Plan, Report, main, shared, together
from fleet.zygote import begin, finish

__all__ = ["Fleet", "Scene", "Seen", "Worker", "WorkerGoneError", "dismiss", "fleet"]

_LIMIT = 60.0  # seconds for anything that a test waits for


class WorkerGoneError(Exception):
    """A worker process has ended without an answer."""


class Worker:
    """A process that takes one order at a time."""

    def __init__(self, process: ForkServerProcess, line: Connection) -> None:
        self.process = process
        self.line = line
        self.notes: list[str] = []
        self._replies: asyncio.Queue[Any] = asyncio.Queue()
        self._noted = asyncio.Event()
        self.gone = False
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
        self.line.send((order, arguments))
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
            if self.gone:
                raise WorkerGoneError(f"worker {self.pid} has ended")
            self._noted.clear()
            await self._noted.wait()

    def let_go(self) -> None:
        """Read nothing of the worker's any more."""
        if not self.gone:
            asyncio.get_running_loop().remove_reader(self.line.fileno())

    def _read(self) -> None:
        try:
            kind, what = self.line.recv()
        except (EOFError, OSError):
            self.let_go()
            self.gone = True
            self._replies.put_nowait(WorkerGoneError(f"worker {self.pid} has ended"))
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

    async def served(self, *, within: float = 20.0) -> Report:
        """Ask again and again until all are served, because a worker believes in a closed guard for a second."""
        async with asyncio.timeout(within):
            while (report := await self.ask()).errors:
                await asyncio.sleep(0.1)
        return report

    def without(self, worker: Worker) -> Fleet:
        return Fleet([each for each in self.workers if each is not worker])


_Idle = tuple[ForkServerProcess, Connection]

#: Workers that wait for a plan. Several event loops use them one after the other.
_idle: list[_Idle] = []


@asynccontextmanager
async def fleet(plans: Sequence[Plan], *, reusable: bool = True) -> AsyncIterator[Fleet]:
    """Run a worker process for each plan; they are ready, and have done nothing yet.

    Args:
        plans: Their settings.
        reusable: Whether the processes may serve another fleet later; not those whose code a control has changed.
    """
    workers: list[Worker] = []
    try:
        for process, line in [_taken() for _ in plans]:
            workers.append(Worker(process, line))
        await asyncio.gather(*(worker.tell("become", plan=plan) for worker, plan in zip(workers, plans, strict=True)))
        yield Fleet(workers)
        if reusable:
            living = [worker for worker in workers if worker.process.is_alive()]
            await Fleet(living).tell("leave")
            await asyncio.sleep(0)
        complaints = [note for worker in workers for note in worker.notes if note.startswith("!")]
        assert complaints == [], "the workers' event loops have something to complain of"
    except BaseException:
        reusable = False
        raise
    finally:
        lasting: list[_Idle] = []
        ending: list[_Idle] = []
        for worker in workers:
            worker.let_go()
            keeps = reusable and not worker.gone and worker.process.is_alive()
            (lasting if keeps else ending).append((worker.process, worker.line))
        _idle.extend(lasting)
        await asyncio.to_thread(_end, ending)


def dismiss() -> None:
    """End all workers that wait for a plan."""
    _end(_idle)
    _idle.clear()


def _taken() -> _Idle:
    return _idle.pop() if _idle else begin(main)


def _end(workers: Sequence[_Idle]) -> None:
    for _, line in workers:
        line.close()
    ends = finish([process for process, _ in workers])
    assert set(ends) <= {0, -signal.SIGKILL}, f"not every worker ends by itself when the test hangs up: {ends}"


@attrs.frozen
class Seen:
    """The result of a run: what callers got, and what EnKash saw of this account.

    Attributes:
        account: At the end.
        logins: How many were tried in this run.
        calls: Of the store, of each process; see `Agent.calls`.
    """

    report: Report
    account: Account
    logins: int
    calls: Sequence[Sequence[tuple[str, float]]] = ()

    @property
    def locked(self) -> bool:
        return self.account.locked


class Scene:
    """An account that no other scene uses, and workers that share its token in a store.

    Args:
        enkash: Where they log in.
        place: Where they share.
        make: Makes their providers.
        account: Settings of the account.
        plan: Attributes of the workers' plan.
    """

    def __init__(
        self,
        enkash: Enkash,
        place: Place,
        make: Maker = shared,
        *,
        account: dict[str, Any] | None = None,
        **plan: Any,
    ) -> None:
        self.enkash = enkash
        self.user = enkash.open(**(account or {}))
        self.plan = Plan(base_url=enkash.base_url, store=place.url, user=self.user, make=make, **plan)

    @property
    def account(self) -> Account:
        return self.enkash.seen(self.user)

    @property
    def logins(self) -> int:
        """How many logins were tried."""
        return len(self.account.logins)

    def change(self, **settings: Any) -> None:
        """Change the account from now on."""
        self.enkash.change(self.user, **settings)

    def revoke(self) -> None:
        """End all tokens."""
        self.enkash.revoke(self.user)

    async def logged_in(self, times: int) -> None:
        """Wait until the given number of logins has arrived."""
        deadline = time.monotonic() + _LIMIT
        while self.logins < times:
            assert time.monotonic() < deadline, "the login does not arrive"
            await asyncio.sleep(0.01)

    def changed(self, **changes: Any) -> Plan:
        """Return the plan with other attributes."""
        return attrs.evolve(self.plan, **changes)

    @asynccontextmanager
    async def fleet(self, number: int, **changes: Any) -> AsyncIterator[Fleet]:
        """Run the given number of workers, with the given changes of their plan."""
        async with self.fleet_of([self.changed(**changes)] * number) as workers:
            yield workers

    @asynccontextmanager
    async def fleet_of(self, plans: Sequence[Plan]) -> AsyncIterator[Fleet]:
        """Run a worker for each plan."""
        changes_code = any(getattr(plan.make, "changes_code", False) for plan in plans)
        async with fleet(plans, reusable=not changes_code) as workers:
            yield workers

    async def seen(self, workers: Fleet, run: Any) -> Seen:
        """Return the result of a run, without the logins before it."""
        before = self.logins
        await workers.tell("calls")
        report = await run
        calls = await workers.tell("calls")
        account = self.account
        return Seen(report, account, len(account.logins) - before, calls)

    async def run(self, number: int, **changes: Any) -> Seen:
        """Let all callers of a fleet ask once."""
        async with self.fleet(number, **changes) as workers:
            return await self.seen(workers, workers.ask())
