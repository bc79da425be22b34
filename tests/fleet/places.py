"""The stores that fleets share, each with what can happen to it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, ClassVar, Protocol

from enkash_async.stores.postgres import table_statement

from servers import FLAVOURS, Postgres, Server, running, running_postgres

__all__ = ["ALL_KINDS", "FAULTS", "KINDS", "FilePlace", "Place", "PostgresPlace", "RedisPlace", "place"]

_REDIS, *_OTHERS = FLAVOURS or ["none"]

#: The kinds of stores, by name: a file, a Redis, a database.
KINDS = ("sqlite", _REDIS, "postgres")
#: With other kinds of Redis.
ALL_KINDS = (*KINDS, *_OTHERS)


class Place(Protocol):
    """A store of one kind that processes can share.

    Attributes:
        faults: What can happen to it, by name; each is struck until `repair`.
    """

    faults: ClassVar[tuple[str, ...]]

    @property
    def url(self) -> str:
        """Where it is."""
        ...

    def strike(self, fault: str) -> None:
        """Let something happen to it."""
        ...

    def repair(self, fault: str) -> None:
        """Put it right again; what it held may be gone."""
        ...

    def flush(self) -> None:
        """Lose all records."""
        ...

    def save(self) -> Any:
        """Return all records as they are."""
        ...

    def restore(self, saved: Any) -> None:
        """Put back what `save` returned: what was written since then is lost."""
        ...


class FilePlace:
    """A file.

    It has no server that could be killed or be short of memory, no rights to single commands and no failover. When the
    disk is "full" is up to the workers (`limit_files`), since no test can fill one.
    """

    faults: ClassVar[tuple[str, ...]] = (
        "locked",
        "damaged",
        "away",
        "full",
    )  # "full" is the worker's `limit_files`: no test can fill a disk

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "state"
        self._folder.mkdir(exist_ok=True)
        self.path = self._folder / "store.sqlite3"
        self._lock: sqlite3.Connection | None = None

    @property
    def url(self) -> str:
        return f"sqlite:///{str(self.path).lstrip('/')}"

    def strike(self, fault: str) -> None:
        if fault == "locked":  # another process writes, without end
            self._lock = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
            self._lock.execute("BEGIN IMMEDIATE")
        elif fault == "damaged":
            self.flush()
            self.path.write_bytes(b"no database" * 1000)
        elif fault == "away":  # a disk that was unmounted; a file lies where the folder was
            self._folder.rename(self._folder.with_name("elsewhere"))
            self._folder.touch()

    def repair(self, fault: str) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None
        elif fault == "damaged":
            self.path.unlink()
        elif fault == "away":
            self._folder.unlink()
            self._folder.with_name("elsewhere").rename(self._folder)

    def flush(self) -> None:
        for path in self._folder.glob("store.sqlite3*"):
            path.unlink()

    def save(self) -> Any:
        with closing(sqlite3.connect(self.path)) as connection:
            return connection.execute("SELECT key, value, expires FROM records").fetchall()

    def restore(self, saved: Any) -> None:
        with closing(sqlite3.connect(self.path, timeout=5)) as connection, connection:
            connection.execute("DELETE FROM records")
            connection.executemany("INSERT INTO records VALUES (?, ?, ?)", saved)


class RedisPlace:
    """A Redis, or a Valkey."""

    #: One command that the user may not use, each; `auth`, `hello` and `client` come before there is a user.
    commands = ("evalsha", "eval", "time", "mget", "get", "set", "del", "info")
    faults: ClassVar[tuple[str, ...]] = (
        "killed",
        "read-only",
        "out of memory",
        *(f"without {command}" for command in commands),
    )

    def __init__(self, server: Server) -> None:
        self.server = server
        self._make_user()

    @property
    def url(self) -> str:
        return f"redis://worker:made-up@127.0.0.1:{self.server.port}/0"

    def strike(self, fault: str) -> None:
        if fault == "killed":
            self.server.kill()
        elif fault == "read-only":
            self.server.ask("REPLICAOF", "127.0.0.1", "1")
        elif fault == "out of memory":
            self.server.ask("CONFIG", "SET", "maxmemory", "1")
        else:
            self.server.ask("ACL", "SETUSER", "worker", f"-{fault.removeprefix('without ')}")
            # Without EVAL, what is cached goes on: let it be asked for.
            self.server.ask("SCRIPT", "FLUSH")

    def repair(self, fault: str) -> None:
        if fault == "killed":
            self.server.restart()
            self._make_user()
        elif fault == "read-only":
            self.server.ask("REPLICAOF", "NO", "ONE")
        elif fault == "out of memory":
            self.server.ask("CONFIG", "SET", "maxmemory", "0")
        else:
            self.server.ask("ACL", "SETUSER", "worker", "+@all")

    def flush(self) -> None:
        self.server.ask("FLUSHALL")
        self.server.ask("SCRIPT", "FLUSH")

    def save(self) -> Any:
        with self.server.admin(decode_responses=False) as admin:
            return {key: admin.get(key) for key in admin.keys("*")}

    def restore(self, saved: Any) -> None:
        with self.server.admin(decode_responses=False) as admin:
            admin.flushall()
            admin.mset(saved)

    def _make_user(self) -> None:
        self.server.ask("ACL", "SETUSER", "worker", "reset", "on", ">made-up", "~*", "&*", "+@all")


class PostgresPlace:
    """A table in PostgreSQL. A server that is short of memory refuses single statements; no test can bring it there."""

    rights = ("SELECT", "INSERT", "UPDATE")
    faults: ClassVar[tuple[str, ...]] = ("killed", "read-only", *(f"without {right}" for right in rights))

    def __init__(self, server: Postgres) -> None:
        self.server = server
        for statement in table_statement().strip().split("\n"):
            server.ask(statement)
        if not server.ask("SELECT 1 FROM pg_roles WHERE rolname = 'worker'"):
            server.ask("CREATE ROLE worker LOGIN")
        self._grant()

    @property
    def url(self) -> str:
        return f"postgresql://worker:made-up@127.0.0.1:{self.server.port}/postgres"

    def strike(self, fault: str) -> None:
        if fault == "killed":
            self.server.kill()
        elif fault == "read-only":
            self.server.ask("ALTER ROLE worker SET default_transaction_read_only = on")
            self._end_sessions()
        else:
            self.server.ask(f"REVOKE {fault.removeprefix('without ')} ON enkash_store FROM worker")

    def repair(self, fault: str) -> None:
        if fault == "killed":
            self.server.restart()
        elif fault == "read-only":
            self.server.ask("ALTER ROLE worker RESET default_transaction_read_only")
            self._end_sessions()
        else:
            self._grant()

    def flush(self) -> None:
        self.server.ask("TRUNCATE enkash_store")

    def save(self) -> Any:
        return self.server.ask("SELECT key, value, expires FROM enkash_store")

    def restore(self, saved: Any) -> None:
        self.flush()
        for row in saved:
            self.server.ask("INSERT INTO enkash_store VALUES (%s, %s, %s)", *row)

    def _grant(self) -> None:
        self.server.ask("GRANT SELECT, INSERT, UPDATE, DELETE ON enkash_store TO worker")

    def _end_sessions(self) -> None:
        self.server.ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'worker'")


#: What can happen to each kind of store.
FAULTS = [
    (kind, fault)
    for kind, faults in zip(KINDS, (FilePlace.faults, RedisPlace.faults, PostgresPlace.faults), strict=True)
    for fault in faults
]


@contextmanager
def place(kind: str, folder: Path) -> Iterator[Place]:
    """Run a store of a kind."""
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        if kind == "sqlite":
            yield FilePlace(folder)
        elif kind == "postgres":
            yield PostgresPlace(stack.enter_context(running_postgres("max_connections = 400")))
        else:
            yield RedisPlace(stack.enter_context(running(kind, folder)))
