"""An import beside a running gateway, which is killed and run again."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from click.testing import CliRunner

from gateway.testing import running_gateway
from headgate_lake import Lake
from headgate_lake.commands import lake
from headgate_lake.importing import importer

Rows = Callable[..., list[tuple[Any, ...]]]

_EVENTS = 200
_BATCH = 50

_CONFIG = """
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

_KILLED = """
import os
import signal
import sys
from headgate_lake.commands import lake
from headgate_lake.importing import importer
from headgate_lake.writer import LakeWriter

def write(*arguments, **options):
    wrote = whole(*arguments, **options)
    os.kill(os.getpid(), signal.SIGKILL)
    return wrote

importer.BATCH_EVENTS = int(sys.argv.pop(1))
whole, LakeWriter.write = LakeWriter.write, write
lake()
"""
"""An import that is killed once its first batch is in the lake."""


async def test_a_killed_import_is_run_again_beside_a_gateway(
    tmp_path: Path, folder: Path, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each event is in the lake once, and the gateway that writes to it goes on."""
    path = tmp_path / "export.ndjson"
    record = {"event": "Paid", "userId": "ada", "timestamp": "2025-03-01"}
    lines = [json.dumps(record | {"properties": {"n": n // 2}}) + "\n" for n in range(_EVENTS)]
    path.write_text("".join(lines))
    options = ["import", "--config", str(tmp_path / "config.toml"), str(path)]
    async with (
        running_gateway(tmp_path, _CONFIG) as url,
        aiohttp.ClientSession(url) as client,
    ):
        killed = [sys.executable, "-c", _KILLED, str(_BATCH), *options]
        done = await asyncio.to_thread(subprocess.run, killed, check=False, capture_output=True)
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert Lake.open(folder).rows == _BATCH
        monkeypatch.setattr(importer, "BATCH_EVENTS", _BATCH)
        again = await asyncio.to_thread(CliRunner().invoke, lake, [*options, "--json"])
        summary = json.loads(again.stdout)
        assert (summary["taken"], summary["known"]) == (_EVENTS - _BATCH, _BATCH)
        body = {"writeKey": "key", "batch": [{"type": "track", "event": "e", "userId": "bo"}]}
        async with client.post("/v1/batch", json=body) as response:
            assert response.status == 200
    found = rows("message_id")
    assert len(found) == len(set(found)) == _EVENTS + 1
