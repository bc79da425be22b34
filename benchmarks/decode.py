"""Decoding the reply of a search: time and memory per bill, stalls of the event loop, and exactness of money.

Each decoder has a process of its own (`_alone`), and they take turns. Pages have 1 to 5,000 bills with forty members
and three nested objects, so that the growth of the cost per bill shows. The SDK returns frozen values with exact money,
aware date-times and open enums, and keeps everything unknown; the modules of the peers say what each peer omits.
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
DECODERS = (OURS, *PEERS)
SIZES = (1, 10, 100, 1000, 5000)  # bills of a page; EnKash allows 5,000
BOUND_AT = 100
BOUND = Bound(1.5)
STALL_BOUND = Bound(0.010)  # seconds
_TOP = Path(__file__).parents[1]

Results = list[Comparison | Figure]


@attrs.frozen
class _Alone:
    """One decoder in its process."""

    process: asyncio.subprocess.Process

    async def ask(self, do: str, **order: Any) -> Any:
        """Send an order of `_alone` to the process and return its answer."""
        if self.process.stdin is None or self.process.stdout is None:
            raise RuntimeError("the process has no pipes")
        self.process.stdin.write(json.dumps({"do": do, **order}).encode() + b"\n")
        answer = await self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"a process ended over {do}; it said why on stderr")
        return json.loads(answer)


@contextlib.asynccontextmanager
async def _started() -> AsyncIterator[dict[str, _Alone]]:
    """Start a process for each decoder, and end them all afterwards."""
    command, pipe = (sys.executable, "-m", "benchmarks._alone"), asyncio.subprocess.PIPE
    processes: dict[str, asyncio.subprocess.Process] = {}
    try:
        for decoder in DECODERS:
            processes[decoder] = await asyncio.create_subprocess_exec(
                *command, decoder, cwd=_TOP, stdin=pipe, stdout=pipe
            )
        for process in processes.values():
            if process.stdout is None or await process.stdout.readline() != b"null\n":
                raise RuntimeError("a process did not start; it said why on stderr")
        yield {decoder: _Alone(process) for decoder, process in processes.items()}
    finally:
        for process in processes.values():
            if process.stdin is not None:
                process.stdin.close()
            await process.wait()


async def run(settings: Settings, server: Server) -> Results:
    """Return the comparisons and figures.

    Args:
        settings: Amount of work.
        server: Server from which the pages are read.
    """
    sizes = SIZES[: settings.work(full=len(SIZES), smoke=3)]
    with tempfile.TemporaryDirectory() as folder:
        files = {size: Path(folder, f"{size}.json") for size in sizes}
        for size, file in files.items():
            file.write_bytes(page(range(size)))
        async with _started() as decoders:
            # The peaks come first, before other work enlarges the processes.
            peaks = {decoder: [await _peak(alone, files)] for decoder, alone in decoders.items()}
            results = [
                *await _exactness(decoders, Path(folder)),
                *await _times(decoders, files, settings),
                *await _stalls(decoders, server, max(sizes), settings.rounds),
            ]
        for _ in range(settings.work(full=2, smoke=0)):
            async with _started() as fresh:
                for decoder, alone in fresh.items():
                    peaks[decoder].append(await _peak(alone, files))
    results += compared(SUITE, f"page of {max(sizes)}", peaks, cost="peak memory a bill", unit="bytes")
    return results


async def _peak(alone: _Alone, files: Mapping[int, Path]) -> float:
    return float(await alone.ask("peak", file=str(files[max(files)]), small=str(files[1])))


async def _times(decoders: Mapping[str, _Alone], files: Mapping[int, Path], settings: Settings) -> Results:
    """Return the seconds per bill at each size, and their growth."""
    bills = settings.work(full=2000, smoke=20)

    def timed(alone: _Alone, size: int) -> Round:
        order = {"file": str(files[size]), "size": size, "times": max(1, bills // size)}

        async def seconds() -> float:
            return float(await alone.ask("seconds", **order))

        return seconds

    rounds = {(decoder, size): timed(alone, size) for size in files for decoder, alone in decoders.items()}
    named = await interleave({f"{decoder} {size}": work for (decoder, size), work in rounds.items()}, settings.rounds)
    costs = {key: named[f"{key[0]} {key[1]}"] for key in rounds}
    results: Results = []
    for size in files:
        bounds = {"pydantic v2": BOUND} if size == BOUND_AT else None
        here = {decoder: costs[decoder, size] for decoder in decoders}
        results += compared(SUITE, f"page of {size}", here, cost="time a bill", bounds=bounds)
        for decoder in decoders:
            grown = statistics.median(_quotients(costs[decoder, size], costs[decoder, 1]))
            results.append(Figure(SUITE, "growth", decoder, "time a bill ÷ that of a page of 1", grown, items=size))
    return results


def _quotients(values: Iterable[float], bases: Iterable[float]) -> list[float]:
    return [value / base for value, base in zip(values, bases, strict=True)]


async def _stalls(decoders: Mapping[str, _Alone], server: Server, size: int, rounds: int) -> Results:
    """Return for how long the reading of a large page stops all other tasks of the event loop."""
    answers: dict[str, list[dict[str, float]]] = {decoder: [] for decoder in decoders}

    def reading(decoder: str, alone: _Alone) -> Round:
        async def seconds() -> float:
            answer = await alone.ask("stall", url=server.base_url, size=size)
            answers[decoder].append(answer)
            return float(answer["seconds"]) / size

        return seconds

    case = f"bills.search, {size} bills from the server"
    costs = await interleave({decoder: reading(decoder, alone) for decoder, alone in decoders.items()}, rounds)
    results: Results = [*compared(SUITE, case, costs, cost="time a bill")]
    for decoder, all_answers in answers.items():
        counted = all_answers[-rounds:]  # without the warm-up round
        bound = STALL_BOUND if decoder == OURS else None
        stall, busy = (statistics.median(answer[name] for answer in counted) for name in ("stall", "busy"))
        results += [
            Figure(SUITE, case, decoder, "longest stall of the event loop", stall, "s", bound),
            Figure(SUITE, case, decoder, "longest stall, CPU time alone", busy, "s"),
        ]
    return results


async def _exactness(decoders: Mapping[str, _Alone], folder: Path) -> Results:
    """Return how many amounts are exact after decoding."""
    results: Results = []
    for case, digits in {"everyday amounts": _amounts(1, 9), "hard amounts": _amounts(13, 20)}.items():
        file = folder / f"{case}.json"
        file.write_bytes(_priced(digits))
        for decoder, alone in decoders.items():
            read = await alone.ask("amounts", file=str(file))
            exact = sum(Decimal(word) == Decimal(want) for word, want in zip(read, digits, strict=True))
            results.append(Figure(SUITE, case, decoder, f"exact of {len(digits)}", exact))
    return results


def _amounts(shortest: int, longest: int) -> list[str]:
    """Return amounts with paise, by the number of digits before the point; the same amounts in every run."""
    draw = random.Random(2026)  # noqa: S311 (no secret)
    known = ["90071992547409.93", "100000000000000.07", "123456789012345678.91"] if longest > 9 else ["0.10", "2450.75"]
    drawn = [
        f"{draw.randrange(10 ** (digits - 1), 10**digits)}.{draw.randrange(100):02d}"
        for digits in range(shortest, longest + 1)
        for _ in range(12)
    ]
    return known + drawn


def _priced(digits: Sequence[str]) -> bytes:
    """Return a search's reply whose bills have exactly these amounts."""
    bills = (json.dumps(bill(number) | {"amount": "@"}).replace('"@"', one) for number, one in enumerate(digits))
    return f'{{"response_code": 0, "response_message": "Success", "payload": [{", ".join(bills)}]}}'.encode()
