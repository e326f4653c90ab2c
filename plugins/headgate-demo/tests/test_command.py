"""`gateway demo-history`: into the lake, once, and out again."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from headgate_demo.command import demo_history
from headgate_demo.examples import EXAMPLES
from headgate_insights.command import insights
from headgate_lake import Lake
from headgate_lake.sql.command import sql
from headgate_lake.testing import write_lake

_SMALL = ("--days", "14", "--people", "200")


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Makes a config whose lake is not where it usually is."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "shop.toml"
    file.write_text(
        '[sources.web]\ntype = "segment"\nwrite_key = "demo"\n'
        '[destinations.past]\ntype = "lake"\npath = "elsewhere"\n'
    )
    return file


def _run(config: Path, *words: str) -> Result:
    return CliRunner().invoke(demo_history, [*words, "--config", str(config)])


def test_each_command_that_it_prints_shows_something(config: Path) -> None:
    """After the history is there, all suggestions work as they are printed, and have rows."""
    found = _run(config, *_SMALL)
    assert found.exit_code == 0, found.output
    lake = Lake.open(config.parent / "elsewhere")
    assert f"{lake.rows:,} events of" in found.output
    lines = found.output.partition("Try:\n")[2].splitlines()
    assert len(lines) == len(EXAMPLES) >= 3
    for line in lines:
        gateway, name, *words = shlex.split(line)
        assert gateway == "gateway"
        shown = CliRunner().invoke({"insights": insights, "sql": sql}[name], words)
        assert shown.exit_code == 0, (line, shown.output)
        assert len(shown.output.splitlines()) > 3, line


def test_a_history_is_there_once(config: Path) -> None:
    """The same history adds nothing, another one takes its place, and removing leaves nothing."""
    folder = config.parent / "elsewhere"
    _run(config, *_SMALL)
    rows = Lake.open(folder).rows
    assert "nothing was added" in _run(config, *_SMALL).output
    assert Lake.open(folder).rows == rows
    assert f"removed the history that was there: {rows:,} events" in (
        _run(config, *_SMALL, "--seed", "2").output
    )
    assert 0 < (second := Lake.open(folder).rows) != rows
    assert f"removed {second:,} events" in _run(config, "--remove").output
    assert Lake.open(folder).rows == 0
    assert not list(config.parent.rglob("*.csv"))
    assert not list(folder.rglob("*.parquet"))


def test_it_does_not_mix_with_events_of_others_unasked(config: Path) -> None:
    """A lake with other events is left alone without --yes, and keeps exactly these at the end."""
    folder = config.parent / "elsewhere"
    write_lake(folder, [{"userId": "ada"}, {"userId": "bob"}])
    refused = _run(config, *_SMALL)
    assert refused.exit_code == 2
    assert "holds events of your own" in refused.output
    assert Lake.open(folder).rows == 2
    assert _run(config, *_SMALL, "--yes").exit_code == 0
    assert Lake.open(folder).rows > 1000
    assert _run(config, "--remove").exit_code == 0
    assert Lake.open(folder).rows == 2


def test_a_config_without_a_lake_is_explained(config: Path) -> None:
    """Without a lake in the config, the message names what is missing."""
    config.write_text('[sources.web]\ntype = "segment"\nwrite_key = "demo"\n')
    found = _run(config, *_SMALL)
    assert found.exit_code == 2
    assert 'no enabled destination of type "lake"' in found.output
