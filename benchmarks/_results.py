"""What a measurement says, as values: ratios between ours and a peer's, and plain figures such as logins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from benchmarks._rounds import Spread, ratios

__all__ = ["Bound", "Comparison", "Figure", "Result", "Settings", "compared"]


@attrs.frozen
class Settings:
    """How much to measure.

    Attributes:
        rounds: Rounds that count.
        smoke: As little work as shows that everything runs; the figures then mean nothing.
    """

    rounds: int = 9
    smoke: bool = False

    def work(self, full: int, smoke: int) -> int:
        """Return how much work to do: so much, or so little in a smoke run."""
        return smoke if self.smoke else full


@attrs.frozen
class Bound:
    """What a median must not exceed, or not fall below.

    Attributes:
        limit: The number.
        least: Whether it is the least that will do, and not the most.
    """

    limit: float
    least: bool = False

    def holds(self, value: float) -> bool:
        """Whether a value keeps within the bound."""
        return value >= self.limit if self.least else value <= self.limit


@attrs.frozen
class Comparison:
    """The cost of ours beside that of a peer.

    Attributes:
        suite: Which part of the benchmarks, such as `request`.
        case: What was done, such as `concurrency 16`.
        peer: Who else did it.
        cost: What was counted, such as `time a call`.
        ratio: Ours ÷ the peer's, round by round; below 1, ours is cheaper.
        ours: Our cost, in the unit.
        theirs: The peer's.
        unit: `s` or `bytes`, of one item.
        bound: What the ratio has to keep to, if that was promised.
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
    """A plain number, of ours or of a peer.

    Attributes:
        suite: Which part of the benchmarks.
        case: What was done.
        who: `enkash_async`, or a peer.
        measure: What was counted, such as `logins a lifetime`.
        value: The number.
        unit: Of what, or empty.
        bound: What the number has to keep to, if that was promised.
        items: How much work it was, where the shape of growth is meant.
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
    """Return ours beside each of the peers.

    Args:
        suite: As in `Comparison`, like `case`, `cost` and `unit`.
        case: See there.
        costs: What each contender's rounds cost, as `interleave` returns it.
        cost: See there.
        unit: See there.
        bounds: What the ratio to a peer has to keep to.
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
