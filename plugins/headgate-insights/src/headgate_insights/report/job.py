"""The job that writes a report each week, and the work that the command shares with it."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime
from pathlib import Path

import headgate_lake
from gateway import Scope as GatewayScope
from headgate_insights.completeness import ask_completeness
from headgate_insights.lakes import StoredLake
from headgate_insights.report.build import Report, build_report
from headgate_insights.report.marks import ask_marks
from headgate_insights.report.page import page_of
from headgate_insights.report.post import post
from headgate_insights.report.shelf import ErasedMeanwhile, last_report, put_away
from headgate_insights.saved import saved_of
from headgate_insights.words import count_words

__all__ = ["link_of", "make_report", "run_report"]


def make_report(
    scope: GatewayScope,
    *,
    board: str = "",
    lake_id: str | None = None,
    stopping: threading.Event | None = None,
) -> tuple[Report, str, Path]:
    """Computes a report; returns it, its page, and the folder of the lake's reports.

    Args:
        stopping: ends the work before the next figure.
    """
    lake = headgate_lake.find_lake(scope, lake_id)
    people = headgate_lake.find_people(scope)
    folder = headgate_lake.reports_of(lake.folder)
    with headgate_lake.Runner(lake, headgate_lake.limits_of(scope)) as runner:
        report = build_report(
            scope,
            saved_of(scope),
            StoredLake(lake, runner, people),
            now=datetime.fromtimestamp(scope.clock() / 1000, UTC),
            board=board,
            completeness=ask_completeness(scope),
            marks=ask_marks(scope),
            last=last_report(folder),
            go_on=lambda: stopping is None or not stopping.is_set(),
        )
    return report, page_of(report), folder


def link_of(base: str, path: Path) -> str:
    """Returns where people find a page; empty if config does not say."""
    return f"{base.rstrip('/')}/{path.name}" if base else ""


async def run_report(scope: GatewayScope) -> str:
    """Writes the report beside the lake, and tells people."""
    settings = saved_of(scope).report
    stopping = threading.Event()

    def once() -> tuple[Report, str, Path]:
        report, page, folder = make_report(scope, stopping=stopping)
        return report, page, put_away(folder, report, page, keep=settings.keep)

    def work() -> tuple[Report, str, Path]:
        try:
            return once()
        except ErasedMeanwhile:
            return once()

    try:
        report, page, path = await asyncio.to_thread(work)
    finally:
        stopping.set()
    sent = await post(report, settings, link=link_of(settings.link, path), page=page)
    told = f"; sent to {' and '.join(sent)}" if sent else ""
    broken = sum(bool(section.error) for section in report.sections)
    failed = f"; {count_words(broken, 'figure')} without numbers" if broken else ""
    figures, goals = len(report.sections), len(report.goals)
    return (
        f"{path.name}: {count_words(figures, 'figure')}, {count_words(goals, 'goal')}{failed}{told}"
    )
