"""Finds salts that two independent choices of users share by mistake."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.config.model import Config

__all__ = ["same_salts"]


def same_salts(config: Config, samples: Mapping[str, str]) -> list[str]:
    """Returns a warning for each salt that a sample, a group or a layer shares with another kind.

    One of the two then decides the other: the control arm of a group has nobody, for instance, in a
    sample with the group's salt. Equal salts of one kind are a way to choose the same users twice.

    Args:
        samples: path of each sample's table to its salt.
    """
    found: dict[str, dict[str, list[str]]] = {}

    def note(salt: str, kind: str, path: str) -> None:
        found.setdefault(salt, {}).setdefault(kind, []).append(path)

    for path, salt in samples.items():
        note(salt, "sample", path)
    for id_, group in config.groups.items():
        note(id_ if group.salt is None else group.salt, "group", f"groups.{id_}")
    for id_, layer in config.layers.items():
        note(id_ if layer.salt is None else layer.salt, "layer", f"layers.{id_}")
    return [
        f"{' and '.join(path for paths in kinds.values() for path in paths)} have the salt "
        f"{salt!r}: one decides the other; set another `salt`"
        for salt, kinds in found.items()
        if len(kinds) > 1
    ]
