"""Reading many bills: by search where it says enough, one by one where it does not, and never in a storm."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler
from hypothesis import given
from hypothesis import strategies as st

from enkash_async import Bill, EnkashClient, NotFoundError, Outcome, PaymentStatus, Routes, StaticTokenProvider
from enkash_async._money.reads import Reads
from enkash_async._wire.page import Page
from enkash_async.errors import (
    AuthenticationError,
    BadRequestError,
    EnkashError,
    PermissionDeniedError,
    RequestTimeoutError,
    ResponseDecodeError,
    ServerError,
    TransportError,
)
from enkash_async.sandbox import FaultKind, Sandbox

from support import EAGER, RawServer, Reader, Writer, raw_server, reply

Payload = list[dict[str, Any]]
Answer = Callable[[Payload], web.Response]

SEARCH = Routes().search_bills


def _enveloped(payload: object, status: int = 200, code: int = 0) -> web.Response:
    return web.json_response({"response_code": code, "response_message": "x", "payload": payload}, status=status)


class SearchProxy:
    """Stands before the sandbox's search, records what is asked and alters what is answered."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.answer: Answer = _enveloped

    async def handle(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        if request.path != SEARCH or not isinstance(response, web.Response) or response.status != 200:
            return response
        self.asked.append(await request.json())
        return self.answer(json.loads(response.text or "")["payload"])


@asynccontextmanager
async def _office() -> AsyncIterator[tuple[SearchProxy, Sandbox, EnkashClient]]:
    proxy, sandbox = SearchProxy(), Sandbox(repeat_debits=True)

    @web.middleware
    async def at_the_desk(request: web.Request, handler: Handler) -> web.StreamResponse:
        return await proxy.handle(request, handler)

    sandbox._app.middlewares.append(at_the_desk)
    async with sandbox, EnkashClient.from_credentials(sandbox.base_url, sandbox.credentials, retry=EAGER) as client:
        yield proxy, sandbox, client


def _stock(sandbox: Sandbox, count: int) -> list[str]:
    """Put bills into the ledger and return their ids."""
    consumer = sandbox.ledger.enrol(2001, {"cn": "1"})
    due = sandbox.ledger.due(consumer)
    return [sandbox.ledger.create(consumer, due).utility_enkash_id for _ in range(count)]


def _shown(seen: Mapping[str, Bill | EnkashError]) -> dict[str, str]:
    """Return which bill was found for each id."""
    return {one: bill.utility_enkash_id for one, bill in seen.items() if isinstance(bill, Bill)}


# --- search or not ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "searches", "gets"), [(0, 0, 0), (1, 0, 1), (3, 0, 3), (4, 1, 0), (99, 1, 0), (198, 2, 0), (199, 3, 0)]
)
async def test_few_bills_are_read_one_by_one_and_many_by_search(count: int, searches: int, gets: int) -> None:
    """The client puts fewer than a hundred ids into a search, as EnKash recommends, and keeps their order."""
    async with _office() as (proxy, sandbox, client):
        ids = _stock(sandbox, count)[::-1]
        seen = await client.bills._reads.read(ids, patience=30)
        assert list(seen) == ids
        assert _shown(seen) == {one: one for one in ids}
        assert (sandbox.counts["search_bills"], sandbox.counts["bill"]) == (searches, gets)
        assert all(asked["limit"] == len(asked["utilityEnkashIds"]) and asked["offset"] == 0 for asked in proxy.asked)
        assert sorted(one for asked in proxy.asked for one in asked["utilityEnkashIds"]) == sorted(
            ids if searches else []
        )


def _without(*names: str) -> Answer:
    return lambda payload: _enveloped([{k: v for k, v in bill.items() if k not in names} for bill in payload])


def _page(status: int) -> Answer:
    return lambda _: web.Response(status=status, text="<html><h1>Welcome</h1></html>", content_type="text/html")


STRANGER = {"utilityEnkashId": "U-of-somebody-else", "paymentStatus": "SUCCESS", "billpayStatus": "SUCCESS"}
#: What the search answers, and how many of ten bills have to be read one by one then.
ANSWERS: Mapping[str, tuple[Answer, int]] = {
    "a part": (lambda payload: _enveloped(payload[:6]), 4),
    "nothing": (lambda _: _enveloped([]), 10),
    "null": (lambda _: _enveloped(None), 10),
    "no bill found": (lambda _: _enveloped("No utility payment found", 400, 1), 10),
    "no statuses": (_without("paymentStatus", "billpayStatus", "approvalStatus"), 10),
    "no approval": (_without("approvalStatus"), 0),
    "one status": (_without("paymentStatus", "approvalStatus"), 0),
    "no ids": (_without("utilityEnkashId"), 10),
    "other bills": (lambda payload: _enveloped([STRANGER] * len(payload)), 10),
    "other bills among them": (lambda payload: _enveloped([STRANGER, *payload[1:]]), 1),
    "twice the same": (lambda payload: _enveloped([payload[0], *payload]), 0),
    "a web page": (_page(200), 10),
    "no such route": (_page(404), 10),
    "a bare 404": (lambda _: web.json_response({"status": 404, "error": "Not Found"}, status=404), 10),
    "a refusal": (lambda _: _enveloped("utilityEnkashIds is not known", 400, 1), 10),
    "not for this account": (lambda _: _enveloped("no", 403, 1), 10),
}


@pytest.mark.parametrize(("answer", "gets"), ANSWERS.values(), ids=ANSWERS)
async def test_what_the_search_leaves_out_is_read_by_itself(answer: Answer, gets: int) -> None:
    """The client finds every bill, although the undocumented search omits or confuses some."""
    async with _office() as (proxy, sandbox, client):
        proxy.answer = answer
        ids = _stock(sandbox, 10)
        seen = await client.bills._reads.read(ids, patience=30)
        assert _shown(seen) == {one: one for one in ids}
        assert all(isinstance(bill, Bill) and bill.outcome is Outcome.PENDING for bill in seen.values())
        assert (len(proxy.asked), sandbox.counts["bill"]) == (1, gets)


@pytest.mark.parametrize("strays", [1, 2])
async def test_a_reply_about_another_bill_is_not_believed(strays: int) -> None:
    """Prevents a double debit: a stray reply over a kept connection could show another bill as unconfirmed."""
    left = ["U-2"] * strays

    async def answer(server: RawServer, reader: Reader, writer: Writer) -> None:
        while True:
            await server.read_request(reader)
            one = left.pop() if left else " u-1 "
            payload = f'{{"response_code":0,"response_message":"Success","payload":{{"utilityEnkashId":"{one}"}}}}'
            writer.write(reply(payload.encode()))

    async with raw_server(answer) as server:
        async with EnkashClient(server.base_url, tokens=StaticTokenProvider("t")) as client:
            found = (await client.bills._reads.read_each(["U-1"], patience=5))["U-1"]
    if strays == 1:
        assert isinstance(found, Bill)
        assert found.utility_enkash_id.strip() == "u-1"
    else:
        assert isinstance(found, ResponseDecodeError)
    assert len(server.requests) == 2


async def test_a_bill_that_does_not_exist_is_told_by_the_call_for_one() -> None:
    """The call for one bill proves that it is missing; a search that omits it proves nothing."""
    async with _office() as (_, sandbox, client):
        ids = [*_stock(sandbox, 9), "nobody"]
        seen = await client.bills._reads.read(ids, patience=30)
        absent = seen["nobody"]
        assert isinstance(absent, NotFoundError)
        assert (absent.bill_absent, len(_shown(seen)), sandbox.counts["bill"]) == (True, 9, 1)


# --- no storm ---------------------------------------------------------------------------------------------------------

HARMFUL = [
    (FaultKind.BAD_GATEWAY, ServerError),
    (FaultKind.UNAVAILABLE, ServerError),
    (FaultKind.DROP_BEFORE, TransportError),
    (FaultKind.TRUNCATED, TransportError),
    (FaultKind.UNAUTHORIZED, AuthenticationError),
]


@pytest.mark.parametrize(("kind", "error"), HARMFUL)
async def test_a_search_that_fails_is_not_followed_by_a_hundred_calls(
    kind: FaultKind, error: type[EnkashError]
) -> None:
    """Each bill gets the search's failure, because single reads would meet it as well."""
    async with _office() as (_, sandbox, client):
        ids = _stock(sandbox, 50)
        sandbox.faults.add("search_bills", kind, times=None)
        seen = await client.bills._reads.read(ids, patience=30)
        assert {type(problem) for problem in seen.values()} == {error}
        assert list(seen) == ids
        assert sandbox.counts["bill"] == 0
        assert sandbox.counts["search_bills"] <= 3


async def test_one_search_that_fails_does_not_take_the_others_with_it() -> None:
    """Of 150 bills, those of one batch are not seen this time."""
    async with _office() as (proxy, sandbox, client):
        ids = _stock(sandbox, 150)
        proxy.answer = lambda payload: _enveloped(payload) if len(payload) == 51 else web.Response(status=502)
        seen = await client.bills._reads.read(ids, patience=30)
        assert list(_shown(seen)) == ids[99:]
        assert {type(seen[one]) for one in ids[:99]} == {ServerError}
        assert sandbox.counts["bill"] == 0


async def test_a_search_that_breaks_by_itself_is_replaced_by_single_reads() -> None:
    """After a plain 500 of the search the client uses the documented call for one bill."""
    async with _office() as (_, sandbox, client):
        ids = _stock(sandbox, 20)
        sandbox.faults.add("search_bills", FaultKind.SERVER_ERROR, times=None)
        seen = await client.bills._reads.read(ids, patience=30)
        assert (_shown(seen), sandbox.counts["bill"]) == ({one: one for one in ids}, 20)


@pytest.mark.parametrize("count", [2, 10])
async def test_a_read_that_hangs_is_cut_off(count: int) -> None:
    """A search and a single read end at the caller's time limit."""
    async with _office() as (_, sandbox, client):
        ids = _stock(sandbox, count)
        sandbox.faults.add("*", FaultKind.SLOW, after=1, times=None, delay=60)
        seen = await client.bills._reads.read(ids, patience=0.1)
        assert {type(problem) for problem in seen.values()} == {RequestTimeoutError}


class Hung:
    """A `Send` that delays some bills and shows the others at once."""

    def __init__(self, late: Sequence[str]) -> None:
        self._late = frozenset(late)
        self.gets: list[str] = []

    async def __call__(self, operation: Any) -> Any:
        one = operation.request.path.rpartition("/")[2]
        self.gets.append(one)
        await asyncio.sleep(0)
        if one in self._late:
            raise RequestTimeoutError("no answer within 30 s")
        return Bill(utility_enkash_id=one, payment_status=PaymentStatus.INIT)


@pytest.mark.parametrize("every", [200, 2])
async def test_a_bill_that_hangs_does_not_stop_the_others(every: int) -> None:
    """The client reads the other bills of 200 and asks for each bill once."""
    ids = [f"U-{number}" for number in range(200)]
    hung = Hung(ids[::every])
    seen = await Reads(hung, Routes()).read_each(ids, patience=30)
    assert (list(seen), hung.gets) == (ids, ids)
    assert _shown(seen) == {one: one for one in ids if one not in ids[::every]}
    assert {type(seen[one]) for one in ids[::every]} == {RequestTimeoutError}


async def test_a_server_that_hangs_is_not_asked_for_every_bill() -> None:
    """Once all of the first reads are late, the other bills get that failure without a request."""
    ids = [f"U-{number}" for number in range(200)]
    hung = Hung(ids)
    seen = await Reads(hung, Routes()).read_each(ids, patience=30)
    assert list(seen) == ids
    assert {type(problem) for problem in seen.values()} == {RequestTimeoutError}
    assert len(hung.gets) <= 40


# --- whatever comes back ----------------------------------------------------------------------------------------------

_ENDS: Mapping[str, Bill | EnkashError] = {
    "waiting": Bill(payment_status=PaymentStatus.INIT),
    "bare": Bill(),
    "absent": NotFoundError("no"),
    "away": ServerError("x", status=502),
    "refused": BadRequestError("x"),
}


class Shelf:
    """A `Send` that shows given bills, by search and by the call for one."""

    def __init__(self, by_search: Mapping[str, str], alone: Mapping[str, str], failure: EnkashError | None) -> None:
        self._by_search, self._alone, self._failure = by_search, alone, failure
        self.gets: list[str] = []

    async def __call__(self, operation: Any) -> Any:
        if operation.name == "bills.get":
            one = operation.request.path.rpartition("/")[2]
            self.gets.append(one)
            return _named(one, self._alone[one])
        if self._failure is not None:
            raise self._failure
        wanted = json.loads(operation.request.body)["utilityEnkashIds"]
        return Page([_named(one, self._by_search[one]) for one in wanted if one in self._by_search])


def _named(one: str, end: str) -> Bill:
    found = _ENDS[end]
    if isinstance(found, EnkashError):
        raise found
    return Bill(utility_enkash_id=one, payment_status=found.payment_status)


@given(
    st.lists(st.tuples(st.sampled_from(["waiting", "bare", None]), st.sampled_from(list(_ENDS))), max_size=12),
    st.sampled_from([None, BadRequestError("x"), PermissionDeniedError("x")]),
)
async def test_every_bill_gets_one_answer(ends: Sequence[tuple[str | None, str]], failure: EnkashError | None) -> None:
    """The answer is the search's bill if it has a status, or else the end of one call for it alone."""
    ids = [f"U-{number}" for number in range(len(ends))]
    by_search = {one: shown for one, (shown, _) in zip(ids, ends, strict=True) if shown is not None}
    alone = {one: end for one, (_, end) in zip(ids, ends, strict=True)}
    shelf = Shelf(by_search, alone, failure)
    seen = await Reads(shelf, Routes()).read(ids, patience=30)
    assert list(seen) == ids
    searched = failure is None and len(ids) > 3
    for one in ids:
        end = "waiting" if searched and by_search.get(one) == "waiting" else alone[one]
        found, expected = seen[one], _ENDS[end]
        assert found == Bill(utility_enkash_id=one, payment_status=getattr(expected, "payment_status", None)) or (
            found is expected
        )
    assert len(shelf.gets) == len(set(shelf.gets))
