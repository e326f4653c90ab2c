"""Draws the charts of a report: scaling curves, latencies, memory over time.

Only this module needs ``bench/requirements.txt``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from bench.cases.latency import LEVELS
from bench.cases.scaling import CURVES
from bench.report.results import Report, ReportedResult

__all__ = ["draw"]

_INK, _FAINT, _LINE = "#24292f", "#d0d7de", "#0b6bcb"
_COLOURS = ("#9ec9f5", "#0b6bcb", "#0a3069")
_SIZE = (7.2, 4.0)
_STYLE: Any = {
    "axes.edgecolor": _FAINT,
    "axes.labelcolor": _INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": _INK,
    "font.family": "DejaVu Sans",
    "font.size": 10.0,
    "svg.hashsalt": "headgate",  # the same figures make the same file
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
}
_TITLES = {
    "scale-batch": "Throughput by batch size",
    "scale-size": "Throughput by event size",
    "scale-destinations": "Throughput by number of destinations",
    "scale-queue": "Delivery from disk by length of the queue",
}
_PERCENTILES = ("p50", "p99", "p99.9")


def draw(report: Report, folder: Path) -> list[Path]:
    """Writes an SVG file for each benchmark of a report that has a chart; returns their paths."""
    with mpl.rc_context(_STYLE):
        return [path for result in report.results for path in _drawn(result, report, folder)]


def _drawn(result: ReportedResult, report: Report, folder: Path) -> Iterator[Path]:
    painter: Callable[[ReportedResult, Axes], None]
    if result.name in CURVES:
        painter = _curve
    elif result.name == "latency":
        painter = _latencies
    elif any(variant.series for variant in result.variants.values()):
        painter = _memory
    else:
        return
    figure = Figure(figsize=_SIZE, layout="constrained", facecolor="white")
    axes = figure.subplots()
    axes.tick_params(length=0)
    painter(result, axes)
    figure.supxlabel(_caption(result, report), x=0.01, ha="left", fontsize=7, color="#656d76")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{result.name}.svg"
    figure.savefig(path, format="svg", metadata={"Date": None})
    yield path


def _caption(result: ReportedResult, report: Report) -> str:
    known = report.environment
    repeats = max(len(variant.repeats) for variant in result.variants.values())
    measured = "one run" if repeats == 1 else f"median of {repeats} runs, bars from least to most"
    python = f"CPython {known['python']}, " if "python" in known else ""
    processor = f"{known['processor']}, " if known.get("processor") else ""
    return f"{processor}{python}{measured}"


def _curve(result: ReportedResult, axes: Axes) -> None:
    """Draws events a second over the axis that names the variants."""
    places = [float(name.replace(",", "")) for name in result.variants]
    rates = [[1e6 / each for each in v.repeats] for v in result.variants.values()]
    middle = [median(rate) for rate in rates]
    below = [value - min(rate) for value, rate in zip(middle, rates, strict=True)]
    above = [max(rate) - value for value, rate in zip(middle, rates, strict=True)]
    axes.set_xscale("log")
    axes.errorbar(
        places, middle, yerr=[below, above], color=_LINE, ecolor="#8ab9e8", marker="o",
        markersize=6, linewidth=2, capsize=3,
    )  # fmt: skip
    for place, value, extra in zip(places, middle, above, strict=True):
        axes.annotate(
            _short(value), (place, value + extra), (0, 6), textcoords="offset points",
            ha="center", fontsize=9,
        )  # fmt: skip
    axes.set_xticks(places, list(result.variants))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.margins(x=0.06)
    axes.set_xlabel(CURVES[result.name])
    _title(axes, _TITLES[result.name])
    top = max(value + extra for value, extra in zip(middle, above, strict=True))
    _values(axes, "events a second", 1.15 * top)


def _latencies(result: ReportedResult, axes: Axes) -> None:
    """Draws bars by level of load for each percentile, on a logarithmic scale."""
    width = 0.8 / len(_PERCENTILES)
    labels: list[str] = []
    middle: list[float] = []
    heights: list[float] = []
    place = 0.0
    for name, variant in result.variants.items():
        for level in LEVELS:
            for index, percentile in enumerate(_PERCENTILES):
                value = median(variant.notes[f"{percentile} ms at {level} %"])
                at = place + index * width
                heights.append(value)
                axes.bar(
                    at, value, 0.92 * width, color=_COLOURS[index],
                    label=percentile if not labels else None,
                )  # fmt: skip
                axes.annotate(
                    f"{value:.3g}", (at, value), (0, 3), textcoords="offset points",
                    ha="center", fontsize=8,
                )  # fmt: skip
            labels.append(
                f"{level} %\n{name}" if level == LEVELS[len(LEVELS) // 2] else f"{level} %"
            )
            middle.append(place + width)
            place += 1
        place += 0.4
    axes.set_yscale("log")
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    # Begins at a power of ten below the least, with room for the legend above the greatest.
    axes.set_ylim(10.0 ** math.floor(math.log10(0.9 * min(heights))), 4 * max(heights))
    axes.margins(x=0.03)
    axes.set_xticks(middle, labels)
    axes.set_ylabel("ms from when it was due")
    _title(axes, "Latency of the answer by share of the peak load, fsync included")
    axes.grid(axis="y", color=_FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.legend(frameon=False, ncols=len(_PERCENTILES), loc="upper left")


def _memory(result: ReportedResult, axes: Axes) -> None:
    top = 0.0
    for variant in result.variants.values():
        seconds, megabytes = zip(*variant.series, strict=True)
        axes.plot([each / 60 for each in seconds], megabytes, color=_LINE, linewidth=2)
        top = max(top, *megabytes)
    for goal in result.goals:
        if goal.note == "RSS MB" and goal.most is not None:
            axes.axhline(goal.most, color="#cf222e", linewidth=1, linestyle=(0, (4, 3)))
            axes.annotate(
                f"goal: {goal.most:g} MB", (0, goal.most), (2, -12), textcoords="offset points",
                color="#cf222e", fontsize=9,
            )  # fmt: skip
            top = max(top, goal.most)
    axes.set_xlabel("minutes of overload")
    axes.set_xlim(left=0)
    _title(axes, "Resident memory under overload")
    _values(axes, "MB", 1.1 * top)


def _title(axes: Axes, text: str) -> None:
    axes.set_title(text, loc="left", fontweight="bold", pad=14)


def _values(axes: Axes, label: str, top: float) -> None:
    axes.set_ylim(0, top)
    axes.set_ylabel(label)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
    axes.grid(axis="y", color=_FAINT, linewidth=0.6)
    axes.set_axisbelow(True)


def _short(value: Any) -> str:
    """Returns a number in few characters: 1.2M, 340k, 97."""
    if value >= 1e6:
        return f"{value / 1e6:.3g}M"
    if value >= 1e3:
        return f"{value / 1e3:.3g}k"
    return f"{value:.3g}"
