"""The hooks that a plugin may implement.

The gateway calls each hook once, when it starts or when a command lists plugins, and never for an
event. A hook hands over specs and does nothing else. Mark an implementation with
``@gateway.hookimpl``, and announce its module through the entry-point group ``gateway``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.components.admin_area import AdminArea
from gateway.components.command import CommandSpec
from gateway.components.destination import DestinationSpec
from gateway.components.figure import FigureSpec
from gateway.components.hookmarkers import hookspec
from gateway.components.identity import IdentitySpec
from gateway.components.job import JobSpec
from gateway.components.source import SourceSpec
from gateway.components.store import QueueSpec
from gateway.components.tables import TableSpec
from gateway.components.transform import TransformSpec

__all__ = ["HOOKS", "HookSpecs"]


class HookSpecs:
    """All hooks, in the order in which they are called."""

    @hookspec
    def register_sources(self, register: Callable[[SourceSpec[Any]], None]) -> None:
        """Calls ``register(spec)`` for each type of source that the plugin provides."""

    @hookspec
    def register_transforms(self, register: Callable[[TransformSpec[Any]], None]) -> None:
        """Calls ``register(spec)`` for each type of transform that the plugin provides."""

    @hookspec
    def register_destinations(self, register: Callable[[DestinationSpec[Any]], None]) -> None:
        """Calls ``register(spec)`` for each type of destination that the plugin provides."""

    @hookspec
    def register_queues(self, register: Callable[[QueueSpec[Any]], None]) -> None:
        """Calls ``register(spec)`` for each type of queue store that the plugin provides."""

    @hookspec
    def register_figures(self, register: Callable[[FigureSpec[Any]], None]) -> None:
        """Calls ``register(spec)`` for each type of figure that the plugin provides."""

    @hookspec
    def register_config(self, register: Callable[[TableSpec[Any]], None]) -> None:
        """Calls ``register(spec)`` for each table of config.toml that the plugin reads."""

    @hookspec
    def register_commands(self, register: Callable[[CommandSpec], None]) -> None:
        """Calls ``register(spec)`` for each command that the plugin adds to ``gateway``."""

    @hookspec
    def register_admin(self, register: Callable[[AdminArea], None]) -> None:
        """Calls ``register(area)`` for each area that the plugin adds to the admin API."""

    @hookspec
    def register_jobs(self, register: Callable[[JobSpec], None]) -> None:
        """Calls ``register(spec)`` for each job that the gateway is to run."""

    @hookspec
    def register_identities(self, register: Callable[[IdentitySpec], None]) -> None:
        """Calls ``register(spec)`` for what the plugin knows of who is who."""


HOOKS = {
    "register_sources": ("source", SourceSpec),
    "register_transforms": ("transform", TransformSpec),
    "register_destinations": ("destination", DestinationSpec),
    "register_queues": ("queue", QueueSpec),
    "register_figures": ("figure", FigureSpec),
    "register_config": ("table", TableSpec),
    "register_commands": ("command", CommandSpec),
    "register_admin": ("admin area", AdminArea),
    "register_jobs": ("job", JobSpec),
    "register_identities": ("identity", IdentitySpec),
}
"""Maps a hook's name to the kind of thing that it registers, and to the class of its spec."""
