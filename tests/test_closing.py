"""`aclose`: what a call that it meets is told, what is written down of it, and what later calls are told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from enkash_async import (
    BillRequest,
    ConfigurationError,
    EnkashClient,
    EnkashError,
    OutcomeUnknownError,
    Payment,
    PaymentState,
    RetryAdvice,
)
from enkash_async.sandbox import FaultKind, Sandbox

CLOSED = "the client is closed; make a new one"
REQUEST = BillRequest(2001, {"cn": "CN123456789"}, reference_id="inv-1", max_amount=900_000)


@pytest.fixture
def environ(sandbox: Sandbox, tmp_path: Path) -> dict[str, str]:
    """Variables of a client with a store of its own, which it closes."""
    return {
        **sandbox.environ(),
        "ENKASH_STORE_URL": f"sqlite://{tmp_path}/store.sqlite3",
        "ENKASH_NOTHING_PENDING": "1",
    }


async def _closed_during(client: EnkashClient, sandbox: Sandbox, route: str, call: Awaitable[Any]) -> Any:
    """Close a client while a call of it is at a route; return what came of the call."""
    under_way = asyncio.ensure_future(call)
    while not sandbox.counts[route]:
        assert not under_way.done()
        await asyncio.sleep(0.005)
    await client.aclose()
    return (await asyncio.gather(under_way, return_exceptions=True))[0]


@pytest.mark.parametrize(
    ("route", "state"),
    [
        ("fetch_bill", None),
        ("create_bill", PaymentState.NOT_SENT),
        ("confirm_debit", PaymentState.PENDING),
    ],
)
async def test_a_payment_ends_with_the_step_that_is_under_way(
    sandbox: Sandbox, environ: dict[str, str], route: str, state: PaymentState | None, caplog: pytest.LogCaptureFixture
) -> None:
    """Its end is written down before the store is closed, and another client goes on from there."""
    sandbox.faults.add(route, FaultKind.SLOW, delay=0.3)
    client = EnkashClient.from_env(environ)
    outcome = await _closed_during(client, sandbox, route, client.payments.pay(REQUEST, wait=30))
    if state is None:
        assert isinstance(outcome, ConfigurationError)  # nothing was sent that could debit
        assert CLOSED in str(outcome)
    else:
        assert isinstance(outcome, Payment)
        assert (outcome.state, outcome.retry) == (state, RetryAdvice.LATER)
        assert CLOSED in outcome.reason
    assert caplog.messages == []
    async with EnkashClient.from_env(environ) as other:
        assert (await other.payments.pay(REQUEST, wait=30)).state in {PaymentState.PAID, PaymentState.ALREADY_PAID}
    assert len(sandbox.ledger.debits) == 1
    assert sandbox.counts["create_bill"] == 1


@pytest.mark.parametrize("route", ["create_bill", "confirm_debit"])
async def test_a_payment_that_is_cut_off_is_told_as_unknown(
    sandbox: Sandbox, environ: dict[str, str], route: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing says that nothing was sent, and nothing waits for looks that a closed client cannot make."""
    monkeypatch.setattr("enkash_async.client._LET_END", 0.1)
    sandbox.faults.add(route, FaultKind.SLOW, delay=60)
    client = EnkashClient.from_env(environ)
    outcome = await asyncio.wait_for(
        _closed_during(client, sandbox, route, client.payments.pay(REQUEST, wait=3600)), 60
    )
    assert isinstance(outcome, Payment)
    assert (outcome.state, outcome.retry) == (PaymentState.UNKNOWN, RetryAdvice.LATER)
    assert outcome.retry_after is not None
    assert 100 < outcome.retry_after <= 200


@pytest.mark.parametrize("route", ["add_bill", "confirm_debit"])
async def test_a_call_that_is_cut_off_is_told_as_unknown(
    sandbox: Sandbox, environ: dict[str, str], route: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the bill; the store is told, so that a confirmation is not sent again within its window."""
    monkeypatch.setattr("enkash_async.client._LET_END", 0.1)
    sandbox.faults.add(route, FaultKind.SLOW, delay=60)
    client = EnkashClient.from_env(environ)

    async def work() -> object:
        bill = await client.bills.create(2001, {"cn": "CN1"}, bill_amount=500, reference_id="inv-2")
        result = await client.payments.confirm_debit([bill.utility_enkash_id])
        return result.unknown[0].error

    outcome = await asyncio.wait_for(_closed_during(client, sandbox, route, work()), 60)
    assert isinstance(outcome, OutcomeUnknownError)
    if route == "add_bill":
        assert outcome.reference_id == "inv-2"
    else:
        async with EnkashClient.from_env(environ) as other:
            records = await other.payments.debits(outcome.utility_enkash_ids)
        assert [record.state for record in records] == ["sent"]


CALLS: dict[str, Callable[[EnkashClient], Awaitable[Any]]] = {
    "billers.list_categories": lambda client: client.billers.list_categories(),
    "bills.get": lambda client: client.bills.get("U-1"),
    "bills.create": lambda client: client.bills.create(2001, {"cn": "C"}, bill_amount=5, reference_id="r"),
    "bills.reconcile": lambda client: client.bills.reconcile("r"),
    "payments.pay": lambda client: client.payments.pay(REQUEST),
    "payments.rehearse": lambda client: client.payments.rehearse(REQUEST),
    "payments.confirm_debit": lambda client: client.payments.confirm_debit(["U-1", "U-2"]),
    "payments.debits": lambda client: client.payments.debits(["U-1"]),
    "payments.release": lambda client: client.payments.release(["U-1"], because="it was never sent"),
    "request": lambda client: client.request("POST", "api", "v0", "x"),
}


@pytest.mark.parametrize("call", CALLS)
async def test_a_call_of_a_closed_client_says_so(sandbox: Sandbox, environ: dict[str, str], call: str) -> None:
    """Whatever it needs first, be it the store, and it sends nothing."""
    client = EnkashClient.from_env(environ)
    await client.aclose()
    with pytest.raises(EnkashError, match=CLOSED):
        await CALLS[call](client)
    await client.aclose()
    assert sandbox.counts.total() == 0


async def test_a_closed_client_opens_no_store() -> None:
    """The default store is opened on first use, and after the end there is none."""
    client = EnkashClient("https://api.example", tokens=_Tokens())
    await client.aclose()
    with pytest.raises(EnkashError, match=CLOSED):
        await client.payments.debits(["U-1"])


class _Tokens:
    """A provider that is never asked."""

    async def get_token(self, *, rejected: object = None) -> Any:
        raise AssertionError

    async def aclose(self) -> None:
        return None
