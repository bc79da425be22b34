"""Connections to PostgreSQL, used in threads, and cut off when the caller no longer waits."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

from enkash_async._support.forks import reset_after_fork
from enkash_async.stores.postgres_trouble import PostgresTrouble

with contextlib.suppress(ImportError):  # see `need_psycopg`
    import psycopg

__all__ = ["Call", "Connection", "Links"]

_T = TypeVar("_T")

Connection: TypeAlias = "psycopg.Connection[tuple[Any, ...]]"  # a text, since psycopg may be missing

_CONNECT_TIMEOUT = 2  # seconds, the smallest value that libpq accepts


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
        """Close the idle connections now, and each other connection when its call ends."""
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
