"""Starts processes from one that has imported everything already, which takes milliseconds."""

from __future__ import annotations

import functools
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path

import pytest

__all__ = ["begin", "finish"]

_TESTS = Path(__file__).parents[1]
_END_LIMIT = 10.0  # seconds
_STORES = ("enkash_async.stores.postgres", "enkash_async.stores.redis", "enkash_async.stores.sqlite")
_PRELOADED = ("fleet.workers", "fleet.controls", "fleet.enkash", *_STORES, "enkash_async.cli", "pytest")

# Starting a process also reaps ended ones, and two threads must not reap the same one.
_one_at_a_time = threading.Lock()


@functools.cache
def _processes() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    # Each process imports the main module of the tests anew: with pytest at hand, that takes no time.
    context.set_forkserver_preload([*_PRELOADED])
    with pytest.MonkeyPatch.context() as patch:
        # Up to Python 3.12 the fork server has not got this process's sys.path.
        places = [str(_TESTS), str(_TESTS.parent), os.environ.get("PYTHONPATH", "")]
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, places)))
        # A forked process ends without saving its coverage: measuring it would only make the workers slower.
        patch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
        forkserver.ensure_running()
    return context


def begin(main: Callable[[Connection], None]) -> tuple[ForkServerProcess, Connection]:
    """Start a process that runs a function, and return it with our end of its pipe."""
    ours, theirs = multiprocessing.Pipe()
    with theirs, _one_at_a_time:
        process = _processes().Process(target=main, args=(theirs,), daemon=True)
        process.start()
    return process, ours


def finish(processes: Sequence[ForkServerProcess]) -> list[int | None]:
    """Wait until the processes have ended, and return their exit codes; None for one that had to be killed."""
    deadline = time.monotonic() + _END_LIMIT
    while True:
        with _one_at_a_time:
            ends = [process.exitcode for process in processes]
        if None not in ends or time.monotonic() > deadline:
            break
        time.sleep(0.01)
    with _one_at_a_time:
        for process in processes:
            process.kill()  # a stopped process as well
            process.join()
            process.close()
    return ends
