"""Turns a reply's body into UTF-8, by the charset that its `Content-Type` declares."""

from __future__ import annotations

import codecs
import re

__all__ = ["UnknownCharsetError", "in_utf8"]

_DECLARED = re.compile(r";\s*charset\s*=\s*[\"']?([\w.:+-]{1,40})", re.ASCII | re.IGNORECASE)

# Python's names of the charsets that servers use for text. Others are refused: some of Python's are none of text, and
# some take very long.
_TEXT = re.compile(r"utf-(8|16|32)(-[bl]e|-sig)?|ascii|iso8859-\d{1,2}|cp\d{3,4}")


class UnknownCharsetError(Exception):
    """A body is not of the charset that its `Content-Type` declares, or that charset is none of text."""


def in_utf8(body: bytes, content_type: str | None) -> bytes:
    """Return a body in UTF-8.

    Args:
        body: The body.
        content_type: The header of that name; without a charset, the body is returned unchanged.

    Raises:
        UnknownCharsetError: The body is not of the declared charset, or that charset is none of text.
    """
    if content_type is None or "=" not in content_type:  # the fast path, for nearly every reply
        return body
    found = _DECLARED.search(content_type)
    if found is None:
        return body
    try:
        known = codecs.lookup(found[1]).name
        if known == "utf-8":
            return body  # what is not UTF-8 in it, the reader of JSON finds
        if _TEXT.fullmatch(known):
            return body.decode(known).encode()
    except (LookupError, ValueError):  # such as a body of half a character, or half a surrogate pair
        pass
    raise UnknownCharsetError
