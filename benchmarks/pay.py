"""How many requests `enkash pay` makes for each bill of a file: on a first run, and when it is run again.

The command runs in a process of its own, with a store of its own, against the sandbox, which counts requests.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path

from benchmarks._results import Bound, Figure, Settings
from benchmarks._server import Server
from enkash_async.sandbox import Sandbox

__all__ = ["run"]

_BILLS = 300
_SETTLE = 1.0  # seconds from a debit to its end


async def _paid(sandbox: Sandbox, folder: Path) -> int:
    """Run the command, and return how many requests it made without its login."""
    sandbox.counts.clear()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "enkash_async", "pay", str(folder / "bills.csv"), "--json"),
        env={**os.environ, **sandbox.environ(), "ENKASH_STORE_URL": f"sqlite://{folder}/store.sqlite3"},
        stdout=asyncio.subprocess.DEVNULL,
    )
    if await process.wait():
        raise RuntimeError(f"enkash pay failed with {process.returncode}")
    return sandbox.counts.total() - sandbox.counts["token"]


async def run(settings: Settings, _server: Server) -> list[Figure]:
    """Count the requests of a first run, and of a second one.

    Args:
        settings: Amount of work.
        _server: The server of the other suites, which keeps no bills; the sandbox does.
    """
    bills = settings.work(_BILLS, 100)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = "".join(f"inv-{number},2001,{900_000_000 + number}\n" for number in range(bills))
        (folder / "bills.csv").write_text(f"reference,biller_id,consumer_number\n{rows}", encoding="utf-8")
        async with Sandbox(settle_after=_SETTLE, repeat_debits=True) as sandbox:
            first, second = await _paid(sandbox, folder), await _paid(sandbox, folder)
            twice = sum(count - 1 for count in sandbox.debits.values())

    def figure(case: str, measure: str, value: float, most: float) -> Figure:
        return Figure("pay", case, "enkash_async", measure, value, "", items=bills, bound=Bound(most))

    return [
        figure("enkash pay, first run", "requests a bill", first / bills, 2.2),
        figure("enkash pay, run again", "requests a bill", second / bills, 0),
        figure("enkash pay, both runs", "debits made twice", twice, 0),
    ]
