"""The kit for commands of packages: config, the running gateway, and output like ours."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from gateway.cli.admin_client import Remote, connect, required
from gateway.cli.options import own_stdout
from gateway.components.figure import FigureSpec
from gateway.components.scope import Scope

if TYPE_CHECKING:
    from rich.table import Table
    from structlog.typing import FilteringBoundLogger

__all__ = [
    "AdminClient",
    "find_figures",
    "find_gateway",
    "load_scope",
    "make_table",
    "record_audit",
    "require_gateway",
]

AdminClient: TypeAlias = Remote


class _Log:
    """A log that imports structlog when it is used: that takes 60 ms, and most commands do not."""

    def __getattr__(self, name: str) -> Any:
        import structlog

        return getattr(structlog.get_logger(), name)


_LOG = cast("FilteringBoundLogger", _Log())


def load_scope(config_path: Path) -> Scope:
    """Reads a config file, with the tables of all packages.

    Raises:
        ConfigError: it is wrong.
    """
    from gateway.config.load import load
    from gateway.events.timestamps import now_ms
    from gateway.runtime.plugins import discover_for_scope
    from gateway.runtime.tables import make_scope

    with own_stdout():
        return make_scope(load(config_path), discover_for_scope(), now_ms, _LOG)


def record_audit(scope: Scope, action: str, detail: Mapping[str, Any]) -> None:
    """Writes an entry of the audit trail, as the user of the machine; the gateway may run.

    Args:
        action: ``area.verb``, such as ``lake.export``.
        detail: counts and names out of config; no ids of users.

    Raises:
        StateError: it cannot be written.
    """
    from gateway.state import STATE_FILE
    from gateway.state.audit_trail import local_actor, record_offline

    path = scope.data_dir / STATE_FILE
    record_offline(path, scope.clock(), local_actor(), action, detail)


def find_figures() -> Mapping[str, FigureSpec[Any]]:
    """Returns the figures of all installed packages by type, without a config."""
    from gateway.runtime.plugins import discover

    with own_stdout():
        return discover(builtins=(), hooks=["register_figures"]).figures


def find_gateway(scope: Scope) -> AdminClient | None:
    """Returns the admin API of the gateway that runs by this config; None if none runs.

    Raises:
        GatewayError: one runs, but cannot be asked.
    """
    from gateway.cli.place import find_place

    return connect(find_place(scope.file, None))


def require_gateway(scope: Scope) -> AdminClient:
    """Returns the admin API of the gateway that runs by this config.

    Raises:
        GatewayError: none is running, or it cannot be asked.
    """
    from gateway.cli.place import find_place

    return required(find_place(scope.file, None))


def make_table(*headings: str, right: tuple[str, ...] = ()) -> Table:
    """Makes a table of rich like those of the gateway's own commands.

    Args:
        right: headings of the columns with numbers.
    """
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, justify="right" if heading in right else "left", no_wrap=True)
    return table
