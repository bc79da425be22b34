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
        total: Number of rows of the whole list, as the reply states it; may be wrong. None if the reply has no number.
    """

    items: list[T]
    total: int | None = None
