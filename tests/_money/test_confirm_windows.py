"""What a confirmation may still do after its call: nothing is sent again within the window, and all is paid later."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence

import attrs
import pytest
from _money.office import WINDOW, Office, all_of, confirm, keys
from hypothesis import given, settings
from hypothesis import strategies as st

from enkash_async import (
    Bill,
    BulkResult,
    MemoryStore,
    OutcomeUnknownError,
    PaymentStatus,
    RetryAdvice,
    StoreError,
    StoreUnavailableError,
    TransportError,
)
from enkash_async._money.debit_keys import Keys
from enkash_async._money.debits import Debits
from enkash_async._money.departures import DebitDeparture
from enkash_async._money.instants import DURATIONS
from enkash_async.bulk import BulkGroup
from enkash_async.errors import (
    ApiError,
    BadRequestError,
    ConfigurationError,
    EnkashError,
    PermissionDeniedError,
    RateLimitError,
    TokenEndpointError,
    VelocityLimitError,
)
from enkash_async.resources.payments import Payments
from enkash_async.stores import Cell, Change

from support import debit_records, leaping

AFTER = DURATIONS.settled_after  # seconds until a confirmation is not under way any more
LONG = 3 * AFTER
KEYS = Keys("http://127.0.0.1")


def _ids(count: int) -> list[str]:
    return [f"U-{number}" for number in range(count)]


@attrs.define
class Shared:
    """A store that other processes share: it is young at first, and fails as a test says.

    Attributes:
        fails: Number of the calls that fail, from 0.
        is_late: Whether a swap that fails was carried out.
    """

    nothing_pending: bool = False
    fails: frozenset[int] = frozenset()
    is_late: bool = False
    calls: int = 0
    inner: MemoryStore = attrs.field(factory=MemoryStore)

    async def read(self, keys: Sequence[str]) -> Mapping[str, Cell]:
        await asyncio.sleep(0)
        self._fail()
        return await self.inner.read(keys)

    async def swap(self, changes: Sequence[Change]) -> Sequence[bool]:
        if self.is_late and self.calls in self.fails:
            await self.inner.swap(changes)
        self._fail()
        return await self.inner.swap(changes)

    def _fail(self) -> None:
        self.calls += 1
        if self.calls - 1 in self.fails:
            raise StoreUnavailableError("away")

    async def aclose(self) -> None:
        pass


def _debits(client: Payments) -> Debits:
    return client._debits


async def _states(client: Payments, ids: Iterable[str]) -> set[str]:
    return {record.state for record in await client.debits(ids)}


def _advice(result: BulkResult[None]) -> set[RetryAdvice]:
    return {item.error.retry for item in (*result.unknown, *result.not_sent) if item.error is not None}


# --- calls that are refused -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "bad"), [(2, {"U-1"}), (40, {"U-0", "U-7", "U-39"})])
@pytest.mark.parametrize("works_through", [False, True])
@leaping
async def test_a_refused_call_is_sent_bill_by_bill_after_the_window(
    count: int, bad: set[str], works_through: bool
) -> None:
    """Each good bill is debited once, also where EnKash debited those before the bad one; the bad ones failed."""
    office, ids = Office(), _ids(count)

    def answer(some: list[str]) -> tuple[list[str], Exception | None]:
        first = next((place for place, one in enumerate(some) if one in bad), None)
        done = some[: first if works_through else 0] if first is not None else some
        return done, None if first is None else BadRequestError("no", status=400)

    office.answer, office.lag = answer, 8.0
    result = await confirm(office.client(settle=LONG), ids)
    assert set(keys(result.failed)) == bad
    assert keys(result.succeeded) == [one for one in ids if one not in bad]
    assert sorted(office.debits) == sorted(keys(result.succeeded))
    assert {len(put) for put in office.puts[1:]} == {1}
    assert min(office.at[1:]) - office.at[0] >= AFTER
    assert await _states(office.client(), bad) == {"none"}


@leaping
async def test_within_the_window_a_refused_call_is_unknown_to_everybody() -> None:
    """The caller is told when to come again, and neither this call nor another one sends anything."""
    office, ids, store = Office(), _ids(5), MemoryStore()
    office.answer = lambda _: ((), BadRequestError("no", status=400))
    for _ in range(2):
        with pytest.raises(OutcomeUnknownError, match="may be under way") as caught:
            await office.client(store).confirm_debit(ids)
        assert caught.value.retry is RetryAdvice.LATER
        assert caught.value.utility_enkash_ids == tuple(ids)
    assert len(office.puts) == 1
    assert caught.value.retry_after is not None
    await asyncio.sleep(caught.value.retry_after or 0)
    office.answer = lambda some: (some, None)
    assert keys((await confirm(office.client(store), ids)).succeeded) == ids
    assert sorted(office.debits) == ids


OF_THE_ACCOUNT = [
    VelocityLimitError("36", status=400, response_code=36),
    VelocityLimitError("37", status=200, response_code=37),
    PermissionDeniedError("403", status=403),
    PermissionDeniedError("200", status=200, response_code=403),
    RateLimitError("429", status=429),
]


@pytest.mark.parametrize("refusal", OF_THE_ACCOUNT, ids=str)
@leaping
async def test_a_single_refusal_for_the_accounts_sake_spares_the_others(refusal: EnkashError) -> None:
    """After the window one bill is sent by itself; the rest is `not_sent`, with the advice to come later."""
    office, ids, store = Office(), _ids(6), MemoryStore()
    office.answer = lambda some: ((), refusal if len(some) == 1 else BadRequestError("no", status=400))
    result = await confirm(office.client(store, settle=AFTER + 5), ids)
    assert [len(put) for put in office.puts] == [6, 1]
    assert len(result.not_sent) == 5
    assert {item.error for item in result.not_sent} == {refusal}
    assert _advice(result) == {RetryAdvice.LATER}
    is_clear = not isinstance(refusal, RateLimitError)  # 429 says nothing of what was done
    assert keys(result.failed if is_clear else result.unknown) == office.puts[1]
    assert await _states(office.client(store), keys(result.not_sent)) == {"none"}
    assert office.debits == []


@leaping
async def test_a_bill_that_is_always_refused_does_not_hold_up_its_company_for_ever() -> None:
    """Chance chooses which bill goes first by itself, so that later runs pay the others."""
    office, ids, store = Office(), _ids(4), MemoryStore()

    def answer(some: list[str]) -> tuple[Iterable[str], Exception | None]:
        return ((), VelocityLimitError("36", status=400, response_code=36)) if "U-0" in some else (some, None)

    office.answer = answer
    for _ in range(30):
        result = await confirm(office.client(store, settle=LONG), ids)
        if len(result.succeeded) == 3:
            break
    assert sorted(office.debits) == ids[1:]


NEVER_CLEAR = [
    *(ApiError(str(status), status=status, response_code=1) for status in (408, 409, 425, 429, 500, 503)),
    ApiError("404", status=404),
    BadRequestError("no", status=400),
]


@pytest.mark.parametrize("refusal", NEVER_CLEAR, ids=str)
@leaping
async def test_only_a_documented_refusal_of_one_bill_is_clear(refusal: ApiError) -> None:
    """After all others the bill stays *sent*, since EnKash may have done the work or still do it."""
    office, store = Office(), MemoryStore()
    office.answer = lambda _: ((), refusal)
    is_clear = refusal.status == 400
    with pytest.raises(BadRequestError if is_clear else OutcomeUnknownError):
        await office.client(store).confirm_debit(["U-0"])
    assert await _states(office.client(store), ["U-0"]) == {"none" if is_clear else "sent"}


@pytest.mark.parametrize(
    "failure",
    [
        TransportError("no connection", sent=False),
        TokenEndpointError("no login after a 401", counted=True),
        ConfigurationError("closed"),
        StoreUnavailableError("away"),
    ],
    ids=repr,
)
@leaping
async def test_what_surely_never_left_gives_its_claim_back(failure: EnkashError) -> None:
    """Nothing is told as unclear, and the next call may send at once."""
    office, store = Office(), MemoryStore()
    office.answer = lambda _: ((), failure)
    with pytest.raises(type(failure)):
        await office.client(store).confirm_debit(_ids(3))
    assert await _states(office.client(store), _ids(3)) == {"none"}
    office.answer = lambda some: (some, None)
    assert keys((await confirm(office.client(store), _ids(3))).succeeded) == _ids(3)


# --- calls that end unclearly -----------------------------------------------------------------------------------------

DROPPED = OutcomeUnknownError("dropped", operation="payments.confirm_debit")


@leaping
async def test_an_unclear_call_that_left_no_trace_is_repeated_in_company_after_the_window() -> None:
    """No bill stays unpaid, and nothing is sent before the window is over."""
    office, ids = Office(), _ids(7)
    office.answer = lambda some: ((), DROPPED) if len(office.puts) == 1 else (some, None)
    result = await confirm(office.client(settle=LONG), ids)
    assert keys(result.succeeded) == ids
    assert office.puts == [ids, ids]
    assert office.at[1] - office.at[0] >= AFTER
    assert sorted(office.debits) == ids


@leaping
async def test_a_call_that_is_carried_out_late_and_shown_later_debits_once() -> None:
    """EnKash debits 120 s after the reply was lost and shows it 10 s later; the caller waits that long."""
    office, ids = Office(), _ids(5)
    office.lag = 10.0

    def answer(some: list[str]) -> tuple[Iterable[str], Exception | None]:
        asyncio.get_running_loop().call_later(120, office.debit, some)
        return (), DROPPED

    office.answer = answer
    assert keys((await confirm(office.client(settle=LONG), ids)).succeeded) == ids
    assert (len(office.puts), sorted(office.debits)) == (1, ids)


@pytest.mark.parametrize("shown", [None, Bill(utility_enkash_id="U-0", payment_status=PaymentStatus("EXPIRED"))])
@leaping
async def test_after_the_window_an_unreadable_bill_is_left_to_a_person(shown: Bill | None) -> None:
    """Nothing is sent and nothing claimed; waiting longer does not help, so there is no `retry_after`."""
    office, store = Office(), MemoryStore()
    office.answer = lambda _: ((), DROPPED)
    with pytest.raises(OutcomeUnknownError):
        await office.client(store).confirm_debit(["U-0"])
    office.shown["U-0"] = shown
    await asyncio.sleep(AFTER)
    with pytest.raises(OutcomeUnknownError, match="it was sent before") as caught:
        await office.client(store).confirm_debit(["U-0"])
    assert (caught.value.retry, caught.value.retry_after) == (RetryAdvice.LOOK, None)
    assert (len(office.puts), await _states(office.client(store), ["U-0"])) == (1, {"sent"})


@leaping
async def test_a_sending_that_fails_after_the_window_is_not_told_as_under_way() -> None:
    """The single read proved the first sending undone, and the second one never left."""
    office = Office()
    office.answer = lambda _: ((), DROPPED if len(office.puts) == 1 else TransportError("down", sent=False))
    with pytest.raises(TransportError):
        await office.client(settle=LONG).confirm_debit(["U-0"])
    assert (len(office.puts), office.debits) == (2, [])


# --- reading ----------------------------------------------------------------------------------------------------------


@leaping
async def test_bills_that_were_never_confirmed_take_few_requests() -> None:
    """5,000 ids are searched for, 99 at a time, and confirmed by the thousand: at most 0.03 requests for each id."""
    office, ids = Office(), _ids(5000)
    assert len((await confirm(office.client(), ids)).succeeded) == 5000
    assert len(office.puts) == 5
    assert len(office.debits) == 5000
    assert office.singles == 0
    assert office.searches + len(office.puts) <= 0.03 * 5000


@leaping
async def test_waiting_for_many_bills_reads_few_of_them_singly() -> None:
    """Each third look reads as many singly as there were searches, in turn, and the last one the rest."""
    office, ids = Office(), _ids(990)
    office.answer = lambda _: ((), DROPPED)
    with pytest.raises(OutcomeUnknownError):
        await office.client().confirm_debit(ids)
    looks = WINDOW + 1
    assert office.searches <= 10 * (looks + 1)
    assert office.singles <= 10 * looks / 3 + 990


@leaping
async def test_a_search_that_never_shows_the_end_is_outweighed_by_single_reads() -> None:
    """In the last look each bill is read by a call of its own, so that none stays unknown."""
    office, ids = Office(), _ids(20)
    office.search_lags = True
    office.answer = lambda some: (some, DROPPED)
    assert keys((await confirm(office.client(), ids)).succeeded) == ids


@leaping
async def test_a_search_without_approvals_does_not_lead_to_a_second_debit() -> None:
    """Prevents a double debit: the undocumented search may omit the word that says «confirmed»."""
    office, ids = Office(), _ids(8)
    office.is_vague = office.search_lags = True
    office.debit(ids)  # long ago, by somebody whose records are gone
    assert keys((await confirm(office.client(), ids)).succeeded) == ids
    assert (office.puts, sorted(office.debits)) == ([], ids)


@leaping
async def test_a_bill_that_a_create_returned_and_no_read_shows_yet_is_waited_for() -> None:
    """«Not found» is lag there, so that the bill is confirmed as soon as it shows; elsewhere it is a failure."""
    office, store = Office(), MemoryStore()
    client = office.client(store)
    records = _debits(client).records
    await records.note_bills("create", ["U-0"], await records.births())
    office.shown["U-0"] = None
    with pytest.raises(TransportError, match="does not show") as caught:
        await client.confirm_debit(["U-0"])
    assert (caught.value.retry, office.puts) == (RetryAdvice.LATER, [])
    asyncio.get_running_loop().call_later(3, office.shown.clear)
    assert keys((await confirm(client, ["U-0"])).succeeded) == ["U-0"]
    assert office.debits == ["U-0"]


# --- the store --------------------------------------------------------------------------------------------------------


@leaping
async def test_a_young_store_says_at_once_how_long_to_wait() -> None:
    """It does not know what was sent before it began; one error for all says so, and nothing was sent.

    The call does not sit out its window first, since the store is still too young at the end of it.
    """
    office, store, ids = Office(), Shared(), _ids(3)
    with pytest.raises(StoreUnavailableError, match="--nothing-pending") as caught:
        await office.client(store).confirm_debit(ids)
    assert (caught.value.retry, office.puts) == (RetryAdvice.LATER, [])
    assert caught.value.retry_after == pytest.approx(AFTER, abs=1)
    await asyncio.sleep(caught.value.retry_after or 0)
    assert keys((await confirm(office.client(store), ids)).succeeded) == ids
    assert office.debits == ids


@leaping
async def test_a_caller_with_patience_waits_until_the_store_is_old() -> None:
    """The call goes on by itself once the store is old enough."""
    office = Office()
    assert keys((await confirm(office.client(Shared(), settle=LONG), ["A"])).succeeded) == ["A"]
    assert office.at[0] >= AFTER


@leaping
async def test_a_young_store_confirms_what_it_saw_created() -> None:
    """A create that was noted goes through at once, and only once; another bill waits."""
    office, store = Office(), Shared()
    client = office.client(store)
    records = _debits(client).records
    await records.note_bills("create", ["A"], await records.births())
    for _ in range(2):
        result = await confirm(client, "AB")
        assert (keys(result.succeeded), keys(result.not_sent)) == (["A"], ["B"])
    assert (office.debits, _advice(result)) == (["A"], {RetryAdvice.LATER})


@leaping
async def test_a_store_with_nothing_pending_confirms_at_once() -> None:
    """The attribute of the store declares it for a store that is new."""
    office = Office()
    assert keys((await confirm(office.client(Shared(nothing_pending=True)), "AB")).succeeded) == ["A", "B"]
    assert office.at == [0]


@leaping
async def test_a_store_that_is_emptied_after_a_sending_does_not_make_it_unsent() -> None:
    """The bill is unknown, not `not_sent`: this call has sent it, whatever the store has forgotten."""
    office, store = Office(), Shared(nothing_pending=True)

    def answer(_: list[str]) -> tuple[Iterable[str], Exception | None]:
        store.inner._held.clear()
        return (), DROPPED

    office.answer = answer
    with pytest.raises(OutcomeUnknownError) as caught:
        await office.client(store).confirm_debit(["U-0"])
    assert caught.value.retry is RetryAdvice.LATER
    assert len(office.puts) == 1


@settings(max_examples=80)
@given(st.integers(0, 14), st.sampled_from([1, 3, 200]), st.booleans(), st.sampled_from([None, DROPPED]))
@leaping
async def test_a_store_that_fails_at_any_call_leads_to_no_double_debit_and_no_untrue_answer(
    first: int, length: int, is_late: bool, end: Exception | None
) -> None:
    """Nothing leaves that is not written down; what left is never told as not sent; later every bill is paid once."""
    office, ids = Office(), _ids(4)
    store = Shared(nothing_pending=True, fails=frozenset(range(first, first + length)), is_late=is_late)
    office.answer = lambda some: (some, end)
    client = office.client(store)
    try:
        result = await confirm(client, ids)
    except EnkashError as problem:
        told = isinstance(problem, StoreUnavailableError)
        assert problem.retry is RetryAdvice.LATER
        assert told is (office.debits == [])
    else:
        assert all_of(result) == ids
        assert keys(result.not_sent) == [] or office.debits == []
    store.fails = frozenset()
    office.answer = lambda some: (some, None)
    assert keys((await confirm(office.client(store, settle=LONG), ids)).succeeded) == ids
    assert sorted(office.debits) == ids


@leaping
async def test_a_bill_of_another_process_is_unknown_when_the_store_goes_away() -> None:
    """The store said that it was sent, so «not sent» would be untrue."""
    office, store = Office(), Shared(nothing_pending=True)
    office.answer = lambda _: ((), DROPPED)
    with pytest.raises(OutcomeUnknownError):
        await office.client(store).confirm_debit(["A"])
    store.fails = frozenset(range(store.calls + 2, 10_000))
    with pytest.raises(OutcomeUnknownError) as caught:
        await office.client(store).confirm_debit(["A"])
    assert caught.value.retry is RetryAdvice.LATER


@leaping
async def test_claims_are_given_back_when_the_store_fails_for_a_moment() -> None:
    """Otherwise the next call would wait for the end of the window, although nothing was sent."""
    office, store = Office(), Shared(nothing_pending=True, fails=frozenset({5}))
    client = office.client(store)
    with pytest.raises(StoreUnavailableError):
        await client.confirm_debit(["A"])
    assert await _states(client, ["A"]) == {"none"}
    assert office.puts == []


@leaping
async def test_a_record_that_cannot_be_used_holds_up_its_own_bill_alone() -> None:
    """A newer version wrote it; the other 999 of the call are confirmed."""
    office, store, ids = Office(), MemoryStore(), _ids(1000)
    await store.swap([Change(KEYS.debit("U-400"), None, b'{"format":999}', None)])
    result = await confirm(office.client(store), ids)
    assert keys(result.not_sent) == ["U-400"]
    assert type(result.not_sent[0].error) is StoreError
    assert sorted(office.debits) == sorted({*ids} - {"U-400"})
    assert len(office.puts) == 1


@leaping
async def test_a_store_that_is_too_slow_ends_the_call() -> None:
    """Each record is too old before *sent* is written; the call gives up instead of trying for ever."""

    class Slow(Shared):
        async def swap(self, changes: Sequence[Change]) -> Sequence[bool]:
            await asyncio.sleep(25)
            return await super().swap(changes)

    office = Office()
    with pytest.raises(EnkashError) as caught:
        await office.client(Slow(nothing_pending=True)).confirm_debit(["A"])
    assert caught.value.retry is RetryAdvice.LATER
    assert office.debits == []


@leaping
async def test_a_departure_that_is_asked_twice_stays_begun() -> None:
    """Prevents a double debit: aiohttp asks again for a second attempt, which is late; the first one may have left."""
    now = [0.0]
    departure = DebitDeparture(debit_records(MemoryStore()), {}, [], clock=lambda: now[0])
    await departure.note()
    assert departure.is_timely()
    now[0] = 30.0
    assert not departure.is_timely()
    assert departure.begun


# --- operators --------------------------------------------------------------------------------------------------------


async def _sent(office: Office, store: MemoryStore) -> Payments:
    """Return a client with a bill that was sent, and of which EnKash knows nothing."""
    office.answer = lambda _: ((), DROPPED)
    client = office.client(store, settle=0)
    with pytest.raises(OutcomeUnknownError):
        await client.confirm_debit(["A"])
    return client


@leaping
async def test_records_are_shown_as_they_are() -> None:
    """A bill without a record is shown as `none`; one that was sent with the rest of its window."""
    office, store = Office(), MemoryStore()
    client = await _sent(office, store)
    await asyncio.sleep(50)
    sent, none = await client.debits(["A", "B"])
    assert (sent.utility_enkash_id, sent.state, none.state, none.at) == ("A", "sent", "none", None)
    assert sent.window_left == pytest.approx(AFTER - 50, abs=1)
    assert sent.at is not None


@leaping
async def test_a_record_that_two_reads_disprove_is_released(caplog: pytest.LogCaptureFixture) -> None:
    """The reads are 15 s apart, the log has the reason, and the bill can be confirmed again."""
    office, store = Office(), MemoryStore()
    client = await _sent(office, store)
    await asyncio.sleep(AFTER)
    began, singles = asyncio.get_running_loop().time(), office.singles
    result = await client.release(["A"], because="EnKash says so")
    assert keys(result.succeeded) == ["A"]
    assert office.singles - singles == 2
    assert asyncio.get_running_loop().time() - began == pytest.approx(15, abs=1)
    assert [(record.levelname, "EnKash says so" in record.message) for record in caplog.records] == [("WARNING", True)]
    assert await _states(client, ["A"]) == {"none"}


@leaping
async def test_a_record_stays_unless_everything_speaks_for_its_release() -> None:
    """A young one, one that was debited, one that cannot be read, and a bill without a record are `failed`."""
    office, store = Office(), MemoryStore()
    client = await _sent(office, store)
    young = await client.release(["A"], because="x")
    assert isinstance(young.failed[0].error, OutcomeUnknownError)
    assert young.failed[0].error.retry_after == pytest.approx(AFTER, abs=1)
    await asyncio.sleep(AFTER)
    assert keys((await client.release(["B"], because="x")).failed) == ["B"]
    office.shown["A"] = None
    assert keys((await client.release(["A"], because="x")).failed) == ["A"]
    office.shown.clear()
    asyncio.get_running_loop().call_later(10, office.debit, ["A"])  # between the two reads
    assert keys((await client.release(["A"], because="x")).failed) == ["A"]
    assert await _states(client, ["A"]) == {"sent"}
    assert keys((await confirm(client, ["A"])).succeeded) == ["A"]
    assert keys((await client.release(["A"], because="x")).failed) == ["A"]
    assert office.debits == ["A"]


@leaping
async def test_a_record_of_the_future_can_be_released_in_the_end() -> None:
    """A clock that was an hour ahead does not keep the operator out: the record gets the instant of the first try."""
    office, store = Office(), MemoryStore()
    client = await _sent(office, store)
    ahead = debit_records(store, wall=lambda: asyncio.get_running_loop().time() + 3600)
    _debits(client).records._wall, kept = ahead._wall, _debits(client).records._wall
    await asyncio.sleep(AFTER)
    with pytest.raises(OutcomeUnknownError):
        await client.confirm_debit(["A"])  # read singly, claimed and sent again, an hour ahead
    _debits(client).records._wall = kept
    assert keys((await client.release(["A"], because="x")).failed) == ["A"]
    await asyncio.sleep(AFTER)
    assert keys((await client.release(["A"], because="x")).succeeded) == ["A"]


# --- a yes that EnKash did not keep -----------------------------------------------------------------------------------


@leaping
async def test_a_yes_that_brought_no_debit_is_for_a_person_to_look_at() -> None:
    """The caller has read the bill as unconfirmed; after the window a single read holds the record against that."""
    office, store, ids = Office(), MemoryStore(), _ids(2)
    office.answer = lambda given: (given[:1], None)  # says yes to both, and debits one
    debits = _debits(office.client(store))
    assert {each.group for each in (await debits.confirm(ids)).values()} == {BulkGroup.SUCCEEDED}
    early = await debits.confirm(ids, doubted=ids)
    assert {each.group for each in early.values()} == {BulkGroup.SUCCEEDED}, "within the window, EnKash may lag"
    await asyncio.sleep(AFTER)
    office.singles = 0
    assert {each.group for each in (await debits.confirm(ids)).values()} == {BulkGroup.SUCCEEDED}
    assert office.singles == 0, "without a doubt nothing is read"
    late = await debits.confirm(ids, doubted=ids)
    assert [late[one].group for one in ids] == [BulkGroup.SUCCEEDED, BulkGroup.UNKNOWN]
    error = late[ids[1]].error
    assert error is not None
    assert (error.retry, len(office.puts)) == (RetryAdvice.LOOK, 1)
