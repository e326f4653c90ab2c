"""The layout of the tests: folders are rooms, test files stand alone, and each test has a rule."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OTHER_FOLDERS = {"bench", "data", "support", "system"}
"""Folders of tests/ that are no rooms of the package."""

MAX_LINES = 400
MAX_RULE_CHARACTERS = 110


@cache
def modules() -> dict[str, ast.Module]:
    """Parses all Python files of tests/ and of the tests of packages, by path."""
    paths = [*(ROOT / "tests").rglob("*.py"), *(ROOT / "plugins").glob("*/tests/**/*.py")]
    return {
        str(path.relative_to(ROOT)): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted(paths)
    }


def imported_names(module: ast.Module) -> Iterator[str]:
    """Yields the full name of everything that a module imports, also inside functions."""
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def files_of_tests() -> frozenset[str]:
    """Returns the names of all test files, and conftest."""
    stems = {Path(path).stem for path in modules()}
    return frozenset(stem for stem in stems if stem.startswith("test_") or stem == "conftest")


def is_test_module(name: str) -> bool:
    """Tells whether a name is a test file or conftest, or something in one."""
    return not files_of_tests().isdisjoint(name.split("."))


def rules() -> Iterator[tuple[str, str]]:
    """Yields each test function, as path and name, with its docstring."""
    for path, module in modules().items():
        if not Path(path).name.startswith("test_"):
            continue
        for node in ast.walk(module):
            is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            if is_function and node.name.startswith("test_"):
                yield f"{path}::{node.name}", ast.get_docstring(node) or ""


def test_no_test_imports_from_another_test_file() -> None:
    """Test files share code through tests/support, fixtures or `gateway.testing` only."""
    found = {
        path: names
        for path, module in modules().items()
        if (names := [name for name in imported_names(module) if is_test_module(name)])
    }
    assert found == {}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("tests.state.test_trace.TOKEN", True),
        ("tests.state.test_trace", True),
        ("conftest.make", True),
        ("tests.support.waiting.wait_until", False),
        ("gateway.testing.make_event", False),
        ("aiohttp.test_utils.make_mocked_request", False),
    ],
)
def test_names_in_test_files_are_recognised(name: str, expected: bool) -> None:
    """A name belongs to a test file if one of its parts is the name of a test file."""
    assert is_test_module(name) == expected


def test_folders_are_rooms() -> None:
    """Every folder of tests/ is named after a room of the package, or holds other tests."""
    folders = {path.name for path in (ROOT / "tests").iterdir() if any(path.glob("*.py"))}
    rooms = {path.name for path in (ROOT / "gateway").iterdir() if any(path.glob("*.py"))}
    assert folders <= rooms | OTHER_FOLDERS
    assert len(folders & rooms) > 10


def test_every_test_states_its_rule() -> None:
    """Every test has a docstring whose first line is a short sentence."""
    found = dict(rules())
    assert len(found) > 1500
    assert [name for name, rule in found.items() if not rule.partition("\n")[0].endswith(".")] == []
    too_long = MAX_RULE_CHARACTERS + 1
    assert [name for name, rule in found.items() if len(rule.partition("\n")[0]) >= too_long] == []


def test_files_are_short() -> None:
    """No file of tests is longer than 400 lines."""
    long = {
        path: number
        for path in modules()
        if (number := len((ROOT / path).read_text(encoding="utf-8").splitlines())) > MAX_LINES
    }
    assert long == {}
