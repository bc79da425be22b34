"""Fixed phrases for what can go wrong between two machines.

The messages of the operating system and of other libraries stay out of the errors of this package: they differ between
versions and languages, and may repeat a URL with a password. Each phrase has a row in `docs/troubleshooting.md`.
"""

from __future__ import annotations

import enum
import errno
import socket
import ssl
from collections.abc import Iterator

__all__ = ["Cause", "cause_of", "linked", "phrase_of"]


class Cause(enum.StrEnum):
    """Why an exchange with EnKash, a proxy, Redis or PostgreSQL failed."""

    # Reaching a machine
    NO_HOST = "the host name is not found (DNS)"
    REFUSED = "connection refused"
    UNREACHABLE = "the network or the host is unreachable"
    NO_SOCKET = "there is no socket file at this path"
    TOO_MANY_FILES = "this process has too many open files"
    CONNECT_TIMED_OUT = "timed out while connecting"
    # TLS
    CERTIFICATE_UNTRUSTED = "certificate not trusted: the CA that issued it is not known here"
    CERTIFICATE_EXPIRED = "certificate expired"
    CERTIFICATE_TOO_NEW = "certificate not valid yet, or the clock of this machine is slow"
    CERTIFICATE_OTHER_NAME = "certificate for another host name"
    CERTIFICATE_REFUSED = "certificate refused: not trusted, expired or revoked"
    CERTIFICATE_WANTED = "a client certificate is wanted"
    CA_MISSING = "the file with the certificate of the CA cannot be read"
    CLIENT_FILES = "the file with the client certificate or its key cannot be used"
    NO_TLS = "TLS is not spoken there"
    TLS_WANTED = "TLS is wanted there"
    TLS_FAILED = "TLS failed: no version or cipher in common, or the other side refuses this client"
    # During an exchange
    TIMED_OUT = "timed out while waiting for the reply"
    RESET = "connection reset by the other side"
    CLOSED = "connection closed before a reply"
    CUT_OFF = "the reply was cut off"
    # Replies that are not usable HTTP
    HEADER_TOO_LONG = "header too long, or too many headers, in the reply"
    NOT_HTTP = "the reply is not HTTP (bad status line)"
    MALFORMED = "malformed HTTP in the reply"
    ENCODING = "bad content encoding: the reply cannot be unpacked"
    # Requests that this package refuses to send
    STRAY = "bytes of another reply were on the connection"
    EARLY = "a reply came before the request was sent"
    TOO_LATE = "the request was held up for too long, and is not begun"
    # States that a store reports
    AUTHENTICATION = "authentication failed"
    NOT_ADMITTED = "authentication failed: this user may not log in from here"
    NO_RIGHT = "this user lacks a right"
    TOO_MANY_CONNECTIONS = "too many connections"
    STARTING = "it is starting or shutting down"
    READ_ONLY = "it is read-only (a replica or standby, or a failover is under way)"
    NO_PRIMARY = "the replica has no connection to its primary"
    NO_REPLICAS = "too few replicas to accept a write"
    OUT_OF_MEMORY = "out of memory"
    DISK = "it cannot write to its disk, which may be full"
    NO_DATABASE = "no such database"
    NO_TABLE = "no such table"
    BAD_OPTION = "an option of its URL is wrong, or this server does not fulfil it"
    NO_SENTINEL = "no Sentinel answers, or none knows a primary of this name"
    OTHER_KIND = "the server is of another kind than the URL says (single, Sentinel or cluster)"
    NO_COMMAND = "it does not know a command that is needed"
    OTHER_PROTOCOL = "something else answers there"


_BY_ERRNO = {
    errno.ECONNREFUSED: Cause.REFUSED,
    errno.ECONNRESET: Cause.RESET,
    errno.EPIPE: Cause.RESET,
    errno.ECONNABORTED: Cause.RESET,
    errno.ESHUTDOWN: Cause.RESET,
    errno.EHOSTUNREACH: Cause.UNREACHABLE,
    errno.ENETUNREACH: Cause.UNREACHABLE,
    errno.EHOSTDOWN: Cause.UNREACHABLE,
    errno.ENETDOWN: Cause.UNREACHABLE,
    errno.EADDRNOTAVAIL: Cause.UNREACHABLE,
    errno.ETIMEDOUT: Cause.CONNECT_TIMED_OUT,
    errno.EMFILE: Cause.TOO_MANY_FILES,
    errno.ENFILE: Cause.TOO_MANY_FILES,
    errno.ENOENT: Cause.NO_SOCKET,
}

# OpenSSL's codes for certificate errors; the module `ssl` has no names for them.
_BY_VERIFY_CODE = {
    9: Cause.CERTIFICATE_TOO_NEW,
    10: Cause.CERTIFICATE_EXPIRED,
    **dict.fromkeys((2, 18, 19, 20, 21), Cause.CERTIFICATE_UNTRUSTED),
    **dict.fromkeys((62, 64), Cause.CERTIFICATE_OTHER_NAME),
}

# Parts of the names of OpenSSL's errors.
_NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG", "HTTP_REQUEST", "BAD_PACKET")
_NO_CA = ("NO_CERTIFICATE_OR_CRL_FOUND", "NO_START_LINE", "X509_LIB")
_WANTS_CERTIFICATE = ("CERTIFICATE_REQUIRED", "ALERT_BAD_CERTIFICATE", "PEER_DID_NOT_RETURN_A_CERTIFICATE")


def cause_of(problem: BaseException) -> Cause | None:
    """Return the cause of an exception, or of an exception that it was raised from; None if no cause is known."""
    chain = list(linked(problem))
    for read in (_of_tls, _of_system):  # TLS first: a TLS error is an OSError too, but with another kind of errno
        for one in chain:
            if (cause := read(one)) is not None:
                return cause
    return None


def phrase_of(problem: BaseException) -> str:
    """Return the cause of an exception; if it is unknown, the name of its class and its errno."""
    if (cause := cause_of(problem)) is not None:
        return cause
    numbers = [one.errno for one in linked(problem) if isinstance(one, OSError) and one.errno]
    code = next((errno.errorcode[number] for number in numbers if number in errno.errorcode), "")
    return f"{type(problem).__name__} {code}".rstrip()


def linked(problem: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception and the exceptions that it was raised from, each once.

    `__context__` is not followed: the caller may have made the call in an `except` block, and then the context is an
    unrelated exception.
    """
    seen: set[int] = set()
    while problem is not None and id(problem) not in seen:
        seen.add(id(problem))
        yield problem
        problem = problem.__cause__


def _of_tls(problem: BaseException) -> Cause | None:
    # aiohttp's subclasses of these errors have no code and no reason; they are raised from the error that has them.
    if isinstance(problem, ssl.SSLCertVerificationError):
        code = getattr(problem, "verify_code", None)
        return None if code is None else _BY_VERIFY_CODE.get(code, Cause.CERTIFICATE_REFUSED)
    reason = getattr(problem, "reason", None) if isinstance(problem, ssl.SSLError) else None
    if not reason or "UNEXPECTED_EOF" in reason:
        return None
    known = ((_WANTS_CERTIFICATE, Cause.CERTIFICATE_WANTED), (_NO_CA, Cause.CA_MISSING), (_NO_TLS, Cause.NO_TLS))
    found = (cause for words, cause in known if any(word in reason for word in words))
    return next(found, Cause.TLS_FAILED)


def _of_system(problem: BaseException) -> Cause | None:
    if isinstance(problem, socket.gaierror):
        return Cause.NO_HOST
    if isinstance(problem, OSError) and problem.errno in _BY_ERRNO:
        return _BY_ERRNO[problem.errno]
    if isinstance(problem, (ConnectionResetError, BrokenPipeError, ConnectionAbortedError, ssl.SSLEOFError)):
        return Cause.RESET
    return Cause.TIMED_OUT if isinstance(problem, TimeoutError) else None
