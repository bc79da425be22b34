"""A handler, stores that fail, and posts, for the tests of the receiver."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence

import attrs
from tokens.doubles import Clock

from enkash_async._news.machine import Claim, Done, Extend, Go, Hand, Mine, Noted, Release
from enkash_async._news.record import NEWS, News
from enkash_async._news.records import NewsRecords
from enkash_async.sandbox import Sandbox, _reply
from enkash_async.sandbox._payment import Stage
from enkash_async.stores import Change, MemoryStore, Store
from enkash_async.webhooks import BillEvent, WebhookVerifier

__all__ = [
    "BODY",
    "CONSUMER",
    "GUESS",
    "HEADERS",
    "KEY",
    "KEY_OF_BODY",
    "PERSON",
    "SECRETS",
    "VERIFIER",
    "Chunks",
    "Failing",
    "Handler",
    "Other",
    "Pauses",
    "Slow",
    "Steps",
    "create",
    "memory",
    "post",
]

# These stand here and not in a test, since a rendered traceback shows the locals of the test as well.
KEY = "made-up-webhook-s3cret"
GUESS = "made-up-wrong-gu3ss"
HEADERS = {"X-Webhook-Key": KEY}
VERIFIER = WebhookVerifier(HEADERS, max_body=4096)
PERSON, CONSUMER = "Asha Private", "CN987654321"
BODY = json.dumps(
    {
        "utilityEnkashId": "UTIL-1",
        "paymentStatus": "SUCCESS",
        "billpayStatus": "SUCCESS",
        "consumerName": PERSON,
        "consumerNumber": CONSUMER,
        "approverNote": "r3mark",  # a member that is not documented
    }
).encode()
SECRETS = (KEY, GUESS, PERSON, CONSUMER, "r3mark", "s3cret-dsn")
KEY_OF_BODY = VERIFIER.verify(HEADERS, BODY).key


class Handler:
    """Records what it is told, fails where a test says so, and waits where it is gated."""

    def __init__(self, *fails: BaseException, gated: bool = False) -> None:
        self.told: list[BillEvent] = []
        self.gate = asyncio.Event()
        self._fails = list(fails)
        if not gated:
            self.gate.set()

    async def __call__(self, event: BillEvent) -> None:
        self.told.append(event)
        await self.gate.wait()
        if self._fails:
            raise self._fails.pop(0)


class Pauses:
    """Records the receiver's pauses between its looks; its heartbeat never beats.

    Args:
        then: Is called in each pause.
    """

    def __init__(self, then: Callable[[], object] = lambda: None) -> None:
        self.slept: list[float] = []
        self._then = then

    async def __call__(self, seconds: float) -> None:
        if seconds == 10:  # a third of the usual lease
            await asyncio.Event().wait()
        self.slept.append(seconds)
        self._then()
        await asyncio.sleep(0)


class Steps(MemoryStore):
    """A store that knows which command a swap makes."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock=clock)
        self.steps: list[str] = []

    async def swap(self, changes: Sequence[Change]) -> Sequence[bool]:
        (change,) = changes
        step = _step(change)
        self.steps.append(step)
        await self.before(step)
        made = await super().swap(changes)
        await self.after(step)
        return made

    async def before(self, step: str) -> None:
        """Be called before a step is carried out."""

    async def after(self, step: str) -> None:
        """Be called before the answer to a step."""


def _step(change: Change) -> str:
    """Return what a swap does: claim, extend, hand, done or release."""
    old, new = (News(0.0) if value is None else NEWS.codec.decode(value) for value in (change.old, change.new))
    if new.hold is None:
        return "done" if old.is_open and not new.is_open else "release"
    if new.is_open and new.told != old.told:
        return "hand"
    return "extend" if old.hold is not None and old.hold.by == new.hold.by else "claim"


class Slow(Steps):
    """A store that delays the answer of a step, as a network does."""

    def __init__(self, step: str, clock: Clock) -> None:
        super().__init__(clock)
        self._step = step
        self.entered = asyncio.Event()
        self.go_on = asyncio.Event()

    async def after(self, step: str) -> None:
        if step == self._step:
            self.entered.set()
            await self.go_on.wait()


class Failing(Steps):
    """A user's store that fails at one step, with an error that must not be shown."""

    def __init__(self, step: str, clock: Clock) -> None:
        super().__init__(clock)
        self._step = step
        self.failed = 0

    async def before(self, step: str) -> None:
        if step == self._step:
            self.failed += 1
            raise RuntimeError(f"s3cret-dsn about {step}")


class Other:
    """Another worker, which has a bill's news in hand."""

    def __init__(self, store: Store, *, by: str = "other", base_url: str = "") -> None:
        self._records = NewsRecords(lambda: store, base_url=base_url)
        self._by = by

    async def claims(self, bill: str = "UTIL-1") -> bool:
        return isinstance(await self._records.act(bill, Claim(self._by)), Mine)

    async def releases(self, bill: str = "UTIL-1") -> None:
        await self._records.act(bill, Release(self._by))

    async def extends(self, bill: str = "UTIL-1") -> bool:
        return await self._records.act(bill, Extend(self._by)) == Noted(True)

    async def hears(self, state: str, bill: str = "UTIL-1", *, ever: bool = True) -> bool:
        """Hand a state over, and return whether it was news."""
        answer = await self._records.act(bill, Hand(self._by, state, ever))
        if isinstance(answer, Go):
            await self._records.act(bill, Done(self._by, state, answer.number, ever))
        return isinstance(answer, Go)


class Chunks:
    """A body that comes in pieces and counts how many were read."""

    def __init__(self, *chunks: bytes) -> None:
        self._chunks = chunks
        self.read = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            self.read += 1
            await asyncio.sleep(0)
            yield chunk


def memory(clock: Clock) -> MemoryStore:
    return MemoryStore(clock=clock)


def create(sandbox: Sandbox, cn: str = "CN1") -> str:
    """Create a bill that is not paid yet."""
    ledger = sandbox.ledger
    consumer = ledger.enrol(2001, {"cn": cn})
    return ledger.create(consumer, ledger.due(consumer)).utility_enkash_id


def post(sandbox: Sandbox, bill: str, stage: Stage | None = None) -> bytes:
    """Return EnKash's post about a bill; with a stage, as if the bill had come to it."""
    payment = sandbox.ledger.get(bill)
    if stage is not None:
        payment = attrs.evolve(payment, stage=stage)
    return _reply.dumps(_reply.webhook(payment, sandbox.ledger.company_name, sandbox.ledger.company_id)).encode()
