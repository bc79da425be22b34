"""A database of documents whose writes take a precondition: what the store of `docs/your-own-store.md` stands on."""

from __future__ import annotations

import re
import sqlite3
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import attrs

from enkash_async.stores import Store

PAGE = (Path(__file__).parents[1] / "docs" / "your-own-store.md").read_text(encoding="utf-8")

#: The first block of the page.
STORE_OF_THE_PAGE = re.findall(r"(?s)```python\n(.*?)```", PAGE)[0]


@attrs.frozen
class Document:
    """What a name holds, and a version that never comes again."""

    data: bytes
    version: str


class Table:
    """The fake: its documents lie in a file, so that processes share them.

    Attributes:
        trouble: Raised by every call, while it is set.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.trouble: Exception | None = None
        self._run("CREATE TABLE IF NOT EXISTS documents (name TEXT PRIMARY KEY, data BLOB, version TEXT)")

    async def get(self, names: list[str]) -> tuple[float, dict[str, Document]]:
        """Return the server's time, and the documents that are there."""
        self._complain()
        found: dict[str, Document] = {}
        for start in range(0, len(names), 500):
            some = names[start : start + 500]
            marks = ",".join("?" * len(some))
            rows, _ = self._run(f"SELECT name, data, version FROM documents WHERE name IN ({marks})", *some)
            found |= {name: Document(data, version) for name, data, version in rows}
        return time.time(), found

    async def put(self, name: str, data: bytes, *, if_version: str | None) -> bool:
        """Write a document if its version is the given one, or if there is none; return whether that was so."""
        self._complain()
        new = uuid.uuid4().hex
        if if_version is None:
            _, made = self._run("INSERT OR IGNORE INTO documents VALUES (?, ?, ?)", name, data, new)
        else:
            change = "UPDATE documents SET data = ?, version = ? WHERE name = ? AND version = ?"
            _, made = self._run(change, data, new, name, if_version)
        return made == 1

    async def delete(self, name: str, *, if_version: str) -> bool:
        """Remove a document if its version is the given one; return whether it was."""
        self._complain()
        return self._run("DELETE FROM documents WHERE name = ? AND version = ?", name, if_version)[1] == 1

    def _complain(self) -> None:
        if self.trouble is not None:
            raise self.trouble

    def _run(self, statement: str, *arguments: object) -> tuple[list[tuple[Any, ...]], int]:
        connection = sqlite3.connect(self._path, timeout=30, isolation_level=None)
        try:
            cursor = connection.execute(statement, arguments)
            return cursor.fetchall(), cursor.rowcount
        finally:
            connection.close()


def open_documents(path: Path) -> Store:
    """Return the store of the page over the table of a file."""
    return over(Table(path))


def over(table: Table) -> Store:
    """Return the store of the page over a table."""
    names: dict[str, Any] = {}
    exec(compile(STORE_OF_THE_PAGE, "your-own-store.md", "exec"), names)
    return cast("Callable[[Table], Store]", names["DocumentStore"])(table)
