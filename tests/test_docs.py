"""The pages in `docs/`: their Python runs, and their tables agree with the code."""

from __future__ import annotations

import asyncio
import inspect
import os
import re
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from enkash_async import PostgresStore, Routes, TokenSealer
from enkash_async.cli import enkash
from enkash_async.sandbox import FaultKind, Sandbox
from enkash_async.sandbox._catalogue import BILLERS
from enkash_async.stores import Change, record_key
from enkash_async.stores.postgres import table_statement

from servers import Server, running_postgres

PAGES = sorted((Path(__file__).parents[1] / "docs").glob("*.md"))
BLOCKS = [
    pytest.param(block, id=f"{page.name} {number}")
    for page in PAGES
    for number, block in enumerate(re.findall(r"(?s)```python\n(.*?)```", page.read_text(encoding="utf-8")), 1)
]
STORES_PAGE = next(page for page in PAGES if page.name == "stores.md").read_text(encoding="utf-8")
SANDBOX_PAGE = next(page for page in PAGES if page.name == "sandbox.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("block", [block for block in BLOCKS if "redis" in str(block.values[0]).lower()])
async def test_a_python_block_that_names_redis_runs(block: str, redis_server: Server, tmp_path: Path) -> None:
    """It runs as a script, with warnings as errors, against the sandbox, a file and a real Redis."""
    await _run(block, tmp_path, {"ENKASH_REDIS_URL": redis_server.url})


@pytest.mark.parametrize("block", [block for block in BLOCKS if "redis" not in str(block.values[0]).lower()])
async def test_a_python_block_runs(block: str, tmp_path: Path) -> None:
    """Each other block runs as a script, with warnings as errors, against the sandbox and a file."""
    await _run(block, tmp_path, {})


async def _run(block: str, tmp_path: Path, servers: dict[str, str]) -> None:
    async with Sandbox(settle_after=0.1, repeat_debits=True) as sandbox, AsyncExitStack() as stack:
        shared = {
            "ENKASH_STORE_URL": f"sqlite:///{tmp_path}/store.sqlite3",
            "ENKASH_TOKEN_KEYS": TokenSealer.generate_key(),
            "ENKASH_WEBHOOK_KEY": "made-up-webhook-key",
            "ENKASH_NOTHING_PENDING": "1",  # the stores are new
            "INVOICES": f"{tmp_path}/invoices.sqlite3",
            **servers,
        }
        if "INVOICES_DSN" in block:
            shared["INVOICES_DSN"] = stack.enter_context(running_postgres()).dsn
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "error", "-c", block),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **sandbox.environ(), **shared},
        )
        out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()
    assert b"Exception ignored" not in out, out.decode()


def test_the_page_on_stores_names_the_key_of_a_record() -> None:
    """An operator who looks for it in a store finds it."""
    kind = record_key("token", "account").rpartition(":")[0]
    assert f"`{kind}:<hash>`" in STORES_PAGE


def test_the_page_on_stores_names_commands_that_exist() -> None:
    """The page names exactly the commands below `enkash token`."""
    token = enkash.commands["token"]
    named = re.findall(r"enkash token ([a-z-]+)", STORES_PAGE)
    assert set(named) == set(token.commands)  # type: ignore[attr-defined]


async def test_the_statement_and_the_grants_on_the_page_are_enough() -> None:
    """A user with these rights, on the table that the page shows, can do all that a store does."""
    (sql,) = re.findall(r"(?s)```sql\n(.*?)```", STORES_PAGE)
    assert sql.startswith(table_statement())
    with running_postgres() as server:
        server.ask("CREATE ROLE enkash LOGIN")
        for statement in sql.strip().splitlines():
            server.ask(statement)
        store = PostgresStore(server.dsn.replace("owner", "enkash"))
        for old, new in ((None, b"first"), (b"first", b"second"), (b"second", None)):
            for _ in range(100):  # so many that the store also sweeps
                await store.read(["enkash:docs:v2:key"])
                other = Change("enkash:docs:v2:other", b"held by nobody", b"new")
                assert await store.swap([other]) == [False]
            assert await store.swap([Change("enkash:docs:v2:key", old, new, 60)]) == [True]
        await store.aclose()


def _first_cells(heading: str) -> str:
    """Return the first column of the table below a heading of the sandbox's page."""
    section = SANDBOX_PAGE.split(f"\n# {heading}\n")[1].split("\n# ")[0]
    return "\n".join(line.split("|")[1] for line in section.splitlines() if line.startswith("|"))


def test_the_page_of_the_sandbox_has_every_route_and_every_fault() -> None:
    """The routes are named in code marks; the table has the kinds that a request can meet, and the text the others."""
    assert set(re.findall(r"`(\w+)`", _first_cells("Faults"))) == {kind.name for kind in FaultKind.of("*")}
    for name in (*(kind.name for kind in FaultKind.of("webhook")), *Routes.__annotations__):
        assert f"`{name}`" in SANDBOX_PAGE


def test_the_page_of_the_sandbox_has_every_option_and_every_biller() -> None:
    """A reader finds each keyword argument, and what each biller does."""
    assert set(re.findall(r"`(\w+)`", _first_cells("Options"))) == set(inspect.signature(Sandbox).parameters)
    assert set(re.findall(r"\d+", _first_cells("Billers"))) == {str(one.biller_id) for one in BILLERS}
