"""Decides what a reply means: returns a value or an error, by the reply's status, envelope and code.

The functions *return* errors instead of raising them, since a traceback from here would keep locals that hold the body.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Iterator
from decimal import Decimal
from http import HTTPStatus
from typing import Any, TypeVar

import attrs

from enkash_async._support import exact_json
from enkash_async._support.names import fold
from enkash_async._wire.charset import UnknownCharsetError, in_utf8
from enkash_async._wire.converter import UnreadableError, integer, structure, structure_in_slices
from enkash_async._wire.hints import of_packing, of_status
from enkash_async._wire.operation import Effect, Operation, Response
from enkash_async._wire.retry_after import parse_retry_after
from enkash_async._wire.wording import holds_error, message_of, plain_text, reason_in
from enkash_async.errors import (
    ApiError,
    AuthenticationError,
    BadRequestError,
    BillerInactiveError,
    DuplicateReferenceError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    ResponseDecodeError,
    ServerError,
    VelocityLimitError,
)

__all__ = ["SLICED_FROM", "personal_values", "read", "read_in_slices", "request_id_of"]

T = TypeVar("T")

_BY_CODE: dict[int | None, type[ApiError]] = {
    36: VelocityLimitError,
    37: VelocityLimitError,
    38: DuplicateReferenceError,
}
_BY_STATUS: dict[int, type[ApiError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    412: BadRequestError,
    422: BillerInactiveError,
    429: RateLimitError,
}
_ADVICE: dict[type[ApiError], str] = {
    AuthenticationError: "EnKash does not take the token: check that the account may use this API",
    PermissionDeniedError: "check that the account may do this and that this machine's IP address is whitelisted",
    BillerInactiveError: "the biller is not active",
    VelocityLimitError: "the account's velocity limit is reached: wait, or have it raised",
    DuplicateReferenceError: "this reference_id was used before: look the bill up with bills.get_by_reference() or "
    "`enkash bill get --reference`",
    RateLimitError: "too many requests: wait and try again",
}

_NO_BILL = re.compile(r"no\s+utility\s+payments?\s+found", re.IGNORECASE)
_BEARER = re.compile(r"\b(Bearer|Basic)\s+[\w.~+/=-]+", re.IGNORECASE)
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_FAILED = ("failure", "failed", "error")
_PHRASES = [status.phrase.lower() for status in HTTPStatus]  # Spring writes them as `error`
_SHUT_OUT = frozenset({401, 403, 429})  # EnKash refused the caller, which proves nothing about a bill
_ENVELOPE = ("response_code", "response_message", "payload", "code")
_SENSITIVE_NAMES = frozenset(
    (
        *("accesstoken", "refreshtoken", "token", "password", "clientsecret", "secret", "authorization", "otp"),
        *("consumernumber", "consumernumbers", "consumername", "username", "base64file"),
        *("billparams", "billinputparams", "billerparams", "cn", "ad1", "ad2", "ad3"),
    )
)
_LONGEST = 500  # characters of a string and items of a list that an error keeps: enough to diagnose, fit for a log
_DEEPEST = 20  # levels of a payload that an error keeps
_SHORTEST_SECRET = 4  # characters; redacting a shorter value, such as `1`, would only garble the message

#: Stands for a body that is not JSON; None already stands for the JSON value `null`.
_NOT_JSON = object()

#: Bytes. A reply of at least this size is read in slices; it holds about 150 bills, which take 3 ms to decode.
SLICED_FROM = 256 * 1024


class _Payload:
    """Wraps the payload of a successful reply, so that a payload differs from a returned error."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


@attrs.frozen
class _Envelope:
    code: int | None
    message: str | None
    payload: Any = attrs.field(repr=False)
    reason: str | None = None


def read(
    operation: Operation[T], response: Response, *, secrets: Iterable[str] = ()
) -> T | ApiError | ResponseDecodeError:
    """Return the result of a reply, or the error that it means.

    Success is HTTP 2xx *and* `response_code` 0 or `"0"`, since EnKash also reports failures with HTTP 200.

    Args:
        operation: The call that was sent; its `result` is the type to return.
        response: The complete reply.
        secrets: Strings to redact from an error, in addition to `operation.sensitive`; a reply may repeat them.
    """
    try:
        document = exact_json.loads(in_utf8(response.body, response.content_type))
    except (ValueError, UnknownCharsetError):
        document = _NOT_JSON
    found = _payload(operation, response, document, secrets)
    if not isinstance(found, _Payload):
        return found
    try:
        if type(found.value) is not list:
            return structure(found.value, operation.result)
        return _finished(structure_in_slices(found.value, operation.result))  # frees each item after reading it
    except UnreadableError as problem:
        return _unreadable(operation, response, problem, secrets)


def _finished(steps: Generator[None, None, T]) -> T:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result


def read_in_slices(
    operation: Operation[T], response: Response, *, secrets: Iterable[str] = ()
) -> Generator[None, None, T | ApiError | ResponseDecodeError]:
    """Do what `read` does with a large reply, and pause every millisecond or two for other tasks of the event loop."""
    try:
        body = in_utf8(response.body, response.content_type)
        document = yield from exact_json.loads_in_slices(body, shares_names=operation.result is object)
    except (ValueError, UnknownCharsetError):
        document = _NOT_JSON
    found = _payload(operation, response, document, secrets)
    if not isinstance(found, _Payload):
        return found
    del document
    try:
        return (yield from structure_in_slices(found.value, operation.result))
    except UnreadableError as problem:
        return _unreadable(operation, response, problem, secrets)


def _payload(
    operation: Operation[T], response: Response, document: Any, secrets: Iterable[str]
) -> _Payload | ApiError | ResponseDecodeError:
    """Return the payload of a successful reply, or the error that the reply means."""
    if operation.effect is Effect.READ and response.is_success and type(document) is dict:
        code = document.get("response_code")
        if code == 0 and type(code) is int:  # the fast path, for nearly every reply: the message does not matter here
            return _Payload(document.get("payload"))
    return _looked_into(operation, response, document, _words_to_redact(operation, secrets))


def _words_to_redact(operation: Operation[T], secrets: Iterable[str]) -> tuple[str, ...]:
    """Return the strings to redact from an error, the longest first."""
    # If a short string inside a longer string were replaced first, the rest of the longer string would stay readable.
    words = sorted({*secrets, *operation.sensitive}, key=len, reverse=True)
    return tuple(word for word in words if len(word) >= _SHORTEST_SECRET)


def _looked_into(
    operation: Operation[T], response: Response, document: Any, redact: tuple[str, ...]
) -> _Payload | ApiError | ResponseDecodeError:
    try:
        envelope = _envelope(document)
    except UnreadableError as problem:
        if response.is_success:
            return _undecodable(
                operation, response, redact, f"{problem.where} is not {problem.expected}", problem.where
            )
        envelope = _Envelope(None, message_of(document), document.get("payload"), reason_in(document))
    if not response.is_success:
        if document is _NOT_JSON:
            envelope = _Envelope(None, plain_text(response), None)
        return _error(operation, response, envelope, redact)
    if operation.result is object and not response.body:
        return _Payload(None)
    if document is _NOT_JSON:
        return _undecodable(operation, response, redact, _why_not_json(response))
    return _success(operation, response, document, envelope, redact)


def _why_not_json(response: Response) -> str:
    try:
        in_utf8(response.body, response.content_type).decode()
    except UnknownCharsetError:
        return "the body is not text of the charset that it declares"  # the error also shows this charset
    except UnicodeDecodeError:
        return f"the body is not UTF-8, and declares no other charset{of_packing(response)}"
    return f"the body is not JSON{of_packing(response)}"


def _success(
    operation: Operation[T], response: Response, document: Any, envelope: _Envelope, redact: tuple[str, ...]
) -> _Payload | ApiError | ResponseDecodeError:
    bare = not (isinstance(document, dict) and any(name in document for name in _ENVELOPE))
    is_read = operation.effect is Effect.READ
    if bare and not (operation.result is object or (is_read and isinstance(document, list))):
        return _undecodable(operation, response, redact, "the body is not an envelope with response_code")
    if envelope.code or (envelope.code is None and _tells(envelope, *_FAILED)):
        return _error(operation, response, envelope, redact)
    if not is_read and holds_error(document):
        return _undecodable(operation, response, redact, "it says yes and holds an errorResponse too", "errorResponse")
    if not is_read and envelope.code == 0 and _tells(envelope, *_FAILED):
        return _undecodable(
            operation, response, redact, "response_code and response_message contradict each other", "response_code"
        )
    if not bare and envelope.code is None and not _tells(envelope, "success"):
        return _undecodable(operation, response, redact, "the envelope has no response_code", "response_code")
    payload = document if bare else envelope.payload
    if payload is None and operation.effect is Effect.CREATES:
        payload = {}  # EnKash does not document a create's reply: code 0 alone means that the bill exists
    return _Payload(payload)


def _unreadable(
    operation: Operation[T], response: Response, problem: UnreadableError, secrets: Iterable[str]
) -> ResponseDecodeError:
    found = problem.under("payload")
    what = f"{found.where} is not {problem.expected}"
    return _undecodable(operation, response, _words_to_redact(operation, secrets), what, found.where)


def _tells(envelope: _Envelope, *words: str) -> bool:
    """Whether the message of an envelope is one of the words, in any case."""
    return envelope.message is not None and envelope.message.strip().lower() in words


def _undecodable(
    operation: Operation[T], response: Response, redact: tuple[str, ...], what: str, where: str | None = None
) -> ResponseDecodeError:
    content_type = _redacted(response.content_type, redact)
    kind = content_type or "no content type"
    error = ResponseDecodeError(
        f"{operation.name}: EnKash answered HTTP {response.status} ({kind}) but the reply cannot be read: {what}",
        status=response.status,
        content_type=content_type,
        where=where,
    )
    error.request_id = request_id_of(response, redact)
    return error


def request_id_of(response: Response, redact: tuple[str, ...]) -> str | None:
    """Return EnKash's id of a request, for an error; words in `redact` become `***`."""
    found: str | None = _redacted(
        response.headers.get("x-request-id") or response.headers.get("x-correlation-id"), redact
    )
    return found


def _envelope(document: Any) -> _Envelope:
    if not isinstance(document, dict):
        return _Envelope(None, None, None if document is _NOT_JSON else document)
    raw_code = document.get("response_code")
    if raw_code is None:
        raw_code = document.get("code")
    return _Envelope(_code(raw_code), message_of(document), document.get("payload"), reason_in(document))


def _code(raw: Any) -> int | None:
    """Return `response_code` as a number; one page of EnKash shows an integer, and another page shows a string."""
    try:
        return None if raw is None else integer(raw)
    except UnreadableError as problem:
        raise problem.under("response_code") from None


def _error(operation: Operation[T], response: Response, envelope: _Envelope, redact: tuple[str, ...]) -> ApiError:
    is_bare = envelope.message is None or _tells(envelope, *_FAILED, *_PHRASES)
    reason = envelope.reason if is_bare and envelope.reason else envelope.message
    message = _redacted(reason, redact)
    payload = _redacted(envelope.payload, redact)
    absent = any(_NO_BILL.search(said) for said in _words(response, envelope))
    kind = _kind(response.status, envelope.code, absent)
    error = kind(
        _sentence(operation, response, envelope.code, message, payload, kind),
        status=response.status,
        response_code=envelope.code,
        response_message=message,
        payload=payload,
        method=operation.request.method,
        path=operation.request.path,
        request_id=request_id_of(response, redact),
    )
    if isinstance(error, NotFoundError):
        error.bill_absent = absent
    if isinstance(error, (RateLimitError, ServerError)):
        error.retry_after = parse_retry_after(response.headers.get("retry-after"), response.headers.get("date"))
    return error


def _words(response: Response, envelope: _Envelope) -> Iterator[str]:
    """Yield the texts of a reply in which EnKash may explain the failure."""
    payload = envelope.payload
    said = (payload, envelope.message, envelope.reason)
    yield from (word for word in said if isinstance(word, str))
    if payload is None and response.body.lstrip()[:1] not in {b"<", b"{"}:
        yield response.body[:_LONGEST].decode("ascii", "replace")  # the body is plain text


def _kind(status: int, code: int | None, absent: bool) -> type[ApiError]:
    if code in _BY_CODE:
        return _BY_CODE[code]
    # A sister product of EnKash answers HTTP 200 with an HTTP status as response_code.
    effective: int = status if status >= 300 else code or 0
    # A 5xx does not tell whether the work was done, whatever the body says. RFC 9110, section 15: a status that is no
    # final HTTP status, such as 999, counts as a 5xx.
    if 500 <= effective < 600 or not 200 <= status < 600:
        return ServerError
    if absent and effective not in _SHUT_OUT:
        return NotFoundError
    return _BY_STATUS.get(effective, ApiError)


def _sentence(
    operation: Operation[T],
    response: Response,
    code: int | None,
    message: str | None,
    payload: Any,
    kind: type[ApiError],
) -> str:
    parts = [f"HTTP {response.status}"]
    if code is not None:
        parts.append(f"response_code {code}")
    if message and message.lower() != "success":
        parts.append(message)
    if isinstance(payload, str) and payload != message:
        parts.append(payload)
    said = f"{operation.name}: EnKash answered {', '.join(parts)}"
    hint = of_status(response) or _ADVICE.get(kind)
    return f"{said} ({hint})" if hint else said


def _redacted(value: Any, redact: tuple[str, ...], depth: int = 0) -> Any:
    """Return a value redacted for an error: secrets, and values that have a sensitive name, become `***`."""
    if depth > _DEEPEST:
        return "…"
    if isinstance(value, dict):
        return {
            _redacted(name, redact): "***"
            if _is_sensitive(name) and item is not None
            else _redacted(item, redact, depth + 1)
            for name, item in list(value.items())[:_LONGEST]
        }
    if isinstance(value, list):
        return [_redacted(item, redact, depth + 1) for item in value[:_LONGEST]]
    if isinstance(value, str):
        for word in redact:
            value = value.replace(word, "***")
        shown = _BEARER.sub(r"\1 ***", value)[:_LONGEST]
        # A line break could forge a line of a log, a change of the writing direction its words, and half a surrogate
        # pair cannot be printed.
        return _UNPRINTABLE.sub(lambda found: found.group().encode("unicode_escape").decode("ascii"), shown)
    if isinstance(value, (int, Decimal)) and any(word in str(value) for word in redact):
        return "***"  # EnKash may send back a string of digits as a number
    return value


def personal_values(document: Any) -> Iterator[str]:
    """Yield the strings in a request's JSON that have a sensitive name, such as `otp`."""
    if isinstance(document, dict):
        for name, item in document.items():
            if _is_sensitive(name) and isinstance(item, str):
                yield item
            yield from personal_values(item)
    elif isinstance(document, list):
        for item in document:
            yield from personal_values(item)


def _is_sensitive(name: str) -> bool:
    return fold(name) in _SENSITIVE_NAMES
