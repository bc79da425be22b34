"""Tests of a store while tasks, threads and processes change records at the same time, or are stopped."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import random
from collections.abc import Callable

from enkash_async.stores.store import Change, Store
from enkash_async.testing.asking import cell_of, new_key, nothing, only_if, run, settled, swap_one, turns
from enkash_async.testing.racing import count_up, every, in_threads, number_in, racers, run_alone, take

__all__ = ["Races"]

_CHANCE = random.Random(7)  # noqa: S311 (the same for every run)


class Races:
    """The part of `StoreContract` with several callers at the same time."""

    # Tests of races.

    def test_of_many_tasks_one_sets_a_key(self, store: Store) -> None:
        """The swaps of the other tasks return False."""

        async def body(store: Store) -> None:
            for _ in range(5):
                key = new_key()
                made = await every([take(store, key, b"%d" % number) for number in range(20)])
                assert made.count(True) == 1
                assert (await cell_of(store, key)).value == b"%d" % made.index(True)

        run(store, body)

    def test_no_change_of_a_task_is_lost(self, store: Store) -> None:
        """Each task gets numbers that no other task gets."""

        async def body(store: Store) -> None:
            key = new_key()
            numbers = await every([count_up(store, key, 5) for _ in range(10)])
            assert sorted(itertools.chain(*numbers)) == list(range(1, 51))

        run(store, body)

    def test_changes_of_many_keys_at_once_do_not_hold_each_other_up(self, store: Store) -> None:
        """Tasks change the same keys in different orders; for each key, exactly one task succeeds."""

        async def body(store: Store) -> None:
            keys = [new_key() for _ in range(20)]
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

        run(store, body)

    @only_if("across_loops")
    def test_no_change_is_lost_between_threads(self, store: Store) -> None:
        """Several threads use one store object, each in an event loop of its own."""
        key = new_key()
        numbers = in_threads(4, lambda: count_up(store, key, 10))
        assert sorted(itertools.chain(*numbers)) == list(range(1, 41))
        run(store, nothing)

    @only_if("across_loops")
    def test_one_store_serves_one_run_after_another(self, store: Store) -> None:
        """A worker may call `asyncio.run` for each job."""
        key = new_key()
        assert [run_alone(count_up(store, key)) for _ in range(5)] == [[1], [2], [3], [4], [5]]
        run(store, nothing)

    @only_if("across_processes")
    def test_no_change_is_lost_between_processes(self, store: Store, opener: Callable[[], Store]) -> None:
        """Each number goes to one process, and the test's own process sees the last number."""
        key, number, times = new_key(), 4, 25
        with racers(number, opener) as others:
            for other in others:
                other.start(f"count {key} {times}")
            seen = [int(other.line()) for other in others for _ in range(times)]
            assert sorted(seen) == list(range(1, number * times + 1))
            assert number_in(run(store, lambda store: cell_of(store, key)).value) == number * times

    @only_if("across_processes")
    def test_of_many_processes_one_sets_a_key(self, store: Store, opener: Callable[[], Store]) -> None:
        """Exactly one process succeeds, in each of ten races."""
        with racers(4, opener) as others:
            for _ in range(10):
                key = new_key()
                for other in others:
                    other.start(f"take {key}")
                assert sorted(other.line() for other in others) == ["False", "False", "False", "True"]
        run(store, nothing)

    @only_if("across_processes")
    def test_a_killed_process_leaves_whole_records(self, store: Store, opener: Callable[[], Store]) -> None:
        """All changes that the process reported are there; the change under way is there as a whole or not at all."""
        with racers(3, opener) as others:
            for other in others:
                key = new_key()
                other.start(f"count {key} 100000")
                said = [int(other.line()) for _ in range(20)][-1]
                said = max([said, *map(int, other.kill())])
                held = number_in(run(opener(), functools.partial(cell_of, key=key)).value)
                assert said <= held <= said + 1
        run(store, nothing)

    # Tests of cancellation.

    def test_a_cancelled_swap_is_made_or_not(self, store: Store) -> None:
        """The value is the old or the new one, wherever the swap is cancelled, and the next swap works as usual."""

        async def body(store: Store) -> None:
            key, held = new_key(), await settled(store, new_key(), {None})
            await swap_one(store, key, None, held)
            for steps in range(60):
                new = b"%d" % steps
                task = asyncio.ensure_future(swap_one(store, key, held, new))
                await turns(steps // 2)
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
                held = await settled(store, key, {held, new})

        run(store, body)

    def test_a_cancelled_read_disturbs_nobody(self, store: Store) -> None:
        """No other read gets the reply to the cancelled read."""

        async def body(store: Store) -> None:
            keys = [new_key() for _ in range(10)]
            await store.swap([Change(key, None, key.encode(), 60) for key in keys])
            for steps in range(40):
                doomed = [asyncio.ensure_future(store.read([key])) for key in keys[:5]]
                await turns(steps // 2)
                for task in doomed:
                    task.cancel()
                found = await every([store.read([key]) for key in keys])
                assert [cells[key].value for key, cells in zip(keys, found, strict=True)] == [k.encode() for k in keys]
                await asyncio.wait(doomed)

        run(store, body)

    def test_a_cancelled_act_has_ended_when_its_task_has(self, store: Store) -> None:
        """No swap changes the record after the cancelled task has ended."""

        async def body(store: Store) -> None:
            key = new_key()
            for steps in range(40):
                task = asyncio.ensure_future(count_up(store, key))
                await turns(steps // 2)
                task.cancel()
                await asyncio.wait([task])
                before = (await cell_of(store, key)).value
                await asyncio.sleep(0.002)
                assert (await cell_of(store, key)).value == before

        run(store, body)
