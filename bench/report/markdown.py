"""The goals' table as Markdown, for the README."""

from __future__ import annotations

from collections.abc import Sequence

from bench.report.goals import Verdict
from bench.report.results import QUICK, Report, is_quick, verdicts

__all__ = ["to_markdown"]


def to_markdown(report: Report) -> str:
    """Returns tables of a report's goals, below a sentence on versions and machine."""
    judged = verdicts(report)
    ratios = [verdict for verdict in judged if verdict.goal.floor and not verdict.goal.said]
    peers = [verdict for verdict in judged if verdict.goal.said]
    bounds = [verdict for verdict in judged if not verdict.goal.floor]
    parts = [QUICK] if is_quick(report) else []
    parts.append(_environment(report))
    if ratios:
        parts.append(_ratios("work | events/s | floor, events/s", ratios))
    if peers:
        parts.append(_peers(peers))
    if bounds:
        parts.append(_bounds(bounds))
    return "\n\n".join(parts)


def _environment(report: Report) -> str:
    known = report.environment
    packages = [
        f"{name} {known[name]}"
        for name in ("msgspec", "aiohttp", "uvloop", "zstandard")
        if name in known
    ]
    scales = [result.scale for result in report.results]
    repeats = max((int(scale.get("repeats", 0)) for scale in scales), default=0)
    return (
        f"{known.get('processor', 'unknown processor')}, {known.get('cpus', '?')} processors, "
        f"{known.get('platform', 'unknown system')}, "
        f"{known.get('implementation', 'Python')} {known.get('python', '?')}, "
        f"{', '.join(packages)}; up to {repeats} repeats, median with its interval of 95 %."
    )


def _table(columns: str, rows: Sequence[Sequence[str]]) -> str:
    heads = columns.split(" | ")
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _ratios(columns: str, judged: Sequence[Verdict]) -> str:
    rows = [
        (
            verdict.goal.work,
            f"{verdict.rate:,.0f}",
            f"{verdict.goal.floor}, {verdict.floor_rate:,.0f}",
            *_measured(verdict, "{:.2f}"),
        )
        for verdict in judged
    ]
    return _table(f"{columns} | share of the floor | goal | ", rows)


def _peers(judged: Sequence[Verdict]) -> str:
    rows = [
        (
            verdict.goal.work,
            verdict.goal.said,
            f"{verdict.floor_rate:,.0f}",
            f"{verdict.rate:,.0f}",
            *_measured(verdict, "{:.1f}x"),
        )
        for verdict in judged
    ]
    columns = "instead | what its 200 promises | its events/s | Headgate's | times | goal | "
    return _table(columns, rows)


def _bounds(judged: Sequence[Verdict]) -> str:
    rows = [(verdict.goal.work, *_measured(verdict, "{:,.1f}")) for verdict in judged]
    return _table("bound | measured | goal | ", rows)


def _measured(verdict: Verdict, form: str) -> tuple[str, str, str]:
    value, low, high = (form.format(n) for n in (verdict.value, verdict.low, verdict.high))
    state = verdict.state
    if state == "unclear":
        state_said = f"unclear: the load generator was busy {verdict.generator:.0f} % of the time"
    else:
        state_said = state
    return f"{value} ({low} to {high})", verdict.goal.bound, state_said
