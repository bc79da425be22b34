"""What most tests need: a sandbox, and a client of it."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator

import pytest
from hypothesis import HealthCheck, settings
from order import pytest_collection_modifyitems, pytest_xdist_make_scheduler

from enkash_async import EnkashClient
from enkash_async.__main__ import main
from enkash_async.sandbox import Sandbox
from enkash_async.stores import process_store

from servers import Server, running
from support import EAGER, SERVER_KINDS, Enkash, Run

__all__ = ["pytest_collection_modifyitems", "pytest_xdist_make_scheduler"]

# Machines are noisy: how long an example takes says nothing about the code.
settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")

# What a shell starts in the background of a script ignores Ctrl-C, and so would all that the tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# pytest-asyncio asks for the current loop before its first test. Up to Python 3.13 that call makes a loop where
# there is none yet; `asyncio.run` in a later test drops it unclosed, and the test during which it is collected fails.
asyncio.set_event_loop(None)

# No test writes below the real home. Some modules copy the environment when they are imported, before any fixture.
_HOME = tempfile.TemporaryDirectory(prefix="enkash-home-", ignore_cleanup_errors=True)
os.environ |= {"HOME": _HOME.name, "USERPROFILE": _HOME.name, "XDG_STATE_HOME": f"{_HOME.name}/state"}


@pytest.fixture(autouse=True)
def nothing_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test a home of its own, and an empty memory of the process."""
    home = tempfile.mkdtemp(dir=_HOME.name)  # pytest's own looks through all earlier ones for a free number
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, home)
    monkeypatch.setenv("XDG_STATE_HOME", f"{home}/state")
    monkeypatch.setattr("platformdirs.user_state_dir", lambda *_, **__: f"{home}/state/enkash-async")
    for name in ("ENKASH_STORE_URL", "ENKASH_REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    process_store()._held.clear()


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(settle_after=0.0, repeat_debits=True) as running:
        yield running


@pytest.fixture
async def client(sandbox: Sandbox) -> AsyncIterator[EnkashClient]:
    async with EnkashClient.from_credentials(sandbox.base_url, sandbox.credentials, retry=EAGER) as made:
        yield made


@pytest.fixture(scope="session", params=SERVER_KINDS)
def session_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real server for the whole run, of each kind in turn."""
    with running(request.param, tmp_path_factory.mktemp(request.param)) as server:
        yield server


@pytest.fixture
def redis_server(session_server: Server) -> Server:
    """The same server, emptied; a test that stops or freezes a server starts one of its own."""
    with session_server.admin() as admin:
        admin.flushall()
        admin.script_flush()
    return session_server


_VARIABLES = (
    *("ENKASH_BASE_URL", "ENKASH_CLIENT_ID", "ENKASH_CLIENT_SECRET", "ENKASH_USERNAME", "ENKASH_PASSWORD"),
    *("ENKASH_FORM_CLIENT_ID", "ENKASH_REDIS_URL", "ENKASH_STORE_URL", "ENKASH_LOGIN_TIMEOUT", "ENKASH_TOKEN_KEYS"),
    "ENKASH_NOTHING_PENDING",
    *("COLUMNS", "FORCE_COLOR", "NO_COLOR", "TERM"),
)


@pytest.fixture
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in _VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def cli(bare_environment: None, capsys: pytest.CaptureFixture[str]) -> Enkash:
    """Runs commands with variables that point to no EnKash."""

    async def call(*argv: str) -> Run:
        code = await asyncio.to_thread(main, argv)
        printed = capsys.readouterr()
        return Run(code, printed.out, printed.err)

    return call


@pytest.fixture
def enkash(sandbox: Sandbox, cli: Enkash, monkeypatch: pytest.MonkeyPatch) -> Enkash:
    """Runs commands against the sandbox, and checks that none of them prints a secret."""
    for name, value in sandbox.environ().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ENKASH_NOTHING_PENDING", "1")  # the store of each test is new

    async def call(*argv: str) -> Run:
        run = await cli(*argv)
        tokens = sandbox.ledger.accounts._tokens
        for secret in (sandbox.credentials.client_secret, sandbox.credentials.password, *tokens):
            assert secret not in run.out + run.err
        return run

    return call
