"""Figures over a lake on disk, through the process that runs queries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from gateway import ProjectConfig
from headgate_insights.answers import answer
from headgate_insights.lakes import StoredLake
from headgate_insights.registry import BUILTINS, find_figure
from headgate_insights.scope import ScopeOptions
from headgate_lake import Runner
from headgate_lake.testing import write_lake
from tests.support.sizes import sizes

NOW = datetime(2026, 6, 1, tzinfo=UTC)


_FEW = ("retention", "campaigns", "experiment")


@sizes("figures", small=(_FEW,), full=(BUILTINS,))
def test_each_figure_runs_over_stored_events(
    tmp_path: Path,
    question: Callable[[str], tuple[dict[str, Any], dict[str, Any]]],
    figures: Sequence[str],
) -> None:
    """Each figure's SQL is accepted by the locked process, and finds the people of the lake."""
    events = [
        {
            "event": "Bought" if day % 2 else "Opened",
            "userId": f"user-{who}",
            "timestamp": (NOW - timedelta(days=day, hours=who)).isoformat(),
            "properties": {"plan": "pro" if who % 2 else "free", "revenue": day},
            "context": {"groups": {"checkout": {"arm": "control" if who % 2 else "test"}}},
        }
        for who in range(4)
        for day in range(1, 8, who + 1)
    ]
    lake = write_lake(tmp_path / "lake", events, watermark_ms=int(NOW.timestamp() * 1000))
    with Runner(lake) as runner:
        stored = StoredLake(lake, runner)
        for name in figures:
            spec = find_figure(name)
            chosen, scope = question(name)
            options = ScopeOptions(from_="30d", **(scope or {"by": "properties.plan"}))
            figure = spec.build(spec.config(**chosen))
            found, _ = answer(name, figure, options, stored, project=ProjectConfig(), now=NOW)
            assert found.result.rows, name
            assert found.provenance.facts.events == len(events)
            assert found.provenance.watermark == NOW
            history = found.provenance.history
            assert history is not None
            assert (history.days, history.closed, history.changes) == (8, 0, ())
