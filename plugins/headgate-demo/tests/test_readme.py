"""The first screen of the project's README: three commands, and the table that they show."""

from __future__ import annotations

import re
import shlex
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from headgate_demo.examples import EXAMPLES
from headgate_demo.history import simulate
from headgate_demo.lakes import fill, load_of
from headgate_demo.people import Plan
from headgate_insights.command import insights

_README = (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8")
_SCREEN = _README.partition("**Run it**")[0]
_FIRST_SCREEN_LINES = 60


def _commands() -> list[list[str]]:
    (block,) = re.findall(r"```sh\n(.*?)```", _SCREEN, re.DOTALL)
    return [shlex.split(line) for line in block.splitlines()]


def _table() -> list[str]:
    (block,) = re.findall(r"```text\n(.*?)```", _SCREEN, re.DOTALL)
    return str(block).splitlines()


def _shown(folder: Path, plan: Plan) -> list[str]:
    """Runs the third command of the README over the history of a plan."""
    lake = folder / "data" / "lake"
    for _ in fill(lake, load_of(plan, "EUR"), simulate(plan, "EUR").events, plan.end_ms):
        pass
    config = folder / "config.toml"
    config.write_text(
        '[sources.web]\ntype = "segment"\nwrite_key = "demo"\n[destinations.lake]\ntype = "lake"\n'
    )
    words = [*_commands()[2][2:], "--from", "2026-09-07", "--to", "2026-12-02"]
    found = CliRunner().invoke(insights, [*words, "--config", str(config)])
    assert found.exit_code == 0, found.output
    return [line.rstrip() for line in found.output.splitlines()]


def test_three_commands_lead_to_a_table() -> None:
    """Install, fill, ask: the third is the first that the demo suggests and that its tests run."""
    install, demo, ask = _commands()
    assert " ".join(install).endswith("pip install -q -r requirements.txt")
    assert [demo[0][-7:], *demo[1:]] == ["gateway", "demo", "--history", "90d"]
    assert [ask[0][-7:], *ask[1:]] == ["gateway", *EXAMPLES[0]]
    assert len(_SCREEN.splitlines()) < _FIRST_SCREEN_LINES
    assert _table()[0].startswith("Do people come back?")


@pytest.mark.long
def test_the_table_is_real(tmp_path: Path) -> None:
    """The table of the README is what the commands show on the first of December 2026."""
    shown = _shown(tmp_path, Plan(datetime(2026, 12, 1, tzinfo=UTC)))
    assert shown[: len(_table())] == _table()
