"""One call from end to end: tokens, repeating, and what is never repeated."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
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
    LoginGuardError,
    OutcomeUnknownError,
    PasswordGrant,
    RateLimitError,
    ResponseDecodeError,
    RetryPolicy,
    ServerError,
    StaticTokenProvider,
    Timeouts,
    Token,
    TokenEndpointError,
    TokenError,
    TransportError,
)
from enkash_async._pipeline import Pipeline
from enkash_async._transport import Transport
from enkash_async._wire import Effect, Operation, Request
from enkash_async.sandbox import FaultKind, Sandbox

from support import EAGER, RawServer, Reader, Writer, raw_server, reply

CN = {"cn": "CN123456789"}
BRIEF = Timeouts(total=0.3)


@pytest.fixture
async def hasty(sandbox: Sandbox) -> AsyncIterator[EnkashClient]:
    """A client that gives up soon."""
    async with EnkashClient.from_credentials(sandbox.base_url, sandbox.credentials, retry=EAGER, timeout=BRIEF) as made:
        yield made


async def _bill(client: EnkashClient, reference: str = "ref-1") -> Bill:
    return await client.bills.create_from_fetch(await client.bills.fetch_current(2001, CN), reference_id=reference)


async def _error(call: Any) -> EnkashError:
    with pytest.raises(EnkashError) as caught:
        await call
    return caught.value


# --- reads ------------------------------------------------------------------------------------------------------------

PASSING = [
    FaultKind.RATE_LIMITED,
    FaultKind.BAD_GATEWAY,
    FaultKind.UNAVAILABLE,
    FaultKind.DROP_BEFORE,
    FaultKind.DROP_AFTER,
    FaultKind.TRUNCATED,
]


@pytest.mark.parametrize("kind", PASSING)
async def test_a_read_is_repeated_after_a_passing_fault(
    sandbox: Sandbox, client: EnkashClient, kind: FaultKind
) -> None:
    """Two faults in a row, and the third attempt brings the bill."""
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
async def test_each_lasting_fault_has_its_own_error_on_a_read(
    sandbox: Sandbox, hasty: EnkashClient, kind: FaultKind, expected: type[EnkashError], route: str
) -> None:
    """The fault never ends, so the error of its kind is raised once the attempts are used up."""
    sandbox.faults.add(route, kind, times=None, delay=5, retry_after=0)
    calls: dict[str, Callable[[], Any]] = {
        "billers": lambda: anext(aiter(hasty.billers.list())),
        "biller_categories": hasty.billers.list_categories,
        "fetch_bill": lambda: hasty.bills.fetch_current(2001, CN),
        "bill": lambda: hasty.bills.get("U-1"),
        "bill_by_reference": lambda: hasty.bills.get_by_reference("R-1"),
        "search_bills": lambda: anext(aiter(hasty.bills.search(BillFilter()))),
    }
    assert type(await _error(calls[route]())) in {expected, *expected.__subclasses__()}


async def test_a_plain_500_is_not_repeated(sandbox: Sandbox, client: EnkashClient) -> None:
    """It is EnKash's own word, a failed fetch among others, and would come again."""
    sandbox.faults.add("fetch_bill", FaultKind.SERVER_ERROR, times=None)
    assert isinstance(await _error(client.bills.fetch_current(2001, CN)), ServerError)
    assert sandbox.counts["fetch_bill"] == 1


# --- writes -----------------------------------------------------------------------------------------------------------

UNCLEAR = [
    FaultKind.BAD_GATEWAY,
    FaultKind.UNAVAILABLE,
    FaultKind.SERVER_ERROR,
    FaultKind.SERVER_ERROR_AFTER,
    FaultKind.SLOW,
    FaultKind.DROP_BEFORE,
    FaultKind.DROP_AFTER,
    FaultKind.TRUNCATED,
    FaultKind.NOT_JSON,
]


@pytest.mark.parametrize("kind", UNCLEAR)
async def test_a_create_with_an_unclear_end_is_said_to_be_unknown(
    sandbox: Sandbox, hasty: EnkashClient, kind: FaultKind
) -> None:
    """Sent once, and the reference to look it up by is on the error."""
    fetched = await hasty.bills.fetch_current(2001, CN)
    calls: dict[str, Callable[[], Any]] = {
        "create_bill": lambda: hasty.bills.create_from_fetch(fetched, reference_id="ref-a"),
        "add_bill": lambda: hasty.bills.create(2001, CN, bill_amount=10, reference_id="ref-b"),
    }
    for route, call in calls.items():
        sandbox.faults.add(route, kind, times=None, delay=5)
        problem = await _error(call())
        assert isinstance(problem, OutcomeUnknownError)
        assert problem.reference_id in {"ref-a", "ref-b"}
        assert problem.reference_id in str(problem)
        assert isinstance(problem.__cause__, (ServerError, TransportError, ResponseDecodeError))
        assert sandbox.counts[route] == 1


async def test_a_reference_that_was_made_here_is_on_the_error(sandbox: Sandbox, client: EnkashClient) -> None:
    """Work that was done although the connection dropped is found again by it."""
    sandbox.faults.add("add_bill", FaultKind.DROP_AFTER)
    problem = await _error(client.bills.create(2001, CN, bill_amount=10))
    assert isinstance(problem, OutcomeUnknownError)
    assert problem.reference_id is not None
    assert (await client.bills.get_by_reference(problem.reference_id)).amount == 10


@pytest.mark.parametrize("kind", UNCLEAR)
async def test_a_confirmation_with_an_unclear_end_is_said_to_be_unknown(
    sandbox: Sandbox, hasty: EnkashClient, kind: FaultKind
) -> None:
    """Sent once, and the bills to look up are on the error."""
    bill = await _bill(hasty)
    sandbox.faults.add("confirm_debit", kind, times=None, delay=5)
    problem = await _error(hasty.payments.confirm_debit([bill.utility_enkash_id]))
    assert isinstance(problem, OutcomeUnknownError)
    assert problem.utility_enkash_ids == (bill.utility_enkash_id,)
    assert sandbox.counts["confirm_debit"] == 1


@pytest.mark.parametrize("kind", UNCLEAR)
async def test_a_gateway_payment_with_an_unclear_end_is_said_to_be_unknown(
    sandbox: Sandbox, hasty: EnkashClient, kind: FaultKind
) -> None:
    """Likewise for the payment through the gateway."""
    bill = await _bill(hasty)
    sandbox.faults.add("initiate_payment", kind, times=None, delay=5)
    assert isinstance(await _error(hasty.payments.initiate([bill.utility_enkash_id])), OutcomeUnknownError)
    assert sandbox.counts["initiate_payment"] == 1


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_a_call_of_the_users_own_with_an_unclear_end_is_said_to_be_unknown(
    sandbox: Sandbox, client: EnkashClient, method: str
) -> None:
    """`client.request` may change anything, so it is not sent again either."""
    sandbox.faults.add("confirm_debit", FaultKind.DROP_AFTER, times=None)
    problem = await _error(client.request(method, "api", "v0", "utilityPayment", "status", json={"a": 1}))
    if method == "PUT":  # the only one of them that the sandbox routes there
        assert isinstance(problem, OutcomeUnknownError)
        assert "find out with EnKash" in str(problem)
        assert sandbox.counts["confirm_debit"] == 1


async def test_a_refused_write_is_refused_and_not_unknown(sandbox: Sandbox, client: EnkashClient) -> None:
    """A 429 says that nothing was done; it is raised, not repeated."""
    sandbox.faults.add("add_bill", FaultKind.RATE_LIMITED, times=None, retry_after=7)
    problem = await _error(client.bills.create(2001, CN, bill_amount=10))
    assert isinstance(problem, RateLimitError)
    assert problem.retry_after == 7
    assert sandbox.counts["add_bill"] == 1


async def test_a_write_that_was_not_sent_is_repeated(unused_tcp_port: int) -> None:
    """No connection came about, so sending it again cannot do it twice; in the end the error says so."""
    async with EnkashClient(
        f"http://127.0.0.1:{unused_tcp_port}", tokens=StaticTokenProvider("t"), retry=EAGER
    ) as client:
        problem = await _error(client.bills.create(2001, CN, bill_amount=10))
    assert isinstance(problem, TransportError)
    assert problem.sent is False


# --- pauses -----------------------------------------------------------------------------------------------------------


class _Pauses:
    """Stands for time: keeps the pauses it was asked for."""

    def __init__(self) -> None:
        self.taken: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.taken.append(seconds)


def _read(to: str) -> Operation[object]:
    return Operation(name="t", request=Request(method="GET", path=to), result=object, effect=Effect.READ)


async def test_pauses_follow_the_policy_and_retry_after(sandbox: Sandbox) -> None:
    """Full jitter of a doubling bound, and never less than the reply asks for."""
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
    """Nobody is kept waiting for an hour; the error carries the seconds."""
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
    """All of them need a token at the same moment."""
    bills = await asyncio.gather(*(client.billers.list_categories() for _ in range(50)))
    assert len(bills) == 50
    assert sandbox.counts["token"] == 1


async def test_fifty_calls_on_a_revoked_token_make_one_more_login(sandbox: Sandbox, client: EnkashClient) -> None:
    """Each gets a 401, and together they renew the token once."""
    await client.billers.list_categories()
    sandbox.revoke_tokens()
    await asyncio.gather(*(client.billers.list_categories() for _ in range(50)))
    assert sandbox.counts["token"] == 2


async def test_a_401_on_a_write_is_sent_again_with_a_new_token(sandbox: Sandbox, client: EnkashClient) -> None:
    """A refused token means that nothing was done."""
    await client.billers.list_categories()
    sandbox.revoke_tokens()
    bill = await client.bills.create(2001, CN, bill_amount=10)
    assert bill.amount == 10
    assert sandbox.counts["add_bill"] == 2
    assert sandbox.counts["token"] == 2


async def test_a_second_401_is_an_authentication_error(sandbox: Sandbox, client: EnkashClient) -> None:
    """One renewal; the next call within seconds does not even log in again."""
    sandbox.faults.add("billers", FaultKind.UNAUTHORIZED, times=None)
    first = await _error(anext(aiter(client.billers.list())))
    assert isinstance(first, AuthenticationError)
    assert (sandbox.counts["billers"], sandbox.counts["token"]) == (2, 2)
    second = await _error(anext(aiter(client.billers.list())))
    assert isinstance(second, AuthenticationError)
    assert (sandbox.counts["billers"], sandbox.counts["token"]) == (3, 2)


async def test_a_fixed_token_that_is_refused_is_an_authentication_error(sandbox: Sandbox) -> None:
    """There is nothing to renew it with."""
    async with EnkashClient(sandbox.base_url, tokens=StaticTokenProvider("wrong")) as client:
        assert isinstance(await _error(client.bills.get("U-1")), AuthenticationError)


async def test_fifty_callers_with_a_wrong_password_make_one_attempt(sandbox: Sandbox) -> None:
    """Every caller gets an error, later ones without an attempt, and the account is not locked."""
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
    """The token is refused and so is the login: the caller hears of the credentials, not of a 401."""

    class Fails:
        async def get_token(self, *, rejected: Token | None = None) -> Token:
            if rejected is not None:
                raise CredentialsRejectedError("no", status=401)
            return Token("stale", 60.0)

        async def aclose(self) -> None:
            return None

    async with EnkashClient(sandbox.base_url, tokens=Fails()) as client:
        assert isinstance(await _error(client.bills.get("U-1")), CredentialsRejectedError)


async def test_a_login_that_fails_for_a_passing_reason_is_repeated(sandbox: Sandbox) -> None:
    """Nothing was sent yet, so even a create waits for the cooldown and goes on."""
    pauses = _Pauses()
    now = time.monotonic()

    def clock() -> float:
        return now + sum(pauses.taken)

    transport = Transport(sandbox.base_url)
    tokens = InMemoryTokenProvider(PasswordGrant(sandbox.base_url, sandbox.credentials, clock=clock), clock=clock)
    pipeline = Pipeline(transport, tokens, RetryPolicy(), sleep=pauses)
    sandbox.faults.add("token", FaultKind.UNAVAILABLE, times=1, retry_after=9)
    await pipeline(_read("/api/v2/biller"))
    assert sandbox.counts["token"] == 2
    assert sum(pauses.taken) >= 9
    await transport.aclose()


async def test_a_login_that_may_have_been_counted_is_not_repeated(sandbox: Sandbox) -> None:
    """Repeating it by itself is how an account gets locked."""
    sandbox.faults.add("token", FaultKind.DROP_AFTER, times=None)
    async with EnkashClient.from_credentials(sandbox.base_url, sandbox.credentials, retry=EAGER) as client:
        problem = await _error(client.billers.list_categories())
    assert isinstance(problem, TokenEndpointError)
    assert problem.counted
    assert sandbox.counts["token"] == 1


async def test_cancelling_nineteen_of_twenty_leaves_the_twentieth(sandbox: Sandbox, client: EnkashClient) -> None:
    """They wait for one login; the last one gets its token and its answer."""
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
    """Tokens of four seconds, eight workers, ten lifetimes: not one 401, one login a lifetime at most."""
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
    """Neither done nor refused: only what EnKash documents counts as one or the other."""

    async def answer(server: RawServer, reader: Reader, writer: Writer) -> None:
        while True:
            await server.read_request(reader)
            writer.write(reply(body))

    async with raw_server(answer) as server:
        async with EnkashClient(server.base_url, tokens=StaticTokenProvider("t"), retry=EAGER) as client:
            for call in (
                client.payments.confirm_debit(["U-1"]),
                client.payments.initiate(["U-1"]),
                client.bills.create(2001, CN, bill_amount=10),
            ):
                assert isinstance(await _error(call), OutcomeUnknownError)
    assert len(server.requests) == 3


async def test_a_provider_that_fails_in_its_own_way_is_a_token_error() -> None:
    """Its exception is the cause; nothing was sent."""

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
    """Not a RuntimeError of aiohttp's."""
    client = EnkashClient.from_credentials(sandbox.base_url, sandbox.credentials)
    await client.aclose()
    assert isinstance(await _error(client.billers.list_categories()), ConfigurationError)


async def test_the_pipeline_raises_what_enkash_says(client: EnkashClient) -> None:
    """An unknown biller is a 400 with EnKash's words."""
    problem = await _error(client.bills.fetch_current(999_999, CN))
    assert isinstance(problem, BadRequestError)
    assert (problem.status, problem.method, problem.path) == (400, "POST", "/api/v2/biller/fetchOrAddBill")
