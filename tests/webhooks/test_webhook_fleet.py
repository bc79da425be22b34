"""Events in random order, late, reworded and lost, to three processes that share a store, one of which is killed.

`ENKASH_NEWS=10000` runs the long form: 10,000 events of 1,000 bills.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import random
import signal
import sys
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import attrs
import pytest
from fleet.places import KINDS, Place
from fleet.places import place as running_place
from webhooks import workers
from webhooks.doubles import create, post
from webhooks.workers import HEADER, KEY, LEASE

from enkash_async import EnkashClient, open_store
from enkash_async.sandbox import Sandbox
from enkash_async.sandbox._payment import Stage
from enkash_async.webhooks import WebhookReceiver, WebhookVerifier

from support import alarm

EVENTS = int(os.environ.get("ENKASH_NEWS", "400"))
BILLS = EVENTS // 10
AT_ONCE = 16  # posts in flight

_LIMIT = 20.0  # seconds for what takes a fraction of one on a machine that has nothing else to do
_STAGES = (Stage.CONFIRMED, Stage.REFUNDING, Stage.REINITIATED)
_LATE = 40  # steps by which a post may be late


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A store of each kind in turn."""
    with alarm(60 + EVENTS // 10), running_place(request.param, tmp_path) as made:
        yield made


@attrs.frozen
class Note:
    """A line that a handler wrote."""

    at: int
    word: str
    bill: str
    status: str
    key: str


def noted(path: Path) -> list[Note]:
    """Return what a handler wrote, without a line that a kill cut off."""
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return [Note(int(at), *rest) for at, *rest in (line.split(" ") for line in lines)]


class Worker:
    """A process that receives posts."""

    def __init__(self, process: asyncio.subprocess.Process, path: Path) -> None:
        self.process, self.path, self.port = process, path, 0

    @property
    def notes(self) -> list[Note]:
        """What its handler wrote."""
        return noted(self.path)

    @property
    def in_hand(self) -> set[str]:
        """The keys that were begun and not ended."""
        notes = self.notes
        begun, ended = (Counter(note.key for note in notes if note.word == word) for word in ("begin", "end"))
        return set(begun - ended)

    async def kill_at_work(self) -> None:
        """Send SIGKILL while handlers run."""
        async with asyncio.timeout(_LIMIT):
            while True:
                os.kill(self.process.pid, signal.SIGSTOP)  # so that handling stands still while the test looks
                if self.in_hand:
                    break
                os.kill(self.process.pid, signal.SIGCONT)
                await asyncio.sleep(0.001)
        self.process.kill()
        await self.process.wait()


@asynccontextmanager
async def working(environ: Mapping[str, str], notes: Path) -> AsyncIterator[Worker]:
    """Run a worker; it ends when standard input does."""
    # A killed process ends without saving its coverage: measuring it would only make it slower.
    inherited = {name: value for name, value in os.environ.items() if name != "COVERAGE_PROCESS_CONFIG"}
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(workers.__file__), str(notes)),
        stdin=pipe,
        stdout=pipe,
        stderr=asyncio.subprocess.DEVNULL,  # warnings about posts that say more than the API does
        env={**inherited, **environ},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        worker = Worker(process, notes)
        async with asyncio.timeout(_LIMIT):
            worker.port = int(await process.stdout.readline())
        yield worker
    finally:
        process.stdin.close()
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), _LIMIT)
        if process.returncode is None:
            process.kill()
        assert await process.wait() in {0, -signal.SIGKILL}, "a worker does not end by itself"


class News:
    """EnKash's side: moves bills, and posts each move one to three times, late, reworded, or never."""

    def __init__(self, sandbox: Sandbox, chance: random.Random) -> None:
        self.ports: list[int] = []
        self.statuses: Counter[int] = Counter()
        self.bills = [create(sandbox, f"CN{number:06}") for number in range(BILLS)]
        self._sandbox, self._chance = sandbox, chance
        self._due: dict[int, list[bytes]] = defaultdict(list)

    def status(self, bill: str) -> str:
        """Return what EnKash says of a bill."""
        return self._sandbox.ledger.get(bill).stage.billpay_status

    async def send(self, *, first: int, last: int) -> None:
        """Let events happen, and send what is due by then."""
        queue: asyncio.Queue[bytes | None] = asyncio.Queue(AT_ONCE)
        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(self._post_all(session, queue))
            for step in range(first, last + _LATE * (last == EVENTS)):
                if step < last:
                    self._happen(step)
                for body in self._due.pop(step, ()):
                    await queue.put(body)
            for _ in range(AT_ONCE):
                await queue.put(None)

    def move_untold(self) -> None:
        """Move every fourth bill once more, and post nothing about it."""
        for bill in self.bills[::4]:
            self._move(bill)

    def _happen(self, step: int) -> None:
        bill = self._chance.choice(self.bills)
        self._move(bill)
        if self._chance.random() < 0.1:
            return  # of some, nobody is told
        for _ in range(self._chance.randint(1, 3)):
            self._due[step + self._chance.randrange(_LATE)].append(self._worded(bill))

    def _move(self, bill: str) -> None:
        ledger = self._sandbox.ledger
        payment = ledger.get(bill)
        stages = [stage for stage in _STAGES if stage is not payment.stage]
        ledger._keep(attrs.evolve(payment, stage=self._chance.choice(stages), confirmed_at=ledger.now()))

    def _worded(self, bill: str) -> bytes:
        full = post(self._sandbox, bill)
        document: dict[str, Any] = json.loads(full)
        wordings: list[dict[str, Any]] = [
            {"utilityEnkashId": bill},
            {"utilityEnkashId": bill, "amount": document["amount"]},
            {"event": "changed", "data": document},
            {**document, "remarks": f"{self._chance.random()}"},
            {"referenceId": document["referenceId"]},
        ]
        return self._chance.choice([full, *(json.dumps(wording).encode() for wording in wordings)])

    async def _post_all(self, session: aiohttp.ClientSession, queue: asyncio.Queue[bytes | None]) -> None:
        while (body := await queue.get()) is not None:
            url = f"http://127.0.0.1:{self._chance.choice(self.ports)}/enkash"
            try:
                async with session.post(url, data=body, headers={HEADER: KEY}) as answer:
                    self.statuses[answer.status] += 1
            except aiohttp.ClientError:
                self.statuses[0] += 1  # the killed process; nobody posts again


async def test_the_last_word_is_enkashs_and_no_state_is_told_twice_but_for_what_a_killed_process_had_in_hand(
    place: Place, tmp_path: Path
) -> None:
    """A sweep by `missed` then brings what was never posted, or was posted to the killed process."""
    async with AsyncExitStack() as stack:
        sandbox = await stack.enter_async_context(Sandbox(settle_after=math.inf, refund_after=math.inf))
        news = News(sandbox, random.Random(7))
        environ = {**sandbox.environ(), "ENKASH_STORE_URL": place.url}
        each = await asyncio.gather(
            *(stack.enter_async_context(working(environ, tmp_path / name)) for name in ("doomed", "one", "other"))
        )
        doomed, *steady = each
        news.ports = [worker.port for worker in each]
        async with asyncio.TaskGroup() as group:
            sending = group.create_task(news.send(first=0, last=EVENTS // 2))
            while news.statuses.total() < EVENTS // 4:
                await asyncio.sleep(0.005)
            await doomed.kill_at_work()
            await sending
        news.ports.remove(doomed.port)
        await news.send(first=EVENTS // 2, last=EVENTS)
        news.move_untold()
        await asyncio.sleep(LEASE)  # so that nothing counts as being in hand
        swept = await sweep(environ, tmp_path / "sweep")
    assert news.statuses[200] > EVENTS
    assert set(news.statuses) <= {0, 200, 503}, "an old post may say more than the API does now"
    assert swept >= len(news.bills[::4]), "the sweep did not bring what nobody was told"

    files = [*(worker.path for worker in each), tmp_path / "sweep"]
    notes = sorted((note for path in files for note in noted(path)), key=lambda note: note.at)
    last = {note.bill: note.status for note in notes if note.word == "end"}
    assert {bill: status for bill, status in last.items() if status != news.status(bill)} == {}
    begun = Counter(note.key for note in notes if note.word == "begin")
    twice = {key for key, times in begun.items() if times > 1}
    lost = {note.key for note in doomed.notes}
    assert doomed.in_hand <= lost
    assert twice <= lost, "a state was handed over twice that the killed process did not have in hand"
    assert len(twice) <= AT_ONCE
    assert min(len(worker.notes) for worker in steady) > 0, "a worker had nothing to do"


async def sweep(environ: Mapping[str, str], notes: Path) -> int:
    """Hand over what was missed, as a job that runs once an hour; return how many bills that were."""
    store, found = open_store(environ["ENKASH_STORE_URL"]), 0
    async with EnkashClient.from_env(environ, store=store) as client:
        receiver = WebhookReceiver(WebhookVerifier({HEADER: KEY}), on_bill=workers.OnFile(notes), client=client)
        async for bill in client.webhooks.missed(datetime.now(UTC) - timedelta(hours=2)):
            assert await receiver.handle(bill.utility_enkash_id) == 200
            found += 1
        assert [bill async for bill in client.webhooks.missed(datetime.now(UTC))] == []
    await store.aclose()
    return found
