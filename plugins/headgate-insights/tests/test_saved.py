"""Figures, boards and goals of config.toml: what is read, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

import headgate_insights
from gateway import ConfigError, JobSpec, Scope, load_scope
from headgate_insights.command import insights
from headgate_insights.registry import own_figures
from headgate_insights.saved import Board, Goal, SavedFigure, built, saved_of

GOOD = """
[insights.orders]
type = "trend"
event = ["Order Completed"]
measure = "people"
from = "4w"
by = "country"
title = "Who orders?"
[boards.shop]
figures = ["orders"]
[goals.more]
figure = "orders"
target = 500
by = 2026-12-31
needs = { "Order Completed" = ["revenue", "properties.plan"] }
[report]
board = "shop"
"""

Load = Callable[[str], Scope]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Reads a config with these tables."""

    def loaded(tables: str) -> Scope:
        file = tmp_path / "config.toml"
        lake = f'[destinations.lake]\ntype = "lake"\npath = "{tmp_path / "lake"}"\n'
        file.write_text(f'data_dir = "{tmp_path}"\n{lake}{tables}')
        return load_scope(file)

    return loaded


def test_a_table_has_options_of_figure_and_range(load: Load) -> None:
    """A saved figure is built of its own options; the others are those of every figure."""
    scope = load(GOOD)
    saved = saved_of(scope)
    table = saved.figures["orders"]
    assert table.options.measure == "people"
    assert table.settings.scope.from_ == "4w"
    assert built(scope, table).options is table.options
    assert saved.chosen("") == saved.chosen("shop") == ["orders"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ('[insights.a]\ntype = "trends"', "insights.a.type: .*trend"),
        (
            '[insights.a]\ntype = "trend"\nmesure = "people"',
            "insights.a: .*'mesure' here; did you mean 'measure'",
        ),
        ('[insights.a]\ntype = "trend"\nmeasure = "sum"', "insights.a: --measure sum needs --of"),
        ('[insights.a]\ntype = "trend"\nfilter = "country ="', "insights.a: this is no condition"),
        ('[insights.a]\ntype = "trend"\nby = "contry"', "insights.a: .*contry"),
        ('[insights.a]\ntype = "trend"\nzone = "Europe/Berlim"', "mean 'Europe/Berlin'"),
        ('[boards.b]\nfigures = ["order"]', r"boards.b.figures\[0\]: .*mean 'orders'"),
        ('[boards.b]\nfigures = ["trend"]', r"boards.b.figures\[0\]: .*type = 'trend'"),
        ("[boards.b]\nfigures = []", "boards.b.figures"),
        (
            '[goals.g]\nfigure = "order"\ntarget = 1\nby = 2026-01-01',
            "goals.g.figure: .*mean 'orders'",
        ),
        ('[goals.g]\nfigure = "orders"\ntarget = 1\nby = "soon"', "goals.g.by"),
        (
            '[goals.g]\nfigure = "orders"\ntarget = 1\nby = 2026-01-01\nneeds = { X = ["reven"] }',
            "goals.g.needs: .*reven",
        ),
    ],
)
def test_what_is_refused(load: Load, wrong: str, message: str) -> None:
    """Each mistake is refused with its path, and a suggestion where there is one."""
    with pytest.raises(ConfigError, match=message):
        load(GOOD + wrong)


@pytest.mark.parametrize(
    ("report", "message"),
    [
        ('board = "shap"', "report.board: .*mean 'shop'"),
        ('at = "mondays"', "report: .*mondays"),
        ('explain_by = ["contry"]', r"report.explain_by\[0\]: "),
        ('slack_url = "hooks.slack.com"', "report: slack_url: must begin with"),
        ("keep = 0", "report.keep"),
    ],
)
def test_a_report_that_cannot_be(load: Load, report: str, message: str) -> None:
    """The settings of the report are checked like the rest."""
    with pytest.raises(ConfigError, match=message):
        load(GOOD.replace('board = "shop"', report))


def test_no_figure_has_an_option_of_the_table() -> None:
    """The options of a figure and the keys of its table are different words."""
    own = set(SavedFigure.__struct_encode_fields__)
    for spec in own_figures().values():
        assert not own & set(spec.config.__struct_encode_fields__)


def test_the_job_is_on_once_a_figure_is_saved(load: Load) -> None:
    """Without saved figures, without a lake, or with an empty time, no report is written."""
    jobs: list[JobSpec] = []
    headgate_insights.register_jobs(jobs.append)
    schedule = jobs[0].schedule
    assert callable(schedule)
    assert schedule(load(GOOD)) == "monday 07:00"
    assert schedule(load("")) is None
    assert schedule(load(GOOD.replace('board = "shop"', 'at = ""'))) is None


def test_the_list_shows_all_of_it(load: Load) -> None:
    """The list has the figures, those that are saved, the boards and the goals."""
    file = load(GOOD).file
    done = CliRunner().invoke(insights, ["list", "--config", str(file)])
    assert done.exit_code == 0, done.output
    for word in (*own_figures(), "orders", "Who orders?", "shop", "more", "500", "2026-12-31"):
        assert word in done.output
    assert max(map(len, done.output.splitlines())) <= 80


@pytest.mark.parametrize("struct", [SavedFigure, Board, Goal])
def test_every_key_is_documented(struct: type) -> None:
    """The guide names each key of a table."""
    guide = (Path(__file__).parents[3] / "docs/guide/insights.md").read_text(encoding="utf-8")
    for key in struct.__struct_encode_fields__:  # type: ignore[attr-defined]
        assert f"`{key}`" in guide, key
