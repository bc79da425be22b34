"""Bulk work over a growing number of bills: what an item costs, in time and in memory, from 100 to 100,000 of them.

The ids come from a generator, so what grows is what the SDK keeps. Each measurement has a process of its own, so that
one peak of memory does not hide another. Memory is what the process has resident; growth of less than some 0.3 MiB
cannot be told from none. What an item costs is the time of the processor in the client's process, which other work on
the machine changes little; items a second are those of the clock on the wall, and wait for the server as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import multiprocessing
import multiprocessing.connection
import os
import resource
import statistics
import sys
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import attrs

from benchmarks._results import Figure, Settings
from benchmarks._server import CREDENTIALS, WAITING, Server
from enkash_async import BillRequest, BulkItem, BulkResult, EnkashClient

__all__ = ["run"]

_SUITE = "bulk"
_SIZES = (100, 1_000, 10_000, 100_000)
_SOME = 1_000  # up to so many items one run is over too soon to tell anything, so the middle of several counts
_RUNS = 3
_WARM = 200  # items that pay for connections, the token, and the first touch of everything
_STATUS, _FORGET = Path("/proc/self/status"), Path("/proc/self/clear_refs")

#: Does a call for so many items, whose names begin with a text of its own; returns how many of them succeeded.
_Mode = Callable[[EnkashClient, int, str], Awaitable[int]]


def _ids(size: int, run: str) -> Iterator[str]:
    return (f"{WAITING}{run}-{number:08d}" for number in range(size))


def _requests(size: int, run: str) -> Iterator[BillRequest]:
    return (BillRequest(2001, {"cn": f"CN{run}{number:09d}"}) for number in range(size))


async def _streamed(items: AsyncGenerator[BulkItem[Any], None]) -> int:
    succeeded = 0
    async with contextlib.aclosing(items) as stream:
        async for item in stream:
            succeeded += item.error is None
    return succeeded


async def _collected(result: Awaitable[BulkResult[Any]]) -> int:
    return len((await result).succeeded)


_STREAMED: Mapping[str, _Mode] = {
    "bills.get_each": lambda client, size, run: _streamed(client.bills.get_each(_ids(size, run))),
    "bills.fetch_each": lambda client, size, run: _streamed(client.bills.fetch_each(_requests(size, run))),
}
_COLLECTED: Mapping[str, _Mode] = {
    "bills.get_many": lambda client, size, run: _collected(client.bills.get_many(_ids(size, run))),
    "payments.confirm_debit": lambda client, size, run: _collected(client.payments.confirm_debit(_ids(size, run))),
    "payments.confirm_debit, check_first=False": lambda client, size, run: _collected(
        client.payments.confirm_debit(_ids(size, run), check_first=False)
    ),
}
_MODES = {**_STREAMED, **_COLLECTED}


# --- in a process of its own ------------------------------------------------------------------------------------------


@attrs.frozen
class _Cost:
    """What one run cost.

    Attributes:
        seconds: In all.
        cpu: Seconds of the processor.
        grown: Bytes by which the peak of memory grew.
        peak: Bytes that the process had at most.
    """

    seconds: float
    cpu: float
    grown: float
    peak: float


def _peak() -> int:
    """Return the most bytes that this process has had resident, since `_forget_peak` where that works."""
    if _STATUS.exists():
        line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _forget_peak() -> None:
    with contextlib.suppress(OSError):  # where it cannot be forgotten, the peak so far is what growth counts from
        _FORGET.write_text("5")


async def _measured(base_url: str, mode: str, size: int) -> _Cost:
    async with EnkashClient.from_credentials(base_url, CREDENTIALS) as client:
        await _MODES[mode](client, min(size, _WARM), "warm")
        gc.collect()
        _forget_peak()
        before, begun, spent = _peak(), time.perf_counter(), time.process_time()
        succeeded = await _MODES[mode](client, size, "")
        took, used, peak = time.perf_counter() - begun, time.process_time() - spent, _peak()
    if succeeded != size:
        raise RuntimeError(f"{mode}: {succeeded} of {size} succeeded")
    return _Cost(took, used, peak - before, peak)


def _process(base_url: str, mode: str, size: int, answer: Connection) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    answer.send(asyncio.run(_measured(base_url, mode, size)))


def _end_with_parent() -> None:
    """End this process when the one that started it is gone, however it ended."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)


async def _cost(base_url: str, mode: str, size: int) -> _Cost:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_process, args=(base_url, mode, size, theirs), daemon=True)
    process.start()
    theirs.close()  # so that the end of the process shows as the end of the pipe
    try:
        cost: _Cost = await asyncio.to_thread(ours.recv)
        await asyncio.to_thread(process.join)
    finally:
        process.terminate()  # after Ctrl-C; the pipe ends with it, and so does the wait for it
    return cost


# --- all of them ------------------------------------------------------------------------------------------------------


def _middle(costs: list[_Cost]) -> _Cost:
    return _Cost(*(statistics.median(column) for column in zip(*map(attrs.astuple, costs), strict=True)))


def _figures(mode: str, size: int, cost: _Cost) -> Iterator[Figure]:
    def figure(measure: str, value: float, unit: str) -> Figure:
        return Figure(_SUITE, mode, "enkash_async", measure, value, unit, items=size)

    yield figure("items a second", size / cost.seconds, "")
    yield figure("processor time an item", cost.cpu / size, "s")
    yield figure("peak memory grew by", cost.grown / 2**20, "MiB")
    yield figure("peak memory an item", cost.grown / size, "bytes")


def _flatness(mode: str, size: int, cost: _Cost, less: _Cost) -> Figure:
    measure = "peak memory of the process ÷ that for a tenth"
    return Figure(_SUITE, f"{mode}, {size:,} items", "enkash_async", measure, cost.peak / less.peak)


async def run(settings: Settings, server: Server) -> list[Figure]:
    """Measure each call at each size.

    Args:
        settings: How much to measure.
        server: Answers with bills whose debit waits to be confirmed.
    """
    sizes, runs = ((10, 100), 1) if settings.smoke else (_SIZES, _RUNS)
    # The short ones in turns: what the machine does meanwhile happens to all of them.
    small, large = [size for size in sizes if size <= _SOME], [size for size in sizes if size > _SOME]
    jobs = [(mode, size) for size in small for mode in _MODES] * runs + [
        (mode, size) for size in large for mode in _MODES
    ]
    places = asyncio.Semaphore(settings.work(1, 4))  # one after another, save where the figures mean nothing

    async def cost(job: tuple[str, int]) -> _Cost:
        async with places:
            return await _cost(server.base_url, *job)

    costs = await asyncio.gather(*map(cost, jobs))
    middle = {
        job: _middle([cost for other, cost in zip(jobs, costs, strict=True) if other == job])
        for job in itertools.product(_MODES, sizes)
    }
    figures = [figure for (mode, size), cost in middle.items() for figure in _figures(mode, size, cost)]
    last, tenth = sizes[-1], sizes[-2]
    return figures + [_flatness(mode, last, middle[mode, last], middle[mode, tenth]) for mode in _STREAMED]
