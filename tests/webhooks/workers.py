"""A worker process that receives posts over HTTP, records its handler's work, and ends when the test hangs up.

`python workers.py <file for notes>` prints the port that it listens on. Variables name EnKash and the store.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

from aiohttp import web

from enkash_async import EnkashClient
from enkash_async._news import record
from enkash_async._news.record import Durations
from enkash_async.webhooks import BillEvent, WebhookReceiver, WebhookVerifier, aiohttp_handler

__all__ = ["HEADER", "KEY", "LEASE", "OnFile"]

HEADER, KEY = "X-Webhook-Key", "made-up-key-of-the-fleet"
LEASE = 4.0  # seconds: longer than a process waits for a busy machine

_LIFETIME = 900  # seconds after which a worker that nobody ends is ended
_WORK = 0.002  # seconds that handling an event takes, so that there is always some in hand


class OnFile:
    """A handler that writes each beginning and end to a file, which survives a kill of its process."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    async def __call__(self, event: BillEvent) -> None:
        self._note("begin", event)
        await asyncio.sleep(_WORK)
        self._note("end", event)

    def _note(self, word: str, event: BillEvent) -> None:
        bill = event.bill
        status = "" if bill.billpay_status is None else bill.billpay_status.value
        line = f"{time.monotonic_ns()} {word} {bill.utility_enkash_id} {status} {event.key}\n"
        os.write(self._file, line.encode())


async def main(notes: Path) -> None:
    """Receive posts until standard input ends."""
    record.DURATIONS = Durations(lease=LEASE, first_pause=0.005, longest_pause=0.1, looks=(0.01, 0.02))
    async with EnkashClient.from_env() as client:
        receiver = WebhookReceiver(WebhookVerifier({HEADER: KEY}), on_bill=OnFile(notes), client=client)
        app = web.Application()
        app.router.add_post("/enkash", aiohttp_handler(receiver))
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        print(runner.addresses[0][1], flush=True)
        await asyncio.to_thread(sys.stdin.read)
        await runner.cleanup()


if __name__ == "__main__":
    signal.alarm(_LIFETIME)
    asyncio.run(main(Path(sys.argv[1])))
