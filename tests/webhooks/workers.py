"""A worker process that receives posts over HTTP, records its handler's work, and ends when the test hangs up.

`python workers.py <URL of Redis> <seconds of lease> <file for notes>` prints the port that it listens on.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from aiohttp import web

from enkash_async.webhooks import BillEvent, RedisDedupe, WebhookReceiver, WebhookVerifier, aiohttp_handler

__all__ = ["HEADER", "KEY", "OnFile"]

HEADER, KEY = "X-Webhook-Key", "made-up-key-of-the-fleet"

_LIFETIME = 90  # seconds after which a worker that nobody ends is ended
_WORK = 0.005  # seconds that handling an event takes, so that there is always some in hand
_PATIENCE = 5.0  # seconds for a reply of Redis: on a busy machine, 0.5 would now and then lose a commit


class OnFile:
    """A handler that writes each beginning and end to a file, which survives a kill of its process."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    async def __call__(self, event: BillEvent) -> None:
        self._note("begin", event)
        await asyncio.sleep(_WORK)
        self._note("end", event)

    def _note(self, word: str, event: BillEvent) -> None:
        os.write(self._file, f"{word} {event.bill.utility_enkash_id}\n".encode())


async def main(redis_url: str, lease: float, notes: Path) -> None:
    """Receive posts until standard input ends."""
    dedupe = RedisDedupe(redis_url, lease=lease, timeout=_PATIENCE)
    receiver = WebhookReceiver(WebhookVerifier({HEADER: KEY}), on_bill=OnFile(notes), dedupe=dedupe)
    app = web.Application()
    app.router.add_post("/enkash", aiohttp_handler(receiver))
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()
    await dedupe.aclose()


if __name__ == "__main__":
    signal.alarm(_LIFETIME)
    asyncio.run(main(sys.argv[1], float(sys.argv[2]), Path(sys.argv[3])))
