"""A worker process of a schedule: it pays the bills of each job, while windows pass thirty times as fast."""

from __future__ import annotations

import asyncio
import os
import random
import time
import traceback
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from logging import NullHandler, getLogger
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import attrs
from _money.schedule_habits import Habit, adopt, scale

from enkash_async import BillRequest, EnkashClient, EnkashError, MemoryStore, Payment, RetryPolicy, Timeouts, open_store
from enkash_async._http.login import PasswordGrant
from enkash_async._money.debit_record import DEBIT
from enkash_async.stores import Cell, Change, Store
from enkash_async.tokens import Credentials, StoreTokenProvider

__all__ = ["Answer", "Job", "Setup", "main"]


@attrs.frozen(kw_only=True)
class Setup:
    """What a worker process works with.

    Attributes:
        environ: The variables that name EnKash.
        ahead: File with the seconds by which the store's clock is ahead.
        loses: The state whose write to a debit's record the store loses once; empty for none.
        lost: File that the process makes whose write is lost.
        wall: Seconds by which the wall clock of this process is ahead.
    """

    environ: Mapping[str, str] = attrs.field(repr=False)
    store_url: str
    ahead: Path
    loses: str
    lost: Path
    wall: float = 0.0
    habit: Habit = Habit.NONE


@attrs.frozen
class Job:
    """Bills to be paid by one call.

    Attributes:
        bills: Reference and biller of each.
        wait: Seconds to wait until they are settled.
    """

    number: int
    bills: tuple[tuple[str, int], ...]
    wait: float

    @property
    def remarks(self) -> str:
        """The remarks of its confirmations, by which the ledger knows the job that debited a bill."""
        return f"job {self.number}"


@attrs.frozen
class Answer:
    """What a job told of one bill; `state` is the name of an error if the call raised one."""

    job: int
    reference: str
    state: str
    retry: str
    retry_after: float | None = None
    reason: str = ""


class _Wall:
    """The wall clock of this process, which may be wrong."""

    def __init__(self, by: float) -> None:
        self.by = by
        self._right = time.time

    def __call__(self) -> float:
        return self._right() + self.by


@attrs.define(eq=False)
class _Seams:
    """A store whose clock may be wrong, and that loses at most one write: a failover that misses the last one."""

    store: Store
    setup: Setup
    _tasks: set[asyncio.Task[Any]] = attrs.field(factory=set)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    async def read(self, keys: Sequence[str]) -> Mapping[str, Cell]:
        by = float(self.setup.ahead.read_text() or "0")
        return {key: Cell(cell.value, cell.now + by) for key, cell in (await self.store.read(keys)).items()}

    async def swap(self, changes: Sequence[Change]) -> Sequence[bool]:
        made = await self.store.swap(changes)
        done = [change for change, is_made in zip(changes, made, strict=True) if is_made]
        if self._is_to_be_lost(done):
            losing = asyncio.create_task(self._lose(done, random.choice((0.0, 0.01, 0.3))))
            self._tasks.add(losing)
            await asyncio.sleep(random.choice((0.0, 0.02)))
        return made

    def _is_to_be_lost(self, done: Sequence[Change]) -> bool:
        records = [DEBIT.codec.decode(one.new) for one in done if ":debit:" in one.key and one.new is not None]
        is_it = any(record.state == self.setup.loses for record in records)
        return is_it and random.random() < 0.5 and _is_first(self.setup.lost)

    async def _lose(self, done: Sequence[Change], after: float) -> None:
        await asyncio.sleep(after)
        await self.store.swap([Change(change.key, change.new, change.old, change.keep) for change in done])


def _is_first(flag: Path) -> bool:
    try:
        os.close(os.open(flag, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


# --- work -------------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def _client(setup: Setup) -> AsyncIterator[EnkashClient]:
    shared = open_store(setup.store_url)
    store = _Seams(shared, setup)
    url = setup.environ["ENKASH_BASE_URL"]
    grant = PasswordGrant(url, Credentials.from_env(setup.environ))
    async with EnkashClient(
        url,
        # A token of its own: otherwise all workers wait when one is killed during its login.
        tokens=StoreTokenProvider(grant, MemoryStore()),
        store=store,
        retry=RetryPolicy(attempts=2, backoff=0.05, settle=2),
        timeout=Timeouts(total=2.0),
    ) as client:
        yield client
    await shared.aclose()


async def _pay(client: EnkashClient, job: Job, tell: Callable[[Answer], None]) -> None:
    requests = [
        BillRequest(biller, {"cn": f"CN{reference.rpartition('-')[2]:>09}"}, reference_id=reference, max_amount=50_000)
        for reference, biller in job.bills
    ]
    left = [request.reference_id or "" for request in requests]
    try:
        if len(requests) == 1:
            payment = await client.payments.pay(requests[0], wait=job.wait, remarks=job.remarks)
            tell(_answer(job, payment))
            return
        async for item in client.payments.pay_each(requests, wait=job.wait, remarks=job.remarks):
            left.remove(item.key)
            tell(_failed(job, item.key, item.error) if item.value is None else _answer(job, item.value))
    except EnkashError as problem:
        for reference in left:
            tell(_failed(job, reference, problem))
    except Exception:  # noqa: BLE001 (the test shows it)
        for reference in left:
            tell(Answer(job.number, reference, "a bug", "never", reason=traceback.format_exc()))


def _answer(job: Job, payment: Payment) -> Answer:
    return Answer(
        job.number,
        payment.reference_id,
        payment.state.name,
        payment.retry.name,
        payment.retry_after,
        payment.reason,
    )


def _failed(job: Job, reference: str, problem: EnkashError | None) -> Answer:
    retry = "LATER" if problem is None else problem.retry.name
    return Answer(job.number, reference, type(problem).__name__, retry, reason=str(problem))


async def _work(line: Connection, setup: Setup, wall: _Wall) -> None:
    """Take jobs, each at once, and new errors of the wall clock, until the line is closed."""
    loop, orders = asyncio.get_running_loop(), asyncio.Queue[Job | float | None]()

    def receive() -> None:
        try:
            orders.put_nowait(line.recv())
        except (EOFError, OSError):
            loop.remove_reader(line.fileno())
            orders.put_nowait(None)

    loop.add_reader(line.fileno(), receive)
    async with _client(setup) as client, asyncio.TaskGroup() as group:
        while (order := await orders.get()) is not None:
            if isinstance(order, Job):
                group.create_task(_pay(client, order, line.send))
            else:
                wall.by = order


def main(line: Connection) -> None:
    """Work until the other end of the line is closed."""
    try:
        setup: Setup = line.recv()
    except EOFError:  # the schedule has ended meanwhile
        return
    getLogger("enkash_async").addHandler(NullHandler())  # what it warns of is what the schedule does to it
    wall = _Wall(setup.wall)
    time.time = wall
    scale()
    adopt(setup.habit)
    asyncio.run(_work(line, setup, wall))
