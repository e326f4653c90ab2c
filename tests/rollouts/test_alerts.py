"""Alerts about decisions of a rollout."""

from __future__ import annotations

from pathlib import Path

import pytest
import structlog
from structlog.testing import capture_logs

from gateway.components.settings import Secret
from gateway.config.alerts import AlertsConfig
from gateway.rollouts.alerts import Alerts, alert_about
from gateway.rollouts.machine import Decision
from gateway.rollouts.store import FILE_NAME, RolloutStore
from gateway.testing import Answer, FakeVendor


async def test_alerts_arrive_also_where_the_first_attempts_fail(tmp_path: Path) -> None:
    """Alerts arrive in order after failures, or are given up; no message shows the URL."""
    now_ms = 0
    async with FakeVendor(Answer(status=500), Answer(fault="reset"), Answer(status=204)) as vendor:
        config = AlertsConfig(
            url=Secret(f"{vendor.url}/hook?key=very-secret"),
            headers={"X-Key": Secret("another-secret")},
            max_attempts=4,
        )
        store = RolloutStore(tmp_path / FILE_NAME)
        with capture_logs() as logs:
            alerts = Alerts(config, store, lambda: now_ms, structlog.get_logger())
            for action in ("rollback", "promote", "done"):
                decision = Decision(0, "gateway", action, 5, 0, "too many")  # type: ignore[arg-type]
                body = alert_about(config, "g", decision)
                assert (body is None) == (action == "promote")  # which is not told by default
                if body is not None:
                    _put(store, body)
            for _ in range(30):
                alerts.look()
                assert alerts._sending is not None
                await alerts._sending
                now_ms += 1_000
        bodies = [request.json()["action"] for request in vendor.requests]
        assert bodies == ["rollback", "rollback", "rollback", "done"]
        assert vendor.requests[0].json()["text"] == "rollout g: rollback at 0 %: too many"
        assert vendor.requests[0].headers["X-Key"] == "another-secret"
        assert store.pending() == []
        assert "secret" not in str(logs)
        assert logs[0]["error"] == "HTTP 500"
        assert len(logs) == 2
        await vendor.stop()
        _put(store, b"{}")
        with capture_logs() as logs:
            for _ in range(30):
                alerts.look()
                await alerts._sending
                now_ms += 1_000
        assert [one["event"] for one in logs].count("an alert is given up") == 1
        assert store.pending() == []
        await alerts.stop()
        store.close()


def _put(store: RolloutStore, body: bytes) -> None:
    with store._using() as db:
        db.execute("INSERT INTO alerts (body, next_ms) VALUES (?, 0)", (body,))


def test_an_url_for_alerts_that_is_none_is_refused_without_showing_it() -> None:
    """An error about the URL of alerts does not show it, as it may be secret."""
    with pytest.raises(ValueError, match="http") as caught:
        AlertsConfig(url=Secret("hooks.example/very-secret"))
    assert "very-secret" not in str(caught.value)


async def test_alerts_go_through_the_proxy_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With trust_env the proxy gets the alert, and the host need not be known here."""
    async with FakeVendor() as proxy:
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.setenv("http_proxy", proxy.url)
        config = AlertsConfig(url=Secret("http://alerts.invalid/hook"), trust_env=True)
        store = RolloutStore(tmp_path / FILE_NAME)
        _put(store, b"{}")
        alerts = Alerts(config, store, lambda: 0, structlog.get_logger())
        alerts.look()
        assert alerts._sending is not None
        await alerts._sending

        assert [request.headers["Host"] for request in proxy.requests] == ["alerts.invalid"]
        assert store.pending() == []
