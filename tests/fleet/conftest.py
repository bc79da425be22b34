"""What the fleets share: EnKash, and a store of each kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest
from fleet.enkash import Enkash
from fleet.enkash import enkash as running_enkash
from fleet.places import ALL_KINDS, KINDS, Place
from fleet.places import place as running_place
from fleet.processes import dismiss

from support import alarm


@pytest.fixture(autouse=True)
def no_hanging() -> Iterator[None]:
    """Fail a test that hangs, because a missing time limit is the likely defect here."""
    with alarm(90):
        yield


@pytest.fixture(scope="session")
def enkash() -> Iterator[Enkash]:
    """A login server for the whole run; each scene opens an account of its own."""
    with running_enkash() as server:
        yield server


@pytest.fixture(scope="package", autouse=True)
def workers() -> Iterator[None]:
    """End the processes that fleets have left for others."""
    yield
    dismiss()


@pytest.fixture(scope="session")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Place]]:
    """A store of each kind for the whole run."""
    with ExitStack() as stack:
        yield {kind: stack.enter_context(running_place(kind, tmp_path_factory.mktemp(kind))) for kind in ALL_KINDS}


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, places: Mapping[str, Place]) -> Place:
    """A store of each kind in turn; a test that breaks its store starts one of its own."""
    return places[request.param]


@pytest.fixture(params=ALL_KINDS)
def every_place(request: pytest.FixtureRequest, places: Mapping[str, Place]) -> Place:
    """The same with the other kinds of Redis."""
    return places[request.param]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the stores of a module's own."""
    return tmp_path_factory.mktemp("stores")
