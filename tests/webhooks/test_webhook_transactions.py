"""The examples of `docs/webhooks.md` that handle an event exactly once, also when the worker is killed."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import attrs
import psycopg
import pytest
from webhooks.doubles import create

from enkash_async.sandbox import Sandbox

from servers import running_postgres
from support import alarm

PAGE = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text(encoding="utf-8")
SECTION = PAGE.split("\n# In your own transaction\n")[1].split("\n# ")[0]
EXAMPLES = dict(zip(("sqlite", "postgres"), re.findall(r"(?s)```python\n(.*?)```", SECTION), strict=True))

#: What a worker adds to an example: it asks about one bill, and is killed inside the handler or right after it.
_WORKER = """
import asyncio
import signal
import sys

from enkash_async import EnkashClient
from enkash_async._news import record
from enkash_async.webhooks import WebhookReceiver, WebhookVerifier

record.DURATIONS = record.Durations(lease=0.3, first_pause=0.01, longest_pause=0.05)


def handler(event):
    if sys.argv[2] == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    on_bill(event)
    if sys.argv[2] == "after":
        os.kill(os.getpid(), signal.SIGKILL)


async def main():
    async with EnkashClient.from_env() as client:
        receiver = WebhookReceiver(WebhookVerifier({"X-Key": "made-up"}), on_bill=handler, client=client)
        sys.exit(0 if await receiver.handle(sys.argv[1]) == 200 else 1)


asyncio.run(main())
"""


@attrs.frozen
class Invoices:
    """The user's database."""

    kind: str
    environ: dict[str, str]
    ask: Callable[[str], list[Any]]


@pytest.fixture(params=sorted(EXAMPLES))
def invoices(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Invoices]:
    """A database of each kind."""
    with alarm(60):
        if request.param == "sqlite":
            path = tmp_path / "invoices.sqlite3"

            def ask(statement: str) -> list[Any]:
                with closing(sqlite3.connect(path)) as database, database:
                    return database.execute(statement).fetchall()

            yield Invoices("sqlite", {"INVOICES": str(path)}, ask)
            return
        with running_postgres() as server:

            def ask_postgres(statement: str) -> list[Any]:
                with psycopg.connect(server.dsn) as database:
                    cursor = database.execute(statement.encode())
                    return cursor.fetchall() if cursor.description else []

            yield Invoices("postgres", {"INVOICES_DSN": server.dsn}, ask_postgres)


async def test_an_event_is_handled_once_although_workers_are_killed(
    sandbox: Sandbox, invoices: Invoices, tmp_path: Path
) -> None:
    """One dies before its transaction, one between transaction and the SDK's record, and two more workers follow."""
    bill = create(sandbox)
    sandbox.ledger.confirm([bill])
    reference = sandbox.ledger.get(bill).reference_id
    environ = {
        **os.environ,
        **sandbox.environ(),
        **invoices.environ,
        "ENKASH_STORE_URL": f"sqlite:///{tmp_path}/store.sqlite3",
    }
    code = EXAMPLES[invoices.kind]
    await asyncio.to_thread(subprocess.run, [sys.executable, "-c", code], env=environ, check=True)  # makes the tables
    invoices.ask(f"INSERT INTO invoices VALUES ('{reference}', 'open', 0)")

    async def worker(dies: str) -> int:
        argv = (sys.executable, "-c", code + _WORKER, bill, dies)
        return await (await asyncio.create_subprocess_exec(*argv, env=environ)).wait()

    assert await worker("before") == -signal.SIGKILL
    assert invoices.ask("SELECT state, mails FROM invoices") == [("open", 0)]
    assert await worker("after") == -signal.SIGKILL
    assert invoices.ask("SELECT state, mails FROM invoices") == [("PAID", 1)]
    assert [await worker("never") for _ in range(2)] == [0, 0]
    assert invoices.ask("SELECT state, mails FROM invoices") == [("PAID", 1)]
    assert len(invoices.ask("SELECT key FROM heard")) == 1
