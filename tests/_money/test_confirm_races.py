"""Concurrent confirmations of the same bills: one call sends each bill, and the other calls wait for it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import Any, TypeVar

import pytest
from enkash_async._money.in_flight import InFlight
from hypothesis import given, settings
from hypothesis import strategies as st

from enkash_async import Bill, BulkResult, OutcomeUnknownError, PaymentStatus, PollPolicy, SettlePolicy
from enkash_async._wire.operation import Effect, Operation
from enkash_async._wire.page import Page
from enkash_async.bulk import BulkItem
from enkash_async.errors import BadRequestError, EnkashError, ServerError
from enkash_async.resources.payments import Payments

from support import Time, bill_calls, payment_calls

T = TypeVar("T")

WINDOW = 10.0
SETTLE = SettlePolicy(window=WINDOW, pauses=PollPolicy(first=1, factor=1, jitter=0))
WAITING, CONFIRMED = PaymentStatus.INIT, PaymentStatus("IN_PROCESS")


class Office:
    """A `Send` to an EnKash that debits a bill again whenever it is told to, and takes as long as a test wants.

    Attributes:
        puts: The ids of each confirmation that arrived.
        debits: What was debited, in its order.
        held: What does not go on until its event is set: a bill's id holds the read of it, a number that confirmation.
        ends: What a confirmation or the read of a bill ends with; likewise.
        search_lags: Whether the search shows no confirmation.
    """

    def __init__(self) -> None:
        self.time = Time()
        self.puts: list[list[str]] = []
        self.debits: list[str] = []
        self.held: dict[str | int, asyncio.Event] = {}
        self.ends: dict[str | int, Exception] = {}
        self.search_lags = False
        self.waiting: set[str | int] = set()
        self._in_flight: list[tuple[float, list[str]]] = []

    async def __call__(self, operation: Operation[Any]) -> Any:
        if operation.effect is not Effect.READ:
            return await self._confirm(list(operation.utility_enkash_ids))
        if operation.name == "bills.search":
            await asyncio.sleep(0)
            return Page([self._show(one, self.search_lags) for one in _searched(operation)])
        one = operation.request.path.rpartition("/")[2]
        seen = self._show(one)  # as it is when the request arrives, however long the reply takes
        await self._end(one)
        return seen

    async def _confirm(self, ids: list[str]) -> None:
        self.puts.append(ids)
        number = len(self.puts)
        try:
            await self._end(number)
        except asyncio.CancelledError:  # the client has hung up, and the work is done a little later
            self._in_flight.append((self.time.now + WINDOW / 2, ids))
            raise
        self.debits += ids

    async def _end(self, key: str | int) -> None:
        await asyncio.sleep(0)
        if key in self.held:
            self.waiting.add(key)
            await self.held[key].wait()
        if key in self.ends:
            raise self.ends[key]

    def _show(self, one: str, lags: bool = False) -> Bill:
        self.land()
        confirmed = one in self.debits and not lags
        return Bill(utility_enkash_id=one, payment_status=CONFIRMED if confirmed else WAITING)

    def land(self) -> None:
        """Carry out the confirmations whose delay is over."""
        for due, ids in list(self._in_flight):
            if due <= self.time.now:
                self._in_flight.remove((due, ids))
                self.debits += ids

    def hold(self, key: str | int) -> asyncio.Event:
        return self.held.setdefault(key, asyncio.Event())

    async def is_held(self, key: str | int) -> None:
        """Wait until that read or that confirmation is held."""
        async with asyncio.timeout(10):
            while key not in self.waiting:
                await asyncio.sleep(0)


def _searched(operation: Operation[Any]) -> list[str]:
    ids: list[str] = json.loads(operation.request.body or b"")["utilityEnkashIds"]
    return ids


def _client(office: Office) -> Payments:
    bills = bill_calls(office, settle=SETTLE, clock=office.time, sleep=office.time.sleep)
    return payment_calls(office, bills, clock=office.time)


def _confirm(client: Payments, ids: Iterable[str], **how: Any) -> asyncio.Task[BulkResult[None]]:
    return asyncio.create_task(client.confirm_debit(list(ids), **how))


def _keys(items: Iterable[BulkItem[None]]) -> list[str]:
    return [item.key for item in items]


async def _settle() -> None:
    """Let all ready tasks run."""
    for _ in range(300):
        await asyncio.sleep(0)


async def _ended(*calls: asyncio.Task[T]) -> list[T]:
    """Return the results of calls that wait for nothing but each other."""
    for _ in range(2000):
        if all(call.done() for call in calls):
            break
        await asyncio.sleep(0)
    hanging = [call for call in calls if not call.done()]
    for call in hanging:
        call.cancel()
    await asyncio.wait(calls)
    assert hanging == []
    return [call.result() for call in calls]


# --- two calls --------------------------------------------------------------------------------------------------------


async def test_a_call_that_reads_slowly_does_not_act_on_what_another_one_made_old() -> None:
    """Prevents a double debit: call 1 reads A as waiting, call 2 confirms A, then call 1 would confirm it."""
    office = Office()
    client, answer = _client(office), office.hold("E")
    large = _confirm(client, "ABCDE")
    await office.is_held("E")
    small = _confirm(client, "A")
    await _settle()
    office.time.now += 3 * WINDOW  # the client has forgotten what it sent before
    answer.set()
    first, second = await _ended(large, small)
    assert (_keys(first.succeeded), _keys(second.succeeded)) == (list("ABCDE"), ["A"])
    assert sorted(office.debits) == list("ABCDE")


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_the_second_half_of_a_refused_call_is_read_again(elsewhere: bool) -> None:
    """Prevents a double debit: another call may confirm a bill while the first half is sent."""
    office = Office()
    office.ends[1] = BadRequestError("one of them will not do", status=400)
    client, answer = _client(office), office.hold(2)
    large = _confirm(client, "ABCDEFGH")
    await office.is_held(2)
    small = _confirm(_client(office) if elsewhere else client, "H")
    await _settle()
    office.time.now += 3 * WINDOW
    answer.set()
    first, second = await _ended(large, small)
    assert (_keys(first.succeeded), _keys(second.succeeded)) == (list("ABCDEFGH"), ["H"])
    assert sorted(office.debits) == list("ABCDEFGH")


@pytest.mark.parametrize("check_first", [True, False])
async def test_two_calls_at_once_both_succeed_with_one_confirmation(check_first: bool) -> None:
    """The second call waits for the first one's exchange and finds the bill confirmed."""
    office = Office()
    client, answer = _client(office), office.hold(1)
    one = _confirm(client, "AB", check_first=check_first)
    await office.is_held(1)
    other = _confirm(client, "AB", check_first=check_first)
    await _settle()
    office.time.now += 3 * WINDOW
    assert not other.done()
    answer.set()
    assert [_keys(result.succeeded) for result in await _ended(one, other)] == [["A", "B"]] * 2
    assert (office.puts, office.debits) == ([["A", "B"]], ["A", "B"])


async def test_a_bill_that_nobody_is_at_work_on_does_not_wait() -> None:
    """A call waits for the bills that another call has claimed and for no others."""
    office = Office()
    client, answer = _client(office), office.hold(1)
    one = _confirm(client, "AB")
    await office.is_held(1)
    (result,) = await _ended(_confirm(client, "CD"))
    assert _keys(result.succeeded) == ["C", "D"]
    answer.set()
    await _ended(one)
    assert sorted(office.debits) == list("ABCD")


@settings(max_examples=60)
@given(st.lists(st.lists(st.sampled_from("ABCD"), min_size=1, unique=True), min_size=2, max_size=5))
async def test_calls_that_overlap_do_not_wait_for_each_other_for_ever(calls: list[list[str]]) -> None:
    """Calls that name the bills in any order all succeed and debit each bill once."""
    office = Office()
    client = _client(office)
    results = await _ended(*(_confirm(client, ids) for ids in calls))
    assert [_keys(result.succeeded) for result in results] == calls
    assert sorted(office.debits) == sorted({one for ids in calls for one in ids})


@pytest.mark.parametrize("turns", range(8))  # of the loop; which of them is the one depends on the version of Python
async def test_a_call_that_comes_when_another_one_is_about_to_wake_does_not_lock_it_out(turns: int) -> None:
    """Prevents a deadlock: one call waits for B to claim A too, and a newcomer claims B first."""
    office = Office()
    client, answer = _client(office), office.hold(1)
    first = _confirm(client, "BC")
    await office.is_held(1)
    waiting = [_confirm(client, "ABCD"), _confirm(client, "DCBA")]
    await _settle()
    newcomer = _confirm(client, "BEA")
    for _ in range(turns):
        await asyncio.sleep(0)
    slow = office.hold("E")  # so that the newcomer is still at work when the others have ended
    answer.set()
    await _settle()
    slow.set()
    results = await _ended(first, *waiting, newcomer)
    assert [_keys(result.succeeded) for result in results] == [list("BC"), list("ABCD"), list("DCBA"), list("BEA")]
    assert sorted(office.debits) == list("ABCDE")


# --- calls that break off ---------------------------------------------------------------------------------------------


async def _cut_off(office: Office, client: Payments, ids: str, at: str | int, **how: Any) -> None:
    """Cancel a call while that read or that confirmation is in flight."""
    office.hold(at)
    call = _confirm(client, ids, **how)
    await office.is_held(at)
    call.cancel()
    await asyncio.wait([call])
    assert call.cancelled()
    office.held.clear()
    office.waiting.clear()


@pytest.mark.parametrize("at", ["B", 1])
async def test_a_call_that_was_cancelled_leaves_its_bills_to_others(at: str | int) -> None:
    """Another call confirms the bills, whether it waits or comes later."""
    office = Office()
    client, _ = _client(office), office.hold(at)
    call = _confirm(client, "ABC")
    await office.is_held(at)
    waiting = _confirm(client, "CB")
    await _settle()
    office.held.clear()
    call.cancel()
    (result,) = await _ended(waiting)
    (later,) = await _ended(_confirm(client, "ABC"))
    assert (_keys(result.succeeded), _keys(later.succeeded)) == (["C", "B"], list("ABC"))
    assert sorted(office.debits) == list("ABC")


async def test_a_call_that_was_cancelled_while_it_waited_leaves_nothing_behind() -> None:
    """The cancelled call releases no claim, because the claim is another call's."""
    office = Office()
    client, answer = _client(office), office.hold(1)
    working = _confirm(client, "AB")
    await office.is_held(1)
    waiting = _confirm(client, "ABC")
    await _settle()
    waiting.cancel()
    await asyncio.wait([waiting])
    later = _confirm(client, "AC")
    await _settle()
    assert not later.done()
    answer.set()
    first, second = await _ended(working, later)
    assert (_keys(first.succeeded), _keys(second.succeeded)) == (["A", "B"], ["A", "C"])
    assert sorted(office.debits) == list("ABC")


async def test_a_bill_that_was_sent_and_can_no_longer_be_read_is_unknown() -> None:
    """The bill is not `not_sent`, because the cancelled call's confirmation is in flight."""
    office = Office()
    client = _client(office)
    await _cut_off(office, client, "A", at=1)
    office.ends["A"] = ServerError("away", status=502)
    (result,) = await _ended(_confirm(client, "AB"))
    assert (_keys(result.unknown), _keys(result.succeeded), result.not_sent) == (["A"], ["B"], ())
    error = result.unknown[0].error
    assert isinstance(error, OutcomeUnknownError)
    assert error.utility_enkash_ids == ("A",)
    assert "an earlier call of this client sent them and did not see the end" in str(error)
    office.time.now += WINDOW
    office.land()
    assert sorted(office.debits) == ["A", "B"]


async def test_a_bill_that_was_never_sent_and_cannot_be_read_is_not_sent() -> None:
    """The bill is `not_sent`, because no confirmation of it is in flight."""
    office = Office()
    office.ends["A"] = ServerError("away", status=502)
    (result,) = await _ended(_confirm(_client(office), "AB"))
    assert (_keys(result.not_sent), _keys(result.succeeded), office.debits) == (["A"], ["B"], ["B"])


@pytest.mark.parametrize("ids", ["ABC", "ABCDE"])
async def test_a_search_that_lags_behind_does_not_have_anything_sent_again(ids: str) -> None:
    """The read of the single bill shows the confirmation, and it outweighs the stale search."""
    office = Office()
    office.search_lags = True
    client = _client(office)
    await _cut_off(office, client, ids, at=1, check_first=False)
    (result,) = await _ended(_confirm(client, ids))
    assert _keys(result.succeeded) == list(ids)
    assert (office.puts, office.debits) == ([list(ids)], list(ids))


@pytest.mark.parametrize("at", ["B", 1])
async def test_a_call_that_breaks_off_unexpectedly_leaves_its_bills_to_others(at: str | int) -> None:
    """The error names the unknown bills and the cause, and the next call can claim them."""
    office = Office()
    client, broken = _client(office), ValueError("a bug")
    office.ends[at] = broken
    with pytest.raises(OutcomeUnknownError, match=r"payments\.confirm_debit broke off with \w+") as caught:
        await client.confirm_debit(list("ABC"))
    assert caught.value.utility_enkash_ids == tuple("ABC")
    cause = caught.value.__cause__
    assert broken in (cause.exceptions if isinstance(cause, ExceptionGroup) else (cause,))
    office.ends.clear()
    (result,) = await _ended(_confirm(client, "CBA"))
    assert (_keys(result.succeeded), sorted(office.debits)) == (list("CBA"), list("ABC"))


async def test_a_chunk_that_breaks_off_unexpectedly_does_not_cut_off_the_others() -> None:
    """One of three concurrent chunks is unknown by name, and the other two come to their end."""
    office, ids = Office(), [f"U-{number}" for number in range(2500)]
    office.ends[1] = KeyError("a bug")
    answers = [office.hold(2), office.hold(3)]
    call = _confirm(_client(office), ids, check_first=False)
    await office.is_held(3)
    await _settle()
    for answer in answers:
        answer.set()
    (result,) = await _ended(call)
    assert (_keys(result.unknown), _keys(result.succeeded)) == (ids[:1000], ids[1000:])
    (error,) = {item.error for item in result.unknown}
    assert isinstance(error, OutcomeUnknownError)
    assert (error.utility_enkash_ids, type(error.__cause__)) == (tuple(ids[:1000]), KeyError)
    assert office.debits == ids[1000:]


# --- whatever happens -------------------------------------------------------------------------------------------------

_calls = st.tuples(
    st.lists(st.sampled_from("ABCDE"), min_size=1, unique=True),
    st.integers(0, 30),  # turns of the loop after which it is begun
    st.one_of(st.none(), st.integers(0, 30)),  # and further ones after which it is cancelled
)


@settings(max_examples=80)
@given(st.lists(_calls, min_size=2, max_size=4), st.sets(st.integers(1, 4), max_size=2))
async def test_no_bill_is_debited_twice_under_any_cancellation(
    plans: list[tuple[list[str], int, int | None]], refused: set[int]
) -> None:
    """With refusals and cancellations at any moment, a last call finds every bill and finishes the rest."""
    office = Office()
    client = _client(office)
    office.ends.update(dict.fromkeys(refused, BadRequestError("no", status=400)))

    async def begin(ids: list[str], begins: int, ends: int | None) -> None:
        for _ in range(begins):
            await asyncio.sleep(0)
        call = _confirm(client, ids)
        if ends is not None:
            for _ in range(ends):
                await asyncio.sleep(0)
            call.cancel()
        await asyncio.wait([call])
        assert call.cancelled() or isinstance(call.exception(), (EnkashError, type(None)))

    calls = [asyncio.create_task(begin(*plan)) for plan in plans]
    await _ended(*calls)
    office.ends.clear()
    office.time.now += WINDOW
    (result,) = await _ended(_confirm(client, "ABCDE"))
    office.land()
    assert (_keys(result.succeeded), sorted(office.debits)) == (list("ABCDE"), list("ABCDE"))


# --- in-flight confirmations by themselves ----------------------------------------------------------------------------


async def test_a_bill_is_claimed_by_one_call_at_a_time() -> None:
    """The second call gets the unclaimed bills, and a released bill can be claimed again."""
    in_flight = InFlight(WINDOW, Time())
    assert in_flight.claim(["A", "B"]) == ["A", "B"]
    assert in_flight.claim(["C", "B", "A"]) == ["C"]
    assert in_flight.claim(["A"]) == []
    in_flight.release(["A", "B"])
    assert in_flight.claim(["A", "C"]) == ["A"]


async def test_a_waiting_call_wakes_when_the_claims_it_saw_are_released() -> None:
    """The waiting call wakes when the claims that it saw are released; later claims do not count."""
    in_flight = InFlight(WINDOW, Time())
    await in_flight.released(["A", "B"])  # no call has claimed them
    in_flight.claim(["A"])
    in_flight.claim(["B"])
    waiting = asyncio.create_task(in_flight.released(["A", "B", "C"]))
    await _settle()
    in_flight.release(["A"])
    in_flight.claim(["A", "C"])
    await _settle()
    assert not waiting.done()
    in_flight.release(["B"])
    async with asyncio.timeout(10):
        await waiting


def test_a_confirmation_may_be_in_flight_for_a_window_after_its_end() -> None:
    """The window begins when the exchange ends, and a later exchange of the bill restarts it."""
    time = Time()
    in_flight = InFlight(WINDOW, time)
    assert in_flight.left("A") == 0
    in_flight.end(["A", "B"])
    time.now += WINDOW - 1
    in_flight.end(["B"])
    assert (in_flight.left("A"), in_flight.left("B")) == (1, WINDOW)
    time.now += 1
    assert (in_flight.left("A"), in_flight.left("B")) == (0, WINDOW - 1)


def test_a_yes_is_remembered_for_a_window_and_a_no_is_forgotten() -> None:
    """A bill that was never sent is not counted as accepted."""
    time = Time()
    in_flight = InFlight(WINDOW, time)
    in_flight.end(["A", "B"])
    in_flight.accept(["A", "C"])
    in_flight.refuse(["B", "D"])
    assert [in_flight.is_accepted(one) for one in "ABC"] == [True, False, False]
    assert (in_flight.left("A"), in_flight.left("B")) == (WINDOW, 0)
    time.now += WINDOW
    assert [in_flight.is_accepted(one) for one in "ABC"] == [False] * 3
    in_flight.end(["A"])
    assert not in_flight.is_accepted("A")  # it was sent again, and EnKash has not accepted that one yet
