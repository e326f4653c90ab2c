"""Headgate, the event gateway: the names that authors of plugins import."""

from __future__ import annotations

__version__ = "0.1.0"

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
