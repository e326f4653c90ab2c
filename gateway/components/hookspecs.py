"""The hooks that a plugin may implement.

The gateway calls each hook once, when it starts or when a command lists plugins, and never for an
event. A hook hands over specs and does nothing else. Mark an implementation with
``@gateway.hookimpl``, and announce its module through the entry-point group ``gateway``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pluggy

from gateway.components.destination import DestinationSpec
from gateway.components.source import SourceSpec
from gateway.components.store import QueueSpec
from gateway.components.transform import TransformSpec

__all__ = ["HOOKS", "HookSpecs", "hookimpl", "hookspec"]

hookspec = pluggy.HookspecMarker("gateway")
hookimpl = pluggy.HookimplMarker("gateway")


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


HOOKS = {
    "register_sources": ("source", SourceSpec),
    "register_transforms": ("transform", TransformSpec),
    "register_destinations": ("destination", DestinationSpec),
    "register_queues": ("queue", QueueSpec),
}
"""Maps a hook's name to the kind of thing that it registers, and to the class of its spec."""
