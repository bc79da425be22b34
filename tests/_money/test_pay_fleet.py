"""A task queue that hands each bill out three times, to three worker processes that are killed and paused."""

from __future__ import annotations

import asyncio
import heapq
import json
import os
import random
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections import Counter
from contextlib import suppress
from pathlib import Path

import attrs
import pytest
from _money.pay_worker import AT_ONCE

from enkash_async.sandbox import FaultKind, Sandbox

from servers import Server

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")

WORKERS, TIMES = 3, 3
BILLS = int(os.environ.get("ENKASH_PAY_BILLS", "120"))
LIMIT = 90.0 + BILLS  # seconds for one run


@attrs.define
class Worker:
    """A process, and what it was handed and has not answered."""

    process: Process
    jobs: Counter[str] = attrs.field(factory=Counter)


@attrs.define
class Queue:
    """Hands each bill out three times, and again whenever its payment says so or its worker died.

    Attributes:
        due: What is handed out next, and when.
        left: How often each bill has still to be answered as paid.
        told: What was told of payments that are not paid and not to be handed out again.
    """

    sandbox: Sandbox
    store_url: str
    count: int
    kills: int
    chance: random.Random = attrs.field(factory=lambda: random.Random(20261130))
    due: list[tuple[float, str]] = attrs.field(factory=list)
    left: Counter[str] = attrs.field(factory=Counter)
    told: list[str] = attrs.field(factory=list)
    workers: list[Worker] = attrs.field(factory=list)
    states: Counter[str] = attrs.field(factory=Counter)

    async def run(self) -> None:
        references = [f"inv-{number}" for number in range(self.count)]
        for reference in references * TIMES:
            self.left[reference] += 1
            heapq.heappush(self.due, (self.chance.random(), reference))
        async with asyncio.timeout(LIMIT), asyncio.TaskGroup() as group:
            for _ in range(WORKERS):
                group.create_task(self._serve(group))
            group.create_task(self._kill())

    async def _serve(self, group: asyncio.TaskGroup) -> None:
        """Keep one worker busy, and put another into its place when it is killed."""
        while self.left.total():
            program = str(Path(__file__).with_name("pay_worker.py"))
            # A killed process ends without saving its coverage: measuring it would only make it slower.
            inherited = {name: value for name, value in os.environ.items() if name != "COVERAGE_PROCESS_CONFIG"}
            environ = {**inherited, **self.sandbox.environ()}
            process = await asyncio.create_subprocess_exec(
                sys.executable, program, self.store_url, stdin=PIPE, stdout=PIPE, env=environ
            )
            worker = Worker(process)
            self.workers.append(worker)
            feeding = group.create_task(self._feed(worker))
            await self._listen(worker)
            feeding.cancel()
            await process.wait()
            self.workers.remove(worker)
            for reference in worker.jobs.elements():
                heapq.heappush(self.due, (time.monotonic(), reference))

    async def _feed(self, worker: Worker) -> None:
        stdin = worker.process.stdin
        assert stdin is not None
        while self.left.total():
            if worker.jobs.total() < AT_ONCE and self.due and self.due[0][0] <= time.monotonic():
                _, reference = heapq.heappop(self.due)
                worker.jobs[reference] += 1
                job = {"reference": reference, "consumer": f"CN{reference.removeprefix('inv-'):>09}"}
                stdin.write(json.dumps(job).encode() + b"\n")
            else:
                await asyncio.sleep(0.005)
        stdin.close()

    async def _listen(self, worker: Worker) -> None:
        assert worker.process.stdout is not None
        async for line in worker.process.stdout:
            told = json.loads(line)
            reference = told["reference"]
            worker.jobs[reference] -= 1
            self.states[told["state"]] += 1
            if told["state"] in {"PAID", "ALREADY_PAID"}:
                self.left[reference] -= 1
            elif told["retry"] in {"later", "now"}:
                heapq.heappush(self.due, (time.monotonic() + (told.get("retry_after") or 0.1), reference))
            else:
                self.told.append(line.decode())
                self.left[reference] -= 1

    async def _kill(self) -> None:
        for number in range(self.kills):
            most = self.left.total() * (self.kills - number) / (self.kills - number + 1)
            while self.left.total() > most:
                await asyncio.sleep(0.01)
            await asyncio.sleep(self.chance.random() * 0.2)
            if self.workers:
                process = self.chance.choice(self.workers).process
                await (self._pause(process) if number % 3 == 2 else _kill(process))

    async def _pause(self, process: Process) -> None:
        """Stop a worker, mostly for longer than its confirmations may be under way, and let it go on."""
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGSTOP)
            await asyncio.sleep(self.chance.random() * 9)
            process.send_signal(signal.SIGCONT)


async def _kill(process: Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()


async def test_bills_handed_out_three_times_to_workers_that_are_killed(tmp_path: Path) -> None:
    """A debit for each, all paid, every answer PAID in the end; EnKash loses replies, executes late, and shows late."""
    async with Sandbox(repeat_debits=True, settle_after=0.2, read_lag=0.1, search_lag=0.2) as sandbox:
        for after, kind in enumerate(
            (*[FaultKind.DROP_AFTER] * 8, *[FaultKind.LATE] * 8, *[FaultKind.REFUSED_AFTER] * 3)
        ):
            sandbox.faults.add(
                "create_bill" if kind is FaultKind.REFUSED_AFTER else "confirm_debit",
                kind,
                after=after * BILLS // 22,
                delay=2.0,
            )
        queue = Queue(sandbox, f"sqlite://{tmp_path / 'store.sqlite3'}", BILLS, kills=max(6, BILLS // 25))
        await queue.run()
        await sandbox.late_work()
        assert queue.told == []
        assert len(sandbox.debits) == BILLS
        assert set(sandbox.debits.values()) == {1}
        assert all(one.stage.payment_status == "SUCCESS" for one in sandbox.ledger.search())


async def test_redis_keeps_them_as_well(redis_server: Server) -> None:
    """30 bills, three times each, four kills."""
    async with Sandbox(repeat_debits=True, settle_after=0.1, read_lag=0.1, search_lag=0.2) as sandbox:
        queue = Queue(sandbox, redis_server.url, 30, kills=4)
        await queue.run()
        assert queue.told == []
        assert set(sandbox.debits.values()) == {1}


async def test_workers_that_share_nothing_debit_twice() -> None:
    """The control: what the tests above would show without a shared store, in one of a few runs."""
    for _ in range(8):
        async with Sandbox(repeat_debits=True, settle_after=0.1, read_lag=0.3, search_lag=0.3) as sandbox:
            queue = Queue(sandbox, "memory:", 60, kills=0)
            await queue.run()
            if max(sandbox.debits.values()) > 1:
                return
    raise AssertionError("no bill was debited twice")
