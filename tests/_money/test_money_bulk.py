"""Thousands of items: every item is accounted for, nothing is done twice, and a second run changes nothing."""

from __future__ import annotations

import os
import random
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import attrs
import pytest
from _money.arrivals import Arrivals
from tokens.doubles import Clock

from enkash_async import (
    Bill,
    EnkashClient,
    MemoryStore,
    OutcomeUnknownError,
    PasswordGrant,
    PollPolicy,
    RetryPolicy,
    SettlePolicy,
    StoreTokenProvider,
    Timeouts,
)
from enkash_async._calls.requests import BillRequest
from enkash_async.bulk import BulkGroup, BulkItem, BulkResult
from enkash_async.sandbox import FaultKind, Sandbox
from enkash_async.sandbox._payment import UtilityPayment
from enkash_async.sandbox._search import MAX_RECORDS, Query

CREATES = int(os.environ.get("ENKASH_CREATES", "2000"))
CONFIRMATIONS = 2_300
HANDS = 100

# Seconds. What is slow outlasts an attempt; what is late comes within the window, or long after it.
POLICY = RetryPolicy(backoff=0, settle=SettlePolicy(window=0.4, pauses=PollPolicy(first=0.1, factor=2.0, longest=0.2)))
TIMEOUT = Timeouts(total=2.0)
SLOW, SOON, LATER = 2.5, 0.2, 3.0
TOKEN_LIFETIME = 7 * 86_400.0
PAUSE = 40.0  # seconds that pass for the token from create to create, so that a 401 is not held against the next one

OTHERS = [kind for kind in FaultKind.of("add_bill") if kind is not FaultKind.SLOW]
WRITES = [*OTHERS * 5, FaultKind.SLOW]  # a slow one holds a hand for seconds
LOOKS = [FaultKind.BAD_GATEWAY, FaultKind.DROP_AFTER, FaultKind.TRUNCATED, FaultKind.NOT_JSON, FaultKind.UNAVAILABLE]


@pytest.fixture
def unmeasured() -> Iterator[None]:
    """Switch coverage off for the test, because it doubles the time and measures nothing new."""
    tracer = sys.gettrace()
    sys.settrace(None)
    yield
    sys.settrace(tracer)


@attrs.define
class _Dice:
    """Disturbs one create in three and some looks by a random fault; the seed decides which."""

    sandbox: Sandbox
    clock: Clock
    random: random.Random = attrs.field(factory=lambda: random.Random(4))
    thrown: Counter[FaultKind] = attrs.field(factory=Counter)
    _logged_out: int = -1_000

    async def throw(self, requests: list[BillRequest]) -> AsyncIterator[BillRequest]:
        """Yield requests, each with the trouble that waits for it."""
        for number, request in enumerate(requests):
            self.clock.now += PAUSE
            rules = self.sandbox.faults._rules
            rules[:] = [rule for rule in rules if rule.left]  # the server asks each rule for each request
            if number % 3 == 0:
                self._disturb(number)
            if number % 10 == 0:
                self.sandbox.faults.add("bill_by_reference", self.random.choice(LOOKS), retry_after=0.01)
            yield request

    def _disturb(self, number: int) -> None:
        kind = self.random.choice(WRITES)
        if kind is FaultKind.UNAUTHORIZED:
            if number - self._logged_out <= 2 * HANDS:
                kind = FaultKind.DROP_AFTER  # two in a row for one request would be an account that is shut out
            else:
                self._logged_out = number
        delay = SLOW if kind is FaultKind.SLOW else self.random.choice([SOON, SOON, LATER])
        self.thrown[kind] += 1
        self.sandbox.faults.add("add_bill", kind, delay=delay, retry_after=0.01)


@asynccontextmanager
async def _client(sandbox: Sandbox, clock: Clock) -> AsyncIterator[EnkashClient]:
    grant = PasswordGrant(sandbox.base_url, sandbox.credentials, clock=clock)
    tokens = StoreTokenProvider(grant, MemoryStore(clock=clock), clock=clock)
    async with EnkashClient(sandbox.base_url, tokens=tokens, retry=POLICY, timeout=TIMEOUT) as made:
        yield made
    await tokens.aclose()


def _ledger(sandbox: Sandbox) -> dict[str, UtilityPayment]:
    """Return the one bill of each reference."""
    starts = range(0, CREATES + 1, MAX_RECORDS)
    payments = [one for start in starts for one in sandbox.ledger.search(Query(offset=start, limit=MAX_RECORDS))]
    found = {one.reference_id: one for one in payments}
    assert len(found) == len(payments)
    return found


def _items(result: BulkResult[Bill]) -> Iterator[BulkItem[Bill]]:
    for group in BulkGroup:
        for item in getattr(result, group):
            assert item.group is group
            yield item


def _agrees(item: BulkItem[Bill], payment: UtilityPayment | None) -> None:
    """Check what is said of one bill against the ledger, once nothing is in flight."""
    if item.value is not None:
        assert payment is not None
        assert item.value.utility_enkash_id == payment.utility_enkash_id
        assert (item.value.amount, item.key) == (payment.amount, payment.reference_id)
        request: BillRequest = item.request
        assert (payment.amount, payment.company_biller.consumer_number) == (request.bill_amount, request.params["cn"])
    elif item.group is BulkGroup.UNKNOWN:
        assert isinstance(item.error, OutcomeUnknownError)
        assert item.error.reference_id == item.key
    else:
        assert payment is None, "it was said that it was not created"


async def test_creates_of_which_one_in_three_is_disturbed_make_no_bill_twice(unmeasured: None) -> None:
    """Every reference is in one group that agrees with the ledger, and a second run finishes the job."""
    clock = Clock()
    requests = [
        BillRequest(2001, {"cn": f"CN-{number % 1000:04d}"}, reference_id=f"inv-{number}", bill_amount=number % 50 + 1)
        for number in range(CREATES)
    ]
    sandbox = Sandbox(token_lifetime=TOKEN_LIFETIME, repeat_debits=True)
    arrivals = Arrivals(sandbox)
    async with sandbox:
        dice = _Dice(sandbox, clock)
        async with _client(sandbox, clock) as client:
            first = await client.bills.create_many(dice.throw(requests), concurrency=HANDS)
        await arrivals.are_over()
        standing = _ledger(sandbox)
        # A stray reply may come before its request has left whole: then EnKash never has it.
        most = CREATES + dice.thrown[FaultKind.UNAUTHORIZED]
        assert most - dice.thrown[FaultKind.STRAY] <= sandbox.counts["add_bill"] <= most, "sent once, ever"
        sandbox.faults.clear()
        async with _client(sandbox, clock) as client:
            second = await client.bills.create_many(requests, concurrency=HANDS)
        after = _ledger(sandbox)
    assert set(dice.thrown) == set(FaultKind.of("add_bill"))
    assert [item.key for item in sorted(_items(first), key=_number)] == [request.key for request in requests]
    for item in _items(first):
        _agrees(item, standing.get(item.key))
    second.raise_for_failures()
    for item in second.succeeded:
        _agrees(item, after[item.key])
    assert len(second.succeeded) == len(after) == CREATES
    assert standing.items() <= after.items()
    assert {item.key for item in second.succeeded if item.value and item.value.recovered} >= set(standing)


def _number(item: BulkItem[Bill]) -> int:
    return int(item.key.removeprefix("inv-"))


async def test_2300_confirmations_with_the_first_call_dropped_debit_nobody_twice(unmeasured: None) -> None:
    """The client sends each of three calls once and reads the bills of the lost reply back."""
    async with Sandbox(repeat_debits=True) as sandbox:
        ledger = sandbox.ledger
        enrolled = ledger.enrol(2001, {"cn": "CN-1"})
        ids = [
            ledger.create(enrolled, ledger.due(enrolled), reference_id=f"inv-{number}").utility_enkash_id
            for number in range(CONFIRMATIONS)
        ]
        sandbox.faults.add("confirm_debit", FaultKind.DROP_AFTER)
        seen: list[tuple[int, int | None]] = []
        async with _client(sandbox, Clock()) as client:
            result = await client.payments.confirm_debit(ids, on_progress=lambda *so_far: seen.append(so_far))
            again = await client.payments.confirm_debit(ids)
        assert sandbox.counts["confirm_debit"] == 3
        assert Counter(debit.utility_enkash_id for debit in ledger.debits) == Counter(ids)
    result.raise_for_failures()
    assert [item.key for item in result.succeeded] == ids
    assert [item.key for item in again.succeeded] == ids
    assert seen[-1] == (CONFIRMATIONS, CONFIRMATIONS)


async def test_a_call_that_is_dropped_before_its_work_leaves_its_bills_unknown(unmeasured: None) -> None:
    """The client does not send it again, because it may be in flight; the other calls succeed."""
    async with Sandbox(repeat_debits=True) as sandbox:
        ledger = sandbox.ledger
        enrolled = ledger.enrol(2001, {"cn": "CN-1"})
        ids = [ledger.create(enrolled, ledger.due(enrolled)).utility_enkash_id for _ in range(CONFIRMATIONS)]
        sandbox.faults.add("confirm_debit", FaultKind.DROP_BEFORE)
        async with _client(sandbox, Clock()) as client:
            result = await client.payments.confirm_debit(ids, concurrency=1)
        assert sandbox.counts["confirm_debit"] == 3
    assert [item.key for item in result.unknown] == ids[:1_000]
    assert [item.key for item in result.succeeded] == ids[1_000:]
    assert {item.key for item in result.succeeded} == {debit.utility_enkash_id for debit in ledger.debits}
