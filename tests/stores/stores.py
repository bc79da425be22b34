"""What the tests of the stores share: URLs, records of a made-up kind, and clocks."""

from __future__ import annotations

import asyncio
import os
import time
import warnings
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from enkash_async.stores import Change, SQLiteStore, Store
from enkash_async.testing.racing import count_up, number_in

from servers import HOST, Cluster, SentinelSet

__all__ = [
    "SECRET",
    "Skip",
    "alone",
    "cluster_url",
    "comes_back",
    "count_up",
    "in_child",
    "number_in",
    "own_store",
    "put",
    "sentinel_url",
    "timed",
    "value_of",
]

_T = TypeVar("_T")

#: A password that must not be shown; here and not in a test, since a rendered traceback shows the locals of the test.
SECRET = "made-up-secret"


def cluster_url(cluster: Cluster) -> str:
    """Return the URL of a cluster."""
    return f"redis+cluster://{','.join(f'{HOST}:{port}' for port in cluster.ports)}"


def sentinel_url(watched: SentinelSet) -> str:
    """Return the URL of a set that sentinels watch."""
    return f"redis+sentinel://{','.join(f'{host}:{port}' for host, port in watched.sentinels)}/{watched.service}"


def alone(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine in an event loop of its own, without touching the one that pytest has set."""
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        return runner.run(coroutine)


def in_child(life: Callable[[], bool]) -> bool:
    """Fork, and return whether the child answers True; it runs nothing else. An async test calls it in a thread."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # there are other threads, which is what is tested
        child = os.fork()
    if child == 0:
        try:
            os._exit(0 if life() else 1)
        except BaseException:  # noqa: BLE001 (a child must not run the rest of the tests)
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def own_store(folder: str) -> Store:
    """Return a store in a file that no other process uses."""
    return SQLiteStore(Path(folder) / str(os.getpid()))


async def value_of(store: Store, key: str) -> bytes | None:
    """Return what a key holds."""
    return (await store.read([key]))[key].value


async def put(store: Store, key: str, new: bytes | None, old: bytes | None = None) -> bool:
    """Swap one value for another, and return whether that was done."""
    [made] = await store.swap([Change(key, old, new, 60)])
    return made


async def timed(call: Awaitable[object]) -> tuple[object, float]:
    """Return what a call brings, be it an exception, and the seconds that it took."""
    began = time.monotonic()
    outcome: object
    try:
        outcome = await call
    except Exception as problem:  # noqa: BLE001 (it is the outcome)
        outcome = problem
    return outcome, time.monotonic() - began


async def comes_back(store: Store, key: str, limit: float = 15) -> bytes | None:
    """Ask until the store answers."""
    end = time.monotonic() + limit
    while True:
        outcome, _ = await timed(value_of(store, key))
        if outcome is None or isinstance(outcome, bytes):
            return outcome
        assert time.monotonic() < end, outcome
        await asyncio.sleep(0.05)


class Skip:
    """A monotonic clock that a test can put ahead, so that it need not wait."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead
