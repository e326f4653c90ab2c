"""A simulated shop whose truth is known, for a first look at figures and for testing them."""

from __future__ import annotations

from collections.abc import Callable

from gateway import CommandSpec, hookimpl

__all__ = ["__version__", "register_commands"]

__version__ = "0.1.0"


@hookimpl
def register_commands(register: Callable[[CommandSpec], None]) -> None:
    """Registers ``gateway demo-history``."""
    words = "Fill the lake with the past of a simulated shop."
    register(CommandSpec("demo-history", words, f"{__name__}.command:demo_history"))
