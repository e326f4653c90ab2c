"""The command: help, output, exit codes, and charts."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from gateway import ProjectConfig
from headgate_insights import command, terminal
from headgate_insights.answers import answer
from headgate_insights.options import option_name
from headgate_insights.pictures import write_picture
from headgate_insights.registry import BUILTINS, find_figure
from headgate_insights.scope import ScopeOptions
from headgate_insights.tables import Cell, Column, Table
from tests.support.sizes import more

TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
Run = Callable[..., Result]
Words = Callable[[str], list[str]]
Question = Callable[[str], tuple[dict[str, Any], dict[str, Any]]]


def events() -> list[dict[str, Any]]:
    return [
        {
            "user_id": f"user-{who}",
            "ts": (TODAY - timedelta(days=day, minutes=who)).isoformat(),
            "event": "Bought" if (who + day) % 3 == 0 else "Opened",
            "country": "DE" if who % 2 else "FR",
            "properties": {"price": who},
            "revenue": 1.0 + who,
            "groups": {"checkout": {"arm": "test" if who % 3 else "control", "weight": 2}},
        }
        for who in range(12)
        for day in range(1, 40, who + 1)
    ]


@pytest.fixture(scope="module")
def lake(make_lake: Callable[..., Any]) -> Any:
    """A small lake."""
    return make_lake(events(), TODAY)


@pytest.fixture
def run(lake: Any, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Calls the command over the lake."""
    scope: Any = SimpleNamespace(project=ProjectConfig())
    monkeypatch.setattr(command, "_open", lambda *_: command._Opened(scope, lake, None))
    return lambda *words: CliRunner().invoke(command.insights, words)


def chart_of(lake: Any, question: Question, figure: str, by: str) -> dict[str, Any]:
    """The chart of a figure, which can also be shown as a table."""
    chosen, scoped = question(figure)
    spec = find_figure(figure)
    built = spec.build(spec.config(**chosen))
    options = ScopeOptions(**(scoped or {"by": by}))
    found, scope = answer(figure, built, options, lake, project=ProjectConfig(), now=TODAY)
    assert built.table(scope, found.result)
    return built.chart(scope, found.result)


@pytest.fixture
def words(question: Question) -> Callable[[str], list[str]]:
    """Returns the same question as words of a command."""

    def asked(figure: str) -> list[str]:
        options, scope = question(figure)
        return [
            word
            for name, value in (options | scope).items()
            for one in (value if isinstance(value, tuple) else (value,))
            for word in (option_name(name), str(one))
        ]

    return asked


@pytest.mark.parametrize("figure", BUILTINS)
def test_each_figure_fits_a_terminal(run: Run, words: Words, figure: str) -> None:
    """Each figure prints its definition, zone and completeness within 80 columns."""
    done = run(figure, *words(figure))
    assert done.exit_code == 0, done.output
    assert max(map(len, done.output.splitlines())) <= 80
    for part in ("definition", "read it so", "UTC", "complete", "interval", "identity"):
        assert part in done.output


@pytest.mark.parametrize("figure", BUILTINS)
def test_each_figure_has_help_and_other_formats(run: Run, words: Words, figure: str) -> None:
    """Help explains every option; JSON, CSV and SQL have the same numbers in other forms."""
    assert "--filter" in run(figure, "--help").output
    found = json.loads(run(figure, *words(figure), "--json").output)
    assert found["figure"] == figure
    assert found["definition"]
    rows = list(csv.DictReader(io.StringIO(run(figure, *words(figure), "--csv").output)))
    assert len(rows) == len(found["result"]["rows"]) > 0
    assert run(figure, *words(figure), "--sql").output.strip() == found["sql"].strip()


@pytest.mark.parametrize("figure", BUILTINS)
def test_each_chart_has_titles_and_axes(lake: Any, question: Question, figure: str) -> None:
    """A chart says what it shows and names its axes, with a breakdown too."""
    for by in ("", "country"):
        chart = chart_of(lake, question, figure, by)
        assert chart["title"]["text"]
        assert chart["data"]["values"]
        assert '"title"' in json.dumps(chart.get("layer") or chart.get("spec") or chart["encoding"])


@more("figure", BUILTINS[:1], BUILTINS[1:])
def test_each_chart_can_be_drawn(
    lake: Any, question: Question, figure: str, tmp_path: Path
) -> None:
    """A chart with a breakdown becomes a drawing."""
    write_picture(chart_of(lake, question, figure, "country"), "svg", tmp_path / "chart.svg")
    assert (tmp_path / "chart.svg").read_text().startswith("<svg")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("retenton",), 2, "did you mean 'retention'"),
        (("retention", "--every", "year"), 2, "day"),
        (("retention", "--units", "0"), 2, "--units: expected `int` >= 1"),
        (("funnel", "--step", "Bought"), 2, "--step: give it at least 2 times"),
        (("trend", "--event", "Bougt"), 2, "did you mean 'Bought'"),
        (("trend", "--from", "2020-01-01", "--to", "2020-02-01"), 1, "no event between"),
        (("trend", "--png", "/nowhere/a.png"), 2, "cannot be written"),
        (("lifecycle", "--people", "x=1"), 2, "kind=dormant"),
    ],
)
def test_exit_codes(run: Run, words: tuple[str, ...], code: int, message: str) -> None:
    """2 is a wrong question, 1 is no data; either way one clear sentence."""
    done = run(*words)
    assert done.exit_code == code
    assert message in done.output
    assert "Traceback" not in done.output


@pytest.mark.parametrize(
    ("figure", "cell"),
    [
        ("trend", f"begins={TODAY - timedelta(days=3):%Y-%m-%d}"),
        ("active", f"day={TODAY - timedelta(days=3):%Y-%m-%d},window=7"),
        ("lifecycle", f"begins={TODAY - timedelta(days=TODAY.weekday()):%Y-%m-%d},kind=returning"),
        ("churn", "state=there"),
        ("sessions", f"begins={TODAY - timedelta(days=3):%Y-%m-%d}"),
        ("paths", "path=Opened > (end)"),
        ("funnel", "step=1,left=true"),
        ("revenue", "orders=2"),
        ("ltv", f"cohort={TODAY - timedelta(days=39):%Y-%m-01},unit=1"),
        ("campaigns", "touch=(none)"),
        ("engagement", "stage=clicked"),
        ("experiment", "arm=test"),
        ("events", "event=Bought"),
    ],
)
def test_people_behind_a_cell(run: Run, words: Words, figure: str, cell: str) -> None:
    """Each figure lists who is behind a number."""
    done = run(figure, *words(figure), "--people", cell)
    assert done.exit_code == 0, done.output
    assert "user-" in done.output


def test_the_command_lists_the_figures(run: Run) -> None:
    """Each figure stands in the help with a line of words."""
    output = run("--help").output
    assert all(figure in output for figure in BUILTINS)


def test_options_reach_the_figure(run: Run) -> None:
    """Repeatable options, numbers and flags arrive as their types."""
    words = ("--event", "Bought", "--event", "Opened", "--measure", "average", "--of",
             "properties.price", "--every", "week", "--top", "3", "--bots")  # fmt: skip
    done = run("trend", *words)
    assert done.exit_code == 0, done.output
    assert "Bought" in done.output


def test_text_is_cut_before_numbers_are() -> None:
    """In a table that is too wide, names end with an ellipsis, and numbers are whole."""
    table = Table(
        columns=[Column("sessions"), Column("people"), Column("path", left=True)],
        rows=[[Cell("1,234,567"), Cell("34.5"), Cell("a long name " * 9)]],
    )
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(terminal._table(table, 80))
    text = console.export_text()
    assert all(word in text for word in ("1,234,567", "34.5", "sessions", "people", "…"))
