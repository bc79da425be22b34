"""The sandbox's posts: to which address, in which order, how often, and with which faults."""

from __future__ import annotations

import asyncio
import json
import math
import re
import time
from base64 import b64encode
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import aiohttp
import attrs
import pytest
from aiohttp import web
from multidict import CIMultiDictProxy
from tokens.doubles import Clock as HeldClock
from tokens.doubles import until

from enkash_async.sandbox import FaultKind, Faults, Ledger, Sandbox
from enkash_async.sandbox._courier import Courier, Resends
from enkash_async.sandbox._payment import Stage, UtilityPayment
from enkash_async.sandbox._registration import EVENTS, Registration
from enkash_async.tokens._credentials import Credentials

CREDENTIALS = Credentials("enkash-demo-client", "demo-secret", "ap-team@example.com", "demo-password", "CEKDEMO123")
BILLPAY = ["UTILITY_BILLPAY_SUCCESS", "UTILITY_BILLPAY_FAILED", "UTILITY_BILLPAY_PENDING"]
REJECTING = 2302
IST_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")
DAY = re.compile(r"\d{4}-\d\d-\d\d")

#: The members of the documented example, in its order (api-12515630).
# fmt: off
MEMBERS = [
    "utilityEnkashId", "amount", "consumerNumber", "consumerName", "billDate", "billDueDate", "createdDate",
    "billNumber", "billerBillNumber", "numberOfUnits", "approvalStatus", "approvalRemarks", "paymentStatus",
    "billpayStatus", "failureReason", "failureCode", "paymentDate", "billpayDate", "approvedDate", "billReferenceId",
    "billStartDate", "billEndDate", "remarks", "refundDate", "companyBiller", "billAmount", "earlyPaymentDate",
    "earlyPaymentAmount", "latePaymentAmount", "actualDueDate", "companyId", "bankTransactionId", "referenceId",
]
# fmt: on


@attrs.frozen
class Post:
    path: str
    headers: CIMultiDictProxy[str]
    raw: str

    @property
    def body(self) -> Any:
        return json.loads(self.raw, parse_float=Decimal)

    @property
    def news(self) -> tuple[str, str]:
        return self.body["billpayStatus"], self.body["paymentStatus"]


class Receiver:
    """A web server that keeps what is posted to it, and answers when the test allows it."""

    def __init__(self) -> None:
        self.posts: list[Post] = []
        self.answers: list[int] = []  # statuses, 200 after them
        self.free = asyncio.Event()
        self.free.set()
        self.busy = 0
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        self.posts.append(Post(request.path, request.headers, await request.text()))
        status = self.answers.pop(0) if self.answers else 200
        self.busy += 1
        try:
            await self.free.wait()
        finally:
            self.busy -= 1
        return web.Response(status=status, headers={"Location": "/other", "Set-Cookie": "session=1"})

    @property
    def news(self) -> list[str]:
        """The statuses that were posted of a single bill."""
        return [post.news[0] for post in self.posts]


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver, app = Receiver(), web.Application()
    app.router.add_route("*", "/{path:.*}", receiver.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.05)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/enkash"
    try:
        yield receiver
    finally:
        await runner.cleanup()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as made:
        yield made


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def sandbox(clock: Clock) -> AsyncIterator[Sandbox]:
    async with Sandbox(clock=clock, settle_after=10.0, webhook_pause=0.001) as running:
        yield running


@attrs.frozen
class Answer:
    status: int
    body: Any


async def call(sandbox: Sandbox, members: object, *, token: str | None = None) -> Answer:
    """Send a registration as a merchant does, with a token of its own login."""
    ours, url = sandbox.credentials, sandbox.base_url
    form = {
        "grant_type": "password",
        "username": ours.username,
        "password": ours.password,
        "clientId": str(ours.form_client_id),
    }
    basic = "Basic " + b64encode(f"{ours.client_id}:{ours.client_secret}".encode()).decode()
    async with aiohttp.ClientSession() as session:
        if token is None:
            async with session.post(f"{url}/oauth/token", data=form, headers={"Authorization": basic}) as reply:
                token = (await reply.json())["accessToken"]
        headers = {"Authorization": f"Bearer {token}"}
        async with session.post(f"{url}/api/v0/webhook-data", json=members, headers=headers) as reply:
            return Answer(reply.status, await reply.json())


async def register(sandbox: Sandbox, receiver: Receiver, **members: object) -> None:
    answer = await call(sandbox, {"webhookUrl": receiver.url, "events": BILLPAY} | members)
    assert (answer.status, answer.body["response_code"]) == (200, 0)


def create(ledger: Ledger, biller_id: int = 2001, *, cn: str = "CN1", amount: str = "250.50") -> str:
    consumer = ledger.enrol(biller_id, {"cn": cn})
    bill = attrs.evolve(ledger.due(consumer), net_amount=Decimal(amount))
    return ledger.create(consumer, bill).utility_enkash_id


def others() -> set[asyncio.Task[Any]]:
    return asyncio.all_tasks() - {asyncio.current_task()}


def watches() -> list[asyncio.Task[Any]]:
    return [task for task in others() if "Watch." in repr(task)]


class TestRegistration:
    async def test_the_reply_gives_back_what_is_kept_but_the_secrets(self, sandbox: Sandbox) -> None:
        """Neither the reply nor a repr has the headers."""
        members = {
            "webhookUrl": "https://merchant.example/enkash?shop=1",
            "events": ["UTILITY_BILLPAY_FAILED", "PAYOUT_SUCCESS", "UTILITY_BILLPAY_FAILED"],
            "headers": {"X-Key": "my-secret"},
            "enabled": False,
            "companyId": "CEKDEMO123",
            "sslCertificate": "my-certificate",
        }
        answer = await call(sandbox, members)
        assert answer.status == 200
        assert answer.body["payload"] == {
            "webhookUrl": "https://merchant.example/enkash?shop=1",
            "events": ["UTILITY_BILLPAY_FAILED", "PAYOUT_SUCCESS"],
            "enabled": False,
            "companyId": "CEKDEMO123",
        }
        (kept,) = sandbox.ledger.registrations.values()
        assert (kept.headers, kept.ssl_certificate) == ({"X-Key": "my-secret"}, "my-certificate")
        assert not re.search("my-secret|my-certificate", repr(kept) + repr(sandbox.ledger))
        assert sandbox.counts["register_webhook"] == 1

    async def test_the_same_address_again_replaces_the_registration(self, sandbox: Sandbox, receiver: Receiver) -> None:
        """The sandbox posts once, with the header of the second registration."""
        for key in ("old", "new"):
            await register(sandbox, receiver, headers={"X-Key": key})
        create(sandbox.ledger)
        await sandbox.webhooks_delivered()
        assert [post.headers["x-key"] for post in receiver.posts] == ["new"]

    @pytest.mark.parametrize(
        "url",
        [
            "http://localhost:8000/",
            "http://127.0.0.2",
            "http://[::1]:8000/x",
            "https://merchant.example",
            "HTTPS://merchant.example/x",
        ],
    )
    async def test_an_address_is_https_or_on_this_computer(self, sandbox: Sandbox, url: str) -> None:
        """The sandbox keeps the URL letter for letter."""
        assert (await call(sandbox, {"webhookUrl": url, "events": BILLPAY})).body["payload"]["webhookUrl"] == url
        assert list(sandbox.ledger.registrations) == [url]

    @pytest.mark.parametrize(
        ("wrong", "said"),
        [
            ({"webhookUrl": None}, "webhookUrl is required"),
            ({"webhookUrl": ""}, "webhookUrl must be"),
            ({"webhookUrl": 1}, "webhookUrl must be"),
            ({"webhookUrl": "http://merchant.example/"}, "this computer only"),
            ({"webhookUrl": "http://127.0.0.1.merchant.example/"}, "this computer only"),
            ({"webhookUrl": "ftp://merchant.example/"}, "such as https://"),
            ({"webhookUrl": "merchant.example"}, "such as https://"),
            ({"webhookUrl": "https://"}, "such as https://"),
            ({"webhookUrl": "https://merchant.example:99999/"}, "such as https://"),
            ({"webhookUrl": "https://me:my-secret@merchant.example/"}, "without user and password"),
            ({"events": None}, "events is required"),
            ({"events": []}, "events must be one or more of"),
            ({"events": "UTILITY_BILLPAY_FAILED"}, "events must be"),
            ({"events": ["UTILITY_BILLPAY_PAID"]}, "UTILITY_BILLPAY_SUCCESS"),
            ({"headers": ["X-Key"]}, "headers must be an object of strings"),
            ({"headers": {"X-Key": 1}}, "headers must be an object of strings"),
            ({"headers": {"": "my-secret"}}, "names such as X-Key"),
            ({"headers": {"X-Key: my-secret": ""}}, "names such as X-Key"),
            ({"headers": {"X-Key": "my-secret\r\nX-Other: 1"}}, "that of X-Key"),
            ({"headers": {"X-Key": "my-secret\ud800"}}, "that of X-Key"),
            ({"headers": {"content-length": "1"}}, "belongs to the post itself"),
            ({"enabled": "true"}, "enabled must be true or false"),
            ({"companyId": "CEK123"}, "companyId must be"),
            ({"companyId": "cekDEMO123"}, "companyId must be"),
            ({"sslCertificate": 1}, "sslCertificate must be"),
        ],
    )
    async def test_a_wrong_registration_is_refused(self, sandbox: Sandbox, wrong: dict[str, object], said: str) -> None:
        """The envelope says what is right and shows no secret, and nothing is stored."""
        members = {"webhookUrl": "https://merchant.example/", "events": BILLPAY} | wrong
        answer = await call(sandbox, members)
        assert (answer.status, answer.body["response_code"]) == (400, 1)
        assert said in answer.body["payload"]
        assert "my-secret" not in answer.body["payload"]
        assert not sandbox.ledger.registrations

    async def test_a_registration_needs_a_token(self, sandbox: Sandbox) -> None:
        """The sandbox answers 401 and stores no registration."""
        answer = await call(sandbox, {"webhookUrl": "https://merchant.example/", "events": BILLPAY}, token="unknown")
        assert (answer.status, answer.body["response_code"]) == (401, 1)
        assert not sandbox.ledger.registrations

    async def test_a_ledger_checks_a_registration_too(self) -> None:
        """The ledger gives the same messages without HTTP."""
        with pytest.raises(ValueError, match="events must be one or more of UTILITY_BILLPAY_SUCCESS, "):
            Registration(webhook_url="https://merchant.example/", events=("paid",))


class TestWhatIsPosted:
    async def test_every_stage_of_a_paid_bill_is_posted(self, sandbox: Sandbox, receiver: Receiver) -> None:
        """The sandbox posts created, confirmed and paid, although no client reads the bill."""
        sandbox.ledger.settle_after = 0.0
        await register(sandbox, receiver)
        sandbox.ledger.confirm([create(sandbox.ledger)])
        await sandbox.webhooks_delivered()
        assert [post.news for post in receiver.posts] == [
            ("PENDING", "INIT"),
            ("IN_PROGRESS", "IN_PROCESS"),
            ("SUCCESS", "SUCCESS"),
        ]
        assert sandbox.counts["webhook"] == 3

    async def test_a_bill_that_passes_two_stages_at_once_is_posted_twice(
        self, sandbox: Sandbox, receiver: Receiver
    ) -> None:
        """One read finds the bill failed and refunded."""
        await register(sandbox, receiver, events=["UTILITY_BILLPAY_FAILED"])
        key = create(sandbox.ledger, REJECTING)
        sandbox.ledger.confirm([key])
        sandbox.ledger.settle_after = 0.0
        assert sandbox.ledger.get(key).stage is Stage.REFUNDED
        await sandbox.webhooks_delivered()
        assert [post.news for post in receiver.posts] == [("FAILED", "REFUND_IN_PROGRESS"), ("FAILED", "REFUNDED")]
        assert [post.body["refundDate"] is None for post in receiver.posts] == [True, False]

    @pytest.mark.parametrize(
        ("event", "biller_id", "news"),
        [
            ("UTILITY_BILLPAY_SUCCESS", 2001, ["SUCCESS"]),
            ("UTILITY_BILLPAY_FAILED", 2001, []),
            ("UTILITY_BILLPAY_PENDING", 2001, ["PENDING", "IN_PROGRESS"]),
            ("UTILITY_BILLPAY_SUCCESS", REJECTING, []),
            ("UTILITY_BILLPAY_FAILED", REJECTING, ["FAILED", "FAILED"]),
            ("PAYOUT_SUCCESS", 2001, []),
        ],
    )
    async def test_only_what_was_asked_for_is_posted(
        self, sandbox: Sandbox, receiver: Receiver, event: str, biller_id: int, news: list[str]
    ) -> None:
        """The event is derived from the `billpayStatus`."""
        sandbox.ledger.settle_after = 0.0
        await register(sandbox, receiver, events=[event])
        sandbox.ledger.confirm([create(sandbox.ledger, biller_id)])
        await sandbox.webhooks_delivered()
        assert receiver.news == news

    async def test_every_registration_gets_its_own_post(self, sandbox: Sandbox, receiver: Receiver) -> None:
        """Disabled and removed registrations get none."""
        for path in ("one", "two"):
            await call(sandbox, {"webhookUrl": f"{receiver.url}/{path}", "events": BILLPAY})
        await register(sandbox, receiver, enabled=False)
        create(sandbox.ledger)
        await sandbox.webhooks_delivered()
        assert sorted(post.path for post in receiver.posts) == ["/enkash/one", "/enkash/two"]
        sandbox.ledger.registrations.clear()
        create(sandbox.ledger)
        await sandbox.webhooks_delivered()
        assert len(receiver.posts) == 2

    async def test_a_post_looks_like_the_documented_one(
        self, sandbox: Sandbox, receiver: Receiver, clock: Clock
    ) -> None:
        """The post has the example's members, order, types, exact numbers and headers."""
        await register(sandbox, receiver, events=["UTILITY_BILLPAY_SUCCESS"], headers={"X-Key": "my-secret"})
        key = create(sandbox.ledger, amount="2450.70")
        sandbox.ledger.confirm([key], "approved by finance")
        clock.seconds += 10
        await sandbox.webhooks_delivered()
        (post,) = receiver.posts
        assert (post.headers["Content-Type"], post.headers["X-Key"]) == ("application/json", "my-secret")
        body = post.body
        assert list(body) == MEMBERS
        assert '"amount":2450.70,' in post.raw
        assert all(IST_TIME.fullmatch(body[name]) for name in MEMBERS if name in {"createdDate", "approvedDate"})
        assert all(IST_TIME.fullmatch(body[name]) for name in ("paymentDate", "billpayDate"))
        assert all(DAY.fullmatch(body[name]) for name in ("billDate", "billDueDate", "billStartDate", "actualDueDate"))
        assert all(isinstance(body[name], Decimal) for name in ("billAmount", "earlyPaymentAmount"))
        assert (body["failureReason"], body["failureCode"], body["refundDate"]) == (None, None, None)
        assert isinstance(body["numberOfUnits"], int)
        assert body["companyId"] == "CEKDEMO123"
        assert (body["utilityEnkashId"], body["approvalRemarks"]) == (key, "approved by finance")
        assert set(body["companyBiller"]) == {
            *("companyBillerId", "companyName", "biller", "circleEnum", "billInputParams", "billerParams"),
            *("consumerNumber", "consumerName"),
        }

    async def test_a_bill_is_created_on_indian_time(self, sandbox: Sandbox, receiver: Receiver) -> None:
        """The post's time is five and a half hours ahead of UTC."""
        await register(sandbox, receiver)
        created = sandbox.ledger.get(create(sandbox.ledger)).created_at
        await sandbox.webhooks_delivered()
        local = created.timestamp() + 5.5 * 3600
        assert receiver.posts[0].body["createdDate"] == time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(local))


class TestWatching:
    """The sandbox posts a bill that changes by itself, without a read."""

    async def test_a_bill_settles_on_its_own_time(self, receiver: Receiver) -> None:
        """The real clock decides by default."""
        async with Sandbox(settle_after=0.05) as sandbox:
            await register(sandbox, receiver)
            sandbox.ledger.confirm([create(sandbox.ledger)])
            await until(lambda: "SUCCESS" in receiver.news)

    async def test_a_clock_of_ones_own_is_followed(self, sandbox: Sandbox, receiver: Receiver, clock: Clock) -> None:
        """Settlement and refund are posted when the given clock says so."""
        sandbox.ledger.refund_after = 3600.0
        await register(sandbox, receiver, events=["UTILITY_BILLPAY_FAILED"])
        sandbox.ledger.confirm([create(sandbox.ledger, REJECTING)])
        clock.seconds += 10
        await until(lambda: len(receiver.posts) == 1)
        clock.seconds += 3600
        await until(lambda: len(receiver.posts) == 2)
        assert receiver.posts[1].news == ("FAILED", "REFUNDED")

    async def test_a_delay_can_be_changed_while_a_bill_waits(self, sandbox: Sandbox, receiver: Receiver) -> None:
        """Infinity holds the bill and zero settles it."""
        sandbox.ledger.settle_after = math.inf
        await register(sandbox, receiver)
        sandbox.ledger.confirm([create(sandbox.ledger)])
        await sandbox.webhooks_delivered()
        assert receiver.news == ["PENDING", "IN_PROGRESS"]
        sandbox.ledger.settle_after = 0.0
        await until(lambda: "SUCCESS" in receiver.news)

    async def test_a_bill_that_was_confirmed_before_is_watched_from_the_registration_on(
        self, sandbox: Sandbox, receiver: Receiver, clock: Clock
    ) -> None:
        """The sandbox does not post the stages before."""
        sandbox.ledger.confirm([create(sandbox.ledger)])
        await register(sandbox, receiver)
        clock.seconds += 10
        await until(lambda: receiver.news == ["SUCCESS"])

    async def test_a_change_that_a_read_finds_is_posted_once(
        self, sandbox: Sandbox, receiver: Receiver, clock: Clock
    ) -> None:
        """Neither later reads nor the watch post it again."""
        await register(sandbox, receiver, events=["UTILITY_BILLPAY_SUCCESS"])
        keys = [create(sandbox.ledger, cn=f"CN{number}") for number in range(5)]
        sandbox.ledger.confirm(keys)
        clock.seconds += 10
        for _ in range(3):
            sandbox.ledger.get(keys[2])
            await sandbox.webhooks_delivered()
            assert len(sandbox.ledger.search()) == 5
        assert Counter(post.body["utilityEnkashId"] for post in receiver.posts) == Counter(keys)

    async def test_many_bills_at_once_are_all_posted(self, sandbox: Sandbox, receiver: Receiver, clock: Clock) -> None:
        """The watch posts more bills than it reads at a time, in order of confirmation."""
        await register(sandbox, receiver, events=["UTILITY_BILLPAY_SUCCESS"])
        keys = [create(sandbox.ledger) for _ in range(250)]
        sandbox.ledger.confirm(keys)
        receiver.free.clear()
        clock.seconds += 10
        await until(lambda: receiver.busy == 16)
        assert {post.body["utilityEnkashId"] for post in receiver.posts} == set(keys[:16])
        receiver.free.set()
        await sandbox.webhooks_delivered()
        assert Counter(post.body["utilityEnkashId"] for post in receiver.posts) == Counter(keys)

    async def test_it_watches_only_while_there_is_something_to_watch(
        self, sandbox: Sandbox, receiver: Receiver, clock: Clock
    ) -> None:
        """The sandbox runs no task without a webhook or without an open bill."""
        before = others()
        sandbox.ledger.confirm([create(sandbox.ledger)])
        assert others() == before
        sandbox.ledger.register(Registration(webhook_url=receiver.url, events=EVENTS))
        sandbox.ledger.confirm([create(sandbox.ledger)])
        assert len(watches()) == 1
        sandbox.ledger.registrations.clear()
        await until(lambda: not watches())
        clock.seconds += 10
        sandbox.ledger.register(Registration(webhook_url=receiver.url, events=EVENTS))
        await until(lambda: receiver.news.count("SUCCESS") == 2)
        await until(lambda: not watches())
        sandbox.ledger.confirm([create(sandbox.ledger)])
        clock.seconds += 10
        await until(lambda: receiver.news.count("SUCCESS") == 3)

    def test_a_ledger_knows_what_changes_next(self, clock: Clock) -> None:
        """The ledger returns the first due bill of both stages, without an event loop."""
        ledger = Ledger(credentials=CREDENTIALS, clock=clock, settle_after=10.0, refund_after=4.0)
        assert (ledger.next_change(), ledger.read_due(5)) == (None, 0)
        ledger.confirm([create(ledger, REJECTING)])
        assert ledger.next_change() == 10.0
        ledger.settle_after = math.inf
        assert ledger.next_change() == math.inf
        ledger.settle_after = 3.0
        clock.seconds = 3.0
        assert (ledger.next_change(), ledger.read_due(5)) == (0.0, 1)
        assert ledger.next_change() == 4.0
        ledger.confirm([create(ledger)])
        assert ledger.next_change() == 3.0
        clock.seconds = 100.0
        assert ledger.read_due(1) == 1
        assert ledger.read_due(5) == 1
        assert ledger.next_change() is None

    def test_a_bill_that_was_read_is_not_due_again(self, clock: Clock) -> None:
        """The ledger returns the next bill that is still unsettled."""
        ledger = Ledger(credentials=CREDENTIALS, clock=clock, settle_after=10.0)
        keys = []
        for clock.seconds in (0.0, 1.0, 2.0):
            keys.append(create(ledger))
            ledger.confirm(keys)
        clock.seconds = 11.0
        for key in keys[:2]:
            ledger.get(key)
        assert ledger.next_change() == 1.0

    def test_the_refund_that_is_due_first_comes_first(self, clock: Clock) -> None:
        """The order holds when the bill that failed first was read last."""
        ledger = Ledger(credentials=CREDENTIALS, clock=clock, settle_after=math.inf, refund_after=10.0)
        heard: list[tuple[str, Stage]] = []
        ledger.on_change = lambda payment: heard.append((payment.utility_enkash_id, payment.stage))
        first, second = create(ledger, REJECTING), create(ledger, REJECTING, cn="CN2")
        ledger.confirm([first])
        clock.seconds = 5.0
        ledger.confirm([second])
        ledger.settle_after = 0.0
        ledger.get(second)
        ledger.get(first)
        heard.clear()
        clock.seconds = 10.0
        assert ledger.read_due(5) == 1
        assert heard == [(first, Stage.REFUNDED)]

    def test_a_ledger_tells_each_stage_once(self, clock: Clock) -> None:
        """Refused and repeated calls report no stage."""
        heard: list[UtilityPayment] = []
        ledger = Ledger(
            credentials=CREDENTIALS, clock=clock, settle_after=0.0, repeat_debits=True, on_change=heard.append
        )
        key = create(ledger, REJECTING)
        for _ in range(2):
            ledger.confirm([key])
            ledger.search()
        assert [payment.stage for payment in heard] == [
            *(Stage.CREATED, Stage.CONFIRMED, Stage.REFUNDING, Stage.REFUNDED)
        ]


class TestOrder:
    async def test_the_posts_of_a_bill_follow_each_other(self, sandbox: Sandbox, receiver: Receiver) -> None:
        """A bill's next post waits for the answer to the one before; other bills do not."""
        receiver.free.clear()
        await register(sandbox, receiver)
        sandbox.ledger.confirm([create(sandbox.ledger)])
        await until(lambda: receiver.busy == 1)
        create(sandbox.ledger, cn="CN2")
        await until(lambda: receiver.busy == 2)
        assert receiver.news == ["PENDING", "PENDING"]
        receiver.free.set()
        await sandbox.webhooks_delivered()
        assert receiver.news == ["PENDING", "PENDING", "IN_PROGRESS"]

    async def test_an_address_that_does_not_answer_holds_up_no_other(
        self, sandbox: Sandbox, receiver: Receiver
    ) -> None:
        """Each address gets the posts of a bill in order."""
        async with receiving() as stuck:
            stuck.free.clear()
            await register(sandbox, stuck)
            await register(sandbox, receiver)
            sandbox.ledger.confirm([create(sandbox.ledger)])
            await until(lambda: receiver.news == ["PENDING", "IN_PROGRESS"])
            assert stuck.news == ["PENDING"]
            stuck.free.set()
            await sandbox.webhooks_delivered()

    async def test_delivery_is_waited_for_but_no_bill_that_is_not_due(
        self, sandbox: Sandbox, receiver: Receiver
    ) -> None:
        """The wait ends at once without webhooks."""
        await sandbox.webhooks_delivered()
        receiver.free.clear()
        await register(sandbox, receiver)
        sandbox.ledger.confirm([create(sandbox.ledger)])
        waiting = asyncio.create_task(sandbox.webhooks_delivered())
        await until(lambda: receiver.busy == 1)
        assert not waiting.done()
        receiver.free.set()
        await asyncio.wait_for(waiting, 10)
        assert receiver.news == ["PENDING", "IN_PROGRESS"]

    async def test_giving_up_the_wait_leaves_the_posts_alone(self, sandbox: Sandbox, receiver: Receiver) -> None:
        """The posts arrive although the caller of `webhooks_delivered` timed out."""
        receiver.free.clear()
        await register(sandbox, receiver)
        create(sandbox.ledger)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(sandbox.webhooks_delivered(), 0.01)
        receiver.free.set()
        await sandbox.webhooks_delivered()
        assert receiver.news == ["PENDING"]

    async def test_the_end_drops_what_is_outstanding(self, receiver: Receiver) -> None:
        """The sandbox cancels posts in flight, queued posts and the watch, and leaves no task."""
        receiver.free.clear()
        before = others()
        async with Sandbox(settle_after=3600.0) as sandbox:
            await register(sandbox, receiver)
            sandbox.faults.add("webhook", FaultKind.REORDERED, delay=3600.0, after=2)
            for number in range(20):
                sandbox.ledger.confirm([create(sandbox.ledger, cn=f"CN{number}")])
            await until(lambda: receiver.busy == 16)
            begun = time.monotonic()
        assert time.monotonic() - begun < 30  # of an hour
        await sandbox.webhooks_delivered()
        sandbox.ledger.confirm([create(sandbox.ledger)])
        sandbox.ledger.register(Registration(webhook_url=receiver.url, events=EVENTS))
        receiver.free.set()
        await until(lambda: others() <= before and not receiver.busy)
        assert len(receiver.posts) == sandbox.counts["webhook"] == 16


class TestResends:
    @pytest.mark.parametrize("status", [300, 302, 307, 400, 404, 500, 503])
    async def test_anything_but_a_2xx_is_posted_again(self, sandbox: Sandbox, receiver: Receiver, status: int) -> None:
        """The same bytes are sent again before the next post, and redirects are not followed."""
        receiver.answers = [status] * 2
        await register(sandbox, receiver)
        sandbox.ledger.confirm([create(sandbox.ledger)])
        await sandbox.webhooks_delivered()
        assert receiver.news == ["PENDING"] * 3 + ["IN_PROGRESS"]
        assert {post.path for post in receiver.posts} == {"/enkash"}
        assert len({post.raw for post in receiver.posts}) == 2
        assert sandbox.counts["webhook"] == 4

    @pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
    async def test_every_2xx_is_the_end_of_a_post(self, sandbox: Sandbox, receiver: Receiver, status: int) -> None:
        """The sandbox ignores the reply's body and its cookies."""
        receiver.answers = [status]
        receiver.url = receiver.url.replace("127.0.0.1", "localhost")  # aiohttp keeps no cookies of an IP address
        await register(sandbox, receiver)
        sandbox.ledger.confirm([create(sandbox.ledger)])
        await sandbox.webhooks_delivered()
        assert receiver.news == ["PENDING", "IN_PROGRESS"]
        assert "Cookie" not in receiver.posts[1].headers

    async def test_a_post_is_given_up_after_so_many_attempts(self, receiver: Receiver) -> None:
        """The sandbox then begins the bill's next post."""
        receiver.answers = [500] * 2
        async with Sandbox(settle_after=math.inf, webhook_attempts=2, webhook_pause=0.0) as sandbox:
            await register(sandbox, receiver)
            sandbox.ledger.confirm([create(sandbox.ledger)])
            await sandbox.webhooks_delivered()
        assert receiver.news == ["PENDING", "PENDING", "IN_PROGRESS"]

    @pytest.mark.parametrize("host", ["127.0.0.1:1", f"{'a' * 64}.invalid"])
    async def test_an_address_that_cannot_be_reached_is_given_up(self, sandbox: Sandbox, host: str) -> None:
        """The sandbox counts each of its three attempts and then stops."""
        await call(sandbox, {"webhookUrl": f"https://{host}/", "events": BILLPAY})
        create(sandbox.ledger)
        await sandbox.webhooks_delivered()
        assert sandbox.counts["webhook"] == 3

    def test_the_pauses_grow(self) -> None:
        """Each pause is twice as long as the one before."""
        assert [Resends(attempts=5, pause=0.5).pause_before(attempt) for attempt in range(5)] == [0, 0.5, 1, 2, 4]

    @pytest.mark.parametrize("wrong", [{"webhook_attempts": 0}, {"webhook_attempts": 1.5}, {"webhook_attempts": True}])
    def test_there_is_one_attempt_at_least(self, wrong: dict[str, Any]) -> None:
        """The message names the argument that is below 1 or no int."""
        with pytest.raises(ValueError, match="webhook_attempts must be 1 or more"):
            Sandbox(**wrong)

    @pytest.mark.parametrize("pause", [-0.1, math.inf, math.nan])
    def test_a_pause_has_an_end(self, pause: float) -> None:
        """The message names the argument that is negative or not finite."""
        with pytest.raises(ValueError, match="webhook_pause must be a finite number of seconds"):
            Sandbox(webhook_pause=pause)


@attrs.frozen
class Office:
    """A courier whose time passes when a test says so."""

    courier: Courier
    ledger: Ledger
    faults: Faults
    counts: Counter[str]
    clock: HeldClock

    def change(self, *, times: int = 1) -> str:
        """Create a bill, and confirm and settle it for further changes."""
        key = create(self.ledger)
        if times > 1:
            self.ledger.confirm([key])
        if times > 2:
            self.ledger.get(key)
        return key


@pytest.fixture
async def office(receiver: Receiver) -> AsyncIterator[Office]:
    async with opened(receiver) as made:
        yield made


@asynccontextmanager
async def opened(receiver: Receiver, **options: Any) -> AsyncIterator[Office]:
    faults, counts, clock = Faults(), Counter[str](), HeldClock()
    ledger = Ledger(credentials=CREDENTIALS, settle_after=0.0)
    courier = Courier(ledger, faults=faults, counts=counts, resends=Resends(), sleep=clock.sleep, **options)
    ledger.on_change = courier.announce
    ledger.register(Registration(webhook_url=receiver.url, events=EVENTS))
    courier.open()
    try:
        yield Office(courier, ledger, faults, counts, clock)
    finally:
        await courier.close()


class TestTime:
    async def test_an_attempt_has_its_time(self, receiver: Receiver) -> None:
        """An attempt without an answer in time counts as refused."""
        receiver.free.clear()
        async with opened(receiver, timeout=0.1) as office:
            office.change()
            await until(lambda: receiver.busy == 1)
            await until(lambda: bool(office.clock._sleepers))
            receiver.free.set()
            await office.clock.advance(0.2)
            await office.courier.done()
        assert receiver.news == ["PENDING", "PENDING"]

    async def test_a_pause_comes_before_each_further_attempt(self, receiver: Receiver, office: Office) -> None:
        """The default pauses are 0.2 and 0.4 seconds."""
        receiver.answers = [500] * 2
        begun = office.clock.now
        office.change()
        for posts, pause in ((1, 0.2), (2, 0.4)):
            await until(lambda: bool(office.clock._sleepers))
            assert len(receiver.posts) == posts
            assert office.clock._sleepers[0][0] == pytest.approx(office.clock.now + pause)
            await office.clock.advance(pause)
        await office.courier.done()
        assert len(receiver.posts) == 3
        assert office.clock.now == pytest.approx(begun + 0.6)

    async def test_bills_that_pause_hold_up_no_other(self, receiver: Receiver, office: Office) -> None:
        """A pause takes no place among the posts in flight, for any number of bills."""
        receiver.answers = [500] * 16
        for _ in range(16):
            office.change()
        await until(lambda: len(office.clock._sleepers) == 16)
        key = office.change()
        await until(lambda: len(receiver.posts) == 17)
        assert receiver.posts[-1].body["utilityEnkashId"] == key


class TestFaults:
    async def test_a_duplicated_post_arrives_twice_at_the_same_moment(self, receiver: Receiver, office: Office) -> None:
        """Both are in flight before either is answered, and the next post waits for both."""
        office.faults.add("webhook", FaultKind.DUPLICATED)
        receiver.free.clear()
        office.change(times=2)
        await until(lambda: receiver.busy == 2)
        assert receiver.news == ["PENDING", "PENDING"]
        assert receiver.posts[0].raw == receiver.posts[1].raw
        receiver.free.set()
        await office.courier.done()
        assert receiver.news == ["PENDING", "PENDING", "IN_PROGRESS"]
        assert office.counts["webhook"] == 3

    async def test_a_reordered_post_lets_a_later_one_of_its_bill_go_first(
        self, receiver: Receiver, office: Office
    ) -> None:
        """The post waits for the answer to a later post of its own bill."""
        office.faults.add("webhook", FaultKind.REORDERED, delay=60.0)
        key = office.change()
        office.change()
        await until(lambda: receiver.news == ["PENDING"])
        assert receiver.posts[0].body["utilityEnkashId"] != key
        receiver.free.clear()
        office.ledger.confirm([key])
        await until(lambda: receiver.busy == 1)
        receiver.free.set()
        await office.courier.done()
        of_the_bill = [post.news[0] for post in receiver.posts if post.body["utilityEnkashId"] == key]
        assert of_the_bill == ["IN_PROGRESS", "PENDING"]

    async def test_a_reordered_post_goes_before_those_after_the_next(self, receiver: Receiver, office: Office) -> None:
        """The post changes places with the next one and not with the third."""
        office.faults.add("webhook", FaultKind.REORDERED, delay=60.0)
        office.change(times=3)
        await office.courier.done()
        assert receiver.news == ["IN_PROGRESS", "PENDING", "SUCCESS"]

    async def test_two_reordered_posts_turn_the_order_round(self, receiver: Receiver, office: Office) -> None:
        """The second waits for the third, and the first for the second."""
        office.faults.add("webhook", FaultKind.REORDERED, delay=60.0, times=2)
        office.change(times=3)
        await office.courier.done()
        assert receiver.news == ["SUCCESS", "IN_PROGRESS", "PENDING"]

    async def test_a_reordered_post_is_held_back_so_long_at_most(self, receiver: Receiver, office: Office) -> None:
        """Without a later post it is sent after the delay."""
        office.faults.add("webhook", FaultKind.REORDERED, delay=60.0)
        office.change()
        await office.clock.advance(59.0)
        assert not receiver.posts
        await office.clock.advance(1.0)
        await office.courier.done()
        assert receiver.news == ["PENDING"]

    async def test_a_reordered_post_does_not_wait_for_an_answer_for_ever(
        self, receiver: Receiver, office: Office
    ) -> None:
        """After its delay it is sent beside the unanswered later one."""
        receiver.free.clear()
        office.faults.add("webhook", FaultKind.REORDERED, delay=60.0)
        office.change(times=2)
        await until(lambda: receiver.busy == 1)
        await office.clock.advance(60.0)
        await until(lambda: receiver.busy == 2)
        assert receiver.news == ["IN_PROGRESS", "PENDING"]
        receiver.free.set()
        await office.courier.done()
        assert office.counts["webhook"] == 2

    async def test_a_slow_post_holds_up_its_bill_only(self, receiver: Receiver, office: Office) -> None:
        """The bill's later posts are late by the delay, and other bills' posts are not."""
        office.faults.add("webhook", FaultKind.SLOW, delay=60.0)
        key = office.change(times=2)
        office.change()
        await until(lambda: receiver.news == ["PENDING"])
        assert receiver.posts[0].body["utilityEnkashId"] != key
        await office.clock.advance(60.0)
        await office.courier.done()
        assert receiver.news == ["PENDING", "PENDING", "IN_PROGRESS"]

    async def test_a_dropped_post_is_never_sent(self, receiver: Receiver, office: Office) -> None:
        """The receiver does not get the post, and the sandbox does not count it."""
        office.faults.add("webhook", FaultKind.DROP_BEFORE, after=1)
        office.change(times=3)
        await office.courier.done()
        assert receiver.news == ["PENDING", "SUCCESS"]
        assert office.counts["webhook"] == 2

    async def test_a_fault_counts_posts_not_attempts(self, receiver: Receiver, office: Office) -> None:
        """A repeat of a post is not a second post."""
        receiver.answers = [500]
        office.faults.add("webhook", FaultKind.DROP_BEFORE, after=1)
        office.change(times=3)
        await until(lambda: bool(office.clock._sleepers))
        await office.clock.advance(1.0)
        await office.courier.done()
        assert receiver.news == ["PENDING", "PENDING", "SUCCESS"]

    async def test_the_sandbox_takes_faults_of_posts(self, sandbox: Sandbox, receiver: Receiver) -> None:
        """A fault for `*` strikes requests alone, and one for `webhook` doubles each post."""
        await register(sandbox, receiver)
        sandbox.faults.add("*", FaultKind.DROP_BEFORE, times=None)
        sandbox.faults.add("webhook", "duplicated", times=None)
        sandbox.ledger.confirm([create(sandbox.ledger)])
        await sandbox.webhooks_delivered()
        assert receiver.news == ["PENDING", "PENDING", "IN_PROGRESS", "IN_PROGRESS"]
        assert sandbox.counts["webhook"] == 4

    def test_each_kind_has_its_routes(self) -> None:
        """Some kinds are for posts, others for requests, and two for both."""
        of_posts, of_requests = set(FaultKind.of("webhook")), set(FaultKind.of("create_bill"))
        assert of_posts == {FaultKind.DUPLICATED, FaultKind.REORDERED, FaultKind.SLOW, FaultKind.DROP_BEFORE}
        assert of_requests == set(FaultKind.of("*"))
        assert of_posts & of_requests == {FaultKind.SLOW, FaultKind.DROP_BEFORE}
        assert of_posts | of_requests == set(FaultKind)

    @pytest.mark.parametrize("kind", sorted(set(FaultKind) - set(FaultKind.of("webhook"))))
    def test_a_kind_of_requests_is_refused_for_posts(self, kind: FaultKind) -> None:
        """The message lists the kinds of fault that suit a post."""
        with pytest.raises(
            ValueError, match=f"'{kind}' is no kind .* 'webhook'; use one of duplicated, reordered, slow"
        ):
            Faults().add("webhook", kind)

    @pytest.mark.parametrize("route", ["create_bill", "register_webhook", "*"])
    @pytest.mark.parametrize("kind", [FaultKind.DUPLICATED, FaultKind.REORDERED])
    def test_a_kind_of_posts_is_refused_for_requests(self, route: str, kind: FaultKind) -> None:
        """The message lists the kinds of fault that suit a request."""
        with pytest.raises(ValueError, match=rf"'{kind}' is no kind of fault for '{re.escape(route)}'; .*, late$"):
            Faults().add(route, kind)

    @pytest.mark.parametrize("route", ["webhook", "bill"])
    def test_an_unknown_kind_is_refused_with_those_of_the_route(self, route: str) -> None:
        """A misspelt kind must not make a test pass without a fault."""
        with pytest.raises(ValueError, match=rf"unknown kind of fault 'lost'; use one of {FaultKind.of(route)[0]}, "):
            Faults().add(route, "lost")
