"""One page of a list that EnKash returns in parts."""

from __future__ import annotations

from typing import Generic, TypeVar

import attrs

__all__ = ["Page"]

T = TypeVar("T")


@attrs.frozen
class Page(Generic[T]):
    """One page of a list.

    Attributes:
        items: The rows of the page, in EnKash's order.
        total: Number of rows of the whole list, where the reply states one; it may be wrong, or out of date.
    """

    items: list[T]
    total: int | None = None
