"""Virtual environments that hold only what a test installs."""

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
    """Returns the environment without variables that lead Python to other installed packages.

    pip compiles nothing, because most of the installed code is never imported.
    """
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PYTEST"))}
    return kept | {"PIP_NO_COMPILE": "1"}


class Environment:
    """A new virtual environment in a folder."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder, with_pip=True)
        self.python = folder / "bin" / "python"

    def run(self, *args: str | Path, cwd: Path) -> str:
        """Runs a module that must succeed, and returns its output."""
        done = self.attempt(*args, cwd=cwd)
        assert done.returncode == 0, f"{args[0]} in {cwd}:\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def attempt(self, *args: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Runs a module."""
        return subprocess.run(
            [self.python, "-m", *map(str, args)],
            cwd=cwd,
            env=clean_variables(),
            capture_output=True,
            text=True,
            check=False,
        )


def fresh_environment(folder: Path) -> Environment:
    """Makes an environment that can build wheels.

    If nothing can be installed the test is skipped; in CI (the variable ``CI``) it fails.
    """
    made = Environment(folder)
    builder = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    done = made.attempt("pip", "install", "-q", *builder, cwd=folder)
    if done.returncode != 0 and not os.environ.get("CI"):
        pytest.skip(f"pip cannot install {builder[0]}: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    return made


def build_wheels(made: Environment, wheels: Path, *sources: Path) -> None:
    """Builds the wheels of projects into a folder."""
    build = ["pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", wheels, *sources]
    made.run(*build, cwd=wheels.parent)


def constraints(folder: Path) -> Path:
    """Writes a file that makes pip install the versions that the tests use."""
    files = ("requirements.txt", "requirements-dev.txt")
    lines = [line for file in files for line in (ROOT / file).read_text().splitlines()]
    path = folder / "constraints.txt"
    path.write_text("\n".join(line for line in lines if "==" in line))
    return path
