"""One decoder of bills in a process of its own: `python -m benchmarks._alone NAME`.

Garbage collection walks over everything that a process has imported, and memory is measured for the whole process. So
each decoder has its own process, with only its own imports. The process answers one order per line, as JSON, on its
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
#: Name of each peer, and its module in `benchmarks.peers`.
PEERS = {"pydantic v2": "pydantic_models", "msgspec": "msgspec_structs", "plain dicts": "plain_dicts"}
_PROCESS = Path("/proc/self/status")


@attrs.frozen
class Decoder:
    """One contender: the SDK or a peer.

    Attributes:
        decode: Returns the bills of a search's reply.
        amount: Returns the amount of a bill.
        reading: Given a URL and a number of bills, opens a function that reads a page of these from the server.
    """

    decode: Callable[[bytes], Awaitable[Sequence[Any]]]
    amount: Callable[[Any], object]
    reading: Callable[[str, int], contextlib.AbstractAsyncContextManager[Read]]


def _ours() -> Decoder:
    from benchmarks._ours import amount, decode, reading  # noqa: PLC0415 (a peer's process must not import it)

    return Decoder(decode, amount, reading)


def _peer(name: str) -> Decoder:
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

    return Decoder(decode, module.amount, reading)


def _body(file: str) -> bytes:
    return Path(file).read_bytes()


async def _seconds(decoder: Decoder, order: dict[str, Any]) -> float:
    """Return the seconds to decode one bill."""
    body, times, size = _body(order["file"]), int(order["times"]), int(order["size"])
    if len(await decoder.decode(body)) != size:
        raise RuntimeError("not all bills were decoded")
    gc.collect()
    begun = time.perf_counter()
    for _ in range(times):
        await decoder.decode(body)
    return (time.perf_counter() - begun) / (times * size)


async def _peak(decoder: Decoder, order: dict[str, Any]) -> float:
    """Return the bytes per bill by which the peak memory of the process grows while it decodes a page."""
    await decoder.decode(_body(order["small"]))  # first use imports and builds things, which must not count
    body = _body(order["file"])
    gc.collect()
    before = _memory("VmRSS")
    bills = await decoder.decode(body)
    return (_memory("VmHWM") - before) / len(bills)


def _memory(name: str) -> int:
    """Return bytes of memory: `VmRSS` for the resident memory now, `VmHWM` for its peak."""
    if _PROCESS.exists():
        # Not `ru_maxrss`, which starts with the peak of the parent process.
        found = next(line for line in _PROCESS.read_text().splitlines() if line.startswith(f"{name}:"))
        return int(found.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


async def _amounts(decoder: Decoder, order: dict[str, Any]) -> list[str]:
    """Return the amounts as they print, which favours floats: 0.1 prints as `0.1` but is not exactly that."""
    return [str(decoder.amount(bill)) for bill in await decoder.decode(_body(order["file"]))]


async def _stall(decoder: Decoder, order: dict[str, Any]) -> dict[str, float]:
    """Read a page from the server, and return the longest time for which other tasks could not run."""
    size = order["size"]
    async with decoder.reading(order["url"], size) as read:
        await read()  # warms up: opens the connection, and makes the server build its page
        await asyncio.sleep(0.01)  # asyncio closes the unfinished generator of that read, which frees its bills
        gc.collect()
        ticker = _Ticker()
        ticking = asyncio.create_task(ticker.tick())
        await asyncio.sleep(0)
        begun = time.perf_counter()
        bills = await read()  # kept alive, since freeing them takes time too
        took = time.perf_counter() - begun
        await asyncio.sleep(0)  # lets the ticker measure the last gap
        ticking.cancel()
        if len(bills) != size:
            raise RuntimeError(f"{len(bills)} bills came, not {size}")
        return {"seconds": took, "stall": ticker.longest, "busy": ticker.busiest}


class _Ticker:
    """Runs on every turn of the event loop, and records the longest time between two turns.

    Attributes:
        longest: Longest time between two turns, in seconds.
        busiest: The same in CPU seconds of this thread, without the time of other processes.
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


_ORDERS: dict[str, Callable[[Decoder, dict[str, Any]], Awaitable[object]]] = {
    "seconds": _seconds,
    "peak": _peak,
    "amounts": _amounts,
    "stall": _stall,
}


async def _obey(name: str) -> None:
    decoder = _ours() if name == OURS else _peer(name)
    print("null", flush=True)  # tells the parent that this process is ready
    while line := await asyncio.to_thread(sys.stdin.readline):
        order = json.loads(line)
        print(json.dumps(await _ORDERS[order["do"]](decoder, order)), flush=True)


if __name__ == "__main__":
    asyncio.run(_obey(sys.argv[1]))
