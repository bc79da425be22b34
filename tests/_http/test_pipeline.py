"""One call from end to end: tokens, repeating, and what is never repeated."""

from __future__ import annotations

import asyncio
import gc
import logging
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import attrs
import pytest

from enkash_async import (
    AuthenticationError,
    BadRequestError,
    Bill,
    BillFilter,
    ConfigurationError,
    CredentialsRejectedError,
    EnkashClient,
    EnkashError,
    InMemoryTokenProvider,
    Limits,
    LoginGuardError,
    MemoryStore,
    OutcomeUnknownError,
    PasswordGrant,
    RateLimitError,
    ResponseDecodeError,
    RetryPolicy,
    ServerError,
    StaticTokenProvider,
    StoreTokenProvider,
    Timeouts,
    Token,
    TokenEndpointError,
    TokenError,
    TransportError,
)
from enkash_async._flow.gate import Gate
from enkash_async._http import pipeline
from enkash_async._http.pipeline import Pipeline, decoded
from enkash_async._http.transport import Transport
from enkash_async._wire.envelope import SLICED_FROM
from enkash_async._wire.operation import Effect, Operation, Request, Response
from enkash_async.sandbox import FaultKind, Sandbox

from support import EAGER, Handler, RawServer, Reader, Time, Writer, raw_server, reply, shown

CN = {"cn": "CN123456789"}
BRIEF = Timeouts(total=0.3)


@pytest.fixture
async def brief_client(sandbox: Sandbox) -> AsyncIterator[EnkashClient]:
    """A client whose attempts time out soon."""
    async with EnkashClient.from_credentials(sandbox.base_url, sandbox.credentials, retry=EAGER, timeout=BRIEF) as made:
        yield made


async def _bill(client: EnkashClient, reference: str = "ref-1") -> Bill:
    return await client.bills.create_from_fetch(await client.bills.fetch_current(2001, CN), reference_id=reference)


async def _error(call: Any) -> EnkashError:
    with pytest.raises(EnkashError) as caught:
        await call
    return caught.value


# --- reads ------------------------------------------------------------------------------------------------------------

TRANSIENT = [
    FaultKind.RATE_LIMITED,
    FaultKind.BAD_GATEWAY,
    FaultKind.UNAVAILABLE,
    FaultKind.DROP_BEFORE,
    FaultKind.DROP_AFTER,
    FaultKind.TRUNCATED,
]


@pytest.mark.parametrize("kind", TRANSIENT)
async def test_a_read_is_repeated_after_a_transient_fault(
    sandbox: Sandbox, client: EnkashClient, kind: FaultKind
) -> None:
    """The third attempt returns the bill after two faults."""
    bill = await _bill(client)
    sandbox.faults.add("bill", kind, times=2, retry_after=0)
    assert (await client.bills.get(bill.utility_enkash_id)).reference_id == "ref-1"
    assert sandbox.counts["bill"] >= 3  # aiohttp repeats a GET on a dropped connection by itself as well


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (FaultKind.UNAUTHORIZED, AuthenticationError),
        (FaultKind.RATE_LIMITED, RateLimitError),
        (FaultKind.BAD_GATEWAY, ServerError),
        (FaultKind.UNAVAILABLE, ServerError),
        (FaultKind.SERVER_ERROR, ServerError),
        (FaultKind.SERVER_ERROR_AFTER, ServerError),
        (FaultKind.SLOW, TransportError),
        (FaultKind.DROP_BEFORE, TransportError),
        (FaultKind.DROP_AFTER, TransportError),
        (FaultKind.TRUNCATED, TransportError),
        (FaultKind.NOT_JSON, ResponseDecodeError),
    ],
)
@pytest.mark.parametrize(
    "route", ["billers", "biller_categories", "fetch_bill", "bill", "bill_by_reference", "search_bills"]
)
async def test_each_permanent_fault_has_its_own_error_on_a_read(
    sandbox: Sandbox, brief_client: EnkashClient, kind: FaultKind, expected: type[EnkashError], route: str
) -> None:
    """The client raises the error of the fault once its attempts are used up."""
    sandbox.faults.add(route, kind, times=None, delay=5, retry_after=0)
    calls: dict[str, Callable[[], Any]] = {
        "billers": lambda: anext(aiter(brief_client.billers.list())),
        "biller_categories": brief_client.billers.list_categories,
        "fetch_bill": lambda: brief_client.bills.fetch_current(2001, CN),
        "bill": lambda: brief_client.bills.get("U-1"),
        "bill_by_reference": lambda: brief_client.bills.get_by_reference("R-1"),
        "search_bills": lambda: anext(aiter(brief_client.bills.search(BillFilter()))),
    }
    assert type(await _error(calls[route]())) in {expected, *expected.__subclasses__()}


async def test_a_plain_500_is_not_repeated(sandbox: Sandbox, client: EnkashClient) -> None:
    """The client sends once, because EnKash answers a failed fetch with 500 every time."""
    sandbox.faults.add("fetch_bill", FaultKind.SERVER_ERROR, times=None)
    assert isinstance(await _error(client.bills.fetch_current(2001, CN)), ServerError)
    assert sandbox.counts["fetch_bill"] == 1


# --- writes -----------------------------------------------------------------------------------------------------------

#: Unclear ends after which EnKash shows nothing: it did nothing, or is not done yet.
HIDDEN = [
    FaultKind.BAD_GATEWAY,
    FaultKind.UNAVAILABLE,
    FaultKind.SERVER_ERROR,
    FaultKind.SLOW,
    FaultKind.DROP_BEFORE,
    FaultKind.LATE,
]
#: Unclear ends of work that was done.
DONE = [FaultKind.SERVER_ERROR_AFTER, FaultKind.DROP_AFTER, FaultKind.TRUNCATED, FaultKind.NOT_JSON]
UNCLEAR = [*HIDDEN, *DONE]


async def _creates(client: EnkashClient) -> dict[str, Callable[[], Any]]:
    """Return both calls that create a bill, by their route."""
    fetched = await client.bills.fetch_current(2001, CN)
    return {
        "create_bill": lambda: client.bills.create_from_fetch(fetched, reference_id="ref-a"),
        "add_bill": lambda: client.bills.create(2001, CN, bill_amount=10, reference_id="ref-b"),
    }


@pytest.mark.parametrize("kind", HIDDEN)
async def test_a_create_that_is_looked_for_in_vain_is_said_to_be_unknown(
    sandbox: Sandbox, brief_client: EnkashClient, kind: FaultKind
) -> None:
    """The client sends the create once, and the error has the reference to look for later."""
    for route, call in (await _creates(brief_client)).items():
        sandbox.faults.add(route, kind, times=None, delay=30)
        problem = await _error(call())
        assert isinstance(problem, OutcomeUnknownError)
        assert problem.reference_id in {"ref-a", "ref-b"}
        assert f"bills.reconcile({problem.reference_id!r})" in str(problem)
        assert isinstance(problem.__cause__, (ServerError, TransportError))
        assert sandbox.counts[route] == 1
        assert sandbox.counts["bill_by_reference"] > 1  # the first look proves nothing
    assert sandbox.ledger.search() == []


@pytest.mark.parametrize("kind", DONE)
async def test_a_create_that_was_done_is_found_by_its_reference(
    sandbox: Sandbox, brief_client: EnkashClient, kind: FaultKind
) -> None:
    """The client sends the create once and marks the bill as looked up."""
    for route, call in (await _creates(brief_client)).items():
        sandbox.faults.add(route, kind, times=None)
        bill = await call()
        assert bill.recovered
        assert bill.reference_id in {"ref-a", "ref-b"}
        assert sandbox.counts[route] == 1
    assert len(sandbox.ledger.search()) == 2


async def test_a_create_that_is_answered_was_not_looked_up(sandbox: Sandbox, client: EnkashClient) -> None:
    """The bill has no mark `recovered`, and the client makes no look-up."""
    for call in (await _creates(client)).values():
        assert (await call()).recovered is False
    assert sandbox.counts["bill_by_reference"] == 0


@pytest.mark.parametrize("kind", [FaultKind.DROP_AFTER, FaultKind.DROP_BEFORE])
async def test_a_reference_that_was_made_here_is_looked_up_and_told(
    sandbox: Sandbox, client: EnkashClient, kind: FaultKind
) -> None:
    """The bill has the generated reference when it is found, and the error has it otherwise."""
    sandbox.faults.add("add_bill", kind)
    try:
        bill = await client.bills.create(2001, CN, bill_amount=10)
    except OutcomeUnknownError as problem:
        assert kind is FaultKind.DROP_BEFORE
        assert problem.reference_id is not None
        assert await client.bills.find_by_reference(problem.reference_id) is None
    else:
        assert kind is FaultKind.DROP_AFTER
        assert bill.reference_id is not None
        assert (await client.bills.get_by_reference(bill.reference_id)).amount == 10


@pytest.mark.parametrize("kind", HIDDEN)
async def test_a_confirmation_that_does_not_show_is_said_to_be_unknown(
    sandbox: Sandbox, brief_client: EnkashClient, kind: FaultKind
) -> None:
    """The client sends the confirmation once, and the error names the bills."""
    bill = await _bill(brief_client)
    sandbox.faults.add("confirm_debit", kind, times=None, delay=30)
    problem = await _error(brief_client.payments.confirm_debit([bill.utility_enkash_id]))
    assert isinstance(problem, OutcomeUnknownError)
    assert problem.utility_enkash_ids == (bill.utility_enkash_id,)
    assert isinstance(problem.__cause__, (ServerError, TransportError))
    assert sandbox.counts["confirm_debit"] == 1
    assert sandbox.ledger.debits == []


@pytest.mark.parametrize("kind", DONE)
async def test_a_confirmation_that_was_done_is_read_back(
    sandbox: Sandbox, brief_client: EnkashClient, kind: FaultKind
) -> None:
    """The client sends a confirmation once, EnKash debits once, and a look-up shows that it was done."""
    bill = await _bill(brief_client)
    sandbox.faults.add("confirm_debit", kind, times=None)
    result = await brief_client.payments.confirm_debit([bill.utility_enkash_id])
    assert [item.key for item in result.succeeded] == [bill.utility_enkash_id]
    assert sandbox.counts["confirm_debit"] == 1
    assert len(sandbox.ledger.debits) == 1


@pytest.mark.parametrize("kind", UNCLEAR)
async def test_a_gateway_payment_with_an_unclear_end_is_said_to_be_unknown(
    sandbox: Sandbox, brief_client: EnkashClient, kind: FaultKind
) -> None:
    """The client sends the gateway payment once and raises `OutcomeUnknownError`."""
    bill = await _bill(brief_client)
    sandbox.faults.add("initiate_payment", kind, times=None, delay=30)
    assert isinstance(await _error(brief_client.payments.initiate([bill.utility_enkash_id])), OutcomeUnknownError)
    assert sandbox.counts["initiate_payment"] == 1


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_a_call_of_the_users_own_with_an_unclear_end_is_said_to_be_unknown(
    sandbox: Sandbox, client: EnkashClient, method: str
) -> None:
    """The client sends `client.request` once, because it may change anything."""
    sandbox.faults.add("initiate_payment", FaultKind.DROP_AFTER, times=None)
    problem = await _error(client.request(method, "api", "v0", "payment", json={"a": 1}))
    if method == "POST":  # the only one of them that the sandbox routes there
        assert isinstance(problem, OutcomeUnknownError)
        assert "find out with EnKash" in str(problem)
        assert sandbox.counts["initiate_payment"] == 1


async def test_a_refused_write_is_refused_and_not_unknown(sandbox: Sandbox, client: EnkashClient) -> None:
    """The client raises the 429 without a repeat, because EnKash did nothing."""
    sandbox.faults.add("add_bill", FaultKind.RATE_LIMITED, times=None, retry_after=7)
    problem = await _error(client.bills.create(2001, CN, bill_amount=10))
    assert isinstance(problem, RateLimitError)
    assert problem.retry_after == 7
    assert sandbox.counts["add_bill"] == 1
    assert sandbox.counts["bill_by_reference"] == 0  # there is nothing to look for


async def test_a_write_that_was_not_sent_is_repeated(unused_tcp_port: int) -> None:
    """The client connects again, since nothing was sent; the last error says so."""
    async with EnkashClient(
        f"http://127.0.0.1:{unused_tcp_port}", tokens=StaticTokenProvider("t"), retry=EAGER
    ) as client:
        problem = await _error(client.bills.create(2001, CN, bill_amount=10))
    assert isinstance(problem, TransportError)
    assert problem.sent is False


# --- writes that may be repeated --------------------------------------------------------------------------------------

#: As EAGER, and with `writes` on.
BOLD = attrs.evolve(EAGER, writes=True, max_retry_after=0.1)

AWAY = reply(b"", "503 Service Unavailable", "Retry-After: 0")
SLOW_DOWN = reply(b"", "429 Too Many Requests", "Retry-After: 0")
ABSENT = reply(b'{"response_code":1,"payload":"No utility payment found"}', "400 Bad Request")
USED = reply(b'{"response_code":38,"response_message":"Duplicate"}', "400 Bad Request")
MADE = reply(
    b'{"response_code":0,"payload":{"utilityEnkashId":"U-1","referenceId":"r","amount":10,"consumerNumber":"CN123456789"'
    b',"companyBiller":{"biller":{"billerId":2001}}}}'
)


def _replies(*answers: bytes, reads: bytes | None = None) -> Handler:
    """Give the answers in turn and repeat the last one; reads get an answer of their own."""
    left = list(answers)

    async def answer(server: RawServer, reader: Reader, writer: Writer) -> None:
        while True:
            request = await server.read_request(reader)
            is_read = reads is not None and request.startswith(b"GET ")
            writer.write(reads if is_read and reads is not None else left.pop(0) if len(left) > 1 else left[0])

    return answer


def _writes(server: RawServer) -> list[bytes]:
    return [request for request in server.requests if not request.startswith(b"GET ")]


@pytest.fixture
async def bold(sandbox: Sandbox) -> AsyncIterator[EnkashClient]:
    """A client that repeats writes where the policy allows it."""
    async with EnkashClient.from_credentials(sandbox.base_url, sandbox.credentials, retry=BOLD) as made:
        yield made


REFUSING = [FaultKind.RATE_LIMITED, FaultKind.UNAVAILABLE]


@pytest.mark.parametrize("kind", REFUSING)
async def test_with_writes_a_call_that_was_sent_away_is_repeated(
    sandbox: Sandbox, bold: EnkashClient, kind: FaultKind
) -> None:
    """The client repeats any write after a 429, or after a 503 that names a time; only `confirm_debit` never."""
    fetched = await bold.bills.fetch_current(2001, CN)
    for route in ("create_bill", "add_bill", "initiate_payment"):
        sandbox.faults.add(route, kind, times=2, retry_after=0)
    bill = await bold.bills.create_from_fetch(fetched)
    other = await bold.bills.create(2001, CN, bill_amount=10)
    assert (bill.recovered, other.recovered) == (False, False)
    await bold.payments.initiate([other.utility_enkash_id])
    sandbox.faults.add("initiate_payment", kind, times=2, retry_after=0)
    body = {"paymentIds": [bill.utility_enkash_id], "paymentType": "UTILITY"}
    await bold.request("POST", "api", "v0", "payment", json=body)
    assert [sandbox.counts[route] for route in ("create_bill", "add_bill", "initiate_payment")] == [3, 3, 6]


async def test_with_writes_a_503_without_a_time_is_not_repeated(sandbox: Sandbox, bold: EnkashClient) -> None:
    """The client sends once, because a gateway's 503 may hide a write that was done."""
    sandbox.faults.add("add_bill", FaultKind.UNAVAILABLE, times=None)
    assert isinstance(await _error(bold.bills.create(2001, CN, bill_amount=10)), OutcomeUnknownError)
    assert sandbox.counts["add_bill"] == 1


@pytest.mark.parametrize("kind", [kind for kind in UNCLEAR if kind is not FaultKind.SLOW])
async def test_with_writes_an_unclear_end_is_not_repeated_either(
    sandbox: Sandbox, bold: EnkashClient, kind: FaultKind
) -> None:
    """The client repeats a write after those two answers and no other."""
    sandbox.faults.add("initiate_payment", kind, times=None, delay=0)
    call = bold.request("POST", "api", "v0", "payment", json={"paymentIds": []})
    assert isinstance(await _error(call), OutcomeUnknownError)
    assert sandbox.counts["initiate_payment"] == 1


@pytest.mark.parametrize("kind", REFUSING)
async def test_with_writes_a_confirmation_is_sent_once(sandbox: Sandbox, kind: FaultKind) -> None:
    """The client leaves it unclear: EnKash may have debited, and nothing keeps a second confirmation from doing so."""
    sandbox.faults.add("confirm_debit", kind, times=2, retry_after=0)
    retry = attrs.evolve(BOLD, settle=0.0)
    async with EnkashClient.from_credentials(sandbox.base_url, sandbox.credentials, retry=retry) as client:
        bill = await client.bills.create(2001, CN, bill_amount=10)
        error = await _error(client.payments.confirm_debit([bill.utility_enkash_id]))
    assert isinstance(error, OutcomeUnknownError)
    assert sandbox.counts["confirm_debit"] == 1


async def test_with_writes_a_429_to_the_end_is_a_429(sandbox: Sandbox, bold: EnkashClient) -> None:
    """The client raises the 429, because EnKash refused every attempt and nothing is unknown."""
    sandbox.faults.add("add_bill", FaultKind.RATE_LIMITED, times=None, retry_after=0)
    assert isinstance(await _error(bold.bills.create(2001, CN, bill_amount=10)), RateLimitError)
    assert sandbox.counts["add_bill"] == 3


@pytest.mark.parametrize("kind", REFUSING)
async def test_with_writes_a_long_retry_after_is_not_waited_for(
    sandbox: Sandbox, bold: EnkashClient, kind: FaultKind
) -> None:
    """The client raises at once, as for reads; after a 503 it looks the outcome up first."""
    sandbox.faults.add("initiate_payment", kind, times=None, retry_after=3600)
    problem = await _error(bold.payments.initiate(["U-1"]))
    assert isinstance(problem, RateLimitError if kind is FaultKind.RATE_LIMITED else OutcomeUnknownError)
    assert sandbox.counts["initiate_payment"] == 1


CALLS: dict[str, Callable[[EnkashClient], Any]] = {
    "create": lambda client: client.bills.create(2001, CN, bill_amount=10, reference_id="r"),
    "initiate": lambda client: client.payments.initiate(["U-1"]),
    "request": lambda client: client.request("POST", "x"),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("last", "attempts"),
    [
        pytest.param(AWAY, 3, id="503 to the end"),
        pytest.param(SLOW_DOWN, 3, id="429 to the end"),
        pytest.param(reply(b"", "429 Too Many Requests", "Retry-After: 3600"), 2, id="a long 429"),
        pytest.param(reply(b'{"response_code":1}', "400 Bad Request"), 2, id="400"),
        pytest.param(reply(b"", "403 Forbidden"), 2, id="403"),
        pytest.param(reply(b"", "404 Not Found"), 2, id="404"),
        pytest.param(ABSENT, 2, id="no such bill"),
        pytest.param(reply(b'{"response_code":1}', "422 Unprocessable"), 2, id="422"),
        pytest.param(reply(b'{"response_code":36}', "400 Bad Request"), 2, id="velocity"),
        pytest.param(reply(b'{"response_code":1}'), 2, id="refused in a 200"),
    ],
)
async def test_with_writes_an_unclear_attempt_stays_unclear(call: str, last: bytes, attempts: int) -> None:
    """The outcome stays unknown with the first failure as its cause, whatever later attempts return."""
    async with raw_server(_replies(AWAY, last, reads=ABSENT)) as server:
        async with EnkashClient(server.base_url, tokens=StaticTokenProvider("t"), retry=BOLD) as client:
            problem = await _error(CALLS[call](client))
    assert isinstance(problem, OutcomeUnknownError)
    assert isinstance(problem.__cause__, ServerError)
    assert len(_writes(server)) == attempts


class Forgetful:
    """A provider that gives one token and then fails."""

    def __init__(self, failure: EnkashError) -> None:
        self._failure = failure
        self._given = 0

    async def get_token(self, *, rejected: Token | None = None) -> Token:
        self._given += 1
        if self._given > 1:
            raise self._failure.copy()
        return Token("t", math.inf)

    async def aclose(self) -> None:
        """There is nothing to close."""


@pytest.mark.parametrize(
    "failure",
    [TokenEndpointError("away"), TokenEndpointError("x", counted=True), CredentialsRejectedError("no")],
    ids=repr,
)
async def test_with_writes_a_token_that_is_missing_later_does_not_make_it_known(failure: EnkashError) -> None:
    """The first attempt may have arrived, although the later one was never sent."""
    async with raw_server(_replies(AWAY)) as server:
        async with EnkashClient(server.base_url, tokens=Forgetful(failure), retry=BOLD) as client:
            problem = await _error(client.payments.initiate(["U-1"]))
    assert isinstance(problem, OutcomeUnknownError)
    assert isinstance(problem.__cause__, ServerError)
    assert len(server.requests) == 1


async def test_with_writes_an_unclear_attempt_is_forgotten_once_a_later_one_is_done() -> None:
    """A create that fails and then succeeds returns its bill without the mark `recovered`."""
    async with raw_server(_replies(AWAY, MADE)) as server:
        async with EnkashClient(server.base_url, tokens=StaticTokenProvider("t"), retry=BOLD) as client:
            bill = await client.bills.create(2001, CN, bill_amount=10, reference_id="r")
    assert (bill.utility_enkash_id, bill.recovered) == ("U-1", False)


async def test_with_writes_a_bill_of_the_attempt_before_is_found_by_its_reference() -> None:
    """EnKash reports the reference as used, and the client finds the first attempt's bill."""
    async with raw_server(_replies(AWAY, USED, reads=MADE)) as server:
        async with EnkashClient(server.base_url, tokens=StaticTokenProvider("t"), retry=BOLD) as client:
            bill = await client.bills.create(2001, CN, bill_amount=10, reference_id="r")
    assert (bill.utility_enkash_id, bill.recovered) == ("U-1", True)
    assert len(_writes(server)) == 2


async def test_with_writes_a_used_reference_that_cannot_be_looked_up_is_unknown() -> None:
    """The outcome is unknown, because the attempt before may have used the reference."""
    async with raw_server(_replies(AWAY, USED, reads=reply(b"", "502 Bad Gateway"))) as server:
        async with EnkashClient(server.base_url, tokens=StaticTokenProvider("t"), retry=BOLD) as client:
            problem = await _error(client.bills.create(2001, CN, bill_amount=10, reference_id="r"))
    assert isinstance(problem, OutcomeUnknownError)
    assert problem.reference_id == "r"


async def test_with_writes_a_used_reference_of_a_call_of_the_users_own_is_unknown() -> None:
    """The outcome is unknown, because the client cannot look up a call of the user's own."""
    async with raw_server(_replies(AWAY, USED)) as server:
        async with EnkashClient(server.base_url, tokens=StaticTokenProvider("t"), retry=BOLD) as client:
            assert isinstance(await _error(client.request("POST", "x")), OutcomeUnknownError)


# --- the gate ---------------------------------------------------------------------------------------------------------


class _Gated(Transport):
    """A transport whose gate runs on the test's clock."""

    def __init__(self, base_url: str, time: Time, limits: Limits = Limits()) -> None:
        super().__init__(base_url)
        self._own = Gate(limits, clock=time, sleep=time.sleep)

    def gate(self) -> Gate:
        return self._own


class Punctual:
    """A provider that records when it is asked for a token."""

    def __init__(self, time: Time) -> None:
        self._time = time
        self.asked: list[float] = []

    async def get_token(self, *, rejected: Token | None = None) -> Token:
        self.asked.append(self._time.now)
        return Token("t", math.inf)

    async def aclose(self) -> None:
        """There is nothing to close."""


ONCE = RetryPolicy(attempts=1, backoff=3, max_retry_after=60)
FINE = reply(b'{"response_code":0}')


@pytest.mark.parametrize(
    ("header", "pause"),
    [
        (("Retry-After: 7",), 7),
        (("Retry-After: 60",), 60),
        (("Retry-After: 3600",), 60),
        ((), 3),
        (("Retry-After: soon",), 3),
        (("Retry-After: 0",), 0),
    ],
)
async def test_a_429_holds_up_the_other_requests_of_the_client(header: tuple[str, ...], pause: float) -> None:
    """All requests wait for the seconds of the 429, within bounds, or for `backoff` where it names none."""
    time = Time()
    async with raw_server(_replies(reply(b"", "429 Too Many Requests", *header), FINE)) as server:
        transport = _Gated(server.base_url, time)
        pipeline = Pipeline(transport, StaticTokenProvider("t"), ONCE)
        assert isinstance(await _error(pipeline(_read("/x"))), RateLimitError)
        await asyncio.gather(*(pipeline(_read("/x")) for _ in range(5)))
        assert time.slept == ([pause] if pause else [])
        await transport.aclose()
    assert len(server.requests) == 6


@pytest.mark.parametrize("answer", [AWAY, reply(b"", "502 Bad Gateway"), reply(b"", "400 Bad Request"), FINE])
async def test_no_other_answer_holds_up_the_client(answer: bytes) -> None:
    """A 503 is about one route or gateway; only a 429 is about the account's limits."""
    time = Time()
    async with raw_server(_replies(answer)) as server:
        transport = _Gated(server.base_url, time)
        pipeline = Pipeline(transport, StaticTokenProvider("t"), ONCE)
        await asyncio.gather(*(pipeline(_read("/x")) for _ in range(3)), return_exceptions=True)
        await transport.aclose()
    assert len(server.requests) == 3
    assert time.slept == []


async def test_a_token_is_asked_for_when_the_wait_is_over() -> None:
    """The client asks after the wait, because an earlier token could expire during it."""
    time, limits = Time(), Limits(rate=0.01)
    tokens = Punctual(time)
    async with raw_server(_replies(FINE)) as server:
        transport = _Gated(server.base_url, time, limits)
        pipeline = Pipeline(transport, tokens, ONCE)
        await asyncio.gather(*(pipeline(_read("/x")) for _ in range(3)))
        await transport.aclose()
    assert tokens.asked == [1000, 1100, 1200]


async def test_sending_again_after_a_401_waits_for_its_turn_too() -> None:
    """The rate limit holds the second request back for its full 100 seconds."""
    time = Time()
    tokens = Punctual(time)
    async with raw_server(_replies(reply(b"", "401 Unauthorized"), FINE)) as server:
        transport = _Gated(server.base_url, time, Limits(rate=0.01))
        await Pipeline(transport, tokens, ONCE)(_read("/x"))
        await transport.aclose()
    assert tokens.asked == [1000, 1100]
    assert len(server.requests) == 2


async def test_no_more_requests_are_in_flight_than_the_limit_says() -> None:
    """The other requests wait until one is answered, and all of them are sent."""
    in_flight: list[int] = []
    inside = 0

    async def answer(server: RawServer, reader: Reader, writer: Writer) -> None:
        nonlocal inside
        while True:
            await server.read_request(reader)
            inside += 1
            in_flight.append(inside)
            await asyncio.sleep(0.01)
            inside -= 1
            writer.write(FINE)

    async with raw_server(answer) as server:
        limits = Limits(concurrency=3)
        async with EnkashClient(server.base_url, tokens=StaticTokenProvider("t"), limits=limits) as client:
            await asyncio.gather(*(client.request("GET", "x") for _ in range(12)))
    assert (max(in_flight), len(in_flight)) == (3, 12)


@pytest.mark.parametrize("from_env", [False, True])
async def test_requests_begin_at_the_rate_of_the_limits(sandbox: Sandbox, from_env: bool) -> None:
    """The client sends a burst of two and then one after the other, whichever constructor made it."""
    limits = Limits(rate=100, burst=2)
    made = (
        EnkashClient.from_env(sandbox.environ(), limits=limits)
        if from_env
        else EnkashClient.from_credentials(sandbox.base_url, sandbox.credentials, limits=limits)
    )
    async with made as client:
        began = time.monotonic()
        await asyncio.gather(*(client.billers.list_categories() for _ in range(7)))
        assert time.monotonic() - began >= 5 / 100
    assert sandbox.counts["biller_categories"] == 7


# --- large replies ----------------------------------------------------------------------------------------------------


def _page(count: int, odd: int | None = None) -> bytes:
    """Return the body of a page of bills, one of which may have an unreadable amount."""
    bills = (
        f'{{"utilityEnkashId":"U-{number}","referenceId":"ref-{number}","billDate":"2025-05-10","billpayStatus":"SUCCESS",'
        f'"amount":{chr(34) + "hush" + chr(34) if number == odd else f"{number}.70"},"remarks":"{"x" * 100}",'
        f'"createdDate":"2025-06-02T14:24:14.670Z","companyBiller":{{"biller":{{"billerId":2001}}}}}}'
        for number in range(count)
    )
    return f'{{"response_code":0,"response_message":"Success","payload":[{",".join(bills)}]}}'.encode()


LARGE = 5000
LARGE_PAGE = _page(LARGE)
EXPECTED = [f"U-{number} {number}.70 PAID" for number in range(LARGE)]
SEARCH: Operation[list[Bill]] = Operation(
    name="bills.search", request=Request(method="POST", path="/x"), result=list[Bill], effect=Effect.READ
)


def _said(bills: Any) -> list[str]:
    return [f"{bill.utility_enkash_id} {bill.amount} {bill.outcome}" for bill in bills]


async def _decoded(body: bytes, gate: Gate | None = None) -> Any:
    response = Response(status=200, headers={}, body=body)
    return await (
        decoded(SEARCH, response) if gate is None else decoded(SEARCH, response, decode_lock=gate.decode_lock)
    )


class Bystander(logging.Handler):
    """Another task of the same loop.

    Attributes:
        turns: How many turns it got since a reply has arrived, which the log tells.
        then: What it does at its turn of a number.
    """

    def __init__(self) -> None:
        super().__init__()
        self.turns = -math.inf
        self.then: dict[float, Callable[[], object]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        if ": HTTP 200 in " in record.getMessage():
            self.turns = 0

    async def run(self) -> None:
        while True:
            await asyncio.sleep(0)
            self.turns += 1
            self.then.pop(self.turns, bool)()


@pytest.fixture
async def bystander(caplog: pytest.LogCaptureFixture) -> AsyncIterator[Bystander]:
    made, log = Bystander(), logging.getLogger("enkash_async")
    task = asyncio.create_task(made.run())
    log.addHandler(made)
    with caplog.at_level(logging.DEBUG, "enkash_async"):
        yield made
    log.removeHandler(made)
    task.cancel()


@asynccontextmanager
async def _served(*answers: bytes) -> AsyncIterator[EnkashClient]:
    """Yield a client of a server that gives these answers."""
    async with raw_server(_replies(*answers)) as server:
        async with EnkashClient(server.base_url, tokens=StaticTokenProvider("s3cr3t")) as client:
            yield client


async def _first_page(client: EnkashClient) -> list[Bill]:
    return await anext(client.bills.search(BillFilter(), page_size=LARGE).pages())


async def test_a_large_page_lets_others_have_their_turn(bystander: Bystander, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tasks run many times while five thousand bills are read, right and in order."""
    async with _served(reply(LARGE_PAGE)) as client:
        assert _said(await _first_page(client)) == EXPECTED
        assert bystander.turns >= LARGE / 100 + len(LARGE_PAGE) / 100_000
        monkeypatch.setattr(pipeline, "SLICED_FROM", math.inf)
        assert _said(await _first_page(client)) == EXPECTED
        assert bystander.turns < 10


async def test_a_small_reply_is_read_at_once(bystander: Bystander) -> None:
    """The client reads a small reply without a pause, which would only lengthen the call."""
    small, large = _page(500), _page(1200)
    assert len(small) < SLICED_FROM < len(large)
    for body, bills, least, most in ((small, 500, 0, 0), (large, 1200, 12, 100)):
        bystander.turns = 0
        assert _said(await _decoded(body)) == EXPECTED[:bills]
        assert least <= bystander.turns <= most


async def test_large_pages_that_arrive_together_are_read_one_after_the_other(bystander: Bystander) -> None:
    """Each page is read whole before the next, which bounds the memory and the wait for the first."""
    gate, done = Gate(Limits()), list[float]()

    async def read(count: int) -> None:
        assert _said(await _decoded(_page(count), gate)) == EXPECTED[:count]
        done.append(bystander.turns)

    bystander.turns = 0
    await asyncio.gather(*(read(count) for count in (1400, 1401, 1402)))
    assert done[1] > 1.5 * done[0]
    assert done[2] > 2.5 * done[0]


@pytest.mark.parametrize("doomed", [0, 1, 2])
async def test_who_is_cancelled_before_or_while_its_page_is_read_holds_up_nobody(
    bystander: Bystander, doomed: int
) -> None:
    """Cancelling one of three readers, active or waiting, does not stop the other two."""
    gate, body = Gate(Limits()), _page(1400)
    calls = [asyncio.create_task(_decoded(body, gate)) for _ in range(3)]
    bystander.turns = 0
    bystander.then[5] = calls[doomed].cancel
    found = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(found.pop(doomed), asyncio.CancelledError)
    assert [_said(page) for page in found] == [EXPECTED[:1400]] * 2


@pytest.mark.parametrize("index", [2500, LARGE - 1])
async def test_an_unreadable_bill_of_a_large_page_takes_no_other_with_it(index: int) -> None:
    """It says which member cannot be read, and no debit depends on it."""
    async with _served(reply(_page(LARGE, index))) as client:
        page = await _first_page(client)
        assert len(page) == LARGE
        assert [at for at, bill in enumerate(page) if bill.unreadable] == [index]
        assert page[index].unreadable[0].startswith("amount")
        assert page[index].debit_confirmed is None


async def test_a_large_page_that_breaks_off_is_no_page() -> None:
    """The client raises and returns no bill of a truncated page."""
    async with _served(reply(LARGE_PAGE[:-2])) as client:
        problem = await _error(_first_page(client))
        assert isinstance(problem, ResponseDecodeError)
        assert "not JSON" in str(problem)


@pytest.mark.parametrize("turn", [1, 5, 12, 40])
async def test_cancelling_in_the_middle_of_a_large_page_is_heeded(bystander: Bystander, turn: int) -> None:
    """The read ends at the next slice, and the client serves the next call."""
    async with _served(reply(LARGE_PAGE)) as client:
        call = asyncio.create_task(_first_page(client))
        bystander.then[turn] = call.cancel
        with pytest.raises(asyncio.CancelledError):
            await call
        assert turn <= bystander.turns <= turn + 5
        assert _said(await _first_page(client)) == EXPECTED


def _bills_in_memory() -> int:
    gc.collect()
    return sum(type(item) is Bill for item in gc.get_objects())


async def test_cancelling_in_the_middle_of_a_large_page_shows_no_token_and_keeps_no_bill(bystander: Bystander) -> None:
    """The error's frames hold neither token nor bill, because crash reports show their locals."""
    async with _served(reply(LARGE_PAGE)) as client:
        before = _bills_in_memory()  # of other tests
        call = asyncio.create_task(_first_page(client))
        bystander.then[40] = call.cancel
        with pytest.raises(asyncio.CancelledError) as caught:
            await call
        assert _bills_in_memory() <= before
    assert "s3cr3t" not in shown(caught.value)
    assert "U-1" not in shown(caught.value)


# --- pauses -----------------------------------------------------------------------------------------------------------


class _Pauses:
    """A sleep that records the pauses it is asked for."""

    def __init__(self) -> None:
        self.taken: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.taken.append(seconds)


def _read(to: str) -> Operation[object]:
    return Operation(name="t", request=Request(method="GET", path=to), result=object, effect=Effect.READ)


async def test_pauses_follow_the_policy_and_retry_after(sandbox: Sandbox) -> None:
    """A pause has full jitter below a doubling bound and is never shorter than `Retry-After`."""
    pauses = _Pauses()
    transport = Transport(sandbox.base_url)
    tokens = InMemoryTokenProvider(PasswordGrant(sandbox.base_url, sandbox.credentials))
    policy = RetryPolicy(attempts=4, backoff=1, max_backoff=100)
    pipeline = Pipeline(transport, tokens, policy, sleep=pauses, random=lambda: 0.5)
    sandbox.faults.add("billers", FaultKind.BAD_GATEWAY, times=2)
    sandbox.faults.add("billers", FaultKind.UNAVAILABLE, times=1, retry_after=33)
    await pipeline(_read("/api/v2/biller"))
    assert pauses.taken == [0.5, 1.0, 33]
    await transport.aclose()


async def test_a_long_retry_after_is_raised_at_once(sandbox: Sandbox) -> None:
    """The caller gets the error with the seconds and does not wait for an hour."""
    pauses = _Pauses()
    transport = Transport(sandbox.base_url)
    tokens = InMemoryTokenProvider(PasswordGrant(sandbox.base_url, sandbox.credentials))
    pipeline = Pipeline(transport, tokens, RetryPolicy(), sleep=pauses)
    sandbox.faults.add("billers", FaultKind.RATE_LIMITED, times=None, retry_after=3600)
    problem = await _error(pipeline(_read("/api/v2/biller")))
    assert isinstance(problem, RateLimitError)
    assert problem.retry_after == 3600
    assert pauses.taken == []
    await transport.aclose()


# --- tokens -----------------------------------------------------------------------------------------------------------


async def test_fifty_cold_calls_make_one_login(sandbox: Sandbox, client: EnkashClient) -> None:
    """Fifty calls that need a token at the same moment share one login."""
    bills = await asyncio.gather(*(client.billers.list_categories() for _ in range(50)))
    assert len(bills) == 50
    assert sandbox.counts["token"] == 1


async def test_fifty_calls_on_a_revoked_token_make_one_more_login(sandbox: Sandbox, client: EnkashClient) -> None:
    """Fifty 401s lead to one renewal that all calls share."""
    await client.billers.list_categories()
    sandbox.revoke_tokens()
    await asyncio.gather(*(client.billers.list_categories() for _ in range(50)))
    assert sandbox.counts["token"] == 2


async def test_a_401_on_a_write_is_sent_again_with_a_new_token(sandbox: Sandbox, client: EnkashClient) -> None:
    """The client repeats the write, because EnKash did nothing with a refused token."""
    await client.billers.list_categories()
    sandbox.revoke_tokens()
    bill = await client.bills.create(2001, CN, bill_amount=10)
    assert bill.amount == 10
    assert sandbox.counts["add_bill"] == 2
    assert sandbox.counts["token"] == 2


async def test_a_second_401_is_an_authentication_error(sandbox: Sandbox, client: EnkashClient) -> None:
    """The client renews once, and a call within seconds makes no login."""
    sandbox.faults.add("billers", FaultKind.UNAUTHORIZED, times=None)
    first = await _error(anext(aiter(client.billers.list())))
    assert isinstance(first, AuthenticationError)
    assert (sandbox.counts["billers"], sandbox.counts["token"]) == (2, 2)
    second = await _error(anext(aiter(client.billers.list())))
    assert isinstance(second, AuthenticationError)
    assert (sandbox.counts["billers"], sandbox.counts["token"]) == (3, 2)


async def test_a_fixed_token_that_is_refused_is_an_authentication_error(sandbox: Sandbox) -> None:
    """The client raises, because a static provider cannot renew its token."""
    async with EnkashClient(sandbox.base_url, tokens=StaticTokenProvider("wrong")) as client:
        assert isinstance(await _error(client.bills.get("U-1")), AuthenticationError)


async def test_fifty_callers_with_a_wrong_password_make_one_attempt(sandbox: Sandbox) -> None:
    """Every caller gets an error, one attempt is made, and the account stays open."""
    wrong = attrs.evolve(sandbox.credentials, password="wrong-password")
    async with EnkashClient.from_credentials(sandbox.base_url, wrong) as client:
        calls = (client.bills.get("U-1") for _ in range(50))
        failures = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(failure) for failure in failures} == {CredentialsRejectedError}
        assert len({id(failure) for failure in failures}) == 50
        assert isinstance(await _error(client.bills.get("U-1")), LoginGuardError)
    assert sandbox.counts["token"] == 1
    async with EnkashClient.from_credentials(sandbox.base_url, sandbox.credentials) as client:
        await client.billers.list_categories()


async def test_a_password_that_stops_working_is_told_as_such(sandbox: Sandbox) -> None:
    """The caller hears that EnKash refused the credentials, not of the 401 before."""

    class Fails:
        async def get_token(self, *, rejected: Token | None = None) -> Token:
            if rejected is not None:
                raise CredentialsRejectedError("no", status=401)
            return Token("stale", 60.0)

        async def aclose(self) -> None:
            return None

    async with EnkashClient(sandbox.base_url, tokens=Fails()) as client:
        assert isinstance(await _error(client.bills.get("U-1")), CredentialsRejectedError)


async def test_a_login_that_fails_for_a_transient_reason_is_repeated(sandbox: Sandbox) -> None:
    """A create waits for the cooldown and goes on, because nothing was sent yet."""
    pauses = _Pauses()
    now = time.monotonic()

    def clock() -> float:
        return now + sum(pauses.taken)

    transport = Transport(sandbox.base_url)
    grant = PasswordGrant(sandbox.base_url, sandbox.credentials, clock=clock)
    tokens = StoreTokenProvider(grant, MemoryStore(clock=clock), clock=clock)
    pipeline = Pipeline(transport, tokens, RetryPolicy(), sleep=pauses)
    sandbox.faults.add("token", FaultKind.RATE_LIMITED, times=1, retry_after=9)
    await pipeline(_read("/api/v2/biller"))
    assert sandbox.counts["token"] == 2
    assert sum(pauses.taken) >= 9
    await transport.aclose()


async def test_a_login_that_may_have_been_counted_is_not_repeated(sandbox: Sandbox) -> None:
    """The client makes one login, because repeated logins lock an account."""
    sandbox.faults.add("token", FaultKind.DROP_AFTER, times=None)
    async with EnkashClient.from_credentials(sandbox.base_url, sandbox.credentials, retry=EAGER) as client:
        problem = await _error(client.billers.list_categories())
    assert isinstance(problem, TokenEndpointError)
    assert problem.counted
    assert sandbox.counts["token"] == 1


async def test_cancelling_nineteen_of_twenty_leaves_the_twentieth(sandbox: Sandbox, client: EnkashClient) -> None:
    """The last of twenty callers gets the token of the shared login and its answer."""
    sandbox.faults.add("token", FaultKind.SLOW, delay=0.2)
    tasks = [asyncio.create_task(client.billers.list_categories()) for _ in range(20)]
    while not sandbox.counts["token"]:
        await asyncio.sleep(0.001)
    for task in tasks[:19]:
        task.cancel()
    assert await tasks[19]
    results = await asyncio.gather(*tasks[:19], return_exceptions=True)
    assert all(isinstance(result, asyncio.CancelledError) for result in results)
    assert sandbox.counts["token"] == 1


async def test_no_dead_token_is_sent_under_load() -> None:
    """Eight workers over ten token lifetimes see no 401 and make one login a lifetime at most."""
    now = 1000.0

    def clock() -> float:
        return now

    statuses: list[int] = []

    async def note(*args: Any) -> None:
        statuses.append(args[2].response.status)

    trace = aiohttp.TraceConfig()
    trace.on_request_end.append(note)
    async with (
        Sandbox(token_lifetime=4.0, clock=clock) as sandbox,
        aiohttp.ClientSession(trace_configs=[trace]) as session,
    ):
        grant = PasswordGrant(sandbox.base_url, sandbox.credentials, clock=clock)
        tokens = InMemoryTokenProvider(grant, clock=clock)
        async with EnkashClient(sandbox.base_url, tokens=tokens, session=session) as client:

            async def work() -> None:
                nonlocal now
                for _ in range(100):
                    await client.billers.list_categories()
                    now += 0.05

            await asyncio.gather(*(work() for _ in range(8)))
        assert set(statuses) == {200}
        assert len(statuses) == 800
        assert 10 <= sandbox.counts["token"] <= 40 / 2 + 1  # a renewal begins two seconds before the end


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b'[{"error":"upstream refused"}]',
        b'{"response_code":0,"response_message":"FAILURE"}',
        b'{"response_code":202,"response_message":"Accepted"}',
        b'{"response_code":2,"response_message":"PENDING"}',
        b'{"response_code":408}',
        b'{"response_code":503}',
        b'{"ok":true}',
    ],
)
async def test_a_strange_success_of_a_write_is_unknown(body: bytes) -> None:
    """A reply that EnKash does not document is neither done nor refused, in a look-up too."""
    async with raw_server(_replies(reply(body))) as server:
        async with EnkashClient(server.base_url, tokens=StaticTokenProvider("t"), retry=EAGER) as client:
            for call in (
                client.payments.confirm_debit(["U-1"], check_first=False),
                client.payments.initiate(["U-1"]),
                client.bills.create(2001, CN, bill_amount=10),
            ):
                assert isinstance(await _error(call), OutcomeUnknownError)
    assert len(_writes(server)) == 3


async def test_a_provider_that_fails_with_an_error_of_its_own_is_a_token_error() -> None:
    """The error has the provider's exception as its cause, and nothing was sent."""

    class Broken:
        async def get_token(self, *, rejected: Token | None = None) -> Token:
            raise KeyError("vault")

        async def aclose(self) -> None:
            return None

    async with EnkashClient("https://127.0.0.1:9", tokens=Broken()) as client:
        problem = await _error(client.bills.get("U-1"))
    assert type(problem) is TokenError
    assert isinstance(problem.__cause__, KeyError)


async def test_a_call_of_a_closed_client_says_so(sandbox: Sandbox) -> None:
    """The caller gets a `ConfigurationError` in place of aiohttp's `RuntimeError`."""
    client = EnkashClient.from_credentials(sandbox.base_url, sandbox.credentials)
    await client.aclose()
    assert isinstance(await _error(client.billers.list_categories()), ConfigurationError)


async def test_the_pipeline_raises_what_enkash_says(client: EnkashClient) -> None:
    """The error for an unknown biller is a 400 with EnKash's words."""
    problem = await _error(client.bills.fetch_current(999_999, CN))
    assert isinstance(problem, BadRequestError)
    assert (problem.status, problem.method, problem.path) == (400, "POST", "/api/v2/biller/fetchOrAddBill")
