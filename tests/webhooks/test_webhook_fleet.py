"""Ten thousand events, each posted twice, to two processes that share Redis; one is killed during handling."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import pytest
from webhooks import workers
from webhooks.workers import HEADER, KEY

from servers import Server, running
from support import SERVER_KINDS, alarm

EVENTS = 10_000
AT_ONCE = 32  # posts in flight
LEASE = 2.0  # seconds

_LIMIT = 20.0  # seconds for what takes a fraction of one on a machine that has nothing else to do
_GONE = (ConnectionError, asyncio.IncompleteReadError)

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture(params=SERVER_KINDS[:1])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    with alarm(80), running(request.param, tmp_path / "server") as made:
        yield made


class Worker:
    """A process that receives posts."""

    def __init__(self, process: asyncio.subprocess.Process, notes: Path) -> None:
        self.process, self.notes, self.port = process, notes, 0

    def said(self, word: str) -> Counter[str]:
        """Return how often each bill was begun or ended, without a line that the kill cut off."""
        lines = self.notes.read_text().split("\n")[:-1] if self.notes.exists() else []
        return Counter(line.partition(" ")[2] for line in lines if line.startswith(f"{word} "))

    @property
    def in_hand(self) -> set[str]:
        """The bills that were begun and not ended."""
        return set(self.said("begin") - self.said("end"))

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
async def working(server: Server, notes: Path) -> AsyncIterator[Worker]:
    """Run a worker; it ends when standard input does."""
    # A killed process ends without saving its coverage: measuring it would only make it slower.
    environ = {name: value for name, value in os.environ.items() if name != "COVERAGE_PROCESS_CONFIG"}
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(workers.__file__), server.unix_url, str(LEASE), str(notes)),
        stdin=pipe,
        stdout=pipe,
        env=environ,
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


class Sender:
    """Posts what is outstanding to any live worker, and again where the answer was no 2xx.

    It writes HTTP itself: a client that can do more would take longer than the two workers.
    """

    def __init__(self, posts: list[str], chance: random.Random) -> None:
        self.ports: list[int] = []
        self.answered: Counter[str] = Counter()
        self.resent = 0
        self._outstanding = deque(posts)
        self._chance = chance
        self._all = len(posts)

    async def send_all(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(self._send())

    async def answers(self, number: int) -> None:
        """Wait until the given number of posts was answered with a 2xx."""
        while self.answered.total() < number:
            await asyncio.sleep(0.005)

    async def _send(self) -> None:
        lines: dict[int, Ends] = {}
        try:
            while self.answered.total() < self._all:
                if self._outstanding:
                    await self._post(self._outstanding.popleft(), lines)
                else:
                    await asyncio.sleep(0.01)  # another one's post may come back
        finally:
            for _, writer in lines.values():
                writer.close()

    async def _post(self, bill: str, lines: dict[int, Ends]) -> None:
        port = self._chance.choice(self.ports)
        status = 0
        try:
            if port not in lines:
                lines[port] = await asyncio.open_connection("127.0.0.1", port)
            status = await asyncio.wait_for(_exchange(*lines[port], bill), _LIMIT)
        except _GONE:
            if port in lines:
                lines.pop(port)[1].close()
        if 200 <= status < 300:
            self.answered[bill] += 1
        else:
            self.resent += 1
            self._outstanding.append(bill)


async def _exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, bill: str) -> int:
    """Post the news of a bill, and return the status of the answer."""
    body = json.dumps({"utilityEnkashId": bill, "paymentStatus": "SUCCESS", "billpayStatus": "SUCCESS"})
    head = ("POST /enkash HTTP/1.1", "Host: 127.0.0.1", f"{HEADER}: {KEY}", f"Content-Length: {len(body)}", "", body)
    writer.write("\r\n".join(head).encode())
    answer = await reader.readuntil(b"\r\n\r\n")
    lengths = [int(line[15:]) for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    await reader.readexactly(sum(lengths))
    return int(answer.split(b" ", 2)[1])


async def test_no_event_is_lost_and_none_handled_twice_save_what_a_killed_process_had_in_hand(
    server: Server, tmp_path: Path
) -> None:
    """The other process handles again what was begun and not committed, and nothing else."""
    chance = random.Random(5)
    bills = [f"UTIL-{number:05}" for number in range(EVENTS)]
    posts = 2 * bills
    chance.shuffle(posts)
    sender = Sender(posts, chance)
    async with AsyncExitStack() as stack:
        both = [stack.enter_async_context(working(server, tmp_path / name)) for name in ("doomed", "steady")]
        doomed, steady = [await each for each in both]
        sender.ports += [doomed.port, steady.port]
        async with asyncio.TaskGroup() as group:
            group.create_task(sender.send_all())
            await sender.answers(EVENTS)
            await doomed.kill_at_work()
            sender.ports.remove(doomed.port)
            answered = set(sender.answered)
            again = await stack.enter_async_context(working(server, tmp_path / "again"))
            sender.ports.append(again.port)
    assert sender.answered == Counter(posts)
    assert sender.resent > 0

    every = (doomed, steady, again)
    begun, ended = (sum((each.said(word) for each in every), Counter[str]()) for word in ("begin", "end"))
    lost_in_hand = set(doomed.said("begin")) - answered
    twice = {bill for bill, times in begun.items() if times > 1}
    assert set(ended) == set(bills), "an event was lost"
    assert twice <= lost_in_hand, "an event was handled twice that the killed process did not have in hand"
    assert doomed.in_hand <= twice, "what the killed process had begun was not taken over"
    assert max(begun.values()) <= 2
    assert 0 < len(doomed.in_hand) <= len(lost_in_hand) <= AT_ONCE
    assert min(sum(each.said("end").values()) for each in every) > 0, "a worker had nothing to do"
