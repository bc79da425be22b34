"""Replies in which something cannot be read, from the socket to what the caller gets and what is debited."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import attrs
import pytest
from aiohttp import web

from enkash_async import (
    BillFilter,
    BillRequest,
    EnkashClient,
    MemoryStore,
    OutcomeUnknownError,
    PaymentState,
    PermissionDeniedError,
    ResponseDecodeError,
    RetryPolicy,
    Routes,
    SettlePolicy,
    StaticTokenProvider,
)

from support import RawServer, Reader, Writer, raw_server, reply

WAITS = {"approvalStatus": "MAKER_APPROVAL_PENDING", "paymentStatus": "INIT", "billpayStatus": "PENDING"}
RETRY = RetryPolicy(settle=SettlePolicy(window=0))


@attrs.define
class Bills:
    """An EnKash with these bills, that counts how often each debit was confirmed.

    `odd` is in each bill made here, and `created` is the status with which it says so.
    """

    rows: list[Any]
    confirmed: list[str] = attrs.field(factory=list)
    odd: dict[str, Any] = attrs.field(factory=dict)
    created: int = 200

    async def search(self, request: web.Request) -> web.Response:
        wanted = (await request.json()).get("utilityEnkashIds")
        offset = (await request.json())["offset"]
        rows = [row for row in self.rows if wanted is None or row["utilityEnkashId"] in wanted]
        return _reply(rows[offset:])

    async def get(self, request: web.Request) -> web.Response:
        return _reply(next(row for row in self.rows if row["utilityEnkashId"] == request.match_info["id"]))

    async def by_reference(self, request: web.Request) -> web.Response:
        rows = [row for row in self.rows if row["referenceId"] == request.match_info["id"]]
        if not rows:
            return web.json_response({"response_code": 1, "payload": "No utility payment found"}, status=400)
        return _reply(rows[0])

    async def add(self, request: web.Request) -> web.Response:
        asked = await request.json()
        facts = {"referenceId": asked["referenceId"], "amount": asked["billAmount"]}
        number = {"consumerNumber": asked["billParams"]["cn"]}
        self.rows.append({"utilityEnkashId": f"U-{len(self.rows)}", **WAITS, **facts, **number, **self.odd})
        return _reply(self.rows[-1], self.created)

    async def confirm(self, request: web.Request) -> web.Response:
        self.confirmed += (await request.json())["utilityPaymentIds"]
        for row in self.rows:
            if row["utilityEnkashId"] in self.confirmed:
                row |= {"approvalStatus": "CHECKER_APPROVED", "paymentStatus": "SUCCESS", "billpayStatus": "SUCCESS"}
        return _reply(None)

    @asynccontextmanager
    async def client(self) -> AsyncIterator[EnkashClient]:
        app = web.Application()
        app.router.add_post(Routes().search_bills, self.search)
        app.router.add_post(Routes().add_bill, self.add)
        app.router.add_put(Routes().confirm_debit, self.confirm)
        app.router.add_get(Routes().bill_by_reference.replace("{referenceId}", "{id}"), self.by_reference)
        app.router.add_get(Routes().bill.replace("{utilityEnkashId}", "{id}"), self.get)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.05)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            store = MemoryStore(nothing_pending=True)
            async with EnkashClient(url, tokens=StaticTokenProvider("t"), store=store, retry=RETRY) as client:
                yield client
        finally:
            await runner.cleanup()


def _reply(payload: Any, status: int = 200) -> web.Response:
    document = {"response_code": 0, "response_message": "Success", "payload": payload}
    return web.json_response(document, status=status, reason="So")


async def test_a_search_gives_every_bill_around_one_that_cannot_be_read() -> None:
    """The iteration ends without an error, and the odd bill says what it lacks."""
    rows: list[Any] = [{"utilityEnkashId": f"U-{number}", "amount": number} for number in range(5)]
    rows[2]["amount"], rows[3]["numberOfUnits"] = "much", "245 KWH"
    async with Bills(rows).client() as client:
        found = [bill async for bill in client.bills.search(BillFilter())]
        assert [bill.amount for bill in found] == [Decimal(0), Decimal(1), None, Decimal(3), Decimal(4)]
        assert [bill.unreadable for bill in found] == [(), (), ("amount is not a number",), (), ()]
        with pytest.raises(ResponseDecodeError, match=r"payload\.amount is not a number"):
            await client.bills.get("U-2")
        assert (await client.bills.get("U-3")).extra == {"numberOfUnits": "245 KWH"}


@pytest.mark.parametrize("at", [0, 2, 4])
async def test_a_null_among_the_bills_of_a_search_says_that_it_cannot_be_read(at: int) -> None:
    """The iteration gives every other bill, and none of them twice."""
    rows: list[Any] = [{"utilityEnkashId": f"U-{number}", "amount": number} for number in range(4)]
    rows.insert(at, None)
    async with Bills(rows).client() as client:
        found = [bill async for bill in client.bills.search(BillFilter())]
    assert [bill.utility_enkash_id for bill in found if not bill.unreadable] == ["U-0", "U-1", "U-2", "U-3"]
    assert [bill.unreadable for bill in found if not bill.utility_enkash_id] == [("the item is not an object",)]
    assert found[at].extra == {"": None}


@pytest.mark.parametrize("number", ["9" * 5_000, "-" + "9" * 5_000, "1e" + "9" * 30], ids=len)
@pytest.mark.parametrize("count", [3, 3_000], ids=["at once", "in slices"])
async def test_a_number_that_python_cannot_hold_costs_its_bill_alone(number: str, count: int) -> None:
    """It is valid JSON: where no payment depends on it, not even its bill is concerned."""
    rows = [f'{{"utilityEnkashId":"U-{each}","amount":{each}.10,"remarks":"{"x" * 80}"}}' for each in range(count)]
    rows[0] = f'{{"utilityEnkashId":"U-0","amount":{number}}}'
    rows[1] = f'{{"utilityEnkashId":"U-1","amount":1.10,"numberOfUnits":{number},"more":[{number}]}}'

    async def answer(server: RawServer, reader: Reader, writer: Writer) -> None:
        while True:
            offset = json.loads((await server.read_request(reader)).partition(b"\r\n\r\n")[2])["offset"]
            writer.write(reply(f'{{"response_code":0,"payload":[{",".join(rows[offset:])}]}}'.encode()))
            await writer.drain()

    async with raw_server(answer) as server, EnkashClient(server.base_url, tokens=StaticTokenProvider("t")) as client:
        found = [bill async for bill in client.bills.search(BillFilter(), page_size=count)]
    assert [bill.amount for bill in found] == [None, *(Decimal(f"{each}.10") for each in range(1, count))]
    assert [bill.unreadable for bill in found[:3]] == [("amount is not a number",), (), ()]
    assert found[1].extra == {"numberOfUnits": number, "more": [number]}
    assert found[1].number_of_units is None


@pytest.mark.parametrize("count", [2, 5])  # read singly, and by a search
@pytest.mark.parametrize(
    "odd",
    [
        {"approvedDate": "31/01/2026"},
        {"paymentDate": 1768010100000},
        {"approvalStatus": ["APPROVED"]},
        {"amount": "much"},
    ],
    ids=lambda odd: next(iter(odd)),
)
async def test_a_bill_that_cannot_be_read_is_not_debited(odd: dict[str, Any], count: int) -> None:
    """Prevents a double debit: what cannot be read may be the sign of the first one; the other bills are debited."""
    rows = [{"utilityEnkashId": f"U-{number}", **WAITS} for number in range(count)]
    rows[0] |= odd
    ids = [f"U-{number}" for number in range(count)]
    server = Bills(rows)
    async with server.client() as client:
        result = await client.payments.confirm_debit(ids)
    assert sorted(server.confirmed) == ids[1:]
    assert [item.key for item in result.unknown + result.not_sent + result.failed] == ["U-0"]


@pytest.mark.parametrize("status", [500, 600, 999])
async def test_a_create_that_is_answered_with_no_known_status_is_looked_up(status: int) -> None:
    """The bill exists, and to create it again would have it paid twice."""
    server = Bills([], created=status)
    async with server.client() as client:
        bill = await client.bills.create(2001, {"cn": "CN123456"}, reference_id="inv-1", bill_amount=100)
    assert (bill.utility_enkash_id, bill.recovered, len(server.rows)) == ("U-0", True, 1)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("caller not allowed for t0ken", "text/plain"),
        ('{"title":"Forbidden","detail":"caller not allowed for t0ken"}', "application/problem+json"),
        ('{"response_message":"FAILURE","errorResponse":["caller not allowed for t0ken"]}', "application/json"),
    ],
    ids=["plain text", "RFC 9457", "list"],
)
async def test_the_words_of_a_refusal_are_in_its_message(body: str, kind: str) -> None:
    """Whatever the form in which they come, without the token that they repeat."""

    async def refuse(server: RawServer, reader: Reader, writer: Writer) -> None:
        await server.read_request(reader)
        writer.write(reply(body.encode(), "403 Forbidden", f"Content-Type: {kind}"))
        await writer.drain()

    async with raw_server(refuse) as server:
        async with EnkashClient(server.base_url, tokens=StaticTokenProvider("t0ken")) as client:
            with pytest.raises(PermissionDeniedError, match=r"HTTP 403, caller not allowed for \*\*\* "):
                await client.bills.get("U-1")


# --- text that no store can keep --------------------------------------------------------------------------------------

#: What is left of «paid 😀» where a server cuts a text after a number of 16-bit units.
TORN = "paid \ud83d"
REQUEST = BillRequest(2001, {"cn": "CN123456"}, reference_id="inv-1", bill_amount=100)


@pytest.mark.parametrize("name", ["billNumber", "bankTransactionId", "billReferenceId", "remarks"])
async def test_a_bill_with_torn_text_is_paid_once_and_told_again(name: str) -> None:
    """The store keeps these facts of a paid bill, and could not: every later call would have failed as well."""
    server = Bills([], odd={name: TORN})
    async with server.client() as client:
        paid = await client.payments.pay(REQUEST, wait=30)
        assert paid.state is PaymentState.PAID
        assert paid.bill is not None
        assert paid.bill.extra == {name: TORN}
        assert (await client.payments.pay(REQUEST)).state is PaymentState.ALREADY_PAID
    assert server.confirmed == ["U-0"]


async def test_a_torn_id_leaves_a_create_unclear_and_debits_nothing() -> None:
    """No key can be made of it, and no later call could send it."""
    server = Bills([], odd={"utilityEnkashId": TORN})
    async with server.client() as client:
        with pytest.raises(OutcomeUnknownError, match="utilityEnkashId is not text"):
            await client.bills.create(2001, {"cn": "CN123456"}, reference_id="inv-2", bill_amount=100)
        assert (await client.payments.pay(REQUEST)).state is PaymentState.UNKNOWN
        [first, _] = [bill async for bill in client.bills.search(BillFilter())]
        assert first.unreadable == ("utilityEnkashId is not text",)
    assert server.confirmed == []
