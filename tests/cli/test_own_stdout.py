"""What plugins print does not mix with what a command prints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path


def test_a_plugin_that_prints_does_not_break_json(tmp_path: Path) -> None:
    """Output of a plugin, also of its native code, goes to stderr; stdout is JSON alone."""
    info = tmp_path / "chatty-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: chatty\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[gateway]\nchatty = chatty_plugin\n")
    (tmp_path / "chatty_plugin.py").write_text(
        "import os\nprint('from Python')\nos.write(1, b'from native code\\n')\n"
    )
    found = subprocess.run(
        [sys.executable, "-m", "gateway", "plugins", "--json"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )

    assert [one["plugin"] for one in json.loads(found.stdout)["failures"]] == ["chatty"]
    assert "from Python" in found.stderr
    assert "from native code" in found.stderr
