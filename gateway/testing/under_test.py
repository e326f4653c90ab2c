"""The destination under test, built from a user's config as the gateway does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias, cast

from gateway.components.context import Context
from gateway.components.destination import Destination, DestinationSpec
from gateway.components.settings import secrets_in
from gateway.config.decode import decode_table
from gateway.runtime.plugins import discover

__all__ = ["LEAST_SECRET", "Plugin", "Subject", "subject_of"]

Plugin: TypeAlias = ModuleType | DestinationSpec[Any]
"""A plugin's module, which registers a destination; or the spec that it registers."""

LEAST_SECRET = 8
"""Fewest characters of a secret; a shorter one could be found by chance."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A type of destination with its config.

    Attributes:
        options: the user's keys below ``[destinations.ID]``, without the gateway's own keys.
    """

    spec: DestinationSpec[Any]
    options: Mapping[str, Any]

    def build(
        self, context: Context, url: str, folder: Path
    ) -> tuple[Destination, tuple[str, ...]]:
        """Returns a new instance, and the secrets of its config.

        Raises:
            ConfigError: the plugin does not accept the options.
        """
        options = _filled(self.options, {"{url}": url, "{folder}": str(folder)})
        config = decode_table(options, self.spec.config, f"destinations.{context.id}")
        return self.spec.build(config, context), tuple(secrets_in(config))


def subject_of(plugin: Plugin, config: Mapping[str, Any]) -> Subject:
    """Returns the subject of a test.

    Raises:
        PluginError: the module does not register correctly.
        ValueError: it registers no destination, or several and `config` has no ``type``.
    """
    options = dict(config)
    type_ = options.pop("type", None)
    if isinstance(plugin, DestinationSpec):
        return Subject(plugin, options)
    found = {
        name: cast("DestinationSpec[Any]", registered.spec)
        for (kind, name), registered in discover([plugin.__name__], ()).types.items()
        if kind == "destination"
    }
    if type_ is None and len(found) == 1:
        (type_,) = found
    if type_ not in found:
        there = ", ".join(sorted(found)) or "none"
        raise ValueError(
            f"{plugin.__name__} registers these destinations: {there}; name one of them as "
            '"type" in the config'
        )
    return Subject(found[type_], options)


def _filled(value: Any, texts: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        for name, text in texts.items():
            value = value.replace(name, text)
        return value
    if isinstance(value, Mapping):
        return {key: _filled(inner, texts) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_filled(inner, texts) for inner in value]
    return value
