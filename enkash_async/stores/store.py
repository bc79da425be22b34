"""The memory that processes share: cells of bytes that are read, and swapped by comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import attrs

from enkash_async.errors import StoreUnavailableError

__all__ = ["Cell", "Change", "Store", "refuse_eviction"]


@attrs.frozen
class Cell:
    """What a key holds.

    Attributes:
        value: The bytes as they were swapped in, or None where the key holds nothing. Not shown by `repr`.
        now: Seconds on the clock of the server that holds this key. Only differences mean something.
    """

    value: bytes | None = attrs.field(repr=False)
    now: float


@attrs.frozen
class Change:
    """What a key is set to, provided that it still holds what was read.

    Attributes:
        key: Up to 200 printable ASCII characters without a space, such as `enkash:debit:v2:…`.
        old: The bytes that were read, or None for «the key holds nothing». Not shown by `repr`.
        new: Up to 256 KiB, or None to delete. `b""` is a value. Not shown by `repr`.
        keep: Seconds from now, above 0, after which the key holds nothing; None keeps it for ever.
    """

    key: str
    old: bytes | None = attrs.field(repr=False)
    new: bytes | None = attrs.field(repr=False)
    keep: float | None = None


class Store(Protocol):
    """A memory that processes share.

    Up to 1,024 keys are passed in one call, none of them twice. Records are small: usually under 4 KiB. Every call
    answers, or raises, within a bound that the store sets itself, such as five seconds. What a store cannot do just
    now (no answer, full, read-only, a right that is missing) is a `StoreUnavailableError`. A store may be used from
    several tasks at a time.

    A store may have an attribute `nothing_pending`. True declares that no confirmation of a debit is under way
    anywhere, so that a new store counts as old at once.
    """

    async def read(self, keys: Sequence[str]) -> Mapping[str, Cell]:
        """Return the cell of every key, also of those that hold nothing.

        A value that was swapped in before this call began, by whatever process, is seen.

        Raises:
            StoreUnavailableError: The store is away.
        """
        ...

    async def swap(self, changes: Sequence[Change]) -> Sequence[bool]:
        """Make each change whose key still holds exactly `old`; return one answer each, in their order.

        Each change is atomic by itself. True: it is made, and as durable as the store promises. False: it is not made,
        since the key holds something else.

        Raises:
            StoreUnavailableError: The store is away. Each change may have been made or not: read again.
        """
        ...

    async def aclose(self) -> None:
        """Close what the store opened; what was passed in stays open. A second call does nothing."""
        ...


async def refuse_eviction(store: Store, *, expiring_only: bool = False) -> None:
    """Raise where a server that is short of memory would throw records away.

    Args:
        store: Any; only one whose class has `eviction_policy` (a `RedisStore`) is asked, once.
        expiring_only: Accept a `volatile-*` policy, which spares records that are kept for ever, as accounts are.

    Raises:
        StoreUnavailableError: The policy is another than `noeviction`, or cannot be read.
    """
    ask = getattr(store, "eviction_policy", None)
    policy = "noeviction" if ask is None else await ask()
    if policy == "noeviction" or (expiring_only and policy.startswith("volatile-")):
        return
    raise StoreUnavailableError(
        f"Redis may evict records (maxmemory-policy is {policy}): set maxmemory-policy noeviction, or use another Redis"
    )
