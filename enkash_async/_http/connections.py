"""Opens and closes the connections of one event loop.

No connection outlives its loop, and a kept connection that the server has closed is not used again.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import warnings
import weakref
from collections.abc import AsyncGenerator, Callable, Mapping
from functools import partial
from typing import Any

import aiohttp

from enkash_async._support.transports import close_by_hand

__all__ = ["OpenSession", "has_stray_bytes"]

_HAS_POLL = hasattr(select, "poll")  # not on Windows
_UNCLOSED = (
    "an EnkashClient with open connections was dropped: use `async with`, or call `await client.aclose()`. The "
    "connections are closed now"
)


def has_stray_bytes(protocol: object) -> bool:
    """Whether a connection has received bytes that belong to no request."""
    # aiohttp has no public API for this: `_buffer` holds a second reply, and `_tail` holds bytes that are no reply.
    return bool(getattr(protocol, "_buffer", ()) or getattr(protocol, "_tail", b""))


class OpenSession:
    """An aiohttp session in the running event loop, which sends each request once.

    `aclose` closes the session. Without `aclose`, it is closed when `asyncio.run` ends or this object is
    garbage-collected.

    Args:
        limit: Largest number of connections.
        headers: Headers of every request.
    """

    def __init__(self, limit: int, headers: Mapping[str, str]) -> None:
        self._loop = asyncio.get_running_loop()
        connector = _Connector(limit=limit)
        self.session: aiohttp.ClientSession = aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), headers=headers
        )
        # Keeps aiohttp from sending a GET twice, so that `RetryPolicy.attempts` is the exact number of attempts. There
        # is no public option for it; aiohttp's own test client sets this attribute too.
        self.session._retry_connection = False  # noqa: SLF001
        self._keeper = _keep(self.session)
        self._connector = connector
        # The finalizer keeps the session alive: if both objects were collected together, aiohttp would warn too.
        self._finalizer = weakref.finalize(self, _dropped, self._loop, self.session, connector, self._keeper)

    async def begin(self) -> None:
        """Arrange for the session to be closed when the event loop ends."""
        await anext(self._keeper)

    async def aclose(self, patience: float) -> None:
        """Close the session, from any event loop; a second call does nothing.

        Args:
            patience: Seconds to wait for the session's own loop, if that loop runs in another thread.
        """
        self._finalizer.detach()
        if self._loop is asyncio.get_running_loop():
            await self._keeper.aclose()
            await self.session.close()  # if `begin` was never called
        elif self._loop.is_running():
            closing = asyncio.run_coroutine_threadsafe(self.session.close(), self._loop)
            await asyncio.wait([asyncio.wrap_future(closing)], timeout=patience)
        else:
            self.let_go()

    def let_go(self) -> None:
        """Close the session's connections by hand, because its event loop has stopped."""
        self._finalizer.detach()
        _close_by_hand(self.session, self._connector, self._keeper)

    def disown(self) -> None:
        """Leave the connections to the parent process; for a child process after `fork`."""
        self._finalizer.detach()
        self._connector.disown()
        self.session.detach()


async def _keep(session: aiohttp.ClientSession) -> AsyncGenerator[None, None]:
    """Close a session when this generator is closed.

    `asyncio.run` closes unfinished asynchronous generators before it closes the loop. A client that outlives the
    loop, as in a worker that calls `asyncio.run` for each job, has no other way to learn that the loop ends.
    """
    try:
        yield
    finally:
        await session.close()


def _dropped(
    loop: asyncio.AbstractEventLoop,
    session: aiohttp.ClientSession,
    connector: _Connector,
    keeper: AsyncGenerator[None, None],
) -> None:
    """Close the session of a client that was garbage-collected without `aclose`, and warn."""
    if session.closed:
        return
    if loop.is_running():
        loop.call_soon_threadsafe(_close_soon, keeper)  # the garbage collector may run in any thread
    else:
        _close_by_hand(session, connector, keeper)
    warnings.warn(_UNCLOSED, ResourceWarning, stacklevel=2)


def _close_soon(keeper: AsyncGenerator[None, None]) -> None:
    closing = asyncio.ensure_future(keeper.aclose())
    _closing.add(closing)
    closing.add_done_callback(_closing.discard)


_closing: set[asyncio.Future[None]] = set()  # keeps the tasks alive: an event loop holds weak references only


def _close_by_hand(session: aiohttp.ClientSession, connector: _Connector, keeper: AsyncGenerator[None, None]) -> None:
    if session.closed:
        return
    connector.close_by_hand()
    session.detach()
    with contextlib.suppress(StopIteration):
        keeper.aclose().send(None)  # runs to its end without the loop, since nothing is left to await


class _Connector(aiohttp.TCPConnector):
    """Does not reuse a connection that the server has closed, or that has received unrequested bytes.

    aiohttp notices a closed connection only when the event loop polls the socket. The loop may not have polled between
    two requests, for example after code that blocked the loop.
    """

    def __init__(self, *, limit: int) -> None:
        super().__init__(limit=limit)
        # The protocols of all connections; each with a function that says whether there is something to read, or with
        # None while no request has had the connection.
        self._made: dict[Any, Callable[[], object] | None] = {}

    async def _create_connection(
        self, req: aiohttp.ClientRequest, traces: list[Any], timeout: aiohttp.ClientTimeout
    ) -> Any:
        protocol = await super()._create_connection(req, traces, timeout)
        self._made = {made: look for made, look in self._made.items() if made.transport is not None}
        self._made[protocol] = None
        return protocol

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Any], timeout: aiohttp.ClientTimeout
    ) -> aiohttp.connector.Connection:
        while True:
            connection = await super().connect(req, traces, timeout)
            protocol = connection.protocol
            look = self._made.get(protocol)
            if look is None:
                # Not looked at: the bytes on a new connection may be a part of its TLS handshake.
                self._made[protocol] = _look_at(connection.transport)
                return connection
            if not has_stray_bytes(protocol) and not look():
                return connection
            connection.close()

    def close_by_hand(self) -> None:
        """Close every connection without the event loop, which does not run any more."""
        for protocol in list(self._made):
            transport = protocol.transport
            if transport is not None:
                close_by_hand(transport, self._loop)
        self._close()

    def disown(self) -> None:
        """Forget every connection without touching it.

        The parent process still uses the connections. Closing one here would end its TLS session with the server, and
        remove its socket from the selector that both processes share.
        """
        self._closed = True


def _look_at(transport: asyncio.Transport | None) -> Callable[[], object]:
    """Return a function that says whether a connection has bytes to read or has ended; an idle one has neither."""
    line = None if transport is None else transport.get_extra_info("socket")
    if line is None or (number := line.fileno()) < 0:
        return lambda: transport is None or transport.is_closing()
    if not _HAS_POLL:
        return lambda: select.select([number], [], [], 0)[0]
    poll = select.poll()
    poll.register(number, select.POLLIN)
    return partial(poll.poll, 0)
