"""What takes the place of a store that its client has closed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NoReturn

from enkash_async.errors import StoreError
from enkash_async.stores.store import Cell, Change

__all__ = ["ClosedStore"]


class ClosedStore:
    """Refuses every call: the caller has closed a client, and need not know that it had a store."""

    async def read(self, keys: Sequence[str]) -> Mapping[str, Cell]:  # noqa: ARG002 (as the protocol names it)
        """Refuse."""
        _refuse()

    async def swap(self, changes: Sequence[Change]) -> Sequence[bool]:  # noqa: ARG002 (as the protocol names it)
        """Refuse."""
        _refuse()

    async def aclose(self) -> None:
        """Do nothing."""


def _refuse() -> NoReturn:
    raise StoreError("the client is closed; make a new one")
