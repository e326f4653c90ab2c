"""The names under which packages register commands, admin areas, jobs and tables."""

from __future__ import annotations

import re

from gateway.errors import PluginError

__all__ = ["check_name"]

_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")


def check_name(kind: str, name: str) -> None:
    """Refuses a name that is not in the form of the gateway's own names.

    Raises:
        PluginError: it is not.
    """
    if not _NAME.fullmatch(name):
        raise PluginError(
            f"{kind} {name!r}: a name starts with a small letter and has small letters, digits and "
            "-, at most 40"
        )
