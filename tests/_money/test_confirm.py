"""Confirming debits: each bill once, whatever fails, and every bill accounted for."""

from __future__ import annotations

import asyncio
import collections
import json
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from _money.office import Office
from aiohttp import web
from aiohttp.typedefs import Handler
from hypothesis import given, settings
from hypothesis import strategies as st

from enkash_async import (
    BadRequestError,
    Bill,
    BulkError,
    BulkResult,
    EnkashClient,
    InvalidRequestError,
    MemoryStore,
    NotFoundError,
    OutcomeUnknownError,
    PaymentStatus,
    PollPolicy,
    RetryAdvice,
    RetryPolicy,
    Routes,
    ServerError,
    SettlePolicy,
    SQLiteStore,
    TokenError,
    TransportError,
)
from enkash_async._money import instants
from enkash_async.bulk import BulkItem
from enkash_async.errors import (
    AuthenticationError,
    EnkashError,
    PermissionDeniedError,
    VelocityLimitError,
)
from enkash_async.sandbox import FaultKind, Sandbox
from enkash_async.stores import Change

from support import FEEDS, leaping, plainly, slowly

QUICK = RetryPolicy(attempts=3, backoff=0, settle=SettlePolicy(window=0.3, pauses=PollPolicy(first=0.01, longest=0.05)))
CONFIRM = Routes().confirm_debit


def _refusal(status: int = 400, code: int = 1) -> web.Response:
    return web.json_response(
        {"response_code": code, "response_message": "FAILURE", "payload": "not approved"}, status=status
    )


class Till:
    """A sandbox that debits a bill at each confirmation, behind a proxy that can refuse calls and alter replies.

    Attributes:
        calls: The ids of each confirmation that arrived.
        poison: Ids that make EnKash refuse a whole call.
        refuse: Answers a confirmation in the sandbox's place, or returns None.
        shown: Members that reads show with other values than the bill's; None omits one.
        searched: The same, in searches alone and for every bill.
        repeated: The same, in second rows of the same bills at the end of searches.
    """

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.poison: set[str] = set()
        self.refuse: Callable[[list[str]], web.StreamResponse | None] = lambda _: None
        self.shown: dict[str, dict[str, str | None]] = {}
        self.searched: dict[str, str | None] = {}
        self.repeated: dict[str, str | None] = {}
        self.open = asyncio.Event()
        self.open.set()
        self.sandbox = Sandbox(settle_after=0.0, repeat_debits=True)
        self.client: EnkashClient

        @web.middleware
        async def clerk(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self._handle(request, handler)

        self.sandbox._app.middlewares.append(clerk)

    async def _handle(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path != CONFIRM:
            return self._misread(await handler(request))
        ids = (await request.json())["utilityPaymentIds"]
        self.calls.append(ids)
        await self.open.wait()
        refused = _refusal() if self.poison.intersection(ids) else self.refuse(ids)
        return await handler(request) if refused is None else refused

    def _misread(self, response: web.StreamResponse) -> web.StreamResponse:
        if not isinstance(response, web.Response) or response.status != 200:
            return response
        if not (self.shown or self.searched or self.repeated):
            return response
        payload = json.loads(response.text or "").get("payload")
        if payload is None:
            return response
        listed = isinstance(payload, list)
        if listed and self.repeated:
            payload += [bill | self.repeated for bill in payload]
        for bill in payload if listed else [payload]:
            bill |= {**(self.searched if listed else {}), **self.shown.get(bill["utilityEnkashId"], {})}
        return web.json_response({"response_code": 0, "response_message": "Success", "payload": payload})

    def stock(self, count: int) -> list[str]:
        """Put bills into the ledger and return their ids."""
        ledger = self.sandbox.ledger
        consumer = ledger.enrol(2001, {"cn": "1"})
        due = ledger.due(consumer)
        return [ledger.create(consumer, due).utility_enkash_id for _ in range(count)]

    async def confirm(self, ids: Any, **how: Any) -> BulkResult[None]:
        return await self.client.payments.confirm_debit(ids, **how)

    @property
    def debits(self) -> list[str]:
        return sorted(debit.utility_enkash_id for debit in self.sandbox.ledger.debits)

    @property
    def reads(self) -> int:
        return self.sandbox.counts["search_bills"] + self.sandbox.counts["bill"]


@asynccontextmanager
async def _open(retry: RetryPolicy) -> AsyncIterator[Till]:
    till = Till()
    async with till.sandbox as sandbox:
        async with EnkashClient.from_credentials(sandbox.base_url, sandbox.credentials, retry=retry) as till.client:
            yield till


@pytest.fixture
async def till() -> AsyncIterator[Till]:
    async with _open(QUICK) as till:
        yield till


def _keys(items: Iterable[BulkItem[None]]) -> list[str]:
    return [item.key for item in items]


def _all_of(result: BulkResult[None]) -> list[str]:
    return _keys([*result.succeeded, *result.failed, *result.unknown, *result.not_sent])


COLLECTIONS: Mapping[str, Callable[[Iterable[str]], Any]] = {
    "list": list,
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
    "dict": dict.fromkeys,
    "keys": lambda ids: dict.fromkeys(ids).keys(),
    "deque": collections.deque,
}
each_collection = pytest.mark.parametrize("make", COLLECTIONS.values(), ids=COLLECTIONS)
each_feed = pytest.mark.parametrize("make", FEEDS.values(), ids=FEEDS)
each_source = pytest.mark.parametrize("make", [*COLLECTIONS.values(), *FEEDS.values()], ids=[*COLLECTIONS, *FEEDS])


# --- the ids ----------------------------------------------------------------------------------------------------------


@each_source
async def test_any_iterable_of_ids_will_do(till: Till, make: Callable[[Iterable[str]], Any]) -> None:
    """The client debits each id of any iterable once."""
    ids = till.stock(5)
    result = await till.confirm(make(ids))
    assert sorted(_keys(result.succeeded)) == sorted(ids) == till.debits
    assert len(till.calls) == 1


@each_source
async def test_no_ids_at_all_are_refused(till: Till, make: Callable[[Iterable[str]], Any]) -> None:
    """An empty collection is refused, because a job without bills is most likely a mistake."""
    with pytest.raises(InvalidRequestError, match="ids is empty: give at least one"):
        await till.confirm(make([]))
    assert till.sandbox.counts == {}


@each_collection
@pytest.mark.parametrize("wrong", ["", "..", 5, None])
async def test_a_wrong_id_in_a_collection_is_refused_before_anything_is_sent(
    till: Till, make: Callable[[Iterable[Any]], Any], wrong: Any
) -> None:
    """The client checks the whole collection first, so no bill is debited."""
    ids = till.stock(2)
    with pytest.raises(InvalidRequestError):
        await till.confirm(make([ids[0], wrong, ids[1]]))
    assert till.sandbox.counts == {}


@each_feed
async def test_a_wrong_id_of_a_generator_does_not_stop_the_rest(
    till: Till, make: Callable[[Iterable[Any]], Any]
) -> None:
    """The result names the wrong id by its index; the other ids are confirmed, a repeated one once."""
    one, two = till.stock(2)
    told = list[tuple[int, int | None]]()
    result = await till.confirm(make([one, "", two, 5, one]), on_progress=lambda *counts: told.append(counts))
    assert [(item.key, item.request) for item in result.not_sent] == [("ids[1]", ""), ("ids[3]", 5)]
    assert (_keys(result.succeeded), result.duplicates) == ([one, two], (one,))
    assert till.debits == sorted([one, two])
    assert told == [(5, None)]


async def test_2500_ids_are_three_calls(till: Till) -> None:
    """The client sends 1,000 ids to a call, in order, and reports progress after each."""
    ids, told = till.stock(2500), list[tuple[int, int | None]]()
    result = await till.confirm(ids, concurrency=1, check_first=False, on_progress=lambda *counts: told.append(counts))
    assert _keys(result.succeeded) == ids
    assert [len(call) for call in till.calls] == [1000, 1000, 500]
    assert [one for call in till.calls for one in call] == ids
    assert told == [(1000, 2500), (2000, 2500), (2500, 2500)]
    assert (till.debits, till.reads) == (sorted(ids), 0)


async def test_calls_are_bounded_and_the_source_is_not_read_ahead(till: Till) -> None:
    """While two calls are in flight, the client has read their ids and no others."""
    read, ids = list[str](), till.stock(4100)

    def source() -> Iterator[str]:
        for one in ids:
            read.append(one)
            yield one

    till.open.clear()
    call = asyncio.ensure_future(till.confirm(source(), check_first=False, concurrency=2))
    async with asyncio.timeout(10):
        while len(till.calls) < 2:
            await asyncio.sleep(0.001)
    for _ in range(50):
        await asyncio.sleep(0)
    assert (len(till.calls), len(read)) == (2, 2000)
    till.open.set()
    assert _keys((await call).succeeded) == ids
    assert sorted(len(call) for call in till.calls) == [100, 1000, 1000, 1000, 1000]


# --- what was confirmed before ----------------------------------------------------------------------------------------


async def test_a_second_run_confirms_nothing_twice(till: Till) -> None:
    """Bills that EnKash shows as confirmed count as succeeded, and only the new ones are sent."""
    ids = till.stock(30)
    await till.confirm(ids[:20])
    for _ in range(2):
        result = await till.confirm(ids)
        assert _keys(result.succeeded) == ids
    assert [len(call) for call in till.calls] == [20, 10]
    assert till.debits == sorted(ids)


@pytest.mark.parametrize(
    "shown",
    [
        {"approvalStatus": None, "paymentStatus": None, "billpayStatus": "PENDING"},
        {"approvalStatus": None, "paymentStatus": "INIT", "billpayStatus": None},
        {"approvalStatus": "MAKER_APPROVAL_PENDING", "paymentStatus": None, "billpayStatus": None},
    ],
)
async def test_a_search_that_shows_too_little_does_not_lead_to_a_second_debit(
    till: Till, shown: dict[str, str | None]
) -> None:
    """Prevents a double debit: the undocumented search may omit the word that says «confirmed»."""
    ids = till.stock(5)
    await till.confirm(ids)
    till.searched = {**shown, "approvedDate": None, "paymentDate": None}
    assert _keys((await till.confirm(ids)).succeeded) == ids
    assert till.debits == sorted(ids)


async def test_a_bill_that_a_search_shows_in_two_states_is_read_singly(till: Till) -> None:
    """Prevents a double debit: the row with the older state must not decide."""
    ids = till.stock(5)
    till.sandbox.ledger.confirm(ids)  # by another program
    old = {"approvalStatus": "MAKER_APPROVAL_PENDING", "paymentStatus": "INIT", "billpayStatus": None}
    old |= dict.fromkeys(("approvedDate", "paymentDate", "billpayDate"))
    till.repeated = old
    assert _keys((await till.confirm(ids)).succeeded) == ids
    assert till.debits == sorted(ids)


async def test_a_search_without_approvals_calls_no_debit_unconfirmed(till: Till) -> None:
    """The reconciliation reads such bills singly."""
    ids = till.stock(5)
    await till.confirm(ids)
    till.searched = {"approvalStatus": None, "paymentStatus": "INIT", "billpayStatus": None}
    till.searched |= dict.fromkeys(("approvedDate", "paymentDate", "billpayDate"))
    found = await till.client.payments.reconcile(ids, settle=0)
    assert [bill.utility_enkash_id for bill in found.confirmed] == ids


async def test_without_a_look_before_nothing_is_read_and_the_records_count(till: Till) -> None:
    """`check_first=False` skips the reading, never the record: another client of the store sends nothing again."""
    ids = till.stock(5)
    (await till.confirm(ids, check_first=False)).raise_for_failures()
    sandbox = till.sandbox
    async with EnkashClient.from_credentials(sandbox.base_url, sandbox.credentials, retry=QUICK) as other:
        (await other.payments.confirm_debit(ids, check_first=False)).raise_for_failures()
    assert (till.reads, [len(call) for call in till.calls]) == (0, [5])
    assert till.debits == sorted(ids)


AMBIGUOUS: list[dict[str, str | None]] = [
    {"paymentStatus": "EXPIRED", "billpayStatus": "PENDING", "approvalStatus": None},
    {"paymentStatus": "INIT", "approvalStatus": "SOME_NEW_WORD"},
    {"paymentStatus": "SOME_NEW_WORD"},
    {"paymentStatus": None, "approvalStatus": None, "billpayStatus": "IN_PROGRESS"},
]


@pytest.mark.parametrize("count", [2, 8])
@pytest.mark.parametrize("state", AMBIGUOUS, ids=lambda state: "/".join(str(word) for word in state.values()))
async def test_a_bill_that_may_have_been_confirmed_is_not_confirmed_on_suspicion(
    till: Till, state: dict[str, str | None], count: int
) -> None:
    """The bill is `unknown` with what EnKash shows, until the caller insists."""
    odd, *others = till.stock(count)
    till.shown[odd] = state
    result = await till.confirm([odd, *others])
    (item,) = result.unknown
    assert isinstance(item.error, OutcomeUnknownError)
    assert (item.key, item.error.utility_enkash_ids) == (odd, (odd,))
    assert "check_first=False" in str(item.error)
    assert _keys(result.succeeded) == others
    assert till.debits == sorted(others)
    await till.confirm([odd], check_first=False)
    assert till.debits == sorted([odd, *others])


# --- what cannot be read before ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 20])
@pytest.mark.parametrize("kind", [FaultKind.BAD_GATEWAY, FaultKind.DROP_BEFORE, FaultKind.UNAUTHORIZED])
async def test_what_cannot_be_read_is_not_sent(till: Till, kind: FaultKind, count: int) -> None:
    """The client confirms no bill that it cannot read, and raises where it can read none."""
    ids = till.stock(count)
    for route in ("bill", "search_bills"):
        till.sandbox.faults.add(route, kind, times=None)
    with pytest.raises((ServerError, TransportError, AuthenticationError)):
        await till.confirm(ids)
    assert (till.calls, till.debits) == ([], [])


async def test_a_call_whose_bills_cannot_be_read_does_not_stop_the_others(till: Till) -> None:
    """The first thousand is `not_sent` with the reason, the rest is confirmed, and a second run the first."""
    ids = till.stock(1050)
    till.sandbox.faults.add("search_bills", FaultKind.BAD_GATEWAY, times=11 * QUICK.attempts)
    result = await till.confirm(ids, concurrency=1)
    assert (_keys(result.not_sent), _keys(result.succeeded)) == (ids[:1000], ids[1000:])
    assert {type(item.error) for item in result.not_sent} == {ServerError}
    again = await till.confirm(ids[990:])
    assert (_keys(again.succeeded), till.debits) == (ids[990:], sorted(ids[990:]))


async def test_one_bill_that_does_not_exist_leaves_the_other_999_alone(till: Till) -> None:
    """The read before finds the missing bill, so one call confirms the others."""
    ids = till.stock(999)
    given = [*ids[:500], "nobody", *ids[500:]]
    result = await till.confirm(given)
    assert (_keys(result.failed), _keys(result.succeeded)) == (["nobody"], ids)
    assert isinstance(result.failed[0].error, NotFoundError)
    assert ([len(call) for call in till.calls], till.debits) == ([999], sorted(ids))


async def test_bills_of_which_none_exists_are_refused_without_a_call(till: Till) -> None:
    """The client raises the failure of the whole call and sends no confirmation."""
    with pytest.raises(NotFoundError):
        await till.confirm(["nobody", "none"])
    assert till.calls == []


async def test_two_spellings_of_an_id_are_one_debit(till: Till) -> None:
    """Also in one call, at an EnKash that finds a bill whatever the case of its id."""
    (one,) = till.stock(1)

    def carry_out(ids: list[str]) -> web.Response:
        till.sandbox.ledger.confirm([each.upper() for each in ids])
        return web.json_response({"response_code": 0, "response_message": "Success", "payload": None})

    till.refuse = carry_out
    result = await till.confirm([one, one.lower()], check_first=False)
    assert (_keys(result.succeeded), till.debits) == ([one, one.lower()], [one])
    await till.confirm([f" {one}"], check_first=False)
    assert till.debits == [one]


# --- what EnKash refuses ----------------------------------------------------------------------------------------------


@pytest.fixture
async def hasty(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Till]:
    """A till whose client has a window of two seconds, and waits for longer."""
    monkeypatch.setattr(instants, "DURATIONS", instants.DURATIONS.scaled(0.01))
    patient = RetryPolicy(attempts=3, backoff=0, settle=SettlePolicy(window=8, pauses=PollPolicy(first=0.1, longest=1)))
    async with _open(patient) as till:
        yield till


async def test_a_bill_that_is_refused_for_itself_does_not_stop_the_others(hasty: Till) -> None:
    """After the window the client sends the bills of the refused call one by one, and debits each good one once."""
    ids = hasty.stock(12)
    hasty.poison = {ids[0], ids[7]}
    result = await hasty.confirm(ids)
    assert _keys(result.failed) == [ids[0], ids[7]]
    assert {type(item.error) for item in result.failed} == {BadRequestError}
    assert hasty.debits == sorted(_keys(result.succeeded)) == sorted({*ids} - hasty.poison)
    assert [len(call) for call in hasty.calls] == [12, *[1] * 12]


async def test_a_refused_call_of_which_a_part_was_done_is_not_repeated_for_that_part(hasty: Till) -> None:
    """EnKash works through ids to a bad one; those before it are read as confirmed, and not sent again."""
    ids = hasty.stock(8)

    def half_done(some: list[str]) -> web.Response | None:
        if ids[6] not in some:
            return None
        hasty.sandbox.ledger.confirm(some[: some.index(ids[6])])
        return _refusal()

    hasty.refuse = half_done
    result = await hasty.confirm(ids)
    assert (_keys(result.failed), hasty.debits) == ([ids[6]], sorted({*ids} - {ids[6]}))
    assert sorted(_all_of(result)) == sorted(ids)
    assert sorted(len(call) for call in hasty.calls) == [1, 1, 8]


@pytest.mark.parametrize("answer", [_refusal(), _refusal(403), _refusal(429), _refusal(400, 36), _refusal(200, 37)])
async def test_a_refusal_of_a_whole_call_proves_nothing(till: Till, answer: web.Response) -> None:
    """EnKash may have debited some of the bills, so the caller is told when the same call finds out."""
    status, text = answer.status, answer.text
    till.refuse = lambda _: web.Response(status=status, text=text, content_type="application/json")
    with pytest.raises(OutcomeUnknownError, match="the same call finds out in") as caught:
        await till.confirm(till.stock(20))
    assert caught.value.retry is RetryAdvice.LATER
    assert (len(till.calls), till.debits) == (1, [])


OF_ONE = [
    (_refusal(), BadRequestError),
    (_refusal(403), PermissionDeniedError),
    (_refusal(400, 36), VelocityLimitError),
    (_refusal(200, 37), VelocityLimitError),
]


@pytest.mark.parametrize(("answer", "error"), OF_ONE)
async def test_a_refusal_of_one_bill_is_clear_and_may_be_tried_again(
    till: Till, answer: web.Response, error: type[EnkashError]
) -> None:
    """The client raises it after one call, and the next call sends the bill at once."""
    ids, (status, text) = till.stock(1), (answer.status, answer.text)
    till.refuse = lambda _: web.Response(status=status, text=text, content_type="application/json")
    with pytest.raises(error):
        await till.confirm(ids)
    assert (len(till.calls), till.debits) == (1, [])
    till.refuse = lambda _: None
    assert _keys((await till.confirm(ids)).succeeded) == till.debits == ids


@pytest.mark.parametrize("payload", [None, "", {}, [], "Success"])
async def test_a_success_that_names_no_bill_is_believed(till: Till, payload: Any) -> None:
    """The client reads nothing back."""
    ids = till.stock(5)
    document = {"response_code": 0, "response_message": "SUCCESS", "payload": payload}

    def confirmed(some: list[str]) -> web.Response:
        till.sandbox.ledger.confirm(some)
        return web.json_response(document)

    till.refuse = confirmed
    assert _keys((await till.confirm(ids, check_first=False)).succeeded) == ids
    assert (till.reads, till.debits) == (0, sorted(ids))


async def test_a_success_that_names_bills_is_read_back_id_by_id(till: Till) -> None:
    """It may name those that failed: only what EnKash shows as confirmed has succeeded."""
    ids = till.stock(6)

    def partly(some: list[str]) -> web.Response:
        till.sandbox.ledger.confirm(some[:4])
        return web.json_response({"response_code": 0, "response_message": "SUCCESS", "payload": {"failed": some[4:]}})

    till.refuse = partly
    result = await till.confirm(ids, check_first=False)
    assert (_keys(result.succeeded), _keys(result.unknown)) == (ids[:4], ids[4:])
    assert till.debits == sorted(ids[:4])
    assert till.sandbox.counts["bill"] >= 6


async def test_a_login_that_has_ended_debits_once(till: Till) -> None:
    """After a 401 the client logs in and sends the call again; nothing of the first one was done."""
    ids = till.stock(3)
    till.sandbox.faults.add("confirm_debit", FaultKind.UNAUTHORIZED)
    assert _keys((await till.confirm(ids)).succeeded) == ids
    assert (till.sandbox.counts["confirm_debit"], till.debits) == (2, sorted(ids))


async def test_a_login_that_fails_after_a_401_leaves_nothing_behind(till: Till) -> None:
    """The 401 was clear and nothing was sent after it, so the bills are free for the next call."""
    ids = till.stock(3)
    till.sandbox.faults.add("confirm_debit", FaultKind.UNAUTHORIZED)
    till.sandbox.faults.add("token", FaultKind.SERVER_ERROR, after=1, times=None)
    with pytest.raises(TokenError):
        await till.confirm(ids)
    assert {record.state for record in await till.client.payments.debits(ids)} == {"none"}
    assert till.debits == []


async def test_no_policy_repeats_a_confirmation(till: Till) -> None:
    """`RetryPolicy.writes` repeats other writes after a 503 that asks to come back."""
    ids, sandbox = till.stock(3), till.sandbox
    sandbox.faults.add("confirm_debit", FaultKind.UNAVAILABLE, retry_after=0)
    eager = RetryPolicy(attempts=3, backoff=0, writes=True, settle=SettlePolicy(window=0))
    async with EnkashClient.from_credentials(sandbox.base_url, sandbox.credentials, retry=eager) as client:
        with pytest.raises(OutcomeUnknownError):
            await client.payments.confirm_debit(ids)
    assert (sandbox.counts["confirm_debit"], till.debits) == (1, [])


async def test_two_clients_on_one_file_debit_each_bill_once(till: Till, tmp_path: Path) -> None:
    """Both confirm the same bills at the same time, each with a store of its own on the file."""
    ids, sandbox = till.stock(60), till.sandbox

    async def run(order: list[str]) -> BulkResult[None]:
        store = SQLiteStore(tmp_path / "store.sqlite3", nothing_pending=True)
        patient = RetryPolicy(settle=SettlePolicy(window=20, pauses=PollPolicy(first=0.05, longest=0.5)))
        async with EnkashClient.from_credentials(
            sandbox.base_url, sandbox.credentials, retry=patient, store=store
        ) as client:
            result = await client.payments.confirm_debit(order)
        await store.aclose()
        return result

    for result in await asyncio.gather(run(ids), run(ids[::-1]), run(ids[20:40])):
        assert sorted(_keys(result.succeeded)) == sorted(_all_of(result))
    assert till.debits == sorted(ids)


async def test_credentials_that_are_refused_stop_the_calls(till: Till) -> None:
    """After a permanent 401 on the second call, the third thousand is not sent."""
    ids = till.stock(2100)
    till.sandbox.faults.add("confirm_debit", FaultKind.UNAUTHORIZED, after=1, times=None)
    result = await till.confirm(ids, concurrency=1, check_first=False)
    assert _keys(result.succeeded) == ids[:1000]
    assert till.debits == sorted(ids[:1000])
    assert _keys([*result.failed, *result.not_sent]) == ids[1000:]
    assert not any(ids[2000] in call for call in till.calls)


# --- what ends unclearly ----------------------------------------------------------------------------------------------

AFTER = [FaultKind.DROP_AFTER, FaultKind.TRUNCATED, FaultKind.SERVER_ERROR_AFTER, FaultKind.NOT_JSON]
BEFORE = [FaultKind.DROP_BEFORE, FaultKind.BAD_GATEWAY, FaultKind.SERVER_ERROR, FaultKind.UNAVAILABLE]


@pytest.mark.parametrize("count", [1, 10])
@pytest.mark.parametrize("kind", AFTER)
async def test_a_call_whose_reply_is_lost_is_read_back(till: Till, kind: FaultKind, count: int) -> None:
    """EnKash shows the bills as confirmed, and the client does not send the call again."""
    ids = till.stock(count)
    till.sandbox.faults.add("confirm_debit", kind)
    assert _keys((await till.confirm(ids)).succeeded) == ids
    assert (len(till.calls), till.debits) == (1, sorted(ids))


@pytest.mark.parametrize("count", [1, 10])
@pytest.mark.parametrize("kind", BEFORE)
async def test_a_call_that_leaves_no_trace_is_unknown_and_not_repeated(till: Till, kind: FaultKind, count: int) -> None:
    """The call may still be in flight, so the error names the bills and how to look later."""
    ids = till.stock(count)
    till.sandbox.faults.add("confirm_debit", kind)
    with pytest.raises(OutcomeUnknownError, match="the same call finds out in") as caught:
        await till.confirm(ids)
    assert caught.value.utility_enkash_ids == tuple(ids)
    assert caught.value.retry is RetryAdvice.LATER
    assert isinstance(caught.value.__cause__, (ServerError, TransportError))
    assert (len(till.calls), till.debits) == (1, [])


async def test_a_call_that_is_done_late_is_read_back_late(till: Till) -> None:
    """The client looks for the length of the window, in which the confirmation shows."""
    ids = till.stock(6)
    till.sandbox.faults.add("confirm_debit", FaultKind.LATE, delay=0.1)
    patient = RetryPolicy(settle=SettlePolicy(window=20, pauses=PollPolicy(first=0.01, longest=0.05)))
    sandbox = till.sandbox
    async with EnkashClient.from_credentials(sandbox.base_url, sandbox.credentials, retry=patient) as client:
        result = await client.payments.confirm_debit(ids)
    assert _keys(result.succeeded) == ids
    assert (len(till.calls), till.debits) == (1, sorted(ids))
    assert till.reads > 2


async def test_outcomes_that_differ_are_returned(till: Till) -> None:
    """One error holds all groups of a call: confirmed bills, a missing bill and unknown ones."""
    ids = till.stock(6)

    def broken(some: list[str]) -> web.Response:
        till.sandbox.ledger.confirm(some[:2])
        return web.Response(status=502, text="<html>", content_type="text/html")

    till.refuse = broken
    result = await till.confirm([*ids, "nobody"])
    assert (_keys(result.succeeded), _keys(result.unknown), _keys(result.failed)) == (ids[:2], ids[2:], ["nobody"])
    assert {id(item.error) for item in result.unknown} == {id(result.unknown[0].error)}
    assert till.debits == sorted(ids[:2])
    with pytest.raises(BulkError, match="1 failed, 4 unknown, 0 not sent, 2 succeeded"):
        result.raise_for_failures()


async def test_a_call_that_was_cancelled_is_finished_by_a_second_run(till: Till) -> None:
    """The caller sees `CancelledError`, and the second run sees what the first one did."""
    ids = till.stock(10)
    till.open.clear()
    call = asyncio.ensure_future(till.confirm(ids))
    async with asyncio.timeout(10):
        while not till.calls:
            await asyncio.sleep(0.001)
        call.cancel()
        await asyncio.wait([call])
        till.open.set()
        while len(till.debits) < 10:
            await asyncio.sleep(0.001)
    assert call.cancelled()
    assert _keys((await till.confirm(ids)).succeeded) == ids
    assert (len(till.calls), till.debits) == (1, sorted(ids))


class Cancelled(MemoryStore):
    """A store whose third change of many records is cancelled, as by a user's own task that ends."""

    def __init__(self) -> None:
        super().__init__(nothing_pending=True)
        self.large = 0

    async def swap(self, changes: Sequence[Change]) -> Sequence[bool]:
        self.large += len(changes) == 1000
        if self.large == 3:
            self.large += 1
            raise asyncio.CancelledError
        return await super().swap(changes)


@pytest.mark.parametrize("count", [1000, 3000])
async def test_a_store_that_is_cancelled_loses_no_bill(till: Till, count: int) -> None:
    """The bills of its call are unknown, since the confirmation may have been sent; a second run is not cancelled."""
    ids, store = till.stock(count), Cancelled()
    async with EnkashClient.from_credentials(
        till.sandbox.base_url, till.sandbox.credentials, store=store, retry=QUICK
    ) as till.client:
        if count == 1000:
            with pytest.raises(OutcomeUnknownError, match="broke off with CancelledError") as caught:
                await till.confirm(ids, check_first=False)
            assert caught.value.utility_enkash_ids == tuple(ids)
        else:
            result = await till.confirm(ids, check_first=False, concurrency=1)
            assert (_keys(result.unknown), _keys(result.succeeded)) == (ids[:1000], ids[1000:])
        assert till.debits == sorted(ids)
        assert _keys((await till.confirm(ids)).succeeded) == ids
        assert till.debits == sorted(ids)


# --- sources that break off -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [plainly, slowly])
@pytest.mark.parametrize("count", [3, 1003])
async def test_a_source_that_fails_in_the_middle_loses_no_id(
    till: Till, make: Callable[[Iterable[str]], Any], count: int
) -> None:
    """The ids before the failure are confirmed, and the error has the source's own as its cause."""
    ids, broken = till.stock(count), OSError("the file ends here")

    def source() -> Iterator[str]:
        yield from ids
        raise broken

    with pytest.raises(BulkError, match=f"broke off with OSError; what became of the {count} before") as caught:
        await till.confirm(make(source()), check_first=False)
    assert caught.value.__cause__ is broken
    assert _keys(caught.value.result.succeeded) == _all_of(caught.value.result) == ids
    assert till.debits == sorted(ids)


@each_feed
async def test_a_source_that_fails_at_once_raises_its_own_error(
    till: Till, make: Callable[[Iterable[str]], Any]
) -> None:
    """The caller sees the source's error unchanged, because nothing was sent."""
    broken = OSError("no such file")

    def source() -> Iterator[str]:
        raise broken
        yield ""

    with pytest.raises(OSError, match="no such file") as caught:
        await till.confirm(make(source()))
    assert caught.value is broken
    assert till.sandbox.counts == {}


# --- whatever happens -------------------------------------------------------------------------------------------------


def _end_of(kind: str, ids: list[str]) -> tuple[list[str], Exception | None]:
    """Return what is debited of a confirmation that ends like this, and the error."""
    unclear = OutcomeUnknownError("?", operation="payments.confirm_debit", utility_enkash_ids=ids)
    ends: dict[str, tuple[list[str], Exception | None]] = {
        "well": (ids, None),
        "unsent": ([], TransportError("down", sent=False)),
        "lost": ([], unclear),
        "half": (ids[: len(ids) // 2], unclear),
        "late reply": (ids, unclear),
    }
    return ends[kind]


@settings(max_examples=100)
@given(
    st.lists(st.sampled_from(["plain", "plain", "done", "poison", "absent", "odd"]), min_size=1, max_size=12),
    st.lists(st.sampled_from(["well", "unsent", "lost", "half", "late reply"]), max_size=4),
    st.booleans(),
)
@leaping
async def test_no_bill_is_debited_twice_and_each_is_in_one_group(
    kinds: list[str], ends: list[str], check_first: bool
) -> None:
    """For any bills and any ends, what is told is true, and later calls pay every bill that can be paid."""
    named = {f"U-{number}": kind for number, kind in enumerate(kinds)}
    if not check_first:
        named = {one: kind for one, kind in named.items() if kind != "done"} or {"U-0": "plain"}
    office, left = Office(), list(ends)
    bad = {one for one, kind in named.items() if kind in {"poison", "absent"}}
    odd = {one for one, kind in named.items() if kind == "odd"}
    office.debit(one for one, kind in named.items() if kind == "done")
    office.shown.update(dict.fromkeys((one for one, kind in named.items() if kind == "absent"), None))
    office.shown.update({one: Bill(utility_enkash_id=one, payment_status=PaymentStatus("EXPIRED")) for one in odd})

    def answer(some: list[str]) -> tuple[list[str], Exception | None]:
        if bad.intersection(some):
            return [], BadRequestError("no", status=400)
        return _end_of(left.pop(0) if left else "well", some)

    office.answer = answer
    client = office.client()
    for is_first in (True, False):
        with suppress(EnkashError):  # raised for all bills of the one call, with the same meaning
            result = await client.confirm_debit(list(named), check_first=check_first or not is_first)
            assert sorted(_all_of(result)) == sorted(named)
            assert {*_keys(result.succeeded)} <= {*office.debits}
            assert not {*office.debits}.intersection(_keys([*result.failed, *result.not_sent]))
        assert len(office.debits) == len(set(office.debits))
        await asyncio.sleep(200)
    payable, rounds = {*named} - bad - odd, 0
    while not payable <= {*office.debits} and (rounds := rounds + 1) < 12:  # a bad bill costs its company a window
        with suppress(EnkashError):
            await client.confirm_debit(list(named))
        await asyncio.sleep(200)
    assert len(office.debits) == len(set(office.debits))
    assert payable <= {*office.debits}
