"""The default store: a file that all processes of this user share."""

from __future__ import annotations

import os
import threading
from logging import getLogger
from pathlib import Path

from enkash_async.errors import ConfigurationError
from enkash_async.stores.filesystems import check_local, make_file
from enkash_async.stores.memory import FallbackStore
from enkash_async.stores.sqlite import SQLiteStore, user_store_path
from enkash_async.stores.store import Store

__all__ = ["default_store"]

_log = getLogger("enkash_async")


_fallback = FallbackStore()
_lock = threading.Lock()
_told: set[str] = set()


def default_store(*, nothing_pending: bool = False) -> Store:
    """Return the store in the SQLite file of this user.

    If the file cannot be made, as in a read-only container, log a warning once and return a `FallbackStore`.

    Args:
        nothing_pending: Declare that no confirmation of a debit is under way anywhere.
    """
    try:
        path = user_store_path()
        why = _flaw(path)
    except ConfigurationError as problem:
        why = str(problem)
    if why is None:
        return SQLiteStore(path, nothing_pending=nothing_pending)
    with _lock:
        is_new = why not in _told
        _told.add(why)
    if is_new:
        _log.warning(
            "no file to share tokens in (%s): every process logs in for itself, and guards only itself; "
            "set ENKASH_STORE_URL, such as sqlite:///path/to/file, redis://host or postgresql://host/database, or "
            "memory: to share nothing",
            why,
        )
    return _fallback


def _flaw(path: Path) -> str | None:
    """Return why a file cannot be made or written; None if it can."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        check_local(path)
        make_file(path)
    except OSError as problem:
        return f"{path}: {problem.strerror or problem}"
    return None if os.access(path, os.R_OK | os.W_OK) else f"{path}: it may not be read and written"
