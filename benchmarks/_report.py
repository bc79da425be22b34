"""The results as a table for the terminal and as a JSON document."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import attrs

from benchmarks._machine import machine, versions
from benchmarks._results import Comparison, Figure, Result, Settings

__all__ = ["bounds_held", "document", "number", "quantity", "scaled", "table", "words"]

WIDTH = 140  # characters of a line of the table
_HEADS = ("suite", "case", "what", "peer", "ours ÷ peer", "in words", "bound", "holds")
_WRAPPED = (1, 2, 3)  # columns that may take several lines: case, what, peer
_GAP = "  "
_SCALES: Mapping[str, Sequence[tuple[float, str]]] = {
    "s": ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")),
    "bytes": ((2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"), (1.0, "bytes")),
}


def number(value: float) -> str:
    """Return a number with three significant digits, or with all digits if it is an int or large."""
    if isinstance(value, int) or abs(value) >= 999.5:
        return f"{value:,.0f}"
    return f"{value:#.3g}".rstrip(".")


def scaled(value: float, unit: str) -> tuple[float, str]:
    """Return a value of seconds or bytes in a readable multiple of its unit, such as ms or MiB."""
    scales = _SCALES.get(unit)
    if scales is None or not value:
        return value, unit
    size, name = next((scale for scale in scales if abs(value) >= scale[0]), scales[-1])
    return value / size, name


def quantity(value: float, unit: str) -> str:
    """Return a value with its unit."""
    value, unit = scaled(value, unit)
    return f"{number(value)} {unit}".rstrip()


def words(comparison: Comparison) -> str:
    """Return the ratio in words, such as `2.5 x faster`."""
    if comparison.ratio.median >= 1:
        return f"{number(comparison.ratio.median)} x the cost"
    return f"{number(1 / comparison.ratio.median)} x {_better(comparison)}"


def _better(comparison: Comparison) -> str:
    return "faster" if comparison.unit == "s" else "less"


def _holds(result: Result) -> bool | None:
    if result.bound is None:
        return None
    return result.bound.holds(result.ratio.median if isinstance(result, Comparison) else result.value)


def bounds_held(results: Iterable[Result]) -> tuple[int, int]:
    """Return how many bounds hold, and how many there are."""
    held = [_holds(result) for result in results if result.bound is not None]
    return sum(map(bool, held)), len(held)


def _bound(result: Result) -> str:
    bound = result.bound
    if bound is None:
        return ""
    sign = ">=" if bound.least else "<="
    if isinstance(result, Figure):
        return f"{sign} {_limit(bound.limit, result.unit)}"
    if not bound.least and bound.limit < 1:
        return f">= {1 / bound.limit:.3g} x {_better(result)}"
    return f"{sign} {bound.limit:.3g} x"


def _limit(value: float, unit: str) -> str:
    value, unit = scaled(value, unit)
    return f"{value:.3g} {unit}".rstrip()


def _cells(result: Result) -> tuple[str, ...]:
    holds = {None: "", True: "yes", False: "NO"}[_holds(result)]
    if isinstance(result, Figure):
        value, case = quantity(result.value, result.unit), result.case
        if result.items is not None and f"{result.items:,}" not in case:
            case = f"{case}, {result.items:,}"
        return (result.suite, case, result.measure, result.who, value, "", _bound(result), holds)
    ratio = result.ratio
    spread = number(ratio.median)
    if ratio.rounds > 1:
        spread += f" ({number(ratio.low)}–{number(ratio.high)})"
    return (result.suite, result.case, result.cost, result.peer, spread, words(result), _bound(result), holds)


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    """Return the widths of the columns; the widest column that may be wrapped shrinks until all fit."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    while sum(widths) + len(_GAP) * (len(widths) - 1) > WIDTH:
        widths[max(_WRAPPED, key=lambda column: widths[column])] -= 1
    return widths


def table(results: Sequence[Result]) -> str:
    """Return the results as aligned text, at most 140 characters wide, each ratio with its quartiles."""
    rows = [_HEADS, *map(_cells, results)]
    widths = _widths(rows)
    lines = []
    for row in rows:
        wrapped = [textwrap.wrap(cell, width) or [""] for cell, width in zip(row, widths, strict=True)]
        for number_of_line in range(max(map(len, wrapped))):
            parts = [cell[number_of_line] if number_of_line < len(cell) else "" for cell in wrapped]
            lines.append(_GAP.join(part.ljust(width) for part, width in zip(parts, widths, strict=True)).rstrip())
        if row is _HEADS:
            lines.append(_GAP.join("-" * width for width in widths))
    return "\n".join(lines)


def _described(result: Result) -> dict[str, Any]:
    kind = "comparison" if isinstance(result, Comparison) else "figure"
    return {"kind": kind, **attrs.asdict(result), "holds": _holds(result)}


def document(results: Sequence[Result], settings: Settings, command: str) -> dict[str, Any]:
    """Return the results with all facts that are needed to compare them with another run.

    Args:
        results: The results of all suites.
        settings: Amount of work of the run.
        command: Command line of the run.
    """
    held, of = bounds_held(results)
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        "rounds": settings.rounds,
        "smoke": settings.smoke,
        "machine": machine(),
        "versions": versions(),
        "bounds": {"hold": held, "of": of},
        "results": [_described(result) for result in results],
    }
