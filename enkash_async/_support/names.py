"""Comparison of names that EnKash spells in several forms."""

from __future__ import annotations

__all__ = ["fold"]


def fold(name: str) -> str:
    """Return a name in lower case without underscores; EnKash's pages spell one name as `billDate` and `billdate`."""
    return name.replace("_", "").lower()
