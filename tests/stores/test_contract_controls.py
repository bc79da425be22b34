"""The contract finds what a store does wrong: each broken store here fails the test that is named beside it."""

from __future__ import annotations

import asyncio
import functools
import tempfile
from collections.abc import Callable, Mapping, Sequence

import attrs
import pytest
from stores.stores import count_up, number_in, own_store, value_of

from enkash_async.errors import StoreUnavailableError
from enkash_async.stores import Cell, Change, MemoryStore, Store
from enkash_async.testing import StoreContract


class Blind(MemoryStore):
    """Does not compare."""

    def _change(self, change: Change, now: float) -> bool:
        self._held[change.key] = change.new or b"", None
        return True


class EmptyIsNone(MemoryStore):
    """Takes an empty value for none."""

    def _value(self, key: str, now: float) -> bytes | None:
        return super()._value(key, now) or None


class Text(MemoryStore):
    """Keeps text, so that some bytes are lost."""

    def _change(self, change: Change, now: float) -> bool:
        new = None if change.new is None else change.new.decode("utf-8", "replace").encode()
        return super()._change(attrs.evolve(change, new=new), now)


class Capitals(MemoryStore):
    """Does not tell capitals from small letters."""

    async def read(self, keys: Sequence[str]) -> Mapping[str, Cell]:
        cells = await super().read([key.lower() for key in keys])
        return {key: cells[key.lower()] for key in keys}

    async def swap(self, changes: Sequence[Change]) -> Sequence[bool]:
        return await super().swap([attrs.evolve(change, key=change.key.lower()) for change in changes])


class Eternal(MemoryStore):
    """Keeps every record for ever."""

    def _change(self, change: Change, now: float) -> bool:
        return super()._change(attrs.evolve(change, keep=None), now)


class FirstKeep(MemoryStore):
    """Lets a record end when its first change said."""

    def _change(self, change: Change, now: float) -> bool:
        before = self._held.get(change.key)
        made = super()._change(change, now)
        if made and before is not None and change.key in self._held:
            self._held[change.key] = self._held[change.key][0], before[1]
        return made


class Stopped(MemoryStore):
    """Has a clock that stands still."""

    def __init__(self) -> None:
        super().__init__(clock=lambda: 5.0)


class AllOrNothing(MemoryStore):
    """Makes no change of a call when one of them does not fit."""

    async def swap(self, changes: Sequence[Change]) -> Sequence[bool]:
        cells = await self.read([change.key for change in changes])
        if all(cells[change.key].value == change.old for change in changes):
            return await super().swap(changes)
        return [False for _ in changes]


class Sparse(MemoryStore):
    """Answers only for keys that hold something."""

    async def read(self, keys: Sequence[str]) -> Mapping[str, Cell]:
        return {key: cell for key, cell in (await super().read(keys)).items() if cell.value is not None}


class Torn(MemoryStore):
    """Compares, lets other tasks run, and then sets."""

    async def swap(self, changes: Sequence[Change]) -> Sequence[bool]:
        cells = await self.read([change.key for change in changes])
        await asyncio.sleep(0)
        found = []
        for change in changes:
            found.append(cells[change.key].value == change.old)
            if found[-1]:
                self._held[change.key] = change.new or b"", None
        return found


class Careless(MemoryStore):
    """Forgets half of what it had set when it is cancelled."""

    async def swap(self, changes: Sequence[Change]) -> Sequence[bool]:
        made = await super().swap(changes)
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            for change in changes:
                self._held[change.key] = b"half", None
            raise
        return made


class OneLoop(MemoryStore):
    """Can only be used in the loop of its first use."""

    _loop: asyncio.AbstractEventLoop | None = None

    async def read(self, keys: Sequence[str]) -> Mapping[str, Cell]:
        self._loop = self._loop or asyncio.get_running_loop()
        if self._loop is not asyncio.get_running_loop():
            raise RuntimeError("another loop")
        return await super().read(keys)


class ClosesOnce(MemoryStore):
    """Fails when it is closed again."""

    _is_closed = False

    async def aclose(self) -> None:
        assert not self._is_closed
        self._is_closed = True


class Mute(MemoryStore):
    """Loses the answer to every second swap."""

    _is_mute = False

    async def swap(self, changes: Sequence[Change]) -> Sequence[bool]:
        made = await super().swap(changes)
        await asyncio.sleep(0)  # another task may count before this one reads again
        self._is_mute = not self._is_mute
        if self._is_mute:
            raise StoreUnavailableError("the answer was lost")
        return made


@pytest.mark.parametrize(
    ("broken", "test"),
    [
        (Blind, "test_a_value_is_set_where_there_is_none"),
        (Blind, "test_a_value_is_replaced_only_where_it_is_exactly_the_old_one"),
        (Blind, "test_of_many_tasks_one_sets_a_key"),
        (EmptyIsNone, "test_an_empty_value_is_a_value"),
        (Blind, "test_a_value_is_deleted_only_where_it_is_exactly_the_old_one"),
        (Capitals, "test_keys_are_told_apart_to_the_letter"),
        (Sparse, "test_a_read_answers_for_every_key"),
        (Sparse, "test_a_key_that_was_never_set_holds_nothing"),
        (AllOrNothing, "test_each_change_of_a_swap_is_answered_by_itself"),
        (Eternal, "test_a_record_is_kept_for_its_time_and_no_longer"),
        (FirstKeep, "test_every_change_says_anew_how_long_the_record_is_kept"),
        (Stopped, "test_now_runs_with_time_and_never_back"),
        (Torn, "test_of_many_tasks_one_sets_a_key"),
        (Torn, "test_no_change_of_a_task_is_lost"),
        (Torn, "test_changes_of_many_keys_at_once_do_not_hold_each_other_up"),
        (Careless, "test_a_cancelled_swap_is_made_or_not"),
        (OneLoop, "test_no_change_is_lost_between_threads"),
        (OneLoop, "test_one_store_serves_one_run_after_another"),
        (ClosesOnce, "test_closing_twice_does_nothing"),
    ],
)
def test_a_broken_store_fails(broken: Callable[[], Store], test: str) -> None:
    """And a sound one does not."""
    run = getattr(StoreContract, test)
    with pytest.raises((AssertionError, KeyError, RuntimeError)):
        run(StoreContract(), broken())
    run(StoreContract(), MemoryStore())


def test_a_store_that_loses_bytes_fails() -> None:
    """Those that are no text."""
    with pytest.raises(AssertionError):
        StoreContract().test_bytes_come_back_as_they_were(Text(), "no UTF-8")


@pytest.mark.parametrize("test", ["test_no_change_is_lost_between_processes", "test_of_many_processes_one_sets_a_key"])
def test_a_store_that_is_not_shared_fails(test: str) -> None:
    """Each process counts for itself."""
    with tempfile.TemporaryDirectory() as folder:
        # A folder of each process's own: its number is a part of the path.
        opener = functools.partial(own_store, folder)
        with pytest.raises(AssertionError):
            getattr(StoreContract(), test)(opener(), opener)


async def test_a_count_whose_answer_is_lost_is_counted_once() -> None:
    """Its next try finds its id in the record, also below the ids of other tasks."""
    store = Mute()
    counted = await asyncio.gather(*(count_up(store, "a", 20) for _ in range(5)))
    assert sorted(number for numbers in counted for number in numbers) == list(range(1, 101))
    assert number_in(await value_of(store, "a")) == 100


def test_a_subclass_drops_what_its_store_cannot_do() -> None:
    """Without a skip; the others stay."""

    class Alone(StoreContract):
        across_processes = False

    class OfOneLoop(StoreContract):
        across_loops = False

    assert Alone.test_no_change_is_lost_between_processes is None
    assert Alone.test_no_change_is_lost_between_threads is not None
    assert OfOneLoop.test_no_change_is_lost_between_threads is None
    assert OfOneLoop.test_no_change_is_lost_between_processes is not None
    assert StoreContract.test_no_change_is_lost_between_processes is not None
