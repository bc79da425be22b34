"""Sends HTTP requests through aiohttp.

A failure says whether EnKash may have received the request. Its message describes aiohttp's exception in words, and the
exception itself is dropped: its frames and attributes hold the request headers, and with them the bearer token.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable
from logging import getLogger
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
from aiohttp.payload import BytesPayload
from yarl import URL

from enkash_async._flow.gate import Gate
from enkash_async._support import checks
from enkash_async._support.clock import fast_clock
from enkash_async._support.secret import Secret
from enkash_async._version import __version__
from enkash_async._wire.operation import Request, Response
from enkash_async.config import MAX_RESPONSE_BYTES, Limits, Timeouts
from enkash_async.errors import (
    ConfigurationError,
    EnkashError,
    RequestTimeoutError,
    ResponseDecodeError,
    TransportError,
)

__all__ = ["Transport"]

_log = getLogger("enkash_async")

_BARE = frozenset({"GET", "HEAD"})  # methods that change nothing, so that a repetition by aiohttp does no harm
_CHUNK = 64 * 1024  # bytes read at once; a reply over the limit is noticed at most one chunk late
_USER_AGENT = (
    f"enkash-async/{__version__} aiohttp/{aiohttp.__version__} Python/{sys.version_info.major}.{sys.version_info.minor}"
)

_HEADERS = {"Accept": "application/json", "User-Agent": _USER_AGENT}


class _OneShot(BytesPayload):
    """A request body that can be written only once; prevents a second debit.

    aiohttp silently repeats PUT and DELETE when a kept-alive connection drops, and a confirmation is a PUT. This body
    refuses to be written a second time. `begun` tells *not sent* (False) from *maybe sent* (True).
    """

    begun = False

    async def write_with_length(self, writer: Any, content_length: int | None) -> None:
        if self.begun:
            raise ConnectionAbortedError("the request is not sent a second time")
        self.begun = True
        await super().write_with_length(writer, content_length)


class _Once:
    """A client middleware that lets only the first attempt through.

    It keeps aiohttp from repeating a GET by itself, so that the attempts are exactly `RetryPolicy.attempts`. A user's
    own session keeps its own middlewares instead; there aiohttp may repeat a read.
    """

    def __init__(self) -> None:
        self._begun = False

    def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> Awaitable[aiohttp.ClientResponse]:
        if self._begun:
            raise aiohttp.ClientConnectionError
        self._begun = True
        return handler(request)


class Transport:
    """Sends requests to one base URL.

    Args:
        base_url: As `checked_base_url` of `_support/urls.py` returns it.
        session: The user's own session, which is never closed here; None opens one on first use.
        timeout: Time limits of each attempt.
        limits: How many requests may be in flight, and begin in a second.
        max_response_bytes: Largest reply in bytes, after decompression.
    """

    def __init__(
        self,
        base_url: str,
        *,
        session: aiohttp.ClientSession | None = None,
        timeout: Timeouts = Timeouts(),
        limits: Limits = Limits(),
        max_response_bytes: int = MAX_RESPONSE_BYTES,
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
        self._prefix = self._host.raw_path.rstrip("/")
        self._given = session
        self._opened: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._limits = limits
        self._gate: Gate  # made when the client first runs in an event loop
        self._timeout = aiohttp.ClientTimeout(total=timeout.total, sock_connect=timeout.connect)
        self._max_response_bytes = max_response_bytes
        self._closed = False

    def gate(self) -> Gate:
        """Return the gate at which the pipeline waits before it signs and sends a request.

        Raises:
            ConfigurationError: The client is closed, or belongs to another event loop.
        """
        self._enter_loop()
        return self._gate

    async def send(self, request: Request, authorization: Secret | None = None) -> Response:
        """Send a request and return its whole reply.

        Args:
            request: The request.
            authorization: Value of the `Authorization` header; None sends none.

        Raises:
            TransportError: No reply; `sent` says whether EnKash may have received the request.
            ResponseDecodeError: The reply is larger than `max_response_bytes`.
        """
        bare = request.method in _BARE and request.body is None
        body = None if bare else _OneShot(request.body or b"", content_type=request.content_type)
        started = fast_clock()
        result = await self._exchange(request, body, authorization)
        spent = (fast_clock() - started) * 1000
        if isinstance(result, EnkashError):
            _log.debug("%s %s: %s after %.0f ms", request.method, request.path, type(result).__name__, spent)
            # Raised outside the `except` block, where Python would attach aiohttp's exception as the context.
            raise result
        _log.debug("%s %s: HTTP %d in %.0f ms", request.method, request.path, result.status, spent)
        return result

    async def aclose(self) -> None:
        """Close the session that this transport opened, if any; a second call does nothing."""
        self._closed = True
        session, self._opened = self._opened, None
        if session is not None:
            await session.close()

    async def _exchange(
        self, request: Request, body: _OneShot | None, authorization: Secret | None
    ) -> Response | EnkashError:
        session = self._session()
        try:
            async with session.request(
                request.method,
                self._url(request),
                data=body,
                headers=self._headers(authorization),
                timeout=self._timeout,
                allow_redirects=False,
                # A user's own session may have other defaults, and an HTTP status must not become an exception here.
                raise_for_status=False,
                auto_decompress=True,
                middlewares=None if self._given is not None else (_Once(),),
            ) as reply:
                length = reply.content_length
                if length is None or length > self._max_response_bytes or "Content-Encoding" in reply.headers:
                    return await self._read(reply)
                return Response(status=reply.status, headers=reply.headers, body=await reply.content.read())
        except asyncio.CancelledError as cancelled:
            # Drops aiohttp's frames, whose locals hold the bearer token.
            raise cancelled.with_traceback(None)  # noqa: B904 (it is the same exception)
        except (aiohttp.ClientError, OSError, ValueError, RuntimeError) as problem:
            return self._failure(problem, body)

    async def _read(self, reply: aiohttp.ClientResponse) -> Response | ResponseDecodeError:
        """Read a reply of unknown or excessive size, and stop once it is larger than the limit."""
        body = bytearray()
        async for chunk in reply.content.iter_chunked(_CHUNK):
            body += chunk
            if len(body) > self._max_response_bytes:
                reply.close()
                return ResponseDecodeError(
                    f"the reply is larger than max_response_bytes={self._max_response_bytes}",
                    status=reply.status,
                    content_type=reply.headers.get("Content-Type"),
                )
        return Response(status=reply.status, headers=reply.headers, body=bytes(body))

    def _headers(self, authorization: Secret | None) -> dict[str, str]:
        headers = {} if self._given is None else dict(_HEADERS)  # a session opened here adds them by itself
        if authorization is not None:
            headers["Authorization"] = authorization.reveal()
        return headers

    def _url(self, request: Request) -> URL:
        url = self._host.with_path(self._prefix + request.path, encoded=True)  # parses nothing, unlike `URL(...)`
        if not request.query:
            return url
        return URL(f"{url}?{urlencode(request.query, quote_via=quote)}", encoded=True)

    def _failure(self, problem: Exception, body: _OneShot | None) -> TransportError:
        """Return the error for a failure of aiohttp's, and whether the request may have been sent.

        Without a connection, or before aiohttp began to write the body, nothing was sent. Once the body was begun, a
        failed connection proves nothing: it may be that of aiohttp's second attempt.
        """
        begun = body is None or body.begun
        never_begun = body is None or not body.begun
        reason = getattr(problem, "strerror", None)
        what = type(problem).__name__ + (f" ({reason})" if isinstance(reason, str) else "")
        host = self._host.host
        unconnected = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL)
        if never_begun and isinstance(problem, unconnected):
            kind = RequestTimeoutError if isinstance(problem, TimeoutError) else TransportError
            return kind(f"no connection to {host}: {what}; nothing was sent", sent=False)
        state = "the request may have arrived" if begun else "nothing was sent"
        if isinstance(problem, TimeoutError):
            return RequestTimeoutError(
                f"{host} gave no whole reply within {self._timeout.total:g} s; {state}", sent=begun
            )
        return TransportError(f"the exchange with {host} broke off: {what}; {state}", sent=begun)

    def _session(self) -> aiohttp.ClientSession:
        self._enter_loop()
        if self._given is not None:
            return self._given
        if self._opened is None:
            self._opened = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._limits.concurrency),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers=_HEADERS,
            )
        return self._opened

    def _enter_loop(self) -> None:
        """Bind the transport to the running event loop; a new loop takes over once the old one is closed."""
        if self._closed:
            raise ConfigurationError("the client is closed; make a new one")
        loop = asyncio.get_running_loop()
        if self._loop is loop:
            return
        if self._loop is not None and not self._loop.is_closed():
            raise ConfigurationError("a client belongs to one event loop: make one for each, they can share `tokens`")
        self._loop, self._opened, self._gate = loop, None, Gate(self._limits)
