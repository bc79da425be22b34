"""A server that shows posts as they arrive, and the functions that format a post."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import datetime
from typing import Any

import attrs
import click
from aiohttp import web
from yarl import URL

from enkash_async._support.text import rupees, shown
from enkash_async.cli._output import note
from enkash_async.client import EnkashClient
from enkash_async.stores import MemoryStore
from enkash_async.webhooks import BillEvent, WebhookReceiver, WebhookVerifier, aiohttp_handler

__all__ = ["Place", "as_document", "as_line", "listen"]

_SHOWN = 4  # last characters of a consumer number that are shown
_SHUTDOWN = 1.0  # seconds that posts in progress get at the end; a post takes far less


@attrs.frozen
class Place:
    """Host, port and path at which posts are received."""

    host: str
    port: int
    path: str


class _OverError(Exception):
    """Refuses a post that arrives while the command ends: the post is not shown, so the answer must be a failure."""


class _Tally:
    """Shows events until enough were shown, or until standard output is closed.

    Attributes:
        is_over: Set when the command has to end, for any reason.
        left: Number of events still to show; None for no limit.
        problem: The error that prevents events from being shown, or None.
    """

    def __init__(self, show: Callable[[BillEvent], None], most: int | None) -> None:
        self._show = show
        self.is_over = asyncio.Event()
        self.left = most
        self.problem: BaseException | None = None

    async def __call__(self, event: BillEvent) -> None:  # async, so that it runs in the event loop of `is_over`
        if self.is_over.is_set():
            raise _OverError
        try:
            self._show(event)
        except (OSError, SystemExit) as problem:  # standard output is closed; rich then raises SystemExit
            self.problem = problem
            self.is_over.set()
            raise _OverError from None
        if self.left is not None:
            self.left -= 1
            if not self.left:
                self.is_over.set()


async def listen(
    place: Place,
    verifier: WebhookVerifier,
    *,
    client: EnkashClient | None = None,
    show: Callable[[BillEvent], None],
    most: int | None = None,
    announce: Callable[[str], None],
) -> bool:
    """Receive posts until SIGINT (Ctrl-C) or SIGTERM, or until enough were shown.

    Args:
        place: Host, port and path to listen at.
        verifier: Checks the headers of a post.
        client: Reads every bill from EnKash before it is shown; None shows bills as they were posted.
        show: Called once with each event.
        most: Number of events to show; None for no limit.
        announce: Called once with the URL, as soon as the server listens.

    Returns:
        False if a signal came before `most` events were shown.

    Raises:
        click.ClickException: The port cannot be opened.
    """
    tally = _Tally(show, most)
    app = web.Application(middlewares=[_missed(place.path)])
    # Uses its own memory store: a post that is only shown must not count as handled for workers that share a store.
    receiver = WebhookReceiver(verifier, on_bill=tally, client=client, store=MemoryStore())
    app.router.add_post(place.path, aiohttp_handler(receiver))
    with _notes(tally.is_over):
        async with _serving(app, place) as url:
            _end_on_signals(tally.is_over)
            announce(url)
            await tally.is_over.wait()
    if tally.problem is not None:
        raise tally.problem
    return not tally.left


@contextlib.asynccontextmanager
async def _serving(app: web.Application, place: Place) -> AsyncIterator[str]:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN)
    try:
        await runner.setup()
        try:
            await web.TCPSite(runner, place.host, place.port).start()
        except (OSError, ValueError) as problem:  # ValueError: no resolver accepts the host name
            raise click.ClickException(f"cannot listen: {problem}") from None
        yield str(URL.build(scheme="http", host=place.host, port=runner.addresses[0][1], path=place.path))
    finally:
        await runner.cleanup()


def _end_on_signals(is_over: asyncio.Event) -> None:
    """Set the event on SIGINT and SIGTERM; the loop removes the handlers when it closes, at the end of the command."""
    # Event loops on Windows have no signal handlers, and only the main thread may set a handler. Without a handler,
    # Ctrl-C ends `asyncio.run` with KeyboardInterrupt.
    with contextlib.suppress(NotImplementedError, RuntimeError):
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, is_over.set)


_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def _missed(path: str) -> Any:
    """Return a middleware that reports requests which do not reach the receiver, without quoting them."""

    @web.middleware
    async def middleware(request: web.Request, handler: _Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except web.HTTPException as answer:
            note(f"HTTP {answer.status}: only posts to {path} are received")
            raise

    return middleware


class _Notes(logging.Handler):
    """Writes the log messages of the receiver to standard error, one on each line, without tracebacks."""

    def __init__(self, is_over: asyncio.Event) -> None:
        super().__init__()
        self._is_over = is_over

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line, unless the command is ending."""
        if not self._is_over.is_set():
            with contextlib.suppress(OSError):  # standard error may be closed while posts are still received
                note(record.getMessage())


@contextlib.contextmanager
def _notes(is_over: asyncio.Event) -> Iterator[None]:
    """Print the log messages of the receiver, and hide those of aiohttp, inside the `with` block."""
    log, server, notes = logging.getLogger("enkash_async.webhooks"), logging.getLogger("aiohttp"), _Notes(is_over)
    # aiohttp logs malformed HTTP with a traceback that may contain a header.
    silent = logging.NullHandler()
    log.addHandler(notes)
    server.addHandler(silent)
    try:
        yield
    finally:
        log.removeHandler(notes)
        server.removeHandler(silent)


def as_line(event: BillEvent, at: datetime) -> str:
    """Return an event as one line for people.

    Args:
        event: The event as the receiver handed it over.
        at: Time of arrival.
    """
    bill = event.bill
    cells = [
        f"{at:%H:%M:%S}",
        shown(bill.utility_enkash_id) or "-",
        shown(bill.reference_id) or "-",
        rupees(bill.amount),
        bill.outcome.value,
        f"approval={shown(bill.approval_status) or '-'}",
        f"payment={shown(bill.payment_status) or '-'}",
        f"billpay={shown(bill.billpay_status) or '-'}",
        f"consumer={_consumer(event) or '-'}",
        _source(event),
    ]
    return "  ".join(cells)


def as_document(event: BillEvent, at: datetime) -> dict[str, Any]:
    """Return an event as a document for programs: the facts of `as_line`, and the key of the event.

    Args:
        event: The event as the receiver handed it over.
        at: Time of arrival.
    """
    bill = event.bill
    return {
        "received": at,
        "key": event.key,
        "type": event.type,
        "source": _source(event),
        "utility_enkash_id": bill.utility_enkash_id or None,
        "reference_id": bill.reference_id,
        "amount": bill.amount,
        "outcome": bill.outcome,
        "approval_status": bill.approval_status,
        "payment_status": bill.payment_status,
        "billpay_status": bill.billpay_status,
        "consumer_number": _consumer(event),
    }


def _source(event: BillEvent) -> str:
    """Return `confirmed` if the facts come from EnKash's API, or `posted` if they come from the post."""
    return "posted" if event.confirmed is None else "confirmed"


def _consumer(event: BillEvent) -> str | None:
    """Return the last characters of the consumer number, from the bill or its company biller."""
    bill = event.bill
    number = bill.consumer_number or (bill.company_biller and bill.company_biller.consumer_number)
    if not number:
        return None
    return "…" + (number[-_SHOWN:] if len(number) > _SHOWN else "")
