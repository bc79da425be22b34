"""A handler, records of events that fail, and posts, for the tests of the receiver."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import attrs
from tokens.doubles import Clock

from enkash_async.sandbox import Sandbox, _reply
from enkash_async.sandbox._payment import Stage
from enkash_async.webhooks import BillEvent, Claimed, MemoryDedupe, WebhookVerifier

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
    "Pauses",
    "Slow",
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


class Slow(MemoryDedupe):
    """A record that delays the answer of a step, as a network does."""

    def __init__(self, step: str, clock: Clock) -> None:
        super().__init__(clock=clock)
        self._step = step
        self.entered = asyncio.Event()
        self.go_on = asyncio.Event()

    async def _take_time(self, step: str) -> None:
        if step == self._step:
            self.entered.set()
            await self.go_on.wait()

    async def claim(self, key: str, owner: str) -> Claimed:
        claimed = await super().claim(key, owner)
        await self._take_time("claim")
        return claimed

    async def release(self, key: str, owner: str) -> None:
        await self._take_time("release")
        await super().release(key, owner)

    async def commit(self, key: str, owner: str) -> bool:
        await self._take_time("commit")
        return await super().commit(key, owner)


class Failing(MemoryDedupe):
    """A user's record of events, one step of which fails with an error that must not be shown."""

    def __init__(self, step: str, clock: Clock) -> None:
        super().__init__(clock=clock)
        setattr(self, step, self._fail)
        self.failed = 0

    async def _fail(self, key: str, owner: str) -> Any:
        self.failed += 1
        raise RuntimeError(f"s3cret-dsn about {key}")


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


def memory(clock: Clock, lease: float = 30.0) -> MemoryDedupe:
    return MemoryDedupe(lease=lease, clock=clock)


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
