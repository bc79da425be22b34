"""Runs of `enkash pay` are killed at every kind of moment, two at a time: each bill exists once and is debited once."""

from __future__ import annotations

import asyncio
import csv
import os
import random
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping
from pathlib import Path

import pytest

from enkash_async.sandbox import FaultKind, Sandbox

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")

ROWS = 120
ROUTES = ("fetch_bill", "create_bill", "confirm_debit", "search_bills")

#: The command, with windows that pass fifty times as fast.
COMMAND = """
import sys
from enkash_async._money import instants
instants.DURATIONS = instants.DURATIONS.scaled(1 / 50)
from enkash_async.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


async def start(environ: Mapping[str, str], *argv: str) -> Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", COMMAND, *argv),
        env={**os.environ, **environ},
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
    )


async def killed(sandbox: Sandbox, environ: Mapping[str, str], argv: tuple[str, ...], route: str, count: int) -> None:
    """Start two runs, and kill both at a request of a route."""
    sandbox.counts.clear()
    runs = [await start(environ, *argv) for _ in range(2)]
    ends = [asyncio.create_task(run.communicate()) for run in runs]
    async with asyncio.timeout(60):
        while sandbox.counts[route] < count and not all(end.done() for end in ends):
            await asyncio.sleep(0.001)
    for run in runs:
        if run.returncode is None:
            run.kill()
    await asyncio.gather(*ends)


async def test_runs_that_are_killed_two_at_a_time(tmp_path: Path) -> None:
    """The last run ends with 0, its file says PAID in each row, and EnKash debited each bill once."""
    chance = random.Random(20261130)
    file = tmp_path / "november.csv"
    rows = "".join(f"inv-{number},2001,{900_000_000 + number}\n" for number in range(ROWS))
    file.write_text(f"reference,biller_id,consumer_number\n{rows}")
    argv = ("pay", str(file), "--settle", "5", "--timeout", "20")
    async with Sandbox(repeat_debits=True, settle_after=0.3, read_lag=0.1, search_lag=0.15) as sandbox:
        environ = {**sandbox.environ(), "ENKASH_STORE_URL": f"sqlite://{tmp_path}/store.sqlite3"}
        for number in range(12):
            route = ROUTES[number % len(ROUTES)]
            if route == "confirm_debit":
                sandbox.faults.add("confirm_debit", FaultKind.LATE, delay=chance.random() * 2.5)
            await killed(sandbox, environ, argv, route, chance.randint(1, 30 if route in ROUTES[:2] else 1))
            sandbox.faults.clear()
        for _ in range(5):
            run = await start(environ, *argv)
            out, err = await asyncio.wait_for(run.communicate(), 60)
            if run.returncode == 0:
                break
        await sandbox.late_work()
        assert run.returncode == 0, out + err
        assert len(sandbox.debits) == ROWS
        assert set(sandbox.debits.values()) == {1}
    with (tmp_path / "november.result.csv").open(encoding="utf-8-sig", newline="") as told:
        assert {row["result_outcome"] for row in csv.DictReader(told)} <= {"PAID", "ALREADY_PAID"}
