"""What a renewal costs: which logins and which store calls belong to it, and who led it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import attrs

from benchmarks._counted import Counts

__all__ = ["Costs", "Worked", "renewals"]


def renewals(logins: Sequence[float], apart: float) -> list[list[float]]:
    """Return the logins in groups: one belongs to the renewal of the one before if it began soon after that.

    Args:
        logins: When each began, in order.
        apart: Seconds within which a login follows the one before in the same group.
    """
    groups: list[list[float]] = []
    for before, instant in zip([float("-inf"), *logins], logins, strict=False):
        if instant - before < apart:
            groups[-1].append(instant)
        else:
            groups.append([instant])
    return groups


@attrs.frozen
class Costs:
    """The store calls of one renewal.

    Attributes:
        leaders: Of each process that logged in.
        others: Of each other process.
    """

    leaders: Sequence[int]
    others: Sequence[int]


@attrs.frozen
class Worked:
    """What came of a time under load.

    Attributes:
        calls: When each call of `get_token` began, and how long it took.
        renewals: The logins of each renewal, by when they began; the first is the cold start.
        counts: What each process did.
    """

    calls: Sequence[tuple[float, float]]
    renewals: Sequence[Sequence[float]]
    counts: Sequence[Counts]

    def during(self, login: float) -> list[float]:
        """Return how long the calls took that were made, or still waited, while somebody logged in."""
        spans = [(logins[0], logins[-1] + login) for logins in self.renewals[1:]]
        return [
            took for begun, took in self.calls if any(begun <= end and begun + took >= start for start, end in spans)
        ]

    def period(self) -> float:
        """Return the seconds from one renewal to the next."""
        return (self.renewals[-1][0] - self.renewals[0][0]) / (len(self.renewals) - 1)

    def logins_a_renewal(self) -> float:
        """Return how many logins one renewal cost the whole fleet."""
        return sum(map(len, self.renewals[1:])) / (len(self.renewals) - 1)

    def costs(self, lead: float) -> list[Costs]:
        """Return the store calls of each renewal whose successor was seen as well: the last one may be cut off.

        Args:
            lead: Seconds before its login in which a renewal's first store call may lie.
        """
        starts = [logins[0] - lead for logins in self.renewals[1:]]
        return [self._cost(start, end) for start, end in itertools.pairwise(starts)]

    def _cost(self, start: float, end: float) -> Costs:
        leaders: list[int] = []
        others: list[int] = []
        for count in self.counts:
            calls = sum(start <= instant < end for instant in count.store_calls)
            (leaders if any(start <= instant < end for instant in count.logins) else others).append(calls)
        return Costs(leaders, others)
