"""Checks the headers of a post and reads its body; no I/O."""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from typing import Any, TypeAlias

from enkash_async._news.content import post_key
from enkash_async._support import checks, exact_json
from enkash_async._support.headers import names_flaw
from enkash_async._support.names import fold
from enkash_async._wire.converter import UnreadableError, structure
from enkash_async.errors import ConfigurationError, InvalidRequestError, WebhookAuthenticationError, WebhookPayloadError
from enkash_async.models import Bill
from enkash_async.webhooks._event import BillEvent
from enkash_async.webhooks._headers import Headers, pairs

__all__ = ["Headers", "Reshape", "WebhookVerifier"]

#: Converts the decoded document of a customised webhook to one with EnKash's names.
Reshape: TypeAlias = Callable[[Any], Mapping[str, Any]]

_MAX_BODY = 2**20  # bytes; EnKash's example has about 2,000
_LONGEST_ID = 200  # characters; longer than any id of EnKash's
_UNSENDABLE = re.compile(rb"[\x00-\x1f\x7f]")


class WebhookVerifier:
    """Recognises EnKash's posts by the headers that you registered, and reads the posts.

    EnKash signs nothing: it sends the static headers that you chose. Each header configured here must occur exactly
    once, with one of its accepted values. The comparison takes the same time for right and wrong values. While you
    change a value, accept the old and the new one.

    Args:
        headers: Accepted values by header name: one value, or a list such as `{"X-Webhook-Key": ["new", "old"]}`.
        max_body: Longest body in bytes; 1 MiB by default.
        reshape: For a customised webhook without EnKash's names: a function from the decoded document to one with
            EnKash's names, such as `{"utilityEnkashId": …, "billpayStatus": …}`. None for a standard webhook.

    Attributes:
        max_body: Longest body in bytes.

    Raises:
        ConfigurationError: There is nothing to check, or a name or value is unusable.

    EnKash page: Bill Payment Webhook (api-12515630).
    """

    def __init__(
        self,
        headers: Mapping[str, str | bytes | Collection[str | bytes]],
        *,
        max_body: int = _MAX_BODY,
        reshape: Reshape | None = None,
    ) -> None:
        # Only keyed hashes of the values are kept, so that this object cannot show a secret.
        self._salt = secrets.token_bytes(32)
        self._accepted: dict[str, tuple[str, tuple[bytes, ...]]] = {}  # set before any error, since `repr` needs it
        problem = _problem(headers, max_body, reshape)
        if problem is None:
            self._accepted = {
                name.lower(): (name, tuple(self._hash(value) for value in _values(values)))
                for name, values in headers.items()
            }
        del headers  # keeps secrets out of rendered tracebacks, which show the locals of this frame
        if problem is not None:
            raise ConfigurationError(problem)
        self.max_body: int = max_body
        self._reshape = reshape

    def __repr__(self) -> str:
        names = ", ".join(f"{name}: {len(hashes)}" for name, hashes in self._accepted.values())
        return f"WebhookVerifier(accepted values: {names})"

    def verify(self, headers: Headers, body: bytes) -> BillEvent:
        """Check a post and return its event.

        Args:
            headers: Headers of the request, as the framework gives them; case does not matter.
            body: Body of the request, as received, not decoded.

        Raises:
            WebhookAuthenticationError: A configured header is missing, repeated or wrong; the body was not read.
            WebhookPayloadError: The body is too long, or does not describe a bill.
            InvalidRequestError: `headers` is neither a mapping nor pairs, or `body` is not bytes.
        """
        found = self._refusal(headers) or self._read(body)
        del headers, body  # keeps secrets out of rendered tracebacks, which show the locals of this frame
        if isinstance(found, BillEvent):
            return found
        raise found

    def authenticate(self, headers: Headers) -> None:
        """Check the headers of a post before its body is read.

        Args:
            headers: As for `verify`.

        Raises:
            WebhookAuthenticationError: A header is missing, repeated or wrong.
            InvalidRequestError: `headers` is neither a mapping nor pairs.
        """
        problem = self._refusal(headers)
        del headers
        if problem is not None:
            raise problem

    def _refusal(self, headers: Headers) -> WebhookAuthenticationError | InvalidRequestError | None:
        """Return the error for wrong headers, or None; compares every header, so that the time reveals nothing."""
        received: dict[str, list[Any]] = {name: [] for name in self._accepted}
        try:
            for name, value in pairs(headers):
                if name in received:
                    received[name].append(value)
        except (TypeError, ValueError):
            return InvalidRequestError("headers must be a mapping of names to values, or pairs of them")
        wrong = [
            shown for name, (shown, accepted) in self._accepted.items() if not self._matches(received[name], accepted)
        ]
        if not wrong:
            return None
        return WebhookAuthenticationError(
            f"a post was refused: the header {wrong[0]} is missing, repeated or wrong", header=wrong[0]
        )

    def _matches(self, received: list[Any], accepted: tuple[bytes, ...]) -> bool:
        hashes = [self._hash(form) for value in received for form in _forms(value)]
        # `sum` always makes every comparison; `any` would stop at the first match, and its time would reveal the match.
        found = sum(hmac.compare_digest(one, other) for one in hashes for other in accepted)
        return found > 0 and len(received) == 1

    def _hash(self, value: bytes) -> bytes:
        return hmac.digest(self._salt, value, "sha256")

    def _read(self, body: object) -> BillEvent | WebhookPayloadError | InvalidRequestError:
        if not isinstance(body, (bytes, bytearray, memoryview)):
            return InvalidRequestError(
                f"body must be the bytes of the request as they came, not {type(body).__name__}: a decoded body has "
                "lost digits of its amounts"
            )
        if len(body) > self.max_body:
            return WebhookPayloadError(f"the body is longer than max_body={self.max_body} bytes", too_large=True)
        try:
            document = exact_json.loads_strictly(bytes(body))
        except ValueError:
            return WebhookPayloadError("the body is not JSON, or its numbers or its nesting are out of proportion")
        return self._event(document)

    def _event(self, document: Any) -> BillEvent | WebhookPayloadError:
        key = post_key(document)  # derived from the whole post, even if `reshape` drops a part
        if self._reshape is not None:
            try:
                document = self._reshape(document)
            except Exception as problem:  # noqa: BLE001 (the user's function may raise anything)
                return WebhookPayloadError(f"reshape failed with {type(problem).__name__}")
        if not isinstance(document, Mapping):
            return WebhookPayloadError("the body is not a JSON object")
        found, around = _bill_in(dict(document))
        try:
            bill = structure(found, Bill)
        except UnreadableError as problem:
            where = problem.where[:_LONGEST_ID]  # limited, since the sender chooses the names in the body
            return WebhookPayloadError(f"{where} is not {problem.expected}", where=where)
        except (AttributeError, TypeError):  # only `reshape` can return names that are not strings
            return WebhookPayloadError("reshape returned a document with names that are not strings")
        return _unnamed(bill) or BillEvent(posted=bill, key=key, extra=around)


def _unnamed(bill: Bill) -> WebhookPayloadError | None:
    """Return an error if a bill has neither an id nor a reference that is safe to put into a path; otherwise None."""
    named = "utilityEnkashId" if bill.utility_enkash_id else "referenceId"
    with suppress(InvalidRequestError):
        if len(checks.identifier(bill.utility_enkash_id or bill.reference_id, named)) <= _LONGEST_ID:
            return None
    return WebhookPayloadError(
        "the body names no bill: it needs utilityEnkashId or referenceId, fit for a path", where=named
    )


def _bill_in(document: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the object with the bill's id, and the members around that object; a customised post may wrap the bill."""
    for name in ("utilityenkashid", "referenceid"):
        if _has(document, name):
            return document, {}
        inner = [key for key, item in document.items() if isinstance(item, dict) and _has(item, name)]
        if len(inner) == 1:
            return document[inner[0]], {key: item for key, item in document.items() if key != inner[0]}
    return document, {}


def _has(document: Mapping[str, Any], name: str) -> bool:
    return any(fold(str(key)) == name for key in document)


def _forms(value: object) -> Iterator[bytes]:
    """Yield the possible original bytes of a header: some frameworks decode headers as UTF-8, others as Latin-1."""
    if isinstance(value, bytes):
        yield value
    elif isinstance(value, str):
        for encoding, errors in (("utf-8", "surrogateescape"), ("latin-1", "strict")):
            with suppress(UnicodeEncodeError):
                yield value.encode(encoding, errors)


def _values(given: str | bytes | Collection[str | bytes]) -> list[bytes]:
    several = [given] if isinstance(given, (str, bytes)) else list(given)
    return [value.encode() if isinstance(value, str) else value for value in several]


def _problem(headers: object, max_body: object, reshape: object) -> str | None:
    """Return what is wrong with the arguments, or None; the text shows no header value."""
    if not isinstance(headers, Mapping):
        return "headers must be a mapping such as {'X-Webhook-Key': ['new', 'old']}"
    if not headers:
        return "headers is empty: with nothing to check, everybody could post; name the header that you registered"
    if problem := names_flaw(headers):
        return problem
    for name, given in headers.items():
        if problem := _unusable(name, given):
            return problem
    if problem := checks.number_flaw(max_body, "max_body", least=1, whole=True, unit="bytes"):
        return problem
    if reshape is not None and not callable(reshape):
        return "reshape must be a function from a decoded document to one with EnKash's names"
    return None


def _unusable(name: str, given: object) -> str | None:
    if isinstance(given, Mapping) or not isinstance(given, Collection):
        return f"headers[{name!r}] must be a str or a list of them, not {type(given).__name__}: was a variable not set?"
    several: Collection[object] = [given] if isinstance(given, (str, bytes)) else given
    if not several:
        return f"headers[{name!r}] has no value, so nothing could ever match: give at least one"
    for value in several:
        if not isinstance(value, (str, bytes)):
            return f"headers[{name!r}] must hold str values, not {type(value).__name__}: was a variable not set?"
        try:
            raw = value.encode() if isinstance(value, str) else value
        except UnicodeEncodeError:
            return f"headers[{name!r}] holds a value that cannot be sent as UTF-8"
        if not raw.strip():
            return f"headers[{name!r}] holds an empty value, which anybody could send: was a variable not set?"
        if raw != raw.strip() or _UNSENDABLE.search(raw):
            return f"headers[{name!r}] holds a value that no header carries: control characters, or spaces at an end"
    return None
