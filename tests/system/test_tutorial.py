"""The tutorial works, block by block."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from gateway.cli.process import free_port
from tests.support.fresh_install import (
    build_wheels,
    clean_variables,
    constraints,
    fresh_environment,
)

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "guide" / "tutorial-destination.md").read_text(encoding="utf-8")
_FILE = re.compile(r"(?:# |<!-- )([\w./-]+)(?: -->)?\n")

BEFORE = """
set -euo pipefail
trap 'kill $(jobs -p) 2> /dev/null || true' EXIT
"""
AFTER = """
wait || true
"""


def script(page: str) -> str:
    """Turns the page into a shell script that writes files and runs commands, in their order."""
    parts = [BEFORE]
    for language, block in re.findall(r"^```(\w+)\n(.*?)^```", page, re.DOTALL | re.MULTILINE):
        if language == "sh":
            parts.append(block)
            continue
        head = _FILE.match(block)
        assert head is not None, f"a block names no file: {block[:60]!r}"
        parts.append(f"printf %s {shlex.quote(block[head.end() :])} > {head[1]}\n")
    return "".join([*parts, AFTER])


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_tutorial_can_be_followed(tmp_path: Path) -> None:
    """The blocks of the tutorial, run in order, give an installed package that works.

    The package passes its own tests, ruff and mypy, and delivers an event.
    """
    wheels = tmp_path / "wheels"
    build_wheels(fresh_environment(tmp_path / "builder"), wheels, ROOT)
    port = str(free_port())
    page = PAGE.replace("9000", str(free_port())).replace("8080", port)
    page = page.replace("# ../config.toml\n", f"# ../config.toml\n[server]\nport = {port}\n\n")
    empty = tmp_path / "empty"
    empty.mkdir()
    variables = clean_variables() | {
        "PIP_FIND_LINKS": str(wheels),
        "PIP_CONSTRAINT": str(constraints(tmp_path)),
        "PIP_QUIET": "1",
        "COLUMNS": "120",
    }
    done = subprocess.run(
        ["bash", "-c", script(page)],
        cwd=empty,
        env=variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    contact, activity = (empty / "received.txt").read_text().splitlines()
    assert contact == '/v1/contacts {"contacts":[{"key":"ada","name":"Ada"}]}'
    assert activity.startswith('/v1/activities {"activities":[{"id":')
    assert re.search(
        r"^acme-crm +destination +headgate-acme-crm +0\.1\.0", done.stdout, re.MULTILINE
    )
    assert "Success: no issues found" in done.stdout
