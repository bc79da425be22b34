"""Results as values: ratios of our cost to a peer's, and plain figures such as numbers of logins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from benchmarks._rounds import Spread, ratios

__all__ = ["Bound", "Comparison", "Figure", "Result", "Settings", "compared"]


@attrs.frozen
class Settings:
    """The amount of work of a run.

    Attributes:
        rounds: Measured rounds, without the warm-up.
        smoke: Whether to do only enough work to show that everything runs; the figures then mean nothing.
    """

    rounds: int = 9
    smoke: bool = False

    def work(self, full: int, smoke: int) -> int:
        """Return the amount of work: `full`, or `smoke` in a smoke run."""
        return smoke if self.smoke else full


@attrs.frozen
class Bound:
    """A limit for a median.

    Attributes:
        limit: The number that the median must not exceed, or if `least` not fall below.
        least: Whether the limit is a lower bound.
    """

    limit: float
    least: bool = False

    def holds(self, value: float) -> bool:
        """Whether a value is within the bound."""
        return value >= self.limit if self.least else value <= self.limit


@attrs.frozen
class Comparison:
    """Our cost beside a peer's.

    Attributes:
        suite: Name of the suite, such as `request`.
        case: The measured work, such as `concurrency 16`.
        peer: Name of the peer.
        cost: The measured cost, such as `time a call`.
        ratio: Our cost ÷ the peer's, round by round; below 1, ours is cheaper.
        ours: Our cost, in the unit.
        theirs: The peer's cost, in the unit.
        unit: `s` or `bytes`, for one item.
        bound: The promised bound of the ratio, or None.
    """

    suite: str
    case: str
    peer: str
    cost: str
    ratio: Spread
    ours: Spread
    theirs: Spread
    unit: str = "s"
    bound: Bound | None = None


@attrs.frozen
class Figure:
    """A plain number, ours or a peer's.

    Attributes:
        suite: Name of the suite.
        case: The measured work.
        who: `enkash_async`, or the name of a peer.
        measure: The measured quantity, such as `logins a lifetime`.
        value: The number.
        unit: Its unit, or an empty string.
        bound: The promised bound of the number, or None.
        items: Number of items, for a figure that shows growth; else None.
    """

    suite: str
    case: str
    who: str
    measure: str
    value: float
    unit: str = ""
    bound: Bound | None = None
    items: int | None = None


Result = Comparison | Figure


def compared(
    suite: str,
    case: str,
    costs: Mapping[str, Sequence[float]],
    *,
    cost: str = "time",
    unit: str = "s",
    bounds: Mapping[str, Bound] | None = None,
) -> list[Comparison]:
    """Return our costs compared with each peer's.

    Args:
        suite: As in `Comparison`.
        case: As in `Comparison`.
        costs: Costs of each contender's rounds, as `interleave` returns them.
        cost: As in `Comparison`.
        unit: As in `Comparison`.
        bounds: Bounds of the ratios, by peer; None means no bounds.
    """
    ours = costs["enkash_async"]
    return [
        Comparison(
            suite=suite,
            case=case,
            peer=peer,
            cost=cost,
            ratio=Spread.of(ratios(ours, theirs)),
            ours=Spread.of(ours),
            theirs=Spread.of(theirs),
            unit=unit,
            bound=(bounds or {}).get(peer),
        )
        for peer, theirs in costs.items()
        if peer != "enkash_async"
    ]
