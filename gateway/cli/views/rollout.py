"""Rollouts in a terminal.

A table that is too wide for the terminal puts intervals below their values and shortens its bars,
so no figure is ever cut off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from gateway.events.timestamps import format_ms
from gateway.rollouts.guardrails import ArmValue, Finding
from gateway.rollouts.machine import Decision
from gateway.rollouts.store import Snapshot
from gateway.rollouts.view import Report, View, format_value, limit_texts

__all__ = ["shown_list", "shown_report", "shown_view"]

_COLOURS = {"ramping": "cyan", "held": "yellow", "rolled_back": "red", "done": "green"}
_BAR, _SHORT_BAR = 20, 8
_ANY_WIDTH = 10_000
_MOST_MOMENTS = 12
_CLOSE = 0.5


def shown_list(views: Sequence[View]) -> RenderableType:
    """Shows a line for each rollout."""
    table = _table("rollout", "state", "in test", "next", "since", "test", "control")
    for one in views:
        table.add_row(
            escape(one.group),
            _state(one),
            f"{one.percent:g} %",
            "-" if one.next is None else f"{one.next:g} %",
            _moment(one.since),
            *(f"{number:,}" for number in one.users),
        )
    _fold(table, 0)
    return table


def shown_view(view: View) -> RenderableType:
    """Shows the stage of a rollout, what it waits for, and its guardrails."""
    said = f"{view.by}: {view.reason}" if view.reason else view.by
    return Group(
        Text.from_markup(
            f"[bold]{escape(view.group)}[/]  {_state(view)} at [bold]{view.percent:g} %[/] "
            f"since {_moment(view.since)}"
        ),
        _stages(view),
        Text(f"last decision {_moment(view.changed_at)} by {said}"),
        *(Text(f"waits for {text}", "dim") for text in _waits(view)),
        *((Text(), *_guardrails(view)) if view.findings else ()),
    )


def shown_report(report: Report) -> RenderableType:
    """Shows a rollout with its metrics over time, and all decisions."""
    parts: list[RenderableType] = [shown_view(report.view)]
    for metric in _metrics(report.snapshots):
        parts += [Text(), Text(f"{metric} over time", "bold"), _history(report, metric)]
    parts += [Text(), Text("decisions", "bold"), _decisions(report.decisions)]
    return Group(*parts)


def _state(view: View) -> str:
    return f"[{_COLOURS[view.status]}]{view.status.replace('_', ' ')}[/]"


def _waits(view: View) -> Iterable[str]:
    return view.waits if view.status == "ramping" else ()


def _stages(view: View) -> Text:
    """Shows the stages of the ramp: past, current, and next ones."""
    text = Text()
    for stage in view.stages:
        if text:
            text.append(" > ", "dim")
        if stage == view.percent:
            text.append(f"[{stage:g} %]", f"bold {_COLOURS[view.status]}")
        else:
            text.append(f"{stage:g} %", "" if stage < view.percent else "dim")
    return text


class _Fitting:
    """A table that is built narrow if the wide one does not fit.

    Args:
        build: builds the table; narrow for True.
    """

    def __init__(self, build: Callable[[bool], Table]) -> None:
        self._build = build

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        wide = self._build(False)
        unbound = options.update(max_width=_ANY_WIDTH)
        fits = console.measure(wide, options=unbound).maximum <= options.max_width
        yield wide if fits else self._build(True)


def _guardrails(view: View) -> Iterable[RenderableType]:
    def build(narrow: bool) -> Table:
        table = _table("guardrail", "test", "control", "bound", "evidence", "")
        for one in view.findings:
            table.add_row(
                one.metric,
                _with_interval(one.metric, one.test, narrow),
                _with_interval(one.metric, one.control, narrow),
                format_value(one.metric, one.bound),
                f"{min(one.evidence, 9.99):.2f}",
                _bar(one, _SHORT_BAR if narrow else _BAR),
            )
        if narrow:
            _fold(table, -1)
        return table

    test, control = view.users
    yield _Fitting(build)
    yield from (Text(text, "yellow") for text in limit_texts(view.findings))
    yield Text(
        f"as of {_moment(view.measured_at)}, {test:,} users in test and {control:,} in control",
        "dim",
    )


def _bar(finding: Finding, width: int) -> Text:
    if not finding.enough:
        return Text("too few samples", "dim")
    filled = round(width * min(1.0, finding.evidence))
    colour = "red" if finding.broken else "yellow" if finding.evidence > _CLOSE else "green"
    return Text("█" * filled, colour) + Text("░" * (width - filled), "dim")


def _with_interval(metric: str, value: ArmValue, narrow: bool) -> str:
    if not value.clusters:
        return "-"
    if value.high is None:
        return format_value(metric, value.value)
    if metric == "latency_p95":
        middle, interval = f"{value.value:,.0f} ms", f"{value.low:,.0f} to {value.high:,.0f}"
    elif metric == "events_per_user":
        middle, interval = f"{value.value:,.2f}", f"{value.low:,.2f} to {value.high:,.2f}"
    else:
        middle = f"{100 * value.value:.2f} %"
        interval = f"{100 * value.low:.2f} to {100 * value.high:.2f}"
    return f"{middle}\n{interval}" if narrow else f"{middle} ({interval})"


def _metrics(snapshots: Iterable[Snapshot]) -> list[str]:
    return list(dict.fromkeys(one.metric for shot in snapshots for one in shot.findings))


def _history(report: Report, metric: str) -> RenderableType:
    chosen = [
        (shot, one)
        for shot in _chosen(report.snapshots)
        for one in shot.findings
        if one.metric == metric
    ]

    def build(narrow: bool) -> Table:
        table = _table("time", "in test", "users", "test", "control", "evidence")
        between = "\n" if narrow else " "
        for shot, one in chosen:
            table.add_row(
                _moment(format_ms(shot.at_ms)).replace(" ", between),
                f"{shot.percent:g} %",
                f"{shot.users[0]:,} /{between}{shot.users[1]:,}",
                _with_interval(metric, one.test, narrow),
                _with_interval(metric, one.control, narrow),
                f"{min(one.evidence, 9.99):.2f}",
            )
        return table

    return _Fitting(build)


def _chosen(snapshots: Sequence[Snapshot]) -> list[Snapshot]:
    """Returns the last snapshot of each stage, and as many of the others as fit."""
    stages = [list(group) for _, group in groupby(snapshots, key=lambda shot: shot.series)]
    each = max(1, _MOST_MOMENTS // max(1, len(stages)))
    found = []
    for shots in stages:
        step = max(1, len(shots) // each)
        found += shots[::-step][:each][::-1]
    return found


def _decisions(decisions: Iterable[Decision]) -> Table:
    table = _table("time", "decision", "in test", "by", "reason")
    for one in decisions:
        change = f"{one.percent:g} %"
        if one.percent_before != one.percent:
            change = f"{one.percent_before:g} > {change}"
        at = _moment(format_ms(one.at_ms))
        table.add_row(at, one.action, change, escape(one.by), escape(one.reason))
    _fold(table, -1)
    return table


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    left = ("rollout", "state", "guardrail", "time", "decision", "by", "reason", "")
    for heading in headings:
        table.add_column(heading, justify="left" if heading in left else "right", no_wrap=True)
    return table


def _fold(table: Table, column: int) -> None:
    """Lets a column break its lines if it is too narrow."""
    table.columns[column].no_wrap = False
    table.columns[column].overflow = "fold"


def _moment(at: str) -> str:
    """Shortens a time to seconds."""
    return at[:19].replace("T", " ")
