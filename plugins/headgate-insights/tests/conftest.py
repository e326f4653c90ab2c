"""A lake in memory, and a way to ask it, for the tests of all figures."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import duckdb
import pytest

import headgate_lake
from gateway import ProjectConfig
from headgate_insights.answers import Answer, answer
from headgate_insights.lakes import Statement
from headgate_insights.persons import LINKED_VISITORS, Persons
from headgate_insights.registry import find_figure
from headgate_insights.scope import Scope, ScopeOptions

_FIELDS = ", ".join(f"{column.name}: '{column.type}'" for column in headgate_lake.COLUMNS)

Event = Mapping[str, Any]


class MemoryLake:
    """Events in a table of the one DuckDB of all tests, as opening one takes longer than most.

    It has the columns of every lake.

    Args:
        table: a new one.
        file: for the events on their way to the table.
    """

    def __init__(
        self, events: Iterable[Event], watermark: datetime | None, *, table: str, file: Path
    ) -> None:
        self.watermark = watermark
        self.persons: Persons = LINKED_VISITORS
        self._duckdb = duckdb.cursor()  # which has settings and views of its own
        self._duckdb.execute("SET TimeZone = 'UTC'")
        self._table = f"main.{table}"
        file.write_text("".join(f"{json.dumps(event)}\n" for event in map(_row, events)))
        self._duckdb.execute(
            f"CREATE TABLE {self._table} AS FROM read_json('{file}', "
            f"format = 'newline_delimited', columns = {{{_FIELDS}}})"
        )

    @property
    def span(self) -> tuple[datetime, datetime] | None:
        sql = f"SELECT epoch_us(min(ts)), epoch_us(max(ts)) FROM {self._table}"
        first, last = self._duckdb.execute(sql).fetchall()[0]
        if first is None:
            return None
        return datetime.fromtimestamp(first / 1e6, UTC), datetime.fromtimestamp(last / 1e6, UTC)

    def run(self, statement: Statement) -> list[tuple[Any, ...]]:
        assert statement.start <= statement.end
        # The lake opens only the files of the range, so a statement must not need more.
        self._duckdb.execute(
            f"CREATE OR REPLACE TEMP VIEW chosen_files AS SELECT * FROM {self._table} "
            f"WHERE ts::DATE BETWEEN '{statement.start.astimezone(UTC):%Y-%m-%d}' "
            f"AND '{statement.end.astimezone(UTC):%Y-%m-%d}'"
        )
        sql = statement.sql.replace("FROM events", "FROM chosen_files")
        return self._duckdb.execute(sql).fetchall()

    def history(self, start: datetime, end: datetime) -> None:
        return None


def _row(event: Event) -> dict[str, Any]:
    row = {"type": "track", "weight": 1.0, "source": "test", "properties": {}, **event}
    who = row.get("user_id") or row.get("anonymous_id")
    if who is not None:
        digest = hashlib.md5(who.encode(), usedforsecurity=False).digest()
        row["person"] = int.from_bytes(digest[:8], "big", signed=True)
    return row


class Ask(Protocol):
    def __call__(
        self,
        figure: str,
        events: Iterable[Event] = ...,
        *,
        now: str = ...,
        watermark: str | None = ...,
        project: ProjectConfig = ...,
        options: Mapping[str, Any] = ...,
        **scope: Any,
    ) -> Answer: ...


@pytest.fixture(scope="session")
def make_lake(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., MemoryLake]:
    """Makes a lake in memory of events."""
    numbers = itertools.count()
    file = tmp_path_factory.mktemp("lake") / "events.ndjson"

    def make(events: Iterable[Event], watermark: datetime | None = None) -> MemoryLake:
        table = f"lake_{next(numbers)}"
        return MemoryLake(events, watermark, table=table, file=file)

    return make


@pytest.fixture
def ask(make_lake: Callable[..., MemoryLake]) -> Ask:
    """Computes a figure over events, in a lake that is complete up to now."""
    kept: list[MemoryLake] = []

    def asked(
        figure: str,
        events: Iterable[Event] | None = None,
        *,
        now: str = "2026-06-01T00:00:00+00:00",
        watermark: str | None = None,
        project: ProjectConfig = ProjectConfig(),  # noqa: B008 - frozen
        options: Mapping[str, Any] | None = None,
        **scope: Any,
    ) -> Answer:
        if events is not None:
            moment = datetime.fromisoformat(watermark or now)
            kept[:] = [make_lake(events, moment)]
        found, _ = _ask(figure, kept[0], now, project, options or {}, scope)
        return found

    return asked


def _ask(
    figure: str,
    lake: MemoryLake,
    now: str,
    project: ProjectConfig,
    options: Mapping[str, Any],
    scope: Mapping[str, Any],
) -> tuple[Answer, Scope]:
    spec = find_figure(figure)
    return answer(
        figure,
        spec.build(spec.config(**options)),
        ScopeOptions(**scope),
        lake,
        project=project,
        now=datetime.fromisoformat(now),
    )


QUESTIONS: dict[str, dict[str, Any]] = {
    "funnel": {"step": ("Opened", "Bought")},
    "revenue": {"order": "Bought"},
    "ltv": {"order": "Bought", "start": "Bought"},
    "campaigns": {"order": "Bought"},
    "engagement": {"reached": "Opened", "clicked": "Bought", "order": "Bought"},
    "experiment": {"goal": "Bought", "control": "control"},
}
"""Options of figures that ask for events by name, for a lake of the events Opened and Bought."""


@pytest.fixture
def question() -> Callable[[str], tuple[dict[str, Any], dict[str, Any]]]:
    """Returns the options of a figure, and of its scope, that a lake of few events can answer."""

    def asked(figure: str) -> tuple[dict[str, Any], dict[str, Any]]:
        scope = {"group": "checkout"} if figure == "experiment" else {}
        return QUESTIONS.get(figure, {}), scope

    return asked
