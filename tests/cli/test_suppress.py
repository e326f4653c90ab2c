"""`gateway suppress`: the whole command, in a data directory of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.cli import main
from gateway.privacy.suppression import FILE_NAME, Suppressions


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text('data_dir = "kept"\n')
    return path


def run(config: Path, *arguments: str) -> Result:
    command, *rest = arguments
    return CliRunner().invoke(main, ["suppress", command, "--config", str(config), *rest])


def shown(config: Path, *arguments: str) -> str:
    result = run(config, *arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout


def test_adding_listing_removing(config: Path) -> None:
    """Each change is reported; the list is sorted, one id a line, for other programs."""
    assert shown(config, "list") == ""
    assert shown(config, "add", "b", "a b", "é") == "3 added, 3 suppressed in all\n"
    assert shown(config, "add", "b", "c") == "1 added, 4 suppressed in all\n"
    assert shown(config, "list") == "a b\nb\nc\né\n"
    assert shown(config, "remove", "b", "z") == "1 removed, 3 suppressed in all\n"
    assert shown(config, "list") == "a b\nc\né\n"


def test_it_reaches_a_running_gateway(config: Path) -> None:
    """The file is the one in the data directory that the gateway reads at each refresh."""
    gateways = Suppressions(config.parent / "kept" / FILE_NAME)
    for command, expected in (("add", ["u"]), ("remove", [])):
        shown(config, command, "u")
        gateways.refresh()
        assert list(gateways) == expected
    gateways.close()


def test_the_data_directory_can_be_named(tmp_path: Path) -> None:
    """With a data directory no config is needed."""
    nowhere = tmp_path / "none.toml"
    folder = tmp_path / "elsewhere"
    shown(nowhere, "add", "--data-dir", str(folder), "u")
    assert shown(nowhere, "list", "--data-dir", str(folder)) == "u\n"
    assert (folder / FILE_NAME).exists()


def test_an_id_like_an_option(config: Path) -> None:
    """After two dashes every argument is an id."""
    shown(config, "add", "--", "-1", "--json")
    assert shown(config, "list") == "--json\n-1\n"


@pytest.mark.parametrize("command", ["add", "remove"])
@pytest.mark.parametrize("users", [[], [""], ["good", " "], ["\udcff"]])
def test_what_is_no_id(config: Path, command: str, users: list[str]) -> None:
    """No id, a blank one, and one that is not text are refused; nothing changes."""
    result = run(config, command, *users)
    assert result.exit_code == 2
    assert "USER" in result.stderr
    assert not (config.parent / "kept").exists()


@pytest.mark.parametrize("arguments", [("add", "u"), ("remove", "u"), ("list",)])
def test_a_file_that_cannot_be_used(config: Path, arguments: tuple[str, ...]) -> None:
    """The message names the file, without a traceback."""
    (config.parent / "kept").mkdir()
    (config.parent / "kept" / FILE_NAME).write_bytes(b"garbage" * 1000)
    result = run(config, *arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: ")
    assert f"{FILE_NAME}: file is not a database" in result.stderr


def test_a_config_that_is_not_there(tmp_path: Path) -> None:
    """Without a config nothing is written to a place that no gateway reads."""
    result = run(tmp_path / "none.toml", "add", "u")
    assert result.exit_code == 2
    assert "--config" in result.stderr
    assert list(tmp_path.iterdir()) == []
