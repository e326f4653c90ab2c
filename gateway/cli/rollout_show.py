"""Rollouts in a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from gateway.rollout.judging import ArmValue, Finding
from gateway.rollout.machine import Decision
from gateway.rollout.store import Snapshot
from gateway.rollout.view import Report, View, format_value
from gateway.timestamps import format_ms

__all__ = ["shown_list", "shown_report", "shown_view"]

_COLOURS = {"ramping": "cyan", "held": "yellow", "rolled_back": "red", "done": "green"}
_BAR = 20
_MOST_MOMENTS = 12
_CLOSE = 0.5


def shown_list(views: Sequence[View]) -> RenderableType:
    """A line for each."""
    table = _table("rollout", "state", "in test", "next", "since", "test", "control")
    for one in views:
        table.add_row(
            one.group,
            _state(one),
            f"{one.percent:g} %",
            "-" if one.next is None else f"{one.next:g} %",
            _moment(one.since),
            *(f"{number:,}" for number in one.users),
        )
    return table


def shown_view(view: View) -> RenderableType:
    """Where it is, what it waits for, and its guardrails."""
    said = f"{view.by}: {view.reason}" if view.reason else view.by
    return Group(
        Text.from_markup(
            f"[bold]{view.group}[/]  {_state(view)} at [bold]{view.percent:g} %[/] "
            f"since {_moment(view.since)}"
        ),
        _stages(view),
        Text(f"last decision {_moment(view.changed_at)} by {said}"),
        *(Text(f"waits for {text}", "dim") for text in _waits(view)),
        *((Text(), *_guardrails(view)) if view.findings else ()),
    )


def shown_report(report: Report) -> RenderableType:
    """All of it."""
    parts: list[RenderableType] = [shown_view(report.view)]
    for metric in _metrics(report.snapshots):
        parts += [Text(), Text(f"{metric} over time", "bold"), _history(report.snapshots, metric)]
    parts += [Text(), Text("decisions", "bold"), _decisions(report.decisions)]
    return Group(*parts)


def _state(view: View) -> str:
    return f"[{_COLOURS[view.status]}]{view.status.replace('_', ' ')}[/]"


def _waits(view: View) -> Iterable[str]:
    return view.waits if view.status == "ramping" else ()


def _stages(view: View) -> Text:
    """The ramp: what is behind, where it is, what is to come."""
    text = Text()
    for stage in view.stages:
        if text:
            text.append(" > ", "dim")
        if stage == view.percent:
            text.append(f"[{stage:g} %]", f"bold {_COLOURS[view.status]}")
        else:
            text.append(f"{stage:g} %", "" if stage < view.percent else "dim")
    return text


def _guardrails(view: View) -> Iterable[RenderableType]:
    table = _table("guardrail", "test", "control", "bound", "evidence", "")
    for one in view.findings:
        table.add_row(
            one.metric,
            _with_interval(one.metric, one.test),
            _with_interval(one.metric, one.control),
            format_value(one.metric, one.bound),
            f"{min(one.evidence, 9.99):.2f}",
            _bar(one),
        )
    test, control = view.users
    yield table
    yield Text(
        f"as of {_moment(view.measured_at)}, {test:,} users in test and {control:,} in control",
        "dim",
    )


def _bar(finding: Finding) -> Text:
    if not finding.enough:
        return Text("too few samples", "dim")
    filled = round(_BAR * min(1.0, finding.evidence))
    colour = "red" if finding.broken else "yellow" if finding.evidence > _CLOSE else "green"
    return Text("█" * filled, colour) + Text("░" * (_BAR - filled), "dim")


def _with_interval(metric: str, value: ArmValue) -> str:
    if not value.clusters:
        return "-"
    if metric == "latency_p95":
        return f"{value.value:,.0f} ms ({value.low:,.0f} to {value.high:,.0f})"
    if metric == "events_per_user":
        return f"{value.value:,.2f} ({value.low:,.2f} to {value.high:,.2f})"
    return f"{100 * value.value:.2f} % ({100 * value.low:.2f} to {100 * value.high:.2f})"


def _metrics(snapshots: Iterable[Snapshot]) -> list[str]:
    return list(dict.fromkeys(one.metric for shot in snapshots for one in shot.findings))


def _history(snapshots: Sequence[Snapshot], metric: str) -> Table:
    table = _table("time", "in test", "users", "test", "control", "evidence")
    for shot in _chosen(snapshots):
        for one in shot.findings:
            if one.metric == metric:
                table.add_row(
                    _moment(format_ms(shot.at_ms)),
                    f"{shot.percent:g} %",
                    f"{shot.users[0]:,} / {shot.users[1]:,}",
                    _with_interval(metric, one.test),
                    _with_interval(metric, one.control),
                    f"{min(one.evidence, 9.99):.2f}",
                )
    return table


def _chosen(snapshots: Sequence[Snapshot]) -> list[Snapshot]:
    """The last of each stage, and others in between, as many as fit."""
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
    table.columns[-1].no_wrap = False
    table.columns[-1].overflow = "fold"
    return table


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    left = ("rollout", "state", "guardrail", "time", "decision", "by", "reason", "")
    for heading in headings:
        table.add_column(heading, justify="left" if heading in left else "right", no_wrap=True)
    return table


def _moment(at: str) -> str:
    """A time without what nobody reads."""
    return at[:19].replace("T", " ")
