"""Virtual environments with nothing in them but what a test installs."""

from __future__ import annotations

import os
import subprocess
import tomllib
import venv
from pathlib import Path

import pytest

__all__ = ["Environment", "build_wheels", "clean_variables", "constraints", "fresh_environment"]

ROOT = Path(__file__).parents[2]


def clean_variables() -> dict[str, str]:
    """The variables of this process without those that lead Python to what it has installed.

    pip compiles nothing: most of what it installs is never imported here.
    """
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PYTEST"))}
    return kept | {"PIP_NO_COMPILE": "1"}


class Environment:
    """A virtual environment; makes it."""

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
        return subprocess.run(
            [self.python, "-m", *map(str, args)],
            cwd=cwd,
            env=clean_variables(),
            capture_output=True,
            text=True,
            check=False,
        )


def fresh_environment(folder: Path) -> Environment:
    """One that can build wheels.

    The test is skipped where nothing can be installed; in CI (the variable ``CI``) it fails.
    """
    made = Environment(folder)
    builder = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    done = made.attempt("pip", "install", "-q", *builder, cwd=folder)
    if done.returncode != 0 and not os.environ.get("CI"):
        pytest.skip(f"pip cannot install {builder[0]}: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    return made


def build_wheels(made: Environment, wheels: Path, *sources: Path) -> None:
    """Build the wheels of projects into a folder."""
    build = ["pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", wheels, *sources]
    made.run(*build, cwd=wheels.parent)


def constraints(folder: Path) -> Path:
    """A file for pip that holds what is installed to the versions that we test with."""
    files = ("requirements.txt", "requirements-dev.txt")
    lines = [line for file in files for line in (ROOT / file).read_text().splitlines()]
    path = folder / "constraints.txt"
    path.write_text("\n".join(line for line in lines if "==" in line))
    return path
