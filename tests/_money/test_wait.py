"""Waiting for bills: one poller for all of them, in growing pauses, to the deadline, or until news comes."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enkash_async import (
    Bill,
    BillNotifier,
    BillPayStatus,
    EnkashClient,
    InvalidRequestError,
    NotFoundError,
    Outcome,
    PollPolicy,
    RequestTimeoutError,
    ServerError,
    WaitTimeoutError,
)
from enkash_async._wire.operation import Operation
from enkash_async.bulk import BulkItem, BulkResult
from enkash_async.errors import AuthenticationError, EnkashError, TransportError
from enkash_async.resources.bills_bulk import Bills
from enkash_async.sandbox import FaultKind, Sandbox

from support import EAGER, LeapingLoop, Time, bill_calls

T = TypeVar("T")

STEADY = PollPolicy(first=1.0, factor=2.0, longest=8.0, jitter=0.0)
FAR_OFF = PollPolicy(first=3600.0, longest=3600.0)


class Busy(Time):
    """A clock that only sleeping moves; each pause carries out the next thing that the test wants."""

    def __init__(self, *happenings: Callable[[], object]) -> None:
        super().__init__()
        self._happenings = list(happenings)

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds)
        if self._happenings:
            self._happenings.pop(0)()


class Shop:
    """The sandbox with bills in its ledger, and the calls about them on a clock of their own."""

    def __init__(self, sandbox: Sandbox, client: EnkashClient) -> None:
        self.sandbox, self.ledger, self.client = sandbox, sandbox.ledger, client

    def stock(self, count: int, biller_id: int = 2001) -> list[str]:
        """Put bills into the ledger and return their ids."""
        consumer = self.ledger.enrol(biller_id, {"cn": "1"})
        due = self.ledger.due(consumer)
        return [self.ledger.create(consumer, due).utility_enkash_id for _ in range(count)]

    def bills(self, time: Time, random: Callable[[], float] = lambda: 0.5) -> Bills:
        """Return the calls of the client with another clock."""
        return bill_calls(self.client._send, clock=time, sleep=time.sleep, random=random)

    def settle(self, ids: Iterable[str]) -> Callable[[], object]:
        """Return a function that settles bills when a pause calls it."""
        return lambda: self.ledger.confirm(list(ids))

    @property
    def reads(self) -> tuple[int, int]:
        """Return how many searches and how many single reads were made."""
        return self.sandbox.counts["search_bills"], self.sandbox.counts["bill"]


@pytest.fixture
async def shop(sandbox: Sandbox, client: EnkashClient) -> Shop:
    return Shop(sandbox, client)


def _keys(items: Iterable[BulkItem[Bill]]) -> list[str]:
    return [item.key for item in items]


def _outcomes(result: BulkResult[Bill]) -> Counter[Outcome]:
    return Counter(item.value.outcome for item in result.succeeded if item.value is not None)


# --- many at once -----------------------------------------------------------------------------------------------------


async def test_297_bills_are_waited_for_by_search(shop: Shop) -> None:
    """The poller puts 99 ids into a search and does not ask again about settled bills.

    Every third look reads as many bills singly as it makes searches: two here.
    """
    ids = shop.stock(297)
    time = Busy(shop.settle(ids[:99]), shop.settle(ids[150:249]), shop.settle([*ids[99:150], *ids[249:]]))
    result = await shop.bills(time).wait_many(ids, policy=STEADY)
    assert _keys(result.succeeded) == ids
    assert _outcomes(result) == {Outcome.PAID: 297}
    assert shop.reads == (3 + 3 + 2 + 1, 2)
    assert time.slept == [1.0, 2.0, 4.0]


async def test_each_bill_ends_in_its_group(shop: Shop) -> None:
    """Paid, failed, late and missing bills are each in their group, in order, a repeated id once."""
    (paid, slow), (bad,) = shop.stock(2), shop.stock(1, biller_id=2302)
    shop.settle([paid, bad])()
    time = Time()
    result = await shop.bills(time).wait_many([bad, "nobody", slow, paid, slow, "none"], timeout=5, policy=STEADY)
    assert [(item.key, item.value and item.value.outcome) for item in result.succeeded] == [
        (bad, Outcome.FAILED),
        (paid, Outcome.PAID),
    ]
    assert [(item.key, type(item.error)) for item in result.failed] == [
        ("nobody", NotFoundError),
        ("none", NotFoundError),
    ]
    (late,) = result.unknown
    assert isinstance(late.error, WaitTimeoutError)
    assert late.error.last is not None
    assert (late.key, late.error.last.utility_enkash_id, late.error.__cause__) == (slow, slow, None)
    assert (result.not_sent, result.duplicates) == ((), (slow,))
    assert time.slept == [1.0, 2.0, 2.0]


@pytest.mark.parametrize("make", [list, tuple, iter, dict.fromkeys])
async def test_any_iterable_of_ids_will_do(shop: Shop, make: Callable[[list[str]], Any]) -> None:
    """The poller waits for the ids of any iterable; an empty one ends at once."""
    ids = shop.stock(2)
    shop.settle(ids)()
    assert _keys((await shop.client.bills.wait_many(make(ids))).succeeded) == ids
    assert await shop.client.bills.wait_many(make([])) == BulkResult()


async def test_an_asynchronous_source_is_read_to_its_end(shop: Shop) -> None:
    """The poller reads all ids of an asynchronous source, such as the stream of creates."""
    ids = shop.stock(5)
    shop.settle(ids)()

    async def source() -> AsyncIterator[str]:
        for one in ids:
            await asyncio.sleep(0)
            yield one

    assert _keys((await shop.client.bills.wait_many(source())).succeeded) == ids


@pytest.mark.parametrize(
    ("ids", "how", "said"),
    [
        ("U-1", {}, "ids must be an iterable, not one str"),
        (["U-1", ""], {}, "an id in ids is empty"),
        (["U-1"], {"timeout": -1}, "timeout must be a number of seconds, 0 or more"),
        (["U-1"], {"timeout": math.nan}, "timeout must be a number of seconds, 0 or more"),
        (["U-1"], {"timeout": True}, "timeout must be a number of seconds, 0 or more"),
    ],
)
async def test_a_wrong_argument_is_refused_before_anything_is_sent(
    shop: Shop, ids: Any, how: dict[str, Any], said: str
) -> None:
    """The message says what to write instead."""
    with pytest.raises(InvalidRequestError, match=said):
        await shop.client.bills.wait_many(ids, **how)
    assert shop.sandbox.counts == {}


async def test_progress_counts_those_that_need_no_more_waiting(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    """Progress counts settled and missing bills; an error of the callback is only logged."""
    ids = [*shop.stock(5), "nobody"]
    told = list[tuple[int, int | None]]()

    def tell(done: int, total: int | None) -> None:
        told.append((done, total))
        raise ValueError("no terminal")

    time = Busy(shop.settle(ids[:2]), shop.settle(ids[2:4]))
    result = await shop.bills(time).wait_many(ids, timeout=10, policy=STEADY, on_progress=tell)
    assert told == [(1, 6), (2, 6), (3, 6), (4, 6), (5, 6)]
    assert caplog.text.count("on_progress failed") == 5
    assert _keys(result.unknown) == [ids[4]]


# --- pauses and failures ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("chance", "share"), [(0.0, 0.8), (0.5, 1.0), (0.999999, 1.2)])
async def test_pauses_grow_and_vary_by_their_share(shop: Shop, chance: float, share: float) -> None:
    """The poller cuts the last pause to the time that is left and looks once more, then at each bill singly."""
    ids = shop.stock(4)
    time = Time()
    policy = PollPolicy(first=2.0, factor=1.5, longest=9.0, jitter=0.2)
    await shop.bills(time, lambda: chance).wait_many(ids, timeout=12, policy=policy)
    pauses = [2.0 * share, 3.0 * share, 4.5 * share]
    assert time.slept == [pytest.approx(pause, abs=1e-4) for pause in [*pauses, 12 - sum(pauses)]]
    assert shop.reads == (5, 1 + 4)


async def test_transient_failures_are_outlasted(shop: Shop) -> None:
    """The next look succeeds, and the result shows nothing of the failure."""
    ids = shop.stock(4)
    shop.settle(ids)()
    shop.sandbox.faults.add("search_bills", FaultKind.BAD_GATEWAY, times=2 * EAGER.attempts)
    time = Time()
    assert _keys((await shop.bills(time).wait_many(ids, policy=STEADY)).succeeded) == ids
    assert time.slept == [1.0, 2.0]


async def test_the_failure_of_the_last_look_is_told_beside_the_last_state(shop: Shop) -> None:
    """The result has the last state seen, or none, and the failure that came after it."""
    ids = shop.stock(4)
    time = Busy(lambda: shop.sandbox.faults.add("search_bills", FaultKind.BAD_GATEWAY, times=None))
    result = await shop.bills(time).wait_many(ids, timeout=3, policy=STEADY)
    for item in result.unknown:
        assert isinstance(item.error, WaitTimeoutError)
        assert isinstance(item.error.__cause__, ServerError)
        assert item.error.last is not None
        assert item.error.last.outcome is Outcome.PENDING
    unseen = await shop.bills(Time()).wait_many(ids, timeout=3, policy=STEADY)
    assert [item.error.last for item in unseen.unknown if isinstance(item.error, WaitTimeoutError)] == [None] * 4


async def test_a_permanent_failure_ends_the_wait(shop: Shop) -> None:
    """The poller makes no further pause and no further look."""
    ids = shop.stock(5)
    shop.sandbox.faults.add("search_bills", FaultKind.UNAUTHORIZED, times=None)
    time = Time()
    result = await shop.bills(time).wait_many(ids, policy=STEADY)
    assert {type(item.error) for item in result.failed} == {AuthenticationError}
    assert (_keys(result.failed), time.slept) == (ids, [])


async def test_a_single_wait_raises_what_the_bill_ended_with(shop: Shop) -> None:
    """The error has the last state, and the last look's failure as its cause."""
    (one,) = shop.stock(1)
    time = Busy(lambda: shop.sandbox.faults.add("bill", FaultKind.SERVER_ERROR, times=None))
    with pytest.raises(WaitTimeoutError, match=f"bill {one} is not settled after 4 s") as caught:
        await shop.bills(time).wait_until_settled(one, timeout=4, policy=STEADY)
    assert isinstance(caught.value.__cause__, ServerError)
    assert caught.value.last is not None
    assert time.slept == [1.0, 2.0, 1.0]
    shop.sandbox.faults.clear()
    with pytest.raises(NotFoundError):
        await shop.bills(time).wait_until_settled("nobody")


# --- the deadline -----------------------------------------------------------------------------------------------------


class Slow:
    """A `Send` that fails every time, after the given seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    async def __call__(self, operation: Operation[T]) -> T:
        await asyncio.sleep(self._seconds)
        raise ServerError("away", status=502)


@pytest.mark.parametrize("count", [1, 3, 100, 5000])
@pytest.mark.parametrize("timeout", [0.0, 30.0])
@pytest.mark.parametrize("answers_after", [1e6, 20.0])
def test_a_wait_for_an_enkash_that_hangs_ends_at_its_deadline(count: int, timeout: float, answers_after: float) -> None:
    """All looks share one deadline, however many bills there are."""

    async def wait() -> tuple[BulkResult[Bill], float]:
        loop = asyncio.get_running_loop()
        bills = bill_calls(Slow(answers_after), clock=loop.time)
        result = await bills.wait_many((f"U-{number}" for number in range(count)), timeout=timeout)
        return result, loop.time()

    with asyncio.Runner(loop_factory=LeapingLoop) as runner:
        result, took = runner.run(wait())
    causes = {type(item.error and item.error.__cause__) for item in result.unknown}
    assert RequestTimeoutError in causes <= {RequestTimeoutError, ServerError}
    assert len(result.unknown) == count
    assert took <= timeout + 2


# --- news -------------------------------------------------------------------------------------------------------------


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


@pytest.fixture
def notifier() -> BillNotifier:
    return BillNotifier()


async def test_news_ends_a_wait_whose_next_look_is_far_off(shop: Shop, notifier: BillNotifier) -> None:
    """The poller looks right after the news and stops listening when the bill is settled."""
    (one,) = shop.stock(1)
    waiting = asyncio.ensure_future(
        shop.client.bills.wait_until_settled(one, timeout=7200, policy=FAR_OFF, notifier=notifier)
    )
    await _until(lambda: shop.reads == (0, 1))
    shop.settle([one])()
    notifier.notify(one)
    assert (await asyncio.wait_for(waiting, 10)).outcome is Outcome.PAID
    assert shop.reads == (0, 2)
    assert notifier._waiting == {}


async def test_news_is_not_believed(shop: Shop, notifier: BillNotifier) -> None:
    """A webhook may be early or forged, so the poller asks about the bill and waits on if it is not settled."""
    (one,) = shop.stock(1)
    waiting = asyncio.ensure_future(
        shop.client.bills.wait_until_settled(one, timeout=7200, policy=FAR_OFF, notifier=notifier)
    )
    await _until(lambda: shop.reads == (0, 1))
    notifier.notify(one)
    await _until(lambda: shop.reads == (0, 2))
    assert not waiting.done()
    shop.settle([one])()
    notifier.notify(one)
    assert (await asyncio.wait_for(waiting, 10)).is_settled


async def test_news_of_one_bill_has_that_one_looked_at_alone(shop: Shop, notifier: BillNotifier) -> None:
    """The poller does not search for the other 197 bills at each piece of news."""
    ids = shop.stock(198)
    done = list[int]()
    waiting = asyncio.ensure_future(
        shop.client.bills.wait_many(
            ids, timeout=7200, policy=FAR_OFF, notifier=notifier, on_progress=lambda count, _: done.append(count)
        )
    )
    await _until(lambda: shop.reads == (2, 0))
    for count, one in enumerate(ids[:5], 1):
        shop.settle([one])()
        notifier.notify(one)
        await _until(lambda count=count: done[-1:] == [count])  # type: ignore[misc]
    assert shop.reads == (2, 5)
    shop.settle(ids)()
    for one in ids:
        notifier.notify(one)
    assert _keys((await asyncio.wait_for(waiting, 10)).succeeded) == ids
    assert shop.reads == (2 + 2, 5)


async def test_late_news_of_what_is_settled_costs_nothing(shop: Shop, notifier: BillNotifier) -> None:
    """A hundred late webhooks about settled bills cause no search."""
    ids = shop.stock(12)
    shop.settle(ids[:10])()
    done = list[int]()
    waiting = asyncio.ensure_future(
        shop.client.bills.wait_many(
            ids, timeout=7200, policy=FAR_OFF, notifier=notifier, on_progress=lambda count, _: done.append(count)
        )
    )
    await _until(lambda: done[-1:] == [10])
    before = shop.reads
    for one in ids[:10]:
        notifier.notify(one)
        await _until(lambda one=one: not notifier._waiting[one][0]._heard)  # type: ignore[misc]
    shop.settle(ids[10:11])()
    notifier.notify(ids[10])
    await _until(lambda: done[-1:] == [11])
    assert shop.reads == (before[0], before[1] + 1)
    shop.settle(ids)()
    notifier.notify(ids[11])
    assert _keys((await asyncio.wait_for(waiting, 10)).succeeded) == ids


async def test_news_of_some_bills_does_not_starve_the_others(shop: Shop, notifier: BillNotifier) -> None:
    """The poller sees the silent bill settle, although another bill is in the news all the time."""
    noisy, quiet = shop.stock(2)
    seen_at = list[float]()

    class Noise(Time):
        async def sleep(self, seconds: float) -> None:
            self.slept.append(seconds)
            self.now += min(seconds, 0.5)  # the news comes before the pause is over
            notifier.notify(noisy)
            await asyncio.Event().wait()

    time = Noise()
    bills = bill_calls(shop.client._send, clock=time, sleep=time.sleep, random=lambda: 0.5)
    waiting = asyncio.ensure_future(
        bills.wait_many(
            [noisy, quiet],
            timeout=60,
            policy=STEADY,
            notifier=notifier,
            on_progress=lambda *_: seen_at.append(time.now - 1000),
        )
    )
    await _until(lambda: len(time.slept) > 3)
    settled_at = time.now - 1000
    shop.settle([quiet])()
    result = await asyncio.wait_for(waiting, 10)
    assert (_keys(result.succeeded), _keys(result.unknown)) == ([quiet], [noisy])
    assert seen_at[0] <= settled_at + 2 * STEADY.longest
    assert len(time.slept) > 60


@pytest.mark.parametrize("end", ["cancelled", "timed out", "permanent failure"])
async def test_nobody_listens_after_a_wait(shop: Shop, notifier: BillNotifier, end: str) -> None:
    """The poller stops listening, whichever end the wait comes to."""
    ids = shop.stock(5)
    if end == "permanent failure":
        shop.sandbox.faults.add("search_bills", FaultKind.UNAUTHORIZED, times=None)
    timeout = 0.0 if end == "timed out" else 7200.0
    waiting = asyncio.ensure_future(
        shop.client.bills.wait_many(ids, timeout=timeout, policy=FAR_OFF, notifier=notifier)
    )
    if end == "cancelled":
        await _until(lambda: shop.reads == (1, 0) and len(notifier._waiting) == 5)
        waiting.cancel()
    await asyncio.wait([waiting], timeout=10)
    assert waiting.cancelled() == (end == "cancelled")
    assert notifier._waiting == {}
    notifier.notify(ids[0])


async def test_two_who_wait_for_one_bill_both_hear_of_it(shop: Shop, notifier: BillNotifier) -> None:
    """One of two waiting callers gives up, and the other still hears the news."""
    (one,) = shop.stock(1)
    waits = [
        asyncio.ensure_future(
            shop.client.bills.wait_until_settled(one, timeout=7200, policy=FAR_OFF, notifier=notifier)
        )
        for _ in range(3)
    ]
    await _until(lambda: shop.reads == (0, 3))
    waits[1].cancel()
    await asyncio.wait([waits[1]])
    shop.settle([one])()
    notifier.notify(one)
    settled = await asyncio.wait_for(asyncio.gather(waits[0], waits[2]), 10)
    assert [bill.outcome for bill in settled] == [Outcome.PAID] * 2


# --- whatever is seen -------------------------------------------------------------------------------------------------

_LOOKS = {
    "pending": Bill(billpay_status=BillPayStatus.IN_PROGRESS),
    "paid": Bill(billpay_status=BillPayStatus.SUCCESS),
    "bad": Bill(billpay_status=BillPayStatus.FAILED),
    "away": TransportError("x"),
    "absent": NotFoundError("x"),
}


@given(st.lists(st.lists(st.sampled_from(list(_LOOKS)), min_size=1, max_size=6), min_size=1, max_size=3))
async def test_a_bill_ends_with_the_first_look_that_is_final(looks: list[list[str]]) -> None:
    """The result is the first final state, or else the last one seen; no look follows it."""
    shown = {f"U-{number}": list(states) for number, states in enumerate(looks)}

    async def send(operation: Any) -> Any:
        states = shown[operation.request.path.rpartition("/")[2]]
        found = _LOOKS[states.pop(0) if len(states) > 1 else states[0]]
        if isinstance(found, EnkashError):
            raise found
        return found

    time = Time()
    bills = bill_calls(send, clock=time, sleep=time.sleep)
    result = await bills.wait_many(list(shown), timeout=5, policy=PollPolicy(first=1, factor=1, jitter=0))
    for number, states in enumerate(looks):
        seen = [*states, *states[-1:] * 6][:6]
        final = next((state for state in seen if state in {"paid", "bad", "absent"}), None)
        group = {None: result.unknown, "absent": result.failed}.get(final, result.succeeded)
        (item,) = (item for item in group if item.key == f"U-{number}")
        if final is None:
            assert isinstance(item.error, WaitTimeoutError)
            assert (item.error.last is None) == ("pending" not in seen)
            assert (item.error.__cause__ is None) == (seen[-1] == "pending")
    assert len(result.succeeded) + len(result.failed) + len(result.unknown) == len(looks)
