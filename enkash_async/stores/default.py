"""The store that is used where none is named: a file that all processes of this user share."""

from __future__ import annotations

import os
import threading
from logging import getLogger
from pathlib import Path

from enkash_async.stores.filesystems import check_local
from enkash_async.stores.memory import MemoryStore
from enkash_async.stores.sqlite import SQLiteStore, user_store_path
from enkash_async.stores.store import Store

__all__ = ["FallbackStore", "default_store"]

_log = getLogger("enkash_async")


class FallbackStore(MemoryStore):
    """The memory of this process in the place of a file that cannot be made: it serves tokens, and no debits."""


_fallback = FallbackStore()
_lock = threading.Lock()
_told: set[str] = set()


def default_store(*, nothing_pending: bool = False) -> Store:
    """Return the SQLite file of this user.

    Where no file can be made, as in a read-only container, the log says so once, and the memory of the process takes
    its place for tokens alone.

    Args:
        nothing_pending: Declare that no confirmation of a debit is under way anywhere.
    """
    path = user_store_path()
    if (why := _flaw(path)) is None:
        return SQLiteStore(path, nothing_pending=nothing_pending)
    with _lock:
        is_new = str(path) not in _told
        _told.add(str(path))
    if is_new:
        _log.warning(
            "no file to share tokens in at %s (%s): every process logs in for itself, and guards only itself; "
            "set ENKASH_STORE_URL, such as sqlite:///path/to/file, redis://host or postgresql://host/database, or "
            "memory: to share nothing",
            path,
            why,
        )
    return _fallback


def _flaw(path: Path) -> str | None:
    """Return why a file cannot be made or written, or None where it can."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        check_local(path)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as problem:
        return problem.strerror or str(problem)
    return None
