"""Bills from the bytes of a search's reply: time and memory a bill, stalls of the event loop, and exactness of money.

Each way to decode has a process of its own (`_alone`), and they take turns. Pages are of 1 to 5,000 bills of forty
members with three objects below, so that the growth of the cost a bill shows. Ours ends at frozen values with exact
money, aware date-times, open enums and everything unknown kept; the modules of the peers say what each of them leaves
out.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs

from benchmarks._alone import OURS, PEERS
from benchmarks._results import Bound, Comparison, Figure, Settings, compared
from benchmarks._rounds import Round, interleave
from benchmarks._samples import bill, page
from benchmarks._server import Server

__all__ = ["run"]

SUITE = "decode"
WAYS = (OURS, *PEERS)
SIZES = (1, 10, 100, 1000, 5000)
BOUND_AT = 100
BOUND = Bound(1.5)
STALL_BOUND = Bound(0.010)  # seconds
_TOP = Path(__file__).parents[1]

Results = list[Comparison | Figure]


@attrs.frozen
class _Alone:
    """One way to decode, in its process."""

    process: asyncio.subprocess.Process

    async def ask(self, do: str, **order: Any) -> Any:
        """Return the answer to an order of `_alone`."""
        if self.process.stdin is None or self.process.stdout is None:
            raise RuntimeError("the process has no pipes")
        self.process.stdin.write(json.dumps({"do": do, **order}).encode() + b"\n")
        answer = await self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"a process ended over {do}; it said why on stderr")
        return json.loads(answer)


@contextlib.asynccontextmanager
async def _started() -> AsyncIterator[dict[str, _Alone]]:
    """Start a process for each way, and end them all."""
    command, pipe = (sys.executable, "-m", "benchmarks._alone"), asyncio.subprocess.PIPE
    processes: dict[str, asyncio.subprocess.Process] = {}
    try:
        for way in WAYS:
            processes[way] = await asyncio.create_subprocess_exec(*command, way, cwd=_TOP, stdin=pipe, stdout=pipe)
        for process in processes.values():
            if process.stdout is None or await process.stdout.readline() != b"null\n":
                raise RuntimeError("a process did not start; it said why on stderr")
        yield {way: _Alone(process) for way, process in processes.items()}
    finally:
        for process in processes.values():
            if process.stdin is not None:
                process.stdin.close()
            await process.wait()


async def run(settings: Settings, server: Server) -> Results:
    """Return the comparisons and figures.

    Args:
        settings: How much to measure.
        server: Where the pages are read from.
    """
    sizes = SIZES[: settings.work(full=len(SIZES), smoke=3)]
    with tempfile.TemporaryDirectory() as folder:
        files = {size: Path(folder, f"{size}.json") for size in sizes}
        for size, file in files.items():
            file.write_bytes(page(range(size)))
        async with _started() as ways:
            peaks = {way: [await _peak(alone, files)] for way, alone in ways.items()}  # before anything else grows them
            results = [
                *await _exactness(ways, Path(folder)),
                *await _times(ways, files, settings),
                *await _stalls(ways, server, max(sizes), settings.rounds),
            ]
        for _ in range(settings.work(full=2, smoke=0)):
            async with _started() as fresh:
                for way, alone in fresh.items():
                    peaks[way].append(await _peak(alone, files))
    results += compared(SUITE, f"page of {max(sizes)}", peaks, cost="peak memory a bill", unit="bytes")
    return results


async def _peak(alone: _Alone, files: Mapping[int, Path]) -> float:
    return float(await alone.ask("peak", file=str(files[max(files)]), small=str(files[1])))


async def _times(ways: Mapping[str, _Alone], files: Mapping[int, Path], settings: Settings) -> Results:
    """Return the seconds a bill at each size, and how they grow."""
    bills = settings.work(full=2000, smoke=20)

    def timed(alone: _Alone, size: int) -> Round:
        order = {"file": str(files[size]), "size": size, "times": max(1, bills // size)}

        async def seconds() -> float:
            return float(await alone.ask("seconds", **order))

        return seconds

    rounds = {(way, size): timed(alone, size) for size in files for way, alone in ways.items()}
    named = await interleave({f"{way} {size}": work for (way, size), work in rounds.items()}, settings.rounds)
    costs = {key: named[f"{key[0]} {key[1]}"] for key in rounds}
    results: Results = []
    for size in files:
        bounds = {"pydantic v2": BOUND} if size == BOUND_AT else None
        here = {way: costs[way, size] for way in ways}
        results += compared(SUITE, f"page of {size}", here, cost="time a bill", bounds=bounds)
        for way in ways:
            grown = statistics.median(_quotients(costs[way, size], costs[way, 1]))
            results.append(Figure(SUITE, "growth", way, "time a bill ÷ that of a page of 1", grown, items=size))
    return results


def _quotients(values: Iterable[float], bases: Iterable[float]) -> list[float]:
    return [value / base for value, base in zip(values, bases, strict=True)]


async def _stalls(ways: Mapping[str, _Alone], server: Server, size: int, rounds: int) -> Results:
    """Return what a large page costs everybody else in the event loop while it is read from the server."""
    answers: dict[str, list[dict[str, float]]] = {way: [] for way in ways}

    def reading(way: str, alone: _Alone) -> Round:
        async def seconds() -> float:
            answer = await alone.ask("stall", url=server.base_url, size=size)
            answers[way].append(answer)
            return float(answer["seconds"]) / size

        return seconds

    case = f"bills.search, {size} bills from the server"
    costs = await interleave({way: reading(way, alone) for way, alone in ways.items()}, rounds)
    results: Results = [*compared(SUITE, case, costs, cost="time a bill")]
    for way, all_answers in answers.items():
        counted = all_answers[-rounds:]  # without the round that warmed up
        bound = STALL_BOUND if way == OURS else None
        stall, busy = (statistics.median(answer[name] for answer in counted) for name in ("stall", "busy"))
        results += [
            Figure(SUITE, case, way, "longest stall of the event loop", stall, "s", bound),
            Figure(SUITE, case, way, "longest stall, CPU time alone", busy, "s"),
        ]
    return results


async def _exactness(ways: Mapping[str, _Alone], folder: Path) -> Results:
    """Return how many amounts are after decoding what they were in the reply."""
    results: Results = []
    for case, digits in {"everyday amounts": _amounts(1, 9), "hard amounts": _amounts(13, 20)}.items():
        file = folder / f"{case}.json"
        file.write_bytes(_priced(digits))
        for way, alone in ways.items():
            read = await alone.ask("amounts", file=str(file))
            exact = sum(Decimal(word) == Decimal(want) for word, want in zip(read, digits, strict=True))
            results.append(Figure(SUITE, case, way, f"exact of {len(digits)}", exact))
    return results


def _amounts(shortest: int, longest: int) -> list[str]:
    """Return amounts in rupees and paise with so many digits before the point, the same ones each time."""
    draw = random.Random(2026)  # noqa: S311 (no secret)
    known = ["90071992547409.93", "100000000000000.07", "123456789012345678.91"] if longest > 9 else ["0.10", "2450.75"]
    drawn = [
        f"{draw.randrange(10 ** (digits - 1), 10**digits)}.{draw.randrange(100):02d}"
        for digits in range(shortest, longest + 1)
        for _ in range(12)
    ]
    return known + drawn


def _priced(digits: Sequence[str]) -> bytes:
    """Return a search's reply whose bills have these amounts, digit by digit."""
    bills = (json.dumps(bill(number) | {"amount": "@"}).replace('"@"', one) for number, one in enumerate(digits))
    return f'{{"response_code": 0, "response_message": "Success", "payload": [{", ".join(bills)}]}}'.encode()
