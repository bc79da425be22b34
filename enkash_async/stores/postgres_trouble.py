"""What the exceptions of psycopg mean."""

from __future__ import annotations

import contextlib
import importlib.util
import re

import attrs

from enkash_async._support.causes import Cause, cause_of
from enkash_async.errors import ConfigurationError

with contextlib.suppress(ImportError):  # `need_psycopg` tells the caller who makes a store
    import psycopg

__all__ = ["PostgresTrouble", "need_psycopg"]

# SQLSTATEs, or their first characters: the server stops, starts, fails over, or is short of connections; or the
# transaction conflicted with another transaction.
_TRANSIENT = ("08", "57P", "53300", "40001", "40P01")
_BY_CODE: dict[str, Cause | str] = {
    "25006": Cause.READ_ONLY,
    "28": Cause.AUTHENTICATION,
    "3D000": Cause.NO_DATABASE,
    "42501": f"{Cause.NO_RIGHT} on the table (SELECT, INSERT, UPDATE and DELETE are needed)",
    "42P01": f"{Cause.NO_TABLE}: make it with PostgresStore.init() or `enkash store init`",
    "53100": Cause.DISK,
    "53200": Cause.OUT_OF_MEMORY,
    "53300": Cause.TOO_MANY_CONNECTIONS,
    "57P": Cause.STARTING,
}
# libpq gives no SQLSTATE for a connection that fails, only text. The first pattern that matches decides.
_BY_WORDS: tuple[tuple[re.Pattern[str], Cause], ...] = tuple(
    (re.compile(words), cause)
    for words, cause in (
        (r"password authentication failed|no password supplied|authentication failed", Cause.AUTHENTICATION),
        (r"role \".*\" does not exist", Cause.AUTHENTICATION),
        (r"not permitted to log in|no pg_hba\.conf entry|pg_hba\.conf rejects", Cause.NOT_ADMITTED),
        (r"database \".*\" does not exist", Cause.NO_DATABASE),
        (r"session is read-only|server is in hot standby mode", Cause.READ_ONLY),
        (r"(unrecognized configuration|invalid value for) parameter", Cause.BAD_OPTION),
        (r"session is not read-only|server is not in hot standby mode", Cause.BAD_OPTION),  # target_session_attrs
        (r"channel binding|authentication method requirement", Cause.BAD_OPTION),
        (r"too many clients|too many connections|remaining connection slots", Cause.TOO_MANY_CONNECTIONS),
        (r"database system is|database is being", Cause.STARTING),
        (r"root certificate file", Cause.CA_MISSING),
        (r"private key file|could not (read|load) certificate|could not load private key", Cause.CLIENT_FILES),
        (r"does not match host name", Cause.CERTIFICATE_OTHER_NAME),
        (r"certificate verify failed", Cause.CERTIFICATE_REFUSED),  # libpq does not say why
        (r"certificate required|valid client certificate", Cause.CERTIFICATE_WANTED),
        (r"does not support SSL", Cause.NO_TLS),
        (r"invalid response to SSL negotiation|expected authentication request", Cause.OTHER_PROTOCOL),
        (r"SSL error|SSL SYSCALL error", Cause.TLS_FAILED),
        (r"failed to resolve host|could not translate host name", Cause.NO_HOST),
        (r"Connection refused", Cause.REFUSED),
        (r"timeout expired|Connection timed out", Cause.CONNECT_TIMED_OUT),
        (r"No route to host|Network is unreachable", Cause.UNREACHABLE),
        (r"No such file or directory", Cause.NO_SOCKET),
        (r"Connection reset|Broken pipe", Cause.RESET),
        (r"closed the connection", Cause.CLOSED),
    )
)
# A retry does not help, because the set-up is wrong.
_PERMANENT = frozenset(Cause) - {
    *(Cause.NO_HOST, Cause.REFUSED, Cause.UNREACHABLE, Cause.NO_SOCKET, Cause.CONNECT_TIMED_OUT, Cause.TIMED_OUT),
    *(Cause.RESET, Cause.CLOSED, Cause.TOO_MANY_CONNECTIONS, Cause.STARTING, Cause.OTHER_PROTOCOL),
}
# What psycopg says where libpq refuses to begin a connection: a value in the URL is wrong, such as that of `sslmode`.
_UNBEGUN = "connection is bad: "
# Options that a message of libpq can be about, by its words; a message of ours names no other words of libpq's.
_OPTIONS = {
    "port number": "port",
    "network address": "hostaddr",
    "definition of service": "service",
    "hot standby mode|session is not read-only": "target_session_attrs",
    "channel binding": "channel_binding",
    "authentication method requirement": "require_auth",
    "GSSAPI": "gssencmode",
    **{
        name: name
        for name in (
            "sslmode", "sslnegotiation", "sslcertmode", "ssl_min_protocol_version", "ssl_max_protocol_version",
            "channel_binding", "require_auth", "gssencmode", "target_session_attrs", "client_encoding", "keepalives",
            "load_balance_hosts", "tcp_user_timeout",
        )
    },
}  # fmt: skip
_ADDRESS = re.compile(r'connection to server at "([^"\s]{1,255})"[^,"]{0,60}, port (\d{1,5})')


@attrs.frozen
class PostgresTrouble:
    """Why a statement failed, or got no answer.

    Attributes:
        text: Message for people. It does not quote the server, which may repeat the values of a statement.
        is_transient: Whether a retry may help.
    """

    text: str
    is_transient: bool

    @classmethod
    def of(cls, problem: Exception) -> PostgresTrouble:
        """Return what an exception of psycopg means."""
        kind, code = type(problem).__name__, getattr(problem, "sqlstate", None) or ""
        if not code and isinstance(problem, (psycopg.OperationalError, OSError)):
            return cls._unconnected(str(problem), _by_words(problem), kind)
        cause = next((_BY_CODE[known] for known in _BY_CODE if code.startswith(known)), None)
        if cause is Cause.AUTHENTICATION:
            return cls(_REFUSED, is_transient=False)
        if isinstance(problem, psycopg.OperationalError) and code.startswith(_TRANSIENT):
            return cls(f"PostgreSQL does not answer: {cause or kind}", is_transient=True)
        return cls(f"PostgreSQL cannot be used as a store: {cause or f'{kind} {code}'.strip()}", is_transient=False)

    @classmethod
    def late(cls, limit: float, *, was_sent: bool) -> PostgresTrouble:
        """Return the trouble of a statement that got no answer within `limit` seconds."""
        cause = Cause.TIMED_OUT if was_sent else Cause.CONNECT_TIMED_OUT
        return cls(f"PostgreSQL does not answer within {limit:g} s: {cause}", is_transient=True)

    @classmethod
    def _unconnected(cls, words: str, cause: Cause | None, kind: str) -> PostgresTrouble:
        """Return the trouble of a connection that could not be opened, or that broke."""
        if cause is Cause.AUTHENTICATION:
            return cls(_REFUSED, is_transient=False)
        where = _ADDRESS.search(words)
        at = f" at {where[1]}:{where[2]}" if where else ""
        if cause in _PERMANENT:
            named = _option(words) if cause is Cause.BAD_OPTION else ""
            return cls(f"PostgreSQL{at} cannot be used as a store: {cause}{named}", is_transient=False)
        return cls(f"PostgreSQL{at} does not answer: {cause or kind}", is_transient=True)


def need_psycopg() -> None:
    """Raise a ConfigurationError if psycopg is not installed.

    The import raises no error: `from enkash_async import *` and `help(enkash_async)` load every public name.
    """
    if importlib.util.find_spec("psycopg") is None:
        raise ConfigurationError("PostgresStore needs psycopg: pip install 'enkash-async[postgres]'")


_REFUSED = f"PostgreSQL refuses the user or the password that it was given ({Cause.AUTHENTICATION})"


def _by_words(problem: Exception) -> Cause | None:
    words = str(problem)
    cause = next((cause for known, cause in _BY_WORDS if known.search(words)), None) or cause_of(problem)
    return Cause.BAD_OPTION if cause is None and words.startswith(_UNBEGUN) else cause


def _option(words: str) -> str:
    """Return the option that a message is about, as in ` (sslmode)`; empty if none is known."""
    return next((f" ({name})" for known, name in _OPTIONS.items() if re.search(known, words)), "")
