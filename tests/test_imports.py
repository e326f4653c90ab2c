"""Who imports whom: down only, nothing twice around, and nothing heavy before it is needed."""

from __future__ import annotations

import ast
import resource
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent

LAYERS = (
    ("errors", "event", "timestamps", "values", "assignment", "changes"),
    # What is known of events, and nothing else.
    ("dedup", "consent", "integrations"),
    ("envelope",),
    ("subjects",),
    ("path", "lexer", "predicates", "condition", "ndjson", "naming"),
    ("unit", "ramp"),
    ("groups",),
    ("personal",),
    # What a plugin sees.
    ("rehearsal", "batch", "trials"),
    ("component",),
    ("settings",),
    ("access",),
    ("alerts",),
    ("config", "mapping"),
    ("hookspecs", "shards"),
    ("",),  # the package itself, which hands out the public names
    ("plugins",),
    # The road of an event.
    ("queue",),
    ("ledger",),
    ("state", "suppression", "deadletters", "tokens", "keys"),
    ("audit", "links"),
    ("identity",),
    ("books", "arms", "memberships", "chain", "rates", "tap"),
    ("retry",),
    ("rollout",),
    ("intake",),
    ("walk",),
    ("delivery",),
    # What plugins may use on top of the contract.
    ("body", "clientip", "retry_after", "fakevendor", "excerpt", "packing", "ready"),
    ("outbound", "rehearsing"),
    ("testing",),
    ("pytest_plugin",),
    ("builtin",),
    # The whole.
    (
        "upkeep",
        "replay",
        "building",
        "erasure",
        "routing",
        "reload",
        "preload",
        "watch",
        "lifecycle",
    ),
    ("regulations", "deliveries", "shadow"),
    ("shading",),
    ("setup",),
    ("pipeline",),
    ("explaining",),
    ("conservation", "why", "status", "inventory"),
    ("logs", "health", "metrics", "offline"),
    ("question", "diffing"),
    ("admin",),
    ("server",),
    ("workers",),
    ("shop",),
    ("scaffold",),
    ("cli",),
    ("__main__",),
)
"""Rooms of the package, from the bottom up; a room is a module, or a folder with all in it.

A module imports from rooms below its own, and within its own without going round.
"""

OPEN_TO_BUILTINS = {
    "", "assignment", "body", "builtin", "clientip", "component", "condition", "config",
    "envelope", "errors", "event", "groups", "hookspecs", "intake", "keys", "ndjson",
    "path", "personal", "queue", "ready", "retry_after", "settings", "subjects",
    "timestamps", "unit",
}  # fmt: skip
"""What a built-in may use: the contract, and helpers that are there for plugins."""


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
                    inner = f"{node.module}.{alias.name}"
                    into.add(inner if inner in modules() else str(node.module))
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
    return next(height for height, rooms in enumerate(LAYERS) if room_of(name) in rooms)


def edges() -> Iterator[tuple[str, str]]:
    """Who imports whom at run time, at once or when called."""
    for name in modules():
        imports = imports_of(name)
        for imported in sorted(imports.at_once | imports.when_called):
            if is_ours(imported):
                yield name, imported


def test_every_module_has_a_room() -> None:
    """Whoever adds a module says in the table what it may use."""
    listed = [room for rooms in LAYERS for room in rooms]
    assert len(listed) == len(set(listed))
    rooms = {room_of(name) for name in modules()}
    assert rooms - set(listed) == set()
    assert set(listed) - rooms == set()


def test_imports_go_down() -> None:
    """No module uses one that stands above it, unless for types only."""
    wrong = [
        f"{name} imports {imported}"
        for name, imported in edges()
        if height_of(imported) > height_of(name)
    ]
    assert wrong == []


def test_rooms_beside_each_other_do_not_go_round() -> None:
    """Following imports at run time, one never comes back to where one was."""
    graph: dict[str, set[str]] = {}
    for name, imported in edges():
        graph.setdefault(name, set()).add(imported)
    TopologicalSorter(graph).prepare()


def test_imports_for_types_are_used_for_nothing_else() -> None:
    """What is imported for types may stand above; what stands below is simply imported."""
    up = {
        (name, imported)
        for name in modules()
        for imported in imports_of(name).for_types
        if is_ours(imported) and height_of(imported) > height_of(name)
    }
    assert up == {
        ("gateway.component", "gateway.settings"),
        ("gateway.component", "gateway.intake"),
        ("gateway.component", "gateway.queue"),
    }


def test_builtins_use_what_plugins_may_use() -> None:
    """A built-in knows nothing of the pipeline around it that an installed plugin could not."""
    used = {room_of(imported) for name, imported in edges() if room_of(name) == "builtin"}
    assert used - OPEN_TO_BUILTINS == set()


def test_nobody_imports_a_builtin() -> None:
    """Built-ins are reached through the registry only, as all plugins are."""
    users = {name for name, imported in edges() if room_of(imported) == "builtin"}
    assert {room_of(name) for name in users} <= {"builtin"}


def test_who_imports_pluggy() -> None:
    """One module discovers plugins and one defines the hooks; nobody else knows of pluggy."""
    users = {
        name
        for name in modules()
        if any(
            imported.partition(".")[0] == "pluggy" for kind in imports_of(name) for imported in kind
        )
    }
    assert users == {"gateway.plugins", "gateway.hookspecs"}


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


@pytest.mark.parametrize("module", ["gateway", "gateway.cli", "gateway.pytest_plugin"])
def test_starting_imports_nothing_heavy(module: str) -> None:
    """A command that needs no server, no console and no metrics does not wait for them."""
    heavy = {"aiohttp", "rich", "prometheus_client", "sqlite3", "zstandard", "uvloop"}
    assert heavy & loaded_by(module) == set()


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
