"""The tests that every store has to pass."""

from __future__ import annotations

import asyncio
import functools
import random
import time
from collections.abc import Awaitable, Callable
from typing import ClassVar

import pytest

from enkash_async.stores.store import Change, Store
from enkash_async.testing.asking import cell_of, new_key, run, swap_one
from enkash_async.testing.machines import Machines
from enkash_async.testing.races import Races
from enkash_async.testing.racing import run_alone

__all__ = ["StoreContract"]

# Seconds for which a test keeps a record. The store may let the record live for up to twice as long. If the machine is
# too slow for the first number, the test is repeated with the next number.
_KEEPS = (0.3, 0.6, 1.2, 2.4)
_VALUES = {
    "empty": b"",
    "a NUL": b"\0",
    "an equals sign": b"=",
    "a number": b"1",
    "null": b"null",
    "no UTF-8": b"\xff\xfe",
    "every byte": bytes(range(256)) * 4,
    "256 KiB": random.Random(7).randbytes(256 * 1024),  # noqa: S311 (the same for every run)
}


class StoreContract(Races, Machines):
    """The tests that a store has to pass.

    Subclass it, and define two fixtures::

        class TestMyStore(StoreContract):
            @pytest.fixture
            def store(self, tmp_path):
                return MyStore(tmp_path / "file")

            @pytest.fixture
            def opener(self, tmp_path):
                return functools.partial(MyStore, tmp_path / "file")

    `store` returns a new store for every test, and the test closes the store. `opener` returns a function that opens
    the same records in another process. The function is pickled, so it must be a class or a function of a module. Each
    test runs its own event loops, so no plugin of pytest is needed.

    Attributes:
        across_processes: False drops the tests with several processes, for a store in the memory of one process.
        across_loops: False drops the tests with several event loops, for a store whose client can be used in only one
            event loop.
    """

    across_processes: ClassVar[bool] = True
    across_loops: ClassVar[bool] = True

    def __init_subclass__(cls) -> None:
        for name, test in [pair for part in StoreContract.__mro__ for pair in vars(part).items()]:
            if not getattr(cls, getattr(test, "only_if", "__name__")):
                setattr(cls, name, None)

    @pytest.fixture
    def store(self) -> Store:
        """Return the store under test, without records of other tests."""
        raise NotImplementedError("give a fixture `store`")

    @pytest.fixture
    def opener(self) -> Callable[[], Store]:
        """Return a function that opens the same records in another process."""
        raise NotImplementedError("give a fixture `opener`")

    # Tests of one record.

    def test_a_key_that_was_never_set_holds_nothing(self, store: Store) -> None:
        """The cell has no value, and has the time."""
        cell = run(store, lambda store: cell_of(store, new_key()))
        assert cell.value is None
        assert isinstance(cell.now, float)

    def test_a_value_is_set_where_there_is_none(self, store: Store) -> None:
        """The key is set only once: the second swap finds the first value."""

        async def body(store: Store) -> None:
            key = new_key()
            assert await swap_one(store, key, None, b"first")
            assert not await swap_one(store, key, None, b"second")
            assert (await cell_of(store, key)).value == b"first"

        run(store, body)

    def test_a_value_is_replaced_only_where_it_is_exactly_the_old_one(self, store: Store) -> None:
        """A part of the old value, a longer value and another spelling are refused."""

        async def body(store: Store) -> None:
            key = new_key()
            await swap_one(store, key, None, b"value")
            for wrong in (b"", b"valu", b"values", b"Value", b"value\0", b"\0value", b" value"):
                assert not await swap_one(store, key, wrong, b"new"), wrong
            assert await swap_one(store, key, b"value", b"new")
            assert not await swap_one(store, key, b"value", b"newer")
            assert (await cell_of(store, key)).value == b"new"

        run(store, body)

    @pytest.mark.parametrize("name", sorted(_VALUES))
    def test_bytes_come_back_as_they_were(self, store: Store, name: str) -> None:
        """Any bytes, up to 256 KiB, are stored exactly, and are found equal as an old value."""

        async def body(store: Store) -> None:
            key, value = new_key(), _VALUES[name]
            assert await swap_one(store, key, None, value)
            held = (await cell_of(store, key)).value
            assert held == value
            assert type(held) is bytes
            assert not await swap_one(store, key, value + b"x", b"new")
            assert await swap_one(store, key, held, b"new")

        run(store, body)

    def test_an_empty_value_is_a_value(self, store: Store) -> None:
        """A key with an empty value differs from a key that holds nothing."""

        async def body(store: Store) -> None:
            key = new_key()
            assert not await swap_one(store, key, b"", b"new")
            assert await swap_one(store, key, None, b"")
            assert not await swap_one(store, key, None, b"new")
            assert await swap_one(store, key, b"", b"new")

        run(store, body)

    def test_the_same_value_may_be_swapped_in_again(self, store: Store) -> None:
        """The swap returns True."""

        async def body(store: Store) -> None:
            key = new_key()
            await swap_one(store, key, None, b"same")
            assert await swap_one(store, key, b"same", b"same")
            assert (await cell_of(store, key)).value == b"same"

        run(store, body)

    def test_a_value_is_deleted_only_where_it_is_exactly_the_old_one(self, store: Store) -> None:
        """After the deletion, the key holds nothing and may be set again."""

        async def body(store: Store) -> None:
            key = new_key()
            await swap_one(store, key, None, b"value")
            assert not await swap_one(store, key, b"other", None)
            assert not await swap_one(store, key, None, None)
            assert (await cell_of(store, key)).value == b"value"
            assert await swap_one(store, key, b"value", None)
            assert (await cell_of(store, key)).value is None
            assert not await swap_one(store, key, b"value", b"new")
            assert await swap_one(store, key, None, None)
            assert await swap_one(store, key, None, b"again")

        run(store, body)

    def test_keys_are_told_apart_to_the_letter(self, store: Store) -> None:
        """Keys are different if they differ only in case, in length, or in a character with a meaning in patterns."""

        async def body(store: Store) -> None:
            key = new_key()
            others = [key.upper(), key[:-1], f"{key}x", f"{key}*", f"{key}%", f"{key}_", f"{key}:", f"{{{key}}}"]
            await swap_one(store, key, None, b"value")
            cells = await store.read(others)
            assert {name: cells[name].value for name in others} == dict.fromkeys(others)
            for number, name in enumerate(others):
                assert await swap_one(store, name, None, b"%d" % number), name
            cells = await store.read([key, *others])
            assert [cells[name].value for name in (key, *others)] == [
                b"value",
                *(b"%d" % i for i in range(len(others))),
            ]

        run(store, body)

    # Tests of several records in one call.

    def test_a_read_answers_for_every_key(self, store: Store) -> None:
        """A read of 1,024 keys, of which every third has a value, returns 1,024 cells. A read of no keys is empty."""

        async def body(store: Store) -> None:
            keys = [new_key() for _ in range(1024)]
            full = {key: key.encode() for key in keys[::3]}
            assert all(await store.swap([Change(key, None, value, 60) for key, value in full.items()]))
            cells = await store.read(keys)
            assert set(cells) == set(keys)
            assert {key: cell.value for key, cell in cells.items()} == {key: full.get(key) for key in keys}
            assert dict(await store.read([])) == {}

        run(store, body)

    def test_each_change_of_a_swap_is_answered_by_itself(self, store: Store) -> None:
        """The answers are in the order of the changes; a change that is not made does not stop the others."""

        async def body(store: Store) -> None:
            keys = [new_key() for _ in range(8)]
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

        run(store, body)

    # Tests of time.

    def test_a_record_is_kept_for_its_time_and_no_longer(self, store: Store) -> None:
        """Once the time is over, a swap with the expired value fails, and a swap with None sets the key."""

        async def is_in_time(store: Store, keep: float) -> bool:
            brief, deleted, eternal, long = [new_key() for _ in range(4)]
            keeps = ((brief, keep), (deleted, keep), (eternal, None), (long, 3600))
            began = time.monotonic()
            assert all(await store.swap([Change(key, None, b"value", keep) for key, keep in keeps]))
            cells = await store.read([brief, eternal, long])
            if time.monotonic() - began >= keep:
                return False
            assert {cell.value for cell in cells.values()} == {b"value"}
            await asyncio.sleep(2 * keep)
            cells = await store.read([brief, eternal, long])
            assert [cells[key].value for key in (brief, eternal, long)] == [None, b"value", b"value"]
            assert not await swap_one(store, brief, b"value", b"new")
            assert not await swap_one(store, deleted, b"value", None)
            assert await swap_one(store, brief, None, b"new")
            assert await swap_one(store, deleted, None, None)
            return True

        run(store, functools.partial(_in_time, is_in_time))

    def test_every_change_says_anew_how_long_the_record_is_kept(self, store: Store) -> None:
        """The change may make the time longer, endless or shorter."""

        async def is_in_time(store: Store, keep: float) -> bool:
            longer, for_ever, shorter = [new_key() for _ in range(3)]
            keeps = {longer: (keep, 3600), for_ever: (keep, None), shorter: (None, keep)}
            began = time.monotonic()
            await store.swap([Change(key, None, b"old", keep) for key, (keep, _) in keeps.items()])
            made = await store.swap([Change(key, b"old", b"new", keep) for key, (_, keep) in keeps.items()])
            if time.monotonic() - began >= keep:
                return False
            assert all(made)
            await asyncio.sleep(2 * keep)
            cells = await store.read([longer, for_ever, shorter])
            assert [cells[key].value for key in (longer, for_ever, shorter)] == [b"new", b"new", None]
            return True

        run(store, functools.partial(_in_time, is_in_time))

    def test_now_runs_with_time_and_never_back(self, store: Store) -> None:
        """Over many reads and swaps, the store's seconds are as long as the machine's."""

        async def body(store: Store) -> None:
            key = new_key()
            began, first = time.monotonic(), (await cell_of(store, key)).now
            seen = [first]
            for number in range(30):
                await swap_one(store, key, b"%d" % (number - 1) if number else None, b"%d" % number)
                seen.append((await cell_of(store, key)).now)
            await asyncio.sleep(0.3)
            seen.append((await cell_of(store, key)).now)
            assert seen == sorted(seen)
            assert 0.25 <= seen[-1] - first <= time.monotonic() - began + 0.5

        run(store, body)

    def test_the_cells_of_one_read_are_of_about_one_instant(self, store: Store) -> None:
        """The times differ by less than a second, also if several servers hold the keys."""

        async def body(store: Store) -> None:
            nows = [cell.now for cell in (await store.read([new_key() for _ in range(50)])).values()]
            assert max(nows) - min(nows) < 1

        run(store, body)

    def test_closing_twice_does_nothing(self, store: Store) -> None:
        """The second `aclose` raises nothing."""
        run_alone(_closed_twice(store))


async def _closed_twice(store: Store) -> None:
    await store.read([new_key()])
    await store.aclose()
    await store.aclose()


async def _in_time(run: Callable[[Store, float], Awaitable[bool]], store: Store) -> None:
    """Run a test of expiry with longer and longer times, until the machine is fast enough for the time."""
    for keep in _KEEPS:
        if await run(store, keep):
            return
    raise AssertionError(f"a call or two take {_KEEPS[-1]} s")
