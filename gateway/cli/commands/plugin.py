"""``gateway plugin``: writes a new plugin; ``gateway plugins`` lists installed ones."""

from __future__ import annotations

import shlex
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import click

from gateway.cli.options import explained_errors
from gateway.cli.output import say
from gateway.cli.scaffold import KINDS, check_name, render, write

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.tree import Tree

__all__ = ["plugin"]


@click.group()
def plugin() -> None:
    """Write a plugin. `gateway plugins` lists those that are installed."""


def _checked(_: click.Context, __: click.Parameter, name: str) -> str:
    try:
        check_name(name)
    except ValueError as error:
        raise click.BadParameter(f"{name!r} {error}") from None
    return name


@plugin.command()
@click.argument("name", callback=_checked)
@click.option(
    "--kind",
    type=click.Choice(KINDS),
    default="destination",
    show_default=True,
    help="Its kind.",
)
@click.option(
    "--dir",
    "parent",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="Parent of the new folder.  [default: the working directory]",
)
def new(name: str, kind: str, parent: Path) -> None:
    """Write the package headgate-NAME, with a plugin that works.

    NAME is the `type` in config.toml: small letters, digits and hyphens. Existing files are never
    overwritten.
    """
    from gateway.runtime.plugins import discover

    with explained_errors():
        known = discover().types.get((kind, name))
    if known is not None:
        raise click.BadParameter(
            f"there is a {kind} type {name!r} already, of {known.plugin}", param_hint="'NAME'"
        )
    folder = parent / f"headgate-{name}"
    rendered = render(name, kind)
    try:
        write(folder, rendered)
    except OSError as error:
        text = str(error) if error.errno is None else f"{error.filename}: {error.strerror}"
        raise click.ClickException(text) from error
    _show(folder, rendered, kind)


def _show(folder: Path, rendered: Mapping[PurePosixPath, str], kind: str) -> None:
    from gateway.cli.console import Console

    console = Console(highlight=False)
    console.print(_tree(folder, rendered))
    console.print("\nIt works as it is. See that it does:\n", style="bold")
    say(f"    cd {shlex.quote(str(folder))}")
    say("    python3 -m venv .venv && .venv/bin/pip install -e '.[test]'")
    say("    .venv/bin/pytest && .venv/bin/ruff check . && .venv/bin/mypy")
    page = "tutorial-destination" if kind == "destination" else "plugins"
    console.print("\nThen make it yours, beginning with the tests.", style="bold")
    say(f"The gateway's docs/guide/{page}.md says how.")


def _tree(folder: Path, rendered: Mapping[PurePosixPath, str]) -> Tree:
    """Returns the files as a tree, each module with the first line of its docstring."""
    from rich.text import Text
    from rich.tree import Tree

    tree = Tree(Text(f"{folder}/", style="bold"))
    folders = {PurePosixPath(): tree}
    for path, text in rendered.items():
        for above in reversed(path.parents):
            if above not in folders:
                folders[above] = folders[above.parent].add(f"{above.name}/")
        about = text.partition("\n")[0].strip('"') if path.suffix == ".py" else ""
        line = Text(f"{path.name:<18}" if about else path.name, no_wrap=True, overflow="ellipsis")
        folders[path.parent].add(line.append(about, style="dim"))
    return tree
