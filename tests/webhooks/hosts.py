"""A receiver behind a real server of each kind, on a free port of 127.0.0.1, in the test's own event loop."""

from __future__ import annotations

import asyncio
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager
from typing import Any, TypeAlias

import attrs
import django
import uvicorn
from aiohttp import web
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse
from django.test.utils import override_settings
from django.urls import path
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount
from tokens.doubles import until

from enkash_async.webhooks import WebhookReceiver, aiohttp_handler, asgi_app, django_view

PATH = "/enkash"
_DATABASE = tempfile.TemporaryDirectory(prefix="enkash-django-", ignore_cleanup_errors=True)
LOCMEM = "django.core.mail.backends.locmem.EmailBackend"

# Django gives these no types.
configure: Callable[..., None] = settings.configure
override: Callable[..., AbstractContextManager[None]] = override_settings
asgi_application: Callable[[], Any] = get_asgi_application
respond: Callable[..., HttpResponse] = HttpResponse


@attrs.frozen
class Host:
    """Where a running receiver takes posts, and whether every connection to it has ended."""

    port: int
    path: str
    is_idle: Callable[[], bool]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.path}"


Hosting: TypeAlias = Callable[[WebhookReceiver], AbstractAsyncContextManager[Host]]


@asynccontextmanager
async def aiohttp_host(receiver: WebhookReceiver) -> AsyncIterator[Host]:
    app = web.Application()
    app.router.add_route("*", PATH, aiohttp_handler(receiver))
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        server = runner.server
        assert server is not None
        yield Host(runner.addresses[0][1], PATH, lambda: not server.connections)
    finally:
        await runner.cleanup()


@asynccontextmanager
async def served(app: Any, where: str = PATH, *, lifespan: Any = "on") -> AsyncIterator[Host]:
    """Serve an ASGI application with uvicorn, but without its signal handlers and its tenths of a second of rest."""
    config = uvicorn.Config(app, lifespan=lifespan, http="h11", ws="none", log_config=None, access_log=False)
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        await server.startup(sockets=[listening])
        state = server.server_state
        try:
            yield Host(listening.getsockname()[1], where, lambda: not state.connections and not state.tasks)
        finally:
            for one in server.servers:
                one.close()
            for connection in list(state.connections):
                connection.shutdown()
            await until(lambda: not state.connections and not state.tasks)
            await server.lifespan.shutdown()


def plain_host(receiver: WebhookReceiver) -> AbstractAsyncContextManager[Host]:
    return served(asgi_app(receiver))


def starlette_route(receiver: WebhookReceiver) -> AbstractAsyncContextManager[Host]:
    app = Starlette()
    app.add_route(PATH, asgi_app(receiver))
    return served(app)


def starlette_mount(receiver: WebhookReceiver) -> AbstractAsyncContextManager[Host]:
    return served(Starlette(routes=[Mount(PATH, asgi_app(receiver))]), f"{PATH}/")


def fastapi_route(receiver: WebhookReceiver) -> AbstractAsyncContextManager[Host]:
    app = FastAPI()
    app.add_route(PATH, asgi_app(receiver))
    return served(app)


def fastapi_mount(receiver: WebhookReceiver) -> AbstractAsyncContextManager[Host]:
    app = FastAPI()
    app.mount(PATH, asgi_app(receiver))
    return served(app, f"{PATH}/")


def set_django_up() -> None:
    """Configure Django, once in a process: the CSRF check is on, the body may be longer than Django's own limit."""
    if settings.configured:
        return
    mails: dict[str, Any] = {"EMAIL_BACKEND": LOCMEM, "ADMINS": [("Ops", "ops@example.com")]}
    if django.VERSION >= (6, 1):  # which needs Python 3.12, and warns of the others
        mails = {"MAILERS": {"default": {"BACKEND": LOCMEM}}, "ADMINS": ["ops@example.com"]}
    configure(
        ALLOWED_HOSTS=["127.0.0.1"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": f"{_DATABASE.name}/django.sqlite3"}},
        LOGGING_CONFIG=None,
        MIDDLEWARE=["django.middleware.common.CommonMiddleware", "django.middleware.csrf.CsrfViewMiddleware"],
        SECRET_KEY="made-up",
        **mails,
    )


async def guarded(request: HttpRequest) -> HttpResponse:
    """Answer what gets past the CSRF check."""
    return respond("past")


def django_urls(receiver: WebhookReceiver) -> Any:
    """Return what ROOT_URLCONF may be in the place of a module's name."""
    return path(PATH[1:], django_view(receiver)), path("guarded", guarded)


@asynccontextmanager
async def django_host(receiver: WebhookReceiver, *, debug: bool = False) -> AsyncIterator[Host]:
    set_django_up()
    with override(ROOT_URLCONF=django_urls(receiver), DEBUG=debug):
        # Django has no lifespan.
        async with served(asgi_application(), lifespan="off") as host:
            yield host


HOSTS: Mapping[str, Hosting] = {
    "aiohttp": aiohttp_host,
    "asgi": plain_host,
    "starlette route": starlette_route,
    "starlette mount": starlette_mount,
    "fastapi route": fastapi_route,
    "fastapi mount": fastapi_mount,
    "django": django_host,
}


@attrs.frozen
class Reply:
    """What a raw connection was answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def head(host: Host, *lines: str, method: str = "POST") -> bytes:
    """Return the beginning of a request, up to its body."""
    text = "\r\n".join([f"{method} {host.path} HTTP/1.1", f"Host: 127.0.0.1:{host.port}", *lines, "", ""])
    return text.encode("utf-8")


async def exchange(host: Host, *parts: bytes) -> Reply:
    """Write these bytes, as far as they are taken, and return the first reply, also where it comes early."""
    reader, writer = await asyncio.open_connection("127.0.0.1", host.port)
    writing = asyncio.create_task(_write(writer, parts))
    try:
        async with asyncio.timeout(10):
            reply = await _reply(reader)
            await asyncio.wait([writing])
        return reply
    finally:
        writing.cancel()
        writer.transport.abort()
        await asyncio.gather(writing, return_exceptions=True)


async def hang_up(host: Host, *parts: bytes) -> None:
    """Write these bytes and leave."""
    _, writer = await asyncio.open_connection("127.0.0.1", host.port)
    await _write(writer, parts)
    writer.close()
    await writer.wait_closed()


async def _write(writer: asyncio.StreamWriter, parts: tuple[bytes, ...]) -> None:
    for part in parts:
        writer.write(part)
        await writer.drain()


async def _reply(reader: asyncio.StreamReader) -> Reply:
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").strip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if headers.get("transfer-encoding") == "chunked":  # behind some middlewares of Starlette
        return Reply(int(first.split()[1]), headers, (await reader.readuntil(b"0\r\n\r\n"))[:-5])
    # All others say how long the body is, except where there can be none.
    return Reply(int(first.split()[1]), headers, await reader.readexactly(int(headers["content-length"])))
