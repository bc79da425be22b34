"""Commands on records: decided again until the swap is made, and carried out once, whatever gets lost."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enkash_async.errors import StoreError, StoreUnavailableError
from enkash_async.stores import (
    Cell,
    Change,
    DocumentCodec,
    MemoryStore,
    RecordKind,
    act,
    act_on_each,
    act_on_each_beside,
)
from enkash_async.stores.actions import Transition

from support import shown

KEY = "enkash:account:v2:made-up"


@attrs.frozen
class Account:
    """A record by which a command is recognised that was carried out already."""

    total: int = 0
    done: tuple[str, ...] = ()


ACCOUNT = RecordKind(DocumentCodec(Account))

Command = tuple[str, int]


def pay_in(record: Account | None, command: Command, now: float) -> tuple[Account | None, int]:
    """Add to the total, once for each id; what comes to nothing is deleted."""
    name, amount = command
    before = record or Account()
    if name in before.done:
        return record, before.total
    after = Account(before.total + amount, (*before.done, name))
    return (after if after.total else None), after.total


Step = Callable[[Sequence[Change]], Awaitable[Sequence[bool]]]


class Hindered(MemoryStore):
    """A memory store of which a test says what happens to each swap: a list of plans, the last for all that follow.

    Attributes:
        swaps: The changes of each swap.
        reads: How many reads there were.
    """

    def __init__(self, *plans: str) -> None:
        super().__init__()
        self.swaps: list[list[Change]] = []
        self.reads = 0
        self._plans = list(plans) or ["made"]
        self._late: list[Change] = []

    async def read(self, keys: Sequence[str]) -> Mapping[str, Cell]:
        self.reads += 1
        found = await super().read(keys)
        late, self._late = self._late, []
        await super().swap(late)
        return found

    async def swap(self, changes: Sequence[Change]) -> Sequence[bool]:
        self.swaps.append(list(changes))
        plan = self._plans.pop(0) if len(self._plans) > 1 else self._plans[0]
        return await self._carry_out(plan, changes)

    async def _carry_out(self, plan: str, changes: Sequence[Change]) -> Sequence[bool]:
        if plan == "overtaken":
            for change in changes:
                cell = (await super().read([change.key]))[change.key]
                other, _ = pay_in(None if cell.value is None else ACCOUNT.codec.decode(cell.value), _others(), 0.0)
                await super().swap([Change(change.key, cell.value, ACCOUNT.codec.encode(other or Account()))])
        if plan == "comes late":
            self._late = list(changes)
        made = await super().swap(changes) if plan in {"made", "overtaken", "answer lost"} else []
        if plan in {"answer lost", "request lost", "comes late"}:
            raise StoreUnavailableError("no answer")
        return made


def _others() -> Command:
    """A payment of somebody else's."""
    return f"other-{random.random()}", 1000


class Pauses(list[float]):
    """Keeps how long was to be waited."""

    async def __call__(self, seconds: float) -> None:
        self.append(seconds)


async def held(store: MemoryStore) -> Account | None:
    value = (await MemoryStore.read(store, [KEY]))[KEY].value
    return None if value is None else ACCOUNT.codec.decode(value)


async def test_a_command_changes_the_record_and_returns_its_answer() -> None:
    """A second one stands on the first."""
    store = Hindered()
    assert await act(store, KEY, pay_in, ("a", 5), kind=ACCOUNT) == 5
    assert await act(store, KEY, pay_in, ("b", 2), kind=ACCOUNT) == 7
    assert await held(store) == Account(7, ("a", "b"))


async def test_a_record_that_did_not_change_is_not_written() -> None:
    """Not even if its bytes would be others: it is the record that is compared."""
    store = Hindered()
    await MemoryStore.swap(store, [Change(KEY, None, b'{"record": {"done": ["a"],  "total": 5}, "format": 1}')])
    assert await act(store, KEY, pay_in, ("a", 5), kind=ACCOUNT) == 5
    assert store.swaps == []
    assert await act(store, KEY, pay_in, ("b", 1), kind=ACCOUNT) == 6  # and `old` is what was read, not written anew


async def test_none_deletes_the_record() -> None:
    """And none that stays none is not written."""
    store = Hindered()
    await act(store, KEY, pay_in, ("a", 5), kind=ACCOUNT)
    assert await act(store, KEY, pay_in, ("b", -5), kind=ACCOUNT) == 0
    assert await held(store) is None
    assert await act(store, KEY, pay_in, ("c", 0), kind=ACCOUNT) == 0
    assert len(store.swaps) == 2


async def test_a_record_is_kept_as_its_kind_says() -> None:
    """From each change anew."""
    store = Hindered()
    await act(store, KEY, pay_in, ("a", 5), kind=RecordKind(ACCOUNT.codec, keep=35 * 86400))
    await act(store, KEY, pay_in, ("b", 5), kind=ACCOUNT)
    assert [change.keep for [change] in store.swaps] == [35 * 86400, None]


async def test_a_transition_is_given_the_now_of_the_store() -> None:
    """That of the read on which it decides."""
    store = MemoryStore(clock=lambda: 77.5)
    seen = []

    def look(record: Account | None, command: str, now: float) -> tuple[None, None]:
        seen.append((record, command, now))
        return None, None

    await act(store, KEY, look, "command", kind=ACCOUNT)
    assert seen == [(None, "command", 77.5)]


async def test_a_command_that_was_overtaken_is_decided_on_what_is_there_then() -> None:
    """After a random share of a pause that grows."""
    store, pauses = Hindered(*["overtaken"] * 4, "made"), Pauses()
    assert await act(store, KEY, pay_in, ("a", 5), kind=ACCOUNT, sleep=pauses, random=lambda: 0.5) == 4005
    assert store.reads == len(store.swaps) == 5
    assert pauses == [0.001, 0.002, 0.004, 0.008]


async def test_a_command_that_is_overtaken_again_and_again_is_given_up() -> None:
    """The store is not away, so this is no error that says so; and all pauses together are bounded."""
    store, pauses = Hindered("overtaken"), Pauses()
    with pytest.raises(StoreError, match="50 times") as caught:
        await act(store, KEY, pay_in, ("a", 5), kind=ACCOUNT, sleep=pauses, random=lambda: 1.0)
    assert not isinstance(caught.value, StoreUnavailableError)
    assert len(store.swaps) == 50
    assert 7 < sum(pauses) < 10
    assert await held(store) == Account(50_000, (await held(store) or Account()).done)


@pytest.mark.parametrize("loss", ["answer lost", "request lost", "comes late"])
async def test_a_swap_without_an_answer_is_decided_again(loss: str) -> None:
    """The command is carried out once, be it made, not made, or made only after the next read."""
    store = Hindered(loss, "made")
    assert await act(store, KEY, pay_in, ("a", 5), kind=ACCOUNT, sleep=Pauses()) == 5
    assert await held(store) == Account(5, ("a",))
    assert len(store.swaps) == {"answer lost": 1, "request lost": 2, "comes late": 2}[loss]


async def test_a_store_that_never_answers_a_swap_is_away() -> None:
    """Though it answers reads; and the error is not tied to those before."""
    store = Hindered("request lost")
    with pytest.raises(StoreUnavailableError, match="no answer") as caught:
        await act(store, KEY, pay_in, ("a", 5), kind=ACCOUNT, sleep=Pauses(), tries=4)
    assert len(store.swaps) == 4
    assert caught.value.__context__ is None


async def test_a_read_that_fails_ends_the_act() -> None:
    """Nothing is swapped."""

    class Away(Hindered):
        async def read(self, keys: Sequence[str]) -> Mapping[str, Cell]:
            raise StoreUnavailableError("away")

    store = Away()
    with pytest.raises(StoreUnavailableError, match="away"):
        await act(store, KEY, pay_in, ("a", 5), kind=ACCOUNT)
    assert store.swaps == []


@pytest.mark.parametrize(
    "value",
    [b'{"format": 2, "record": {"total": 5, "more": 1}}', b'{"format": 99}', b"rubbish", b"", b"\xff", b'{"total": 5}'],
)
async def test_a_record_in_an_unknown_format_is_left_as_it_is(value: bytes) -> None:
    """It is an error, and the store is not away: no process acts as if there were no record."""
    store = Hindered()
    await MemoryStore.swap(store, [Change(KEY, None, value)])
    with pytest.raises(StoreError, match="left as it is") as caught:
        await act(store, KEY, pay_in, ("a", 5), kind=ACCOUNT)
    assert not isinstance(caught.value, StoreUnavailableError)
    assert store.swaps == []
    assert (await store.read([KEY]))[KEY].value == value


async def test_an_error_shows_no_byte_of_a_record() -> None:
    """Neither of one that cannot be read, nor of those beside it."""
    store = Hindered("request lost")
    text = b"made-up-secret"
    await MemoryStore.swap(store, [Change(KEY, None, b'{"format": 7, "record": "%s"}' % text)])
    for key in (KEY, "enkash:account:v2:other"):
        with pytest.raises(StoreError) as caught:
            await act(store, key, pay_in, ("a", 5), kind=ACCOUNT, sleep=Pauses())
        assert text.decode() not in shown(caught.value)


async def test_many_records_are_acted_on_in_few_calls() -> None:
    """Only those whose change was not made are decided again; answers are in the order of the commands."""

    class Half(Hindered):
        async def swap(self, changes: Sequence[Change]) -> Sequence[bool]:
            half = len(changes) // 2
            self.swaps.append(list(changes))
            return [*(False for _ in changes[:half]), *await MemoryStore.swap(self, changes[half:])]

    store = Half()
    keys = [f"{KEY}-{number}" for number in range(100)]
    commands = {key: ("a", number + 1) for number, key in enumerate(keys)}
    answers = await act_on_each(store, commands, pay_in, kind=ACCOUNT, sleep=Pauses())
    assert list(answers.items()) == [(key, number + 1) for number, key in enumerate(keys)]
    assert [len(changes) for changes in store.swaps] == [100, 50, 25, 12, 6, 3, 1]


async def test_a_command_is_decided_beside_what_is_read_in_the_same_call() -> None:
    """Each time anew, and what stands beside is not changed."""
    store, beside = Hindered("overtaken", "made"), "enkash:birth:v2:made-up"
    await MemoryStore.swap(store, [Change(beside, None, b"3")])

    def given(key: str, cells: Mapping[str, Cell]) -> Transition[Account, Command, int]:
        factor = int(cells[beside].value or b"0")
        assert set(cells) == {KEY, beside}
        return lambda record, command, now: pay_in(record, (command[0], command[1] * factor), now)

    answers = await act_on_each_beside(store, {KEY: ("a", 5)}, [beside], given, kind=ACCOUNT, sleep=Pauses())
    assert answers == {KEY: 1015}
    assert store.reads == 2
    assert [change.key for change in store.swaps[-1]] == [KEY]


async def test_no_command_is_no_call() -> None:
    """An empty mapping is answered by one."""
    assert await act_on_each(Hindered(), {}, pay_in, kind=ACCOUNT) == {}


class Slow(Hindered):
    """A memory store whose swaps wait for the test."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = asyncio.Event()
        self.goes_on = asyncio.Event()

    async def swap(self, changes: Sequence[Change]) -> Sequence[bool]:
        self.begun.set()
        await self.goes_on.wait()
        return await super().swap(changes)


async def test_a_cancelled_act_waits_for_its_swap() -> None:
    """However often it is cancelled."""
    store = Slow()
    task = asyncio.ensure_future(act(store, KEY, pay_in, ("a", 5), kind=ACCOUNT))
    await store.begun.wait()
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
    assert not task.done()
    store.goes_on.set()
    await asyncio.wait([task])
    assert task.cancelled()
    assert await held(store) == Account(5, ("a",))


async def test_a_time_out_around_an_act_is_still_a_time_out() -> None:
    """When its swap has ended."""
    store = Slow()
    asyncio.get_running_loop().call_later(0.05, store.goes_on.set)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await act(store, KEY, pay_in, ("a", 5), kind=ACCOUNT)
    assert await held(store) == Account(5, ("a",))


async def test_a_cancelled_act_whose_swap_fails_is_cancelled() -> None:
    """Nothing is left that asyncio would complain about."""

    class Failing(Slow):
        async def swap(self, changes: Sequence[Change]) -> Sequence[bool]:
            await super().swap(changes)
            raise StoreUnavailableError("no answer")

    store = Failing()
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: complaints.append(context))
    task = asyncio.ensure_future(act(store, KEY, pay_in, ("a", 5), kind=ACCOUNT))
    await store.begun.wait()
    task.cancel()
    store.goes_on.set()
    await asyncio.wait([task])
    assert task.cancelled()
    assert complaints == []


_PLANS = st.lists(st.sampled_from(["made", "answer lost", "request lost", "comes late"]), max_size=25)


@given(plans=_PLANS, commands=st.integers(1, 6))
def test_each_command_is_carried_out_once_whatever_gets_lost(plans: list[str], commands: int) -> None:
    """Of several tasks, in any order of losses."""

    async def run() -> None:
        store = Hindered(*plans, "made")
        orders = [act(store, KEY, pay_in, (f"{n}", 10**n), kind=ACCOUNT, sleep=Pauses()) for n in range(commands)]
        await asyncio.gather(*orders)
        record = await held(store)
        assert record is not None
        assert record.total == int("1" * commands)
        assert sorted(record.done) == [f"{n}" for n in range(commands)]

    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(run())


async def test_a_store_that_takes_no_change_is_away_within_seconds() -> None:
    """Though it answers reads, as with a full disk or a right that is missing, and does so at once."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises(StoreUnavailableError, match="no answer"):
        await act(Hindered("request lost"), KEY, pay_in, ("a", 5), kind=ACCOUNT)
    assert loop.time() - began < 4
