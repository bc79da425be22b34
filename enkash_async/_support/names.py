"""Names that mean the same, however they are spelt."""

from __future__ import annotations

__all__ = ["fold"]


def fold(name: str) -> str:
    """Return a name without case and underscores, which EnKash's pages contradict each other in (`billdate`)."""
    return name.replace("_", "").lower()
