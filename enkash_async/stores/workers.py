"""Runs blocking calls in threads, for callers in any event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from enkash_async._support.forks import reset_after_fork
from enkash_async.errors import StoreError

__all__ = ["Workers"]

_T = TypeVar("_T")


class Workers:
    """A few threads, started at the first call; a child process starts threads of its own.

    Args:
        number: Number of calls that may run at the same time; further calls wait in a queue.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._is_closed = False
        self.after_fork()
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Forget the parent's threads, which do not exist in a child process."""
        self._lock = threading.Lock()
        self._executor: ThreadPoolExecutor | None = None

    async def run(self, call: Callable[[], _T]) -> _T:
        """Run a call in a thread. Cancelling the caller does not stop a call that has begun.

        Raises:
            StoreError: `aclose` was called.
        """
        return await asyncio.get_running_loop().run_in_executor(self._threads(), call)

    async def aclose(self, last: Callable[[], None]) -> None:
        """Run one last call, and end the threads; a second `aclose` does nothing."""
        with self._lock:
            is_first, self._is_closed = not self._is_closed, True
        if is_first:
            executor = self._executor or ThreadPoolExecutor(1)
            try:
                await asyncio.get_running_loop().run_in_executor(executor, last)
            finally:
                executor.shutdown(wait=False)

    def _threads(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._is_closed:
                raise StoreError("the store is closed; make a new one")
            if self._executor is None:
                self._executor = ThreadPoolExecutor(self._number, thread_name_prefix="enkash-store")
            return self._executor
