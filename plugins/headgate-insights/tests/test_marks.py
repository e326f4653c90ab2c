"""Marks of charts: what the audit trail of a gateway says, in words."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from headgate_insights.report import marks


def test_rollouts_and_changes_of_config_are_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The group and share of a rollout are named, and no person; other entries are no marks."""
    trail = [
        ("2026-05-03T09:00:00Z", "rollouts.promote", {"group": "ramped", "percent": 5.0}),
        ("2026-05-02T09:00:00Z", "config.reload", {"changes": ["changed groups.ramped"]}),
        ("2026-05-01T09:00:00Z", "rollouts.hold", {"group": "ramped", "reason": "Ada asks"}),
        ("2026-04-30T09:00:00Z", "erase", {"user_ids": 1}),
    ]

    class Remote:
        def get(self, path: str, *, limit: int) -> Any:
            assert path == "/admin/audit"
            return [
                {"at": at, "action": action, "by": "ada", "detail": detail}
                for at, action, detail in trail[:limit]
            ]

    monkeypatch.setattr(marks, "find_gateway", lambda _: Remote())
    scope: Any = None
    found = marks.ask_marks(scope)
    assert found is not None
    assert [one.words for one in found] == [
        "rollout ramped: hold",
        "config.toml changed",
        "rollout ramped: promote at 5 %",
    ]
    assert found[0].at == datetime.fromisoformat("2026-05-01T09:00:00+00:00")
