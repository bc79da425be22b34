"""The job of the README that pays fifty bills: killed and run again at once, and run twice at once."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from pathlib import Path

import pytest
from tokens.doubles import until

from enkash_async.sandbox import FaultKind, Sandbox

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")

_TESTS = Path(__file__).parents[1]
_README = (_TESTS.parent / "README.md").read_text(encoding="utf-8")
_LATE = 4.0  # seconds by which EnKash is late: 120 in the scale of the job
_BILLS = 50


async def _started(job: Path, sandbox: Sandbox) -> Process:
    places = os.pathsep.join(filter(None, (str(_TESTS.parent), str(_TESTS), os.environ.get("PYTHONPATH"))))
    environ = {**os.environ, **sandbox.environ(), "PYTHONPATH": places}
    environ["ENKASH_STORE_URL"] = f"sqlite:///{str(job.with_name('store.sqlite3')).lstrip('/')}"
    program = str(Path(__file__).with_name("scaled.py"))
    return await asyncio.create_subprocess_exec(sys.executable, program, str(job), stdout=PIPE, env=environ)


async def _killed(job: Path, sandbox: Sandbox, when: Callable[[], bool]) -> None:
    process = await _started(job, sandbox)
    try:
        await until(when)
    finally:
        process.kill()
        await process.communicate()


async def test_the_readmes_job_is_killed_and_run_again_at_once_and_twice_at_once(tmp_path: Path) -> None:
    """Each bill is debited once, and the last run says that all are paid."""
    (code,) = [block for block in re.findall(r"(?s)```python\n(.*?)```", _README) if "pay_many(" in block]
    job = tmp_path / "job.py"
    job.write_text(code, encoding="utf-8")
    async with Sandbox(repeat_debits=True, settle_after=0.1, read_lag=0.1, search_lag=0.2) as sandbox:
        counts = sandbox.counts
        sandbox.faults.add("confirm_debit", FaultKind.LATE, delay=_LATE, times=2)
        await _killed(job, sandbox, lambda: counts["create_bill"] >= _BILLS // 2)
        await _killed(job, sandbox, lambda: counts["confirm_debit"] >= 1)
        before = counts["fetch_bill"] + counts["search_bills"] + counts["bill"] + counts["bill_by_reference"]
        await _killed(job, sandbox, lambda: sum(counts.values()) - counts["confirm_debit"] > before + 20)
        runs = [await _started(job, sandbox) for _ in range(2)]
        for run in runs:
            paid, others = re.findall(r"\d+", (await run.communicate())[0].decode())
            assert int(paid) + int(others) == _BILLS  # what the one had in hand, the other may not know to be paid
        last = await _started(job, sandbox)
        assert (await last.communicate())[0].decode() == f"{_BILLS} paid, 0 not\n"
        await sandbox.late_work()
        assert list(sandbox.debits.values()) == [1] * _BILLS
