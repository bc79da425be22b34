"""Sends HTTP requests through aiohttp.

A failure says whether EnKash may have received the request. Its message describes aiohttp's exception in words. The
exception itself is dropped, since its frames and attributes hold the request headers with the bearer token.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from logging import DEBUG, getLogger
from urllib.parse import quote, urlencode

import aiohttp
from yarl import URL

from enkash_async._flow.gate import Gate
from enkash_async._http.bodies import LoneShot, OneShot, body_of
from enkash_async._http.connections import OpenSession, has_stray_bytes
from enkash_async._http.failures import failure_of
from enkash_async._http.proxy import netrc_flaw, proxy_for
from enkash_async._support import call_ids, checks
from enkash_async._support.cancellation import is_cancelled
from enkash_async._support.causes import Cause
from enkash_async._support.clock import fast_clock
from enkash_async._support.forks import reset_after_fork
from enkash_async._support.secret import Secret
from enkash_async._support.under_way import UnderWay
from enkash_async._support.version import __version__
from enkash_async._wire.hints import media_type
from enkash_async._wire.operation import Departure, Request, Response
from enkash_async.config import MAX_RESPONSE_BYTES, Limits, Timeouts
from enkash_async.errors import (
    ConfigurationError,
    EnkashError,
    ResponseDecodeError,
    TransportError,
)

__all__ = ["Transport"]

_log = getLogger("enkash_async")

_CHUNK = 64 * 1024  # bytes read at once; a reply over the limit is noticed at most one chunk late
_OTHER_LOOP = 5.0  # seconds for an event loop in another thread to close its session
_TURNS = 5  # turns of the event loop, enough for it to notice that a connection was closed, also under TLS
_USER_AGENT = (
    f"enkash-async/{__version__} aiohttp/{aiohttp.__version__} Python/{sys.version_info.major}.{sys.version_info.minor}"
)

_CLOSED = "the client is closed; make a new one"
_REPLACED = (
    "a middleware of the session replaced the body of the request, which the SDK could then not keep from being sent "
    "twice; nothing was sent: let it change headers only"
)
_HEADERS = {"Accept": "application/json", "User-Agent": _USER_AGENT}


def _log_exchange(request: Request, result: Response | EnkashError, spent: float, call_id: str) -> None:
    came = f"HTTP {result.status}" if isinstance(result, Response) else f"{type(result).__name__}, {result},"
    line = "%s %s: %s in %.0f ms [call %s]"
    _log.debug(line, request.method, request.path, came, spent, call_id, extra=call_ids.about(call_id))


class Transport:
    """Sends requests to one base URL.

    Args:
        base_url: The base URL, as `checked_base_url` of `_support/urls.py` returns it.
        session: The user's own session, which the transport never closes; None opens a session on first use.
        timeout: Time limits of each attempt.
        limits: How many requests may be in flight, and how many may begin in a second.
        max_response_bytes: Largest reply in bytes, after decompression.
        proxy: URL of the proxy for a session that is opened here; None follows the environment, see `proxy_for`.
    """

    def __init__(
        self,
        base_url: str,
        *,
        session: aiohttp.ClientSession | None = None,
        timeout: Timeouts = Timeouts(),
        limits: Limits = Limits(),
        max_response_bytes: int = MAX_RESPONSE_BYTES,
        proxy: str | None = None,
    ) -> None:
        checks.number(
            max_response_bytes, "max_response_bytes", least=1, whole=True, unit="bytes", error=ConfigurationError
        )
        if not isinstance(timeout, Timeouts):
            raise ConfigurationError(f"timeout must be Timeouts(total=…, connect=…), not {type(timeout).__name__}")
        if not isinstance(limits, Limits):
            raise ConfigurationError(f"limits must be Limits(concurrency=…, rate=…), not {type(limits).__name__}")
        if session is not None and not isinstance(session, aiohttp.ClientSession):
            raise ConfigurationError(f"session must be an aiohttp.ClientSession, not {type(session).__name__}")
        if getattr(session, "auth", None) is not None:
            raise ConfigurationError("session must have no auth of its own: it would take the place of the token")
        self._host = URL(base_url)
        if session is not None and (flaw := netrc_flaw(session, self._host.host or "")) is not None:
            raise ConfigurationError(flaw)
        if session is not None and proxy is not None:
            raise ConfigurationError("proxy is for the session that the SDK opens; your own session takes one itself")
        self._proxy = proxy_for(self._host, proxy) if session is None else None
        self._prefix = self._host.raw_path.rstrip("/")
        self._given = session
        self._opened: OpenSession | None = None
        self._of_parents: list[OpenSession | None] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._calls = UnderWay()
        # Both are made when the client first runs in an event loop.
        self._gate: Gate
        self._calls_here: AbstractContextManager[None]
        self._limits = limits
        self._timeout = aiohttp.ClientTimeout(total=timeout.total, sock_connect=timeout.connect)
        self._max_response_bytes = max_response_bytes
        self._is_closing = False
        self._is_closed = False
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Leave the connections to the parent process; this process must not close them, nor garbage-collect them."""
        if self._opened is not None:
            self._opened.disown()
        self._of_parents.append(self._opened)
        self._opened, self._loop = None, None

    def call(self) -> AbstractContextManager[None]:
        """Return a context manager that counts a call as under way, so that `aclose` waits for the call.

        Raises:
            ConfigurationError: The client is closed or about to close, or belongs to another event loop.
        """
        self._enter_loop()
        if self._is_closing:
            raise ConfigurationError(_CLOSED)
        return self._calls_here

    def gate(self) -> Gate:
        """Return the gate at which the pipeline waits before it signs and sends a request.

        Raises:
            ConfigurationError: The client is closed, or belongs to another event loop.
        """
        self._enter_loop()
        return self._gate

    async def send(
        self,
        request: Request,
        authorization: Secret | None = None,
        departure: Departure | None = None,
        *,
        alone: bool = False,
        call_id: str = "",
    ) -> Response:
        """Send a request and return its whole reply.

        Args:
            request: The request.
            authorization: Value of the `Authorization` header; None sends none.
            departure: Says whether the body may still be sent; the request then has a connection of its own. None for a
                request that may be sent late.
            alone: Whether to open a connection for this request, and close it after the reply.
            call_id: The id of the call, for the header `X-Request-Id` and the log; empty sends none.

        Raises:
            TransportError: No whole reply arrived; `sent` says whether EnKash may have received the request.
            ResponseDecodeError: The reply is larger than `max_response_bytes`.
        """
        alone = alone or departure is not None
        body = body_of(request, departure, alone=alone)
        started = fast_clock()
        if body is None:
            result = await self._exchange(request, None, authorization, call_id, alone=alone)
        else:
            result = await self._exchange_body(request, body, authorization, call_id, alone=alone)
        if _log.isEnabledFor(DEBUG):
            _log_exchange(request, result, (fast_clock() - started) * 1000, call_id)
        if isinstance(result, EnkashError):
            # Raised here, because inside an `except` block Python would attach aiohttp's exception as the context.
            raise result
        return result

    async def aclose(self, let_end: float = 0.0) -> None:
        """Close the session that this transport opened, if any; a second call does nothing.

        Args:
            let_end: Seconds to wait for calls under way to end; meanwhile no new call may begin.
        """
        self._is_closing = True
        try:
            await self._calls.ended(let_end)
        finally:
            self._is_closed = True
            opened, self._opened = self._opened, None
            if opened is not None:
                await opened.aclose(_OTHER_LOOP)

    async def _exchange_body(
        self, request: Request, body: OneShot, authorization: Secret | None, call_id: str, *, alone: bool
    ) -> Response | EnkashError:
        """Make an exchange with a body, and believe the reply only if it came after the body, on its own."""
        result: Response | EnkashError | None = None
        try:
            result = await self._exchange(request, body, authorization, call_id, alone=alone)
        finally:
            body.withdraw(is_answered=isinstance(result, Response))
        if body.is_replaced and not body.begun:
            return ConfigurationError(_REPLACED)
        if not isinstance(result, Response):
            return result
        if not body.begun:
            result.abandon()  # the reply came before the request, and aiohttp did not send the request
            why = f"{Cause.EARLY} (HTTP {result.status}), and is not believed" if alone else Cause.STRAY
            return TransportError(f"{self._host.host}: {why}; nothing was sent", sent=False)
        if isinstance(body, LoneShot) and body.has_stray_bytes:
            return TransportError(f"{self._host.host} sent more than one reply: none is believed", sent=True)
        return result

    async def _exchange(
        self, request: Request, body: OneShot | None, authorization: Secret | None, call_id: str, *, alone: bool
    ) -> Response | EnkashError:
        session, status = self._kept_session() or await self._session(alone=alone), 0
        try:
            async with session.request(
                request.method,
                self._url(request),
                data=body,
                headers=self._headers(request, authorization, call_id, alone=alone),
                # Forces a new connection: aiohttp reuses one only for the same `server_hostname`; kept ones have None.
                server_hostname=self._host.host if alone else None,
                proxy=self._proxy,
                timeout=self._timeout,
                allow_redirects=False,
                # An HTTP status must not raise, even if a user's own session has another default.
                raise_for_status=False,
                auto_decompress=True,
                middlewares=self._middlewares(body),
            ) as reply:
                status, content = reply.status, reply.content
                if alone and reply.connection is not None and reply.connection.protocol is not None:
                    reply.connection.protocol.force_close()  # or else the pool would have it until `_whole` closes it
                if content.is_eof() and content.total_bytes <= self._max_response_bytes:
                    return self._whole(reply, content.read_nowait(), alone=alone)  # it came at once, as most replies do
                return await self._read(reply, alone=alone)
        except asyncio.CancelledError as cancelled:
            if is_cancelled():
                # Drop aiohttp's frames, since their locals hold the bearer token.
                raise cancelled.with_traceback(None)  # noqa: B904 (it is the same exception)
            return self._failure(aiohttp.ServerDisconnectedError(), body, status)  # only aiohttp's writer was cancelled
        except (aiohttp.ClientError, OSError, ValueError, RuntimeError) as problem:
            return self._failure(problem, body, status)

    def _failure(self, problem: Exception, body: OneShot | None, status: int) -> TransportError:
        begun = None if body is None else body.begun
        host = self._host.host or ""
        return failure_of(problem, host, proxy=self._proxy, timeout=self._timeout, begun=begun, status=status)

    def _whole(self, reply: aiohttp.ClientResponse, body: bytes, *, alone: bool) -> Response | TransportError:
        # aiohttp has returned the connection to its pool by now, and has no public API that names the connection.
        protocol = getattr(reply, "_protocol", None)
        abandon = reply.close if protocol is None else protocol.close
        has_more = has_stray_bytes(protocol)
        if alone or has_more:
            abandon()
        if has_more:
            return TransportError(f"{self._host.host} sent more than one reply: none is believed", sent=True)
        return Response(status=reply.status, headers=reply.headers, body=body, abandon=abandon)

    async def _read(
        self, reply: aiohttp.ClientResponse, *, alone: bool
    ) -> Response | TransportError | ResponseDecodeError:
        """Read a reply that may be too large, and stop as soon as it exceeds the limit."""
        body = bytearray()
        async for chunk in reply.content.iter_chunked(_CHUNK):
            body += chunk
            if len(body) > self._max_response_bytes:
                reply.close()
                return ResponseDecodeError(
                    f"the reply is larger than max_response_bytes={self._max_response_bytes}",
                    status=reply.status,
                    content_type=media_type(reply.headers.get("Content-Type")),
                )
        return self._whole(reply, bytes(body), alone=alone)

    def _headers(self, request: Request, authorization: Secret | None, call_id: str, *, alone: bool) -> dict[str, str]:
        headers = {} if self._given is None else dict(_HEADERS)  # a session opened here adds the default headers
        if request.content_type is not None and self._given is not None:
            headers["Content-Type"] = request.content_type  # a default of the session would replace a missing one
        if authorization is not None:
            headers["Authorization"] = authorization.reveal()
        if call_id:
            headers[call_ids.HEADER] = call_id
        if alone:
            headers["Connection"] = "close"
        return headers

    def _middlewares(self, body: OneShot | None) -> Sequence[aiohttp.ClientMiddlewareType] | None:
        if self._given is None or body is None:
            return None
        # aiohttp has no public way to add a middleware to those of the session.
        return (*getattr(self._given, "_middlewares", ()), body.let_no_other)

    def _url(self, request: Request) -> URL:
        url = self._host.with_path(self._prefix + request.path, encoded=True)  # faster than `URL(...)`, which parses
        if not request.query:
            return url
        return URL(f"{url}?{urlencode(request.query, quote_via=quote)}", encoded=True)

    def _kept_session(self) -> aiohttp.ClientSession | None:
        """Return the session that was opened here in this event loop, if there is one."""
        self._enter_loop()
        return None if self._opened is None else self._opened.session

    async def _session(self, *, alone: bool) -> aiohttp.ClientSession:
        if self._given is not None:
            for _ in range(0 if alone else _TURNS):  # lets aiohttp notice which connections were closed
                await asyncio.sleep(0)
            return self._given
        opened = self._opened = OpenSession(self._limits.concurrency, _HEADERS)
        await opened.begin()
        return opened.session

    def _enter_loop(self) -> None:
        """Bind the transport to the running event loop. It can move to another loop once its loop is closed."""
        if self._is_closed:
            raise ConfigurationError(_CLOSED)
        loop = asyncio.get_running_loop()
        if self._loop is loop:
            return
        if self._loop is not None and not self._loop.is_closed():
            raise ConfigurationError("a client belongs to one event loop: make one for each, they can share `tokens`")
        if self._loop is not None and self._given is not None:
            raise ConfigurationError(
                "the session that this client was given belongs to an event loop that has ended: make a session and a "
                "client in each loop"
            )
        left, self._opened = self._opened, None
        if left is not None:
            left.let_go()
        self._loop, self._gate, self._calls_here = loop, Gate(self._limits), self._calls.here()
