"""The error for an exchange that failed: what aiohttp's exception means in fixed phrases, and what may have arrived."""

from __future__ import annotations

import aiohttp
from aiohttp import http_exceptions
from yarl import URL

from enkash_async._http.proxy import proxy_trouble
from enkash_async._support.causes import Cause, linked, phrase_of
from enkash_async.errors import RequestTimeoutError, TransportError

__all__ = ["AgainError", "NotBegunError", "failure_of"]

_UNCONNECTED = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL)
_TLS_RECORD = ("\\x15\\x03", "\\x16\\x03")  # how aiohttp's message shows the first bytes of an alert and of a handshake
_BY_KIND: tuple[tuple[type[BaseException], Cause], ...] = (
    (http_exceptions.ContentEncodingError, Cause.ENCODING),
    (http_exceptions.LineTooLong, Cause.HEADER_TOO_LONG),
    (http_exceptions.BadStatusLine, Cause.NOT_HTTP),
    (http_exceptions.ContentLengthError, Cause.CUT_OFF),
    (http_exceptions.TransferEncodingError, Cause.CUT_OFF),
    (http_exceptions.HttpProcessingError, Cause.MALFORMED),
    (aiohttp.ServerDisconnectedError, Cause.CLOSED),
    (aiohttp.ClientPayloadError, Cause.CUT_OFF),
)


class NotBegunError(ConnectionAbortedError):
    """A body is not written, for a reason of our own.

    Args:
        why: The reason.
    """

    def __init__(self, why: Cause) -> None:
        super().__init__(why)
        self.why: str = why


class AgainError(aiohttp.ClientConnectionError):
    """aiohttp was kept from trying a request a second time.

    Args:
        first: Why the first attempt failed. Not kept: its traceback would keep the frames that hold the token.
    """

    def __init__(self, first: BaseException) -> None:
        super().__init__()
        self.why: str = _why(first)


def failure_of(
    problem: Exception,
    host: str,
    *,
    proxy: URL | None,
    timeout: aiohttp.ClientTimeout,
    begun: bool | None,
    status: int,
) -> TransportError:
    """Return the error for an exception of aiohttp; it says whether the request may have been sent.

    Nothing was sent if there was no connection, or if aiohttp had not begun to write the body. Once the body is
    begun, a failed connection proves nothing, since it may be the connection of aiohttp's second attempt.

    Args:
        problem: The exception.
        host: Name of EnKash's host.
        proxy: The proxy through which the request went, or None.
        timeout: Time limits of the attempt.
        begun: Whether the body was begun; None for a request without a body.
        status: HTTP status of a reply that broke off; 0 if no reply began.
    """
    if (trouble := proxy_trouble(problem, proxy, host)) is not None:
        return TransportError(trouble, sent=False)
    if not begun and isinstance(problem, _UNCONNECTED):
        late = isinstance(problem, TimeoutError)
        kind = RequestTimeoutError if late else TransportError
        why = f"{Cause.CONNECT_TIMED_OUT} ({timeout.sock_connect:g} s)" if late else _why(problem)
        return kind(f"no connection to {host}: {why}; nothing was sent", sent=False)
    may_have_arrived = begun is None or begun
    state = "the request may have arrived" if may_have_arrived else "nothing was sent"
    if isinstance(problem, TimeoutError):
        said = f"{host} gave no whole reply within {timeout.total:g} s: {Cause.TIMED_OUT}; {state}"
        return RequestTimeoutError(said, sent=may_have_arrived, status=status)
    said = f"the exchange with {host} broke off: {_why(problem)}; {state}"
    return TransportError(said, sent=may_have_arrived, status=status)


def _why(problem: BaseException) -> str:
    """Return a fixed phrase; for an exception that none fits, the name of its class."""
    chain = list(linked(problem))
    for one in chain:
        if isinstance(one, (NotBegunError, AgainError)):
            return one.why
    for one in chain:
        if isinstance(one, http_exceptions.BadHttpMessage) and "Too many headers" in one.message:
            return Cause.HEADER_TOO_LONG
        if isinstance(one, http_exceptions.BadStatusLine) and any(record in str(one) for record in _TLS_RECORD):
            return Cause.TLS_WANTED
    # A general class of aiohttp's may stand for a special one that it was raised from.
    for kind, cause in _BY_KIND:
        if any(isinstance(one, kind) for one in chain):
            return cause
    return phrase_of(problem)
