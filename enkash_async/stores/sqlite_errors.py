"""What the errors of a SQLite file mean."""

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
    """Whether another process has the file locked just now."""
    return (getattr(problem, "sqlite_errorcode", 0) & 0xFF) in _BUSY


def reason_of(problem: Exception, patience: float) -> str:
    """Return what an exception means, for people.

    Args:
        problem: Of SQLite, of the system, or of the clock.
        patience: Seconds for which a lock was waited for.
    """
    if isinstance(problem, OtherMachineError):
        return OTHER_MACHINE
    if isinstance(problem, OSError):
        return problem.strerror or str(problem)
    if is_busy(problem):
        return f"other processes have kept it locked for {patience:g} s"
    return _REASONS.get(getattr(problem, "sqlite_errorcode", 0) & 0xFF, f"SQLite says {type(problem).__name__}")
