"""What ``gateway plugin new`` writes, used as its author and a user of it would."""

from __future__ import annotations

import asyncio
import os
import subprocess
import tomllib
import venv
from pathlib import Path

import aiohttp
import pytest

from gateway.scaffold import render, write
from gateway.testing import FakeVendor
from tests.process import GatewayProcess

ROOT = Path(__file__).parent.parent
PLUGINS = {"acme-in": "source", "acme-cut": "transform", "acme-out": "destination"}
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


class Environment:
    """A virtual environment with nothing in it but what a test installs."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder, with_pip=True)
        self.python = folder / "bin" / "python"

    def run(self, *args: str | Path, cwd: Path) -> str:
        """What a module printed; it must succeed."""
        done = self.attempt(*args, cwd=cwd)
        assert done.returncode == 0, f"{args[0]} in {cwd}:\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def attempt(self, *args: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Run a module."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PYTEST"))}
        command = [self.python, "-m", *map(str, args)]
        return subprocess.run(
            command, cwd=cwd, env=clean, capture_output=True, text=True, check=False
        )


def environment(folder: Path) -> Environment:
    """One that can build; the test is skipped where nothing can be installed, except in CI."""
    made = Environment(folder / "venv")
    builder = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    done = made.attempt("pip", "install", "-q", *builder, cwd=folder)
    if done.returncode != 0 and not os.environ.get("CI"):
        pytest.skip(f"pip cannot install {builder[0]}: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    return made


def install(made: Environment, folder: Path) -> None:
    """Write the packages, and install them from wheels beside the gateway's own."""
    wheels = folder / "wheels"
    for name, kind in PLUGINS.items():
        write(folder / name, render(name, kind))
    for source in (ROOT, *(folder / name for name in PLUGINS)):
        build = ["pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", wheels, source]
        made.run(*build, cwd=folder)
    pinned = folder / "constraints.txt"
    files = ("requirements.txt", "requirements-dev.txt")
    lines = [line for file in files for line in (ROOT / file).read_text().splitlines()]
    pinned.write_text("\n".join(line for line in lines if "==" in line))
    wanted = [f"headgate-{name}[test]" for name in PLUGINS]
    made.run("pip", "install", "-q", "--find-links", wheels, "-c", pinned, *wanted, cwd=folder)


async def deliver(made: Environment, folder: Path) -> list[object]:
    """What the vendor was sent of one event, posted to a gateway in the environment."""
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


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_what_is_written_works(tmp_path: Path) -> None:
    """A source, a transform and a destination as written pass their own tests, ruff and mypy from
    wheels in a fresh environment, and a gateway there takes an event in by the first, changes it by
    the second, and delivers it by the third."""
    made = await asyncio.to_thread(environment, tmp_path)
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
