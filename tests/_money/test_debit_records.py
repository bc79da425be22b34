"""The records of debits in a store, beside the store's birth."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Mapping, Sequence

import pytest

from enkash_async._money.creation import Begin, End, Found
from enkash_async._money.debit_commands import Claim, Mine, Outcome, Settle, Wait
from enkash_async._money.debit_keys import BIRTHS, Keys
from enkash_async._money.debit_records import DebitRecords, Shown
from enkash_async._money.instants import DURATIONS
from enkash_async.errors import StoreError, StoreUnavailableError
from enkash_async.stores import Cell, Change, FallbackStore, MemoryStore, Store
from enkash_async.testing import VirtualClock


def _same(store: Store) -> Store:
    return store


KEYS = Keys("https://enkash.example", "CEK1")


class Times:
    """The store's clock and the wall clock, which a test moves."""

    def __init__(self) -> None:
        self.now = 5_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def times() -> Times:
    return Times()


@pytest.fixture
def store(times: Times) -> MemoryStore:
    return MemoryStore(clock=times)


@pytest.fixture
def debits(store: MemoryStore, times: Times) -> DebitRecords:
    return DebitRecords(lambda: store, KEYS, wall=times)


async def is_let_through(debits: DebitRecords, one: str = "UTIL-1") -> bool:
    """Whether a new attempt may send; its claim is given back."""
    answer = (await debits.act({one: Claim("look")}))[one]
    await debits.act({one: Settle("look", Outcome.NEVER_SENT)})
    return isinstance(answer, Mine)


async def test_the_first_command_writes_down_when_the_store_began(debits: DebitRecords, times: Times) -> None:
    """So a store that nobody has used waits for its window, once for all processes."""
    assert (await debits.act({"UTIL-1": Claim("a")}))["UTIL-1"] == Wait(200.0, "store")
    times.now += 199
    assert not await is_let_through(debits)
    times.now += 1
    assert await is_let_through(debits)


async def test_a_birth_ahead_of_the_clock_is_mended_on_the_way(store: MemoryStore, times: Times) -> None:
    """The window counts from there."""
    await DebitRecords(lambda: store, KEYS, wall=times).births()
    times.now -= 3_600
    debits = DebitRecords(lambda: store, KEYS, wall=times)
    assert (await debits.act({"UTIL-1": Claim("a")}))["UTIL-1"] == Wait(200.0, "store")


async def test_no_bills_are_no_work(debits: DebitRecords) -> None:
    """Also for a call that only shows."""
    assert await debits.act({}) == {}
    assert await debits.show([]) == {}
    assert await debits.births_of([]) == {}


async def test_more_bills_than_a_call_takes_are_portioned(times: Times) -> None:
    """A store is never given more than 1,024 keys."""

    class Bounded(MemoryStore):
        async def read(self, keys: Sequence[str]) -> Mapping[str, Cell]:
            assert len(keys) <= 1_024
            return await super().read(keys)

        async def swap(self, changes: Sequence[Change]) -> Sequence[bool]:
            assert len(changes) <= 1_024
            return await super().swap(changes)

    debits = DebitRecords(functools.partial(_same, Bounded(clock=times, nothing_pending=True)), KEYS, wall=times)
    ids = [f"UTIL-{number}" for number in range(2_500)]
    assert set((await debits.act(dict.fromkeys(ids, Claim("a")))).values()) == {Mine()}
    assert {shown.debit.state for shown in (await debits.show(ids)).values() if shown.debit} == {"claimed"}


async def test_a_store_may_be_declared_to_have_nothing_pending(store: MemoryStore, debits: DebitRecords) -> None:
    """By the operator at any time, and by an attribute of the store where it is new."""
    assert not await is_let_through(debits)
    store.nothing_pending = True
    assert not await is_let_through(debits)
    await debits.declare_nothing_pending()
    assert await is_let_through(debits)
    new = MemoryStore(nothing_pending=True)
    assert await is_let_through(DebitRecords(lambda: new, KEYS))


@pytest.mark.parametrize("wrote_it", [True, False])
async def test_a_process_does_not_declare_a_store_that_was_emptied(times: Times, wrote_it: bool) -> None:
    """It has seen the store before, and it or others may have sent something since."""
    store = MemoryStore(clock=times, nothing_pending=True)
    debits = DebitRecords(lambda: store, KEYS, wall=times)
    await (debits if wrote_it else DebitRecords(lambda: store, KEYS, wall=times)).births()
    assert wrote_it or await is_let_through(debits)
    store._held.clear()
    assert not await is_let_through(debits)


async def test_a_store_that_forgets_its_birth_serves_no_debit(times: Times) -> None:
    """It is an error instead of a loop."""

    class Forgetful(MemoryStore):
        async def swap(self, changes: Sequence[Change]) -> Sequence[bool]:
            return [True for _ in changes]

    with pytest.raises(StoreUnavailableError, match="forgets its birth record"):
        await DebitRecords(functools.partial(_same, Forgetful()), KEYS).act({"UTIL-1": Claim("a")})


async def test_a_memory_in_the_place_of_a_file_serves_no_debits() -> None:
    """Its message names what to set."""
    debits = DebitRecords(functools.partial(_same, FallbackStore()), KEYS)
    for call in (debits.act({"UTIL-1": Claim("a")}), debits.births(), debits.note_create("inv-1", Begin("a"))):
        with pytest.raises(StoreUnavailableError, match="ENKASH_STORE_URL"):
            await call


async def test_a_store_that_evicts_records_serves_no_debits() -> None:
    """It is asked once."""

    class Evicting(MemoryStore):
        asked = 0

        async def eviction_policy(self) -> str:
            self.asked += 1
            return "allkeys-lru" if self.asked == 1 else "noeviction"

    store = Evicting(nothing_pending=True)
    debits = DebitRecords(lambda: store, KEYS)
    with pytest.raises(StoreUnavailableError, match="noeviction"):
        await debits.act({"UTIL-1": Claim("a")})
    for _ in range(2):
        assert await is_let_through(debits)
    assert store.asked == 2


async def test_a_birth_of_a_newer_format_stops_debits(store: MemoryStore, debits: DebitRecords) -> None:
    """Nothing is overwritten."""
    await store.swap([Change(key, None, b'{"format": 2, "record": {}}') for key in BIRTHS])
    with pytest.raises(StoreError, match="format 2"):
        await debits.act({"UTIL-1": Claim("a")})


async def test_the_birth_is_told_as_it_is_now(store: MemoryStore, debits: DebitRecords) -> None:
    """None where the store has lost it since."""
    births = await debits.births()
    assert list(births) == list(BIRTHS)
    [now] = (await debits.births_of(["UTIL-1"])).values()
    assert now in births.values()
    store._held.clear()
    assert await debits.births_of(["UTIL-1"]) == {"UTIL-1": None}
    assert await debits.births() != births


async def test_bills_that_were_created_in_a_new_store_are_let_through(store: MemoryStore, debits: DebitRecords) -> None:
    """Unless the store was emptied while their creates were under way."""
    births = await debits.births()
    await debits.note_bills("step", ["UTIL-1"], births)
    assert await is_let_through(debits)
    store._held.clear()
    await debits.note_bills("step", ["UTIL-1"], births)
    assert not await is_let_through(debits)


async def test_a_create_is_noted_by_reference(debits: DebitRecords) -> None:
    """Each step is told what the one before knew."""
    assert await debits.note_create("inv-1", Begin("a")) == Found()
    assert (await debits.note_create("inv-1", Begin("b"))).seconds_under_way > 0
    await debits.note_create("inv-1", End("b", "UTIL-1"))
    assert (await debits.note_create("inv-1", Begin("c"))).utility_enkash_id == "UTIL-1"


async def test_records_are_shown_with_their_age(debits: DebitRecords, times: Times) -> None:
    """And whether their window is over."""
    await debits.declare_nothing_pending()
    await debits.act({"UTIL-1": Claim("a")})
    times.now += 200
    shown = await debits.show(["UTIL-1", "UTIL-2"])
    assert shown["UTIL-2"] == Shown(None)
    assert shown["UTIL-1"].debit is not None
    assert (shown["UTIL-1"].debit.state, shown["UTIL-1"].age, shown["UTIL-1"].is_settled) == ("claimed", 200, True)


async def test_a_test_may_scale_the_window(store: MemoryStore, times: Times) -> None:
    """By a private argument alone."""
    debits = DebitRecords(lambda: store, KEYS, wall=times, durations=DURATIONS.scaled(0.01))
    assert (await debits.act({"UTIL-1": Claim("a")}))["UTIL-1"] == Wait(2.0, "store")


def test_virtual_time_moves_the_window() -> None:
    """The wall clock of a process follows its loop there."""

    async def body() -> None:
        debits = DebitRecords(functools.partial(_same, MemoryStore()), KEYS)
        assert not await is_let_through(debits)
        await asyncio.sleep(201)
        assert await is_let_through(debits)

    VirtualClock().run(body())
