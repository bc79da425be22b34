"""Bulk work over a growing number of bills: items a second, and the memory that each item costs.

`python -m benchmarks.bulk` starts the sandbox in a process of its own and each measurement in a fresh one, so that one
peak of memory does not hide another. The ids come from a generator: what grows is what the SDK keeps.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import resource
import sys
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from contextlib import aclosing
from decimal import Decimal
from typing import Any

import attrs

from enkash_async import BillRequest, BulkItem, BulkResult, Credentials, EnkashClient
from enkash_async.sandbox import Sandbox
from enkash_async.sandbox._payment import Bill as Due

SIZES = (1_000, 10_000, 100_000)


@attrs.frozen
class Job:
    """What one process is told."""

    base_url: str
    credentials: Credentials
    mode: str
    size: int


def _ids(size: int) -> Iterator[str]:
    return (f"UTIL-{number:08d}" for number in range(size))


def _requests(size: int, run: str) -> Iterator[BillRequest]:
    return (
        BillRequest(2001, {"cn": f"CN{number:09d}"}, reference_id=f"{run}-{number}", bill_amount=500)
        for number in range(size)
    )


async def _streamed(items: AsyncGenerator[BulkItem[Any], None]) -> int:
    succeeded = 0
    async with aclosing(items) as stream:
        async for item in stream:
            succeeded += item.error is None
    return succeeded


async def _collected(result: Coroutine[Any, Any, BulkResult[Any]]) -> int:
    return len((await result).succeeded)


WAITING = "bills.wait_many"
MODES: dict[str, Callable[[EnkashClient, int], Coroutine[Any, Any, int]]] = {
    "bills.get_each": lambda client, size: _streamed(client.bills.get_each(_ids(size))),
    "bills.get_many": lambda client, size: _collected(client.bills.get_many(_ids(size))),
    "bills.fetch_each": lambda client, size: _streamed(client.bills.fetch_each(_requests(size, "fetch"))),
    "bills.create_each": lambda client, size: _streamed(client.bills.create_each(_requests(size, f"create-{size}"))),
    "payments.confirm_debit": lambda client, size: _collected(client.payments.confirm_debit(_ids(size))),
    WAITING: lambda client, size: _collected(client.bills.wait_many(_ids(size), timeout=600)),
}


def _peak() -> int:
    """Return the most memory in bytes that this process has had."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


async def _measure(job: Job) -> dict[str, Any]:
    async with EnkashClient.from_credentials(job.base_url, job.credentials) as client:
        await MODES[job.mode](client, 200)  # imports, connections, the token
        before, begun = _peak(), time.perf_counter()
        succeeded = await MODES[job.mode](client, job.size)
        took = time.perf_counter() - begun
    grown = _peak() - before
    return {
        "mode": job.mode,
        "items": job.size,
        "succeeded": succeeded,
        "items a second": round(job.size / took),
        "peak grown by, MiB": round(grown / 2**20, 1),
        "bytes an item": round(grown / job.size),
    }


def _process(job: Job, answer: Any) -> None:
    answer.send(asyncio.run(_measure(job)))


def _serve(size: int, is_confirmed: bool, pipe: Any) -> None:
    """Serve a sandbox that has the bills already, until it is told to stop."""

    async def serve() -> None:
        async with Sandbox(settle_after=0.0) as sandbox:
            ledger, numbers = sandbox.ledger, iter(range(size))
            ledger.new_id = lambda: f"{next(numbers):08d}"
            ledger.max_amount = Decimal(10) ** 9
            consumer = ledger.enrol(2001, {"cn": "CN123456789"})
            due: Due = ledger.due(consumer)
            for number in range(size):
                ledger.create(consumer, due, reference_id=f"there-{number}")
            ledger.new_id = iter(f"NEW{number:09d}" for number in range(10**9)).__next__
            if is_confirmed:
                ledger.confirm(list(_ids(size)))
            pipe.send((sandbox.base_url, sandbox.credentials))
            await asyncio.to_thread(pipe.recv)

    asyncio.run(serve())


def _run(modes: list[str], sizes: list[int]) -> None:
    context = multiprocessing.get_context("spawn")
    for mode in modes:
        for size in sizes:
            here, there = context.Pipe()
            server = context.Process(target=_serve, args=(max(size, 200), mode == WAITING, there))
            server.start()
            base_url, credentials = here.recv()
            ours, theirs = context.Pipe(duplex=False)
            worker = context.Process(target=_process, args=(Job(base_url, credentials, mode, size), theirs))
            worker.start()
            row = ours.recv()
            worker.join()
            here.send("done")
            server.join()
            print(json.dumps(row), flush=True)


def main() -> None:
    """Measure each call at each size, and print a JSON document a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mode", action="append", choices=list(MODES), help="one call only; repeatable")
    parser.add_argument("--size", action="append", type=int, help=f"how many items; repeatable, {SIZES} if left out")
    given = parser.parse_args()
    _run(given.mode or list(MODES), given.size or list(SIZES))


if __name__ == "__main__":
    main()
