"""Bulk calls over 100 to 100,000 bills: time and memory per item.

The ids come from a generator, so that only the SDK's own memory grows. Each measurement has a process of its own, since
one peak of memory would hide a later, lower one. Memory is the resident memory of the process; growth below about
0.3 MiB is noise. The time per item is CPU time of the client's process, which other load on the machine changes little.
Items per second are measured by wall time, and include waiting for the server.
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
_SOME = 1_000  # items up to which one run is too short to be exact, so that the median of several runs counts
_RUNS = 3  # runs of a short measurement
_WARM = 200  # items of the warm-up, which opens connections, gets the token and fills caches
_STATUS, _FORGET = Path("/proc/self/status"), Path("/proc/self/clear_refs")

#: Makes a bulk call of the given size, with ids that contain the given text; returns how many items succeeded.
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
    """The cost of one run.

    Attributes:
        seconds: Wall time in seconds.
        cpu: CPU time in seconds.
        grown: Bytes by which the peak of memory grew.
        peak: Peak memory of the process in bytes.
    """

    seconds: float
    cpu: float
    grown: float
    peak: float


def _peak() -> int:
    """Return the peak of resident memory in bytes, since `_forget_peak` if that works here."""
    if _STATUS.exists():
        line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _forget_peak() -> None:
    with contextlib.suppress(OSError):  # if the system cannot reset the peak, growth counts from the old peak
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
    """End this process when its parent process is gone, for whatever reason."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)


async def _cost(base_url: str, mode: str, size: int) -> _Cost:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_process, args=(base_url, mode, size, theirs), daemon=True)
    process.start()
    theirs.close()  # so that `recv` raises EOFError when the process ends
    try:
        cost: _Cost = await asyncio.to_thread(ours.recv)
        await asyncio.to_thread(process.join)
    finally:
        process.terminate()  # for Ctrl-C: it closes the pipe, which ends the waiting `recv`
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
    """Measure each bulk call at each size.

    Args:
        settings: Amount of work.
        server: Server with bills whose debit waits to be confirmed.
    """
    sizes, runs = ((10, 100), 1) if settings.smoke else (_SIZES, _RUNS)
    # Short measurements take turns, so that other load on the machine affects all of them alike.
    small, large = [size for size in sizes if size <= _SOME], [size for size in sizes if size > _SOME]
    jobs = [(mode, size) for size in small for mode in _MODES] * runs + [
        (mode, size) for size in large for mode in _MODES
    ]
    places = asyncio.Semaphore(settings.work(1, 4))  # one at a time, except in a smoke run

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
