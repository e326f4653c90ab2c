"""An import beside a running gateway, which is killed and run again."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from headgate_lake import Lake

Rows = Callable[..., list[tuple[Any, ...]]]

_EVENTS = 1_000
_BATCH = 50

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


def _until(holds: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    """Waits for another process, which has to go on meanwhile."""
    end = time.monotonic() + 30
    while not holds():
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_killed_import_is_run_again_beside_a_gateway(
    tmp_path: Path, folder: Path, rows: Rows
) -> None:
    """Each event is in the lake once, and the gateway that writes to it goes on."""
    config, path = tmp_path / "config.toml", tmp_path / "export.ndjson"
    config.write_text(_CONFIG)
    record = {"event": "Paid", "userId": "ada", "timestamp": "2025-03-01"}
    lines = [json.dumps(record | {"properties": {"n": n // 2}}) + "\n" for n in range(_EVENTS)]
    path.write_text("".join(lines))
    command = [sys.executable, "-c", _IMPORT, str(_BATCH), "import", "--config", str(config)]
    command.append(str(path))
    serve = [sys.executable, "-m", "gateway", "serve", "--config", str(config)]
    gateway = subprocess.Popen(serve, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _until((folder / "owner").exists, gateway)  # it has made the lake
        killed = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            _until(lambda: Lake.open(folder).rows > 0, killed)
        finally:
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
