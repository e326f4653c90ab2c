"""The public API: names, hooks, keys of config.toml, and the admin paths."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import msgspec
import pytest
from msgspec import Struct

import gateway
import gateway.testing
from gateway.components.destination import BatchPolicy
from gateway.components.hookspecs import HOOKS, HookSpecs
from gateway.components.project import ProjectConfig
from gateway.config.admin import AdminConfig
from gateway.config.settings import (
    DedupConfig,
    DestinationSettings,
    LogConfig,
    QueueSettings,
    ReloadConfig,
    RetryPolicy,
    ServerConfig,
    SourceSettings,
    TraceConfig,
    TransformSettings,
)
from gateway.runtime.plugins import discover
from gateway.server.app import make_app
from tests.support.in_process import make_gateway

ROOT = Path(__file__).parent.parent
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in (ROOT / "gateway").rglob("*.py")
    if path.name != "__main__.py"
)
TABLES: dict[str, type[Struct]] = {
    "server": ServerConfig,
    "queue": QueueSettings,
    "dedup": DedupConfig,
    "log": LogConfig,
    "trace": TraceConfig,
    "reload": ReloadConfig,
    "admin": AdminConfig,
    "project": ProjectConfig,
    "sources.ID": SourceSettings,
    "transforms.ID": TransformSettings,
    "destinations.ID": DestinationSettings,
    "destinations.ID.batch": BatchPolicy,
    "destinations.ID.retry": RetryPolicy,
}


def text_of(name: str) -> str:
    """Returns the text of a file of the project."""
    return (ROOT / name).read_text(encoding="utf-8")


# -- names -----------------------------------------------------------------------------------------


PUBLIC = pytest.mark.parametrize("module", [gateway, gateway.testing], ids=lambda m: m.__name__)


@PUBLIC
def test_the_public_names_are_those_that_can_be_imported(module: ModuleType) -> None:
    """Each public name is listed, sorted, and nothing is left over."""
    importable = {name: getattr(module, name) for name in module.__all__}
    beside = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    } - {"annotations", "import_module", "TYPE_CHECKING", "Any", "Callable", "Mapping"}
    assert beside - set(importable) == set()
    assert module.__all__ == sorted(module.__all__)
    assert set(dir(module)) >= set(importable)
    with pytest.raises(AttributeError, match="no attribute 'Baatch'"):
        module.Baatch  # noqa: B018


@PUBLIC
def test_the_public_names_are_those_that_type_checkers_see(module: ModuleType) -> None:
    """Type checkers see the names that exist at run time, from the same modules."""
    tree = ast.parse(inspect.getsource(module))
    seen = [
        (alias.name, alias.asname, node.module or "")
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]
    assert sorted(name for name, _, _ in seen) == [n for n in module.__all__ if n != "__version__"]
    for name, shown, home in seen:
        assert shown == name  # ``X as X``, or type checkers take it for private
        assert getattr(module, name) is getattr(importlib.import_module(home), name)


def test_a_public_name_imports_its_module_alone() -> None:
    """Importing one name does not load the modules of the others."""
    code = "import sys; from gateway import as_text; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    ours = {name for name in done.stdout.split() if name.partition(".")[0] == "gateway"}
    home = gateway.as_text.__module__.split(".")
    assert ours == {".".join(home[:depth]) for depth in range(1, len(home) + 1)}


def documented_names(module: str) -> list[str]:
    """Returns the names that docs/guide/plugins.md lists in the table of a module."""
    page = text_of("docs/guide/plugins.md")
    (table,) = re.findall(rf"(?m)^\| `{re.escape(module)}` \|.*\n((?:\|.*\n)+)", page)
    return re.findall(r"`(\w+)`", "".join(row.split("|")[1] for row in table.splitlines()))


@PUBLIC
def test_each_public_name_is_listed_by_purpose(module: ModuleType) -> None:
    """docs/guide/plugins.md lists each public name once, and no other."""
    assert sorted(documented_names(module.__name__)) == sorted(module.__all__)


def test_the_version_is_a_version() -> None:
    """The version has the form that the build reads."""
    assert re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc|\.dev)\d+)?", gateway.__version__)


@pytest.mark.parametrize("name", MODULES)
def test_each_module_lists_its_names(name: str) -> None:
    """Each module's `__all__` lists names that it has, each once."""
    module = importlib.import_module(name)
    listed = getattr(module, "__all__", [])
    assert [each for each in listed if not hasattr(module, each)] == []
    assert len(listed) == len(set(listed))


# -- hooks -----------------------------------------------------------------------------------------


def hook_signatures() -> list[str]:
    """Returns each hook as an author writes it, without `self`."""
    (tree,) = ast.parse(inspect.getsource(HookSpecs)).body
    assert isinstance(tree, ast.ClassDef)
    signatures = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            node.args.args = [each for each in node.args.args if each.arg != "self"]
            signatures.append(f"{node.name}({ast.unparse(node.args)})")
    return signatures


def test_each_hook_is_documented() -> None:
    """docs/guide/plugins.md shows every hook with its exact signature."""
    assert len(hook_signatures()) == len(HOOKS)
    # Line breaks within a signature do not count.
    documented = re.sub(r"\s+|,(?=\s*\))", "", text_of("docs/guide/plugins.md"))
    missing = [
        signature
        for signature in hook_signatures()
        if re.sub(r"\s+", "", signature) not in documented
    ]
    assert missing == []


# -- keys of config.toml ---------------------------------------------------------------------------


def is_documented(key: str, config: str, docs: str = "") -> bool:
    """Tells whether config.toml sets or shows the key, or the docs name it as code."""
    return bool(re.search(rf"(?m)(^|[{{,#])\s*{re.escape(key)}\s*=", config) or f"`{key}`" in docs)


def test_each_key_of_the_gateway_is_documented() -> None:
    """config.toml names all keys that the gateway itself decodes."""
    config = text_of("config.toml")
    keys = [
        (table, key) for table, struct in TABLES.items() for key in struct.__struct_encode_fields__
    ]
    missing = [
        f"{table}.{key}"
        for table, key in [*keys, ("", "data_dir")]
        if not is_documented(key, config)
    ]
    assert missing == []


def test_each_key_of_a_builtin_is_documented() -> None:
    """Each key of a built-in type is documented there, or in the docs of its kind."""
    config = text_of("config.toml")
    docs = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs").rglob("*.md"))
    missing = [
        f"{kind} {type_}: {key}"
        for (kind, type_), found in discover(installed=()).types.items()
        for key in found.spec.config.__struct_encode_fields__
        if not is_documented(key, config, docs)
    ]
    assert missing == []


def section_of(config: str, name: str) -> str:
    """Returns a table of config.toml, with the keys that are commented out put in."""
    match = re.search(rf"(?ms)^\[{name}\]$(.*?)(?=^\[|^# -|\Z)", re.sub(r"\] +#.*", "]", config))
    assert match is not None, f"config.toml has no table [{name}]"
    return re.sub(r"(?m)^# (?=\w+ = )", "", match[1])


@pytest.mark.parametrize("name", ["server", "dedup", "log", "trace", "reload", "queue", "project"])
def test_the_values_shown_are_the_defaults(name: str) -> None:
    """Removing the # before a key changes nothing, since defaults are shown."""
    struct = TABLES[name]
    shown = tomllib.loads(section_of(text_of("config.toml"), name))
    own = {key: shown[key] for key in struct.__struct_encode_fields__ if key in shown}
    assert list(own) == list(struct.__struct_encode_fields__)
    assert msgspec.convert(own, struct) == struct()


# -- the admin API ---------------------------------------------------------------------------------


def test_each_path_of_the_admin_api_is_documented(tmp_path: Path) -> None:
    """docs/operate/operations.md has a row for each area, and READMEs have those of packages."""
    page = text_of("docs/operate/operations.md")
    page += "".join(readme.read_text("utf-8") for readme in (ROOT / "plugins").glob("*/README.md"))
    app = make_app(make_gateway(tmp_path, '[admin]\ntoken = "0123456789abcdef"\n'))
    paths = {
        (route.method, str(route.resource.canonical))
        for route in app.router.routes()
        if route.resource is not None and "/admin" in route.resource.canonical
    }
    missing = [
        (method, path)
        for method, path in sorted(paths)
        if method != "HEAD"
        and f"`{method} {path}" not in page
        and not (path.startswith("/admin/dead/") and f"`{path.rpartition('/')[2]}`" in page)
    ]
    assert missing == []


# -- types -----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_types_of_what_authors_write() -> None:
    """mypy accepts the plugins of tests/support/typing/api.py and refuses what is wrong there."""
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--no-error-summary", "tests/support/typing/api.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("", 0)
