"""``/admin/insights``: figures over the administration API."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from gateway import AdminError, AdminRequest, FigureTable, ProjectConfig
from headgate_insights import admin, desk
from headgate_insights.figures.trend import TrendOptions
from headgate_insights.registry import own_figures
from headgate_insights.saved import SavedFigure
from headgate_lake import Lake, LakeConfig, Limits, People
from headgate_lake.testing import write_lake

TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
Call = Callable[..., Any]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake of two people, who open and buy on each of three days."""
    events = [
        {
            "event": event,
            "userId": who,
            "timestamp": (TODAY - timedelta(days=day, hours=hour)).isoformat(),
            "properties": {"plan": "pro"},
        }
        for who in ("ada", "bob")
        for day in range(3)
        for hour, event in ((2, "Opened"), (1, "Bought"))
    ]
    return write_lake(
        tmp_path_factory.mktemp("lake"), events, watermark_ms=int(TODAY.timestamp() * 1000)
    )


@pytest.fixture
def call(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Calls an endpoint as the gateway does; returns its JSON and what it notes."""
    monkeypatch.setattr("headgate_insights.completeness.ask_completeness", lambda *_: None)
    kept = SavedFigure(type="trend", from_="7d", title="Purchases")
    scope: Any = SimpleNamespace(
        project=ProjectConfig(),
        identities={},
        figures=own_figures(),
        tables={
            "sql": Limits(wait_seconds=0.05, at_once=1, max_waiting=1),
            "insights": {"bought": FigureTable(kept, TrendOptions(event=("Bought",)))},
        },
        configs=lambda _: {"lake": LakeConfig(path=str(lake.folder))},
        path=Path,
        file=Path("config.toml"),
    )

    async def called(path: str, body: Any = None, *, query: tuple[Any, ...] = ()) -> Any:
        method = "GET" if body is None else "POST"
        (found,) = (
            (one, path.rsplit("/", 1)[-1] if one.path.startswith("saved") else path.split("/")[0])
            for one in admin.INSIGHTS_AREA.endpoints
            if one.method == method
            and one.path.count("/") == path.count("/")
            and bool(one.path) == bool(path)
        )
        endpoint, id_ = found
        request = AdminRequest(
            path={"id": id_},
            query=dict(query),
            body=b"" if body is None else json.dumps(body).encode(),
            caller="ana",
            query_pairs=query,
        )
        answer = await endpoint.handler(scope, request)
        return json.loads(msgspec.json.encode(answer)), request.detail

    return called


async def test_a_query_and_a_body_ask_the_same(call: Call) -> None:
    """Options in the query and in the body give the numbers, with all that explains them."""
    query = (("step", "Opened"), ("step", "Bought"), ("from", "7d"), ("top", "3"), ("bots", "true"))
    found, noted = await call("funnel", query=query)
    body = {"step": ["Opened", "Bought"], "from": "7d", "top": 3, "bots": True}
    same, _ = await call("funnel", body)
    assert [row["people"] for row in found["result"]["rows"]] == [2, 2]
    assert found["result"] == same["result"]
    assert found["definition"]
    assert found["provenance"]["watermark"].startswith(f"{TODAY:%Y-%m-%d}")
    assert noted == {}
    found, _ = await call("trend", query=(("event", "Bought"), ("from", "7d")))
    assert sum(row["value"] for row in found["result"]["rows"]) == 6


async def test_figures_are_listed_and_saved_ones_answer(call: Call) -> None:
    """The area lists figures and what config.toml keeps, and computes both."""
    found, _ = await call("")
    assert set(found["figures"]) == set(own_figures())
    assert found["saved"] == {"bought": {"type": "trend", "title": "Purchases", "why": ""}}
    found, _ = await call("saved/bought")
    assert sum(row["value"] for row in found["result"]["rows"]) == 6


async def test_people_stand_in_the_audit_trail_by_number(call: Call) -> None:
    """Who is behind a number is listed; the audit trail has how many, and no id."""
    body = {"step": ["Opened", "Bought"], "from": "7d", "cell": "step=2"}
    found, noted = await call("funnel/people", body)
    assert sorted(one["user_id"] for one in found["people"]) == ["ada", "bob"]
    assert noted == {"figure": "funnel", "people": 2}
    roles = {one.path: one.role for one in admin.INSIGHTS_AREA.endpoints if one.method == "POST"}
    assert roles == {"{id}": "read", "{id}/people": "operate"}


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("trent", {}, 404, "did you mean 'trend'"),
        ("trend", {"evnt": "x"}, 400, "did you mean 'event'"),
        ("trend", {"event": ["Bougt"]}, 400, "did you mean 'Bought'"),
        ("trend", {"top": 0}, 400, "--top: expected"),
        ("funnel", {}, 400, "--step is needed"),
        ("trend", {"by": "userId"}, 400, "list people"),
        ("trend", {"from": "2020-01-01", "to": "2020-02-01"}, 422, "no event between"),
        ("trend", {"lake": "other"}, 400, "other"),
        ("trend", {"identity": "soon"}, 400, "soon"),
        ("campaigns", {"spend": "/etc/passwd"}, 400, "only the command reads files"),
        ("funnel/people", {"step": ["Opened", "Bought"]}, 400, "cell"),
        ("trend/people", {"cell": "x=1"}, 400, "begins="),
    ],
)
async def test_mistakes_have_the_sentence_of_the_command(
    call: Call, path: str, body: dict[str, Any], status: int, message: str
) -> None:
    """4xx is what the caller can mend, in the words of the command."""
    with pytest.raises(AdminError, match=message) as error:
        await call(path, body)
    assert error.value.status == status


async def test_saved_figures_that_are_not_there_are_404(call: Call) -> None:
    """An unknown saved figure is refused with a suggestion."""
    with pytest.raises(AdminError, match="did you mean 'bought'") as error:
        await call("saved/boght")
    assert error.value.status == 404


async def test_no_more_figures_at_once_than_queries(call: Call, lake: Lake) -> None:
    """Where no query gets a turn, the answer is 503 with a time to wait; so it is without room."""
    lock = lake.folder / "queries" / "slot-0.lock"
    lock.parent.mkdir(exist_ok=True)
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(AdminError, match="no turn came up") as error:
            await call("trend", {})
    assert (error.value.status, error.value.retry_after_seconds) == (503, 5)
    full = desk.Desk(lake, Limits(at_once=1, max_waiting=1))
    full._room.acquire()
    full._room.acquire()
    with pytest.raises(Exception, match="too many figures"):
        await full.compute(lambda _: None, People(None, ""))
