"""Asks figures about small lakes, in tests; part of the public API."""

from __future__ import annotations

import atexit
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import headgate_lake
from gateway import ProjectConfig
from headgate_insights.answers import Answer, answer
from headgate_insights.answers import people as people_behind
from headgate_insights.figure import Figure
from headgate_insights.lakes import StoredLake
from headgate_insights.scope import ScopeOptions
from headgate_lake.testing import write_lake

__all__ = ["Asked", "ask"]


class Asked:
    """A figure's answer.

    Attributes:
        rows: the rows of the result.
        table, chart: as the terminal and the report show them.
        people: userIds behind the cell that was asked for.
    """

    def __init__(self, found: Answer, table: Any, chart: dict[str, Any], people: list[str]) -> None:
        self.answer = found
        self.rows = found.result.rows
        self.table = table
        self.chart = chart
        self.people = people


def ask(
    folder: Path,
    figure: Figure[Any],
    events: Iterable[Mapping[str, Any]],
    *,
    now: str,
    cell: str = "",
    project: ProjectConfig | None = None,
    **scope: Any,
) -> Asked:
    """Writes events to a lake, and asks a figure about it, as the command does.

    Args:
        folder: of the lake; a new one for each question.
        events: as clients send them; see `headgate_lake.testing.write_lake`.
        now: ISO 8601; the lake is complete up to then.
        cell: lists who is behind it.
        scope: the options of all figures, such as ``by="country"``; ``from_`` is the first day.

    Raises:
        GatewayError: the question is wrong, or has no answer.
    """
    moment = datetime.fromisoformat(now).astimezone(UTC)
    lake = write_lake(folder, events, watermark_ms=round(moment.timestamp() * 1000))
    with headgate_lake.Runner(lake, headgate_lake.Limits(), _spares()) as runner:
        stored = StoredLake(lake, runner)
        found, resolved = answer(
            "figure",
            figure,
            ScopeOptions(**scope),
            stored,
            project=project or ProjectConfig(),
            now=moment,
        )
        behind = people_behind(figure, resolved, stored, cell) if cell else []
    return Asked(
        found,
        figure.table(resolved, found.result),
        figure.chart(resolved, found.result),
        sorted(one.user_id or "" for one in behind),
    )


@cache
def _spares() -> headgate_lake.Spares:
    """Returns what has the process of all questions, as its start takes longer than most."""
    spares = headgate_lake.Spares.begun()
    atexit.register(spares.close)
    return spares
