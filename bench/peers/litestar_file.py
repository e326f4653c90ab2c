"""A collector written for speed: Litestar, msgspec Structs, lines of JSON in a file.

Answers once the lines are synced. Run it with uvicorn; ``PEER_FOLDER`` is the file's folder.
"""

import os
import threading
from pathlib import Path
from typing import Any

import msgspec
from litestar import Litestar, get, post


class Event(msgspec.Struct, rename="camel", omit_defaults=True):
    """An event of the tracking API."""

    message_id: str
    type: str = "track"
    user_id: str | None = None
    anonymous_id: str | None = None
    event: str | None = None
    name: str | None = None
    timestamp: str | None = None
    properties: dict[str, Any] = {}
    traits: dict[str, Any] = {}
    context: dict[str, Any] = {}
    integrations: dict[str, Any] = {}


class Batch(msgspec.Struct, rename="camel"):
    """Events sent together."""

    batch: list[Event]
    sent_at: str | None = None


encoder = msgspec.json.Encoder()
lock = threading.Lock()
file = (Path(os.environ["PEER_FOLDER"]) / "events.ndjson").open("ab")


def store(events: list[Event]) -> None:
    """Appends events and syncs."""
    lines = encoder.encode_lines(events)
    with lock:
        file.write(lines)
        file.flush()
        os.fsync(file.fileno())


@get("/health", sync_to_thread=False)
def health() -> dict[str, bool]:
    """Answers that it is up."""
    return {"success": True}


@post("/v1/batch", status_code=200, sync_to_thread=True)
def take_batch(data: Batch) -> dict[str, bool]:
    """Stores a batch."""
    store(data.batch)
    return {"success": True}


@post("/v1/{kind:str}", status_code=200, sync_to_thread=True)
def take_event(kind: str, data: Event) -> dict[str, bool]:
    """Stores an event."""
    data.type = kind
    store([data])
    return {"success": True}


app = Litestar([health, take_batch, take_event])
