"""The README: its Python runs, and its lists agree with the code."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from enkash_async import Routes, errors
from enkash_async.sandbox import Sandbox

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"(?s)```python\n(.*?)```", README)


@pytest.mark.parametrize("block", BLOCKS, ids=[f"block {number}" for number in range(1, len(BLOCKS) + 1)])
async def test_a_python_block_runs(block: str, tmp_path: Path) -> None:
    """Each block runs as a script, with warnings as errors, against the sandbox and a file of its own."""
    own = {"ENKASH_STORE_URL": f"sqlite:///{tmp_path}/store.sqlite3", "ENKASH_WEBHOOK_KEY": "made-up-webhook-key"}
    async with Sandbox(settle_after=0.1, repeat_debits=True) as sandbox:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "error", "-c", block),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **sandbox.environ(), **own},
        )
        out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()


def test_there_are_python_blocks() -> None:
    """The README has blocks, or the test above would pass by finding none."""
    assert len(BLOCKS) >= 5


def test_the_first_line_says_unofficial() -> None:
    """A reader learns in the first line that EnKash does not stand behind this package."""
    first = README.splitlines()[0]
    assert "unofficial" in first
    assert "not affiliated" in first


def test_set_up_has_two_commands_of_one_line() -> None:
    """The first command runs the demo and the second the tests."""
    (part,) = re.findall(r"(?s)# Set up\n(.*?)\n# ", README)
    first, second = re.findall(r"(?s)```sh\n(.*?)```", part)
    assert first.count("\n") == second.count("\n") == 1
    assert first.strip().endswith("enkash_async demo")
    assert "pytest" in second


def test_the_drawing_of_errors_is_that_of_the_code() -> None:
    """The README draws exactly the classes of the code, as the module's docstring does."""
    (drawing,) = re.findall(r"(?s)```\n(EnkashError\n.*?)```", README)
    kinds = {*errors.__all__, "BulkError"} - {"RetryAdvice"}
    assert set(re.findall(r"\w+Error", drawing)) - {"ValueError", "TimeoutError"} == kinds
    assert set(re.findall(r"\w+Error", errors.__doc__ or "")) - {"ValueError", "TimeoutError"} == kinds


def test_the_unverified_routes_are_named() -> None:
    """The README warns the users of these routes."""
    for name in Routes.unverified():
        assert f"{name}=…" in README
