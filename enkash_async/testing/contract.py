"""What every store has to do, as tests."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import random
import time
import uuid
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, TypeVar

import pytest

from enkash_async.stores.actions import act
from enkash_async.stores.store import Cell, Change, Store
from enkash_async.testing.racing import NUMBER, count_up, every, in_threads, racers, run_alone, take

__all__ = ["StoreContract"]

_T = TypeVar("_T")

_KEEP = 0.6  # seconds; a store may be late by as much
_CHANCE = random.Random(7)  # noqa: S311 (the same for every run)
_VALUES = {
    "empty": b"",
    "a NUL": b"\0",
    "an equals sign": b"=",
    "a number": b"1",
    "null": b"null",
    "no UTF-8": b"\xff\xfe",
    "every byte": bytes(range(256)) * 4,
    "256 KiB": _CHANCE.randbytes(256 * 1024),
}

_F = TypeVar("_F", bound=Callable[..., None])


def _only(flag: str) -> Callable[[_F], _F]:
    """Drop a test from classes whose attribute of this name is False."""

    def mark(test: _F) -> _F:
        vars(test)["only_if"] = flag
        return test

    return mark


Body = Callable[[Store], Coroutine[Any, Any, _T]]


class StoreContract:
    """The tests that a store has to pass.

    Subclass it, and give two fixtures::

        class TestMyStore(StoreContract):
            @pytest.fixture
            def store(self, tmp_path):
                return MyStore(tmp_path / "file")

            @pytest.fixture
            def opener(self, tmp_path):
                return functools.partial(MyStore, tmp_path / "file")

    `store` is new for every test, and is closed by it. `opener` is called in other processes, where it opens the same
    records; it is pickled, so it names a class or a function of a module. Each test runs event loops of its own, so no
    plugin of pytest is needed.

    Attributes:
        across_processes: False drops the tests with other processes, for a store in the memory of one.
        across_loops: False drops the tests with several event loops, for a store that stands on a client that can
            only be used in one.
    """

    across_processes: ClassVar[bool] = True
    across_loops: ClassVar[bool] = True

    def __init_subclass__(cls) -> None:
        for name, test in list(vars(StoreContract).items()):
            if not getattr(cls, getattr(test, "only_if", "__name__")):
                setattr(cls, name, None)

    @pytest.fixture
    def store(self) -> Store:
        """Return the store under test, without records that another test has made."""
        raise NotImplementedError("give a fixture `store`")

    @pytest.fixture
    def opener(self) -> Callable[[], Store]:
        """Return what opens the same records in another process."""
        raise NotImplementedError("give a fixture `opener`")

    # One record.

    def test_a_key_that_was_never_set_holds_nothing(self, store: Store) -> None:
        """Its cell says so, and says what time it is."""
        cell = _run(store, lambda store: _cell(store, _key()))
        assert cell.value is None
        assert isinstance(cell.now, float)

    def test_a_value_is_set_where_there_is_none(self, store: Store) -> None:
        """Once: the second one finds the first."""

        async def body(store: Store) -> None:
            key = _key()
            assert await _swap(store, key, None, b"first")
            assert not await _swap(store, key, None, b"second")
            assert (await _cell(store, key)).value == b"first"

        _run(store, body)

    def test_a_value_is_replaced_only_where_it_is_exactly_the_old_one(self, store: Store) -> None:
        """Neither a part of it, nor a longer one, nor another spelling."""

        async def body(store: Store) -> None:
            key = _key()
            await _swap(store, key, None, b"value")
            for wrong in (b"", b"valu", b"values", b"Value", b"value\0", b"\0value", b" value"):
                assert not await _swap(store, key, wrong, b"new"), wrong
            assert await _swap(store, key, b"value", b"new")
            assert not await _swap(store, key, b"value", b"newer")
            assert (await _cell(store, key)).value == b"new"

        _run(store, body)

    @pytest.mark.parametrize("name", sorted(_VALUES))
    def test_bytes_come_back_as_they_were(self, store: Store, name: str) -> None:
        """Any, up to 256 KiB, as a new value and as an old one."""

        async def body(store: Store) -> None:
            key, value = _key(), _VALUES[name]
            assert await _swap(store, key, None, value)
            held = (await _cell(store, key)).value
            assert held == value
            assert type(held) is bytes
            assert not await _swap(store, key, value + b"x", b"new")
            assert await _swap(store, key, held, b"new")

        _run(store, body)

    def test_an_empty_value_is_a_value(self, store: Store) -> None:
        """It is not the same as none."""

        async def body(store: Store) -> None:
            key = _key()
            assert not await _swap(store, key, b"", b"new")
            assert await _swap(store, key, None, b"")
            assert not await _swap(store, key, None, b"new")
            assert await _swap(store, key, b"", b"new")

        _run(store, body)

    def test_the_same_value_may_be_swapped_in_again(self, store: Store) -> None:
        """The answer is True."""

        async def body(store: Store) -> None:
            key = _key()
            await _swap(store, key, None, b"same")
            assert await _swap(store, key, b"same", b"same")
            assert (await _cell(store, key)).value == b"same"

        _run(store, body)

    def test_a_value_is_deleted_only_where_it_is_exactly_the_old_one(self, store: Store) -> None:
        """Then the key holds nothing, and may be set again."""

        async def body(store: Store) -> None:
            key = _key()
            await _swap(store, key, None, b"value")
            assert not await _swap(store, key, b"other", None)
            assert not await _swap(store, key, None, None)
            assert (await _cell(store, key)).value == b"value"
            assert await _swap(store, key, b"value", None)
            assert (await _cell(store, key)).value is None
            assert not await _swap(store, key, b"value", b"new")
            assert await _swap(store, key, None, None)
            assert await _swap(store, key, None, b"again")

        _run(store, body)

    def test_keys_are_told_apart_to_the_letter(self, store: Store) -> None:
        """Capitals, beginnings, and what means something in patterns."""

        async def body(store: Store) -> None:
            key = _key()
            others = [key.upper(), key[:-1], f"{key}x", f"{key}*", f"{key}%", f"{key}_", f"{key}:", f"{{{key}}}"]
            await _swap(store, key, None, b"value")
            cells = await store.read(others)
            assert {name: cells[name].value for name in others} == dict.fromkeys(others)
            for number, name in enumerate(others):
                assert await _swap(store, name, None, b"%d" % number), name
            cells = await store.read([key, *others])
            assert [cells[name].value for name in (key, *others)] == [
                b"value",
                *(b"%d" % i for i in range(len(others))),
            ]

        _run(store, body)

    # Several records in one call.

    def test_a_read_answers_for_every_key(self, store: Store) -> None:
        """A thousand, of which every third holds something; and for none."""

        async def body(store: Store) -> None:
            keys = [_key() for _ in range(1000)]
            full = {key: key.encode() for key in keys[::3]}
            assert all(await store.swap([Change(key, None, value, 60) for key, value in full.items()]))
            cells = await store.read(keys)
            assert set(cells) == set(keys)
            assert {key: cell.value for key, cell in cells.items()} == {key: full.get(key) for key in keys}
            assert dict(await store.read([])) == {}

        _run(store, body)

    def test_each_change_of_a_swap_is_answered_by_itself(self, store: Store) -> None:
        """In the order of the changes; a change that is not made keeps no other from being made."""

        async def body(store: Store) -> None:
            keys = [_key() for _ in range(8)]
            await store.swap([Change(key, None, b"old", 60) for key in keys[:4]])
            changes = [
                Change(keys[0], b"old", b"new", 60),
                Change(keys[1], b"other", b"new", 60),
                Change(keys[4], None, b"new", 60),
                Change(keys[2], b"old", None),
                Change(keys[3], None, b"new"),
                Change(keys[5], b"old", b"new"),
                Change(keys[6], b"old", None),
                Change(keys[7], None, None),
            ]
            assert list(await store.swap(changes)) == [True, False, True, True, False, False, False, True]
            values = [cell.value for cell in map((await store.read(keys)).__getitem__, keys)]
            assert values == [b"new", b"old", None, b"old", b"new", None, None, None]
            assert list(await store.swap([])) == []

        _run(store, body)

    # Time.

    def test_a_record_is_kept_for_its_time_and_no_longer(self, store: Store) -> None:
        """Then the key holds nothing: it can be set, and what it held is no old value."""

        async def body(store: Store) -> None:
            brief, deleted, eternal, long = [_key() for _ in range(4)]
            keeps = ((brief, _KEEP), (deleted, _KEEP), (eternal, None), (long, 3600))
            began = time.monotonic()
            assert all(await store.swap([Change(key, None, b"value", keep) for key, keep in keeps]))
            cells = await store.read([brief, eternal, long])
            if time.monotonic() - began < _KEEP:
                assert {cell.value for cell in cells.values()} == {b"value"}
            await asyncio.sleep(2 * _KEEP)
            cells = await store.read([brief, eternal, long])
            assert [cells[key].value for key in (brief, eternal, long)] == [None, b"value", b"value"]
            assert not await _swap(store, brief, b"value", b"new")
            assert not await _swap(store, deleted, b"value", None)
            assert await _swap(store, brief, None, b"new")
            assert await _swap(store, deleted, None, None)

        _run(store, body)

    def test_every_change_says_anew_how_long_the_record_is_kept(self, store: Store) -> None:
        """Longer, for ever, or shorter than before."""

        async def body(store: Store) -> None:
            longer, for_ever, shorter = [_key() for _ in range(3)]
            keeps = {longer: (_KEEP, 3600), for_ever: (_KEEP, None), shorter: (None, _KEEP)}
            await store.swap([Change(key, None, b"old", keep) for key, (keep, _) in keeps.items()])
            again = [Change(key, b"old", b"new", keep) for key, (_, keep) in keeps.items()]
            assert all(await store.swap(again))
            await asyncio.sleep(2 * _KEEP)
            cells = await store.read([longer, for_ever, shorter])
            assert [cells[key].value for key in (longer, for_ever, shorter)] == [b"new", b"new", None]

        _run(store, body)

    def test_now_runs_with_time_and_never_back(self, store: Store) -> None:
        """Seconds are seconds, over many reads and swaps."""

        async def body(store: Store) -> None:
            key = _key()
            began, first = time.monotonic(), (await _cell(store, key)).now
            seen = [first]
            for number in range(30):
                await _swap(store, key, b"%d" % (number - 1) if number else None, b"%d" % number)
                seen.append((await _cell(store, key)).now)
            await asyncio.sleep(0.5)
            seen.append((await _cell(store, key)).now)
            assert seen == sorted(seen)
            assert 0.45 <= seen[-1] - first <= time.monotonic() - began + 0.5

        _run(store, body)

    def test_the_cells_of_one_read_are_of_about_one_instant(self, store: Store) -> None:
        """Also where several servers hold them."""

        async def body(store: Store) -> None:
            nows = [cell.now for cell in (await store.read([_key() for _ in range(50)])).values()]
            assert max(nows) - min(nows) < 1

        _run(store, body)

    # Races.

    def test_of_many_tasks_one_sets_a_key(self, store: Store) -> None:
        """The others learn that they did not."""

        async def body(store: Store) -> None:
            for _ in range(5):
                key = _key()
                made = await every([take(store, key, b"%d" % number) for number in range(20)])
                assert made.count(True) == 1
                assert (await _cell(store, key)).value == b"%d" % made.index(True)

        _run(store, body)

    def test_no_change_of_a_task_is_lost(self, store: Store) -> None:
        """Each number is given out once."""

        async def body(store: Store) -> None:
            key = _key()
            numbers = await every([count_up(store, key, 5) for _ in range(10)])
            assert sorted(itertools.chain(*numbers)) == list(range(1, 51))

        _run(store, body)

    def test_changes_of_many_keys_at_once_do_not_hold_each_other_up(self, store: Store) -> None:
        """Tasks that change the same keys in different orders: for each key, one of them is first."""

        async def body(store: Store) -> None:
            keys = [_key() for _ in range(20)]
            orders = [_CHANCE.sample(keys, len(keys)) for _ in range(8)]
            answers = await every([store.swap([Change(key, None, b"x", 60) for key in order]) for order in orders])
            pairs = [
                pair for order, made in zip(orders, answers, strict=True) for pair in zip(order, made, strict=True)
            ]
            firsts = [key for key, is_made in pairs if is_made]
            cells = await store.read(keys)
            assert sorted(firsts) == sorted(set(firsts))
            held = {key for key in keys if cells[key].value is not None}
            assert held == set(firsts)

        _run(store, body)

    @_only("across_loops")
    def test_no_change_is_lost_between_threads(self, store: Store) -> None:
        """One store object, used from an event loop in each."""
        key = _key()
        numbers = in_threads(4, lambda: count_up(store, key, 10))
        assert sorted(itertools.chain(*numbers)) == list(range(1, 41))
        _run(store, _nothing)

    @_only("across_loops")
    def test_one_store_serves_one_run_after_another(self, store: Store) -> None:
        """As in a worker that calls `asyncio.run` for each job."""
        key = _key()
        assert [run_alone(count_up(store, key)) for _ in range(5)] == [[1], [2], [3], [4], [5]]
        _run(store, _nothing)

    @_only("across_processes")
    def test_no_change_is_lost_between_processes(self, store: Store, opener: Callable[[], Store]) -> None:
        """Each number is given out once, to one process; and this one sees the last."""
        key, number, times = _key(), 4, 25
        with racers(number, opener) as others:
            for other in others:
                other.start(f"count {key} {times}")
            seen = [int(other.line()) for other in others for _ in range(times)]
            assert sorted(seen) == list(range(1, number * times + 1))
            assert _run(store, lambda store: _cell(store, key)).value == b"%d" % (number * times)

    @_only("across_processes")
    def test_of_many_processes_one_sets_a_key(self, store: Store, opener: Callable[[], Store]) -> None:
        """Time after time."""
        with racers(4, opener) as others:
            for _ in range(10):
                key = _key()
                for other in others:
                    other.start(f"take {key}")
                assert sorted(other.line() for other in others) == ["False", "False", "False", "True"]
        _run(store, _nothing)

    @_only("across_processes")
    def test_a_killed_process_leaves_whole_records(self, store: Store, opener: Callable[[], Store]) -> None:
        """What it said to be made is made; of the change under way, all or nothing."""
        with racers(3, opener) as others:
            for other in others:
                key = _key()
                other.start(f"count {key} 100000")
                said = [int(other.line()) for _ in range(20)][-1]
                other.process.kill()
                said = max([said, *map(int, other.process.communicate()[0].split())])
                held = int(_run(opener(), functools.partial(_cell, key=key)).value or b"0")
                assert said <= held <= said + 1
        _run(store, _nothing)

    # Cancellation.

    def test_a_cancelled_swap_is_made_or_not(self, store: Store) -> None:
        """Wherever it is cancelled; and the next one is answered as if nothing had happened."""

        async def body(store: Store) -> None:
            key, held = _key(), await _settled(store, _key(), {None})
            await _swap(store, key, None, held)
            for steps in range(60):
                new = b"%d" % steps
                task = asyncio.ensure_future(_swap(store, key, held, new))
                await _turns(steps // 2)
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
                held = await _settled(store, key, {held, new})

        _run(store, body)

    def test_a_cancelled_read_disturbs_nobody(self, store: Store) -> None:
        """No other read gets its reply."""

        async def body(store: Store) -> None:
            keys = [_key() for _ in range(10)]
            await store.swap([Change(key, None, key.encode(), 60) for key in keys])
            for steps in range(40):
                doomed = [asyncio.ensure_future(store.read([key])) for key in keys[:5]]
                await _turns(steps // 2)
                for task in doomed:
                    task.cancel()
                found = await every([store.read([key]) for key in keys])
                assert [cells[key].value for key, cells in zip(keys, found, strict=True)] == [k.encode() for k in keys]
                await asyncio.wait(doomed)

        _run(store, body)

    def test_a_cancelled_act_has_ended_when_its_task_has(self, store: Store) -> None:
        """Its swap is not made behind the back of what its caller does next."""

        async def body(store: Store) -> None:
            key = _key()
            for steps in range(40):
                task = asyncio.ensure_future(act(store, key, _append, 1, kind=NUMBER))
                await _turns(steps // 2)
                task.cancel()
                await asyncio.wait([task])
                before = (await _cell(store, key)).value
                await asyncio.sleep(0.002)
                assert (await _cell(store, key)).value == before

        _run(store, body)

    def test_closing_twice_does_nothing(self, store: Store) -> None:
        """The test has closed it once."""
        run_alone(_closed_twice(store))


def _append(record: int | None, step: int, now: float) -> tuple[int, None]:
    return (record or 0) + step, None


async def _nothing(store: Store) -> None:
    """Only close the store."""


async def _closed_twice(store: Store) -> None:
    await store.read([_key()])
    await store.aclose()
    await store.aclose()


def _key() -> str:
    return f"enkash:contract:v2:{uuid.uuid4().hex}"


def _run(store: Store, body: Body[_T]) -> _T:
    """Run a test in an event loop of its own, and close the store in the end."""

    async def whole() -> _T:
        try:
            return await body(store)
        finally:
            await store.aclose()

    return run_alone(whole())


async def _cell(store: Store, key: str) -> Cell:
    return (await store.read([key]))[key]


async def _swap(store: Store, key: str, old: bytes | None, new: bytes | None) -> bool:
    [made] = await store.swap([Change(key, old, new, 60)])
    return made


async def _turns(number: int) -> None:
    """Let the event loop run a number of times; from the tenth on, with a little time."""
    for turn in range(number):
        await asyncio.sleep(0 if turn < 10 else 0.0003)


async def _settled(store: Store, key: str, allowed: set[bytes | None]) -> bytes:
    """Return what a key is set to when a swap that was cancelled is over, or can no longer be made."""
    fresh = uuid.uuid4().hex.encode()
    for _ in range(200):
        held = (await _cell(store, key)).value
        assert held in allowed
        # A late swap finds another old value then.
        if await _swap(store, key, held, fresh):
            return fresh
    raise AssertionError("the key changes again and again")
