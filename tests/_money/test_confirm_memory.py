"""Confirming many debits: memory grows by the ids, the result and the records, and by nothing else."""

from __future__ import annotations

import gc
import json
import tracemalloc
from typing import Any

import pytest

from enkash_async import (
    ApprovalStatus,
    Bill,
    BulkResult,
    EnkashClient,
    EnkashError,
    MemoryStore,
    PaymentStatus,
    PollPolicy,
    SettlePolicy,
    StaticTokenProvider,
    VelocityLimitError,
)
from enkash_async._wire.operation import Effect, Operation
from enkash_async._wire.page import Page
from enkash_async.resources.payments import Payments
from enkash_async.sandbox import FaultKind, Sandbox

from support import EAGER, bill_calls, depart, payment_calls, slowly

#: Ids of a small and of a large call. Both fill Python's set of them equally, so that its steps do not count.
SMALL, LARGE = 1_200, 4_900
AT_MOST = 80  # bytes an id; the set of the ids takes 27 of them, and the list of the items 8
SOON = SettlePolicy(window=0, pauses=PollPolicy(first=0.01, longest=0.01, jitter=0))


def bill_of(one: str) -> Bill:
    waiting = ApprovalStatus("MAKER_APPROVAL_PENDING")
    return Bill(utility_enkash_id=one, payment_status=PaymentStatus.INIT, approval_status=waiting)


class Forgetful:
    """A `Send` that shows every bill as unconfirmed, takes each confirmation or refuses it, and keeps nothing."""

    def __init__(self, *, refuses: bool = False) -> None:
        self._refuses = refuses

    async def __call__(self, operation: Operation[Any]) -> Any:
        if operation.effect is not Effect.READ:
            await depart(operation)
            if self._refuses:
                raise VelocityLimitError("velocity", status=200, response_code=36)
            return None
        if operation.name != "bills.search":
            return bill_of(operation.request.path.rpartition("/")[2])
        return Page([bill_of(one) for one in json.loads(operation.request.body or b"")["utilityEnkashIds"]])


def payments(*, refuses: bool = False) -> Payments:
    send = Forgetful(refuses=refuses)
    return payment_calls(send, bill_calls(send, settle=SOON, store=MemoryStore()))


async def working_memory(count: int) -> int:
    """Return the bytes that a call held at its peak beside what is left after it: the result and the records."""
    calls = payments()
    gc.collect()
    tracemalloc.start()
    try:
        result = await calls.confirm_debit(slowly(f"UTIL-{number:08d}" for number in range(count)), concurrency=1)
        peak = tracemalloc.get_traced_memory()[1]
        gc.collect()
        left = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert len(result.succeeded) == count
    return peak - left


async def test_the_working_memory_of_a_call_does_not_grow_with_its_ids() -> None:
    """Beside the ids, which are kept to notice one that is given twice, it holds the bills of one request."""
    assert await working_memory(LARGE) - await working_memory(SMALL) < AT_MOST * (LARGE - SMALL)


async def test_a_result_holds_nothing_of_the_call_that_failed() -> None:
    """An error that kept its traceback would keep the bills of its request, more than a kilobyte for each id."""
    calls, count = payments(refuses=True), 1_500
    tracemalloc.start()
    try:
        result: BulkResult[None] | None = await calls.confirm_debit((f"U-{n}" for n in range(count)), concurrency=1)
        assert result is not None
        assert len(result.unknown) == count
        gc.collect()
        held = tracemalloc.get_traced_memory()[0]
        result = None
        gc.collect()
        held -= tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert 100 * count < held < 300 * count


def tracebacks(error: BaseException | None) -> list[EnkashError]:
    """Return the errors of ours, in a chain, that have a traceback."""
    if error is None:
        return []
    own = [error] if isinstance(error, EnkashError) and error.__traceback__ is not None else []
    return own + tracebacks(error.__cause__) + tracebacks(error.__context__)


@pytest.mark.parametrize("fault", [FaultKind.DROP_BEFORE, FaultKind.UNAVAILABLE])
async def test_an_error_of_a_result_has_no_traceback(fault: FaultKind) -> None:
    """Whether EnKash refused a call, broke off, or does not know a bill."""
    async with (
        Sandbox() as sandbox,
        EnkashClient.from_credentials(sandbox.base_url, sandbox.credentials, retry=EAGER) as client,
    ):
        bills = [await client.bills.create(2001, {"cn": "CN1"}, bill_amount=500, reference_id=f"r-{n}") for n in "12"]
        ids = [bill.utility_enkash_id for bill in bills]
        sandbox.faults.add("confirm_debit", fault, times=None)
        confirmed = await client.payments.confirm_debit([*ids, "U-404"])
        read = await client.bills.get_many(["U-404", "U-405"])
    errors = [item.error for item in (*confirmed.unknown, *confirmed.failed)] + [item.error for item in read.failed]
    assert len(errors) == len(ids) + 3
    assert all(error is not None and tracebacks(error) == [] for error in errors)


async def test_an_error_about_a_wrong_id_has_no_traceback() -> None:
    """A generator may give any number of them."""
    confirmed = await payments().confirm_debit(slowly(["", 5, "U-1"]))
    assert [tracebacks(item.error) for item in confirmed.not_sent] == [[], []]
    async with EnkashClient("http://127.0.0.1:9", tokens=StaticTokenProvider("token")) as client:
        read = await client.bills.get_many(slowly(["", 5]))
    assert [tracebacks(item.error) for item in read.not_sent] == [[], []]
