"""Checks the HTTP headers that the user gives; no error message shows a header's value, which may be a secret."""

from __future__ import annotations

import re
from collections.abc import Mapping

from enkash_async._support.text import hidden_flaw
from enkash_async.errors import InvalidRequestError

__all__ = ["checked_headers", "is_visible", "names_flaw"]

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # a token of RFC 9110
_VISIBLE = re.compile(r"[\x21-\x7e]+")
_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")


def is_visible(value: str) -> bool:
    """Whether text is printable ASCII without spaces; a line break in a token would add a header to the request."""
    return _VISIBLE.fullmatch(value) is not None


def names_flaw(headers: Mapping[object, object]) -> str | None:
    """Return what is wrong with the header names, or None."""
    if len({str(name).lower() for name in headers}) < len(headers):
        return "headers names one header twice: upper and lower case are one"
    if not all(isinstance(name, str) and _NAME.fullmatch(name) for name in headers):
        return "headers: a name must be a header name such as 'X-Webhook-Key'"
    return None


def checked_headers(given: object) -> dict[str, str]:
    """Return the headers by which a webhook receiver recognises EnKash's posts.

    Raises:
        InvalidRequestError: There is no header, or a name or value is unusable.
    """
    if not isinstance(given, Mapping) or not given:
        raise InvalidRequestError(
            "headers must name at least one, such as {'X-Webhook-Key': …}: EnKash signs nothing, and without a header "
            "nobody can tell its posts from others"
        )
    if (flaw := names_flaw(given)) is not None:
        raise InvalidRequestError(flaw)
    for name, value in given.items():
        if isinstance(value, str) and (flaw := hidden_flaw(value)) is not None:
            raise InvalidRequestError(f"headers[{name!r}] {flaw}")
        if not isinstance(value, str) or not _VALUE.fullmatch(value):
            raise InvalidRequestError(
                f"headers[{name!r}] must be a non-empty str of ASCII characters without spaces at its ends: was a "
                "variable not set?"
            )
    return dict(given)
