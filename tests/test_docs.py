"""The pages in `docs/`: their Python runs, and their tables agree with the code."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from stores.lives import full_life

from enkash_async import RedisTokenStore, TokenSealer
from enkash_async.cli import enkash
from enkash_async.sandbox import Sandbox

from servers import Server

PAGES = sorted((Path(__file__).parents[1] / "docs").glob("*.md"))
BLOCKS = [
    pytest.param(block, id=f"{page.name} {number}")
    for page in PAGES
    for number, block in enumerate(re.findall(r"(?s)```python\n(.*?)```", page.read_text(encoding="utf-8")), 1)
]
REDIS_PAGE = next(page for page in PAGES if page.name == "redis.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("block", BLOCKS)
async def test_a_python_block_runs(block: str, redis_server: Server) -> None:
    """Each block runs as a script, with warnings as errors, against the sandbox and a real Redis."""
    async with Sandbox(settle_after=0.1) as sandbox:
        shared = {
            "ENKASH_REDIS_URL": redis_server.url,
            "ENKASH_TOKEN_KEYS": TokenSealer.generate_key(),
            "ENKASH_WEBHOOK_KEY": "made-up-webhook-key",
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "error", "-c", block),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **sandbox.environ(), **shared},
        )
        out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()


def test_the_page_on_redis_names_every_key(redis_server: Server) -> None:
    """The page lists exactly the keys that the store writes, in the same order."""
    from enkash_async.tokens._redis import _KEYS  # noqa: PLC0415 (private: nobody else needs the names)

    assert re.findall(r"\| `…:(\w+)` \|", REDIS_PAGE) == list(_KEYS)


def test_the_page_on_redis_names_commands_that_exist() -> None:
    """The page names exactly the commands below `enkash token`."""
    token = enkash.commands["token"]
    named = re.findall(r"enkash token ([a-z-]+)", REDIS_PAGE)
    assert set(named) == set(token.commands)  # type: ignore[attr-defined]


async def test_the_permissions_on_the_page_are_enough(redis_server: Server) -> None:
    """A user made by the pasted line can run through a token's whole life."""
    (line,) = re.findall(r"(?m)^ACL SETUSER .*$", REDIS_PAGE)
    words = line.replace(">password", ">made-up").split()
    try:
        redis_server.ask(*words)
        store = RedisTokenStore.from_url(redis_server.url.replace("//", "//enkash:made-up@"))
        await full_life(store)
        await store.aclose()
    finally:
        redis_server.ask("ACL", "DELUSER", "enkash")
