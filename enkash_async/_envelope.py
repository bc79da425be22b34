"""What a reply means: EnKash's envelope, its codes and statuses, as a value or as the right error.

Errors are *returned* here, not raised: a traceback would show the frames of this module, whose locals hold the body.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, TypeVar

import attrs

from enkash_async import _json
from enkash_async._codec import UnreadableError, integer, structure
from enkash_async._wire import Effect, Operation, Response
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
from enkash_async.retry import parse_retry_after

__all__ = ["read"]

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
    AuthenticationError: "the token was renewed and refused again: ask EnKash whether the account may use this API",
    PermissionDeniedError: "check that the account may do this and that this machine's IP address is whitelisted",
    BillerInactiveError: "the biller is not active",
    VelocityLimitError: "the account's velocity limit is reached: wait, or have it raised",
    DuplicateReferenceError: "this reference_id was used before: look the bill up with bills.get_by_reference()",
    RateLimitError: "too many requests: wait and try again",
}

_NO_BILL = re.compile(r"no\s+utility\s+payments?\s+found", re.IGNORECASE)
_BEARER = re.compile(r"\b(Bearer|Basic)\s+[\w.~+/=-]+", re.IGNORECASE)
_ENVELOPE = ("response_code", "response_message", "payload", "code")
_MESSAGES = ("response_message", "message", "errorMessage", "error_description", "error")
_MUTE = frozenset(
    (
        *("accesstoken", "refreshtoken", "token", "password", "clientsecret", "secret", "authorization", "otp"),
        *("consumernumber", "consumernumbers", "consumername", "username", "base64file"),
        *("billparams", "billinputparams", "billerparams", "cn", "ad1", "ad2", "ad3"),
    )
)
_LONGEST = 500  # characters of one string, items of one list: an error is evidence, not an archive
_DEEPEST = 20
_SHORTEST_SECRET = 4  # replacing every `1` of a message because a parameter was `1` would only garble it


@attrs.frozen
class _Envelope:
    code: int | None
    message: str | None
    payload: Any = attrs.field(repr=False)


def read(
    operation: Operation[T], response: Response, *, secrets: Iterable[str] = ()
) -> T | ApiError | ResponseDecodeError:
    """Return the result of a reply, or the error that it is.

    Success is HTTP 2xx *and* `response_code` 0 or `"0"`; EnKash reports failures with 200 as well.

    Args:
        operation: What was asked.
        response: The reply.
        secrets: What must not appear in an error even if the reply repeats it, beside the operation's own
            `sensitive` values.
    """
    try:
        document = _json.loads(response.body)
    except ValueError:
        document = None
        is_json = False
    else:
        is_json = True
    mute = tuple(word for word in (*secrets, *operation.sensitive) if len(word) >= _SHORTEST_SECRET)
    try:
        envelope = _envelope(document, is_json)
    except UnreadableError as problem:
        if response.is_success:
            return _undecodable(response, f"{problem.where} is not {problem.expected}", problem.where)
        envelope = _Envelope(None, None, document)
    if not response.is_success:
        return _error(operation, response, envelope, mute)
    if operation.result is object and not response.body:
        return structure(None, operation.result)
    if not is_json:
        return _undecodable(response, "the body is not JSON")
    return _success(operation, response, document, envelope, mute)


def _success(
    operation: Operation[T], response: Response, document: Any, envelope: _Envelope, mute: tuple[str, ...]
) -> T | ApiError | ResponseDecodeError:
    bare = not (isinstance(document, dict) and any(name in document for name in _ENVELOPE))
    if bare and not (operation.result is object or isinstance(document, list)):
        return _undecodable(response, "the body is not an envelope with response_code")
    if envelope.code or (envelope.code is None and _tells(envelope, "failure", "failed", "error")):
        return _error(operation, response, envelope, mute)
    if not bare and envelope.code is None and not _tells(envelope, "success"):
        return _undecodable(response, "the envelope has no response_code", "response_code")
    payload = document if bare else envelope.payload
    if payload is None and operation.effect is Effect.CREATES:
        payload = {}  # the reply of a create is not documented; code 0 alone says that the bill exists
    try:
        return structure(payload, operation.result)
    except UnreadableError as problem:
        found = problem.under("payload")
        return _undecodable(response, f"{found.where} is not {problem.expected}", found.where)


def _tells(envelope: _Envelope, *words: str) -> bool:
    """Whether an envelope without a code still says plainly how the call ended."""
    return envelope.message is not None and envelope.message.strip().lower() in words


def _undecodable(response: Response, what: str, where: str | None = None) -> ResponseDecodeError:
    kind = response.content_type or "no content type"
    return ResponseDecodeError(
        f"EnKash answered HTTP {response.status} ({kind}) but the reply cannot be read: {what}",
        status=response.status,
        content_type=response.content_type,
        where=where,
    )


def _envelope(document: Any, is_json: bool) -> _Envelope:
    if not is_json or not isinstance(document, dict):
        return _Envelope(None, None, document if is_json else None)
    raw_code = document.get("response_code", document.get("code"))
    return _Envelope(_code(raw_code), _message(document), document.get("payload"))


def _code(raw: Any) -> int | None:
    """Return `response_code`, which one page prints as an integer and another as a string."""
    try:
        return None if raw is None else integer(raw)
    except UnreadableError as problem:
        raise problem.under("response_code") from None


def _message(document: dict[str, Any]) -> str | None:
    inner = document.get("errorResponse")
    places = (document, inner) if isinstance(inner, dict) else (document,)
    words = (place.get(name) for place in places for name in _MESSAGES)
    return next((word for word in words if isinstance(word, str) and word), None)


def _error(operation: Operation[T], response: Response, envelope: _Envelope, mute: tuple[str, ...]) -> ApiError:
    message = None if envelope.message is None else _muted(envelope.message, mute)
    payload = _muted(envelope.payload, mute)
    absent = any(isinstance(said, str) and _NO_BILL.search(said) for said in (envelope.payload, envelope.message))
    kind = _kind(response.status, envelope.code, absent)
    error = kind(
        _sentence(operation, response, envelope.code, message, payload, kind),
        status=response.status,
        response_code=envelope.code,
        response_message=message,
        payload=payload,
        method=operation.request.method,
        path=operation.request.path,
        request_id=response.headers.get("x-request-id") or response.headers.get("x-correlation-id"),
    )
    if isinstance(error, NotFoundError):
        error.bill_absent = absent
    if isinstance(error, (RateLimitError, ServerError)):
        error.retry_after = parse_retry_after(response.headers.get("retry-after"), response.headers.get("date"))
    return error


def _kind(status: int, code: int | None, absent: bool) -> type[ApiError]:
    if code in _BY_CODE:
        return _BY_CODE[code]
    # A sister product sends HTTP statuses as response_code inside a 200.
    effective: int = status if status >= 300 else code or 0
    if effective >= 500:
        return ServerError  # whatever else the body says, a 5xx leaves open what was done
    return NotFoundError if absent else _BY_STATUS.get(effective, ApiError)


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
    return f"{said} ({_ADVICE[kind]})" if kind in _ADVICE else said


def _muted(value: Any, mute: tuple[str, ...], depth: int = 0) -> Any:
    """Return evidence without secrets and personal data: names are kept, sensitive values become `***`."""
    if depth > _DEEPEST:
        return "…"
    if isinstance(value, dict):
        return {
            _muted(name, mute): "***" if _is_mute(name) and item is not None else _muted(item, mute, depth + 1)
            for name, item in list(value.items())[:_LONGEST]
        }
    if isinstance(value, list):
        return [_muted(item, mute, depth + 1) for item in value[:_LONGEST]]
    if isinstance(value, str):
        for word in mute:
            value = value.replace(word, "***")
        return _BEARER.sub(r"\1 ***", value)[:_LONGEST]
    return value


def _is_mute(name: str) -> bool:
    return name.replace("_", "").lower() in _MUTE
