"""What the tests of a store have in common: a key, an event loop, one read, one swap."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias, TypeVar

from enkash_async.stores.store import Cell, Change, Store
from enkash_async.testing.racing import run_alone

__all__ = ["Body", "cell_of", "new_key", "nothing", "only_if", "run", "settled", "swap_one", "turns"]

_T = TypeVar("_T")
_F = TypeVar("_F", bound=Callable[..., None])


def only_if(flag: str) -> Callable[[_F], _F]:
    """Drop a test from classes whose attribute of this name is False."""

    def mark(test: _F) -> _F:
        vars(test)["only_if"] = flag
        return test

    return mark


Body: TypeAlias = Callable[[Store], Coroutine[Any, Any, _T]]


async def nothing(store: Store) -> None:
    """Only close the store."""


def new_key() -> str:
    """Return the key of a record that no other test uses."""
    return f"enkash:contract:v2:{uuid.uuid4().hex}"


def run(store: Store, body: Body[_T]) -> _T:
    """Run a test in an event loop of its own, and close the store in the end."""

    async def whole() -> _T:
        try:
            return await body(store)
        finally:
            await store.aclose()

    return run_alone(whole())


async def cell_of(store: Store, key: str) -> Cell:
    """Read one record."""
    return (await store.read([key]))[key]


async def swap_one(store: Store, key: str, old: bytes | None, new: bytes | None) -> bool:
    """Change one record, for a minute, and return whether that was done."""
    [made] = await store.swap([Change(key, old, new, 60)])
    return made


async def turns(number: int) -> None:
    """Let the event loop run a number of times; from the tenth on, with a little time."""
    for turn in range(number):
        await asyncio.sleep(0 if turn < 10 else 0.0003)


async def settled(store: Store, key: str, allowed: set[bytes | None]) -> bytes:
    """Return what a key is set to when a swap that was cancelled is over, or can no longer be made."""
    fresh = uuid.uuid4().hex.encode()
    for _ in range(200):
        held = (await cell_of(store, key)).value
        assert held in allowed
        # A late swap finds another old value then.
        if await swap_one(store, key, held, fresh):
            return fresh
    raise AssertionError("the key changes again and again")
