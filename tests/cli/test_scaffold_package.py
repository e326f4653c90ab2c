"""Packages of ``gateway plugin new``, used as by their author and a user."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import aiohttp
import pytest

from gateway.cli.scaffold import render, write
from gateway.testing import FakeVendor
from tests.support.fresh_install import (
    Environment,
    build_wheels,
    constraints,
    fresh_environment,
)
from tests.support.gateway_process import GatewayProcess

ROOT = Path(__file__).parents[2]
PLUGINS = {
    "acme-in": "source",
    "acme-cut": "transform",
    "acme-out": "destination",
    "acme-often": "figure",
}
CONFIG = """
[server]
port = 0
[sources.shop]
type = "acme-in"
write_key = "shop-key"
[transforms.coupons]
type = "acme-cut"
remove = ["coupon"]
[destinations.crm]
type = "acme-out"
url = "{url}"
token = "t0ken"
batch = {{ max_age_seconds = 0 }}
"""
EVENT = (
    b'[{"id":"r-1","name":"Order Completed","user":"ada","at":"2026-11-23T14:00:00Z",'
    b'"data":{"revenue":25,"coupon":"SPRING"}}]'
)


def install(made: Environment, folder: Path) -> None:
    """Writes the packages, and installs wheels of them beside the gateway's own."""
    wheels = folder / "wheels"
    for name, kind in PLUGINS.items():
        write(folder / name, render(name, kind))
    ours = [ROOT, ROOT / "plugins/headgate-lake", ROOT / "plugins/headgate-insights"]
    build_wheels(made, wheels, *ours, *(folder / name for name in PLUGINS))
    wanted = [f"headgate-{name}[test]" for name in PLUGINS]
    options = ["-q", "--find-links", wheels, "-c", constraints(folder)]
    made.run("pip", "install", *options, *wanted, cwd=folder)


async def deliver(made: Environment, folder: Path) -> list[object]:
    """Posts an event to a gateway in the environment, and returns what the vendor got."""
    async with FakeVendor() as vendor:
        process = GatewayProcess(folder / "run", CONFIG.format(url=vendor.url), made.python)
        checked = await asyncio.to_thread(made.run, "gateway", "check", cwd=folder / "run")
        assert "acme-out answers" in checked
        await asyncio.to_thread(process.start)
        try:
            headers = {"Authorization": "Bearer shop-key"}
            async with (
                aiohttp.ClientSession(headers=headers) as session,
                session.post(f"{process.url}/acme-in", data=EVENT) as response,
            ):
                answer = await response.json()
            assert answer == {"accepted": 1, "duplicate": 0, "discarded": {}}
            await asyncio.wait_for(vendor.wait_for_requests(1), 20)
            assert await asyncio.to_thread(process.stop) == 0
        finally:
            process.__exit__()
        (request,) = vendor.requests
        assert request.headers["Authorization"] == "Bearer t0ken"
        return list(request.json()["events"])


def test_what_is_written_passes_its_own_tests(tmp_path: Path) -> None:
    """New packages of all kinds pass their tests beside the gateway of this checkout."""
    paths = [ROOT]
    for name, kind in PLUGINS.items():
        write(tmp_path / name, render(name, kind))
        project = tomllib.loads((tmp_path / name / "pyproject.toml").read_text())["project"]
        ((point, module),) = project["entry-points"]["gateway"].items()
        paths.append(tmp_path / name / "src")
        installed = paths[-1] / f"{module}-0.1.0.dist-info"
        installed.mkdir()
        (installed / "METADATA").write_text(f"Name: {project['name']}\nVersion: 0.1.0\n")
        (installed / "entry_points.txt").write_text(f"[gateway]\n{point} = {module}\n")
    # In one process, as most of the time is its start; their settings are the same.
    settings = ["-c", f"{name}/pyproject.toml", "--rootdir", ".", "--import-mode", "importlib"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *settings, *(f"{name}/tests" for name in PLUGINS)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(900)
async def test_what_is_written_works(tmp_path: Path) -> None:
    """A scaffolded package passes its tests, ruff and mypy from wheels, and its parts work.

    A gateway in a fresh environment receives an event by its source, changes it by its transform
    and delivers it by its destination.
    """
    made = await asyncio.to_thread(fresh_environment, tmp_path / "venv")
    await asyncio.to_thread(install, made, tmp_path)
    for name in PLUGINS:
        for command in (
            ["ruff", "check", "."],
            ["ruff", "format", "--check", "."],
            ["mypy", "--cache-dir", str(tmp_path / "mypy")],
            ["pytest", "-q"],
        ):
            await asyncio.to_thread(made.run, *command, cwd=tmp_path / name)
    assert await deliver(made, tmp_path) == [
        {
            "id": "r-1",
            "name": "Order Completed",
            "user": "ada",
            "time": "2026-11-23T14:00:00.000Z",
            "properties": {"revenue": 25},
        }
    ]
