"""The project's sandbox as a server in a process of its own: an EnKash that checks tokens and looks bills up."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

from benchmarks._server import CREDENTIALS, Server
from enkash_async.sandbox import Sandbox

__all__ = ["sandboxing"]


async def _serve(bills: int) -> None:
    async with Sandbox(credentials=CREDENTIALS, token_style="snake", settle_after=0.0) as sandbox:  # noqa: S106
        ledger, numbers = sandbox.ledger, iter(range(bills))
        ledger.new_id = lambda: f"{next(numbers):08d}"
        ledger.max_amount = Decimal(10) ** 12
        consumer = ledger.enrol(2001, {"cn": "CN123456789"})
        due = ledger.due(consumer)
        for number in range(bills):
            ledger.create(consumer, due, reference_id=f"inv-{number:08d}")
        print(sandbox.base_url, flush=True)
        await asyncio.to_thread(sys.stdin.read)  # returns when the parent process is gone


@contextlib.contextmanager
def sandboxing(bills: int) -> Iterator[Server]:
    """Run the sandbox with bills whose ids count up from `UTIL-00000000`.

    Args:
        bills: Number of bills.
    """
    command, top = [sys.executable, "-m", "benchmarks._sandbox", str(bills)], Path(__file__).parents[1]
    with subprocess.Popen(  # noqa: S603 (our own module)
        command, cwd=top, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("the sandbox has no pipes")
        try:
            yield Server(process.stdout.readline().strip())
        finally:
            process.stdin.close()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
