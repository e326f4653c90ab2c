"""The page on explaining tells the truth."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from msgspec import structs

from gateway.cli import main
from gateway.intake.dry_run import Step
from gateway.runtime.explain.explainer import Answer, Delivery, Explained, Explanation, Place
from gateway.runtime.explain.question import MOST_EVENTS, Question

PAGE = (Path(__file__).parents[2] / "docs" / "guide" / "explain.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """Returns the code blocks of the page."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_example_prints_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The config and the event of the page give the page's output."""
    monkeypatch.setenv("MIXPANEL_TOKEN", "0123456789abcdef")
    monkeypatch.setenv("ADS_TOKEN", "fedcba9876543210")
    (tmp_path / "config.toml").write_text(blocks("toml")[0])
    (tmp_path / "event.json").write_text(blocks("json")[0])
    arguments = ["explain", str(tmp_path / "event.json"), "--config", str(tmp_path / "config.toml")]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    received = r'receivedAt  "[^"]+"'
    assert re.sub(received, "", done.output) == re.sub(received, "", blocks("text")[0])


@pytest.mark.parametrize(
    "struct", [Answer, Explanation, Explained, Step, Place, Delivery, Question]
)
def test_every_key_is_there(struct: Any) -> None:
    """The page names each key of the answer and of the question."""
    missing = [f.encode_name for f in structs.fields(struct) if f"`{f.encode_name}" not in PAGE]
    assert missing == []
    assert f"up to {MOST_EVENTS} events" in PAGE


def test_every_option_is_there() -> None:
    """The page names each option of the command."""
    page = PAGE.replace("`-d ID`", "`--destination`")
    missing = [
        name
        for parameter in main.get_command(None, "explain").params  # type: ignore[arg-type, union-attr]
        for name in parameter.opts[:1]
        if name.startswith("--") and f"`{name}" not in page
    ]
    assert missing == ["--config"]
