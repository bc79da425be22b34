"""Runs the asynchronous work of every command."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from enkash_async.cli._output import note
from enkash_async.client import EnkashClient
from enkash_async.config import RetryPolicy
from enkash_async.stores import FallbackStore, Store

__all__ = ["finish", "warn_of_fallback", "with_client"]

T = TypeVar("T")


def finish(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a new event loop and return its result."""
    return asyncio.run(work)


def warn_of_fallback(store: Store) -> None:
    """Warn the user if the file for the tokens could not be created; the command hides the library's own warning."""
    if isinstance(store, FallbackStore):
        note("no file can be made to share tokens in: this command logs in for itself; set ENKASH_STORE_URL")


def with_client(work: Callable[[EnkashClient], Awaitable[T]], *, retry: RetryPolicy = RetryPolicy()) -> T:
    """Make a client from the ENKASH_ variables, do the work with it, close the client, and return the result.

    Args:
        work: Called with the client.
        retry: Retry policy of the client.

    Raises:
        ConfigurationError: A variable is missing or unusable; the message names every missing one.
        EnkashError: The work raised this error.
    """

    async def session() -> T:
        async with EnkashClient.from_env(retry=retry) as client:
            warn_of_fallback(client.store)
            return await work(client)

    return finish(session())
