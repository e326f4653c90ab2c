"""Commands that packages add to `gateway`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.cli import package_commands
from gateway.cli.group import _COMMANDS, _HIDDEN, main
from gateway.components.command import CORE_COMMANDS
from gateway.runtime.plugins import discover
from tests.support import shop_package


@pytest.fixture(autouse=True)
def _packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Installs the shop package and a broken one, and finds them anew."""
    folder = shop_package.install(shop_package.install_broken(tmp_path / "packages"))
    monkeypatch.syspath_prepend(str(folder))
    registry = discover(builtins=())
    monkeypatch.setattr(package_commands, "_registry", lambda: registry)
    yield
    for name in [name for name in sys.modules if name.startswith("headgate_shop")]:
        del sys.modules[name]


def run(*arguments: str) -> Result:
    """Runs `gateway` in this process."""
    return CliRunner().invoke(main, arguments)


def test_help_lists_them_after_our_own() -> None:
    """`gateway --help` has the line of each package's command, and imports none of them."""
    found = run("--help")
    ours, theirs = found.output.split("Commands of packages:")
    assert "serve" in ours
    assert ["shop", "Look", "into", "the", "shop."] in map(str.split, theirs.splitlines())
    assert "headgate_shop_commands" not in sys.modules


def test_a_command_reads_config_and_finds_the_folder(tmp_path: Path) -> None:
    """A command has the scope of the config file: destinations of a type, paths and the project."""
    config = tmp_path / "config.toml"
    config.write_text(
        '[project]\ntime_zone = "Europe/Berlin"\n[destinations.main]\ntype = "till"\npath = "t"\n'
    )
    found = run("shop", "where", "--config", str(config))
    assert (found.output, found.exit_code) == ("main: t Europe/Berlin\n", 0)
    found = run("shop", "tills", "--config", str(config))
    assert "no gateway is running" in found.output
    assert found.exit_code == 2
    config.write_text("[shop]\nnmae = 1\n")
    found = run("shop", "where", "--config", str(config))
    assert "shop: there is no key 'nmae' here; did you mean 'name'?" in found.output


def test_a_broken_command_breaks_no_other() -> None:
    """A command that cannot be imported, and one of a broken package, each say why, alone."""
    found = run("shut")
    assert "the command 'shut' of the plugin shop (headgate-shop 1.2.3) cannot" in found.output
    assert "AttributeError" in found.output
    assert found.exit_code == 2
    found = run("broken")
    assert "needs the plugin broken (headgate-broken 1.2.3)" in found.output
    assert "the roof fell in" in found.output
    assert run("shop", "--help").exit_code == 0


def test_an_unknown_command_names_the_package_that_brings_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A command of one of our packages that is not installed says which; others are unknown."""
    monkeypatch.setitem(package_commands.KNOWN_COMMANDS, "sell", "headgate-market")
    assert "comes with the package headgate-market: `pip install headgate" in run("sell").output
    assert "No such command 'nothing'" in run("nothing").output


def test_our_own_names_are_reserved() -> None:
    """The list of names that no package may take is that of the gateway's commands."""
    assert _COMMANDS.keys() | _HIDDEN.keys() == CORE_COMMANDS
