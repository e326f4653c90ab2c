"""A rollout as one self-contained page: no network, no script, charts as embedded SVG.

matplotlib draws the charts. It comes with ``headgate[report]``, not with the gateway.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.errors import GatewayError
from gateway.events.timestamps import format_ms
from gateway.rollouts.guardrails import ArmValue, Finding
from gateway.rollouts.machine import Decision
from gateway.rollouts.store import Snapshot
from gateway.rollouts.view import Report, View, format_value, limit_texts

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["page", "write_page"]

_TEST, _CONTROL, _INK, _FAINT = "#c2410c", "#0b6bcb", "#24292f", "#d0d7de"
_COLOURS = {"ramping": "#0b6bcb", "held": "#9a6700", "rolled_back": "#cf222e", "done": "#1a7f37"}
_STYLE: Any = {
    "axes.edgecolor": _FAINT,
    "axes.labelcolor": _INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 9.0,
    "svg.hashsalt": "headgate",  # makes the page reproducible
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
}
_SIZE = (8.6, 3.4)
_SHARES = ("error_rate", "rejection_rate", "violation_rate", "dropped_share")

_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>Rollout {title}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; color: #24292f; max-width: 880px;
  margin: 2rem auto; padding: 0 1rem }}
h1 {{ margin: 0; font-size: 1.6rem }} h2 {{ margin: 2.2rem 0 .4rem; font-size: 1.1rem }}
.state {{ color: #fff; border-radius: 1em; padding: .1em .7em; font-size: 1rem;
  vertical-align: middle }}
.ramp span {{ color: #8c959f }} .ramp b {{ color: #24292f }}
table {{ border-collapse: collapse; width: 100%; font-size: 14px }}
th, td {{ text-align: left; padding: .3em .8em .3em 0; border-bottom: 1px solid #eaeef2;
  vertical-align: top }}
td.n, th.n {{ text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }}
td.w {{ white-space: nowrap }}
.scroll {{ overflow-x: auto }} img {{ width: 100%; height: auto }} p {{ margin: .3em 0 }}
.test {{ color: #c2410c }} .control {{ color: #0b6bcb }} .dim {{ color: #656d76 }}
.broken {{ color: #cf222e; font-weight: 600 }}
</style></head><body>
"""


def write_page(report: Report, path: Path) -> None:
    """Writes the page of a rollout to a file.

    Raises:
        GatewayError: matplotlib is not installed, or the file cannot be written.
    """
    try:
        import matplotlib  # noqa: F401, ICN001 - only to see if it exists
    except ImportError:
        raise GatewayError(
            "the page's charts need matplotlib: pip install 'headgate[report]'"
        ) from None
    try:
        path.write_text(page(report), encoding="utf-8")
    except OSError as error:
        raise GatewayError(f"{path}: {error.strerror}") from error


def page(report: Report) -> str:
    """Returns the page as HTML."""
    view = report.view
    parts = [_HEAD.format(title=escape(view.group)), *_top(view)]
    if view.findings:
        parts += ["<h2>Guardrails</h2>", *_guardrails(view.findings)]
    shots = report.snapshots
    for metric in dict.fromkeys(one.metric for shot in shots for one in shot.findings):
        parts += [f"<h2>{metric}</h2>", _chart(metric, shots, report.decisions)]
    parts += ["<h2>Decisions</h2>", *_decisions(report.decisions), "</body></html>\n"]
    return "\n".join(parts)


def _top(view: View) -> Iterator[str]:
    state = view.status.replace("_", " ")
    yield (
        f"<h1>{escape(view.group)} <span class=state style='background:{_COLOURS[view.status]}'>"
        f"{state} at {view.percent:g} %</span></h1>"
    )
    tags = [("b" if stage <= view.percent else "span", stage) for stage in view.stages]
    ramp = " → ".join(f"<{tag}>{stage:g} %</{tag}>" for tag, stage in tags)
    yield f"<p class=ramp>{ramp}</p>"
    said = f"{view.by}: {view.reason}" if view.reason else view.by
    yield f"<p>Last decision {_at(view.changed_at)} by {escape(said)}</p>"
    test, control = view.users
    yield (
        f"<p>Users measured: <span class=test>{test:,} in test</span>, "
        f"<span class=control>{control:,} in control</span>.</p>"
    )
    yield (
        "<p class=dim>Intervals hold at all times at once, each but for a chance of its guardrail's"
        " level: one may look as often as one likes. Evidence of 1 is acted on.</p>"
    )


def _guardrails(findings: Sequence[Finding]) -> Iterator[str]:
    yield (
        "<div class=scroll><table><tr><th>metric<th class=n>test<th class=n>control"
        "<th class=n>bound<th class=n>evidence</tr>"
    )
    for one in findings:
        style = "n broken" if one.broken else "n"
        evidence = f"{one.evidence:.2f}" if one.enough else "too few samples"
        yield (
            f"<tr><td>{one.metric}<td class=n>{_with_interval(one.metric, one.test)}"
            f"<td class=n>{_with_interval(one.metric, one.control)}"
            f"<td class=n>{format_value(one.metric, one.bound)}"
            f"<td class='{style}'>{evidence}</tr>"
        )
    yield "</table></div>"
    yield from (f"<p>{escape(text)}</p>" for text in limit_texts(findings))


def _with_interval(metric: str, value: ArmValue) -> str:
    low = format_value(metric, value.low)
    high = "any" if value.high is None else format_value(metric, value.high)
    return (
        f"{format_value(metric, value.value)}<br><span class=dim>{low} to {high},<br>"
        f"{value.clusters:,} {'sends' if metric == 'latency_p95' else 'users'}</span>"
    )


def _decisions(decisions: Iterable[Decision]) -> Iterator[str]:
    yield "<div class=scroll><table><tr><th>time (UTC)<th>decision<th>in test<th>by<th>reason</tr>"
    for one in decisions:
        yield (
            f"<tr><td class=w>{_at(format_ms(one.at_ms))}<td>{one.action}"
            f"<td class=w>{one.percent_before:g} → {one.percent:g} %"
            f"<td>{escape(one.by)}<td>{escape(one.reason)}</tr>"
        )
    yield "</table></div>"


def _at(moment: str) -> str:
    return moment[:19].replace("T", " ")


# -- charts -------------------------------------------------------------------------


def _chart(metric: str, shots: Sequence[Snapshot], decisions: Sequence[Decision]) -> str:
    """Draws a metric in both arms over time, with the evidence below; returns an image tag."""
    import matplotlib as mpl
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=_SIZE, layout="constrained", facecolor="white")
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        top = _arms(above, metric, shots)
        _evidence(below, metric, shots)
        _mark(above, below, shots, decisions, top)
        locator = AutoDateLocator(maxticks=8)  # type: ignore[no-untyped-call]
        below.xaxis.set_major_locator(locator)
        formatter = ConciseDateFormatter(locator)  # type: ignore[no-untyped-call]
        below.xaxis.set_major_formatter(formatter)
        above.set_ylabel({"latency_p95": "ms", "events_per_user": "events"}.get(metric, "%"))
        if above.get_legend_handles_labels()[0]:  # a legend without entries would warn
            above.legend(frameon=False, ncols=3, loc="upper left", bbox_to_anchor=(0, 1.16))
        for axes in (above, below):
            axes.grid(axis="y", color=_FAINT, linewidth=0.6)
            axes.set_axisbelow(True)
            axes.tick_params(length=0)
        text = io.BytesIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    data = base64.b64encode(text.getvalue()).decode()
    return f'<img alt="{metric} in both arms over time" src="data:image/svg+xml;base64,{data}">'


def _arms(axes: Axes, metric: str, shots: Sequence[Snapshot]) -> float:
    scale = 100.0 if metric in _SHARES else 1.0
    top = 0.0
    for colour, arm in ((_CONTROL, "control"), (_TEST, "test")):
        label: str | None = arm
        for moments, findings in _stages(metric, shots):
            values: list[ArmValue] = [getattr(one, arm) for one in findings]
            middle = [scale * one.value for one in values]
            low = [scale * one.low for one in values]
            high = [scale * (one.value if one.high is None else one.high) for one in values]
            axes.plot(moments, middle, color=colour, linewidth=1.8, label=label, marker=".")
            axes.fill_between(moments, low, high, color=colour, alpha=0.13, linewidth=0)
            # Leaves out the wide intervals of the first half, or they would set the scale.
            top = max(top, *middle, *high[len(high) // 2 :])
            label = None
    label = "bound"
    for moments, findings in _stages(metric, shots):
        bound = [scale * one.bound for one in findings]
        axes.plot(moments, bound, color="#656d76", linewidth=1, linestyle=(0, (4, 3)), label=label)
        label = None
    axes.set_ylim(0, 1.1 * top or 1)
    return top


def _evidence(axes: Axes, metric: str, shots: Sequence[Snapshot]) -> None:
    for moments, findings in _stages(metric, shots):
        axes.plot(moments, [one.evidence for one in findings], color=_INK, linewidth=1.4)
    axes.axhline(1, color="#cf222e", linewidth=1, linestyle=(0, (4, 3)))
    axes.set_ylim(0, 1.4)
    axes.set_yticks([0, 1])
    axes.set_ylabel("evidence")


def _mark(
    above: Axes,
    below: Axes,
    shots: Sequence[Snapshot],
    decisions: Sequence[Decision],
    top: float,
) -> None:
    """Draws a line for each decision within the chart."""
    first, last = shots[0].at_ms, shots[-1].at_ms
    for one in decisions:
        if first <= one.at_ms <= last + 60_000:
            bad = one.action in ("hold", "rollback")
            for axes in (above, below):
                axes.axvline(
                    _moment(one.at_ms),
                    color="#cf222e" if bad else "#8c959f",
                    linewidth=1,
                    linestyle=(0, (2, 2)),
                )
            above.annotate(
                f"{one.action} {one.percent:g} %",
                (_moment(one.at_ms), 1.1 * top or 1),
                (3, -2),
                textcoords="offset points",
                va="top",
                rotation=90,
                fontsize=7,
                color="#cf222e" if bad else "#656d76",
            )


def _stages(metric: str, shots: Sequence[Snapshot]) -> Iterator[tuple[list[float], list[Finding]]]:
    """Yields the moments and findings of each test; each test is a line of its own."""
    for _, group in groupby(shots, key=lambda shot: shot.series):
        found = [
            (_moment(shot.at_ms), one)
            for shot in group
            for one in shot.findings
            if one.metric == metric and one.test.clusters and one.control.clusters
        ]
        if found:
            yield [moment for moment, _ in found], [one for _, one in found]


def _moment(at_ms: int) -> float:
    """Converts a time to days, as matplotlib counts."""
    return at_ms / 86_400_000
