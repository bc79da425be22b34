"""The least that a coroutine can do about a lifetime: read the clock once."""

from __future__ import annotations

from time import monotonic

__all__ = ["ask"]


async def _now() -> float:
    return monotonic()


async def ask(times: int) -> None:
    """Await it so many times."""
    for _ in range(times):
        await _now()
