"""Reading one bill over HTTP at several concurrencies: the SDK, aiohttp alone, httpx with Authlib, a generated client.

All share one event loop and one server, keep their connections, hold a token, and ask for a different bill each time.
A caller waits for the wall time. The client's CPU time, and its share of the wall time, show whether the client or the
server was measured. There are two servers: one with prepared replies, so that the client hardly waits, and the
sandbox, which works like a real server.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import json
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager

import aiohttp

from benchmarks._results import Bound, Comparison, Figure, Settings, compared
from benchmarks._rounds import interleave
from benchmarks._sandbox import sandboxing
from benchmarks._server import CREDENTIALS, Server
from benchmarks.peers import bare_aiohttp, generated_client, httpx_authlib
from enkash_async import Credentials, EnkashClient, Limits

__all__ = ["run"]

Get = Callable[[str], Awaitable[str]]
Connect = Callable[[str, Credentials, int], AbstractAsyncContextManager[Get]]

SUITE = "request"
CONCURRENCY = (1, 16, 128)
BOUNDS_AT = 16
BOUNDS = {"bare aiohttp": Bound(1.15), "httpx + authlib": Bound(1 / 4), "generated client": Bound(1 / 1.3)}


@contextlib.asynccontextmanager
async def _ours(base_url: str, credentials: Credentials, connections: int) -> AsyncIterator[Get]:
    limits = Limits(concurrency=connections)
    async with EnkashClient.from_credentials(base_url, credentials, limits=limits) as client:

        async def get(bill_id: str) -> str:
            return (await client.bills.get(bill_id)).reference_id or ""

        yield get


CONTENDERS: dict[str, Connect] = {
    "enkash_async": _ours,
    "bare aiohttp": bare_aiohttp.connected,
    "httpx + authlib": httpx_authlib.connected,
    "generated client": generated_client.connected,
    "generated client, no proxies": functools.partial(generated_client.connected, trust_env=False),
}


class _Batch:
    """A number of calls of one contender, at a fixed concurrency."""

    def __init__(self, get: Get, concurrency: int, calls: int) -> None:
        self.cpu: list[float] = []
        self._get = get
        self._concurrency = concurrency
        self._calls = calls
        # No id occurs twice within a case: otherwise a cache of URLs would be measured.
        self._ids = (f"UTIL-{number:08d}" for number in itertools.count())

    async def run(self) -> float:
        """Return the seconds per call, and record the CPU time of this process."""
        ids = itertools.islice(self._ids, self._calls)

        async def caller() -> None:
            for bill_id in ids:
                await self._get(bill_id)

        cpu, wall = time.process_time(), time.perf_counter()
        await asyncio.gather(*(caller() for _ in range(self._concurrency)))
        took = time.perf_counter() - wall
        self.cpu.append((time.process_time() - cpu) / self._calls)
        return took / self._calls


async def run(settings: Settings, server: Server) -> list[Comparison | Figure]:
    """Return the comparisons.

    Args:
        settings: Amount of work.
        server: Server with prepared replies.
    """
    results: list[Comparison | Figure] = []
    calls = settings.work(full=1000, smoke=32)
    async with _connected(server) as gets:
        before = await _answered(server)
        for concurrency in CONCURRENCY:
            case = f"bills.get, concurrency {concurrency}"
            results += await _measured(gets, case, concurrency, calls, settings.rounds)
        answered = await _answered(server) - before
    made = calls * len(gets) * (settings.rounds + 1) * len(CONCURRENCY)
    if answered != made:
        raise RuntimeError(f"{made} calls were made, and the server saw {answered}")
    with sandboxing(calls * (settings.rounds + 1)) as sandbox:
        async with _connected(sandbox) as gets:
            case = f"the same from the sandbox, concurrency {BOUNDS_AT}"
            results += await _measured(gets, case, BOUNDS_AT, calls, settings.rounds)
    return results


@contextlib.asynccontextmanager
async def _connected(server: Server) -> AsyncIterator[dict[str, Get]]:
    """Yield each contender's function that reads a bill, connected and logged in."""
    async with contextlib.AsyncExitStack() as stack:
        gets: dict[str, Get] = {}
        for name, connect in CONTENDERS.items():
            gets[name] = await stack.enter_async_context(connect(server.base_url, CREDENTIALS, max(CONCURRENCY)))
        await _agree(gets)
        yield gets


async def _measured(
    gets: Mapping[str, Get], case: str, concurrency: int, calls: int, rounds: int
) -> list[Comparison | Figure]:
    batches = {name: _Batch(get, concurrency, calls) for name, get in gets.items()}
    wall = await interleave({name: batch.run for name, batch in batches.items()}, rounds)
    cpu = {name: batch.cpu[-rounds:] for name, batch in batches.items()}  # without the warm-up round
    bounds = BOUNDS if concurrency == BOUNDS_AT else None
    return [
        *compared(SUITE, case, wall, cost="time a call", bounds=bounds),
        *compared(SUITE, case, cpu, cost="CPU time of the client a call", bounds=bounds),
        *(Figure(SUITE, case, name, "client's CPU time ÷ time", _share(cpu[name], wall[name])) for name in gets),
    ]


def _share(cpu: list[float], wall: list[float]) -> float:
    return statistics.median(busy / took for busy, took in zip(cpu, wall, strict=True))


async def _agree(gets: Mapping[str, Get]) -> None:
    """Check that all contenders read the same bill."""
    read = {name: await get("UTIL-00000001") for name, get in gets.items()}
    if len(set(read.values())) != 1 or "" in read.values():
        raise RuntimeError(f"the contenders disagree: {read}")


async def _answered(server: Server) -> int:
    """Return the number of bills that the server has sent so far."""
    async with aiohttp.ClientSession() as session, session.get(f"{server.base_url}/counts") as reply:
        return int(json.loads(await reply.read()).get("bill", 0))
