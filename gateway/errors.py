"""The tree of errors that the gateway raises on purpose.

::

    GatewayError
    ├── ConfigError              config.toml cannot be used; the text begins with the key's path
    ├── PluginError              a plugin cannot be used, or breaks its contract
    │   └── PluginCrash          plugin code raised what is no `Exception`, such as `SystemExit`
    ├── QueueError
    │   ├── QueueFull            a bound is reached; the client is asked to come back later
    │   ├── QueueClosed          the gateway is stopping or the store failed
    │   └── QueueDamaged         bytes on disk fail their checksum
    ├── StateError               the state store (cursors, dead letters) cannot be used
    └── DeliveryError            raised by a destination; the class decides what happens next
        ├── Retryable            try again later, after `retry_after_seconds` if given
        │   └── Throttled        the destination asks for fewer requests
        ├── Permanent            this event will never be accepted: dead letter, with the reason
        ├── Misconfigured        credentials or settings are wrong: keep the events, alarm
        └── BatchError           some items failed; those it does not name were delivered

A destination may raise any other exception too; it is treated as `Retryable`. The class decides,
never the text. A room adds errors of its own below this tree where it alone handles them, such as
`gateway.http.body.BodyError`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

__all__ = [
    "BatchError",
    "ConfigError",
    "DeliveryError",
    "GatewayError",
    "Misconfigured",
    "Permanent",
    "PluginCrash",
    "PluginError",
    "QueueClosed",
    "QueueDamaged",
    "QueueError",
    "QueueFull",
    "Retryable",
    "StateError",
    "Throttled",
]


class GatewayError(Exception):
    """Root of all errors that the gateway raises on purpose.

    Attributes:
        exit_code: of a command that the error ends.
    """

    exit_code: ClassVar[int] = 2


class ConfigError(GatewayError):
    """The configuration cannot be used; the text begins with the path of the key that is wrong."""


class PluginError(GatewayError):
    """A plugin cannot be loaded or breaks its contract."""


class PluginCrash(PluginError):
    """Plugin code raised what is no `Exception`, such as `SystemExit` or a native panic.

    Args:
        error: what it raised; the text has its class only, as its own text may quote an event.
    """

    def __init__(self, error: BaseException) -> None:
        super().__init__(f"the plugin raised {type(error).__name__}, which is no Exception")


class QueueError(GatewayError):
    """The queue did not take the events."""


class QueueFull(QueueError):
    """A bound of the queue is reached.

    Args:
        reason: names the bound, for logs and metrics.
        retry_after_seconds: time until the caller may try again, a whole number from 1 to 300.
    """

    def __init__(self, reason: str, retry_after_seconds: int = 1) -> None:
        super().__init__(reason)
        self.retry_after_seconds = retry_after_seconds


class QueueClosed(QueueError):
    """The queue does not take events: it is stopping, or its store has failed."""


class QueueDamaged(QueueError):
    """Bytes on disk are not those that were written."""


class StateError(GatewayError):
    """The state store cannot be opened or written."""


class DeliveryError(GatewayError):
    """Root of the errors that a destination raises from `send`.

    Args:
        reason: for logs, metrics and the dead letter, without secrets.
        exchange: an excerpt of the request and its answer, kept with the dead letter. The gateway
            masks the values of the destination's `Secret` settings in it, and cuts it to 4,000
            characters.
    """

    def __init__(self, reason: str = "", *, exchange: str = "") -> None:
        super().__init__(reason)
        self.exchange = exchange


class Retryable(DeliveryError):
    """The attempt failed for a reason that may pass.

    Args:
        reason, exchange: as for every `DeliveryError`.
        retry_after_seconds: the wait that the destination asked for, if it did.
    """

    def __init__(
        self, reason: str, retry_after_seconds: float | None = None, *, exchange: str = ""
    ) -> None:
        super().__init__(reason, exchange=exchange)
        self.retry_after_seconds = retry_after_seconds


class Throttled(Retryable):
    """The destination can be reached and asks for fewer requests (HTTP 429)."""


class Permanent(DeliveryError):
    """The destination will never accept these events."""


class Misconfigured(DeliveryError):
    """Credentials or settings are wrong (HTTP 401, 403); the events are kept."""


class BatchError(DeliveryError):
    """Some items of a batch failed; those that `failed` does not name were delivered.

    Args:
        failed: maps an index in the batch to the error of that item.
    """

    def __init__(self, failed: Mapping[int, DeliveryError]) -> None:
        if not failed:
            raise ValueError("BatchError needs at least one failed item")
        nested = [i for i, error in failed.items() if isinstance(error, BatchError)]
        if nested:
            raise ValueError(f"an item's error cannot be a BatchError itself: items {nested}")
        super().__init__(f"{len(failed)} items failed, the first: {next(iter(failed.values()))}")
        self.failed: dict[int, DeliveryError] = dict(failed)
