"""Help for tests: a class of tests for a store of your own, and a virtual clock.

`pytest` is imported only when `StoreContract` is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from enkash_async.testing.virtual_clock import VirtualClock

if TYPE_CHECKING:
    from enkash_async.testing.contract import StoreContract

__all__ = ["StoreContract", "VirtualClock"]


def __getattr__(name: str) -> Any:
    if name != "StoreContract":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import enkash_async.testing.contract as home  # noqa: PLC0415 (it needs pytest)

    return home.StoreContract
