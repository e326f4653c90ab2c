"""The commands, examples and links of the README and the docs are correct."""

from __future__ import annotations

import json
import re
from importlib.metadata import version
from pathlib import Path

import pytest

from gateway.config.load import load
from gateway.runtime.gateway import Gateway
from gateway.runtime.plugins import discover

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_continuous_integration_runs_the_test_command_word_for_word() -> None:
    """Continuous integration runs the test command of the README before a change lands."""
    (command,) = [block.strip() for block in blocks("sh") if "pytest" in block]
    assert command in (ROOT / ".ci" / "run").read_text().splitlines()


def test_the_curl_line_is_the_one_that_the_gateway_prints() -> None:
    """The curl command of the README is the one that a gateway prints."""
    gateway = Gateway(load(ROOT / "config.toml", {}), discover())
    examples = [source.example("http://127.0.0.1:8080") for source in gateway.sources]
    assert [block.strip() for block in blocks("sh") if block.startswith("curl")] == examples


def test_the_shipped_config_has_privacy_on_and_delivers_somewhere() -> None:
    """The shipped config works as it is, and masks personal data before it is stored."""
    config = load(ROOT / "config.toml", {})
    at_intake = [id_ for id_, (one, _) in config.transforms.items() if one.destinations is None]
    assert at_intake == ["enrich", "privacy"]
    assert set(config.destinations) == {"terminal", "files", "lake", "profiles"}


def test_the_example_config_can_be_used(tmp_path: Path) -> None:
    """The tables that the README shows are a valid config."""
    (tables,) = blocks("toml")
    path = tmp_path / "config.toml"
    path.write_text(tables)
    gateway = Gateway(load(path, {}), discover())
    assert [built.id for built in gateway.destinations] == ["crm"]
    assert gateway.destinations[0].chain.ids == ("canary",)


def test_every_command_is_in_the_readme() -> None:
    """The README names every command."""
    from gateway.cli.group import _COMMANDS

    missing = [name for name in _COMMANDS if f"`gateway {name}" not in README]
    assert missing == []


def test_tested_versions_of_client_libraries_stand_in_the_docs() -> None:
    """Each client library that the tests run stands in docs/reference/clients.md as tested."""
    page = (ROOT / "docs" / "reference" / "clients.md").read_text(encoding="utf-8")
    package = json.loads((ROOT / "tests" / "system" / "sdk" / "package.json").read_text())
    tested = {number for name, number in package["dependencies"].items() if name != "jsdom"}
    tested |= {version("segment-analytics-python"), version("rudder-sdk-python")}
    assert set(re.findall(r"\| ([\d.]+), tests \|", page)) == tested


PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "bench" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "plugins").glob("*/README.md")),
]
LINK = re.compile(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)")


def anchors_of(page: Path) -> set[str]:
    """Returns the anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"(?ms)^( *)```.*?^\1```$", "", page.read_text(encoding="utf-8"))
    headings = re.findall(r"(?m)^#+ (.*)$", text)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings_that_exist(page: Path) -> None:
    """Every relative link leads to a file and, after a #, to a heading in it."""
    broken = []
    for path, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in anchors_of(target)):
            broken.append(f"{path}#{anchor}" if anchor else path)
    assert broken == []


def test_an_anchor_is_made_as_the_site_makes_it(tmp_path: Path) -> None:
    """An anchor is the heading's words in lower case, joined by hyphens; code has no headings."""
    page = tmp_path / "page.md"
    page.write_text("# What `send` raises\n\n```sh\n# no heading\n```\n")
    assert anchors_of(page) == {"what-send-raises"}
