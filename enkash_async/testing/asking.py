"""Helpers that the tests of a store share: a new key, an event loop, one read, one swap."""

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
    """Return a decorator that marks a test; a class whose attribute `flag` is False drops the test."""

    def mark(test: _F) -> _F:
        vars(test)["only_if"] = flag
        return test

    return mark


Body: TypeAlias = Callable[[Store], Coroutine[Any, Any, _T]]


async def nothing(store: Store) -> None:
    """Do nothing; `run` then only closes the store."""


def new_key() -> str:
    """Return the key of a record that no other test uses."""
    return f"enkash:contract:v2:{uuid.uuid4().hex}"


def run(store: Store, body: Body[_T]) -> _T:
    """Run a test in an event loop of its own, and then close the store."""

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
    """Change one record, which is kept for a minute, and return whether the change was made."""
    [made] = await store.swap([Change(key, old, new, 60)])
    return made


async def turns(number: int) -> None:
    """Yield to the event loop `number` times; from the eleventh time on, sleep 0.3 ms each time."""
    for turn in range(number):
        await asyncio.sleep(0 if turn < 10 else 0.0003)


async def settled(store: Store, key: str, allowed: set[bytes | None]) -> bytes:
    """Set a key to a fresh value, so that a cancelled swap can no longer change it, and return the fresh value."""
    fresh = uuid.uuid4().hex.encode()
    for _ in range(200):
        held = (await cell_of(store, key)).value
        assert held in allowed
        # A late swap then does not find the old value that it expects.
        if await swap_one(store, key, held, fresh):
            return fresh
    raise AssertionError("the key changes again and again")
