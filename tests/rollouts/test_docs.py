"""The page on rollouts shows what the commands print."""

from __future__ import annotations

import asyncio
import re
import shlex
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from click.testing import CliRunner

from gateway.cli import main
from gateway.config.alerts import AlertsConfig
from gateway.config.groups import GroupConfig, Guardrail, Metric
from gateway.config.load import load
from gateway.rollouts.alerts import MOST_WAIT_SECONDS
from gateway.rollouts.guardrails import MIN_SENDS
from gateway.rollouts.store import MOST_DECISIONS, MOST_SNAPSHOTS
from gateway.runtime.gateway import Gateway
from gateway.runtime.plugins import discover
from tests.support.rollout_harness import RolloutHarness

ROOT = Path(__file__).parents[2]
PATH = ROOT / "docs" / "guide" / "rollouts.md"
PAGE = PATH.read_text(encoding="utf-8")
CONSOLE = re.compile(r"^```console\n\$ (.*?)\n(.*?)^```", re.DOTALL | re.MULTILINE)
(EXAMPLE,) = re.findall(r"^```toml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
NOW_MS = 1_795_611_000_000


async def tell(folder: Path) -> None:
    """Plays the story of the page: the vendor begins to reject at 25 %."""
    harness = RolloutHarness(folder, EXAMPLE.replace("${ALERT_URL}", "http://127.0.0.1:9/"))
    await harness.start()
    while harness.state[1] < 25:
        await harness.minutes(1, 900, test=0.004, control=0.004)
    await harness.minutes(20, 900, test=0.004, control=0.004)
    while harness.state[0] == "ramping":
        await harness.minutes(1, 900, test=0.06, control=0.004)
    await harness.rollouts.stop()


@pytest.fixture(name="told", scope="module")
def _told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("told")
    asyncio.run(tell(folder))
    return folder


@pytest.fixture(name="folder")
def _folder(told: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(told, tmp_path, dirs_exist_ok=True)
    monkeypatch.setenv("COLUMNS", "110")
    monkeypatch.setenv("ALERT_URL", "http://127.0.0.1:9/")
    monkeypatch.setattr("gateway.state.audit_trail.getpass.getuser", lambda: "ann")
    monkeypatch.setattr("gateway.events.timestamps.now_ms", lambda: NOW_MS)
    return tmp_path


def printed(folder: Path, command: str) -> str:
    """Runs a command of the page; gives its output without trailing spaces."""
    _, *arguments = shlex.split(command)
    done = CliRunner().invoke(main, [*arguments, "--config", str(folder / "config.toml")])
    assert done.exit_code in (0, 1), done.output
    return "".join(f"{line.rstrip()}\n" for line in done.output.splitlines())


def test_the_page_shows_what_is_printed(folder: Path) -> None:
    """Each command of the page prints what stands below it."""
    for command, shown in CONSOLE.findall(PAGE):
        assert printed(folder, command) == shown, command


def test_the_page_can_be_written_and_needs_nothing_else(folder: Path) -> None:
    """The HTML report is one file with charts, without scripts and external addresses."""
    pytest.importorskip("matplotlib")
    out = folder / "report.html"
    printed(folder, f"gateway rollout report checkout_canary --html {out}")
    page = out.read_text(encoding="utf-8")
    assert page.count("<img ") == 2
    assert "rolled back at 0 %" in page
    assert "<script" not in page
    assert "<link" not in page
    sources = re.findall(r"(?:src|href)=.(.{20})", page)
    assert set(sources) == {"data:image/svg+xml;b"}


def test_a_reason_is_text_on_the_page(folder: Path) -> None:
    """Markup and control characters in a reason are shown as text, in HTML and terminal."""
    pytest.importorskip("matplotlib")
    command = ["gateway", "rollout", "hold", "checkout_canary", "--reason", "<b>[red]x"]
    printed(folder, "gateway rollout resume checkout_canary")
    assert "<b>[red]x" in printed(folder, shlex.join(command))
    out = folder / "report.html"
    printed(folder, f"gateway rollout report checkout_canary --html {out}")
    assert "&lt;b&gt;[red]x" in out.read_text(encoding="utf-8")
    assert "<b>[red]x" in printed(folder, "gateway rollout report checkout_canary")


def test_the_example_makes_a_gateway(tmp_path: Path) -> None:
    """The example config of the page is valid as it is."""
    (tmp_path / "config.toml").write_text(EXAMPLE)
    gateway = Gateway(load(tmp_path / "config.toml", {"ALERT_URL": "http://x/"}), discover())
    assert gateway.rollouts


def rows(text: str) -> dict[str, str]:
    return dict(re.findall(r"^\| `(\w+)` \| ([^|]+?) \|", text, re.MULTILINE))


def tables() -> Iterator[tuple[Any, dict[str, str], set[str]]]:
    of_group, rest = PAGE.split("Of a group:")[1].split("Of a guardrail:")
    of_guardrail, rest = rest.split("| metric | what")
    alerts = rest.split("`[alerts]`:")[1]
    ramp = set(GroupConfig.__struct_fields__) - {
        "percent", "by", "salt", "layer", "slot", "eligible", "stamp",
    }  # fmt: skip
    yield GroupConfig, rows(of_group), ramp
    yield Guardrail, rows(of_guardrail), set(Guardrail.__struct_fields__)
    yield AlertsConfig, rows(alerts), set(AlertsConfig.__struct_fields__)


@pytest.mark.parametrize(("struct", "shown", "keys"), list(tables()))
def test_every_key_has_a_row(struct: Any, shown: dict[str, str], keys: set[str]) -> None:
    """Each key has a row with its default, if one word can give it."""
    assert shown.keys() == keys
    for field in msgspec.structs.fields(struct):
        default = re.fullmatch("`(.*)`", shown.get(field.name, ""))
        if default is not None:
            value = field.default
            if field.default_factory is not msgspec.NODEFAULT:
                value = field.default_factory()
            said = tomllib.loads(f"x = {default[1]}")["x"]
            assert (tuple(said) if isinstance(said, list) else said) == value, field.name


def test_metrics_and_bounds_are_those_of_the_code() -> None:
    """Each metric of a guardrail has a row, and the numbers are those of the code."""
    metrics = PAGE.split("| metric | what")[1].split("`[alerts]`")[0]
    assert rows(metrics).keys() == set(get_args(Metric))
    assert f"up to {MOST_DECISIONS:,} decisions and {MOST_SNAPSHOTS:,} snapshots" in PAGE
    assert f"at least {MIN_SENDS} in each arm" in PAGE
    assert f"at most {MOST_WAIT_SECONDS:g} seconds" in " ".join(PAGE.split())


if __name__ == "__main__":  # writes what the commands print into the page
    patch = pytest.MonkeyPatch()
    with tempfile.TemporaryDirectory() as made:
        asyncio.run(tell(Path(made)))
        patch.setenv("COLUMNS", "110")
        patch.setenv("ALERT_URL", "http://127.0.0.1:9/")
        patch.setattr("gateway.state.audit_trail.getpass.getuser", lambda: "ann")
        patch.setattr("gateway.events.timestamps.now_ms", lambda: NOW_MS)
        for command, _ in CONSOLE.findall(PAGE):
            text = printed(Path(made), command)
            pattern = re.compile(
                r"(^```console\n\$ " + re.escape(command) + r"\n).*?(^```)",
                re.DOTALL | re.MULTILINE,
            )
            PAGE = pattern.sub(lambda match, text=text: match[1] + text + match[2], PAGE)
    PATH.write_text(PAGE, encoding="utf-8")
    sys.exit(0)
