"""The Redis server that most fleets share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from servers import FLAVOURS, MISSING, Server, running


@pytest.fixture(scope="session")
def first_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of the first kind there is."""
    if not FLAVOURS:
        pytest.skip(MISSING)
    with running(next(iter(FLAVOURS)), tmp_path_factory.mktemp("fleet")) as server:
        yield server


@pytest.fixture
def server(first_server: Server) -> Server:
    """The same server, emptied; a test that ends its server starts one of its own."""
    with first_server.admin() as admin:
        admin.flushall()
        admin.script_flush()
    return first_server
