"""Connections to PostgreSQL, used in threads, and cut off when the caller no longer waits."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import attrs

from enkash_async._support.forks import reset_after_fork
from enkash_async.errors import ConfigurationError

try:
    import psycopg
except ImportError:
    raise ConfigurationError("PostgresStore needs psycopg: pip install 'enkash-async[postgres]'") from None

__all__ = ["Call", "Connection", "Links", "PostgresTrouble", "psycopg"]

_T = TypeVar("_T")

Connection = psycopg.Connection[tuple[Any, ...]]

_CONNECT_TIMEOUT = 2  # seconds, the smallest value that libpq accepts
# SQLSTATEs, or their first characters: the server stops, starts, fails over, or is short of connections; or the
# transaction conflicted with another transaction.
_TRANSIENT = ("08", "57P", "53300", "40001", "40P01")
_REASONS = {
    "25006": "it is read-only (a standby, or a failover is under way)",
    "42501": "this user lacks a right on the table (SELECT, INSERT, UPDATE and DELETE are needed)",
    "42P01": "the table of the store is missing: make it with PostgresStore.init() or `enkash store init`",
    "53100": "its disk is full",
    "53200": "it is out of memory",
}


@attrs.frozen
class PostgresTrouble:
    """Why a statement failed, or got no answer.

    Attributes:
        text: Message for people. It does not quote the server, which may repeat the values of a statement.
        is_transient: Whether a retry may help.
    """

    text: str
    is_transient: bool

    @classmethod
    def of(cls, problem: Exception) -> PostgresTrouble:
        """Return what an exception of psycopg means."""
        kind, code = type(problem).__name__, getattr(problem, "sqlstate", None) or ""
        words = str(problem)
        if code in _REASONS:
            return cls(f"PostgreSQL cannot be used as a store: {_REASONS[code]}", is_transient=False)
        if code.startswith("28") or "authentication failed" in words or "no password" in words:
            return cls("PostgreSQL refuses the user or the password that it was given", is_transient=False)
        if isinstance(problem, (psycopg.OperationalError, OSError)) and (not code or code.startswith(_TRANSIENT)):
            return cls(f"PostgreSQL does not answer ({kind})", is_transient=True)
        return cls(f"PostgreSQL refuses to work as a store ({kind} {code})".replace(" )", ")"), is_transient=False)


class _Link:
    """A connection, and a duplicate of its socket, through which another thread may shut the connection down."""

    def __init__(self, dsn: str) -> None:
        # Keeps no state between transactions, since PgBouncer may run each transaction on another server connection.
        self.connection: Connection = psycopg.connect(
            dsn, autocommit=True, prepare_threshold=None, connect_timeout=_CONNECT_TIMEOUT
        )
        self.socket: socket.socket = socket.fromfd(self.connection.fileno(), socket.AF_INET, socket.SOCK_STREAM)

    def is_usable(self) -> bool:
        """Whether the server has neither closed the idle connection nor sent anything on it."""
        try:
            self.socket.setblocking(False)
            self.socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return not self.connection.closed
        except OSError:
            pass
        return False

    def close(self) -> None:
        self.connection.close()
        self.socket.close()


class Call:
    """One caller's use of a connection; `cut` ends it at once.

    Attributes:
        was_sent: Whether the server may have received a statement.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._link: _Link | None = None
        self._is_cut = False
        self.was_sent: bool = False

    def cut(self) -> None:
        """Shut the connection down, so that a thread that waits for a reply gets an error."""
        with self._lock:
            self._is_cut = True
            if self._link is not None:
                _shut(self._link.socket)

    def enter(self, link: _Link) -> bool:
        """Begin to use a connection; return False if the caller no longer waits."""
        with self._lock:
            self._link = None if self._is_cut else link
            self.was_sent = not self._is_cut
            return self.was_sent

    def leave(self) -> bool:
        """Stop using the connection; return False if it was cut off."""
        with self._lock:
            self._link = None
            return not self._is_cut


class Links:
    """A pool of idle connections, which all threads share.

    Args:
        dsn: Connection string of the server.
    """

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._parents: list[list[_Link]] = []
        self._idle: list[_Link] = []
        self._is_closed = False
        self._lock: threading.Lock = threading.Lock()
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Drop the parent's connections without closing them: closing would end the parent's sessions."""
        self._parents.append(self._idle)
        self._idle = []
        self._lock = threading.Lock()

    def work(self, call: Call, job: Callable[[Connection], _T]) -> tuple[list[_T], PostgresTrouble | None]:
        """Run a job on a connection. An error is returned, not raised, since its traceback would hold records."""
        try:
            link = self._take()
        except (psycopg.Error, OSError) as problem:
            return [], PostgresTrouble.of(problem)
        results: list[_T] = []
        trouble = None
        if call.enter(link):
            try:
                results.append(job(link.connection))
            except (psycopg.Error, OSError) as problem:
                trouble = PostgresTrouble.of(problem)
        self._give_back(link, is_whole=call.leave())
        return results, trouble

    def close(self) -> None:
        """Close the idle connections, and each other one as soon as its call ends."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for link in idle:
            link.close()

    def _take(self) -> _Link:
        while True:
            with self._lock:
                link = self._idle.pop() if self._idle else None
            if link is None:
                return _Link(self._dsn)
            if link.is_usable():
                return link
            link.close()

    def _give_back(self, link: _Link, *, is_whole: bool) -> None:
        with self._lock:
            keeps = is_whole and not (self._is_closed or link.connection.broken or link.connection.closed)
            if keeps:
                self._idle.append(link)
        if not keeps:
            link.close()


def _shut(handle: socket.socket) -> None:
    with contextlib.suppress(OSError):  # the server has closed the connection already
        handle.shutdown(socket.SHUT_RDWR)
