"""RESP2 and RESP3, parsed by hiredis and by redis-py itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from servers import Server

# hiredis is taken or not when redis is imported, hence a Python of its own.
_SCRIPT = """
import asyncio, sys
if sys.argv[1] == "without":
    sys.modules["hiredis"] = None
from redis.asyncio import Redis
from stores.lives import whole_life

async def main():
    for protocol in (2, 3):
        url = f"{sys.argv[2]}?protocol={protocol}"
        await whole_life(url, [])
        async with Redis.from_url(url) as client:
            await whole_life(client, [])
            connection = client.connection_pool._available_connections[0]
            print(type(connection._parser).__name__)
            said = await client.execute_command("CLIENT", "INFO")
            print(*(word for word in said.decode().split() if word.startswith("resp=")))

asyncio.run(main())
"""

_PARSERS = {
    "with": ["_AsyncHiredisParser", "_AsyncHiredisParser"],
    "without": ["_AsyncRESP2Parser", "_AsyncRESP3Parser"],
}


@pytest.mark.parametrize("hiredis", ["with", "without"])
def test_both_protocols_are_read_by_both_parsers(any_server: Server, tmp_path: Path, hiredis: str) -> None:
    """Workers share a token with the expected parser, over a URL and over a client of the application."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _SCRIPT, hiredis, any_server.url],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    two, three = _PARSERS[hiredis]
    assert done.stdout.split() == [two, "resp=2", three, "resp=3"]
