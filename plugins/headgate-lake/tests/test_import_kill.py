"""An import beside a running gateway, which is killed and run again."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from headgate_lake import Lake

Rows = Callable[..., list[tuple[Any, ...]]]

_EVENTS = 400
_BATCH = 40

_CONFIG = """
data_dir = "data"
[server]
port = 0
[sources.web]
type = "segment"
write_key = "key"
[destinations.lake]
type = "lake"
path = "lake"
retention_days = 0
"""

_IMPORT = """
import sys
from headgate_lake.commands import lake
from headgate_lake.importing import importer

importer.BATCH_EVENTS = int(sys.argv.pop(1))
lake()
"""


def test_a_killed_import_is_run_again_beside_a_gateway(
    tmp_path: Path,
    folder: Path,
    rows: Rows,
    begin: Callable[..., subprocess.Popen[bytes]],
    until: Callable[..., None],
    serve: Callable[..., tuple[subprocess.Popen[bytes], str]],
) -> None:
    """Each event is in the lake once, and the gateway that writes to it goes on."""
    config, path = tmp_path / "config.toml", tmp_path / "export.ndjson"
    config.write_text(_CONFIG)
    record = {"event": "Paid", "userId": "ada", "timestamp": "2025-03-01"}
    lines = [json.dumps(record | {"properties": {"n": n // 2}}) + "\n" for n in range(_EVENTS)]
    path.write_text("".join(lines))
    given = (_BATCH, "import", "--config", str(config), str(path))
    command = [sys.executable, "-c", _IMPORT, *map(str, given)]
    gateway, _ = serve(config)
    try:
        until((folder / "owner").exists, gateway)  # it has made the lake
        killed = begin(_IMPORT, *given, quiet=True)
        until(lambda: Lake.open(folder).rows > 0, killed)
        killed.kill()
        killed.wait()
        held = Lake.open(folder).rows
        assert 0 < held < _EVENTS
        again = subprocess.run([*command, "--json"], check=True, capture_output=True)
        summary = json.loads(again.stdout)
        assert (summary["taken"], summary["known"]) == (_EVENTS - held, held)
        found = rows("message_id")
        assert len(found) == len(set(found)) == _EVENTS
        assert gateway.poll() is None
    finally:
        gateway.terminate()
        assert gateway.wait(30) == 0
