"""Who imports whom: down only, nothing twice around, and nothing heavy before it is needed."""

from __future__ import annotations

import ast
import importlib
import re
import resource
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from gateway.components.hookspecs import HOOKS

ROOT = Path(__file__).parent.parent
MAP = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")

ROOMS = (
    "errors",
    "events",
    "components",
    "config",
    "",  # the package itself, which hands out the public names
    "http",
    "queue",
    "state",
    "identity",
    "rollouts",
    "intake",
    "delivery",
    "privacy",
    "builtin",
    "runtime",
    "server",
    "testing",
    "cluster",
    "cli",
    "__main__",
)
"""Rooms of the package, from the bottom up. A module imports from rooms below its own, and within
its own without going round. docs/architecture.md says what each is for."""

OPEN_TO_BUILTINS = {
    "", "builtin", "components", "config", "errors", "events", "http", "privacy", "queue",
}  # fmt: skip
"""What a built-in may use: the contract, and rooms that serve plugins."""


class Imports(NamedTuple):
    """What a module imports, each name in full."""

    at_once: frozenset[str]
    when_called: frozenset[str]
    for_types: frozenset[str]


@cache
def modules() -> dict[str, Path]:
    """All modules of the package by name."""
    found = {}
    for path in sorted((ROOT / "gateway").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts).removesuffix(".__init__")] = path
    return found


def module_of(module: str, name: str) -> str:
    """Where a name comes from that a module imports: a public name is lent by `gateway` only."""
    if f"{module}.{name}" in modules():
        return f"{module}.{name}"
    return public_names().get(name, module) if module == "gateway" else module


@cache
def public_names() -> dict[str, str]:
    """The public names, each with the module that it comes from."""
    (block,) = (
        node
        for node in ast.parse(modules()["gateway"].read_text(encoding="utf-8")).body
        if isinstance(node, ast.If)
    )
    return {
        alias.name: str(node.module)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


@cache
def imports_of(name: str) -> Imports:
    at_once: set[str] = set()
    when_called: set[str] = set()
    for_types: set[str] = set()

    def visit(node: ast.AST, into: set[str]) -> None:
        match node:
            case ast.Import():
                into.update(alias.name for alias in node.names)
            case ast.ImportFrom():
                assert node.level == 0, f"{name}: imports are absolute"
                for alias in node.names:
                    into.add(module_of(str(node.module), alias.name))
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                for child in node.body:
                    visit(child, for_types)
                for child in node.orelse:
                    visit(child, into)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                for child in ast.iter_child_nodes(node):
                    visit(child, when_called)
            case _:
                for child in ast.iter_child_nodes(node):
                    visit(child, into)

    visit(ast.parse(modules()[name].read_text(encoding="utf-8")), at_once)
    return Imports(frozenset(at_once), frozenset(when_called), frozenset(for_types))


def is_ours(name: str) -> bool:
    return name.partition(".")[0] == "gateway"


def room_of(name: str) -> str:
    """`queue` for ``gateway.queue.disk``."""
    return ".".join(name.split(".")[1:2])


def height_of(name: str) -> int:
    return ROOMS.index(room_of(name))


def edges() -> Iterator[tuple[str, str]]:
    """Who imports whom: at once, when called, or for types only."""
    for name in modules():
        if name == "gateway":
            continue  # it imports a public name when a plugin asks for it
        for imported in sorted(frozenset().union(*imports_of(name))):
            if is_ours(imported):
                yield name, imported


def test_the_table_lists_each_room_once() -> None:
    """A new package of gateway/ gets its place in the table before it is imported."""
    assert sorted(ROOMS) == sorted({room_of(name) for name in modules()})


def test_the_map_has_the_rooms_of_the_table() -> None:
    """docs/architecture.md has one sentence for each room, in the order of the table."""
    section = MAP.split("## Rooms")[1].split("\n## ")[0]
    shown = re.findall(r"(?m)^\| `(\w+)` \| (?:[^|.]|\.(?! ))+\. \|$", section)
    assert ["" if name == "gateway" else name for name in shown] == list(ROOMS)


def exists(dotted: str) -> bool:
    """Whether a dotted name is a module, or leads from a module to something in it."""
    parts = dotted.split(".")
    length = next(n for n in range(len(parts), 0, -1) if ".".join(parts[:n]) in modules())
    found: Any = importlib.import_module(".".join(parts[:length]))
    for part in parts[length:]:
        found = getattr(found, part, None)
    return found is not None


def test_each_name_of_the_map_exists() -> None:
    """docs/architecture.md names only modules, functions and paths that exist."""
    names = re.findall(r"`(gateway(?:\.\w+)+)`", MAP)
    paths = re.findall(r"`((?:gateway|tests|plugins|bench)(?:/[\w.-]+)+)`", MAP)
    assert len(names) > 40
    assert len(paths) > 10
    assert [name for name in names if not exists(name)] == []
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_the_map_has_each_hook() -> None:
    """docs/architecture.md has one row for each hook, with the spec that it registers."""
    shown = re.findall(r"(?m)^\| `(register_\w+)` \| `gateway\.components\.\w+\.(\w+)` \|", MAP)
    assert shown == [(hook, spec.__name__) for hook, (_, spec) in HOOKS.items()]


@pytest.mark.parametrize("name", ["gateway.cli.nothing", "gateway.queue.disk.DiskStore.nothing"])
def test_a_name_that_is_gone_is_found(name: str) -> None:
    """A function that was renamed or removed does not stay in the map."""
    assert not exists(name)


def test_imports_go_down() -> None:
    """No module imports from a room above its own, not even for types."""
    wrong = [
        f"{name} imports {imported}"
        for name, imported in edges()
        if height_of(imported) > height_of(name)
    ]
    assert wrong == []


def test_no_imports_go_round() -> None:
    """Following imports, those for types too, never leads back to the module they started from."""
    graph: dict[str, set[str]] = {}
    for name, imported in edges():
        graph.setdefault(name, set()).add(imported)
    TopologicalSorter(graph).prepare()


def test_only_two_files_lie_flat() -> None:
    """Every other module of gateway/ is in a room."""
    flat = {path.name for path in (ROOT / "gateway").iterdir() if path.is_file()}
    assert flat == {"__init__.py", "__main__.py", "errors.py", "py.typed"}


def test_builtins_use_what_plugins_may_use() -> None:
    """A built-in knows nothing of the pipeline around it that an installed plugin could not."""
    used = {room_of(imported) for name, imported in edges() if room_of(name) == "builtin"}
    assert used - OPEN_TO_BUILTINS == set()


def test_nobody_imports_a_builtin() -> None:
    """Built-ins are reached through the registry only, as all plugins are."""
    users = {name for name, imported in edges() if room_of(imported) == "builtin"}
    assert {room_of(name) for name in users} <= {"builtin"}


def test_who_imports_pluggy() -> None:
    """One module discovers plugins, one has the marks of hooks; nobody else knows of pluggy."""
    users = {
        name
        for name in modules()
        if any(
            imported.partition(".")[0] == "pluggy" for kind in imports_of(name) for imported in kind
        )
    }
    assert users == {"gateway.runtime.plugins", "gateway.components.hookmarkers"}


def loaded_by(module: str) -> set[str]:
    """Names of all modules that importing one brings in, in a fresh process."""
    code = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


@pytest.mark.parametrize("module", ["gateway", "gateway.cli"])
def test_the_version_waits_for_nothing_of_ours(module: str) -> None:
    """The public names, and all that they stand on, are imported by who asks for them."""
    loaded = loaded_by(module)
    assert {name for name in loaded if is_ours(name)} <= {"gateway", "gateway.cli"}
    assert {"msgspec", "pluggy", "dataclasses", "asyncio"} & loaded == set()


@pytest.mark.parametrize("module", ["gateway", "gateway.cli", "gateway.testing.pytest_plugin"])
def test_starting_imports_nothing_heavy(module: str) -> None:
    """A command that needs no server, no console and no metrics does not wait for them."""
    heavy = {"aiohttp", "rich", "prometheus_client", "sqlite3", "zstandard", "uvloop"}
    assert heavy & loaded_by(module) == set()


def test_finding_commands_of_packages_imports_nothing_heavy() -> None:
    """All installed packages are imported to find a command, but not what they build with."""
    heavy = {"aiohttp", "asyncpg", "duckdb", "jinja2", "rich", "structlog", "vl_convert"}
    find = "gateway.cli.package_commands; gateway.cli.package_commands.helps()"
    assert heavy & loaded_by(find) == set()


def test_a_gateway_imports_only_what_its_config_names(tmp_path: Path) -> None:
    """What installed packages build with is imported if config.toml has something of theirs."""
    heavy = {"asyncpg", "crawlerdetect", "duckdb", "jinja2", "maxminddb", "ua_parser", "vl_convert"}
    file = tmp_path / "config.toml"
    file.write_text('[sources.web]\ntype = "segment"\nwrite_key = "k"\n')
    check = (
        "gateway.config.load, gateway.runtime.gateway, gateway.runtime.plugins, pathlib; "
        f"config = gateway.config.load.load(pathlib.Path({str(file)!r})); "
        "gateway.runtime.gateway.Gateway(config, gateway.runtime.plugins.discover())"
    )
    assert heavy & loaded_by(check) == set()


def processor_seconds_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_the_version_is_there_at_once() -> None:
    """`gateway --version` takes 0.6 s of a processor, most of them for the interpreter's start."""
    seconds = []
    for _ in range(3):
        before = processor_seconds_of_children()
        done = subprocess.run(
            [sys.executable, "-m", "gateway", "--version"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        seconds.append(processor_seconds_of_children() - before)
        assert done.stdout.startswith("headgate, version ")
    assert min(seconds) < 0.6
