"""A store in one table of PostgreSQL."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import random as _random
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar, cast

from enkash_async._support.breaker import CircuitBreaker
from enkash_async._support.clock import loop_now
from enkash_async._support.forks import reset_after_fork
from enkash_async._support.secret import HiddenStr
from enkash_async._support.text import hidden_flaw
from enkash_async.errors import ConfigurationError, StoreUnavailableError
from enkash_async.stores.loop_timeout import checked_timeout, loop_timeout
from enkash_async.stores.postgres_links import Call, Connection, Links
from enkash_async.stores.postgres_trouble import PostgresTrouble, need_psycopg
from enkash_async.stores.store import Cell, Change
from enkash_async.stores.workers import Workers

with contextlib.suppress(ImportError):  # see `need_psycopg`
    import psycopg

__all__ = ["PostgresStore", "table_statement"]

_T = TypeVar("_T")

_CONNECTIONS = 4  # connections of one process
_TIMEOUT = 2.0  # seconds for an answer; a healthy server takes a few milliseconds
_FIRST_PAUSE = 0.02  # seconds before a statement is sent again, doubled each time
_SWEEP_EVERY = 256  # calls of `swap` in one process, after which it removes expired records
_FASTER = ("40001", "40P01")  # serialization failure and deadlock: another process changed the record

_TABLE = """\
CREATE TABLE IF NOT EXISTS {table} (key text COLLATE "C" PRIMARY KEY, value bytea NOT NULL, expires timestamptz);
CREATE INDEX IF NOT EXISTS {name}_expires ON {table} (expires) WHERE expires IS NOT NULL;
"""
_READ = """
SELECT asked.key, held.value, extract(epoch FROM clock_timestamp())::float8 FROM unnest(%s::text[]) AS asked (key)
LEFT JOIN {table} AS held ON held.key = asked.key AND (held.expires IS NULL OR held.expires > clock_timestamp())"""
_INSERT = """
INSERT INTO {table} AS held (key, value, expires)
SELECT key, new, clock_timestamp() + keep * interval '1 second' FROM
  unnest(%s::text[], %s::bytea[], %s::bytea[], %s::float8[]) AS change (key, old, new, keep)
ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires = excluded.expires
  WHERE held.expires <= clock_timestamp() RETURNING held.key"""
_UPDATE = """
UPDATE {table} AS held SET value = change.new, expires = clock_timestamp() + change.keep * interval '1 second'
FROM unnest(%s::text[], %s::bytea[], %s::bytea[], %s::float8[]) AS change (key, old, new, keep)
WHERE held.key = change.key AND held.value = change.old
  AND (held.expires IS NULL OR held.expires > clock_timestamp()) RETURNING held.key"""
_DELETE = """
DELETE FROM {table} AS held
USING unnest(%s::text[], %s::bytea[], %s::bytea[], %s::float8[]) AS change (key, old, new, keep)
WHERE held.key = change.key AND held.value = change.old
  AND (held.expires IS NULL OR held.expires > clock_timestamp()) RETURNING held.key"""
_SWEEP = """
DELETE FROM {table} WHERE key IN (SELECT key FROM {table}
  WHERE expires < clock_timestamp() - interval '1 hour' LIMIT 1000 FOR UPDATE SKIP LOCKED)"""


def table_statement(table: str = "enkash_store") -> str:
    """Return the SQL that makes the table, for operators who make tables by hand."""
    return _TABLE.format(table=table, name=table.rpartition(".")[2])


class PostgresStore:
    """Shares records between all processes that use one PostgreSQL (12 or later), also behind PgBouncer.

    Changes are as durable as the server's `synchronous_commit` makes them. The table must exist; `init()` makes it.
    All event loops share up to four threads, each with a connection of its own.

    Args:
        dsn: `postgresql://user:password@host/database`, or libpq's `host=… dbname=…`. The server must be a primary, not
            a standby.
        nothing_pending: Declare that no confirmation of a debit is under way anywhere; see `Store`.
        table: Name of the table, with its schema if the schema is not on the `search_path`.
        timeout: Seconds for one attempt; a read makes up to three attempts.
        clock: Returns monotonic seconds.
        sleep: Waits for a number of seconds.
        random: Returns a number in [0, 1).

    Raises:
        ConfigurationError: An argument is unusable, or psycopg is not installed; the message does not repeat the DSN.
    """

    def __init__(
        self,
        dsn: str,
        *,
        nothing_pending: bool = False,
        table: str = "enkash_store",
        timeout: float = _TIMEOUT,
        clock: Callable[[], float] = loop_now,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        random: Callable[[], float] = _random.random,
    ) -> None:
        need_psycopg()
        dsn = HiddenStr(dsn)  # the DSN may hold a password, and a rendered traceback would show a plain `str`
        if not re.fullmatch(r"[a-z_][a-z0-9_]{0,50}(\.[a-z_][a-z0-9_]{0,50})?", table):
            raise ConfigurationError(
                "table must be a name in small letters, such as enkash_store or schema.enkash_store"
            )
        self.nothing_pending = nothing_pending
        self._links = Links(_checked(dsn))
        self._table = table
        self._limit = checked_timeout(timeout)
        self._clock, self._sleep, self._random = clock, sleep, random
        self._workers = Workers(_CONNECTIONS)
        self._swaps = 0
        self.after_fork()
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Replace the circuit breaker, since a thread of the parent may have held its lock."""
        self._breaker = CircuitBreaker(error=StoreUnavailableError, clock=self._clock, random=self._random)

    def __repr__(self) -> str:
        return "PostgresStore(…)"  # a connection string may hold a password

    async def read(self, keys: Sequence[str]) -> Mapping[str, Cell]:
        """Return the cell of every key; `now` is the server's `clock_timestamp()`."""
        rows = await self._run(lambda connection: self._rows(connection, _READ, list(keys)), may_repeat=True)
        return {key: Cell(value, now) for key, value, now in rows}

    async def swap(self, changes: Sequence[Change]) -> Sequence[bool]:
        """Make each change whose key still holds exactly `old`: all inserts, all updates, all deletions at once."""
        self._swaps += 1
        job = functools.partial(self._swap, list(changes), self._swaps % _SWEEP_EVERY == 0)
        return await self._run(job, may_repeat=False)

    async def init(self) -> None:
        """Make the table, if it does not exist."""
        await self._run(self._make, may_repeat=True)

    async def aclose(self) -> None:
        """Close the connections; a second call does nothing."""
        await self._workers.aclose(self._links.close)

    async def _run(self, job: Callable[[Connection], _T], *, may_repeat: bool) -> _T:
        """Run a job and return its result. After a failure, retry only if the retry cannot change the answer."""
        pause = _FIRST_PAUSE
        while True:
            self._breaker.enter()
            call = Call()
            results, trouble = await self._try(call, job)
            if trouble is None:
                self._breaker.worked()
                return results[0]
            self._breaker.failed(trouble.text)
            is_final = not trouble.is_transient or (call.was_sent and not may_repeat)
            if is_final or self._breaker.is_down:
                raise StoreUnavailableError(trouble.text)
            await self._sleep(pause * (0.5 + self._random()))
            pause *= 2

    async def _try(self, call: Call, job: Callable[[Connection], _T]) -> tuple[list[_T], PostgresTrouble | None]:
        try:
            async with loop_timeout(self._limit):
                return await self._workers.run(lambda: self._links.work(call, job))
        except TimeoutError:
            return [], PostgresTrouble.late(self._limit, was_sent=call.was_sent)
        finally:
            call.cut()

    def _rows(self, connection: Connection, statement: str, *arguments: Any) -> list[tuple[Any, ...]]:
        name = self._table.rpartition(".")[2]
        return connection.execute(cast("Any", statement.format(table=self._table, name=name)), arguments).fetchall()

    def _swap(self, changes: list[Change], sweeps: bool, connection: Connection) -> list[bool]:
        if sweeps:
            connection.execute(cast("Any", _SWEEP.format(table=self._table)))
        made: set[str] = set()
        for statement in (_INSERT, _UPDATE, _DELETE):
            made |= self._made(connection, statement, [change for change in changes if _statement(change) == statement])
        made |= self._absent(connection, [change.key for change in changes if _statement(change) == _READ])
        return [change.key in made for change in changes]

    def _made(self, connection: Connection, statement: str, changes: list[Change]) -> set[str]:
        """Make changes with one statement, and return the keys of the changes that were made."""
        if not changes:
            return set()
        # Sorted, so that all processes lock the rows in the same order and seldom deadlock.
        rows = [(one.key, one.old, one.new, None if one.keep is None else float(one.keep)) for one in changes]
        try:
            return {
                key
                for (key,) in self._rows(
                    connection, statement, *(list(column) for column in zip(*sorted(rows), strict=True))
                )
            }
        except psycopg.Error as problem:
            if problem.sqlstate in _FASTER:
                return set()
            raise

    def _absent(self, connection: Connection, keys: list[str]) -> set[str]:
        return {key for key, value, _ in self._rows(connection, _READ, keys) if value is None} if keys else set()

    def _make(self, connection: Connection) -> None:
        # Another process may make the table at the same time; PostgreSQL then raises one of three errors.
        errors = psycopg.errors
        with contextlib.suppress(errors.UniqueViolation, errors.DuplicateTable, errors.DuplicateObject):
            connection.execute(cast("Any", table_statement(self._table)))


def _statement(change: Change) -> str:
    if change.old is None:
        return _INSERT if change.new is not None else _READ
    return _UPDATE if change.new is not None else _DELETE


def _checked(dsn: HiddenStr) -> HiddenStr:
    if (flaw := hidden_flaw(dsn)) is not None:
        raise ConfigurationError(f"dsn {flaw}")
    try:
        found = psycopg.conninfo.conninfo_to_dict(dsn)
    except Exception:  # noqa: BLE001 (its own message repeats the DSN)
        found = {}
    if not found:
        raise ConfigurationError("dsn must be postgresql://user:password@host/database, or libpq's host=… dbname=…")
    return dsn
