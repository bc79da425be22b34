"""Plays schedules: workers that are killed and stopped pay bills at an EnKash that fails, through a store that suffers.

Watched are three rules: no bill is debited twice (D), no answer is untrue (T), every payable bill is
paid in the end (L). An answer is held against the ledger of the sandbox, which knows by the remarks of a confirmation
which job has debited a bill.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Coroutine
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import attrs
from _money.arrivals import Arrivals
from _money.model import Rule
from _money.schedule_places import Open, Place, opened
from _money.schedule_plan import BAD, PAYABLE, Event, Plan
from _money.schedule_worker import Answer, Job, Setup, main
from fleet.zygote import begin, finish
from schedules import Violation

from enkash_async.sandbox import Sandbox
from enkash_async.sandbox._refusals import RefusedError

__all__ = ["Tally", "play"]

LIMIT = 180.0  # seconds until the last bill is paid; a machine that is not busy takes twenty
_STANDSTILL = 1.0  # seconds for which the sandbox may stand still: it would carry out confirmations that much later
_EARLY = 6.0  # seconds during which bills are handed out sooner than they were told to
_PATIENCE = 2.0  # seconds for which an event waits for confirmations
_PLAYS = 3  # of a schedule in which the sandbox stood still


@attrs.define
class Tally:
    """What happened in some schedules."""

    schedules: int = 0
    debits: int = 0
    unpaid: int = 0
    answers: Counter[str] = attrs.field(factory=Counter)
    events: Counter[str] = attrs.field(factory=Counter)
    replayed: int = 0

    def __str__(self) -> str:
        what = ", ".join(f"{number} {name}" for name, number in sorted((self.answers + self.events).items()))
        counts = f"{self.schedules} schedules, {self.debits} debits, {self.unpaid} payable bills unpaid"
        return f"{counts}, {self.replayed} played again; {what}"


@attrs.define(eq=False)
class _Worker:
    """A process, and what it was handed and has not answered."""

    name: str
    process: ForkServerProcess
    line: Connection
    left: dict[int, set[str]] = attrs.field(factory=dict)
    is_gone: bool = False
    is_killed: bool = False

    def signal(self, number: signal.Signals) -> None:
        if not self.is_gone and self.process.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self.process.pid, number)


async def play(plan: Plan, open_place: Open, folder: Path, tally: Tally) -> None:
    """Play a schedule.

    Raises:
        Violation: One of the rules did not hold.
    """
    for number in range(1, _PLAYS + 1):
        own = folder / f"{plan.seed}-{number}"
        sandbox = _sandbox(plan)
        arrivals = Arrivals(sandbox)
        store = opened(open_place, plan.seed, own, fails_over=plan.fails_over, is_old=plan.is_old)
        async with store as place, sandbox:
            played = _Play(plan, sandbox, place, own, tally)
            try:
                await played.play(arrivals)
            except Violation:
                if played.stood_still < _STANDSTILL or number == _PLAYS:
                    raise
                tally.replayed += 1
                continue
        tally.schedules += 1
        return


def _sandbox(plan: Plan) -> Sandbox:
    sandbox = Sandbox(
        repeat_debits=True,
        settle_after=0.1,
        read_lag=plan.read_lag,
        search_lag=plan.search_lag,
        confirm_style=plan.style,
    )
    for fault in plan.faults:
        sandbox.faults.add(**fault)
    return sandbox


class _Play:
    """One schedule as it is played.

    Attributes:
        stood_still: The longest time for which the sandbox did not run.
    """

    def __init__(self, plan: Plan, sandbox: Sandbox, place: Place, folder: Path, tally: Tally) -> None:
        self._plan = plan
        self._sandbox = sandbox
        self._place = place
        self._tally = tally
        self._setup = Setup(
            environ=sandbox.environ(),
            store_url=place.url,
            ahead=folder / "ahead",
            loses=plan.loses,
            lost=folder / "lost",
            habit=plan.habit,
        )
        self._chance = random.Random(plan.seed)
        self._began = time.monotonic()
        self._numbers = itertools.count(1)
        self._workers: list[_Worker] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._open = Counter(reference for _, references, _ in plan.jobs for reference in references)
        self._debited: list[Answer] = []
        self._unmoved: list[Answer] = []
        self._ahead = 0.0
        self._story: list[str] = []
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.stood_still = 0.0

    async def play(self, arrivals: Arrivals) -> None:
        """Play it until each bill was told as paid as often as it was handed out, and judge it."""
        self._turn_clock(0.0)
        self._begin(self._watch())
        for number in range(self._plan.workers):
            await self._employ(f"w{number}")
        for at, references, wait in self._plan.jobs:
            self._later(at, references, wait)
        for event in self._plan.events:
            self._begin(self._strike(event))
        try:
            await asyncio.wait_for(self._over, LIMIT)
        except TimeoutError:
            raise self._violation(Rule.L, f"not told as paid as often as asked: {self._open}") from None
        finally:
            await self._end()
        await arrivals.are_over()
        self._tally.events["lost write"] += self._setup.lost.exists()
        self._judge()

    async def _end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for worker in self._workers:
            worker.signal(signal.SIGKILL)
            self._let_go(worker)
        await asyncio.to_thread(finish, [worker.process for worker in self._workers])

    def _begin(self, what: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(what)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (problem := task.exception()) is not None and not self._over.done():
            self._over.set_exception(problem)

    async def _watch(self) -> None:
        """Note for how long the loop, and the sandbox with it, stands still."""
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.05)
            self.stood_still = max(self.stood_still, time.monotonic() - before - 0.05)
            if any(number > 1 for number in self._sandbox.debits.values()):
                raise self._violation(Rule.D, "a bill is debited twice")

    def _tell(self, what: str) -> None:
        self._story.append(f"{time.monotonic() - self._began:8.3f} {what}")

    def _violation(self, rule: Rule, what: str) -> Violation:
        self._tell(what)
        if self._setup.lost.exists():
            self._tell(f"the store has lost a write of {self._plan.loses!r}")
        confirmed = [f"{debit.reference_id} {debit.at:%H:%M:%S.%f}" for debit in self._sandbox.ledger.debits]
        return Violation(rule, [repr(self._plan), *self._story, f"debits: {confirmed}"])

    # --- workers ------------------------------------------------------------------------------------------------------

    async def _employ(self, name: str) -> None:
        process, line = await asyncio.to_thread(begin, main)
        worker = _Worker(name, process, line)
        line.send(attrs.evolve(self._setup, wall=self._chance.choice(self._plan.walls)))
        asyncio.get_running_loop().add_reader(line.fileno(), self._hear, worker)
        self._workers.append(worker)

    def _later(self, seconds: float, references: tuple[str, ...], wait: float) -> None:
        asyncio.get_running_loop().call_later(seconds, self._hand, references, wait)

    def _hand(self, references: tuple[str, ...], wait: float) -> None:
        alive = [worker for worker in self._workers if not worker.is_gone]
        if self._over.done() or not any(self._open[reference] > 0 for reference in references):
            return
        if not alive:
            self._later(0.1, references, wait)
            return
        worker = self._chance.choice(alive)
        job = Job(next(self._numbers), tuple((one, self._plan.bills[one]) for one in references), wait)
        worker.left[job.number] = set(references)
        self._tell(f"job {job.number} to {worker.name}: {references}")
        with suppress(OSError):  # it has just been killed: `_hear` hands the job to another worker
            worker.line.send(job)

    def _hear(self, worker: _Worker) -> None:
        try:
            answer: Answer = worker.line.recv()
        except (EOFError, OSError):
            self._replace(worker)
            return
        worker.left[answer.job].discard(answer.reference)
        retry = f"{answer.retry} {answer.retry_after}"
        self._tell(f"{worker.name}, job {answer.job}: {answer.reference} {answer.state} {retry} {answer.reason}")
        self._tally.answers[answer.state] += 1
        try:
            self._take(answer)
        except Violation as found:
            if not self._over.done():
                self._over.set_exception(found)

    def _replace(self, worker: _Worker) -> None:
        self._let_go(worker)
        if self._over.done():
            return
        if not worker.is_killed:
            self._over.set_exception(AssertionError(f"{worker.name} ended by itself"))
            return
        self._begin(self._employ(f"{worker.name}'"))
        for references in worker.left.values():
            if references:
                self._later(0.0, tuple(sorted(references)), 0.3)

    @staticmethod
    def _let_go(worker: _Worker) -> None:
        if not worker.is_gone:
            worker.is_gone = True
            asyncio.get_running_loop().remove_reader(worker.line.fileno())

    # --- answers ------------------------------------------------------------------------------------------------------

    def _take(self, answer: Answer) -> None:
        """Hold an answer against the ledger, as far as it can be now, and hand the bill out again if it says so."""
        is_bad = self._plan.bills[answer.reference] == BAD
        match answer.state:
            case "PAID" | "ALREADY_PAID":
                if not self._is_paid(answer.reference):
                    raise self._violation(Rule.T, f"{answer.reference} is told as paid, and is not")
                self._close(answer.reference, 1)
                return
            case "PENDING":
                self._debited.append(answer)
            case "UNKNOWN":
                pass
            case _:
                self._unmoved.append(answer)
                self._check_unmoved(answer)
                if answer.state == "REFUSED" and is_bad:  # never to be handed out again
                    self._close(answer.reference, self._open[answer.reference])
                    return
        if answer.retry not in {"NOW", "LATER"}:
            raise self._violation(Rule.L, f"{answer.reference} is given up: {answer}")
        is_early = time.monotonic() - self._began < _EARLY and self._chance.random() < 0.3
        self._later(self._chance.random() if is_early else answer.retry_after or 0.3, (answer.reference,), 0.3)

    def _close(self, reference: str, times: int) -> None:
        self._open[reference] -= times
        if max(self._open.values()) <= 0 and not self._over.done():
            self._over.set_result(None)

    def _is_paid(self, reference: str) -> bool:
        try:
            return self._sandbox.ledger.get_by_reference(reference).paid_at is not None
        except RefusedError:  # there is no such bill
            return False

    def _judge(self) -> None:
        debits = self._sandbox.debits
        self._tally.debits += sum(debits.values())
        if twice := [reference for reference, number in debits.items() if number > 1]:
            raise self._violation(Rule.D, f"debited twice: {twice}")
        unpaid = [one for one, biller in self._plan.bills.items() if biller == PAYABLE and not self._is_paid(one)]
        self._tally.unpaid += len(unpaid)
        if unpaid:
            raise self._violation(Rule.L, f"not paid: {unpaid}")
        for answer in self._debited:
            if not debits.get(answer.reference):
                raise self._violation(Rule.T, f"told as debited, and is not: {answer}")
        for answer in self._unmoved:
            self._check_unmoved(answer)

    def _check_unmoved(self, answer: Answer) -> None:
        """Refuse an answer that says that its job has debited nothing, where the job has debited the bill."""
        remarks = {one.reference_id: one.approval_remarks for one in self._sandbox.ledger.search()}
        if remarks.get(answer.reference) == f"job {answer.job}":
            raise self._violation(Rule.T, f"told as not debited by its job, and is: {answer}")

    # --- faults --------------------------------------------------------------------------------------------

    async def _strike(self, event: Event) -> None:
        await asyncio.sleep(event.at)
        patience = time.monotonic() + _PATIENCE
        while self._sandbox.counts["confirm_debit"] < event.after and time.monotonic() < patience:
            await asyncio.sleep(0.03)
        if event.after:
            await asyncio.sleep(self._chance.uniform(0, 0.5))
        worker = self._chance.choice(self._workers)
        self._tell(f"{event.what} {event.by:.1f} ({worker.name})")
        self._tally.events[event.what] += 1
        match event.what:
            case "kill":
                worker.is_killed = True
                worker.signal(signal.SIGKILL)
            case "pause":
                worker.signal(signal.SIGSTOP)
                await asyncio.sleep(event.by)
                worker.signal(signal.SIGCONT)
            case "wall":
                with suppress(OSError):
                    worker.line.send(event.by)
            case "clock":
                self._turn_clock(event.by)
            case _:
                await asyncio.to_thread(self._place.strikes[event.what])
        self._hand_out_again()

    def _hand_out_again(self) -> None:
        """Hand out all bills once more, as a task queue does that has lost count of them."""
        for reference in self._plan.bills:
            self._open[reference] += 1
            self._later(self._chance.uniform(0, 1), (reference,), self._chance.choice((0.0, 0.3)))

    def _turn_clock(self, by: float) -> None:
        """Set the store's clock, as all workers see it from now on."""
        self._ahead += by
        new = self._setup.ahead.with_name("new")
        new.write_text(str(self._ahead))
        new.replace(self._setup.ahead)
