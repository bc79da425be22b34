"""Bulk work: bounded concurrency, a source not read ahead, every item in one group, and nothing left running."""

from __future__ import annotations

import asyncio
import collections
import gc
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import aclosing
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enkash_async import BillRequest, EnkashClient, FetchedBill
from enkash_async._flow.jobs import Job, collect, drive, items_of, stream
from enkash_async.bulk import BulkError, BulkGroup, BulkItem, BulkResult
from enkash_async.errors import (
    AuthenticationError,
    BadRequestError,
    CredentialsRejectedError,
    EnkashError,
    InvalidRequestError,
    LoginGuardError,
    NotFoundError,
    OutcomeUnknownError,
    TokenEndpointError,
    TransportError,
)
from enkash_async.sandbox import FaultKind, Sandbox

from support import FEEDS, slowly

Work = Callable[[str], Awaitable[str]]


def _checked(given: object) -> str:
    if not isinstance(given, str):
        raise InvalidRequestError("items must be str")
    return given


def _job(work: Work) -> Job[str, str]:
    """A job over texts such as `key=content`."""
    return Job(where="items", check=_checked, key=lambda item: item.partition("=")[0], digest=str, work=work)


async def _echo(item: str) -> str:
    return item


SOURCES: Mapping[str, Callable[[Iterable[Any]], Any]] = {
    "list": list,
    "tuple": tuple,
    "deque": collections.deque,
    "dict": dict.fromkeys,
    **FEEDS,
}
each_feed = pytest.mark.parametrize("feed", FEEDS.values(), ids=FEEDS)


class Bench:
    """Counts what is read of a source, what was begun and what is done."""

    def __init__(self) -> None:
        self.read = self.begun = self.done = self.stopped = self.most = 0
        self.open = asyncio.Event()

    def items(self, count: int) -> Iterator[str]:
        for number in range(count):
            self.read += 1
            yield str(number)

    async def work(self, item: str) -> str:
        """Wait until the bench is open."""
        self.begun += 1
        self.most = max(self.most, self.begun - self.done)
        try:
            await self.open.wait()
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.stopped += 1
            raise
        self.done += 1
        return item


def _first_of(bench: Bench) -> Work:
    async def work(item: str) -> str:
        return item if item == "0" else await bench.work(item)

    return work


async def _settle() -> None:
    """Let all ready tasks run."""
    for _ in range(200):
        await asyncio.sleep(0)


async def _alone() -> None:
    """Wait until no other task is left."""
    async with asyncio.timeout(10):
        while asyncio.all_tasks() != {asyncio.current_task()}:
            await asyncio.sleep(0)


def _keys(items: Iterable[BulkItem[Any]]) -> list[str]:
    return [item.key for item in items]


def _all_of(result: BulkResult[Any]) -> list[BulkItem[Any]]:
    return [*result.succeeded, *result.failed, *result.unknown, *result.not_sent]


# --- how many at once -------------------------------------------------------------------------------------------------


@each_feed
@pytest.mark.parametrize("hands", [1, 3, 16])
async def test_as_many_as_allowed_are_in_flight_and_no_item_is_read_before_its_hand_is_free(
    feed: Callable[[Iterable[Any]], Any], hands: int
) -> None:
    """The job reads as many items as its concurrency allows, and never has more in flight."""
    bench = Bench()
    call = asyncio.create_task(
        collect(_job(bench.work), feed(bench.items(40)), concurrency=hands, on_progress=lambda *_: None)
    )
    await _settle()
    assert (bench.read, bench.begun) == (hands, hands)
    bench.open.set()
    result = await call
    assert bench.most == hands
    assert _keys(result.succeeded) == [str(number) for number in range(40)]


@each_feed
async def test_an_item_is_read_as_soon_as_another_is_done(feed: Callable[[Iterable[Any]], Any]) -> None:
    """One slow item does not hold back the others."""
    bench, quick = Bench(), list[str]()

    async def work(item: str) -> str:
        if item == "0":
            return await bench.work(item)
        quick.append(item)
        return item

    call = asyncio.create_task(collect(_job(work), feed(bench.items(30)), concurrency=2, on_progress=None))
    await _settle()
    assert len(quick) == 29
    bench.open.set()
    assert len((await call).succeeded) == 30


@pytest.mark.parametrize("make", SOURCES.values(), ids=SOURCES)
async def test_any_iterable_will_do(make: Callable[[list[str]], Any]) -> None:
    """The job takes every synchronous and asynchronous iterable; an empty one reports no progress."""
    told = list[tuple[int, int | None]]()
    result = await collect(
        _job(_echo), make(["a", "b"]), concurrency=4, on_progress=lambda *counts: told.append(counts)
    )
    assert _keys(result.succeeded) == ["a", "b"]
    assert [done for done, _ in told] == [1, 2]
    told.clear()
    empty = await collect(_job(_echo), make([]), concurrency=4, on_progress=lambda *counts: told.append(counts))
    assert (empty, told) == (BulkResult(), [])


@pytest.mark.parametrize("source", ["one", b"one", 5, None])
async def test_what_is_no_collection_is_refused(source: Any) -> None:
    """A bare string is refused as well, because it is most likely a mistake."""
    with pytest.raises(InvalidRequestError, match="items must be an iterable, not one"):
        await collect(_job(_echo), source, concurrency=4, on_progress=None)
    with pytest.raises(InvalidRequestError, match="items must be an iterable, not one"):
        await anext(stream(_job(_echo), source, concurrency=4))


@pytest.mark.parametrize("hands", [0, -1, 1001, True, "4", 2.0, None])
async def test_a_concurrency_out_of_bounds_is_refused(hands: Any) -> None:
    """The job raises before it reads one item of the source."""
    bench = Bench()
    with pytest.raises(InvalidRequestError, match="concurrency must be an int from 1 to 1000"):
        await collect(_job(_echo), bench.items(3), concurrency=hands, on_progress=None)
    with pytest.raises(InvalidRequestError, match="concurrency must be an int from 1 to 1000"):
        await anext(stream(_job(_echo), bench.items(3), concurrency=hands))
    assert bench.read == 0


# --- every item in one group ------------------------------------------------------------------------------------------

REASONS: Mapping[str, tuple[EnkashError | None, BulkGroup]] = {
    "done": (None, BulkGroup.SUCCEEDED),
    "refused": (BadRequestError("no"), BulkGroup.FAILED),
    "read in vain": (TransportError("lost", sent=True), BulkGroup.FAILED),
    "unclear": (OutcomeUnknownError("?"), BulkGroup.UNKNOWN),
    "not sent": (TransportError("down", sent=False), BulkGroup.NOT_SENT),
    "no token": (TokenEndpointError("busy"), BulkGroup.NOT_SENT),
    "wrong": (InvalidRequestError("wrong"), BulkGroup.NOT_SENT),
}
#: Items of few keys, so that many come twice, each with how it ends and how long it takes; None is no item at all.
_items = st.tuples(st.integers(0, 9), st.sampled_from("xxxy"), st.sampled_from(list(REASONS)), st.integers(0, 6))
_plans = st.lists(st.one_of(st.none(), _items), max_size=25)


def _expected(plan: list[tuple[int, str, str, int] | None]) -> dict[str, list[str]]:
    """Return the keys of each group, and the duplicates, in their order."""
    groups: dict[str, list[str]] = {name: [] for name in (*BulkGroup, "duplicates")}
    first: dict[str, str] = {}
    for index, item in enumerate(plan):
        if item is None:
            groups[BulkGroup.NOT_SENT].append(f"items[{index}]")
            continue
        key, content, reason = f"k{item[0]}", item[1], item[2]
        if key not in first:
            first[key] = content
            groups[REASONS[reason][1]].append(key)
        elif first[key] != content:
            groups[BulkGroup.NOT_SENT].append(key)
        elif key not in groups["duplicates"]:
            groups["duplicates"].append(key)
    return groups


@given(_plans, st.integers(1, 5), st.sampled_from(["list", "asynchronous generator"]))
async def test_every_item_is_in_one_group_and_each_group_in_the_order_given(
    plan: list[tuple[int, str, str, int] | None], hands: int, make: str
) -> None:
    """Each item is in one group, whichever end it comes to and in whichever order the items end."""
    ends: dict[str, tuple[str, int]] = {}
    for item in plan:
        if item is not None:
            ends.setdefault(f"k{item[0]}", (item[2], item[3]))
    worked, told = list[str](), list[int]()

    async def work(item: str) -> str:
        worked.append(item.partition("=")[0])
        reason, turns = ends[worked[-1]]
        for _ in range(turns):
            await asyncio.sleep(0)
        problem = REASONS[reason][0]
        if problem is not None:
            raise problem
        return item

    given = [None if item is None else f"k{item[0]}={item[1]}" for item in plan]
    result = await collect(
        _job(work), SOURCES[make](given), concurrency=hands, on_progress=lambda done, _: told.append(done)
    )
    found = {group.value: _keys(getattr(result, group.value)) for group in BulkGroup}
    assert {**found, "duplicates": sorted(result.duplicates)} == {
        **_expected(plan),
        "duplicates": sorted(_expected(plan)["duplicates"]),
    }
    assert len(worked) == len(set(worked)) == len(ends)
    assert told == list(range(1, len(plan) + 1))
    assert all((item.error is None) == (item.group is BulkGroup.SUCCEEDED) for item in _all_of(result))


async def test_a_repeated_item_is_worked_on_once_and_reported() -> None:
    """The result names a repeated item once among the duplicates and once in its group."""
    worked = list[str]()

    async def work(item: str) -> str:
        worked.append(item)
        await asyncio.sleep(0)
        return item

    result = await collect(_job(work), ["b", "a", "b", "b", "c", "a"], concurrency=4, on_progress=None)
    assert worked == _keys(result.succeeded) == ["b", "a", "c"]
    assert result.duplicates == ("b", "a")


async def test_a_key_that_comes_again_for_something_else_is_refused() -> None:
    """The first item is sent; the second is `not_sent`, because the job cannot tell which was meant."""
    result = await collect(_job(_echo), ["a=1", "a=2", "b=1"], concurrency=1, on_progress=None)
    assert [(item.key, item.value) for item in result.succeeded] == [("a", "a=1"), ("b", "b=1")]
    (clash,) = result.not_sent
    assert (clash.key, clash.request, result.duplicates) == ("a", "a=2", ())
    assert "give this one its own" in str(clash.error)


async def test_an_item_that_is_none_is_named_by_its_place() -> None:
    """The result names an item without a key by its index and keeps the request as it was given."""
    result = await collect(_job(_echo), ["a", 5, "b"], concurrency=1, on_progress=None)
    assert _keys(result.succeeded) == ["a", "b"]
    (wrong,) = result.not_sent
    assert (wrong.key, wrong.request, str(wrong.error)) == ("items[1]", 5, "items must be str")


PERMANENT = [
    (CredentialsRejectedError("refused"), BulkGroup.NOT_SENT),
    (LoginGuardError("guard"), BulkGroup.NOT_SENT),
    (TokenEndpointError("?", counted=True), BulkGroup.NOT_SENT),
    (AuthenticationError("401"), BulkGroup.FAILED),
]


@pytest.mark.parametrize(("stop", "group"), PERMANENT)
async def test_a_failure_that_would_meet_every_item_stops_the_sending(stop: EnkashError, group: BulkGroup) -> None:
    """The rest is `not_sent` with the reason, because more logins could lock the account."""
    worked = list[str]()

    async def work(item: str) -> str:
        worked.append(item)
        if item == "3":
            raise stop
        return item

    result = await collect(_job(work), Bench().items(50), concurrency=1, on_progress=None)
    assert worked == ["0", "1", "2", "3"]
    assert _keys(result.succeeded) == ["0", "1", "2"]
    assert [item.group for item in _all_of(result) if item.key == "3"] == [group]
    assert _keys(result.not_sent)[-46:] == [str(number) for number in range(4, 50)]
    assert {item.error for item in (*result.not_sent, *result.failed)} == {stop}


async def test_refused_credentials_stop_a_bulk_call_after_one_login(sandbox: Sandbox) -> None:
    """Over real HTTP, the account is charged one attempt for any number of items."""
    wrong = Sandbox().credentials.__class__("a-client", "b", "ap-team@example.com", "c")
    async with EnkashClient.from_credentials(sandbox.base_url, wrong) as client:
        result = await client.bills.get_many((f"U-{number}" for number in range(100)), concurrency=8)
    assert len(result.not_sent) == 100
    assert sandbox.counts == {"token": 1}


# --- what breaks off --------------------------------------------------------------------------------------------------


@each_feed
async def test_a_source_that_fails_in_the_middle_loses_nothing(feed: Callable[[Iterable[Any]], Any]) -> None:
    """The error holds the result of every item in flight, and the source's own error as its cause."""
    bench, broken = Bench(), OSError("the file ends here")

    def items() -> Iterator[str]:
        yield from bench.items(5)
        raise broken

    call = asyncio.create_task(collect(_job(bench.work), feed(items()), concurrency=8, on_progress=None))
    await _settle()
    assert not call.done()
    bench.open.set()
    with pytest.raises(BulkError, match="broke off with OSError; what became of the 5 before") as caught:
        await call
    assert _keys(caught.value.result.succeeded) == ["0", "1", "2", "3", "4"]
    assert caught.value.__cause__ is broken
    assert bench.stopped == 0


@each_feed
async def test_a_source_that_fails_at_once_raises_its_own_error(feed: Callable[[Iterable[Any]], Any]) -> None:
    """The caller sees the source's error unchanged, because no item was sent."""
    broken = OSError("no such file")

    def items() -> Iterator[str]:
        raise broken
        yield ""

    with pytest.raises(OSError, match="no such file") as caught:
        await collect(_job(_echo), feed(items()), concurrency=8, on_progress=None)
    assert caught.value is broken


@pytest.mark.parametrize("hands", [1, 4])
async def test_a_source_that_is_cancelled_does_not_pass_for_one_that_ended(hands: int) -> None:
    """The job raises when its source was cancelled elsewhere, or the items that never came would be missed."""

    async def items() -> AsyncIterator[str]:
        yield "a"
        raise asyncio.CancelledError

    with pytest.raises(BulkError) as caught:
        await collect(_job(_echo), items(), concurrency=hands, on_progress=None)
    assert _keys(caught.value.result.succeeded) == ["a"]


async def test_an_item_that_is_cancelled_from_inside_is_not_lost() -> None:
    """An item whose token provider was cancelled is in a group, and the other items are worked on."""

    async def work(item: str) -> str:
        if item == "1":
            raise asyncio.CancelledError
        return item

    result = await collect(_job(work), Bench().items(4), concurrency=1, on_progress=None)
    assert _keys(result.succeeded) == ["0", "2", "3"]
    assert _keys(result.unknown) == ["1"]


@pytest.mark.parametrize("mode", ["collect", "stream"])
@pytest.mark.parametrize("count", [0, 2, 3, 100])
async def test_a_time_limit_in_the_source_stops_no_item_that_was_begun(mode: str, count: int) -> None:
    """A time limit in the source, such as a database cursor's, ends the source and no item in flight."""
    bench, limit, hands = Bench(), asyncio.timeout(None), 3

    async def items() -> AsyncIterator[str]:
        async with limit:
            for item in bench.items(count):
                yield item
            await asyncio.Event().wait()

    async def streamed() -> BulkResult[str]:
        found = list[BulkItem[str]]()
        try:
            async for item in stream(_job(bench.work), items(), concurrency=hands):
                found.append(item)
        except Exception as problem:
            raise BulkError("broken off", result=BulkResult(succeeded=tuple(found))) from problem
        raise AssertionError("it passed for a source that ended")

    call = asyncio.create_task(
        streamed() if mode == "stream" else collect(_job(bench.work), items(), concurrency=hands, on_progress=None)
    )
    await _settle()
    limit.reschedule(asyncio.get_running_loop().time())
    await _settle()
    begun = min(count, hands)
    assert (bench.begun, bench.stopped, call.done()) == (begun, 0, begun == 0)
    bench.open.set()
    with pytest.raises((BulkError, TimeoutError)) as caught:
        await call
    if isinstance(caught.value, BulkError):
        assert sorted(_keys(_all_of(caught.value.result))) == [str(number) for number in range(begun)]
        assert type(caught.value.__cause__) is (RuntimeError if count >= hands else TimeoutError)
    assert (bench.begun, bench.done, begun == 0 or isinstance(caught.value, BulkError)) == (begun, begun, True)
    await _alone()


@pytest.mark.parametrize("mode", ["collect", "stream"])
async def test_an_item_that_fails_unexpectedly_is_unknown_and_cuts_off_nobody(mode: str) -> None:
    """The item is `unknown`, and the others in flight, which may move money, come to their end."""
    bench, broken = Bench(), ZeroDivisionError("a bug")

    async def work(item: str) -> str:
        if item == "1":
            raise broken
        return await bench.work(item)

    async def streamed() -> list[BulkItem[str]]:
        return [item async for item in stream(_job(work), bench.items(8), concurrency=3)]

    async def collected() -> list[BulkItem[str]]:
        return _all_of(await collect(_job(work), bench.items(8), concurrency=3, on_progress=None))

    call = asyncio.create_task(streamed() if mode == "stream" else collected())
    await _settle()
    assert bench.stopped == 0
    bench.open.set()
    found = {item.key: item for item in await call}
    assert sorted(found) == [str(number) for number in range(8)]
    wrong = found.pop("1")
    assert (wrong.group, type(wrong.error), wrong.request) == (BulkGroup.UNKNOWN, OutcomeUnknownError, "1")
    assert str(wrong.error) == "it broke off with ZeroDivisionError; it may or may not have happened"
    assert wrong.error is not None
    assert wrong.error.__cause__ is broken
    assert {item.group for item in found.values()} == {BulkGroup.SUCCEEDED}
    assert (bench.done, bench.stopped) == (7, 0)


async def test_a_progress_display_that_fails_does_not_stop_the_job(caplog: pytest.LogCaptureFixture) -> None:
    """The log holds the callback's error; the total is known where the source has a length."""

    def broken(done: int, total: int | None) -> None:
        raise ValueError(f"no terminal {done}/{total}")

    result = await collect(_job(_echo), ["a", "b"], concurrency=2, on_progress=broken)
    assert _keys(result.succeeded) == ["a", "b"]
    assert caplog.text.count("on_progress failed; the job goes on") == 2
    assert "no terminal 2/2" in caplog.text


async def test_a_cancelled_call_passes_it_on_and_leaves_nothing_behind() -> None:
    """Every item in flight is cancelled and has ended, and the source is closed."""
    bench, closed = Bench(), list[bool]()

    async def items() -> AsyncIterator[str]:
        try:
            for item in bench.items(100):
                yield item
        finally:
            closed.append(True)

    call = asyncio.create_task(collect(_job(bench.work), items(), concurrency=6, on_progress=None))
    await _settle()
    call.cancel()
    await asyncio.wait([call])
    assert call.cancelled()
    assert (bench.begun, bench.stopped) == (6, 6)
    await _alone()
    del call  # its traceback holds the source
    gc.collect()
    await _settle()
    assert closed == [True]


async def test_a_job_that_was_cancelled_is_finished_by_a_second_run(sandbox: Sandbox, client: EnkashClient) -> None:
    """A second run with the same references makes no bill twice, although a create was cut off in flight."""
    requests = [
        BillRequest(2001, {"cn": f"{number}"}, reference_id=f"inv-{number}", bill_amount=10) for number in range(24)
    ]
    sandbox.faults.add("add_bill", FaultKind.SLOW, after=6, times=6, delay=0.05)
    call = asyncio.create_task(client.bills.create_many(requests, concurrency=6))
    async with asyncio.timeout(10):
        while sandbox.counts["add_bill"] < 9:
            await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    result = await client.bills.create_many(requests, concurrency=6)
    result.raise_for_failures()
    assert _keys(result.succeeded) == [request.reference_id for request in requests]
    assert any(item.value is not None and item.value.recovered for item in result.succeeded)
    assert sorted(bill.reference_id for bill in sandbox.ledger.search()) == sorted(_keys(result.succeeded))


# --- streams ----------------------------------------------------------------------------------------------------------


@each_feed
async def test_a_stream_yields_every_item_as_it_ends(feed: Callable[[Iterable[Any]], Any]) -> None:
    """The stream yields items in the order in which they end, each with its group, and skips repeats."""
    first = asyncio.Event()

    async def work(item: str) -> str:
        if item == "slow":
            await first.wait()
        elif item == "bad":
            first.set()
            raise BadRequestError("no")
        return item

    items = feed(["slow", "quick", "quick", "bad", None])
    found = [(item.key, item.group) async for item in stream(_job(work), items, concurrency=2)]
    assert sorted(found) == [
        ("bad", BulkGroup.FAILED),
        ("items[4]", BulkGroup.NOT_SENT),
        ("quick", BulkGroup.SUCCEEDED),
        ("slow", BulkGroup.SUCCEEDED),
    ]
    assert found[0][0] == "quick"


@each_feed
async def test_a_slow_consumer_holds_back_the_source(feed: Callable[[Iterable[Any]], Any]) -> None:
    """The stream reads at most one item more than the consumer has taken and the workers hold."""
    bench, hands, taken = Bench(), 3, 0
    bench.open.set()
    async with aclosing(stream(_job(bench.work), feed(bench.items(40)), concurrency=hands)) as items:
        async for _ in items:
            taken += 1
            await _settle()
            assert bench.read <= taken + hands + 1
    assert taken == bench.read == 40


async def test_leaving_the_loop_early_leaves_nothing_behind() -> None:
    """The stream cancels what is in flight, reads no more, and leaves no task and no warning."""
    bench = Bench()
    async for item in stream(_job(_first_of(bench)), bench.items(1000), concurrency=4):
        assert item.key == "0"
        break
    await _alone()
    gc.collect()
    read = bench.read
    assert bench.stopped == bench.begun
    await _settle()
    assert (bench.read, read <= 9) == (read, True)


async def test_a_stream_that_is_closed_has_ended_everything() -> None:
    """`aclose` waits for the items in flight to end, so that the caller can close the client next."""
    bench = Bench()
    async with aclosing(stream(_job(_first_of(bench)), bench.items(1000), concurrency=4)) as items:
        assert (await anext(items)).key == "0"
        await _settle()
        assert bench.begun > bench.stopped
    assert bench.begun == bench.stopped
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("error", [ValueError("mine"), asyncio.CancelledError()])
async def test_an_error_of_the_consumer_passes_and_leaves_nothing_behind(error: BaseException) -> None:
    """An error or a cancellation in the body of the loop ends every item in flight."""
    bench = Bench()

    async def consume() -> None:
        async for item in stream(_job(_first_of(bench)), bench.items(1000), concurrency=4):
            assert item.key == "0"
            raise error

    with pytest.raises(type(error)):
        await asyncio.create_task(consume())
    await _alone()
    assert bench.stopped == bench.begun


async def test_a_consumer_that_is_cancelled_while_it_waits_cancels_the_work() -> None:
    """Cancelling the waiting consumer ends its task and every item that was begun."""
    bench = Bench()

    async def consume() -> None:
        async for _ in stream(_job(bench.work), bench.items(1000), concurrency=4):
            raise AssertionError("nothing can have ended")

    call = asyncio.create_task(consume())
    await _settle()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await _alone()
    assert (bench.begun, bench.stopped) == (4, 4)


@each_feed
async def test_a_stream_whose_source_fails_yields_what_came_before(feed: Callable[[Iterable[Any]], Any]) -> None:
    """The stream yields the items before the failure and then raises the source's error."""
    broken, found = OSError("the file ends here"), list[str]()

    def items() -> Iterator[str]:
        yield from Bench().items(5)
        raise broken

    async def consume() -> None:
        async for item in stream(_job(_echo), feed(items()), concurrency=2):
            found.append(item.key)

    with pytest.raises(OSError, match="ends here") as caught:
        await consume()
    assert (sorted(found), caught.value) == (["0", "1", "2", "3", "4"], broken)
    await _alone()


class Gauge:
    """Records how many bytes are in use after each given number of items."""

    def __init__(self, every: int) -> None:
        self._every = every
        self._passed = 0
        self.used: list[int] = []

    async def passed(self, _: object) -> None:
        self._passed += 1
        if self._passed % self._every == 0:
            gc.collect()
            self.used.append(tracemalloc.get_traced_memory()[0])


@pytest.fixture
def traced() -> Iterator[None]:
    gc.collect()
    tracemalloc.start()
    yield
    tracemalloc.stop()


async def test_what_was_driven_is_forgotten(traced: None) -> None:
    """The job uses as much memory after 20,000 items as after 5,000."""
    gauge = Gauge(every=5_000)
    await drive(items_of(range(20_000)), gauge.passed, 16)
    assert gauge.used[3] < gauge.used[0] + 50_000


async def test_a_stream_keeps_nothing_but_the_keys(traced: None) -> None:
    """The stream keeps keys to notice a repeated item, and neither requests nor results."""

    async def work(item: str) -> bytes:
        return bytes(1_000)

    job = Job[str, bytes](where="items", check=_checked, key=lambda item: item[:8], work=work)
    gauge = Gauge(every=5_000)
    async for item in stream(job, (f"{number:01000d}"[::-1] for number in range(20_000)), concurrency=16):
        await gauge.passed(item)
    assert (gauge.used[3] - gauge.used[0]) / 15_000 < 250


# --- the calls of client.bills ----------------------------------------------------------------------------------------


async def test_a_bulk_create_needs_references(sandbox: Sandbox, client: EnkashClient) -> None:
    """A request without a reference is refused, since a second run could pay it twice; the others go on."""
    good = BillRequest(2001, {"cn": "1"}, reference_id="inv-1", bill_amount=10)
    result = await client.bills.create_many([BillRequest(2001, {"cn": "2"}), good, {"cn": "3"}])  # type: ignore[list-item]
    assert _keys(result.succeeded) == ["inv-1"]
    assert [(item.key, str(item.error).split(":")[0]) for item in result.not_sent] == [
        ("requests[0]", "a bulk create needs a reference_id in each BillRequest"),
        ("requests[2]", "requests must be BillRequest(biller_id, params, …), not dict"),
    ]
    assert len(sandbox.ledger.search()) == 1


ODD: list[dict[str, Any]] = [
    {"remarks": ["a", "b"]},
    {"remarks": "\ud800"},
    {"circle": 5},
    {"circle": ["a"]},
    {"key_contact_email": {"a": "b"}},
    {"name": {"x": 1}},
    {"email": bytearray(b"x")},
    {"bill_date": ["2026-11-01"]},
    {"bill_due_date": "2026-11-01"},
    {"extra": {"a": object()}},
    {"extra": {1: 2}},
    {"extra": {"a": {"b"}}},
]


@pytest.mark.parametrize("odd", ODD, ids=range(len(ODD)))
async def test_a_request_of_wrong_types_cuts_off_nobody(
    sandbox: Sandbox, client: EnkashClient, odd: dict[str, Any]
) -> None:
    """The request is `not_sent` with its mistake, hashable or not, and the requests in flight come to their end."""
    requests = [BillRequest(2001, {"cn": f"{n}"}, reference_id=f"inv-{n}", bill_amount=10) for n in range(5)]
    wrong = BillRequest(2001, {"cn": "9"}, reference_id="odd", bill_amount=10, **odd)
    sandbox.faults.add("add_bill", FaultKind.SLOW, times=2, delay=0.02)
    result = await client.bills.create_many([*requests[:2], wrong, *requests[2:]], concurrency=3)
    assert _keys(result.succeeded) == [request.reference_id for request in requests]
    assert [(item.key, type(item.error)) for item in _all_of(result)[5:]] == [("odd", InvalidRequestError)]
    assert result.not_sent[0].request is wrong
    assert sorted(bill.reference_id for bill in sandbox.ledger.search()) == _keys(result.succeeded)


async def test_a_request_that_cannot_be_read_cuts_off_nobody(client: EnkashClient) -> None:
    """An unhashable request has no key; it is `not_sent`, and the others succeed."""
    requests = [BillRequest(2001, {"cn": f"{n}"}, reference_id=f"inv-{n}", bill_amount=10) for n in range(4)]
    fetched = FetchedBill(company_biller_id=["x"], bill_amount=Decimal(500))  # type: ignore[arg-type]
    wrong = BillRequest(2001, {"cn": "9"}, reference_id="odd", fetched=fetched)
    result = await client.bills.create_many([*requests[:2], wrong, *requests[2:]], concurrency=3)
    assert _keys(result.succeeded) == [request.reference_id for request in requests]
    assert [(item.key, type(item.error)) for item in result.not_sent] == [("requests[2]", InvalidRequestError)]


@pytest.mark.parametrize("odd", [{"remarks": ["a"]}, {"key_contact_email": b"x"}, {"extra": {"a": {"b"}}}])
async def test_a_fetch_of_wrong_types_cuts_off_nobody(client: EnkashClient, odd: dict[str, Any]) -> None:
    """One request of wrong types is `not_sent`, and the four beside it succeed."""
    requests = [BillRequest(2001, {"cn": f"{number}"}) for number in range(4)]
    wrong = BillRequest(2001, {"cn": "9"}, **odd)
    result = await client.bills.fetch_many([*requests[:2], wrong, *requests[2:]], concurrency=3)
    assert _keys(result.succeeded) == [request.key for request in requests]
    assert [(item.request, type(item.error)) for item in result.not_sent] == [(wrong, InvalidRequestError)]


async def test_one_reference_for_two_bills_creates_the_first(sandbox: Sandbox, client: EnkashClient) -> None:
    """The second bill is `not_sent`; an equal request, however its amount is written, is a duplicate."""
    one, other = (BillRequest(2001, {"cn": cn}, reference_id="inv-1", bill_amount=10) for cn in ("1", "2"))
    same = BillRequest(2001, {"cn": "1"}, reference_id="inv-1", bill_amount=Decimal("10.00"))
    result = await client.bills.create_many([one, other, one, same], concurrency=1)
    assert (_keys(result.succeeded), _keys(result.not_sent), result.duplicates) == (["inv-1"], ["inv-1"], ("inv-1",))
    assert [bill.company_biller.consumer_number for bill in sandbox.ledger.search()] == ["1"]
    assert sandbox.counts["add_bill"] == 1


async def test_fetches_and_creates_go_hand_in_hand(sandbox: Sandbox, client: EnkashClient) -> None:
    """Each create sends what the fetch returned for its request, and each result is under its key."""
    wanted = [BillRequest(2001, {"cn": f"{number}"}) for number in range(5)]
    fetched = await client.bills.fetch_many([*wanted, wanted[0], BillRequest(2202, {"cn": "1"})])
    assert _keys(fetched.succeeded)[:5] == [request.key for request in wanted]
    assert (fetched.duplicates, sandbox.counts["fetch_bill"]) == ((wanted[0].key,), 6)
    requests = [
        BillRequest(item.request.biller_id, item.request.params, reference_id=f"inv-{place}", fetched=item.value)
        for place, item in enumerate(fetched.succeeded[:5])
    ]
    created = [item async for item in client.bills.create_each(slowly(requests), concurrency=2)]
    assert sorted(_keys(created)) == [f"inv-{number}" for number in range(5)]
    assert (sandbox.counts["create_bill"], sandbox.counts["add_bill"]) == (5, 0)
    found = [item async for item in client.bills.fetch_each(iter(wanted), concurrency=2)]
    amounts = {item.key: item.value.bill_net_amount for item in found if item.value is not None}
    assert amounts == {item.key: item.value and item.value.bill_net_amount for item in fetched.succeeded[:5]}


async def test_a_bill_that_does_not_exist_does_not_stop_the_reading(client: EnkashClient) -> None:
    """The missing bill fails with EnKash's reason, and a malformed id is never sent."""
    bill = await client.bills.create(2001, {"cn": "1"}, bill_amount=10)
    ids = ["nobody", bill.utility_enkash_id, "", bill.utility_enkash_id]
    result = await client.bills.get_many(ids, concurrency=1)
    assert [item.value and item.value.reference_id for item in result.succeeded] == [bill.reference_id]
    assert [type(item.error) for item in result.failed] == [NotFoundError]
    assert [item.key for item in result.not_sent] == ["ids[2]"]
    assert result.duplicates == (bill.utility_enkash_id,)
    each = [item.key async for item in client.bills.get_each(iter(ids), concurrency=1)]
    assert each == ["nobody", bill.utility_enkash_id, "ids[2]"]
