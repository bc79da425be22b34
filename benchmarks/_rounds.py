"""Interleaved rounds: everybody runs in every round, so that what the machine does meanwhile happens to all of them."""

from __future__ import annotations

import gc
import random
import statistics
from collections.abc import Awaitable, Callable, Mapping, Sequence

import attrs

__all__ = ["Round", "Spread", "interleave", "ratios"]

#: Does one round's worth of work and returns its cost, such as seconds a call.
Round = Callable[[], Awaitable[float]]


@attrs.frozen
class Spread:
    """The middle of what several rounds showed, and how far they lie apart.

    Attributes:
        median: Half of the rounds were above.
        low: The first quartile.
        high: The third quartile.
        rounds: How many there were.
    """

    median: float
    low: float
    high: float
    rounds: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return the spread of at least one value."""
        if len(values) == 1:
            return cls(values[0], values[0], values[0], 1)
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, low, high, len(values))


async def interleave(contenders: Mapping[str, Round], rounds: int) -> dict[str, list[float]]:
    """Return what each contender's rounds cost, in the order of the rounds.

    Each has one round to warm up. The order is drawn anew for each round, the same ones in each run, since everybody
    finds caches, and a server's memory, as the one before left them.

    Args:
        contenders: What to compare, by name.
        rounds: How many count.
    """
    names = list(contenders)
    costs: dict[str, list[float]] = {name: [] for name in names}
    for name in names:
        await contenders[name]()
    draw = random.Random(2026)  # noqa: S311 (no secret)
    for _ in range(rounds):
        for name in draw.sample(names, len(names)):
            gc.collect()  # nobody pays for what another left behind
            costs[name].append(await contenders[name]())
    return costs


def ratios(costs: Sequence[float], others: Sequence[float]) -> list[float]:
    """Return cost ÷ other cost, round by round."""
    return [cost / other for cost, other in zip(costs, others, strict=True)]
