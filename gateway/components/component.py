"""What a plugin author implements: sources, transforms, destinations, and how they are registered.

A plugin registers a *spec*: the type's name, the frozen `msgspec.Struct` that its table in
config.toml is decoded into, and how to build an instance. The host owns everything around it:
batching, retries, back-off, time-outs, filtering by consent, commit and shutdown.

Life cycle, the same for every component:

* ``build(config, context)`` constructs and must not block, open connections or start tasks.
* ``start()`` opens what is needed. An exception here stops the gateway with a clear message.
* ``stop()`` releases it. It is safe without `start` and safe twice, and is given a deadline.
* At a reload of config a component that has changed is built and started while the one before it
  still runs under the same id; then that one is stopped, and only after it a destination is sent
  to. So `start` takes nothing for itself alone that the other one has until its `stop`.
* ``check()`` (destinations) proves that settings and credentials work without delivering anything.
"""

from __future__ import annotations

from typing import TypeVar

from msgspec import Struct

__all__ = ["API_VERSION", "C", "Component"]

API_VERSION = 1
"""Version of this contract. A spec made for another one is refused when it is registered."""


C = TypeVar("C", bound=Struct)
"""The Struct of a component's own keys in config.toml."""


class Component:
    """Start and stop, both optional."""

    async def start(self) -> None:
        """Open what the component needs; raise to refuse."""

    async def stop(self) -> None:
        """Release it; safe without `start`, safe twice."""
