"""What the tests of the ways to reach a Redis share."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import NoReturn

import pytest

from servers import FLAVOURS, MISSING, Server, running

_NONE = [pytest.param("none", marks=pytest.mark.skip(MISSING))]


@pytest.fixture(params=[*FLAVOURS] or _NONE, scope="module")
def flavour(request: pytest.FixtureRequest) -> str:
    """Each kind of server in turn."""
    return str(request.param)


@pytest.fixture(params=[*FLAVOURS][:1] or _NONE)
def any_flavour(request: pytest.FixtureRequest) -> str:
    """One kind of server, where they do not differ."""
    return str(request.param)


@pytest.fixture
def any_server(any_flavour: str, tmp_path: Path) -> Iterator[Server]:
    """A server of one kind for this test alone."""
    with running(any_flavour, tmp_path / "server") as made:
        yield made


@pytest.fixture(autouse=True)
def no_hanging() -> Iterator[None]:
    """Fail a test that hangs: bounds of time are what may be missing here."""
    if not hasattr(signal, "setitimer"):  # Windows
        yield
        return

    def give_up(number: int, frame: FrameType | None) -> NoReturn:
        raise TimeoutError("the test hangs")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, 60)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)
