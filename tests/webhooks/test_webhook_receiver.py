"""From a post to the handler: how each post is answered, what the handler is told, and how often."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import attrs
import pytest
from tokens.doubles import Clock, settle
from webhooks.doubles import (
    BODY,
    GUESS,
    HEADERS,
    KEY,
    VERIFIER,
    Chunks,
    Handler,
    Other,
    Pauses,
    create,
    memory,
    post,
)

from enkash_async import BillNotifier, EnkashClient, MemoryStore
from enkash_async._news.content import content_key
from enkash_async.errors import ConfigurationError
from enkash_async.models import Outcome
from enkash_async.sandbox import FaultKind, Sandbox
from enkash_async.sandbox._payment import Stage
from enkash_async.webhooks import WebhookReceiver

from support import LeapingLoop, alarm


@pytest.fixture(autouse=True)
def no_hanging() -> Iterator[None]:
    with alarm(30):
        yield


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def turn(clock: Clock, posts: Sequence[asyncio.Task[int]]) -> None:
    """Let time pass until all posts are answered; a claim that meets another one is tried again in real time."""
    while not all(post.done() for post in posts):
        await clock.advance(1)
        await asyncio.sleep(0.005)


# --- the API is the truth ---------------------------------------------------------------------------------------------


async def test_the_handler_is_told_what_was_posted_and_what_the_api_says(
    sandbox: Sandbox, client: EnkashClient
) -> None:
    """The event has both bills, the posted one and the API's."""
    handler, bill = Handler(), create(sandbox)
    sandbox.ledger.confirm([bill])
    receiver = WebhookReceiver(VERIFIER, client=client, on_bill=handler)
    assert await receiver.receive(HEADERS, post(sandbox, bill)) == 200
    (event,) = handler.told
    assert event.confirmed is not None
    assert event.posted.utility_enkash_id == event.confirmed.utility_enkash_id == bill
    assert event.bill is event.confirmed
    assert event.bill.outcome is Outcome.PAID
    assert sandbox.counts["bill"] == 1


async def test_a_forged_success_is_told_as_what_the_api_says(sandbox: Sandbox, client: EnkashClient) -> None:
    """A forger with the right header posts «paid», and the handler gets the API's pending bill."""
    handler, pauses, bill = Handler(), Pauses(), create(sandbox)
    receiver = WebhookReceiver(VERIFIER, client=client, on_bill=handler, sleep=pauses)
    assert await receiver.receive(HEADERS, post(sandbox, bill, Stage.PAID)) == 503
    assert (sandbox.counts["bill"], pauses.slept) == (3, [0.5, 1.5])
    (event,) = handler.told
    assert (event.bill.outcome, event.posted.outcome, event.is_ahead) == (Outcome.PENDING, Outcome.PAID, True)
    assert await receiver.receive(HEADERS, post(sandbox, bill, Stage.PAID)) == 503
    assert len(handler.told) == 1


async def test_a_post_that_is_ahead_of_the_api_counts_once_the_api_agrees(
    sandbox: Sandbox, client: EnkashClient
) -> None:
    """The resend is handled, because an unconfirmed event is not recorded."""
    handler, bill = Handler(), create(sandbox)
    receiver = WebhookReceiver(VERIFIER, client=client, on_bill=handler, sleep=Pauses())
    body = post(sandbox, bill, Stage.PAID)
    assert await receiver.receive(HEADERS, body) == 503
    sandbox.ledger.confirm([bill])
    assert await receiver.receive(HEADERS, body) == 200
    assert [event.bill.outcome for event in handler.told] == [Outcome.PENDING, Outcome.PAID]


async def test_what_enkash_says_is_told_once_however_many_posts_lead_to_it(
    sandbox: Sandbox, client: EnkashClient
) -> None:
    """Late posts, an edited date and a bare reference all tell one payment, once."""
    handler, bill = Handler(), create(sandbox)
    late = [post(sandbox, bill), post(sandbox, bill, Stage.CONFIRMED)]
    sandbox.ledger.confirm([bill])
    paid = json.loads(post(sandbox, bill))
    edited = json.dumps({**paid, "approvedDate": "2020-01-01T00:00:00"}).encode()
    alone = json.dumps({"referenceId": paid["referenceId"]}).encode()
    receiver = WebhookReceiver(VERIFIER, client=client, on_bill=handler)
    posts = [*late, post(sandbox, bill), edited, alone]
    assert [await receiver.receive(HEADERS, one) for one in posts] == [200] * 5
    assert [event.bill.outcome for event in handler.told] == [Outcome.PAID]
    asked = sandbox.counts["bill"]
    assert [await receiver.receive(HEADERS, one) for one in posts] == [200] * 5
    assert (len(handler.told), sandbox.counts["bill"]) == (1, asked + 5)


@pytest.mark.parametrize("word", ["COMPLETED", "SUCCESS", "FAILED"])
async def test_a_final_word_that_comes_early_is_not_taken_for_done(
    sandbox: Sandbox, client: EnkashClient, word: str
) -> None:
    """The receiver waits for the API, also at the word of EnKash's example."""
    handler, bill = Handler(), create(sandbox)
    early = json.dumps({"utilityEnkashId": bill, "paymentStatus": word, "billpayStatus": word}).encode()
    receiver = WebhookReceiver(VERIFIER, client=client, on_bill=handler, sleep=Pauses())
    assert await receiver.receive(HEADERS, early) == 503
    sandbox.ledger.confirm([bill])
    assert await receiver.receive(HEADERS, early) == 200
    assert [event.bill.outcome for event in handler.told] == [Outcome.PENDING, Outcome.PAID]


async def test_a_refund_that_comes_early_is_not_taken_for_done(sandbox: Sandbox, client: EnkashClient) -> None:
    """The receiver answers 503 so that EnKash posts again, because the API still says paid."""
    handler, bill = Handler(), create(sandbox)
    sandbox.ledger.confirm([bill])
    receiver = WebhookReceiver(VERIFIER, client=client, on_bill=handler, sleep=Pauses())
    assert await receiver.receive(HEADERS, post(sandbox, bill, Stage.REFUNDED)) == 503
    assert [event.is_ahead for event in handler.told] == [True]


async def test_customised_bodies_that_say_different_things_are_different_news() -> None:
    """Their statuses have unknown names and still make different keys."""
    handler = Handler()
    receiver = WebhookReceiver(VERIFIER, on_bill=handler, store=MemoryStore())
    for state in ("PENDING", "SUCCESS", "SUCCESS"):
        assert await receiver.receive(HEADERS, json.dumps({"utilityEnkashId": "U-9", "state": state}).encode()) == 200
    inside = {"referenceId": "R-9", "bill": {"utilityEnkashId": "U-9", "billpayStatus": "SUCCESS"}}
    assert await receiver.receive(HEADERS, json.dumps(inside).encode()) == 200
    assert [event.posted.extra.get("state") for event in handler.told] == ["PENDING", "SUCCESS", None]
    assert handler.told[-1].bill.outcome is Outcome.PAID


async def test_a_second_failure_with_another_reason_is_news() -> None:
    """The handler hears of both failures, which have no date."""
    handler = Handler()
    receiver = WebhookReceiver(VERIFIER, on_bill=handler, store=MemoryStore())
    for code in ("E1", "E2", "E2"):
        body = {"utilityEnkashId": "U-9", "billpayStatus": "FAILED", "failureCode": code}
        assert await receiver.receive(HEADERS, json.dumps(body).encode()) == 200
    assert [event.bill.failure_code for event in handler.told] == ["E1", "E2"]


async def test_a_post_with_a_reference_alone_wakes_who_waits_for_the_bill(
    sandbox: Sandbox, client: EnkashClient
) -> None:
    """The receiver asks the API for the id, and the notifier wakes the waiting caller."""
    notifier, bill = BillNotifier(), create(sandbox)
    reference = sandbox.ledger.get(bill).reference_id
    receiver = WebhookReceiver(VERIFIER, client=client, on_bill=Handler(), notifier=notifier)
    with notifier.listen([bill]) as news:
        assert await receiver.receive(HEADERS, json.dumps({"referenceId": reference}).encode()) == 200
        assert news.take() == (bill,)


async def test_an_api_that_lags_a_little_is_waited_for(sandbox: Sandbox, client: EnkashClient) -> None:
    """The receiver looks again, so that no resend is needed, which EnKash does not promise."""
    handler, bill = Handler(), create(sandbox)
    body, pauses = post(sandbox, bill, Stage.PAID), Pauses(lambda: sandbox.ledger.confirm([bill]))
    receiver = WebhookReceiver(VERIFIER, client=client, on_bill=handler, sleep=pauses)
    assert await receiver.receive(HEADERS, body) == 200
    assert (pauses.slept, handler.told[0].bill.outcome) == ([0.5], Outcome.PAID)


async def test_a_stale_post_brings_what_the_api_says(sandbox: Sandbox, client: EnkashClient) -> None:
    """A late post says pending, and the handler gets the paid bill."""
    handler, bill = Handler(), create(sandbox)
    body = post(sandbox, bill)
    sandbox.ledger.confirm([bill])
    receiver = WebhookReceiver(VERIFIER, client=client, on_bill=handler)
    assert await receiver.receive(HEADERS, body) == 200
    (event,) = handler.told
    assert (event.posted.outcome, event.bill.outcome) == (Outcome.PENDING, Outcome.PAID)


async def test_a_post_about_a_bill_that_enkash_does_not_know_is_told_to_nobody(
    sandbox: Sandbox, client: EnkashClient
) -> None:
    """The bill may be another account's, or made up."""
    handler = Handler()
    receiver = WebhookReceiver(VERIFIER, client=client, on_bill=handler, sleep=Pauses())
    assert await receiver.receive(HEADERS, BODY) == 503
    assert (handler.told, sandbox.counts["bill"]) == ([], 3)


async def test_while_the_api_fails_nothing_is_handed_over(sandbox: Sandbox, client: EnkashClient) -> None:
    """The handler gets the next post, when the API answers again."""
    handler, bill = Handler(), create(sandbox)
    receiver = WebhookReceiver(VERIFIER, client=client, on_bill=handler)
    sandbox.faults.add("bill", FaultKind.SERVER_ERROR)
    statuses = [await receiver.receive(HEADERS, post(sandbox, bill)) for _ in range(2)]
    assert (statuses, len(handler.told)) == ([503, 200], 1)


async def test_a_bill_without_an_id_is_asked_for_by_its_reference(sandbox: Sandbox, client: EnkashClient) -> None:
    """The receiver uses the reference where a customised webhook omits the id."""
    handler, bill = Handler(), create(sandbox)
    reference = sandbox.ledger.get(bill).reference_id
    receiver = WebhookReceiver(VERIFIER, client=client, on_bill=handler)
    assert await receiver.receive(HEADERS, json.dumps({"referenceId": reference}).encode()) == 200
    assert handler.told[0].bill.utility_enkash_id == bill


async def test_without_a_client_the_post_is_handed_over_as_it_came() -> None:
    """The handler gets the posted bill with the mark that nothing confirmed it."""
    handler = Handler()
    assert await WebhookReceiver(VERIFIER, on_bill=handler, store=MemoryStore()).receive(HEADERS, BODY) == 200
    assert [(event.confirmed, event.bill.utility_enkash_id) for event in handler.told] == [(None, "UTIL-1")]


# --- once ------------------------------------------------------------------------------------------------------------


async def test_a_post_that_comes_again_is_handled_once(sandbox: Sandbox, client: EnkashClient) -> None:
    """The receiver asks the API each time, since the same post may stand for a later state."""
    handler, bill = Handler(), create(sandbox)
    receiver = WebhookReceiver(VERIFIER, client=client, on_bill=handler)
    body = post(sandbox, bill)
    assert [await receiver.receive(HEADERS, body) for _ in range(3)] == [200, 200, 200]
    assert (len(handler.told), sandbox.counts["bill"]) == (1, 3)


@pytest.mark.parametrize(
    "said",
    [{}, {"amount": 500}, {"state": "changed"}, {"wrapped": True}],
    ids=["the id alone", "id and amount", "other words", "a wrapper"],
)
async def test_a_body_that_says_little_leads_to_what_the_api_says(
    sandbox: Sandbox, client: EnkashClient, said: dict[str, Any]
) -> None:
    """The same body comes twice, and the handler hears both states."""
    handler, bill = Handler(), create(sandbox)
    document = {"utilityEnkashId": bill, **said}
    body = json.dumps({"data": document} if "wrapped" in said else document).encode()
    receiver = WebhookReceiver(VERIFIER, client=client, on_bill=handler, sleep=Pauses())
    assert await receiver.receive(HEADERS, body) == 200
    sandbox.ledger.confirm([bill])
    assert await receiver.receive(HEADERS, body) == 200
    assert [event.bill.outcome for event in handler.told] == [Outcome.PENDING, Outcome.PAID]


async def test_an_api_that_lags_behind_a_body_without_statuses_is_waited_for(
    sandbox: Sandbox, client: EnkashClient
) -> None:
    """The API first shows what the handler knows; a post that says nothing may stand for more."""
    handler, bill = Handler(), create(sandbox)
    body = json.dumps({"utilityEnkashId": bill}).encode()
    assert await WebhookReceiver(VERIFIER, client=client, on_bill=handler).receive(HEADERS, body) == 200
    pauses = Pauses(lambda: sandbox.ledger.confirm([bill]))
    assert await WebhookReceiver(VERIFIER, client=client, on_bill=handler, sleep=pauses).receive(HEADERS, body) == 200
    assert [event.bill.outcome for event in handler.told] == [Outcome.PENDING, Outcome.PAID]
    assert pauses.slept == [0.5]


async def test_a_state_that_comes_back_is_news_with_a_key_of_its_own(sandbox: Sandbox, client: EnkashClient) -> None:
    """FAILED, REINITIATE, FAILED: the handler hears all three, and a resend of the last is no news."""
    handler, bill = Handler(), create(sandbox)
    receiver = WebhookReceiver(VERIFIER, client=client, on_bill=handler, sleep=Pauses())
    body = json.dumps({"utilityEnkashId": bill}).encode()
    sandbox.ledger.settle_after = sandbox.ledger.refund_after = math.inf
    payment = sandbox.ledger.get(bill)
    for stage in (Stage.REFUNDING, Stage.REINITIATED, Stage.REFUNDING, Stage.REFUNDING):
        sandbox.ledger._payments[bill] = attrs.evolve(payment, stage=stage)
        assert await receiver.receive(HEADERS, body) == 200
    outcomes = [event.bill.outcome for event in handler.told]
    assert outcomes == [Outcome.FAILED, Outcome.PENDING, Outcome.FAILED]
    assert len({event.key for event in handler.told}) == 3


async def test_a_worker_that_waited_for_a_claim_hears_what_enkash_says_by_then(
    sandbox: Sandbox, client: EnkashClient
) -> None:
    """Order never runs backwards: its post says pending, and the bill was paid while it waited."""
    handler, bill, store = Handler(), create(sandbox), MemoryStore()
    other = Other(store, base_url=sandbox.base_url)
    await other.claims(bill)

    async def sleep(seconds: float) -> None:
        if seconds < 10 and not handler.told:
            sandbox.ledger.confirm([bill])
            paid = await client.bills.get(bill)
            assert await other.hears(content_key(paid), bill, ever=False)
        await (asyncio.Event().wait() if seconds == 10 else asyncio.sleep(0))

    receiver = WebhookReceiver(VERIFIER, client=client, on_bill=handler, store=store, sleep=sleep)
    assert await receiver.receive(HEADERS, post(sandbox, bill)) == 200
    assert handler.told == []


async def test_a_handler_that_failed_at_a_state_is_given_it_again_under_the_same_key(
    sandbox: Sandbox, client: EnkashClient
) -> None:
    """A database that has the key in a unique column can tell that it is the same news."""
    handler, bill = Handler(ValueError("no")), create(sandbox)
    receiver = WebhookReceiver(VERIFIER, client=client, on_bill=handler)
    assert [await receiver.receive(HEADERS, post(sandbox, bill)) for _ in range(2)] == [500, 200]
    assert len(handler.told) == 2
    assert len({event.key for event in handler.told}) == 1


async def test_services_with_names_of_their_own_each_hear_everything(sandbox: Sandbox, client: EnkashClient) -> None:
    """They share a store, and so does a second worker of one of them."""
    handlers, bill = {"": Handler(), "ledger": Handler()}, create(sandbox)
    for name in ("", "ledger", ""):
        receiver = WebhookReceiver(VERIFIER, client=client, on_bill=handlers[name], name=name)
        assert await receiver.receive(HEADERS, post(sandbox, bill)) == 200
    assert [len(handler.told) for handler in handlers.values()] == [1, 1]


async def test_a_bill_is_handled_without_a_post(
    sandbox: Sandbox, client: EnkashClient, caplog: pytest.LogCaptureFixture
) -> None:
    """`handle` asks the API as after a post, wakes who waits, says nothing twice, and logs no id."""
    handler, bill, notifier = Handler(), create(sandbox), BillNotifier()
    receiver = WebhookReceiver(VERIFIER, client=client, on_bill=handler, notifier=notifier, sleep=(pauses := Pauses()))
    with notifier.listen([bill]) as news:
        assert [await receiver.handle(bill) for _ in range(2)] == [200, 200]
        assert news.take() == (bill,)
    assert [event.confirmed is not None for event in handler.told] == [True]
    assert await receiver.handle("UTIL-UNKNOWN") == 503
    assert "is not confirmed" in caplog.text
    assert "UNKNOWN" not in caplog.text
    assert pauses.slept == [], "there is no post that the API could lag behind"
    with pytest.raises(ConfigurationError, match="give the receiver client="):
        await WebhookReceiver(VERIFIER, on_bill=handler).handle(bill)


async def test_without_a_client_an_older_post_that_comes_again_is_no_news() -> None:
    """The receiver remembers the posts of a bill, not only the last one."""
    handler = Handler()
    receiver = WebhookReceiver(VERIFIER, on_bill=handler, store=MemoryStore())
    bodies = [json.dumps({"utilityEnkashId": "U-1", "billpayStatus": word}).encode() for word in ("PENDING", "FAILED")]
    assert [await receiver.receive(HEADERS, body) for body in (*bodies, *bodies)] == [200] * 4
    assert [event.bill.billpay_status for event in handler.told] == ["PENDING", "FAILED"]


async def test_without_a_client_the_wrapper_counts() -> None:
    """A customised post may say outside the bill what happened to it; order and white space do not count."""
    handler = Handler()
    receiver = WebhookReceiver(VERIFIER, on_bill=handler, store=MemoryStore())
    for around in ("sent", "settled"):
        bodies = [
            json.dumps({"event": around, "bill": {"utilityEnkashId": "U-1", "amount": 5}}),
            json.dumps({"bill": {"amount": 5, "utilityEnkashId": "U-1"}, "event": around}, indent=2),
        ]
        assert [await receiver.receive(HEADERS, body.encode()) for body in bodies] == [200, 200]
    assert [event.extra["event"] for event in handler.told] == ["sent", "settled"]


async def test_a_receiver_without_client_and_store_shares_the_file_of_the_user() -> None:
    """Two workers of one machine share it, and each closes what it opened."""
    handler = Handler()
    for _ in range(2):
        receiver = WebhookReceiver(VERIFIER, on_bill=handler)
        await receiver.aclose()  # nothing is open yet
        assert await receiver.receive(HEADERS, BODY) == 200
        await receiver.aclose()
    assert len(handler.told) == 1


async def test_the_next_news_of_a_bill_is_another_event(sandbox: Sandbox, client: EnkashClient) -> None:
    """The handler hears of a bill that was pending and then paid."""
    handler, bill = Handler(), create(sandbox)
    receiver = WebhookReceiver(VERIFIER, client=client, on_bill=handler)
    assert await receiver.receive(HEADERS, post(sandbox, bill)) == 200
    sandbox.ledger.confirm([bill])
    assert await receiver.receive(HEADERS, post(sandbox, bill)) == 200
    assert [event.bill.outcome for event in handler.told] == [Outcome.PENDING, Outcome.PAID]


async def test_posts_at_the_same_moment_are_handled_once(clock: Clock) -> None:
    """Each later post waits for the first one's handler, at two workers."""
    handler, store = Handler(gated=True), memory(clock)
    workers = [WebhookReceiver(VERIFIER, on_bill=handler, store=store, sleep=clock.sleep) for _ in range(2)]
    posts = [asyncio.create_task(workers[n % 2].receive(HEADERS, BODY)) for n in range(6)]
    await settle()
    assert not any(each.done() for each in posts)
    handler.gate.set()
    await turn(clock, posts)
    assert (await asyncio.gather(*posts), len(handler.told)) == ([200] * 6, 1)


async def test_who_waits_takes_over_from_a_handler_that_fails(clock: Clock) -> None:
    """The waiting post is handled, because it may be the last one."""
    handler, store = Handler(ValueError("no"), gated=True), memory(clock)
    receiver = WebhookReceiver(VERIFIER, on_bill=handler, store=store, sleep=clock.sleep)
    posts = [asyncio.create_task(receiver.receive(HEADERS, BODY)) for _ in range(2)]
    await settle()
    handler.gate.set()
    await turn(clock, posts)
    assert (await asyncio.gather(*posts), len(handler.told)) == ([500, 200], 2)


async def test_an_event_of_a_worker_that_died_is_taken_over_when_its_lease_ends(clock: Clock) -> None:
    """The waiting post is handled then, and not earlier."""
    handler, store, began = Handler(), memory(clock), clock()
    await Other(store).claims()
    receiver = WebhookReceiver(VERIFIER, on_bill=handler, store=store, sleep=clock.sleep)
    waiting = asyncio.create_task(receiver.receive(HEADERS, BODY))
    await clock.advance(29.5)
    assert handler.told == []
    await clock.advance(3)
    assert (await waiting, len(handler.told)) == (200, 1)
    assert clock() - began == pytest.approx(32.5)


async def test_an_event_that_stays_in_other_hands_is_not_waited_for_for_ever(clock: Clock) -> None:
    """The other worker extends its lease, and the receiver answers 503 so that the sender comes back."""
    handler, store = Handler(), memory(clock)
    other = Other(store)
    await other.claims()

    async def sleep(seconds: float) -> None:
        await clock.hurry(seconds)
        await other.extends()

    began = clock()
    assert await WebhookReceiver(VERIFIER, on_bill=handler, store=store, sleep=sleep).receive(HEADERS, BODY) == 503
    assert handler.told == []
    assert 30 < clock() - began < 32


# --- who waits for a bill ---------------------------------------------------------------------------------------------


async def test_a_caller_who_waits_for_a_bill_is_told_of_every_post() -> None:
    """The notifier wakes callers for duplicates and failed handlers too; the news is not trusted."""
    notifier = BillNotifier()
    receiver = WebhookReceiver(VERIFIER, on_bill=Handler(ValueError("no")), store=MemoryStore(), notifier=notifier)
    with notifier.listen(["UTIL-1"]) as news:
        for status in (500, 200, 200):
            assert await receiver.receive(HEADERS, BODY) == status
            assert news.take() == ("UTIL-1",)
        assert await receiver.receive({"X-Webhook-Key": GUESS}, BODY) == 401
        assert news.take() == ()


async def test_a_notifier_is_enough() -> None:
    """The receiver works without a handler and claims nothing; a bare reference wakes no caller."""
    notifier = BillNotifier()
    receiver = WebhookReceiver(VERIFIER, notifier=notifier)
    with notifier.listen(["UTIL-1", ""]) as news:
        assert [await receiver.receive(HEADERS, body) for body in (BODY, b'{"referenceId": "REF-1"}')] == [200, 200]
        assert news.take() == ("UTIL-1",)


# --- bodies -----------------------------------------------------------------------------------------------------------


async def test_a_body_may_come_in_pieces() -> None:
    """The receiver joins pieces of any size, empty ones included."""
    handler = Handler()
    chunks = Chunks(BODY[:1], b"", BODY[1:50], BODY[50:])
    assert await WebhookReceiver(VERIFIER, on_bill=handler, store=MemoryStore()).receive(HEADERS, chunks) == 200
    assert chunks.read == 4
    assert handler.told[0].posted.utility_enkash_id == "UTIL-1"


async def test_a_body_of_just_the_longest_length_is_read() -> None:
    """The receiver refuses one byte more."""
    receiver = WebhookReceiver(VERIFIER, on_bill=Handler(), store=MemoryStore())
    padding = b" " * (4096 - len(BODY))
    assert await receiver.receive(HEADERS, Chunks(BODY, padding)) == 200
    assert await receiver.receive(HEADERS, Chunks(BODY, padding, b" ")) == 413
    assert await receiver.receive(HEADERS, BODY + padding + b" ") == 413


async def test_a_body_that_is_too_long_is_read_no_further() -> None:
    """The receiver stops reading at its limit."""
    chunks = Chunks(*[b" " * 1000] * 500)
    assert await WebhookReceiver(VERIFIER, on_bill=Handler(), store=MemoryStore()).receive(HEADERS, chunks) == 413
    assert chunks.read == 5


@pytest.mark.parametrize("headers", [{}, {"X-Webhook-Key": GUESS}, [("X-Webhook-Key", KEY)] * 2])
async def test_a_stranger_is_refused_before_a_chunk_is_read(headers: Any) -> None:
    """The receiver reads nothing where the header is missing, wrong or repeated."""
    handler, chunks = Handler(), Chunks(BODY)
    assert await WebhookReceiver(VERIFIER, on_bill=handler, store=MemoryStore()).receive(headers, chunks) == 401
    assert (handler.told, chunks.read) == ([], 0)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"amount": 1}', b"\xff", b'{"utilityEnkashId": ".."}'])
async def test_a_body_that_brings_no_news_of_a_bill_is_refused(body: bytes) -> None:
    """The receiver refuses it at once, whole or in pieces."""
    handler = Handler()
    receiver = WebhookReceiver(VERIFIER, on_bill=handler, store=MemoryStore())
    assert [await receiver.receive(HEADERS, each) for each in (body, Chunks(body))] == [400, 400]
    assert handler.told == []


def test_a_body_that_does_not_come_is_given_up() -> None:
    """The receiver cuts off a dripping sender and waits for a slow one; no real time passes here."""

    async def dripping(pause: float) -> AsyncIterator[bytes]:
        for at in range(len(BODY)):
            await asyncio.sleep(pause)
            yield BODY[at : at + 1]

    async def run(pause: float) -> tuple[int, float]:
        loop = asyncio.get_running_loop()
        began = loop.time()
        receiver = WebhookReceiver(VERIFIER, on_bill=Handler(), store=MemoryStore())
        status = await receiver.receive(HEADERS, dripping(pause))
        return status, loop.time() - began

    for pause, wanted in ((1.0, (408, 20.0)), (0.05, (200, 0.05 * len(BODY)))):
        with asyncio.Runner(loop_factory=LeapingLoop) as runner:
            status, took = runner.run(run(pause))
        assert status == wanted[0]
        assert took == pytest.approx(wanted[1], abs=0.01)


# --- arguments --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"verifier": HEADERS}, r"verifier must be a WebhookVerifier\(…\), not dict"),
        ({"client": "https://api.example.com"}, "client must be an EnkashClient, not str"),
        ({"store": {}}, r"store must be a Store, such as open_store\(url\) or MemoryStore\(\), not dict"),
        ({"name": 7}, "name must be a str, not int"),
        ({"notifier": print}, "notifier must be a BillNotifier, not builtin_function_or_method"),
        ({"on_bill": None}, "else every post would be dropped"),
        ({"on_bill": "handler"}, "on_bill must be a function of one BillEvent, not str"),
    ],
)
def test_an_unusable_argument_is_named(arguments: dict[str, Any], said: str) -> None:
    """The message names the argument and what to write in its place."""
    good: dict[str, Any] = {"verifier": VERIFIER, "on_bill": print}
    with pytest.raises(ConfigurationError, match=said):
        WebhookReceiver(**(good | arguments))
