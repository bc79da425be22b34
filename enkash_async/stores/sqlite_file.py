"""One SQLite file: how it is opened, locked, used in transactions, and closed before a fork."""

from __future__ import annotations

import os
import random as _random
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from enkash_async._support.clock import loop_now
from enkash_async.errors import StoreError, StoreUnavailableError
from enkash_async.stores.filesystems import check_local, identity_of, make_file, make_private
from enkash_async.stores.sqlite_clock import OtherMachineError, StoreClock
from enkash_async.stores.sqlite_errors import is_busy, reason_of

__all__ = ["SQLiteFile"]

_T = TypeVar("_T")

_APPLICATION = 0x656E6B61  # PRAGMA application_id: «enka», which marks a store, unlike the databases of other programs
_FORMAT = 1  # PRAGMA user_version: the format of the tables
_BUSY_TIMEOUT = 0.25  # seconds for which SQLite itself waits for a lock, with pauses of fixed lengths
_LONGEST_PAUSE = 0.05  # seconds before the next try, multiplied by a random number, so that no process always loses
_TABLE = "CREATE TABLE records (key TEXT PRIMARY KEY, value BLOB NOT NULL, expires REAL) WITHOUT ROWID"
_INDEX = "CREATE INDEX records_by_end ON records (expires) WHERE expires IS NOT NULL"

Job = Callable[[sqlite3.Connection, float], _T]


class SQLiteFile:
    """Runs jobs in transactions on one file, one at a time, from any thread.

    Args:
        path: Path of the file.
        clock: Clock whose offset is kept in the file.
        patience: Seconds to wait for the lock while other processes write.
        random: Returns a number in [0, 1).
        sleep: Waits for a number of seconds.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: StoreClock,
        patience: float,
        random: Callable[[], float] = _random.random,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._path = path
        self._clock = clock
        self._patience = patience
        self._random = random
        self._sleep = sleep
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self.lock: threading.Lock = threading.Lock()
        self._process: int = os.getpid()
        _forks.alive.add(self)

    def transact(self, job: Job[_T], *, writes: bool) -> _T:
        """Run a job in one transaction and return its result; when this returns, the job's changes are on disk.

        Args:
            job: Function of the connection and the time.
            writes: Whether the job may change records.

        Raises:
            StoreUnavailableError: The file cannot be used, or other processes keep it locked.
            StoreError: A newer version of this package has made the file.
        """
        end = loop_now() + self._patience
        while True:
            result, problem = self._try(job, writes)
            if problem is None:
                return result[0]
            if not is_busy(problem) or loop_now() >= end:
                raise StoreUnavailableError(self._told(reason_of(problem, self._patience)))
            self._sleep(_LONGEST_PAUSE * self._random())

    def close(self) -> None:
        """Close the connection; the next job opens a new one."""
        with self.lock:
            self.forget()

    def forget(self) -> None:
        """Close the connection. The caller must hold the lock."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def after_fork(self, *, is_closed: bool) -> None:
        """Close the child's copy of the parent's connection, and replace the lock.

        SQLite then forgets the locks that the parent holds, and the parent keeps them. If the parent was forked in the
        middle of a job, the copy cannot be closed, and this process can no longer use the file.

        Args:
            is_closed: Whether the parent closed the connection before the fork.
        """
        is_idle = is_closed or self.lock.acquire(blocking=False)
        self.lock = threading.Lock()
        self._process = os.getpid()
        if is_idle:
            self.forget()
        else:
            _forks.torn.add(self._path)

    def _try(self, job: Job[_T], writes: bool) -> tuple[list[_T], Exception | None]:
        """Return the result or the error. The caller raises the error, so that its traceback holds no records."""
        if self._process != os.getpid():  # C code forked this process without calling Python's fork hooks
            self.after_fork(is_closed=False)
        with self.lock:
            try:
                return [self._transact(job, writes)], None
            except (sqlite3.Error, OSError, OtherMachineError) as problem:
                if not is_busy(problem):
                    self.forget()
                return [], problem.with_traceback(None)

    def _transact(self, job: Job[_T], writes: bool) -> _T:
        connection = self._opened()
        connection.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
        try:
            now = self._clock.now(connection, writes=writes)
            if now is not None:
                result = self._done(job, connection, now)
                connection.execute("COMMIT")
                self._check_still_there(writes)
                return result
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        return self._transact(job, writes=True)  # after a reboot, the clock's row must be set first

    def _done(self, job: Job[_T], connection: sqlite3.Connection, now: float) -> _T:
        before = connection.total_changes
        result = job(connection, now)
        if connection.total_changes != before:
            self._clock.note(connection, now)
        return result

    def _check_still_there(self, writes: bool) -> None:
        """Raise if the file was removed or replaced during the job: no other process could see the job's changes."""
        if writes and identity_of(self._path) != self._identity:
            raise FileNotFoundError("it was removed while it was in use")

    def _opened(self) -> sqlite3.Connection:
        if self._path in _forks.torn:
            raise OSError("this process was forked by C code while it was in use: open the store after the fork")
        if self._connection is not None and identity_of(self._path) != self._identity:
            self.forget()
        if self._connection is None:
            self._connection = self._open()
            self._identity = identity_of(self._path)
        return self._connection

    def _open(self) -> sqlite3.Connection:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        check_local(self._path)
        make_file(self._path)
        # isolation_level=None: a transaction begins only where this module begins one.
        connection = sqlite3.connect(
            f"{self._path.as_uri()}?mode=rw",
            timeout=_BUSY_TIMEOUT,
            isolation_level=None,
            check_same_thread=False,
            uri=True,
        )
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        _check_ours(connection)
        make_private(self._path)
        if connection.execute("PRAGMA journal_mode = WAL").fetchone() != ("wal",):
            raise OSError("the file system has no shared memory, which SQLite's WAL needs")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA fullfsync = ON")  # macOS: after fsync alone, data may still be in the disk's cache
        if _format_of(connection) == 0:
            connection.execute("BEGIN IMMEDIATE")
            if _format_of(connection) == 0:  # no other process has made the tables meanwhile
                marks = (f"PRAGMA application_id = {_APPLICATION}", f"PRAGMA user_version = {_FORMAT}")
                for statement in (_TABLE, _INDEX, *marks):
                    connection.execute(statement)
                self._clock.create(connection)
            connection.execute("COMMIT")
        if _format_of(connection) > _FORMAT:
            raise StoreError(f"a newer version of enkash-async has made {self._path}; it is left as it is")

    def _told(self, reason: str) -> str:
        return (
            f"the store {self._path} cannot be used: {reason}. Or set ENKASH_STORE_URL to another file "
            "(sqlite:///path), to redis://… or to postgresql://…"
        )


def _check_ours(connection: sqlite3.Connection) -> None:
    """Refuse another program's database before anything in it is changed."""
    connection.execute("BEGIN")  # sees all or nothing of a store that another process makes now
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    is_empty = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
    connection.execute("COMMIT")
    if application != _APPLICATION and not (application == 0 and is_empty):
        raise OSError("it is the database of another program")


def _format_of(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


class _Forks:
    """Closes the SQLite files before the process forks.

    Prevents a double debit: a child inherits SQLite's notes of the locks that it holds, but not the locks themselves.
    The child would write without a lock, and two processes could send a debit for one record. So no file may be open
    when a child begins to work.
    """

    def __init__(self) -> None:
        self.alive: weakref.WeakSet[SQLiteFile] = weakref.WeakSet()
        self.torn: set[Path] = set()  # files closed to this process: SQLite's notes of their locks are stale
        self._lock = threading.Lock()
        self._held: list[SQLiteFile] = []

    def before(self) -> None:
        """Wait until the job of each file has ended, and close the file."""
        self._lock.acquire()
        self._held.extend(self.alive)
        for file in self._held:
            file.lock.acquire()
            file.forget()

    def in_parent(self) -> None:
        """Release the locks, so that jobs can run; the next job on a file opens the file again."""
        while self._held:
            self._held.pop().lock.release()
        self._lock.release()

    def in_child(self) -> None:
        """Replace the locks, and close what is open: C code, such as uWSGI's, may fork without calling `before`."""
        closed, self._held = self._held, []
        self._lock = threading.Lock()
        for file in list(self.alive):
            file.after_fork(is_closed=file in closed)


_forks = _Forks()

if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(before=_forks.before, after_in_parent=_forks.in_parent, after_in_child=_forks.in_child)
