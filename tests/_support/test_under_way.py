"""Counting the calls under way: what `aclose` waits for, and what it does not wait for."""

from __future__ import annotations

import asyncio
import gc
import weakref

from enkash_async._support.under_way import UnderWay


async def test_the_end_of_the_last_call_is_waited_for() -> None:
    """A call counts once in each of its `with` blocks, also within another one."""
    calls, ended = UnderWay(), list[str]()

    async def call(name: str, turns: int) -> None:
        with calls.here(), calls.here():
            for _ in range(turns):
                await asyncio.sleep(0)
            ended.append(name)

    running = [asyncio.create_task(call("long", 50)), asyncio.create_task(call("short", 5))]
    await asyncio.sleep(0)
    await calls.ended(60)
    assert ended == ["short", "long"]
    await asyncio.gather(*running)


async def test_a_call_that_fails_is_no_longer_counted() -> None:
    """An exception ends the count of the call as its return would."""
    calls = UnderWay()
    try:
        with calls.here():
            raise ValueError
    except ValueError:
        await asyncio.wait_for(calls.ended(60), 30)


async def test_calls_are_waited_for_no_longer_than_asked() -> None:
    """Two calls that never end, and no time for them."""
    calls = UnderWay()
    with calls.here(), calls.here():
        await asyncio.wait_for(calls.ended(0), 30)


async def test_a_call_of_a_loop_that_has_stopped_is_not_waited_for() -> None:
    """It never ends in this process."""
    calls = UnderWay()

    def leave_one() -> None:
        loop = asyncio.new_event_loop()

        async def begin() -> None:
            calls.here().__enter__()

        loop.run_until_complete(begin())
        loop.close()

    await asyncio.to_thread(leave_one)
    await asyncio.wait_for(calls.ended(60), 30)


def test_loops_that_have_ended_are_let_go() -> None:
    """A worker that calls `asyncio.run` for each job keeps no loop of an earlier job."""
    calls, loops = UnderWay(), list[weakref.ref[asyncio.AbstractEventLoop]]()

    async def job() -> None:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        with calls.here():
            await asyncio.sleep(0)

    for _ in range(5):
        asyncio.run(job())
    gc.collect()
    assert [loop() is None for loop in loops] == [True, True, True, True, False]
