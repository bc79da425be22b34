"""The results as a picture: the ratios, and the growth of the cost per item.

Equal results give equal files, byte for byte.
"""

from __future__ import annotations

import itertools
import math
import re
import textwrap
from collections.abc import Sequence
from pathlib import Path

import attrs
import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

from benchmarks._report import scaled, words
from benchmarks._results import Comparison, Figure, Result

__all__ = ["draw"]

_BLUE, _ORANGE, _RED, _GREY = "#1f5fa8", "#d9822b", "#b3261e", "#777777"
_LINES = (_BLUE, _ORANGE, "#3a8a4d", "#8a4da8", "#555555", "#b3261e", "#2aa1a1", "#a88b1f")

_BLANK = {"facecolor": "white", "edgecolor": "none", "pad": 1.0}  # hides grid lines behind words
_GROWING = ("decode", "bulk")  # the suites with figures of growth

# Sizes in inches.
_WIDTH, _RIGHT, _TOP, _BOTTOM = 11.0, 2.2, 0.7, 0.35
_LETTER = 0.075  # width of a wide letter of a label
_ROW, _SUITE_GAP, _AXIS = 0.22, 0.42, 0.55
_PANEL, _PANEL_GAP, _PANEL_WIDTH, _PANEL_STEP, _PANEL_LEFT = 2.3, 0.95, 2.65, 5.35, 0.85


@attrs.define
class _Panel:
    """A diagram of one cost by the number of items, with a line for each case and contender."""

    title: str
    unit: str
    lines: dict[tuple[str, str], list[tuple[int, float]]]
    counted: str = ""

    def name(self, line: tuple[str, str]) -> str:
        """Return the label of a line: its case, its contender, or both, whichever differs between the lines."""
        telling = [part for place, part in enumerate(line) if len({other[place] for other in self.lines}) > 1]
        return ", ".join(telling) or line[1]


def _split(figure: Figure) -> tuple[str, str]:
    """Return the case without its number of items, which the axis shows, and the name of the items, such as `bills`."""
    found = re.search(rf"(?<!\w)({figure.items:,}|{figure.items})\b\s*(\w*)", figure.case)
    if found is None:
        return figure.case, ""
    return (figure.case[: found.start()] + figure.case[found.end() :]).strip(" ,:"), found[2]


def _panels(figures: Sequence[Figure]) -> list[_Panel]:
    panels: dict[tuple[str, str], _Panel] = {}
    for figure in figures:
        if figure.items is None:
            continue
        case, counted = _split(figure)
        title = f"{figure.suite}: {figure.measure}"
        panel = panels.setdefault((title, figure.unit), _Panel(title, figure.unit, {}))
        panel.lines.setdefault((case, figure.who), []).append((figure.items, figure.value))
        panel.counted = max(panel.counted, counted, key=len)  # prefers `bills` to `bill`
    return [panel for panel in panels.values() if any(len(line) > 1 for line in panel.lines.values())]


def draw(results: Sequence[Result], path: Path) -> None:
    """Draw all comparisons and all growth curves.

    Args:
        results: The results to draw.
        path: Path of the file to write; its suffix sets the format.
    """
    comparisons = [result for result in results if isinstance(result, Comparison)]
    suites = {suite: list(found) for suite, found in itertools.groupby(comparisons, key=lambda one: one.suite)}
    panels = _panels([result for result in results if isinstance(result, Figure) and result.suite in _GROWING])
    rows_of_panels = math.ceil(len(panels) / 2)
    ratios = sum(_rows(found) * _ROW + _SUITE_GAP for found in suites.values()) + (_AXIS if suites else 0)
    height = _TOP + ratios + rows_of_panels * (_PANEL + _PANEL_GAP) + _BOTTOM
    with mpl.rc_context({"font.size": 9, "svg.fonttype": "none", "svg.hashsalt": "enkash-async"}):
        canvas = Canvas(figsize=(_WIDTH, height))
        _heading(canvas, height)
        top = _draw_ratios(canvas, height, suites)
        for number, panel in enumerate(panels):
            row, column = divmod(number, 2)
            bottom = top - row * (_PANEL + _PANEL_GAP) - _PANEL_GAP / 2 - _PANEL
            left = _PANEL_LEFT + column * _PANEL_STEP
            axes = canvas.add_axes((left / _WIDTH, bottom / height, _PANEL_WIDTH / _WIDTH, _PANEL / height))
            _draw_panel(axes, panel)
        metadata = {"Date": None} if path.suffix == ".svg" else None
        canvas.savefig(path, metadata=metadata, dpi=100)


def _heading(canvas: Canvas, height: float) -> None:
    canvas.text(0.02, 1 - 0.3 / height, "enkash-async beside its peers", fontsize=13, weight="bold", va="center")
    text = "Our cost ÷ the peer's: median and quartiles of the rounds. Left of 1, ours is cheaper; red marks a bound."
    canvas.text(0.02, 1 - 0.58 / height, text, color=_GREY, va="center")


# --- ratios -----------------------------------------------------------------------------------------------------------


def _cases(found: Sequence[Comparison]) -> list[tuple[str, list[Comparison]]]:
    return [
        (f"{case}: {cost}", list(group))
        for (case, cost), group in itertools.groupby(found, key=lambda one: (one.case, one.cost))
    ]


def _rows(found: Sequence[Comparison]) -> int:
    return len(found) + len(_cases(found))  # each case has a line of its own above its peers


def _draw_ratios(canvas: Canvas, height: float, suites: dict[str, list[Comparison]]) -> float:
    """Draw the suites one below the other, and return the height in inches at which free space begins."""
    top = height - _TOP
    if not suites:
        return top
    every = [comparison for found in suites.values() for comparison in found]
    limits = _limits(every)
    left = 0.3 + _LETTER * max(len(comparison.peer) for comparison in every)
    axes = None
    for suite, found in suites.items():
        tall = _rows(found) * _ROW
        bottom = top - _SUITE_GAP - tall
        box = (left / _WIDTH, bottom / height, (_WIDTH - left - _RIGHT) / _WIDTH, tall / height)
        axes = canvas.add_axes(box, xscale="log", xlim=limits)
        axes.set_title(suite, loc="left", weight="bold", fontsize=10)
        _draw_suite(axes, found)
        axes.tick_params(axis="x", labelbottom=False, length=0)
        top = bottom
    if axes is not None:
        axes.tick_params(axis="x", labelbottom=True)
        axes.set_xlabel("ours ÷ peer")
    return top - _AXIS


def _limits(comparisons: Sequence[Comparison]) -> tuple[float, float]:
    bounds = [comparison.bound.limit for comparison in comparisons if comparison.bound is not None]
    low = min([comparison.ratio.low for comparison in comparisons] + bounds)
    high = max([comparison.ratio.high for comparison in comparisons] + bounds)
    return min(low / 1.3, 0.5), max(high * 1.3, 2.0)


def _draw_suite(axes: Axes, found: Sequence[Comparison]) -> None:
    axes.axvline(1.0, color=_GREY, linewidth=0.8)
    beside = axes.get_yaxis_transform()  # x as a share of the axes, y as data
    labels: list[str] = []
    for case, group in _cases(found):
        axes.text(0.005, len(labels), case, transform=beside, va="center", color=_GREY, style="italic", bbox=_BLANK)
        labels.append("")
        for comparison in group:
            _draw_ratio(axes, len(labels), comparison)
            labels.append(comparison.peer)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.set_yticks(range(len(labels)), labels)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _draw_ratio(axes: Axes, row: int, comparison: Comparison) -> None:
    ratio, bound = comparison.ratio, comparison.bound
    missed = bound is not None and not bound.holds(ratio.median)
    color = _ORANGE if missed else _BLUE
    axes.plot([ratio.low, ratio.high], [row, row], color=color, linewidth=2.2, solid_capstyle="butt", alpha=0.6)
    axes.plot([ratio.median], [row], color=color, marker="o", markersize=4.5, linestyle="none")
    said = words(comparison)
    if bound is not None:
        axes.plot([bound.limit] * 2, [row - 0.38, row + 0.38], color=_RED, linewidth=1.6)
        said += "; bound missed" if missed else "; bound kept"
    beside = axes.get_yaxis_transform()  # x as a share of the axes, y as data
    axes.text(1.01, row, said, transform=beside, va="center", fontsize=8, color=_ORANGE if missed else "#222222")


# --- growth -----------------------------------------------------------------------------------------------------------


def _draw_panel(axes: Axes, panel: _Panel) -> None:
    counts = sorted({items for line in panel.lines.values() for items, _ in line})
    values = [value for line in panel.lines.values() for _, value in line]
    base = 2.0 if panel.unit == "bytes" else 10.0
    for (key, line), color in zip(panel.lines.items(), itertools.cycle(_LINES), strict=False):
        items, costs = zip(*sorted(line), strict=True)
        axes.plot(
            items,
            costs,
            marker="o",
            markersize=3.5,
            linewidth=1.4,
            color=color,
            label=textwrap.fill(panel.name(key), 24),
        )
    axes.set_title(panel.title, loc="left", weight="bold", fontsize=10)
    axes.set_xscale("log")
    axes.set_xlim(counts[0] / 1.6, counts[-1] * 1.6)
    if min(values) > 0:
        axes.set_yscale("log", base=base)
        # Shows at least one whole step of the scale: otherwise the noise of a flat line would fill the panel.
        low, high = math.floor(math.log(min(values), base)), math.ceil(math.log(max(values), base))
        spare = 1 if base == 2.0 else 0
        axes.set_ylim(base ** (low - spare), base ** (max(high, low + 1) + spare))
        axes.yaxis.set_major_locator(LogLocator(base=base, numticks=7))
    axes.xaxis.set_major_locator(FixedLocator(counts))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _tick(value, panel.unit)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(panel.counted or "items")
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), fontsize=8, frameon=False, handlelength=1.4)


def _tick(value: float, unit: str) -> str:
    size, name = scaled(value, unit)
    text = f"{size:,.0f}" if abs(size) >= 10 else f"{size:.3g}"
    return f"{text} {name.replace('bytes', 'B')}".rstrip()
