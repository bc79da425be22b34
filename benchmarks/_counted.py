"""Wrappers that note when a store was called, and when its process logged in."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from enkash_async import Identity, PasswordGrant, Token
from enkash_async.stores import Cell, Change, Store

__all__ = ["CountedStore", "Counts", "NotedGrant"]


@attrs.frozen
class Counts:
    """What one process did, as instants of the monotonic clock, which the processes of one machine share.

    Attributes:
        store_calls: When each call of the store began; a peer's are not counted.
        logins: When each login began.
    """

    store_calls: Sequence[float] = ()
    logins: Sequence[float] = ()


class CountedStore:
    """Passes every call on to a store.

    Args:
        store: Does the work; `aclose` closes it.

    Attributes:
        calls: When each `read` and each `swap` began, on the monotonic clock.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.calls: list[float] = []

    async def read(self, keys: Sequence[str]) -> Mapping[str, Cell]:
        """Note the call, and read."""
        self.calls.append(time.monotonic())
        return await self._store.read(keys)

    async def swap(self, changes: Sequence[Change]) -> Sequence[bool]:
        """Note the call, and swap."""
        self.calls.append(time.monotonic())
        return await self._store.swap(changes)

    async def aclose(self) -> None:
        """Close the store."""
        await self._store.aclose()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)  # what one kind of store has beside: an eviction policy


class NotedGrant:
    """Passes every login on to a `PasswordGrant`.

    Args:
        grant: Logs in.

    Attributes:
        logins: When each login began, on the monotonic clock.
    """

    def __init__(self, grant: PasswordGrant) -> None:
        self._grant = grant
        self.logins: list[float] = []

    @property
    def identity(self) -> Identity:
        """Whose tokens they are."""
        return self._grant.identity

    @property
    def seal_key(self) -> bytes | None:
        """The key that seals them in the store."""
        return self._grant.seal_key

    async def fetch_token(self) -> Token:
        """Note the login, and log in."""
        self.logins.append(time.monotonic())
        return await self._grant.fetch_token()
