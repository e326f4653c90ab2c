"""Headgate, the event gateway: the names that authors of plugins import.

Each is imported when it is first asked for, so that what needs none of them, such as
``gateway --version``, does not wait for all of them: that takes 60 of its 110 ms.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.component import (
        API_VERSION,
        Batch,
        BatchPolicy,
        Context,
        Destination,
        DestinationSpec,
        Erasure,
        QueueSpec,
        Route,
        Source,
        SourceSpec,
        Transform,
        TransformSpec,
    )
    from gateway.errors import (
        BatchError,
        DeliveryError,
        GatewayError,
        Misconfigured,
        Permanent,
        Retryable,
        Throttled,
    )
    from gateway.event import Event
    from gateway.hookspecs import hookimpl
    from gateway.settings import Secret
    from gateway.subjects import Subjects

__version__ = "0.1.0"

__all__ = [
    "API_VERSION",
    "Batch",
    "BatchError",
    "BatchPolicy",
    "Context",
    "DeliveryError",
    "Destination",
    "DestinationSpec",
    "Erasure",
    "Event",
    "GatewayError",
    "Misconfigured",
    "Permanent",
    "QueueSpec",
    "Retryable",
    "Route",
    "Secret",
    "Source",
    "SourceSpec",
    "Subjects",
    "Throttled",
    "Transform",
    "TransformSpec",
    "__version__",
    "hookimpl",
]

_MODULES = ("errors", "event", "settings", "subjects", "hookspecs", "component")

if not TYPE_CHECKING:  # for a type checker, a module with `__getattr__` has every name

    def __getattr__(name):
        if name in __all__:
            for module in _MODULES:
                found = import_module(f"gateway.{module}")
                if name in found.__all__:
                    value = globals()[name] = getattr(found, name)
                    return value
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__():
        return sorted({*globals(), *__all__})
