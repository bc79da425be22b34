"""A receiver behind aiohttp.web, uvicorn, Starlette, FastAPI and Django, over real sockets."""

from __future__ import annotations

import asyncio
import gzip
import logging
import subprocess
import sys
import threading
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from functools import cache
from pathlib import Path
from threading import Thread
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import attrs
import pytest
from aiohttp import web
from django.core import mail
from django.core.handlers.wsgi import WSGIRequest
from django.core.wsgi import get_wsgi_application
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.utils.log import AdminEmailHandler
from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import Response
from tokens.doubles import until
from webhooks.hosts import (
    HOSTS,
    PATH,
    Host,
    Hosting,
    Reply,
    django_host,
    django_urls,
    exchange,
    fastapi_mount,
    hang_up,
    head,
    override,
    served,
    set_django_up,
    starlette_mount,
)

from enkash_async.stores import Cell, MemoryStore
from enkash_async.webhooks import BillEvent, WebhookReceiver, WebhookVerifier, aiohttp_handler, asgi_app, django_view

EXAMPLE = (Path(__file__).parents[1] / "samples" / "webhook_bill.json").read_bytes()
NAME = "X-Enkash"  # a name that nobody's filter takes for that of a secret
SECRET = "kept-to-ourselves-73"
GUESS = "a-strangers-guess-11"
RIGHT = f"{NAME}: {SECRET}"

# Django gives these no types.
admin_email_handler: Callable[..., logging.Handler] = AdminEmailHandler
wsgi_application: Callable[[], Any] = get_wsgi_application
wsgi_request: Callable[[dict[str, Any]], HttpRequest] = WSGIRequest

#: What of a post must be in no log.
PRIVATE = (SECRET, GUESS, "CN123456789", "Asha Sample", "BTX-555001")

Event = MutableMapping[str, Any]


class AwayStore(MemoryStore):
    """A store that cannot be reached."""

    async def read(self, keys: Sequence[str]) -> Mapping[str, Cell]:
        raise ConnectionError("away")


@attrs.define
class Inbox:
    """A handler that keeps events, and fails while it is told to."""

    events: list[BillEvent] = attrs.field(factory=list)
    is_failing: bool = False

    def __call__(self, event: BillEvent) -> None:
        if self.is_failing:
            raise RuntimeError("the database is away")
        self.events.append(event)


@pytest.fixture(params=HOSTS)
def hosting(request: pytest.FixtureRequest) -> Hosting:
    return HOSTS[request.param]


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG)
    return caplog


def receiver(on_bill: Any, **options: Any) -> WebhookReceiver:
    """Return a receiver that accepts posts with one header."""
    return WebhookReceiver(WebhookVerifier(headers={NAME: SECRET}, **options), on_bill=on_bill, store=MemoryStore())


async def post(host: Host, body: bytes = EXAMPLE, *lines: str) -> Reply:
    """Post a body, with the right header if no others are named."""
    return await exchange(host, head(host, *(lines or (RIGHT,)), f"Content-Length: {len(body)}"), body)


def everything(log: pytest.LogCaptureFixture) -> str:
    """Return all that was logged, with what hangs on the records."""
    formatter = logging.Formatter()
    return "\n".join(f"{formatter.format(record)} {vars(record)!r}" for record in log.records)


def failures(log: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in log.records if record.levelno >= logging.ERROR or record.exc_info]


@contextmanager
def memory_below(limit: int) -> Iterator[None]:
    """Fail where this process, server and client in one, uses more further bytes than allowed."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        yield
        assert tracemalloc.get_traced_memory()[1] - before < limit
    finally:
        tracemalloc.stop()


# What is right


async def test_the_documented_example_arrives_as_the_same_value(hosting: Hosting, inbox: Inbox) -> None:
    """Each framework's handler gets what the verifier reads from the same bytes."""
    async with hosting(receiver(inbox)) as host:
        reply = await post(host)
    assert (reply.status, reply.body) == (200, b"")
    assert inbox.events == [WebhookVerifier(headers={NAME: SECRET}).verify({NAME: SECRET}, EXAMPLE)]
    assert inbox.events[0].posted.utility_enkash_id == "UTIL-87654321"


@pytest.mark.parametrize("name", ["x-enkash", "X-ENKASH", "x-EnKaSh"])
async def test_upper_and_lower_case_of_a_header_name_are_one(hosting: Hosting, inbox: Inbox, name: str) -> None:
    """The receiver takes the post for any casing of the header's name."""
    async with hosting(receiver(inbox)) as host:
        assert (await post(host, EXAMPLE, f"{name}: {SECRET}")).status == 200


async def test_a_secret_beyond_ascii_is_recognised(hosting: Hosting, inbox: Inbox) -> None:
    """The receiver compares bytes, because frameworks decode headers differently."""
    made = WebhookReceiver(WebhookVerifier(headers={NAME: "schlüssel-चाबी"}), on_bill=inbox, store=MemoryStore())
    async with hosting(made) as host:
        assert (await post(host, EXAMPLE, f"{NAME}: schlüssel-चाबी")).status == 200
        assert (await post(host, EXAMPLE, f"{NAME}: schlüssel-चाभी")).status == 401


async def test_a_body_in_chunks_is_put_together(hosting: Hosting, inbox: Inbox) -> None:
    """A body of unknown length is read to its end."""
    async with hosting(receiver(inbox)) as host:
        reply = await exchange(host, head(host, RIGHT, "Transfer-Encoding: chunked"), *in_chunks(EXAMPLE, 100))
    assert (reply.status, len(inbox.events)) == (200, 1)


def in_chunks(body: bytes, size: int) -> list[bytes]:
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    return [b"%x\r\n%s\r\n" % (len(part), part) for part in [*parts, b""]]


async def test_a_failing_handler_is_given_the_event_again(hosting: Hosting, inbox: Inbox) -> None:
    """The receiver answers 500, handles the resend, and skips the one after that."""
    async with hosting(receiver(inbox)) as host:
        inbox.is_failing = True
        failed = await post(host)
        inbox.is_failing = False
        assert (failed.status, failed.body) == (500, b"")
        assert [(await post(host)).status for _ in range(2)] == [200, 200]
    assert len(inbox.events) == 1


# What is refused

REFUSALS: dict[str, tuple[int, bytes, tuple[str, ...]]] = {
    "no header": (401, EXAMPLE, ("X-Other: 1",)),
    "a wrong header": (401, EXAMPLE, (f"{NAME}: {GUESS}",)),
    "the right header twice": (401, EXAMPLE, (RIGHT, RIGHT)),
    "a wrong header and the right one": (401, EXAMPLE, (f"{NAME}: {GUESS}", RIGHT)),
    "no body": (400, b"", (RIGHT,)),
    "half a body": (400, EXAMPLE[:1000], (RIGHT,)),
    "a form": (400, b"a=1&b=2", (RIGHT, "Content-Type: application/x-www-form-urlencoded")),
    "a long body": (413, EXAMPLE + b" " * 5000, (RIGHT,)),
}


@pytest.mark.parametrize("kind", REFUSALS)
async def test_what_is_refused_is_told_nothing(hosting: Hosting, inbox: Inbox, kind: str) -> None:
    """The reply is a status without a body, and the handler is not called."""
    status, body, lines = REFUSALS[kind]
    async with hosting(receiver(inbox, max_body=5000)) as host:
        reply = await post(host, body, *lines)
    assert (reply.status, reply.body) == (status, b"")
    assert inbox.events == []


async def test_two_headers_are_not_run_together_into_one_secret(hosting: Hosting, inbox: Inbox) -> None:
    """The receiver refuses half of a secret in each of two headers, which Django joins by a comma."""
    made = WebhookReceiver(WebhookVerifier(headers={NAME: "first,second"}), on_bill=inbox, store=MemoryStore())
    async with hosting(made) as host:
        assert (await post(host, EXAMPLE, f"{NAME}: first", f"{NAME}: second")).status == 401
        assert (await post(host, EXAMPLE, f"{NAME}: first,second")).status == 200


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS"])
async def test_other_methods_are_told_which_one_is_right(hosting: Hosting, inbox: Inbox, method: str) -> None:
    """Each framework answers 405 with an empty body and an `Allow` header that names POST."""
    async with hosting(receiver(inbox)) as host:
        reply = await exchange(host, head(host, "Content-Length: 0", method=method))
    assert (reply.status, reply.body, reply.headers["allow"]) == (405, b"", "POST")


async def test_an_unreachable_record_of_events_asks_for_a_resend(hosting: Hosting, inbox: Inbox) -> None:
    """The reply is a 503 without a body."""
    made = WebhookReceiver(WebhookVerifier(headers={NAME: SECRET}), on_bill=inbox, store=AwayStore())
    async with hosting(made) as host:
        reply = await post(host)
    assert (reply.status, reply.body, inbox.events) == (503, b"", [])


@pytest.mark.parametrize("kind", sorted(HOSTS.keys() - {"django"}))
async def test_wrong_headers_are_refused_before_the_body_comes(kind: str, inbox: Inbox) -> None:
    """The receiver refuses a stranger without reading the body; only Django waits for it."""
    async with HOSTS[kind](receiver(inbox)) as host:
        reply = await exchange(host, head(host, f"{NAME}: {GUESS}", "Content-Length: 1000000"))
    assert (reply.status, reply.body) == (401, b"")


_PART = b" " * 2**16
_PARTS = 256  # 16 MiB in all
LONG: dict[str, tuple[str, list[bytes]]] = {
    "announced": (f"Content-Length: {_PARTS * len(_PART)}", [_PART] * _PARTS),
    "in chunks": ("Transfer-Encoding: chunked", [b"10000\r\n%s\r\n" % _PART] * _PARTS + [b"0\r\n\r\n"]),
}


@pytest.mark.parametrize("kind", LONG)
async def test_a_long_body_does_not_fill_the_memory(hosting: Hosting, inbox: Inbox, kind: str) -> None:
    """The receiver refuses 16 MiB in less than half of that memory."""
    line, parts = LONG[kind]
    async with hosting(receiver(inbox)) as host:
        await post(host, b"")  # so that what is imported late is here
        with memory_below(2**23):
            try:
                reply = await exchange(host, head(host, RIGHT, line), *parts)
            except (ConnectionError, asyncio.IncompleteReadError):
                # aiohttp is made to close at once, and bytes in flight can cost the sender the reply.
                assert hosting is HOSTS["aiohttp"]
            else:
                assert (reply.status, reply.body) == (413, b"")
        await until(host.is_idle)
    assert inbox.events == []


@cache
def bomb() -> bytes:
    """Return a gibibyte of zeros in a mebibyte of gzip."""
    packer = zlib.compressobj(wbits=31)
    first, again = (packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    # Each block after a full flush stands alone; the sum of the whole is known, and its length is 2**30.
    return first + again * 1023 + b"\x03\x00" + (0x5B64C2B0).to_bytes(4, "little") + (2**30).to_bytes(4, "little")


@pytest.mark.parametrize("secret", [SECRET, GUESS], ids=["right", "wrong"])
async def test_a_gzip_bomb_does_no_harm(
    hosting: Hosting, inbox: Inbox, log: pytest.LogCaptureFixture, secret: str
) -> None:
    """The receiver refuses it in 50 MB, alike in all frameworks."""
    async with hosting(receiver(inbox, max_body=2**21)) as host:
        await post(host, b"")
        packed = bomb()
        with memory_below(50_000_000):
            try:
                found = (await post(host, packed, f"{NAME}: {secret}", "Content-Encoding: gzip")).status
            except (ConnectionError, asyncio.IncompleteReadError):
                # aiohttp is made to close at once, and bytes in flight can cost the sender the reply.
                assert hosting is HOSTS["aiohttp"]
            else:
                assert found == (401 if secret == GUESS else 413)
        await until(host.is_idle)
        assert inbox.events == []
        assert (await post(host)).status == 200
    assert failures(log) == []


async def test_what_is_left_of_a_packed_body_is_not_unpacked(inbox: Inbox, log: pytest.LogCaptureFixture) -> None:
    """The receiver stops aiohttp, which would unpack a stranger's whole gibibyte after the reply."""
    async with HOSTS["aiohttp"](receiver(inbox)) as host:
        line = f"Content-Length: {len(bomb())}"
        reply = await exchange(host, head(host, f"{NAME}: {GUESS}", line, "Content-Encoding: gzip"))
        assert (reply.status, reply.body, reply.headers["connection"]) == (401, b"", "close")
        await until(host.is_idle)
    assert failures(log) == []


@pytest.mark.parametrize(
    "packed",
    [b"not packed at all", gzip.compress(EXAMPLE)[:-400], b"\x1f\x8b\xff\xff"],
    ids=["not", "cut off", "damaged"],
)
async def test_what_cannot_be_unpacked_is_unreadable(
    hosting: Hosting, inbox: Inbox, log: pytest.LogCaptureFixture, packed: bytes
) -> None:
    """The reply blames the sender, and no error of the server is logged."""
    async with hosting(receiver(inbox)) as host:
        reply = await post(host, packed, RIGHT, "Content-Encoding: gzip")
        await until(host.is_idle)
        assert (reply.status, reply.body) == (400, b"")
        assert (await post(host)).status == 200
    assert failures(log) == []
    assert len(inbox.events) == 1


@pytest.mark.parametrize("word", ["gzip", "x-gzip", "GZip"])
async def test_a_packed_body_is_unpacked(hosting: Hosting, inbox: Inbox, word: str) -> None:
    """Each framework's handler gets the same event as from a plain body."""
    async with hosting(receiver(inbox)) as host:
        reply = await post(host, gzip.compress(EXAMPLE), RIGHT, f"Content-Encoding: {word}")
    assert reply.status == 200
    assert inbox.events == [WebhookVerifier(headers={NAME: SECRET}).verify({NAME: SECRET}, EXAMPLE)]


@pytest.mark.parametrize("word", ["deflate", "compress", "gzip, gzip", "aes128gcm"])
async def test_another_encoding_is_refused_alike(hosting: Hosting, inbox: Inbox, word: str) -> None:
    """The reply is 415 in each framework, also where the framework could unpack it."""
    async with hosting(receiver(inbox)) as host:
        reply = await post(host, EXAMPLE, RIGHT, f"Content-Encoding: {word}")
        assert (reply.status, reply.body, inbox.events) == (415, b"", [])
        assert (await post(host, EXAMPLE, RIGHT, "Content-Encoding: identity")).status == 200


# Who leaves


@pytest.mark.parametrize("line", [f"Content-Length: {len(EXAMPLE)}", "Transfer-Encoding: chunked"])
async def test_a_sender_who_leaves_before_the_end_of_the_body_is_forgotten(
    hosting: Hosting, inbox: Inbox, log: pytest.LogCaptureFixture, line: str
) -> None:
    """Half a post is neither an event nor an error, and the next post is handled."""
    async with hosting(receiver(inbox)) as host:
        await hang_up(host, head(host, RIGHT, line), in_chunks(EXAMPLE, 100)[0])
        await until(host.is_idle)
        assert inbox.events == []
        assert (await post(host)).status == 200
    assert len(inbox.events) == 1
    assert failures(log) == []


@attrs.define
class Slow:
    """A handler that waits for the test and records how it ended."""

    gate: asyncio.Event = attrs.field(factory=asyncio.Event)
    results: list[str] = attrs.field(factory=list)

    async def __call__(self, event: BillEvent) -> None:
        self.results.append("begun")
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.results.append("cancelled")
            raise
        self.results.append("done")


async def test_a_sender_who_leaves_while_the_event_is_handled_loses_nothing(
    hosting: Hosting, log: pytest.LogCaptureFixture
) -> None:
    """The handler works to its end, also in Django, which cancels the view."""
    slow = Slow()
    async with hosting(receiver(slow)) as host:
        leaving = asyncio.create_task(post(host))
        await until(lambda: slow.results == ["begun"])
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        await asyncio.sleep(0.05)  # time to cancel the handler, which must not happen
        slow.gate.set()
        await until(host.is_idle)
        assert (await post(host)).status == 200
    assert slow.results == ["begun", "done"]
    assert failures(log) == []


async def test_a_request_that_aiohttp_cancels_is_handled_to_its_end() -> None:
    """A server with `handler_cancellation` cancels the request when its sender leaves, and loses no news by it."""
    slow = Slow()
    app = web.Application()
    app.router.add_post(PATH, aiohttp_handler(receiver(slow)))
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        server = runner.server
        assert server is not None
        host = Host(runner.addresses[0][1], PATH, lambda: not server.connections)
        leaving = asyncio.create_task(post(host))
        await until(lambda: slow.results == ["begun"])
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        await until(host.is_idle)
        slow.gate.set()
        await until(lambda: slow.results == ["begun", "done"])
        assert (await post(host)).status == 200
    finally:
        await runner.cleanup()
    assert slow.results == ["begun", "done"]


# What a middleware has read before


async def test_a_body_that_a_middleware_has_read_is_taken(inbox: Inbox) -> None:
    """`request.read()` of aiohttp, `request.body()` of Starlette and `request.body` of Django keep what they read."""
    for reading in (aiohttp_reading("read"), starlette_reading("body"), django_reading("body")):
        inbox.events.clear()
        async with reading(receiver(inbox)) as host:
            reply = await post(host)
        assert (reply.status, len(inbox.events)) == (200, 1)


async def test_a_body_that_a_middleware_has_taken_away_is_this_sides_fault(
    inbox: Inbox, log: pytest.LogCaptureFixture
) -> None:
    """A stream can be read once. The reply asks for a resend, and the log says what the middleware should call."""
    for reading in (aiohttp_reading("stream"), starlette_reading("stream"), django_reading("stream")):
        log.clear()
        async with reading(receiver(inbox)) as host:
            reply = await post(host)
        assert (reply.status, reply.body, inbox.events) == (500, b"", [])
        assert "a middleware has read the body of the post as a stream" in log.text


def aiohttp_reading(how: str) -> Hosting:
    @web.middleware
    async def reads(request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> Any:
        await (request.read() if how == "read" else request.content.read())
        return await handler(request)

    @asynccontextmanager
    async def host(made: WebhookReceiver) -> AsyncIterator[Host]:
        app = web.Application(middlewares=[reads])
        app.router.add_post(PATH, aiohttp_handler(made))
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            yield Host(runner.addresses[0][1], PATH, lambda: True)
        finally:
            await runner.cleanup()

    return host


def starlette_reading(how: str) -> Hosting:
    class Reads(BaseHTTPMiddleware):
        async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
            if how == "body":
                await request.body()
            else:
                async for _ in request.stream():
                    pass
            return await call_next(request)

    def host(made: WebhookReceiver) -> AbstractAsyncContextManager[Host]:
        app = FastAPI(middleware=[Middleware(Reads)])
        app.add_route(PATH, asgi_app(made), methods=["POST"])
        return served(app)

    return host


def django_reading(how: str) -> Hosting:
    @asynccontextmanager
    async def host(made: WebhookReceiver) -> AsyncIterator[Host]:
        set_django_up()
        with override(MIDDLEWARE=[f"{__name__}.django_{how}"]):
            async with django_host(made) as running:
                yield running

    return host


def django_body(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    def middleware(request: HttpRequest) -> HttpResponse:
        assert request.body
        return get_response(request)

    return middleware


def django_stream(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    def middleware(request: HttpRequest) -> HttpResponse:
        assert request.read()
        return get_response(request)

    return middleware


# Handlers that are not async


async def test_a_function_does_not_hold_up_the_server(hosting: Hosting) -> None:
    """It works in a thread, so that another post is answered meanwhile."""
    entered, gate = threading.Event(), threading.Event()

    def on_bill(event: BillEvent) -> None:
        entered.set()
        assert gate.wait(20)

    async with hosting(receiver(on_bill)) as host:
        waiting = asyncio.create_task(post(host))
        await until(entered.is_set)
        assert (await post(host, b"{}")).status == 400
        gate.set()
        assert (await waiting).status == 200


async def test_a_function_may_use_the_orm_of_django(tmp_path: Path) -> None:
    """Django refuses its ORM in an event loop, and closes in the handler's thread what was opened there."""
    found: list[Any] = []

    def on_bill(event: BillEvent) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT %s", [event.posted.utility_enkash_id])
            found.extend(cursor.fetchone())

    async with django_host(receiver(on_bill)) as host:
        assert (await post(host)).status == 200
    assert found == ["UTIL-87654321"]


async def test_the_application_may_stand_for_a_function_of_a_request(inbox: Inbox) -> None:
    """The types of Starlette ask for one; given a request, the application returns a response, which is itself."""
    app = asgi_app(receiver(inbox))
    assert await app(object()) is app


# What is logged


async def test_neither_secrets_nor_bodies_are_logged(
    hosting: Hosting, inbox: Inbox, log: pytest.LogCaptureFixture
) -> None:
    """No logger of any framework shows them, whatever fails."""
    async with hosting(receiver(inbox, max_body=5000)) as host:
        for _, body, lines in REFUSALS.values():
            await post(host, body, *lines)
        await hang_up(host, head(host, RIGHT, "Content-Length: 5000"), EXAMPLE)
        await until(host.is_idle)
        inbox.is_failing = True
        await post(host)
        inbox.is_failing = False
        await post(host)
    logged = everything(log)
    assert "on_bill failed" in logged
    assert "HTTP 401" in logged
    assert [private for private in PRIVATE if private in logged] == []


# Starlette and FastAPI


@pytest.mark.parametrize("mounted", [starlette_mount, fastapi_mount])
async def test_a_mount_redirects_from_the_path_without_a_slash(mounted: Hosting, inbox: Inbox) -> None:
    """The framework redirects, which is why the docs advise a route."""
    async with mounted(receiver(inbox)) as host:
        bare = attrs.evolve(host, path=PATH)
        reply = await post(bare)
    assert (reply.status, reply.headers["location"]) == (307, f"http://127.0.0.1:{host.port}{PATH}/")
    assert inbox.events == []


# Django


async def test_the_csrf_check_of_django_lets_posts_through(inbox: Inbox) -> None:
    """The receiver's view takes posts while another view refuses them."""
    async with django_host(receiver(inbox)) as host:
        assert (await post(attrs.evolve(host, path="/guarded"))).status == 403
        assert (await post(host)).status == 200


@pytest.mark.parametrize("kind", REFUSALS)
async def test_the_debug_mode_of_django_shows_no_details(inbox: Inbox, kind: str) -> None:
    """The reply has no debug page, which Django shows for raised errors."""
    status, body, lines = REFUSALS[kind]
    inbox.is_failing = True
    async with django_host(receiver(inbox, max_body=5000), debug=True) as host:
        refused, failed = await post(host, body, *lines), await post(host)
    assert (refused.status, refused.body) == (status, b"")
    assert (failed.status, failed.body) == (500, b"")


async def test_the_mail_that_django_sends_to_admins_holds_no_secret(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Django reports a 5xx with headers and form, and the mail shows no secret."""
    outbox: list[Any] = []
    monkeypatch.setattr(mail, "outbox", outbox, raising=False)
    inbox.is_failing = True
    reporting = logging.getLogger("django.request")
    async with django_host(receiver(inbox)) as host:
        handler = admin_email_handler(include_html=True)
        handler.setLevel(logging.ERROR)
        reporting.addHandler(handler)
        try:
            failed = await post(host, EXAMPLE, RIGHT, "Content-Type: application/x-www-form-urlencoded")
        finally:
            reporting.removeHandler(handler)
    assert (failed.status, len(outbox)) == (500, 1)
    written = outbox[0].message().as_string()
    assert "HTTP_X_ENKASH" in written
    assert [private for private in PRIVATE if private in written] == []


class QuietHandler(WSGIRequestHandler):
    """Does not write to stderr."""

    def log_message(self, *args: object) -> None:
        return


@contextmanager
def wsgi_host(made: WebhookReceiver) -> Iterator[Host]:
    set_django_up()
    with override(ROOT_URLCONF=django_urls(made)):
        with make_server("127.0.0.1", 0, wsgi_application(), handler_class=QuietHandler) as server:
            thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            try:
                yield Host(server.server_port, PATH, lambda: True)
            finally:
                server.shutdown()
                thread.join()


async def test_the_view_of_django_works_under_wsgi_as_well(inbox: Inbox) -> None:
    """Each request has its own event loop, and a repeated header is refused."""
    with wsgi_host(receiver(inbox)) as host:
        assert (await post(host)).status == 200
        assert (await post(host, EXAMPLE, RIGHT, RIGHT)).status == 401
    assert len(inbox.events) == 1


class Broken:
    """A body that breaks off, in the form that WSGI servers use."""

    def read(self, size: int = -1) -> bytes:
        raise ConnectionResetError("gone")

    readline = read


async def test_a_body_that_breaks_off_under_wsgi_is_unreadable(inbox: Inbox) -> None:
    """The receiver logs no error of the server."""
    set_django_up()
    request = wsgi_request(
        {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": PATH,
            "HTTP_X_ENKASH": SECRET,
            "CONTENT_LENGTH": "100",
            "wsgi.input": Broken(),
        }
    )
    assert (await django_view(receiver(inbox))(request)).status_code == 400
    assert inbox.events == []


# ASGI


async def run(app: asgi_app, scope: Event, *events: Event) -> list[Event]:
    """Return what an application sends when it is told these events."""
    told, sent = list(events), list[Event]()

    async def receive() -> Event:
        return told.pop(0)

    async def send(event: Event) -> None:
        sent.append(event)

    await app(scope, receive, send)
    assert told == []
    return sent


async def test_the_application_says_yes_to_starting_and_stopping(inbox: Inbox) -> None:
    """It answers the lifespan events that servers send to a whole application."""
    events = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    sent = await run(asgi_app(receiver(inbox)), {"type": "lifespan"}, *events)
    assert sent == [{"type": "lifespan.startup.complete"}, {"type": "lifespan.shutdown.complete"}]


async def test_a_websocket_is_closed(inbox: Inbox) -> None:
    """The application closes it before accepting it, which makes the reply 403."""
    sent = await run(asgi_app(receiver(inbox)), {"type": "websocket"}, {"type": "websocket.connect"})
    assert [event["type"] for event in sent] == ["websocket.close"]


def http(pairs: Any) -> Event:
    return {"type": "http", "method": "POST", "path": PATH, "headers": pairs}


PAIRS = [(NAME.lower().encode(), SECRET.encode())]


async def test_nothing_is_sent_to_who_has_left(inbox: Inbox) -> None:
    """The application ends the request when a disconnect comes in place of the body."""
    app, gone = asgi_app(receiver(inbox)), {"type": "http.disconnect"}
    half = {"type": "http.request", "body": EXAMPLE, "more_body": True}
    assert await run(app, http(PAIRS), gone) == []
    assert await run(app, http(PAIRS), half, gone) == []
    assert inbox.events == []


@pytest.mark.parametrize("pairs", [list, iter, lambda pairs: map(list, pairs)], ids=["list", "iterator", "lists"])
async def test_headers_may_be_any_iterable_of_pairs(inbox: Inbox, pairs: Callable[[Any], Any]) -> None:
    """The application accepts any iterable and messages that omit empty members."""
    events: list[Event] = [{"type": "http.request", "more_body": True}, {"type": "http.request", "body": EXAMPLE}]
    sent = await run(asgi_app(receiver(inbox)), http(pairs(PAIRS)), *events)
    assert [sent[0]["status"], sent[1].get("body")] == [200, b""]


async def test_an_application_serves_beside_the_requests_of_others(inbox: Inbox) -> None:
    """A slow sender does not delay the other requests."""
    async with served(asgi_app(receiver(inbox))) as host:
        slow = asyncio.create_task(exchange(host, head(host, RIGHT, "Content-Length: 9")))
        try:
            assert (await post(host)).status == 200
            assert not slow.done()
        finally:
            slow.cancel()
            await asyncio.gather(slow, return_exceptions=True)


# The imports of a process that uses one adapter

_IMPORTS = """
import sys
import enkash_async.webhooks
assert "redis" not in sys.modules, "redis"
from enkash_async.webhooks import asgi_app
for name in ("aiohttp.web", "django", "fastapi", "redis", "starlette"):
    assert name not in sys.modules, name
"""


def test_one_adapter_does_not_import_the_frameworks_of_the_others() -> None:
    """A process with one adapter loads no other framework and no Redis."""
    result = subprocess.run([sys.executable, "-c", _IMPORTS], capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stderr) == (0, "")
