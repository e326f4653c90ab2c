"""The hooks."""

from __future__ import annotations

import inspect

import pluggy

from gateway.components.admin_area import AdminArea
from gateway.components.command import CommandSpec
from gateway.components.destination import DestinationSpec
from gateway.components.figure import FigureSpec
from gateway.components.hookmarkers import hookimpl
from gateway.components.hookspecs import HOOKS, HookSpecs
from gateway.components.identity import IdentitySpec
from gateway.components.job import JobSpec
from gateway.components.source import SourceSpec
from gateway.components.store import QueueSpec
from gateway.components.tables import TableSpec
from gateway.components.transform import TransformSpec
from gateway.config.settings import HOST_KEYS


def test_each_hook_is_in_the_table() -> None:
    """The table lists every hook with the kind it registers, in the order of calls."""
    hooks = [name for name in vars(HookSpecs) if name.startswith("register_")]
    assert list(HOOKS) == hooks
    assert dict(HOOKS.values()) == {
        "source": SourceSpec,
        "transform": TransformSpec,
        "destination": DestinationSpec,
        "queue": QueueSpec,
        "figure": FigureSpec,
        "table": TableSpec,
        "command": CommandSpec,
        "admin area": AdminArea,
        "job": JobSpec,
        "identity": IdentitySpec,
    }


def test_each_hook_registers() -> None:
    """A hook is named after the kind that it registers, and takes `register` alone."""
    others = {
        "table": "register_config",
        "admin area": "register_admin",
        "identity": "register_identities",
    }
    for name, (kind, _) in HOOKS.items():
        assert name == others.get(kind, f"register_{kind}s")
        assert list(inspect.signature(getattr(HookSpecs, name)).parameters) == ["self", "register"]
        assert inspect.getdoc(getattr(HookSpecs, name))


def test_each_kind_has_keys_of_the_host() -> None:
    """For each kind that is named by a type, the keys of the host are known."""
    typed = {kind for kind, spec in HOOKS.values() if "type" in spec.__dataclass_fields__}
    assert typed == HOST_KEYS.keys()
    assert all("type" in keys for keys in HOST_KEYS.values())


def test_the_marker_is_the_one_that_is_looked_for() -> None:
    """A function marked with `hookimpl` is found by its name."""

    class Module:
        @staticmethod
        @hookimpl
        def register_destinations(register: object) -> None:
            """Registers nothing."""

    manager = pluggy.PluginManager("gateway")
    manager.add_hookspecs(HookSpecs)
    manager.register(Module())
    manager.check_pending()
    assert len(manager.hook.register_destinations.get_hookimpls()) == 1
