"""The store of a client that was closed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NoReturn

from enkash_async.errors import StoreError
from enkash_async.stores.store import Cell, Change

__all__ = ["ClosedStore"]


class ClosedStore:
    """Refuses every call; the error names the closed client, since its user may not know that there is a store."""

    async def read(self, keys: Sequence[str]) -> Mapping[str, Cell]:  # noqa: ARG002 (as the protocol names it)
        """Raise a `StoreError`."""
        _refuse()

    async def swap(self, changes: Sequence[Change]) -> Sequence[bool]:  # noqa: ARG002 (as the protocol names it)
        """Raise a `StoreError`."""
        _refuse()

    async def aclose(self) -> None:
        """Do nothing."""


def _refuse() -> NoReturn:
    raise StoreError("the client is closed; make a new one")
