"""Builders of the objects that the host hands to a component, and a clock."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import structlog
from msgspec import Raw, Struct

from gateway.components.context import Context
from gateway.components.destination import Batch
from gateway.components.dry_run import Rehearsal
from gateway.components.project import ProjectConfig
from gateway.config.decode import decode_table
from gateway.config.groups import GroupConfig
from gateway.config.settings import ServerConfig
from gateway.events.envelope.normalise import normalise
from gateway.events.event import Event
from gateway.rollouts.groups import Groups

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = [
    "START_MS",
    "ManualClock",
    "event_from_client",
    "make_batch",
    "make_config",
    "make_context",
    "make_event",
    "make_groups",
]

_S = TypeVar("_S", bound=Struct)

START_MS = 1_795_442_400_000
"""Start of a `ManualClock`: 2026-11-23T14:00:00Z."""

_BODIES = frozenset({"properties", "traits", "context", "integrations", "extra"})
_DEFAULTS: dict[str, Any] = {
    "type": "track",
    "user_id": "user-1",
    "event": "Order Completed",
    "timestamp": "2026-11-23T14:00:00.000Z",
    "original_timestamp": "2026-11-23T14:00:00.000Z",
    "sent_at": "2026-11-23T14:00:00.000Z",
    "received_at": "2026-11-23T14:00:00.100Z",
    "source_id": "web",
}
_numbers = itertools.count(1)


def make_event(**overrides: Any) -> Event:
    """Makes an event as a destination sees it: a track event with a unique message id.

    Args:
        overrides: fields of `Event`; ``None`` removes one. `properties`, `traits`, `context`,
            `integrations` and `extra` are mappings, or bytes under their ``raw_`` name.

    Raises:
        TypeError: an event has no such field.
    """
    bodies = {key: overrides.pop(key) for key in _BODIES & overrides.keys()}
    fields = {**_DEFAULTS, "message_id": f"message-{next(_numbers)}", **overrides}
    for key, value in overrides.items():
        if key.startswith("raw_") and isinstance(value, bytes):
            fields[key] = Raw(value)
    event = Event(**fields)
    for key, value in bodies.items():
        setattr(event, key, value)
    return event


def event_from_client(fields: Mapping[str, Any]) -> Event:
    """Returns the event that intake makes of a client's JSON, before it is stamped.

    Args:
        fields: the JSON object of the event, with the keys that clients use, such as `userId`.

    Raises:
        Discarded: intake does not accept it; its `code` says why.
    """
    return normalise({key: Raw(msgspec.json.encode(value)) for key, value in fields.items()})


def make_config(type_: type[_S], keys: Mapping[str, Any], path: str = "destinations.test") -> _S:
    """Decodes the keys that a user writes below ``[path]``, as the gateway does.

    Args:
        type_: the plugin's Struct.

    Raises:
        ConfigError: a key is wrong; the text names it and says why.
    """
    return decode_table(keys, type_, path)


def make_groups(tables: Mapping[str, Mapping[str, Any]]) -> Groups:
    """Makes the groups of a context from the keys that a user writes below ``[groups.ID]``.

    Raises:
        ConfigError: a key is wrong; the text names it and says why.
    """
    return Groups({id_: make_config(GroupConfig, t, f"groups.{id_}") for id_, t in tables.items()})


def make_batch(
    events: Iterable[Event] | int = 1, *, first_offset: int = 0, attempt: int = 1
) -> Batch:
    """Makes a batch of these events, or of so many by `make_event`, at successive offsets."""
    if isinstance(events, int):
        events = [make_event() for _ in range(events)]
    taken = tuple(events)
    return Batch(taken, range(first_offset, first_offset + len(taken)), attempt)


def make_context(
    base_dir: Path,
    id: str = "test",  # noqa: A002 - the field's name
    *,
    clock: Callable[[], int] | None = None,
    server: ServerConfig | None = None,
    log: FilteringBoundLogger | None = None,
    groups: Groups | None = None,
    rehearsal: Rehearsal | None = None,
    project: ProjectConfig | None = None,
    queue_id: str = "",
    tables: Mapping[str, Any] | None = None,
) -> Context:
    """Makes the context that a component is built with.

    Args:
        base_dir: stands for the folder of config.toml; the data folder is ``data`` in it.
        clock: by default a `ManualClock`.
        groups: from `make_groups`; by default none.
        log: by default structlog's, so `structlog.testing.capture_logs` captures it.
        rehearsal: for a dry run of the component.
        project: the `[project]` table; by default its defaults.
        queue_id: the id of the queue.
        tables: values of the tables that the destination reads.
    """
    return Context(
        id=id,
        base_dir=base_dir,
        data_dir=base_dir / "data",
        shared_dir=base_dir / "data",
        project=project or ProjectConfig(),
        queue_id=lambda: queue_id,
        server=server or ServerConfig(),
        log=log if log is not None else structlog.get_logger().bind(component=id),
        clock=clock or ManualClock(),
        groups=groups or Groups(),
        rehearsal=rehearsal,
        tables=tables or {},
    )


class ManualClock:
    """A wall clock in milliseconds that only moves by `advance`; call it to read it.

    Args:
        now_ms: its start.
    """

    def __init__(self, now_ms: int = START_MS) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        """Returns the time."""
        return self.now_ms

    def advance(self, seconds: float) -> None:
        """Moves the clock; a negative number sets it back."""
        self.now_ms += round(seconds * 1000)
