"""Turns a reply's body into UTF-8, by the charset that its `Content-Type` declares."""

from __future__ import annotations

import codecs
import functools
import re

__all__ = ["UnknownCharsetError", "in_utf8"]

_DECLARED = re.compile(r";\s*charset\s*=\s*[\"']?([\w.:+-]{1,40})", re.ASCII | re.IGNORECASE)

# Python's names of the charsets that servers use for text. All other codecs of Python are refused: some do not decode
# text, and some are very slow.
_TEXT = re.compile(r"utf-(8|16|32)(-[bl]e|-sig)?|ascii|iso8859-\d{1,2}|cp\d{3,4}")


class UnknownCharsetError(Exception):
    """A body cannot be decoded with the charset that its `Content-Type` declares, or this charset is not accepted."""


def in_utf8(body: bytes, content_type: str | None) -> bytes:
    """Return a body in UTF-8.

    Args:
        body: The body.
        content_type: The header `Content-Type`, or None; if it names no charset, the body is returned unchanged.

    Raises:
        UnknownCharsetError: The body cannot be decoded with the declared charset, or this charset is not accepted.
    """
    charset = None if content_type is None else _declared(content_type)
    if charset is None or charset == "utf-8":
        return body  # not checked here: the JSON reader finds invalid UTF-8
    try:
        if _TEXT.fullmatch(charset):
            return body.decode(charset).encode()
    except ValueError:  # for example, the body ends within a character
        pass
    raise UnknownCharsetError


@functools.lru_cache(maxsize=64)  # servers send the same header with every reply
def _declared(content_type: str) -> str | None:
    """Return Python's name of the declared charset; None if none is declared, and an empty string if it is unknown."""
    found = _DECLARED.search(content_type)
    if found is None:
        return None
    try:
        return codecs.lookup(found[1]).name
    except (LookupError, ValueError):
        return ""
