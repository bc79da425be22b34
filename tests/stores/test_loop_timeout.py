"""A time-out that a blocked event loop does not use up."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest
from stores.stores import timed

from enkash_async.stores.loop_timeout import loop_timeout


async def waits(timeout: Callable[[float], AbstractAsyncContextManager[object]]) -> str:
    """Wait for a reply that comes after 50 ms, while another task blocks the loop for longer than the time-out."""
    loop = asyncio.get_running_loop()
    reply: asyncio.Future[str] = loop.create_future()
    ours, theirs = socket.socketpair()
    loop.add_reader(ours, _answer, reply, ours)
    loop.call_later(0.01, time.sleep, 0.4)
    timer = threading.Timer(0.05, theirs.send, [b"x"])
    timer.start()
    try:
        async with timeout(0.2):
            await reply
            for _ in range(5):  # as streams and parsers hand it on
                await asyncio.sleep(0)
            return reply.result()
    finally:
        loop.remove_reader(ours)
        timer.join()
        ours.close()
        theirs.close()


def _answer(reply: asyncio.Future[str], ours: socket.socket) -> None:
    if ours.recv(1) and not reply.done():
        reply.set_result("reply")


async def test_a_reply_that_came_while_the_loop_was_blocked_is_taken() -> None:
    """The server was quick."""
    assert await waits(loop_timeout) == "reply"


async def test_the_time_out_of_asyncio_would_have_ended_it() -> None:
    """What this module is for."""
    with pytest.raises(TimeoutError):
        await waits(asyncio.timeout)


async def test_a_server_that_says_nothing_is_given_up() -> None:
    """After the time that was said."""

    async def wait() -> None:
        async with loop_timeout(0.2):
            await asyncio.sleep(10)

    outcome, took = await timed(wait())
    assert isinstance(outcome, TimeoutError)
    assert 0.19 < took < 1


async def test_what_ends_in_time_leaves_nothing_behind() -> None:
    """No timer fires later."""
    async with loop_timeout(0.05):
        await asyncio.sleep(0)
    await asyncio.sleep(0.1)


async def test_a_cancellation_is_no_time_out() -> None:
    """It comes through as what it is."""

    async def wait() -> None:
        async with loop_timeout(10):
            await asyncio.sleep(10)

    task = asyncio.ensure_future(wait())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
