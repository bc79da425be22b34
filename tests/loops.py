"""What tests of event loops share: a server in a thread of its own, loops that end in several ways, and descriptors."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import gc
import os
import ssl
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any, TypeVar

import trustme

__all__ = ["ENDS", "descriptors", "falls_to", "in_bare_loop", "in_runner", "served", "tls_contexts"]

T = TypeVar("T")


@contextmanager
def served(server: AbstractAsyncContextManager[T]) -> Iterator[T]:
    """Run a server in an event loop of another thread, so that it works on while the test's own loop does not."""
    made: concurrent.futures.Future[tuple[T, Callable[[], object]]] = concurrent.futures.Future()

    async def serve() -> None:
        ended = asyncio.Event()
        stop = functools.partial(asyncio.get_running_loop().call_soon_threadsafe, ended.set)
        async with server as one:
            made.set_result((one, stop))
            await ended.wait()

    thread = threading.Thread(target=in_runner, args=(serve(),))
    thread.start()
    one, stop = made.result(30)
    try:
        yield one
    finally:
        stop()
        thread.join()


def tls_contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return the contexts of a server of this machine, and of a client that trusts it."""
    authority = trustme.CA()
    theirs, ours = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(theirs)
    authority.configure_trust(ours)
    return theirs, ours


def in_runner(work: Coroutine[Any, Any, T]) -> T:
    """Run in a loop that ends as that of `asyncio.run` does."""
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        return runner.run(work)


def in_bare_loop(work: Coroutine[Any, Any, T]) -> T:
    """Run in a loop that is closed without a word to what it leaves."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(work)
    finally:
        loop.close()


#: The ways in which an event loop ends.
ENDS: dict[str, Callable[[Coroutine[Any, Any, Any]], Any]] = {"asyncio.run": in_runner, "loop.close": in_bare_loop}


def descriptors() -> int:
    """Return how many descriptors the process has open; 0 where the system does not tell."""
    gc.collect()
    return len(os.listdir("/dev/fd")) if os.path.isdir("/dev/fd") else 0  # noqa: PTH112, PTH208 (what `ls` does)


def falls_to(count: int) -> bool:
    """Whether the process soon has so few descriptors; a server of the same process closes its side a little later."""
    end = time.monotonic() + 15
    while descriptors() > count:
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True
