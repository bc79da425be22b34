"""Reads the headers of a request in every form in which web frameworks pass them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

__all__ = ["Headers", "pairs", "words"]

#: Names and values of headers, all str or all bytes: pairs, or a mapping whose `.items()` yields repeated headers too.
Headers: TypeAlias = (
    Mapping[str, str] | Mapping[bytes, bytes] | Iterable[tuple[str, str]] | Iterable[tuple[bytes, bytes]]
)


def pairs(headers: Any) -> Iterator[tuple[str, Any]]:
    """Yield header names in lower case with their values."""
    given = headers.items() if hasattr(headers, "items") else headers
    for name, value in given:
        yield (name.decode("latin-1") if isinstance(name, bytes) else str(name)).lower(), value


def words(headers: Any, name: str) -> list[str]:
    """Return the items of a header that holds a list, such as `Content-Encoding`, in lower case."""
    values = [value for found, value in pairs(headers) if found == name]
    texts = [value.decode("latin-1") if isinstance(value, bytes) else str(value) for value in values]
    return [word.strip().lower() for text in texts for word in text.split(",") if word.strip()]
