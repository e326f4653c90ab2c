"""The marks of hooks and of their implementations.

They stand apart from the hooks, as a plugin needs `hookimpl` when it is imported, and the hooks
import all specs.
"""

from __future__ import annotations

import pluggy

__all__ = ["hookimpl", "hookspec"]

hookspec = pluggy.HookspecMarker("gateway")
hookimpl = pluggy.HookimplMarker("gateway")
