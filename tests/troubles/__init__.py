"""Provokes each row of `docs/troubleshooting.md` with real sockets and servers; every case returns what a user sees."""

from __future__ import annotations

import asyncio
import datetime
import socket
import ssl
import subprocess
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import aiohttp
import attrs
import pytest
import trustme

from enkash_async import Credentials, EnkashClient, MemoryStore, PasswordGrant, StaticTokenProvider, Timeouts
from enkash_async._http.transport import Transport
from enkash_async._wire.operation import Request
from enkash_async.config import RetryPolicy
from enkash_async.sandbox import Sandbox
from enkash_async.stores import Change, open_store

from servers import FLAVOURS, HOST, Postgres, Server, running, running_postgres
from support import Enkash, Handler, RawServer, Reader, Writer, raw_server, reply

#: A password or token of every case; no message may show it.
SECRET = "hunter2"

ONCE = RetryPolicy(attempts=1)
READ = Request(method="GET", path="/api/v2/utilityPayment/U-1")
CHANGE = Request(method="PUT", path="/api/v0/utilityPayment/status", body=b"{}", content_type="application/json")
WHO = Credentials("client", SECRET, "user@example.com", SECRET)

Told = BaseException | str
Case = Callable[["Stage"], Awaitable[Sequence[Told]]]

#: The cases by the text of their row.
CASES: dict[str, list[Case]] = {}


def row(text: str) -> Callable[[Case], Case]:
    """Register a case for the row with this text."""

    def register(case: Case) -> Case:
        CASES.setdefault(text, []).append(case)
        return case

    return register


class Servers:
    """Servers that are started when a case first needs them, and serve all cases."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._stack = ExitStack()

    @cached_property
    def redis(self) -> Server:
        """A Redis with the password `right`."""
        flavour = min(FLAVOURS)
        return self._stack.enter_context(running(flavour, self.folder / "redis", "requirepass right"))

    @cached_property
    def postgres(self) -> Postgres:
        """A PostgreSQL with passwords and five connections."""
        config = ("max_connections = 5", "superuser_reserved_connections = 0")
        return self._stack.enter_context(running_postgres(*config, auth="scram-sha-256"))

    def close(self) -> None:
        self._stack.close()


@attrs.frozen
class Stage:
    """What a case can use.

    Attributes:
        servers: The servers of all cases.
        folder: An empty folder.
        monkeypatch: Sets variables for this case.
        caplog: What is logged.
        sandbox: An EnKash.
        enkash: Runs a command against the sandbox.
        stack: Closes what the case opens.
    """

    servers: Servers
    folder: Path
    monkeypatch: pytest.MonkeyPatch
    caplog: pytest.LogCaptureFixture
    sandbox: Sandbox
    enkash: Enkash
    stack: AsyncExitStack

    async def serve(self, handler: Handler) -> str:
        """Start a server that answers byte by byte, and return its base URL."""
        return (await self.stack.enter_async_context(raw_server(handler))).base_url

    async def client(self, base_url: str | None = None, **options: Any) -> EnkashClient:
        """Return a client with a fixed token and a new store, of the sandbox unless a URL is given."""
        options = {"store": MemoryStore(nothing_pending=True), "retry": ONCE, **options}
        tokens = options.pop("tokens", None) or StaticTokenProvider(SECRET)
        made = EnkashClient(base_url or self.sandbox.base_url, tokens=tokens, **options)
        return await self.stack.enter_async_context(made)

    async def logging_in(self, base_url: str | None = None, **options: Any) -> EnkashClient:
        """Return a client that logs in."""
        options = {"store": MemoryStore(nothing_pending=True), "retry": ONCE, **options}
        who = options.pop("who", self.sandbox.credentials)
        made = EnkashClient.from_credentials(base_url or self.sandbox.base_url, who, **options)
        return await self.stack.enter_async_context(made)


async def failure(doing: Awaitable[object]) -> Exception:
    """Return the error that something ends with."""
    try:
        found = await doing
    except Exception as problem:  # noqa: BLE001 (the test looks at it)
        return problem
    raise AssertionError(f"it worked: {found!r}")


async def of_enkash(
    base_url: str,
    *,
    session: aiohttp.ClientSession | None = None,
    proxy: str | None = None,
    connect: float = 5.0,
    total: float = 30.0,
) -> list[Told]:
    """Return what a read, a call that changes something and a login end with."""
    found: list[Told] = []
    timeout = Timeouts(total=total, connect=connect)
    for request in (READ, CHANGE):
        transport = Transport(base_url, session=session, proxy=proxy, timeout=timeout)
        found.append(await failure(transport.send(request)))
        await transport.aclose()
    grant = PasswordGrant(base_url, WHO, session=session, proxy=proxy, timeout=timeout)
    return [*found, await failure(grant.fetch_token())]


async def of_store(url: str, *, key: str = "enkash:a:v2:k") -> Exception:
    """Return what a look into a store and a change of it end with."""
    store = open_store(url)
    try:
        return await failure(_used(store, key))
    finally:
        await store.aclose()


async def _used(store: Any, key: str) -> object:
    await store.read([key])
    return await store.swap([Change(key, None, b"x", 60)])


async def ran(*command: str) -> tuple[int | None, str]:
    """Run a program; return its exit code and what it wrote to standard error."""
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    _, err = await process.communicate()
    return process.returncode, err.decode()


def answering(data: bytes) -> Handler:
    """Return a handler that sends the same bytes to each request and hangs up."""

    async def answer(server: RawServer, reader: Reader, writer: Writer) -> None:
        await server.read_request(reader)
        writer.write(data)
        await writer.drain()

    return answer


def said(status: str, code: int | None = None, payload: str = '"x"', message: str = "Failed") -> bytes:
    """Return a reply of EnKash with an envelope."""
    body = (
        f'{{"response_code":{code},"response_message":"{message}","payload":{payload}}}' if code is not None else "{}"
    )
    return reply(body.encode(), status, "Content-Type: application/json")


# --- TLS --------------------------------------------------------------------------------------------------------------


@attrs.frozen
class Authority:
    """A CA, and what it issues.

    Attributes:
        ca: The CA.
        file: Its certificate.
    """

    ca: trustme.CA
    file: Path

    @classmethod
    def make(cls, folder: Path) -> Authority:
        made = cls(trustme.CA(), folder / "ca.pem")
        made.ca.cert_pem.write_to_path(str(made.file))
        return made

    def serving(self, *names: str, years: tuple[int, int] | None = None) -> ssl.SSLContext:
        """Return the context of a server whose certificate is for these names, valid in these years."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.ca.issue_cert(*names, **self.validity(years)).configure_cert(context)
        return context

    @staticmethod
    def validity(years: tuple[int, int] | None = None) -> dict[str, Any]:
        """Return the arguments of `issue_cert` for a certificate that is valid in these years."""
        if years is None:
            return {}
        first, last = (datetime.datetime(year, 1, 1) for year in years)
        return {"not_before": first, "not_after": last}

    def trusting(self) -> ssl.SSLContext:
        """Return the context of a client that trusts the CA."""
        context = ssl.create_default_context()
        self.ca.configure_trust(context)
        return context


@contextmanager
def blocking_server(context: ssl.SSLContext, *, is_postgres: bool = False) -> Iterator[int]:
    """A TLS server whose alerts reach the client, which those of asyncio's do not; yield its port.

    Args:
        context: Its certificate, and what it demands.
        is_postgres: Whether it asks for TLS as a PostgreSQL does: the one of the wheel speaks none.
    """
    listener = socket.create_server((HOST, 0))

    def serve() -> None:
        while True:
            try:
                line, _ = listener.accept()
            except OSError:
                return
            with suppress(OSError), line:
                if is_postgres:
                    line.recv(8)  # SSLRequest
                    line.sendall(b"S")
                with context.wrap_socket(line, server_side=True, do_handshake_on_connect=False) as over_tls:
                    with suppress(ssl.SSLError):
                        over_tls.do_handshake()
                    while socket.socket.recv(over_tls, 4096):  # unread bytes would turn the alert into a reset
                        pass

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
