"""A server that shows posts as they arrive, and how one of them is shown."""

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
from enkash_async.webhooks import BillEvent, WebhookReceiver, WebhookVerifier, aiohttp_handler

__all__ = ["Place", "as_document", "as_line", "listen"]

_SHOWN = 4  # characters of a consumer number
_SHUTDOWN = 1.0  # seconds for posts in hand at the end; the last that is shown is answered in far less


@attrs.frozen
class Place:
    """Where posts are received."""

    host: str
    port: int
    path: str


class _OverError(Exception):
    """What arrives after the end is not shown, and not answered as if it were."""


class _Tally:
    """Shows events until there are enough of them, or nobody reads them any more.

    Attributes:
        is_over: Is set at the end, whatever brings it about.
        left: How many events are still to be shown; None: as many as come.
        problem: Why events can no longer be shown.
    """

    def __init__(self, show: Callable[[BillEvent], None], most: int | None) -> None:
        self._show = show
        self.is_over = asyncio.Event()
        self.left = most
        self.problem: BaseException | None = None

    def __call__(self, event: BillEvent) -> None:
        if self.is_over.is_set():
            raise _OverError
        try:
            self._show(event)
        except (OSError, SystemExit) as problem:  # the reader has left, which rich tells with SystemExit
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
        place: Where.
        verifier: Knows who may post.
        client: Reads every bill from EnKash before it is shown; None shows what was posted.
        show: Is called with each event, once.
        most: How many events are enough; None: never.
        announce: Is called once with the URL.

    Returns:
        False where the end came before `most` events were shown.

    Raises:
        click.ClickException: The port cannot be opened.
    """
    tally = _Tally(show, most)
    app = web.Application(middlewares=[_missed(place.path)])
    app.router.add_post(place.path, aiohttp_handler(WebhookReceiver(verifier, on_bill=tally, client=client)))
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
        except (OSError, ValueError) as problem:  # ValueError: a host name that no resolver takes
            raise click.ClickException(f"cannot listen: {problem}") from None
        yield str(URL.build(scheme="http", host=place.host, port=runner.addresses[0][1], path=place.path))
    finally:
        await runner.cleanup()


def _end_on_signals(is_over: asyncio.Event) -> None:
    """Set the event on SIGINT and SIGTERM; the end of the loop, which is that of the command, takes it back."""
    # Windows has no signal handlers on a loop, and only the main thread may set any: there Ctrl-C ends `asyncio.run`
    # with KeyboardInterrupt.
    with contextlib.suppress(NotImplementedError, RuntimeError):
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, is_over.set)


_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def _missed(path: str) -> Any:
    """Return a middleware that notes what never comes to the receiver, without a word of it."""

    @web.middleware
    async def middleware(request: web.Request, handler: _Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except web.HTTPException as answer:
            note(f"HTTP {answer.status}: only posts to {path} are received")
            raise

    return middleware


class _Notes(logging.Handler):
    """Writes what the receiver logs to standard error, a line each, without tracebacks."""

    def __init__(self, is_over: asyncio.Event) -> None:
        super().__init__()
        self._is_over = is_over

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line, unless the command is at its end."""
        if not self._is_over.is_set():
            with contextlib.suppress(OSError):  # nobody reads standard error any more; the posts are still received
                note(record.getMessage())


@contextlib.contextmanager
def _notes(is_over: asyncio.Event) -> Iterator[None]:
    """Note refusals for as long as the context lasts."""
    log, server, notes = logging.getLogger("enkash_async.webhooks"), logging.getLogger("aiohttp"), _Notes(is_over)
    # What is no HTTP at all aiohttp logs with a traceback that shows lines of it; they may hold a header.
    mute = logging.NullHandler()
    log.addHandler(notes)
    server.addHandler(mute)
    try:
        yield
    finally:
        log.removeHandler(notes)
        server.removeHandler(mute)


def as_line(event: BillEvent, at: datetime) -> str:
    """Return an event for people.

    Args:
        event: As it arrived.
        at: When.
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
    """Return an event for programs: what `as_line` tells, and the key of the event.

    Args:
        event: As it arrived.
        at: When.
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
    """Return whose word it is: EnKash's API confirmed it, or somebody posted it."""
    return "posted" if event.confirmed is None else "confirmed"


def _consumer(event: BillEvent) -> str | None:
    """Return the last characters of the consumer number, wherever it stands."""
    bill = event.bill
    number = bill.consumer_number or (bill.company_biller and bill.company_biller.consumer_number)
    if not number:
        return None
    return "…" + (number[-_SHOWN:] if len(number) > _SHOWN else "")
