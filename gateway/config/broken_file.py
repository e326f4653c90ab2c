"""Reads from a config file that cannot be used where its gateway keeps its data."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path

from gateway.config.load import DEFAULT_DATA_DIR, expanded_text

__all__ = ["data_dir_of"]


def data_dir_of(file: Path, environ: Mapping[str, str] | None = None) -> Path:
    """Returns the data directory that a file names, or else the usual one beside it.

    Only lines before the first table are read, each for itself, so that a mistake elsewhere does
    not matter. The file need not exist.

    Raises:
        ConfigError: the directory is named by an environment variable that is not set.
    """
    path = file.absolute().resolve()
    named = DEFAULT_DATA_DIR
    for line in _lines(path):
        if line.lstrip().startswith("["):
            break
        try:
            value = tomllib.loads(line).get("data_dir")
        except tomllib.TOMLDecodeError:
            continue
        if isinstance(value, str):
            named = expanded_text(value, "data_dir", os.environ if environ is None else environ)
    return (path.parent / Path(named).expanduser()).resolve()


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    except OSError:
        return []
