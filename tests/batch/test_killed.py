"""Runs over 500 rows are killed at 50 moments: each bill exists once and is debited once."""

from __future__ import annotations

import asyncio
import csv
import enum
import json
import math
import os
import random
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import pytest
from batch.batches import WatchedSandbox

from enkash_async.batch.journal import Journal
from enkash_async.sandbox import FaultKind

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is neither SIGKILL nor fork")

ROWS = 500
SHORTEST = 0.8  # seconds that a confirmation may be in flight
SLOWNESS = 1.6  # times the look-ups of a run, so that a late confirmation finds the next run past them
LATE = 0.85  # as a share of that time: when a delayed confirmation is carried out
LIMIT = 60.0  # seconds for one run


class Stage(enum.Enum):
    """The work during which a run was killed."""

    LOOK_UP = "look up"
    CREATE = "fetch or create"
    CONFIRM = "confirm"
    EARLIER = "wait for the confirmation of an earlier run"
    SETTLE = "wait until settled"


LOOK_UP = frozenset({"bill_by_reference"})
CREATE = frozenset({"fetch_bill", "create_bill"})
READ = frozenset({"search_bills", "bill"})
CONFIRM = frozenset({"confirm_debit"})


@attrs.frozen
class Moment:
    """When to kill a run; a run that comes to its last stage before that is killed there.

    Attributes:
        routes: At a request of these.
        number: At which one, the first being 1.
        done: Before its work, or after it.
        pause: Seconds from there.
        fault: What becomes of the first confirmation of the run; the others are lost.
    """

    routes: frozenset[str]
    number: int
    done: bool
    pause: float
    fault: FaultKind | None = None


@attrs.define
class Killer:
    """Watches the requests of one run, and kills it."""

    scene: Scene
    moment: Moment
    pid: int
    waits: bool  # whether a confirmation of an earlier run is open
    stage: Stage = Stage.LOOK_UP
    count: int = 0
    killed_in: Stage | None = None

    def __call__(self, route: str, done: bool) -> None:
        self.stage = self._stage(route)
        if route in READ | CONFIRM:
            self.scene.looked_up()
        if done is not self.moment.done:
            return
        self.count += route in self.moment.routes
        if self.count == self.moment.number or self.stage is Stage.SETTLE:
            self.scene.sandbox.listener = lambda route, done: None
            asyncio.get_running_loop().call_later(self.moment.pause, self._kill)

    def _kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        self.killed_in = self.stage

    def _stage(self, route: str) -> Stage:
        if route in READ | CONFIRM:
            if self.scene.unconfirmed == 0:
                return Stage.SETTLE
            self.waits = self.waits and route in READ
            return Stage.EARLIER if self.waits else Stage.CONFIRM
        return Stage.CREATE if route in CREATE else Stage.LOOK_UP


@attrs.define
class Scene:
    """An EnKash, a batch, and a process that runs the command; `pid` is that of a run."""

    sandbox: WatchedSandbox
    folder: Path
    zygote: Process
    pid: int | None = None
    began: float | None = None
    window: float = SHORTEST

    def looked_up(self) -> None:
        """Record that a run has finished its look-ups, and how long they took."""
        if self.began is not None:
            self.window = max(self.window, SLOWNESS * (time.monotonic() - self.began))
            self.began = None

    @property
    def unconfirmed(self) -> int:
        """How many bills are unconfirmed or not created."""
        return ROWS - len({debit.reference_id for debit in self.sandbox.ledger.debits})

    @property
    def created(self) -> int:
        return len(self.sandbox.ledger._payments)

    def has_open_entries(self) -> bool:
        """Whether the last run has left a confirmation that may be in flight."""
        with Journal(self.folder / "november.journal") as journal:
            return any(journal.sent_at(one) is not None for one in self.sandbox.ledger._payments)

    async def run(self, moment: Moment | None = None) -> tuple[int, Stage | None]:
        """Run the command once; return its exit code, and the stage in which it was killed."""
        waits = self.has_open_entries()
        argv = ["pay", str(self.folder / "november.csv"), "--settle", str(self.window), "--timeout", "20"]
        order = {"argv": argv, "environ": self.sandbox.environ(), "output": str(self.folder / "printed")}
        assert self.zygote.stdin is not None
        self.zygote.stdin.write(json.dumps(order).encode() + b"\n")
        self.pid = await self._answer()
        self.began = time.monotonic()
        killer = None if moment is None else Killer(self, moment, self.pid, waits)
        self.sandbox.listener = killer or (lambda route, done: None)
        code = await self._answer()
        self.pid = None
        self.sandbox.listener = lambda route, done: None
        return code, None if killer is None else killer.killed_in

    async def _answer(self) -> int:
        assert self.zygote.stdout is not None
        return int(await asyncio.wait_for(self.zygote.stdout.readline(), LIMIT))

    def printed(self) -> str:
        return (self.folder / "printed").read_text()


@asynccontextmanager
async def scene(folder: Path) -> AsyncIterator[Scene]:
    """Run an EnKash in which nothing settles, and a process that runs the command."""
    rows = "".join(f"inv-{number},2001,{900_000_000 + number}\n" for number in range(ROWS))
    (folder / "november.csv").write_text(f"reference,biller_id,consumer_number\n{rows}")
    program = str(Path(__file__).with_name("zygote.py"))
    async with WatchedSandbox(settle_after=math.inf) as sandbox:
        zygote = await asyncio.create_subprocess_exec(sys.executable, program, stdin=PIPE, stdout=PIPE)
        here = Scene(sandbox, folder, zygote)
        try:
            yield here
        finally:
            if here.pid is not None:
                os.kill(here.pid, signal.SIGKILL)
            assert zygote.stdin is not None
            zygote.stdin.close()
            await zygote.wait()


def moments(here: Scene, chance: random.Random) -> Iterator[Moment]:
    """Yield 50 moments, each worked out when the one before is over, from the beginning to the end of the batch."""
    first = [LOOK_UP] * 10 + [CREATE] * 22
    chance.shuffle(first)
    for index, routes in enumerate(first):
        rest = 4 * (ROWS - here.created) // (len(first) - index + 1)  # a row has two requests
        yield _moment(chance, routes, min(here.created + 8, ROWS) if routes is LOOK_UP else rest)
    # At most one confirmation of each run is done after all, so that there are some left until the end. The last one is
    # late, and the run after it is free to confirm: it pays twice unless it waits.
    for fault in ("LATE", "DROP_BEFORE", "LATE", "DROP_AFTER", "DROP_BEFORE", "LATE"):
        yield _moment(chance, READ | CONFIRM, 4, FaultKind.DROP_BEFORE)
        yield _moment(chance, CONFIRM, 2 if here.unconfirmed > 300 else 1, FaultKind[fault])
    for _ in range(6):
        yield _moment(chance, frozenset(), 1)


def _moment(chance: random.Random, routes: frozenset[str], latest: int, fault: FaultKind | None = None) -> Moment:
    pause = chance.choice([0.0, chance.uniform(0.0, 0.005)])
    return Moment(routes, chance.randint(1, max(latest, 1)), chance.random() < 0.5, pause, fault)


async def test_fifty_kills(tmp_path: Path) -> None:
    """One more run comes to its end, and its files agree with the ledger."""
    chance = random.Random(20261123)
    killed: Counter[Stage | None] = Counter()
    async with scene(tmp_path) as here:
        for moment in moments(here, chance):
            if moment.fault is not None:
                here.sandbox.faults.add("confirm_debit", moment.fault, delay=LATE * here.window)
                here.sandbox.faults.add("confirm_debit", FaultKind.DROP_BEFORE, times=None)
            code, stage = await here.run(moment)
            assert code == -signal.SIGKILL, f"{moment} did not come: {here.printed()}"
            killed[stage] += 1
            here.sandbox.faults.clear()
        assert killed.total() == 50
        here.sandbox.ledger.settle_after = 0.0
        code, _ = await here.run()
        await here.sandbox.late_work()
        assert code == 0, here.printed()
        _paid_once(here)
    assert all(killed[stage] >= 4 for stage in Stage), killed


def _paid_once(here: Scene) -> None:
    ledger = here.sandbox.ledger
    wanted = Counter(f"inv-{number}" for number in range(ROWS))
    bills = {payment.reference_id: payment for payment in ledger._payments.values()}
    assert Counter(payment.reference_id for payment in ledger._payments.values()) == wanted
    assert Counter(debit.reference_id for debit in ledger.debits) == wanted
    assert here.sandbox.counts["create_bill"] == ROWS, "no create is sent for a bill that exists"
    with (here.folder / "november.result.csv").open(encoding="utf-8-sig", newline="") as file:
        told = {line["reference"]: line for line in csv.DictReader(file)}
    assert {line["result_outcome"] for line in told.values()} <= {"PAID", "ALREADY_PAID"}
    assert {reference: line["result_utility_enkash_id"] for reference, line in told.items()} == {
        reference: payment.utility_enkash_id for reference, payment in bills.items()
    }
    assert {path.name for path in here.folder.iterdir()} == {
        *("november.csv", "november.result.csv", "november.journal.lock", "printed")
    }
