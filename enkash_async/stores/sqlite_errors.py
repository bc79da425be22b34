"""The meaning of errors that a SQLite file raises."""

from __future__ import annotations

import sqlite3

from enkash_async.stores.sqlite_clock import OTHER_MACHINE, OtherMachineError

__all__ = ["is_busy", "reason_of"]

_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_REASONS = {
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_READONLY: "it is read-only",
    sqlite3.SQLITE_CORRUPT: "it is damaged; move it away",
    sqlite3.SQLITE_NOTADB: "it is damaged, or no SQLite file; move it away",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened or made",
    sqlite3.SQLITE_IOERR: "the disk fails or is full",
}


def is_busy(problem: Exception) -> bool:
    """Whether an exception says that another process has locked the file."""
    return (getattr(problem, "sqlite_errorcode", 0) & 0xFF) in _BUSY


def reason_of(problem: Exception, patience: float) -> str:
    """Return a message for people that says what an exception means.

    Args:
        problem: Exception of SQLite, of the operating system, or of the store's clock.
        patience: Seconds for which the store has waited for the lock.
    """
    if isinstance(problem, OtherMachineError):
        return OTHER_MACHINE
    if isinstance(problem, OSError):
        return problem.strerror or str(problem)
    if is_busy(problem):
        return f"other processes have kept it locked for {patience:g} s"
    return _REASONS.get(getattr(problem, "sqlite_errorcode", 0) & 0xFF, f"SQLite says {type(problem).__name__}")
