"""The process of `gateway serve` ends, whatever plugin code does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CODE = """
import asyncio
from gateway.cli.commands.serve import _run
from gateway.components import isolation

isolation.CANCEL_SECONDS = 0.01

async def stubborn():
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            pass

async def work():
    try:
        await isolation.call(stubborn, 0.01)
    except TimeoutError:
        print("stopped")

_run(work())
"""


def test_the_process_ends_although_plugin_code_does_not() -> None:
    """Code that ignores its cancellation keeps no process alive, and no output is lost."""
    found = subprocess.run(
        [sys.executable, "-c", CODE],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert (found.returncode, found.stdout.splitlines()[-1]) == (0, "stopped")
