"""`gateway demo --history` hands over to the package headgate-demo."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner, Result

from gateway.cli import package_commands
from gateway.cli.group import main
from gateway.runtime.plugins import Registry


def run(*words: str) -> Result:
    return CliRunner().invoke(main, ["demo", *words])


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Replaces the package's command; collects its arguments."""
    calls: list[list[str]] = []

    @click.command(context_settings={"ignore_unknown_options": True})
    @click.argument("words", nargs=-1)
    def command(words: tuple[str, ...]) -> None:
        calls.append(list(words))

    monkeypatch.setattr(package_commands, "find", {"demo-history": command}.get)
    return calls


@pytest.mark.parametrize(
    ("words", "handed_on"),
    [
        (["--history", "90d"], ["--days", "90"]),
        (["--history", "12w", "--seed", "3"], ["--days", "84", "--seed", "3"]),
        (["--history", "90", "--yes"], ["--days", "90", "--yes"]),
        (["--remove-history"], ["--remove"]),
    ],
)
def test_options_are_handed_on(
    words: list[str], handed_on: list[str], called: list[list[str]]
) -> None:
    """The package's command gets the config, the days, the seed and the consent."""
    assert run(*words, "--config", "shop.toml").exit_code == 0
    assert called == [["--config", "shop.toml", *handed_on]]


@pytest.mark.parametrize(
    "words",
    [
        ["--history", "soon"],
        ["--history", "90d", "--remove-history"],
        ["--history", "90d", "--url", "http://127.0.0.1:1"],
        ["--remove-history", "--duration", "3"],
        ["--yes"],
    ],
)
def test_options_that_make_no_sense_are_refused(words: list[str], called: list[list[str]]) -> None:
    """Nothing runs with a length that is none, or with options of the other demo."""
    assert run(*words).exit_code == 2
    assert called == []


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without headgate-demo, the message says what to install."""
    empty = Registry()
    monkeypatch.setattr(package_commands, "_registry", lambda: empty)
    found = run("--history", "90d")
    assert found.exit_code == 2
    assert "pip install headgate-demo" in found.output
