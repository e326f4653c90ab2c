"""Plugins and their documentation import from `gateway` and `gateway.testing` alone."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PUBLIC = {"gateway", "gateway.testing"}

_BLOCK = re.compile(r"^( *)```(?:python|py)\n(.*?)^\1```", re.DOTALL | re.MULTILINE)
_PLACEHOLDER = re.compile(r"{{(\w+)}}")


def modules_of_plugins() -> list[Path]:
    """Returns the code and the tests of every package in plugins/."""
    return sorted((ROOT / "plugins").glob("*/**/*.py"))


def templates() -> list[Path]:
    """Returns the Python files that `gateway plugin new` fills in."""
    return sorted((ROOT / "gateway").rglob("templates/**/*.py.tmpl"))


def pages() -> list[Path]:
    """Returns the README, docs/, and the READMEs of packages and templates."""
    found = [
        ROOT / "README.md",
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "plugins").glob("*/*.md"),
        *(ROOT / "gateway").rglob("templates/**/*.md.tmpl"),
    ]
    return sorted(found)


def code_of(path: Path) -> list[str]:
    """Returns the Python in a file: all of it, or the blocks of a page."""
    text = _PLACEHOLDER.sub(r"\1_", path.read_text(encoding="utf-8"))
    if path.name.endswith((".md", ".md.tmpl")):
        return [textwrap.dedent(block) for _, block in _BLOCK.findall(text)]
    return [text]


def private_imports(code: str) -> Iterator[str]:
    """Yields imports of modules inside gateway that are not public, wherever they stand."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            imported = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            module = str(node.module)
            # `from gateway import queue` is a module too, and no public name.
            inner = {f"{module}.{alias.name}" for alias in node.names} & modules_of_gateway()
            imported = [module, *(inner - PUBLIC)]
        else:
            continue
        for name in imported:
            if name.partition(".")[0] == "gateway" and name not in PUBLIC:
                yield f"line {node.lineno}: {name}"


def modules_of_gateway() -> set[str]:
    """Returns all modules right below gateway."""
    inside = (ROOT / "gateway").iterdir()
    return {f"gateway.{path.stem}" for path in inside if path.suffix == ".py" or path.is_dir()}


@pytest.mark.parametrize("code", ["import gateway.queue", "from gateway import queue"])
def test_an_import_from_inside_is_found(code: str) -> None:
    """An import inside a function is found too."""
    assert list(private_imports(f"def late():\n    {code}")) == ["line 2: gateway.queue"]


@pytest.mark.parametrize(
    "code",
    ["from gateway import Batch, hookimpl", "from gateway.testing import Vendor", "import gateway"],
)
def test_public_names_are_free_to_use(code: str) -> None:
    """The public names may be imported by any plugin."""
    assert list(private_imports(code)) == []


@pytest.mark.parametrize("kind", [modules_of_plugins, templates, pages], ids=lambda k: k.__name__)
def test_plugins_import_public_names_alone(kind: Callable[[], list[Path]]) -> None:
    """Plugins and pages import public names only, so that modules can move."""
    wrong: dict[str, list[str]] = {}
    blocks = 0
    for path in kind():
        for code in code_of(path):
            blocks += 1
            if found := list(private_imports(code)):
                wrong.setdefault(str(path.relative_to(ROOT)), []).extend(found)
    assert blocks > 0
    assert wrong == {}
