"""The ``gateway`` command.

Its modules take a while to import; signals are handled before.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gateway.cli.group import main as main

__all__ = ["main"]


def __getattr__(name: str) -> Any:
    """Imports the command on first use."""
    if name != "main":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if sys.argv[1:2] == ["serve"]:
        from gateway.cli.hangups import HANGUPS

        HANGUPS.note()
    elif sys.argv[1:2] == ["worker"]:  # its supervisor follows them
        from gateway.cli.hangups import ignore_hangups

        ignore_hangups()
    from gateway.cli.group import main

    return main
