"""A collector as people often write it first: FastAPI, pydantic models, rows in SQLite.

Answers once the events are committed. Run it with uvicorn; ``PEER_FOLDER`` is the file's folder.
"""

import json
import os
import sqlite3
import threading
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, Field


class Event(BaseModel):
    """An event of the tracking API."""

    type: str = "track"
    message_id: str = Field(alias="messageId")
    user_id: str | None = Field(None, alias="userId")
    anonymous_id: str | None = Field(None, alias="anonymousId")
    event: str | None = None
    name: str | None = None
    timestamp: str | None = None
    properties: dict[str, Any] = {}
    traits: dict[str, Any] = {}
    context: dict[str, Any] = {}
    integrations: dict[str, Any] = {}


class Batch(BaseModel):
    """Events sent together."""

    batch: list[Event]
    sent_at: str | None = Field(None, alias="sentAt")


app = FastAPI()
lock = threading.Lock()
db = sqlite3.connect(Path(os.environ["PEER_FOLDER"]) / "events.sqlite", check_same_thread=False)
db.execute("PRAGMA journal_mode = WAL")
db.execute("PRAGMA synchronous = FULL")
db.execute("CREATE TABLE events (message_id TEXT PRIMARY KEY, type TEXT, user_id TEXT, body TEXT)")


def store(events: list[Event]) -> None:
    """Inserts events in one transaction; skips events whose id exists."""
    rows = [
        (event.message_id, event.type, event.user_id, json.dumps(event.model_dump(by_alias=True)))
        for event in events
    ]
    with lock, db:
        db.executemany("INSERT OR IGNORE INTO events VALUES (?, ?, ?, ?)", rows)


@app.get("/health")
def health() -> dict[str, bool]:
    """Answers that it is up."""
    return {"success": True}


@app.post("/v1/batch")
def take_batch(batch: Batch) -> dict[str, bool]:
    """Stores a batch."""
    store(batch.batch)
    return {"success": True}


@app.post("/v1/{kind}")
def take_event(kind: str, event: Event) -> dict[str, bool]:
    """Stores an event."""
    event.type = kind
    store([event])
    return {"success": True}
