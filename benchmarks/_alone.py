"""One way to decode bills, in a process of its own: `python -m benchmarks._alone NAME`.

Garbage collection walks over whatever a process has imported, and memory is that of the whole process. So nobody shares
one: each way has a process with nothing but what it needs itself, and answers one order a line, as JSON, on its
standard streams.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import json
import resource
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import attrs

__all__ = ["OURS", "PEERS"]

Read = Callable[[], Awaitable[Sequence[Any]]]

OURS = "enkash_async"
#: The modules of `benchmarks.peers`, by the names of the peers.
PEERS = {"pydantic v2": "pydantic_models", "msgspec": "msgspec_structs", "plain dicts": "plain_dicts"}
_PROCESS = Path("/proc/self/status")


@attrs.frozen
class Way:
    """How somebody decodes.

    Attributes:
        decode: Returns the bills of a search's reply.
        amount: Returns the amount of a bill.
        reading: Given a URL and a size, opens what reads a page of that many bills from the server.
    """

    decode: Callable[[bytes], Awaitable[Sequence[Any]]]
    amount: Callable[[Any], object]
    reading: Callable[[str, int], contextlib.AbstractAsyncContextManager[Read]]


def _ours() -> Way:
    from benchmarks._ours import amount, decode, reading  # noqa: PLC0415 (a peer's process must not have it)

    return Way(decode, amount, reading)


def _peer(name: str) -> Way:
    module = importlib.import_module(f"benchmarks.peers.{PEERS[name]}")
    bare = importlib.import_module("benchmarks.peers.bare_aiohttp")

    async def decode(body: bytes) -> Sequence[Any]:
        found: Sequence[Any] = module.decode(body)
        return found

    @contextlib.asynccontextmanager
    async def reading(base_url: str, size: int) -> AsyncIterator[Read]:
        async with bare.session(1, {"Authorization": "Bearer bench-token"}) as session:

            async def read() -> Sequence[Any]:
                found: Sequence[Any] = module.decode(await bare.page(session, base_url, size))
                return found

            yield read

    return Way(decode, module.amount, reading)


def _body(file: str) -> bytes:
    return Path(file).read_bytes()


async def _seconds(way: Way, order: dict[str, Any]) -> float:
    """Return the seconds that a bill takes."""
    body, times, size = _body(order["file"]), int(order["times"]), int(order["size"])
    if len(await way.decode(body)) != size:
        raise RuntimeError("not all bills were decoded")
    gc.collect()
    begun = time.perf_counter()
    for _ in range(times):
        await way.decode(body)
    return (time.perf_counter() - begun) / (times * size)


async def _peak(way: Way, order: dict[str, Any]) -> float:
    """Return the bytes a bill by which the process is larger at its largest, with all bills in hand at the end."""
    await way.decode(_body(order["small"]))  # what is built or imported at first use
    body = _body(order["file"])
    gc.collect()
    before = _memory("VmRSS")
    bills = await way.decode(body)
    return (_memory("VmHWM") - before) / len(bills)


def _memory(name: str) -> int:
    """Return bytes of memory: `VmRSS` is what is in use, `VmHWM` the most that ever was."""
    if _PROCESS.exists():
        # By the kernel's own count: `ru_maxrss` begins with that of the process that started this one.
        found = next(line for line in _PROCESS.read_text().splitlines() if line.startswith(f"{name}:"))
        return int(found.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


async def _amounts(way: Way, order: dict[str, Any]) -> list[str]:
    """Return the amounts as they print, which is kind to floats: `0.1` is not quite that."""
    return [str(way.amount(bill)) for bill in await way.decode(_body(order["file"]))]


async def _stall(way: Way, order: dict[str, Any]) -> dict[str, float]:
    """Read a page from the server, and return how long at most nobody else had a turn."""
    size = order["size"]
    async with way.reading(order["url"], size) as read:
        await read()  # the connection, and the server's page
        await asyncio.sleep(0.01)  # a generator that was left early is closed later, and lets go of its bills then
        gc.collect()
        ticker = _Ticker()
        ticking = asyncio.create_task(ticker.tick())
        await asyncio.sleep(0)
        begun = time.perf_counter()
        bills = await read()  # kept, since to let go of them takes its time as well
        took = time.perf_counter() - begun
        await asyncio.sleep(0)  # the last gap
        ticking.cancel()
        if len(bills) != size:
            raise RuntimeError(f"{len(bills)} bills came, not {size}")
        return {"seconds": took, "stall": ticker.longest, "busy": ticker.busiest}


class _Ticker:
    """Takes a turn whenever it can, and keeps the longest time between two of them.

    Attributes:
        longest: In seconds.
        busiest: In seconds of this thread's CPU time, which leaves out what other processes took.
    """

    def __init__(self) -> None:
        self.longest = self.busiest = 0.0

    async def tick(self) -> None:
        """Tick until cancelled."""
        wall, cpu = time.perf_counter(), time.thread_time()
        while True:
            await asyncio.sleep(0)
            now, spent = time.perf_counter(), time.thread_time()
            self.longest, self.busiest = max(self.longest, now - wall), max(self.busiest, spent - cpu)
            wall, cpu = now, spent


_ORDERS: dict[str, Callable[[Way, dict[str, Any]], Awaitable[object]]] = {
    "seconds": _seconds,
    "peak": _peak,
    "amounts": _amounts,
    "stall": _stall,
}


async def _obey(name: str) -> None:
    way = _ours() if name == OURS else _peer(name)
    print("null", flush=True)  # ready
    while line := await asyncio.to_thread(sys.stdin.readline):
        order = json.loads(line)
        print(json.dumps(await _ORDERS[order["do"]](way, order)), flush=True)


if __name__ == "__main__":
    asyncio.run(_obey(sys.argv[1]))
