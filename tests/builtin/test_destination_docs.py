"""The documentation of destinations is true."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from dataclasses import fields
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, Generic

import pytest

from gateway.builtin.destinations import console, file, null, sqlite
from gateway.builtin.destinations.console import ConsoleConfig
from gateway.builtin.destinations.file.destination import FileConfig
from gateway.builtin.destinations.sqlite import SqliteConfig
from gateway.components.destination import BatchPolicy
from gateway.components.hookspecs import HOOKS
from gateway.config.load import load
from gateway.config.settings import DestinationSettings, RetryPolicy
from gateway.errors import DeliveryError
from gateway.runtime.plugins import discover
from gateway.testing import Promise, Vendor, contract_scenes
from gateway.testing.scenes import SCENES
from headgate_postgres import PostgresConfig
from headgate_slack import SlackConfig
from headgate_webhook import WebhookConfig

ROOT = Path(__file__).parents[2]
DESTINATIONS = (ROOT / "docs" / "reference" / "destinations.md").read_text(encoding="utf-8")
PLUGINS = (ROOT / "docs" / "guide" / "plugins.md").read_text(encoding="utf-8")
WEBHOOK = (ROOT / "plugins" / "headgate-webhook" / "README.md").read_text(encoding="utf-8")
SLACK = (ROOT / "plugins" / "headgate-slack" / "README.md").read_text(encoding="utf-8")
POSTGRES = (ROOT / "plugins" / "headgate-postgres" / "README.md").read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    """Returns the code blocks of a page."""
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def section(title: str) -> str:
    """Returns a section of the page on destinations."""
    (found,) = re.findall(rf"^## {title}\n(.*?)(?=^## |\Z)", DESTINATIONS, re.DOTALL | re.MULTILINE)
    return found


@pytest.mark.parametrize(
    ("struct", "text"),
    [
        (DestinationSettings, section("Keys that every destination has")),
        (FileConfig, section("file")),
        (ConsoleConfig, section("console")),
        (SqliteConfig, section("sqlite")),
        (SlackConfig, SLACK),
        (PostgresConfig, POSTGRES),
        (WebhookConfig, WEBHOOK),
    ],
)
def test_every_key_has_a_row(struct: Any, text: str) -> None:
    """The table of a config has each key with its default, and no other key."""
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]+?) \|", text, re.MULTILINE))
    assert set(rows) == set(struct.__struct_fields__)
    for name, default in zip(
        reversed(struct.__struct_fields__), reversed(struct.__struct_defaults__), strict=False
    ):
        shown = re.fullmatch("`(.*)`", rows[name])
        if shown is not None:
            assert tomllib.loads(f"x = {shown[1]}")["x"] == default, name


@pytest.mark.parametrize("page", [DESTINATIONS, POSTGRES, SLACK, WEBHOOK])
def test_every_example_can_be_used(page: str, tmp_path: Path) -> None:
    """The gateway accepts each example of the pages as config."""
    registry = discover(builtins=[m.__name__ for m in (console, file, null, sqlite)])
    examples = blocks(page, "toml")
    assert examples
    for example in examples:
        path = tmp_path / "config.toml"
        path.write_text(example)
        config = load(path, dict.fromkeys(re.findall(r"\$\{(\w+)\}", example), "secret"))
        for settings, table in config.destinations.values():
            spec = registry.find("destination", settings.type, table.path).spec
            table.decode(spec.config)


@pytest.mark.parametrize(("key", "struct"), [("batch", BatchPolicy), ("retry", RetryPolicy)])
def test_the_shown_batch_and_retry_are_the_defaults(key: str, struct: Any) -> None:
    """The pages show all keys of `batch` and `retry`, with their defaults."""
    shown = [
        table[key]
        for example in blocks(DESTINATIONS, "toml")
        for table in tomllib.loads(example)["destinations"].values()
        if key in table
    ]
    assert shown == [{name: getattr(struct(), name) for name in struct.__struct_fields__}]


def test_the_batching_of_each_type_is_as_documented() -> None:
    """The numbers in the text are those of the specs."""
    specs: list[Any] = []
    file.register_destinations(specs.append)
    assert specs[0].batch == BatchPolicy(max_events=5000, max_bytes=4_000_000, max_age_seconds=1.0)
    assert "up to 5000 events or 4 MB, at most a second old" in section("file")


def test_all_hooks_and_errors_are_documented() -> None:
    """The page has every hook with its argument, and every error that `send` may raise."""
    for hook, (_, spec) in HOOKS.items():
        taken = f"{spec.__name__}[Any]" if issubclass(spec, Generic) else spec.__name__
        assert f"| `{hook}(register: Callable[[{taken}], None])` |" in PLUGINS
    for error in DeliveryError.__subclasses__() + [
        inner for outer in DeliveryError.__subclasses__() for inner in outer.__subclasses__()
    ]:
        if error.__module__ == "gateway.errors":
            assert f"| `{error.__name__}(" in PLUGINS


@pytest.fixture
def tally(tmp_path: Path) -> Path:
    """Writes the package that the page builds."""
    for block in [b for kind in ("python", "toml", "jsonl") for b in blocks(PLUGINS, kind)]:
        first, rest = block.split("\n", 1)
        if not first.startswith("# "):
            continue  # an example that is no part of the package
        path = tmp_path / first.removeprefix("# ")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(rest)
    return tmp_path


def test_the_tutorial_passes_its_own_tests(tally: Path) -> None:
    """The package of the page passes the tests of the page."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"],
        cwd=tally,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tally / "src"), str(ROOT)])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    scenes = contract_scenes(null, {}, Vendor(refuses=None))
    assert f"{len(scenes) + 4} passed" in done.stdout


def test_the_other_examples_of_the_page_run() -> None:
    """The examples of the page outside its package run too."""
    examples = [block for block in blocks(PLUGINS, "python") if not block.startswith("# ")]
    assert len(examples) == 2
    for example in examples:
        exec(compile(example, "docs/guide/plugins.md", "exec"), {})


def test_promises_and_scenes_are_documented() -> None:
    """The page has all promises, scenes and fields of `Vendor`."""
    missing = [promise for promise in Promise if f"| {promise} |" not in PLUGINS]
    missing += [scene.slug for scene in SCENES if f"`{scene.slug}`" not in PLUGINS]
    missing += [f.name for f in fields(Vendor) if f"| `{f.name}` |" not in PLUGINS]
    assert missing == []


def test_the_tutorial_registers(tally: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateway finds the page's type by the page's entry point."""
    project = tomllib.loads((tally / "pyproject.toml").read_text())["project"]
    (point,) = project["entry-points"]["gateway"].items()
    monkeypatch.syspath_prepend(tally / "src")
    registry = discover(builtins=(), installed=[EntryPoint(*point, group="gateway")])
    assert registry.failures == []
    assert ("destination", "tally") in registry.types
