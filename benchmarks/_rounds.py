"""Interleaved rounds: every contender runs in every round, so that other load on the machine affects all alike."""

from __future__ import annotations

import gc
import random
import statistics
from collections.abc import Awaitable, Callable, Mapping, Sequence

import attrs

__all__ = ["Round", "Spread", "interleave", "ratios"]

#: Does the work of one round and returns its cost, such as seconds per call.
Round = Callable[[], Awaitable[float]]


@attrs.frozen
class Spread:
    """The median and the quartiles of several rounds.

    Attributes:
        median: The median.
        low: The first quartile.
        high: The third quartile.
        rounds: Number of rounds.
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
    """Return the costs of each contender's rounds, in the order of the rounds.

    Each contender has one warm-up round. In each round their order is drawn at random, since a contender finds caches
    and the server's memory as the one before left them; the seed is fixed, so that every run has the same orders.

    Args:
        contenders: The work of one round, by contender.
        rounds: Measured rounds, without the warm-up.
    """
    names = list(contenders)
    costs: dict[str, list[float]] = {name: [] for name in names}
    for name in names:
        await contenders[name]()
    draw = random.Random(2026)  # noqa: S311 (no secret)
    for _ in range(rounds):
        for name in draw.sample(names, len(names)):
            gc.collect()  # so that no contender pays for another's garbage
            costs[name].append(await contenders[name]())
    return costs


def ratios(costs: Sequence[float], others: Sequence[float]) -> list[float]:
    """Return cost ÷ other cost for each round."""
    return [cost / other for cost, other in zip(costs, others, strict=True)]
