"""Replacements of EnKash for tests: a server and a `Send` that answer exactly what a test tells them to."""

from __future__ import annotations

import asyncio
import functools
import json
import math
import pickle
import selectors
import signal
import ssl
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from decimal import Decimal
from types import FrameType, TracebackType
from typing import Any, NoReturn, TypeVar, cast

import aiohttp
import attrs
import pytest

from enkash_async import EnkashClient, EnkashError, PollPolicy, RetryPolicy, Routes, SettlePolicy
from enkash_async._flow.poller import Poller
from enkash_async._money.creations import Creations
from enkash_async._money.debit_keys import Keys
from enkash_async._money.debit_records import DebitRecords
from enkash_async._money.debits import Debits
from enkash_async._money.pay import Payer
from enkash_async._money.reads import Reads
from enkash_async._money.settle import Settling
from enkash_async._support import exact_json
from enkash_async._support.clock import instant, wall
from enkash_async._wire.operation import Operation, Send
from enkash_async.resources.bills_bulk import Bills
from enkash_async.resources.payments import Payments
from enkash_async.stores import MemoryStore, Store

from servers import FLAVOURS, MISSING, serving

#: Repeats at once and soon stops looking for what is unclear, so that no test waits.
EAGER = RetryPolicy(attempts=3, backoff=0, settle=SettlePolicy(window=0.1, pauses=PollPolicy(first=0.01, longest=0.05)))

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter


T = TypeVar("T")


async def confirm_unrecorded(client: EnkashClient, ids: Sequence[str]) -> Any:
    """Send a confirmation that no record of the store knows of, as another program would, and return its payload."""
    token = await client.tokens.get_token()
    url, headers = client.base_url + Routes().confirm_debit, {"Authorization": token.authorization}
    async with (
        aiohttp.ClientSession() as session,
        session.put(url, json={"utilityPaymentIds": list(ids)}, headers=headers) as reply,
    ):
        assert reply.status == 200
        return (await reply.json())["payload"]


class Timely:
    """A departure that writes nothing down; it is late if `timely` is False."""

    def __init__(self, *, timely: bool = True) -> None:
        self._timely = timely

    async def note(self) -> None:
        return None

    def is_timely(self) -> bool:
        return self._timely


class Sent:
    """A `Send` that records what it is given and answers from a list, whose last answer is repeated."""

    def __init__(self, *answers: Any) -> None:
        self.operations: list[Operation[Any]] = []
        self._answers = list(answers)

    async def __call__(self, operation: Operation[T]) -> T:
        self.operations.append(operation)
        await depart(operation)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, EnkashError):
            raise answer
        return cast("T", answer)

    @property
    def bodies(self) -> list[Any]:
        bodies = (operation.request.body for operation in self.operations)
        return [json.loads(body, parse_float=Decimal) for body in bodies if body is not None]


async def depart(operation: Operation[Any]) -> None:
    """Let an operation leave, as the pipeline and the transport do."""
    if operation.departure is not None:
        await operation.departure.note()
        assert operation.departure.is_timely()


def bill_calls(
    send: Send, *, settle: SettlePolicy = SettlePolicy(), attempt_timeout: float = 30.0, **how: Any
) -> Bills:
    """Return the calls about bills over a `Send`, as a client sets them up.

    Args:
        send: Answers.
        settle: How long to look after an unclear end.
        attempt_timeout: Seconds that one attempt may take.
        how: `new_reference`; `store`; and `clock`, `sleep` and `random` of the poller. The clock is the records' too.
    """
    clock = how.get("clock", instant)
    records = debit_records(how.pop("store", None) or MemoryStore(clock=clock), how.get("clock", wall))
    named = {"new_reference": how.pop("new_reference")} if "new_reference" in how else {}
    poller, reads = Poller(**how), Reads(send, Routes())
    settling = Settling(reads, settle, attempt_timeout, poller)
    return Bills(send, Routes(), reads, settling, poller, records, **named)


def payment_calls(send: Send, bills: Bills, *, patience: float = 30.0) -> Payments:
    """Return the calls that move money, with what the calls about bills were set up with."""
    reads, settling, poller, records = bills._reads, bills._settling, bills._poller, bills._debits
    debits = Debits(records, send, Routes(), reads, settling, poller, patience=patience)
    payer = Payer(send, Routes(), reads, settling, poller, debits, Creations(records))
    return Payments(send, Routes(), settling, debits, payer)


def debit_records(store: Store, wall: Callable[[], float] = wall) -> DebitRecords:
    """Return the records of debits at a sandbox, in a store of a test."""
    return DebitRecords(lambda: store, Keys("http://127.0.0.1"), is_loopback=True, wall=wall)


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 6))
        self.now += seconds


class RawServer:
    """A TCP server that speaks as much HTTP as a test wants, and records what it was sent."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        self.base_url = ""

    async def read_request(self, reader: Reader) -> bytes:
        """Read one request with its body, and keep it."""
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
        )
        request = head + await reader.readexactly(length)
        self.requests.append(request)
        return request


Handler = Callable[[RawServer, Reader, Writer], Awaitable[None]]


@asynccontextmanager
async def raw_server(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[RawServer]:
    """Serve on a free port of 127.0.0.1 for as long as the context lasts."""
    made = RawServer()
    async with serving(lambda reader, writer: handler(made, reader, writer), tls) as port:
        made.base_url = f"http{'s' if tls else ''}://127.0.0.1:{port}"
        yield made


def reply(body: bytes, status: str = "200 OK", *headers: str, length: int | None = None) -> bytes:
    """Return an HTTP reply; `length` announces another length than the body has."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception with every exception that it is linked to."""
    while error is not None:
        yield error
        yield from _chain(error.__context__ if error.__cause__ is not None else None)
        error = error.__cause__ or error.__context__


def _frames(trace: TracebackType | None) -> Iterator[str]:
    """Yield the locals of every frame of the package and of its libraries, without the test's own."""
    while trace is not None:
        if "/tests/" not in trace.tb_frame.f_code.co_filename.replace("\\", "/"):
            summary = traceback.StackSummary.extract([(trace.tb_frame, trace.tb_lineno)], capture_locals=True)
            yield repr(summary[0].locals)
        trace = trace.tb_next


def shown(error: BaseException, *, frames: bool = True) -> str:
    """Return everything that an error could show; the callers' own arguments are in its frames."""
    parts: list[str] = []
    for one in _chain(error):
        parts += [str(one), repr(one), repr(vars(one)), *(_frames(one.__traceback__) if frames else ())]
        if isinstance(one, EnkashError):
            parts.append(repr(pickle.dumps(one)))
    return "\n".join(parts)


@attrs.frozen
class Run:
    """What a command ended with and printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return exact_json.loads(self.out.encode())


Enkash = Callable[..., Awaitable[Run]]


#: Each kind of server as a parameter of a fixture; where there is none, the tests skip and say why.
SERVER_KINDS = [pytest.param(kind) for kind in FLAVOURS] or [pytest.param("none", marks=pytest.mark.skip(MISSING))]


@contextmanager
def alarm(seconds: float) -> Iterator[None]:
    """Raise an error in code that hangs inside the context."""
    if not hasattr(signal, "setitimer"):  # Windows
        yield
        return

    def give_up(number: int, frame: FrameType | None) -> NoReturn:
        raise TimeoutError("the test hangs")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class _Leaping(selectors.DefaultSelector):
    """A selector that moves a clock in place of waiting."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or self.now > 2e9:
            raise AssertionError("everybody waits for ever")
        if timeout > 0:
            # A loop runs what was due before now, not what is due just now, so the leap goes a hair further.
            self.now = math.nextafter(self.now + timeout, math.inf)
        return super().select(0)


class LeapingLoop(asyncio.SelectorEventLoop):
    """An event loop whose time leaps to the next timer; it fails when there is none."""

    def __init__(self) -> None:
        self._leaping = _Leaping()
        super().__init__(self._leaping)

    def time(self) -> float:
        return self._leaping.now


def leaping(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run a test in a loop whose time leaps: waits, windows, the wall clock and `MemoryStore` follow it."""

    @functools.wraps(test)
    def run(*args: Any, **named: Any) -> None:
        async def inside() -> None:
            await test(*args, **named)

        with asyncio.Runner(loop_factory=LeapingLoop) as runner:
            runner.run(inside())

    return run


async def slowly(items: Iterable[Any]) -> AsyncIterator[Any]:
    """Yield items with a turn of the event loop before each."""
    for item in items:
        await asyncio.sleep(0)
        yield item


def plainly(items: Iterable[Any]) -> Iterator[Any]:
    """Yield items one by one."""
    yield from items


#: Each kind of source that yields items one by one.
FEEDS: Mapping[str, Callable[[Iterable[Any]], Any]] = {
    "iterator": iter,
    "generator": plainly,
    "asynchronous generator": slowly,
}


#: What may stand around a list in a payload, from nothing at all to what makes it hard to say which list is meant.
FRAMES: list[Callable[[list[Any]], Any]] = [
    lambda items: items,
    lambda items: {"list": items},
    lambda items: {"data": {"records": items}, "total": 7},
    lambda items: {"one": items, "two": [{}]},
    lambda items: {"list": None, "items": items},
]


def drained(steps: Generator[None, None, T]) -> tuple[int, T]:
    """Run a reader in slices to its end; return how often it paused, and its result."""
    pauses = 0
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return pauses, result
        pauses += 1
