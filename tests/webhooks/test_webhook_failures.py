"""What the receiver does when a handler, a request or the record of events fails, and what its log shows of it."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Iterator

import pytest
from tokens.doubles import Clock, settle, until
from webhooks.doubles import (
    BODY,
    CONSUMER,
    GUESS,
    HEADERS,
    PERSON,
    SECRETS,
    VERIFIER,
    Chunks,
    Failing,
    Handler,
    Other,
    Pauses,
    Slow,
    Steps,
    create,
    memory,
    post,
)

from enkash_async import EnkashClient, MemoryStore, RedisStore
from enkash_async.sandbox import FaultKind, Sandbox
from enkash_async.sandbox._payment import Stage
from enkash_async.webhooks import BillEvent, WebhookReceiver

from support import alarm, shown


@pytest.fixture(autouse=True)
def no_hanging() -> Iterator[None]:
    with alarm(30):
        yield


@pytest.fixture
def clock() -> Clock:
    return Clock()


# --- handlers that fail -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("failure", [ValueError("no"), TimeoutError(), asyncio.CancelledError()])
async def test_a_failing_handler_gives_the_event_back(failure: BaseException) -> None:
    """The next post is handled, also after a library cancelled the handler."""
    handler = Handler(failure)
    receiver = WebhookReceiver(VERIFIER, on_bill=handler, store=MemoryStore())
    assert [await receiver.receive(HEADERS, BODY) for _ in range(3)] == [500, 200, 200]
    assert len(handler.told) == 2


async def test_a_handler_need_not_be_asynchronous() -> None:
    """A plain function gets the event, and its failure releases the claim."""
    told: list[str] = []

    def on_bill(event: BillEvent) -> None:
        told.append(event.bill.utility_enkash_id or "")
        if len(told) == 1:
            raise ValueError("no")

    receiver = WebhookReceiver(VERIFIER, on_bill=on_bill, store=MemoryStore())
    assert [await receiver.receive(HEADERS, BODY) for _ in range(3)] == [500, 200, 200]
    assert told == ["UTIL-1"] * 2


async def test_a_request_that_is_cancelled_gives_the_event_back(clock: Clock) -> None:
    """The receiver releases the claim when the sender hangs up or the server ends."""
    handler = Handler(gated=True)
    receiver = WebhookReceiver(VERIFIER, on_bill=handler, store=memory(clock), sleep=clock.sleep)
    request = asyncio.create_task(receiver.receive(HEADERS, BODY))
    await until(lambda: len(handler.told) == 1)
    request.cancel()
    await asyncio.wait([request])
    assert request.cancelled()
    handler.gate.set()
    assert await receiver.receive(HEADERS, BODY) == 200
    assert len(handler.told) == 2


async def test_a_request_that_is_cancelled_while_it_claims_gives_the_event_back(clock: Clock) -> None:
    """The receiver waits for the answer to the claim, which cannot be recalled, and releases it."""
    handler, store = Handler(), Slow("claim", clock)
    receiver = WebhookReceiver(VERIFIER, on_bill=handler, store=store, sleep=clock.sleep)
    request = asyncio.create_task(receiver.receive(HEADERS, BODY))
    await store.entered.wait()
    request.cancel()
    await settle()
    store.go_on.set()
    await asyncio.wait([request])
    assert request.cancelled()
    assert store.steps == ["claim", "release"]
    assert await receiver.receive(HEADERS, BODY) == 200
    assert len(handler.told) == 1


@pytest.mark.parametrize(("step", "handled"), [("release", 2), ("done", 1)])
async def test_a_request_that_is_cancelled_at_its_end_still_concludes(clock: Clock, step: str, handled: int) -> None:
    """The receiver commits or releases the event before it obeys any number of cancellations."""
    handler = Handler(*[ValueError("no")] * (step == "release"))
    store = Slow(step, clock)
    receiver = WebhookReceiver(VERIFIER, on_bill=handler, store=store, sleep=clock.sleep)
    request = asyncio.create_task(receiver.receive(HEADERS, BODY))
    await store.entered.wait()
    for _ in range(3):
        request.cancel()
        await settle()
    assert not request.done()
    store.go_on.set()
    await asyncio.wait([request])
    assert request.cancelled()
    assert await receiver.receive(HEADERS, BODY) == 200
    assert len(handler.told) == handled


@pytest.mark.parametrize("failure", [None, ValueError("no"), StopIteration("no")])
async def test_a_function_works_in_a_thread_while_the_lease_is_extended(
    clock: Clock, failure: Exception | None
) -> None:
    """It takes longer than the lease, and another worker does not get the bill meanwhile."""
    entered, gate, store = threading.Event(), threading.Event(), memory(clock)

    def on_bill(event: BillEvent) -> None:
        entered.set()
        assert gate.wait(20)
        if failure is not None:
            raise failure

    receiver = WebhookReceiver(VERIFIER, on_bill=on_bill, store=store, sleep=clock.sleep)
    request = asyncio.create_task(receiver.receive(HEADERS, BODY))
    await until(entered.is_set)
    await clock.advance(100)
    assert not await Other(store).claims()
    gate.set()
    assert await request == (200 if failure is None else 500)
    assert await Other(store).claims()


@pytest.mark.parametrize("fails", [False, True])
async def test_a_request_that_is_cancelled_waits_for_a_function_in_its_thread(clock: Clock, fails: bool) -> None:
    """The function cannot be stopped, so the bill stays claimed until it ends, and what it did is committed."""
    entered, gate, told = threading.Event(), threading.Event(), list[str]()

    def on_bill(event: BillEvent) -> None:
        told.append(event.key)
        entered.set()
        assert gate.wait(20)
        if fails and len(told) == 1:
            raise ValueError("no")

    store = memory(clock)
    receiver = WebhookReceiver(VERIFIER, on_bill=on_bill, store=store, sleep=clock.sleep)
    request = asyncio.create_task(receiver.receive(HEADERS, BODY))
    await until(entered.is_set)
    request.cancel()
    await settle()
    assert not request.done()
    assert not await Other(store).claims()
    gate.set()
    await asyncio.wait([request])
    assert request.cancelled()
    assert await receiver.receive(HEADERS, BODY) == 200
    assert len(told) == (2 if fails else 1)


async def test_a_function_may_return_what_is_to_be_awaited() -> None:
    """The receiver awaits it in the event loop."""
    handler = Handler()

    def on_bill(event: BillEvent) -> Awaitable[None]:
        return handler(event)

    receiver = WebhookReceiver(VERIFIER, on_bill=on_bill, store=MemoryStore())
    assert await receiver.receive(HEADERS, BODY) == 200
    assert len(handler.told) == 1


# --- the record of events fails ---------------------------------------------------------------------------------------


async def test_while_the_record_of_events_is_away_nothing_is_handed_over() -> None:
    """The answer makes the sender come back when Redis is away."""
    handler = Handler()
    store = RedisStore.from_url("redis://127.0.0.1:1", timeout=0.2)
    assert await WebhookReceiver(VERIFIER, on_bill=handler, store=store).receive(HEADERS, BODY) == 503
    assert handler.told == []
    await store.aclose()


async def test_what_was_handled_and_could_not_be_noted_is_answered_well(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """The receiver answers 200, or a resend would be handled twice, and logs the failure."""
    handler = Handler()
    receiver = WebhookReceiver(VERIFIER, on_bill=handler, store=Failing("done", clock), sleep=clock.sleep)
    assert await receiver.receive(HEADERS, BODY) == 200
    assert len(handler.told) == 1
    assert "handled, but not recorded: it may be handled again: RuntimeError" in caplog.text
    assert "s3cret-dsn" not in caplog.text


async def test_what_could_not_be_given_back_is_logged(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """The answer is about the handler's failure, and the log is about the record's."""
    receiver = WebhookReceiver(
        VERIFIER, on_bill=Handler(ValueError("no")), store=Failing("release", clock), sleep=clock.sleep
    )
    assert await receiver.receive(HEADERS, BODY) == 500
    assert "not given back: RuntimeError" in caplog.text


async def test_a_claim_that_fails_is_answered_with_503(clock: Clock) -> None:
    """The receiver answers 503 to any exception of a user's record."""
    handler = Handler()
    receiver = WebhookReceiver(VERIFIER, on_bill=handler, store=Failing("claim", clock))
    assert await receiver.receive(HEADERS, BODY) == 503
    assert handler.told == []


# --- the heartbeat ----------------------------------------------------------------------------------------------------


async def test_the_lease_of_a_slow_handler_is_kept(clock: Clock) -> None:
    """The heartbeat extends the lease many times and ends with the handler."""
    handler, store = Handler(gated=True), memory(clock)
    receiver = WebhookReceiver(VERIFIER, on_bill=handler, store=store, sleep=clock.sleep)
    request = asyncio.create_task(receiver.receive(HEADERS, BODY))
    await clock.advance(1000)
    assert not await Other(store).claims()
    handler.gate.set()
    assert await request == 200
    await settle()
    assert clock._sleepers == []


async def test_a_lease_that_could_not_be_extended_is_tried_again(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """The receiver tries again while the handler works on, and the log names the error."""
    handler, store = Handler(gated=True), Failing("extend", clock)
    receiver = WebhookReceiver(VERIFIER, on_bill=handler, store=store, sleep=clock.sleep)
    request = asyncio.create_task(receiver.receive(HEADERS, BODY))
    await clock.advance(25)
    assert store.failed == 2
    handler.gate.set()
    assert await request == 200
    assert "could not be extended: RuntimeError" in caplog.text


async def test_a_handler_that_lost_its_lease_is_told_of_in_the_log(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """The process was stopped for longer than the lease, and the event counts as handled."""
    handler, store = Handler(gated=True), memory(clock)
    receiver = WebhookReceiver(VERIFIER, on_bill=handler, store=store, sleep=clock.sleep)
    request = asyncio.create_task(receiver.receive(HEADERS, BODY))
    await until(lambda: len(handler.told) == 1)
    clock.now += 31
    other = Other(store)
    assert await other.claims()
    await clock.advance(10)
    assert "was lost; another worker may handle it as well" in caplog.text
    handler.gate.set()
    assert await request == 200
    assert "was handled after its lease had ended" in caplog.text
    assert not await other.hears(handler.told[0].key)


class Stalling(Steps):
    """A store before whose writing down of a state the process stands still, and another worker takes the bill."""

    def __init__(self, clock: Clock, times: int, base_url: str, bill: str) -> None:
        super().__init__(clock)
        self._ageing, self._times = clock, times
        self._other, self._bill = Other(self, base_url=base_url), bill

    async def before(self, step: str) -> None:
        if step == "hand" and self._times:
            self._times -= 1
            self._ageing.now += 31
            assert await self._other.claims(self._bill)
            await self._other.releases(self._bill)


@pytest.mark.parametrize(("times", "status", "told"), [(2, 200, 1), (3, 503, 0)])
async def test_a_worker_whose_claim_is_lost_before_it_hands_over_begins_anew(
    sandbox: Sandbox, client: EnkashClient, clock: Clock, times: int, status: int, told: int
) -> None:
    """It hands nothing over under a claim that is not its own, and gives up after the third time."""
    handler, bill = Handler(), create(sandbox)
    store = Stalling(clock, times, sandbox.base_url, bill)
    receiver = WebhookReceiver(VERIFIER, client=client, on_bill=handler, store=store, sleep=clock.sleep)
    assert await receiver.receive(HEADERS, post(sandbox, bill)) == status
    assert len(handler.told) == told
    assert sandbox.counts["bill"] == 3


async def test_a_handler_that_another_one_overtook_hears_what_enkash_says_once_more(
    sandbox: Sandbox, client: EnkashClient, clock: Clock
) -> None:
    """The process stood still inside its handler, so that nobody knows which of the two states was heard last."""
    bill, store, told = create(sandbox), memory(clock), list[str]()
    other = Other(store, base_url=sandbox.base_url)

    async def on_bill(event: BillEvent) -> None:
        told.append(event.key)
        if len(told) == 1:
            clock.now += 31
            assert await other.claims(bill)
            assert await other.hears("another state", bill, ever=False)

    receiver = WebhookReceiver(VERIFIER, client=client, on_bill=on_bill, store=store, sleep=clock.sleep)
    assert await receiver.receive(HEADERS, post(sandbox, bill)) == 200
    assert len(set(told)) == len(told) == 2
    assert await receiver.receive(HEADERS, post(sandbox, bill)) == 200
    assert len(told) == 2


async def test_a_reference_that_enkash_does_not_know_is_told_to_nobody(client: EnkashClient) -> None:
    """There is no bill that could be claimed."""
    handler = Handler()
    receiver = WebhookReceiver(VERIFIER, client=client, on_bill=handler)
    assert await receiver.receive(HEADERS, b'{"referenceId": "made-up"}') == 503
    assert handler.told == []


# --- what comes to light ----------------------------------------------------------------------------------------------


def rendered(record: logging.LogRecord) -> str:
    """Return everything that an error tracker could show of a log record, with the locals of all frames."""
    failure = record.exc_info[1] if record.exc_info else None
    return "\n".join([record.getMessage(), repr(vars(record)), "" if failure is None else shown(failure)])


async def _bad_posts(receiver: WebhookReceiver) -> None:
    await receiver.receive({"X-Webhook-Key": GUESS}, BODY)
    await receiver.receive(HEADERS, BODY[:-1])
    await receiver.receive(HEADERS, Chunks(BODY, b" " * 4096))
    await receiver.receive(HEADERS, BODY.replace(b'"SUCCESS"', f'["{PERSON}"]'.encode()))


async def _held(receiver: WebhookReceiver) -> None:
    await Other(receiver._opened()).claims()
    await receiver.receive(HEADERS, BODY)


async def _good(receiver: WebhookReceiver) -> None:
    await receiver.receive(HEADERS, BODY)


@pytest.mark.parametrize(
    ("run", "step", "statuses"),
    [
        (_bad_posts, "", ["HTTP 401", "HTTP 400", "HTTP 413", "HTTP 400"]),
        (_held, "", ["HTTP 503"]),
        (_good, "", ["HTTP 500"]),
        (_good, "claim", ["HTTP 503"]),
        (_good, "release", ["HTTP 500", "event "]),
    ],
)
async def test_no_record_shows_a_secret_or_a_body(
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
    run: Callable[[WebhookReceiver], Awaitable[None]],
    step: str,
    statuses: list[str],
) -> None:
    """No log record shows them, with the locals of all of the package's frames."""
    caplog.set_level(logging.DEBUG)
    store = Failing(step, clock) if step else memory(clock)
    await run(WebhookReceiver(VERIFIER, on_bill=Handler(ValueError("no")), store=store, sleep=Pauses()))
    records = [record for record in caplog.records if record.name == "enkash_async.webhooks"]
    assert [record.getMessage()[: len(want)] for record, want in zip(records, statuses, strict=True)] == statuses
    everything = "\n".join(rendered(record) for record in caplog.records)
    assert [secret for secret in SECRETS if secret in everything] == []


async def test_what_the_api_answers_about_a_bill_is_not_logged(
    sandbox: Sandbox, client: EnkashClient, caplog: pytest.LogCaptureFixture
) -> None:
    """The log has a hash and the reason for a post ahead, an unknown bill and a failing API."""
    bill = create(sandbox, CONSUMER)
    receiver = WebhookReceiver(VERIFIER, client=client, on_bill=Handler(), sleep=Pauses())
    await receiver.receive(HEADERS, post(sandbox, bill, Stage.PAID))
    await receiver.receive(HEADERS, BODY)
    sandbox.faults.add("bill", FaultKind.SERVER_ERROR, times=None)
    await receiver.receive(HEADERS, BODY)
    records = [record for record in caplog.records if record.name == "enkash_async.webhooks"]
    assert len(records) == 3
    everything = "\n".join(rendered(record) for record in records)
    assert "says more than EnKash's API does yet" in everything
    assert "EnKash knows no such bill" in everything
    assert [secret for secret in (*SECRETS, sandbox.credentials.client_secret) if secret in everything] == []


async def test_the_frames_of_a_cancelled_request_hold_no_secret(clock: Clock) -> None:
    """An error tracker that renders the frames shows no secret."""
    receiver = WebhookReceiver(VERIFIER, on_bill=Handler(gated=True), store=memory(clock), sleep=clock.sleep)
    request = asyncio.create_task(receiver.receive(HEADERS, BODY))
    await settle()
    request.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await request
    assert [secret for secret in SECRETS if secret in shown(caught.value)] == []
