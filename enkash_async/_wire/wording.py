"""Finds the words in which a reply explains a failure, in the forms of EnKash, its sister products and Spring."""

from __future__ import annotations

from typing import Any

from enkash_async._wire.operation import Response

__all__ = ["holds_error", "message_of", "plain_text", "reason_in"]

_MESSAGES = (
    *("response_message", "message", "errorMessage", "error_description", "detail", "resultMessage", "error"),
    "defaultMessage",  # what Spring says of one member of a request
)
_INNER = ("errorResponse", "errors", "error", "payload")
_DEEPEST = 3  # levels of objects and lists in which words are looked for
_LONGEST = 500  # bytes of a text that counts as a sentence


def message_of(document: dict[str, Any]) -> str | None:
    """Return the message of an envelope, or that of its `errorResponse`."""
    inner = document.get("errorResponse")
    return _named(document) or (_named(inner) if isinstance(inner, dict) else None)


def reason_in(document: dict[str, Any], levels: int = _DEEPEST) -> str | None:
    """Return the words inside an envelope; the `response_message` around them often says just `FAILURE`."""
    inner = (document.get(name) for name in _INNER if name != "payload" or not isinstance(document.get(name), str))
    return next((words for each in inner if (words := _words(each, levels)) is not None), None)


def holds_error(document: Any) -> bool:
    """Whether an envelope has an `errorResponse` with words in it."""
    return isinstance(document, dict) and _words(document.get("errorResponse"), _DEEPEST) is not None


def plain_text(response: Response) -> str | None:
    """Return a short body that is plain text, as gateways and firewalls send it; None for any other body."""
    kind = (response.content_type or "").partition(";")[0].strip().lower()
    if kind != "text/plain" or len(response.body) > _LONGEST or response.body.lstrip()[:1] in {b"<", b"{", b"["}:
        return None
    return response.body.decode("utf-8", "replace").strip() or None


def _words(value: Any, levels: int) -> str | None:
    if isinstance(value, str):
        return value if value.strip() else None
    if levels and isinstance(value, dict):
        words, member = _named(value) or reason_in(value, levels - 1), value.get("field")
        return f"{member} {words}" if words is not None and isinstance(member, str) else words
    if levels and isinstance(value, list):
        return next((words for each in value if (words := _words(each, levels - 1)) is not None), None)
    return None


def _named(place: dict[str, Any]) -> str | None:
    words = (place.get(name) for name in _MESSAGES)
    return next((word for word in words if isinstance(word, str) and word.strip()), None)
