"""Writes the package that a plugin begins as: ``gateway plugin new``.

The files are templates in the folder `templates`, those of every kind under ``common`` and the
others under the kind's name. A template is the file as it will be, with ``.tmpl`` at the end of its
name so that no tool takes it for the real one, and with ``{{word}}`` where the plugin's own words
go, in its text and in its path. What is written passes its own tests, ruff and mypy at once; the
gateway's tests see to that for the shortest name and for the longest.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath

from gateway import __version__

__all__ = ["KINDS", "MAX_NAME", "check_name", "render", "write"]

KINDS = ("destination", "transform", "source")

MAX_NAME = 24
"""Characters of a name: longer ones would break the lines of what is written."""

_SUFFIX = ".tmpl"
_WORD = re.compile(r"\{\{(\w+)\}\}")
_PART = re.compile(r"[a-z0-9]+")


def check_name(name: str) -> None:
    """Return for a name that a plugin may have: small letters and digits, in parts joined by ``-``.

    Raises:
        ValueError: says what is wrong, and where there is one, a name that would do.
    """
    if name.startswith(("headgate-", "headgate_")):
        raise ValueError(f"leave out the prefix, which is added: {name[9:] or 'a name'}")
    foreign = sorted({c for c in name if not (c.isascii() and (c.isalnum() or c == "-"))})
    if foreign and set(foreign) <= {"_", " ", "."}:
        problem = f"has {_shown(foreign)}; join parts with a hyphen"
    elif foreign:
        problem = f"has {_shown(foreign)}; it takes small letters, digits and hyphens"
    elif name != name.lower():
        problem = "has capital letters"
    elif not name[:1].isalpha():
        problem = "must begin with a letter" if name else "is empty"
    elif not all(name.split("-")):
        problem = "has a hyphen at its end" if name.endswith("-") else "has two hyphens in a row"
    elif len(name) > MAX_NAME:
        raise ValueError(f"has {len(name)} characters, and {MAX_NAME} is the most")
    else:
        return
    better = "-".join(_PART.findall(name.lower())).lstrip("-0123456789").removeprefix("headgate-")
    suggests = better != name and 0 < len(better) <= MAX_NAME
    raise ValueError(problem + (f": try {better}" if suggests else ""))


def _shown(characters: list[str]) -> str:
    return ", ".join("a space" if c == " " else ascii(c) for c in characters)


def render(name: str, kind: str) -> dict[PurePosixPath, str]:
    """The files of a new plugin, by their path in its folder, in the order of the paths.

    Raises:
        ValueError: the name cannot be one, or there is no such kind.
    """
    check_name(name)
    if kind not in KINDS:
        raise ValueError(f"there is no kind {kind!r}; there are: {', '.join(KINDS)}")
    words = _words(name, kind)
    templates = files("gateway.cli.scaffold") / "templates"
    found = {
        PurePosixPath(_filled(path.removesuffix(_SUFFIX), words)): _filled(text, words)
        for folder in ("common", kind)
        for path, text in _templates(templates / folder)
    }
    return dict(sorted(found.items()))


def write(folder: Path, rendered: Mapping[PurePosixPath, str]) -> None:
    """Write the files below a folder, which is made if it is not there.

    Raises:
        FileExistsError: one of them is there already; nothing has been written.
        OSError: the disk's own, in the middle of it.
    """
    there = [str(path) for path in rendered if (folder / path).exists()]
    if there:
        raise FileExistsError(f"{folder} has {', '.join(there)} already; nothing was written")
    for path, text in rendered.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)


def _words(name: str, kind: str) -> dict[str, str]:
    """What stands for the plugin in a template."""
    parts = name.split("-")
    major, minor = __version__.split(".")[:2]
    return {
        "name": name,
        "title": " ".join(part.capitalize() for part in parts),
        "class": "".join(part.capitalize() for part in parts),
        "constant": "_".join(part.upper() for part in parts),
        "distribution": f"headgate-{name}",
        "module": "headgate_" + "_".join(parts),
        "kind": kind,
        "gateway_versions": f">={major}.{minor},<{major}.{int(minor) + 1}",
    }


def _templates(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Path below the folder, and text, of every template there."""
    for entry in folder.iterdir():
        path = f"{prefix}{entry.name}"
        if entry.is_dir():
            yield from _templates(entry, f"{path}/")
        elif path.endswith(_SUFFIX):
            yield path, entry.read_text(encoding="utf-8")


def _filled(text: str, words: Mapping[str, str]) -> str:
    return _WORD.sub(lambda match: words[match[1]], text)
