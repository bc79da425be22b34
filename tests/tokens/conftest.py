"""What the tests of the token machinery share."""

from __future__ import annotations

import gc
import logging
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tokens.doubles import AwayStore, Clock
from tokens.outages import Outage

from support import alarm


@pytest.fixture(autouse=True)
def no_hanging() -> Iterator[None]:
    """Fail a test that hangs, because a forgotten waiter is the likely defect here."""
    with alarm(30):
        yield


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def outage(clock: Clock) -> Outage:
    return Outage(clock, AwayStore(clock=clock))


@pytest.fixture(autouse=True)
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Callers who could take the old token, and closing providers, wait for 20 ms, not for two seconds."""
    monkeypatch.setattr("enkash_async.tokens._provider._PATIENCE", 0.02)
    monkeypatch.setattr("enkash_async.tokens._provider._GRACE", 0.02)


@pytest.fixture
def silent_asyncio(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail a test during which asyncio logs, such as «Task exception was never retrieved»."""
    gc.freeze()  # so that collecting takes no time, having only this test's objects to look at
    yield
    gc.collect()  # asyncio speaks up when the task is collected
    gc.unfreeze()
    records = (*caplog.get_records("call"), *caplog.records)
    said = [record.getMessage() for record in records if record.name == "asyncio" and record.levelno > logging.INFO]
    assert said == []


# The alarm ends a script that hangs; it is not handed down to a child.
_PRELUDE = """
import asyncio, contextvars, os, signal, sys, threading, time
from tokens.doubles import Clock, Login, SpyStore, refused, settle, until
from enkash_async._support.clock import instant
from enkash_async.errors import TokenError
from enkash_async.stores import MemoryStore
from enkash_async.tokens import InMemoryTokenProvider, StoreTokenProvider
signal.alarm(15)

def in_child(work):
    # Return what a forked child says that it has got.
    reading, writing = os.pipe()
    if os.fork() == 0:
        signal.alarm(8)
        os.write(writing, str(work()).encode())
        sys.exit()
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    os.wait()
    return said

"""


@pytest.fixture
def run_script() -> Callable[[str], str]:
    """Run a script in its own Python, because it forks or could hang, and return what it prints."""

    def run(script: str) -> str:
        done = subprocess.run(
            [sys.executable, "-u", "-W", "ignore::DeprecationWarning", "-c", _PRELUDE + textwrap.dedent(script)],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout.strip()

    return run
