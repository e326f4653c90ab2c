"""The contract of tables that packages add to config.toml."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic

from gateway.components.component import API_VERSION, C
from gateway.components.naming import check_name
from gateway.components.scope import Scope
from gateway.errors import PluginError

__all__ = ["FigureTable", "TableSpec"]


@dataclass(frozen=True, slots=True)
class FigureTable:
    """The value of a table that names a figure.

    Attributes:
        settings: the table's own keys.
        options: the keys of the figure that `settings.type` names.
    """

    settings: Any
    options: Any


@dataclass(frozen=True, slots=True)
class TableSpec(Generic[C]):
    """Registers a table of config.toml, such as ``[quality]`` or ``[boards.NAME]``.

    Attributes:
        name: of the table.
        config: its keys. A table that is left out has their defaults.
        per_id: there is one for each id, ``[name.ID]``, and the value is a dict by id.
        figure: each names a figure by its key ``type``, which `config` has. The keys that are not
            in `config` are the options of that figure, and the value is a `FigureTable`.
        check: refuses a combination with other tables; raises `ConfigError` with the key's path.
    """

    name: str
    config: builtins.type[C]
    per_id: bool = False
    figure: bool = False
    check: Callable[[Scope], None] | None = None
    api: int = API_VERSION

    def __post_init__(self) -> None:
        """Refuses a table that cannot be left out."""
        check_name("table", self.name)
        if self.figure and not (
            self.per_id and "type" in getattr(self.config, "__struct_encode_fields__", ())
        ):
            raise PluginError(
                f"table {self.name!r}: figure=True needs per_id=True and a key 'type'"
            )
        if not self.per_id:
            try:
                self.config()
            except TypeError as error:
                raise PluginError(f"table {self.name!r}: each key needs a default") from error
