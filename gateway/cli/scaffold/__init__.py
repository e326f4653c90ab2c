"""Writes the package of a new plugin: ``gateway plugin new``.

The folder `templates` has the files: those of all kinds under ``common``, and others under the name
of the kind. A template is the future file, with ``.tmpl`` after its name so that no tool takes it
for the real one. In its text and its path, ``{{word}}`` stands for the plugin's own words. A new
package passes its own tests, ruff and mypy; the gateway's tests check that for the shortest and the
longest name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath

from gateway import __version__

__all__ = ["KINDS", "MAX_NAME", "check_name", "render", "write"]

KINDS = ("destination", "transform", "source", "figure")

MAX_NAME = 24
"""Most characters of a name; longer ones would make lines too long."""

_SUFFIX = ".tmpl"
_WORD = re.compile(r"\{\{(\w+)\}\}")
_REQUIRES = {
    **dict.fromkeys(("destination", "transform", "source"), '"aiohttp", "headgate{0}", "msgspec"'),
    "figure": '"headgate{0}", "headgate-insights{0}", "headgate-lake{0}", "msgspec"',
}
"""What the package of a kind depends on."""

_PART = re.compile(r"[a-z0-9]+")


def check_name(name: str) -> None:
    """Checks the name of a plugin: small letters and digits, in parts joined by ``-``.

    Raises:
        ValueError: the name is wrong; the text says why, and suggests a valid one if it can.
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
    """Returns the files of a new plugin by their path in its folder, ordered by path.

    Raises:
        ValueError: the name is wrong, or there is no such kind.
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
    """Writes the files below a folder, and creates the folder if needed.

    Raises:
        FileExistsError: one of them exists already; nothing is written.
        OSError: writing failed; some files may be written.
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
    """Returns the words of a plugin for its templates."""
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
        # A figure makes SQL of texts that `headgate_insights.literal` has made safe.
        "ignored": '"D105", "D107"' + (', "S608"' if kind == "figure" else ""),
        "requires": _REQUIRES[kind].format(f">={major}.{minor},<{major}.{int(minor) + 1}"),
    }


def _templates(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yields path below the folder, and text, of every template."""
    for entry in folder.iterdir():
        path = f"{prefix}{entry.name}"
        if entry.is_dir():
            yield from _templates(entry, f"{path}/")
        elif path.endswith(_SUFFIX):
            yield path, entry.read_text(encoding="utf-8")


def _filled(text: str, words: Mapping[str, str]) -> str:
    return _WORD.sub(lambda match: words[match[1]], text)
