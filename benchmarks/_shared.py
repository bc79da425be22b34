"""The stores that the processes of a fleet share: real servers, a file, and the memory of one process.

What is not installed is named on the standard error stream and left out.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs

from enkash_async.stores.postgres import table_statement

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # where the servers of the tests are started

from servers import FLAVOURS, MISSING, Server, ServerError, running, running_postgres

__all__ = ["Shared", "shared"]

_READING = {"info", "client|setinfo"}  # what asking Redis for its counts costs it
_SESSIONS = 160  # four for each of 32 processes, and some to spare


@attrs.frozen
class Shared:
    """A store that can be emptied.

    Attributes:
        name: Such as `Redis`.
        emptied: Empties the store and returns its URL.
        commands: Returns how many commands the server has carried out, save for this question; only Redis counts them.
    """

    name: str
    emptied: Callable[[], str]
    commands: Callable[[], int] | None = None

    @property
    def is_of_one_process(self) -> bool:
        """Whether other processes do not see it."""
        return self.name == "memory"


@contextlib.contextmanager
def shared() -> Iterator[list[Shared]]:
    """Start the servers, and yield one store of each kind."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stores = [Shared("memory", lambda: "memory:"), Shared("SQLite", _files(folder / "sqlite"))]
        if FLAVOURS:
            server = stack.enter_context(running(next(iter(FLAVOURS)), folder / "redis", "appendonly yes"))
            stores.append(_redis(server))
        else:
            print(f"fleet: {MISSING}", file=sys.stderr)
        try:
            postgres = stack.enter_context(running_postgres(f"max_connections = {_SESSIONS}"))
        except ServerError as problem:
            print(f"fleet: {problem}", file=sys.stderr)
        else:
            postgres.ask(table_statement())

            def emptied() -> str:
                postgres.ask("TRUNCATE enkash_store")
                return postgres.dsn

            stores.append(Shared("PostgreSQL", emptied))
        yield stores


def _files(folder: Path) -> Callable[[], str]:
    """Return a new file in a folder of its own each time: a store of SQLite is made by those who use it."""
    names = (folder / str(number) / "store.db" for number in range(sys.maxsize))

    def emptied() -> str:
        return f"sqlite://{next(names)}"

    return emptied


def _redis(server: Server) -> Shared:
    def emptied() -> str:
        server.ask("FLUSHALL")
        return server.url

    def commands() -> int:
        return sum(times for name, times in server.commandstats().items() if name not in _READING)

    return Shared("Redis", emptied, commands)
