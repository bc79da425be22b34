"""Plays many random schedules against a model, and counts what they brought: for the models of accounts and debits."""

from __future__ import annotations

import enum
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

import attrs

__all__ = ["Tally", "Violation", "main", "tallied"]


class Violation(AssertionError):  # noqa: N818 (a finding, not a fault of the model)
    """A schedule in which a rule did not hold; its text is the story."""

    def __init__(self, rule: enum.Enum, story: Iterable[str]) -> None:
        super().__init__("\n".join([rule.value, *story]))
        self.rule = rule


@attrs.define
class Tally:
    """What many schedules brought.

    Attributes:
        acts: How often EnKash did what the model is about: logins or debits.
        seen: How often each kind of event came about.
        violations: The seeds in which a rule did not hold, by the rule.
    """

    acts: int = 0
    seen: Counter[str] = attrs.Factory(Counter)
    violations: dict[enum.Enum, list[int]] = attrs.Factory(dict)


def tallied(play: Callable[[int], tuple[int, Mapping[str, int]]], count: int, first: int = 0) -> Tally:
    """Play the schedules of `count` seeds, from `first` on.

    Args:
        play: Plays the schedule of a seed; returns the number of acts, and how often each kind of event came about.
    """
    tally = Tally()
    for seed in range(first, first + count):
        try:
            acts, seen = play(seed)
        except Violation as found:
            tally.violations.setdefault(found.rule, []).append(seed)
        else:
            tally.acts += acts
            tally.seen.update(seen)
    return tally


def main(run: Callable[[int, int], Tally], *, acts: str, count: int) -> None:
    """Run a model from the command line, and print what the schedules brought.

    Args:
        run: Plays as many schedules as its first argument says, from the seed of its second one on.
        acts: What the tally's acts are.
        count: Number of schedules, where the command line gives none.
    """
    words = sys.argv[1:]
    count = int(words[0]) if words else count
    first = int(words[1]) if len(words) > 1 else 0
    began = time.perf_counter()
    tally = run(count, first)
    took = time.perf_counter() - began
    print(f"{count} schedules, {tally.acts} {acts}, {took:.0f} s, {count / took:.0f} a second")
    print("seen:", dict(sorted(tally.seen.items())))
    for rule, seeds in tally.violations.items():
        print(f"{rule.name}: {len(seeds)}, such as seeds {seeds[:8]}")
    if not tally.violations:
        print("no violation")
