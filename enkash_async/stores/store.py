"""The protocol of a store: memory that processes share, with read and compare-and-swap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import attrs

__all__ = ["Cell", "Change", "Store"]


@attrs.frozen
class Cell:
    """What a key holds, and when it was read.

    Attributes:
        value: The bytes that were last swapped in; None if the key holds nothing. Not shown by `repr`.
        now: Time of the read in seconds, on the clock of the server that holds the key. Only the difference of two
            times has a meaning.
    """

    value: bytes | None = attrs.field(repr=False)
    now: float


@attrs.frozen
class Change:
    """A new value for a key, which is set only if the key still holds the old value.

    Attributes:
        key: Up to 200 printable ASCII characters without a space, such as `enkash:debit:v2:…`.
        old: The bytes that were read; None if the key held nothing. Not shown by `repr`.
        new: The new bytes, up to 256 KiB; None deletes the key, and `b""` is a value. Not shown by `repr`.
        keep: Seconds, above 0, after which the new value expires; None keeps it for ever.
    """

    key: str
    old: bytes | None = attrs.field(repr=False)
    new: bytes | None = attrs.field(repr=False)
    keep: float | None = None


class Store(Protocol):
    """A memory that processes share.

    Callers pass up to 1,024 keys in one call, and no key twice. Values are usually smaller than 4 KiB. Every call
    returns or raises within a time that the store limits itself, for example to five seconds. A store that cannot do
    its work now (no answer, full, read-only, a missing right) raises `StoreUnavailableError`. Several tasks may use a
    store at the same time.

    A store may have an attribute `nothing_pending`. True declares that no confirmation of a debit is under way
    anywhere. Then a new store need not wait for confirmations that were sent before the store was made.
    """

    async def read(self, keys: Sequence[str]) -> Mapping[str, Cell]:
        """Return the cell of every key, also of keys that hold nothing.

        The call sees every value that any process has swapped in before the call began.

        Raises:
            StoreUnavailableError: The store is unavailable.
        """
        ...

    async def swap(self, changes: Sequence[Change]) -> Sequence[bool]:
        """Make each change whose key still holds exactly `old`; return the answers in the order of the changes.

        Each change is atomic by itself. True means that the change was made, and is as durable as the store promises.
        False means that the change was not made, since the key holds something else than `old`.

        Raises:
            StoreUnavailableError: The store is unavailable. Any of the changes may have been made: read again.
        """
        ...

    async def aclose(self) -> None:
        """Close the connections that the store opened; a client that was passed in stays open. May be called twice."""
        ...
