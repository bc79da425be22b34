"""The time that the SDK adds to a program's start: its imports, and the first bill, each in a fresh interpreter.

The interpreter reads the clock just before the import, so that its own start, equal for all contenders, is not
measured. Other load on the machine can only slow a run down, so that the fastest of a few interpreters counts.
"""

from __future__ import annotations

import asyncio
import asyncio.subprocess
import sys
from pathlib import Path

from benchmarks._results import Bound, Figure, Result, Settings, compared
from benchmarks._rounds import Round, interleave
from benchmarks._server import Server

__all__ = ["run"]

_HERE = Path(__file__).parent
_TIMED = "import time; begun = time.perf_counter(); {}; print(time.perf_counter() - begun)"
_COUNTED = "import sys; {}; print(sum(name.split('.')[0] in {!r} for name in sys.modules))"
_AIOHTTP = "import aiohttp"
#: The package itself imports almost nothing, since it loads each name on first use; so two names are measured too.
_OURS = {
    "import enkash_async": "import enkash_async",
    "import EnkashClient": "from enkash_async import EnkashClient",
    "import Bill": "from enkash_async import Bill",
}
_BOUNDED = ("import enkash_async", "import EnkashClient")
_ABSENT = {
    "import EnkashClient": ("redis", "click", "rich"),  # neither Redis nor the command line may be imported
    "import Bill": ("aiohttp",),
}


async def _fresh(*arguments: str) -> float:
    """Return the number that a fresh interpreter prints; `-I` isolates it from the environment and the folder."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-I", *arguments, stdout=asyncio.subprocess.PIPE)
    printed, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"a fresh interpreter failed with {process.returncode}")
    return float(printed)


def _fastest(*arguments: str, runs: int) -> Round:
    async def measured() -> float:
        return min([await _fresh(*arguments) for _ in range(runs)])

    return measured


async def run(settings: Settings, server: Server) -> list[Result]:
    """Compare the start with that of aiohttp alone.

    Args:
        settings: Amount of work.
        server: Server of the first call.
    """
    runs = settings.work(3, 1)
    lines = {_AIOHTTP: _AIOHTTP, **_OURS}
    took = await interleave(
        {case: _fastest("-c", _TIMED.format(line), runs=runs) for case, line in lines.items()}, settings.rounds
    )
    results: list[Result] = []
    for case in _OURS:
        costs = {"enkash_async": took[case], _AIOHTTP: took[_AIOHTTP]}
        bounds = {_AIOHTTP: Bound(1.15)} if case in _BOUNDED else None
        results += compared("start", case, costs, bounds=bounds)
    for case, packages in _ABSENT.items():
        count = int(await _fresh("-c", _COUNTED.format(_OURS[case], packages)))
        measure = f"modules of {', '.join(packages)}"
        results.append(Figure("start", case, "enkash_async", measure, count, bound=Bound(0)))
    programs = {"enkash_async": _HERE / "_first_call.py", "aiohttp alone": _HERE / "peers" / "start_aiohttp.py"}
    first = await interleave(
        {who: _fastest(str(path), server.base_url, runs=runs) for who, path in programs.items()}, settings.rounds
    )
    results += compared("start", "first call, with imports", first)
    return results
