"""The plugin for pytest, as it is installed with the gateway."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

CONTRACT = """
import pytest
from gateway.builtin.destinations import null
from gateway.testing import Storage

@pytest.mark.destination_contract(null, {}, Storage())
def test_contract(contract_scene):
    contract_scene.check()
"""
GOLDEN = """
import pytest
from gateway.builtin.destinations import null

@pytest.mark.golden("cases.jsonl", null)
def test_golden(golden_case):
    golden_case.check()
"""
CASES = """\
{"case": "taken", "event": {"type": "track", "event": "e", "userId": "u"}}
{"case": "posted", "event": {"type": "track"}, "requests": [{"path": "/", "body": "x"}]}
"""


def run(folder: Path, *options: str) -> tuple[int, str]:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:asyncio",
        "-W",
        "error",
    ]
    done = subprocess.run(
        [*command, *options], cwd=folder, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def test_it_is_an_entry_point() -> None:
    """Installing the gateway is enough to get the plugin."""
    (point,) = [p for p in entry_points(group="pytest11") if p.name == "gateway"]
    assert point.value == "gateway.testing.pytest_plugin"


def test_a_test_for_each_scene(tmp_path: Path) -> None:
    """Each scene is a test with the name of the scene."""
    (tmp_path / "test_it.py").write_text(CONTRACT)
    code, text = run(tmp_path, "-v", "--strict-markers")
    assert code == 0, text
    for slug in ("delivery", "gateway-restart", "stop", "check", "rehearsal"):
        assert f"test_contract[{slug}] PASSED" in text
    assert "5 passed" in text


def test_a_test_for_each_case(tmp_path: Path) -> None:
    """Each case is a test with the name of the case; a failure shows the difference only."""
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_it.py").write_text(GOLDEN)
    (tmp_path / "tests" / "cases.jsonl").write_text(CASES)
    code, text = run(tmp_path, "-v", "--strict-markers")
    assert code == 1, text
    assert "test_golden[taken] PASSED" in text
    assert "test_golden[posted] FAILED" in text
    assert "GoldenMismatch: cases.jsonl, line 2: case 'posted' differs:" in text
    assert "golden_file.py" not in text


def test_a_marker_that_was_forgotten(tmp_path: Path) -> None:
    """A test without the marker gets an error that names it."""
    (tmp_path / "test_it.py").write_text("def test_it(golden_case): pass")
    code, text = run(tmp_path)
    assert code != 0
    assert "takes 'golden_case' and lacks @pytest.mark.golden(...)" in text


def test_it_is_harmless_where_it_is_not_used(tmp_path: Path) -> None:
    """A run that uses no marker imports nothing of the gateway but the pytest plugin."""
    (tmp_path / "test_it.py").write_text(
        "import sys\n"
        "def test_it():\n"
        "    ours = {name for name in sys.modules if name.partition('.')[0] == 'gateway'}\n"
        "    assert ours == {'gateway', 'gateway.testing', 'gateway.testing.pytest_plugin'}\n"
        "    assert 'aiohttp' not in sys.modules\n"
    )
    code, text = run(tmp_path, "-p", "no:xdist")
    assert code == 0, text
