"""The base of sources and destinations, and the version of the contract."""

from __future__ import annotations

from typing import TypeVar

from msgspec import Struct

__all__ = ["API_VERSION", "C", "Component"]

API_VERSION = 1
"""Version of this contract. A spec made for another version is refused when it is registered."""

C = TypeVar("C", bound=Struct)
"""The Struct of a component's own keys in config.toml."""


class Component:
    """A part of the gateway that is started and stopped.

    Its life cycle:

    * ``build(config, context)`` constructs it. It must not block, open connections or start tasks.
    * ``start()`` opens what it needs. An exception stops the gateway, with its text as the message.
      It is cancelled after ``server.start_timeout_seconds``; a destination is then started again
      later, after a ``stop()``.
    * ``stop()`` releases that, within a deadline. It is safe without `start`, and safe twice.
    * ``check()`` (destinations) proves that settings and credentials work, and delivers nothing.

    Each call runs in a task of its own, so a task group or cancel scope must not outlast it.

    When config is reloaded, a component that has changed is built and started while the old one
    with the same id still runs. The old one is stopped next, and only then events are sent to the
    new one. So `start` must not take anything that the old one holds until its `stop`.
    """

    async def start(self) -> None:
        """Opens what the component needs; raises to refuse."""

    async def stop(self) -> None:
        """Releases it; safe without `start`, and safe twice."""
