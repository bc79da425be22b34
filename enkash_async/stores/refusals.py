"""Refuses stores that could forget a record: without the record of a debit, the debit could be repeated."""

from __future__ import annotations

from enkash_async.errors import StoreUnavailableError
from enkash_async.stores.memory import FallbackStore
from enkash_async.stores.store import Store

__all__ = ["refuse_eviction", "refuse_forgetting"]


async def refuse_eviction(store: Store, *, expiring_only: bool = False) -> None:
    """Raise an error if the store's server may evict records when it is short of memory.

    Args:
        store: Any store. Only a store with a method `eviction_policy`, such as a `RedisStore`, is asked for its policy.
        expiring_only: Also accept a `volatile-*` policy, which never evicts records that are kept for ever.

    Raises:
        StoreUnavailableError: The policy may evict records, or cannot be read.
    """
    ask = getattr(store, "eviction_policy", None)
    policy = "noeviction" if ask is None else await ask()
    if policy == "noeviction" or (expiring_only and policy.startswith("volatile-")):
        return
    raise StoreUnavailableError(
        f"Redis may evict records (maxmemory-policy is {policy}): set maxmemory-policy noeviction, or use another Redis"
    )


async def refuse_forgetting(store: Store, *, need: str, memory_if: str, is_loopback: bool) -> None:
    """Raise an error if the store could forget records.

    A store forgets if it is in memory because no file could be made, or if its server may evict records.

    Args:
        store: Any store.
        need: First words of the message, such as «debits need a store that outlives this process».
        memory_if: Last words of the message: when a memory store is enough, such as «no other process pays for this
            account».
        is_loopback: Whether the records concern a host on this machine, such as a sandbox. Then a memory store may
            replace the file.

    Raises:
        StoreUnavailableError: The store could forget records. The message says what to set.
    """
    if isinstance(store, FallbackStore) and not is_loopback:
        raise StoreUnavailableError(
            f"{need}, and no file could be made for one: set ENKASH_STORE_URL, such as sqlite:///path/to/file, "
            f"redis://host or postgresql://host/database, or to memory: where {memory_if}"
        )
    await refuse_eviction(store)
