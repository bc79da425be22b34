"""Fixtures that the tests of all kinds of Redis share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from enkash_async.stores.postgres import table_statement

from servers import Postgres, Server, running, running_postgres
from support import SERVER_KINDS, alarm


@pytest.fixture(params=SERVER_KINDS, scope="module")
def flavour(request: pytest.FixtureRequest) -> str:
    """Each kind of server in turn."""
    return str(request.param)


@pytest.fixture(params=SERVER_KINDS[:1])
def any_flavour(request: pytest.FixtureRequest) -> str:
    """One kind of server, for tests in which the kinds do not differ."""
    return str(request.param)


@pytest.fixture
def any_server(any_flavour: str, tmp_path: Path) -> Iterator[Server]:
    """A server of one kind for this test alone."""
    with running(any_flavour, tmp_path / "server") as made:
        yield made


@pytest.fixture(autouse=True)
def no_hanging() -> Iterator[None]:
    """Fail a test that hangs, because a missing time limit is the likely defect here."""
    with alarm(60):
        yield


@pytest.fixture(scope="session")
def long_running_postgres() -> Iterator[Postgres]:
    """A real PostgreSQL for the whole run."""
    with running_postgres("max_connections = 200") as server:
        yield server


@pytest.fixture
def postgres(long_running_postgres: Postgres) -> Postgres:
    """The same, with an empty table; a test that stops or freezes a server starts one of its own."""
    long_running_postgres.ask("DROP TABLE IF EXISTS enkash_store")
    for statement in table_statement().strip().split("\n"):
        long_running_postgres.ask(statement)
    return long_running_postgres
