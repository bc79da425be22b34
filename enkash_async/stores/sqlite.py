"""A store in one file, which all processes of a machine share without any server."""

from __future__ import annotations

import functools
import os
import random as _random
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import platformdirs

from enkash_async._support.clock import machine
from enkash_async._support.secret import HiddenStr
from enkash_async.errors import ConfigurationError
from enkash_async.stores.boot import boot_id
from enkash_async.stores.sqlite_clock import StoreClock
from enkash_async.stores.sqlite_file import SQLiteFile
from enkash_async.stores.store import Cell, Change
from enkash_async.stores.workers import Workers

__all__ = ["SQLiteStore", "user_store_path"]

_SWEEP_EVERY = 256  # calls of `swap` in one process, after which it removes expired records
_KEYS_AT_ONCE = 500  # keys in one statement; older builds of SQLite take at most 999 parameters

_LIVES = "(expires IS NULL OR expires > ?)"


def user_store_path() -> Path:
    """Return the default path of this user's store, such as `~/.local/state/enkash-async/store.sqlite3`.

    Raises:
        ConfigurationError: The user has no home directory, for example in a container.
    """
    try:
        folder = Path(platformdirs.user_state_dir("enkash-async", appauthor=False))
    except RuntimeError:  # newer versions of platformdirs raise this without a home; older ones return a relative path
        folder = Path()
    # With HOME='' the folder would be made in the root folder.
    is_homeless = os.environ.get("HOME") == "" and not os.environ.get("XDG_STATE_HOME", "").strip()
    if is_homeless or not folder.is_absolute():
        raise ConfigurationError("there is no home directory for a store: HOME must be an absolute path")
    return folder / "store.sqlite3"


class SQLiteStore:
    """Shares records between all processes of one machine, through one file.

    A change is on disk when `swap` returns (WAL, `synchronous=FULL`). Only the owner of the file can read it. The file
    must be on a local disk, since SQLite cannot share a file between machines.

    Args:
        path: Path of the file; its folder is made if it does not exist.
        nothing_pending: Declare that no confirmation of a debit is under way anywhere; see `Store`.
        patience: Seconds to wait for the lock while other processes write.
        clock: Returns the seconds since the machine was started, including those in which it slept.
        boot: Returns the id of the machine's current boot.
        wall: Returns the seconds since 1970.
        random: Returns a number in [0, 1).

    Raises:
        ConfigurationError: `path` is not a path, or its `~` leads to no home directory.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        nothing_pending: bool = False,
        patience: float = 5.0,
        clock: Callable[[], float] = machine,
        boot: Callable[[], str] = boot_id,
        wall: Callable[[], float] = time.time,
        random: Callable[[], float] = _random.random,
    ) -> None:
        if isinstance(path, str):
            path = HiddenStr(path)  # a URL given by mistake may hold a password, and a rendered traceback would show it
        self.path: Path = _checked(path)
        self.nothing_pending = nothing_pending
        store_clock = StoreClock(clock=clock, boot=boot, wall=wall)
        self._file = SQLiteFile(self.path, clock=store_clock, patience=patience, random=random)
        self._workers = Workers(1)
        self._swaps = 0

    def __repr__(self) -> str:
        return f"SQLiteStore({str(getattr(self, 'path', '…'))!r})"  # after a failed `__init__`, there may be no path

    async def read(self, keys: Sequence[str]) -> Mapping[str, Cell]:
        """Return the cell of every key."""
        job = functools.partial(_read, list(keys))
        return await self._workers.run(lambda: self._file.transact(job, writes=False))

    async def swap(self, changes: Sequence[Change]) -> Sequence[bool]:
        """Make each change whose key still holds exactly `old`; the changes are on disk when this returns."""
        self._swaps += 1
        job = functools.partial(_swap, list(changes), self._swaps % _SWEEP_EVERY == 0)
        return await self._workers.run(lambda: self._file.transact(job, writes=True))

    async def aclose(self) -> None:
        """Close the file; a second call does nothing."""
        await self._workers.aclose(self._file.close)


def _checked(path: str | Path) -> Path:
    """Return an absolute path.

    Raises:
        ConfigurationError: The value is not a path, or its `~` leads to no home directory.
    """
    text = HiddenStr(path) if isinstance(path, (str, Path)) else ""
    if text in {"", ".", ":memory:"} or "://" in text or "\0" in text:
        raise ConfigurationError("path must be that of a file; for a URL there is open_store, for memory MemoryStore")
    if not text.startswith("~"):
        return Path(text).absolute()
    # Refuses HOME='', since the file would be made in the root folder, and a relative HOME, since the path would depend
    # on the working directory.
    homeless = text.startswith("~/") and os.environ.get("HOME") == ""
    expanded = Path(os.path.expanduser(text))  # noqa: PTH111 (Path.expanduser raises what is hard to tell apart)
    if homeless or not expanded.is_absolute():
        raise ConfigurationError("path begins with ~, and there is no such home directory: HOME must be absolute")
    return expanded


def _read(keys: list[str], connection: sqlite3.Connection, now: float) -> dict[str, Cell]:
    values: dict[str, bytes] = {}
    for start in range(0, len(keys), _KEYS_AT_ONCE):
        some = keys[start : start + _KEYS_AT_ONCE]
        marks = ",".join("?" * len(some))
        statement = f"SELECT key, value FROM records WHERE key IN ({marks}) AND {_LIVES}"  # noqa: S608 (inserts only question marks)
        values.update(connection.execute(statement, (*some, now)))
    return {key: Cell(values.get(key), now) for key in keys}


def _swap(changes: list[Change], sweeps: bool, connection: sqlite3.Connection, now: float) -> list[bool]:
    if sweeps:
        connection.execute("DELETE FROM records WHERE expires <= ?", (now,))
    return [_change(change, connection, now) for change in changes]


def _change(change: Change, connection: sqlite3.Connection, now: float) -> bool:
    statement = f"SELECT value FROM records WHERE key = ? AND {_LIVES}"  # noqa: S608 (inserts only a constant)
    held = connection.execute(statement, (change.key, now)).fetchone()
    if (None if held is None else held[0]) != change.old:
        return False
    if change.new is None:
        connection.execute("DELETE FROM records WHERE key = ?", (change.key,))
    else:
        end = None if change.keep is None else now + change.keep
        connection.execute("REPLACE INTO records (key, value, expires) VALUES (?, ?, ?)", (change.key, change.new, end))
    return True
