"""Outcomes that are not known, ceilings, references and new stores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from enkash_async import BillRequest, EnkashClient, MemoryStore, RetryPolicy, SettlePolicy, SQLiteStore
from enkash_async.sandbox import FaultKind, Sandbox

from troubles import Stage, Told, failure, row, said
from troubles.stores import without_home

SOON = RetryPolicy(attempts=1, settle=SettlePolicy(window=0.1))
ELECTRICITY = BillRequest(2001, {"cn": "CN123456789"}, reference_id="inv-1")


async def paying(stage: Stage, request: BillRequest = ELECTRICITY, **options: Any) -> str:
    """Return the state and the reason of a payment."""
    client = await stage.logging_in(retry=SOON, **options)
    payment = await client.payments.pay(request)
    return f"{payment.state}: {payment.reason}"


@row("may or may not have happened, and after … s EnKash does not show it yet; come back with bills.reconcile(")
async def lost_create(stage: Stage) -> Sequence[Told]:
    stage.sandbox.faults.add("add_bill", FaultKind.DROP_BEFORE)
    client = await stage.logging_in(retry=SOON)
    return [await failure(client.bills.create(2001, {"cn": "CN1"}, bill_amount=500, reference_id="r-1"))]


@row("the debit of … may or may not have happened")
async def lost_confirmation(stage: Stage) -> Sequence[Told]:
    client = await stage.logging_in(retry=SOON)
    bill = await client.bills.create(2001, {"cn": "CN1"}, bill_amount=500, reference_id="r-1")
    stage.sandbox.faults.add("confirm_debit", FaultKind.DROP_BEFORE)
    return [await failure(client.payments.confirm_debit([bill.utility_enkash_id]))]


@row("its create ended unclearly, and EnKash does not show it yet")
async def unknown_payment(stage: Stage) -> Sequence[Told]:
    stage.sandbox.faults.add("create_bill", FaultKind.DROP_BEFORE)
    found = await paying(stage)
    assert found.startswith("UNKNOWN")
    return [found]


@row("is more than the max_amount of")
async def over_ceiling(stage: Stage) -> Sequence[Told]:
    found = await paying(stage, BillRequest(2001, {"cn": "CN123456789"}, reference_id="inv-1", max_amount=1))
    assert found.startswith("OVER_CEILING")
    return [found]


@row("was used before, and its bill differs in")
async def duplicate(stage: Stage) -> Sequence[Told]:
    client = await stage.logging_in(retry=SOON)
    await client.bills.create(2001, {"cn": "CN1"}, bill_amount=500, reference_id="r-1")
    return [await failure(client.bills.create(2001, {"cn": "CN2"}, bill_amount=500, reference_id="r-1"))]


@row("the reference was used for another biller, consumer, input or circle")
async def reused(stage: Stage) -> Sequence[Told]:
    store = MemoryStore(nothing_pending=True)
    await paying(stage, store=store)
    return [await paying(stage, BillRequest(2001, {"cn": "CN987654321"}, reference_id="inv-1"), store=store)]


@row("the biller asks for …, and no amount has more than two decimals")
async def third_decimal(stage: Stage) -> Sequence[Told]:
    return await paid_of(stage, '{"companyBillerId":"CB-1","billNetAmount":2450.755}')


@row("the biller shows nothing to pay")
async def nothing_due(stage: Stage) -> Sequence[Told]:
    return await paid_of(stage, '{"statusMessage":"No bill due"}')


async def paid_of(stage: Stage, fetched: str) -> Sequence[Told]:
    """Return what a payment comes to whose fetch is answered with this."""
    answers = {"fetchOrAddBill": said("200 OK", 0, fetched, "Success")}
    absent = said("400 Bad Request", 1, '"No utility payment found"')

    async def answer(server: Any, reader: Any, writer: Any) -> None:
        while True:
            request = await server.read_request(reader)
            writer.write(next((reply for path, reply in answers.items() if path.encode() in request), absent))

    client = await stage.client(await stage.serve(answer))
    payment = await client.payments.pay(ELECTRICITY)
    return [f"{payment.state}: {payment.reason}"]


@row("the store is new, and does not know what was sent before it began")
async def new_store(stage: Stage) -> Sequence[Told]:
    client = await stage.logging_in()
    bill = await client.bills.create(2001, {"cn": "CN1"}, bill_amount=500, reference_id="r-1")
    store = SQLiteStore(stage.folder / "store.sqlite3")
    stage.stack.push_async_callback(store.aclose)
    other = await stage.logging_in(store=store, retry=SOON)
    return [await failure(other.payments.confirm_debit([bill.utility_enkash_id]))]


@row("debits need a store that outlives this process")
async def no_store(stage: Stage) -> Sequence[Told]:
    without_home(stage)
    environ = {**stage.sandbox.environ(), "ENKASH_BASE_URL": "https://enkash.invalid"}
    async with EnkashClient.from_env(environ) as client:
        return [await failure(client.payments.confirm_debit(["U-1"]))]


@row("is not settled after … s; it may still settle")
async def not_settled(stage: Stage) -> Sequence[Told]:
    async with Sandbox(settle_after=600) as slow:
        client = await stage.logging_in(slow.base_url, who=slow.credentials)
        bill = await client.bills.create(2001, {"cn": "CN1"}, bill_amount=500, reference_id="r-1")
        await client.payments.confirm_debit([bill.utility_enkash_id])
        found = await failure(client.bills.wait_until_settled(bill.utility_enkash_id, timeout=0.2))
        await client.aclose()
    return [found]


@row("it is not settled yet")
async def pending(stage: Stage) -> Sequence[Told]:
    found = await paying(stage)
    assert found.startswith("PENDING")
    return [found]


@row("this account debits on creation")
async def debits_on_creation(stage: Stage) -> Sequence[Told]:
    async with Sandbox(settle_after=600, debit_on_create=True) as other:
        client = await stage.logging_in(other.base_url, who=other.credentials)
        payment = await client.payments.pay(ELECTRICITY)
        await client.aclose()
    return [payment.reason]


@row("the create of a bill was its debit, so there is nothing to confirm")
async def nothing_to_confirm(stage: Stage) -> Sequence[Told]:
    client = await stage.logging_in(debit_on_create=True)
    bill = await client.bills.create(2001, {"cn": "CN1"}, bill_amount=500, reference_id="r-1")
    found = await failure(client.payments.confirm_debit([bill.utility_enkash_id]))
    stage.monkeypatch.setenv("ENKASH_DEBIT_ON_CREATE", "1")
    run = await stage.enkash("bill", "confirm", bill.utility_enkash_id, "--yes")
    assert run.code == 2
    assert stage.sandbox.counts["confirm_debit"] == 0
    return [found, run.err]
