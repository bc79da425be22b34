"""Turns exceptions of aiohttp into errors, which say in fixed phrases what failed and whether anything was sent."""

from __future__ import annotations

import aiohttp
from aiohttp import http_exceptions
from yarl import URL

from enkash_async._http.proxy import proxy_trouble
from enkash_async._support.causes import Cause, linked, phrase_of
from enkash_async.errors import RequestTimeoutError, TransportError

__all__ = ["NotBegunError", "failure_of"]

_UNCONNECTED = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL)
_TLS_RECORD = ("\\x15\\x03", "\\x16\\x03")  # first bytes of a TLS alert and handshake in aiohttp's messages
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
    """A request body that this package refused to write.

    Args:
        why: Why the body may not be written.
    """

    def __init__(self, why: Cause) -> None:
        super().__init__(why)
        self.why: str = why


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
    begun, a failure to connect proves nothing: aiohttp may have failed at its second attempt only.

    Args:
        problem: The exception.
        host: Name of EnKash's host.
        proxy: The proxy through which the request went, or None.
        timeout: Time limits of the attempt.
        begun: Whether the body was begun; None for a request without a body.
        status: HTTP status of a reply that broke off; 0 if no reply began.
    """
    if not begun and (trouble := proxy_trouble(problem, proxy, host)) is not None:
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
    why = _why(problem)
    if may_have_arrived and why == Cause.CONNECT_TIMED_OUT:
        why = Cause.TIMED_OUT  # the system closed the connection: sent bytes were not acknowledged
    said = f"the exchange with {host} broke off: {why}; {state}"
    return TransportError(said, sent=may_have_arrived, status=status)


def _why(problem: BaseException) -> str:
    """Return the fixed phrase for an exception, or the name of its class if no phrase fits."""
    chain = list(linked(problem))
    for one in chain:
        if isinstance(one, NotBegunError):
            return one.why
    for one in chain:
        if isinstance(one, http_exceptions.BadHttpMessage) and "Too many headers" in one.message:
            return Cause.HEADER_TOO_LONG
        if isinstance(one, http_exceptions.BadStatusLine) and any(record in str(one) for record in _TLS_RECORD):
            return Cause.TLS_WANTED
    # aiohttp may raise a general exception from a more specific one, so each kind is looked for in the whole chain.
    for kind, cause in _BY_KIND:
        if any(isinstance(one, kind) for one in chain):
            return cause
    return phrase_of(problem)
