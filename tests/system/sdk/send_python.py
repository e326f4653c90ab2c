"""Makes calls with a Python SDK as an application would, and prints what the SDK had to say.

The argument is the SDK's package; the job and the report are those of tests/support/sdk_calls.py.
"""

from __future__ import annotations

import importlib
import json
import logging
import re
import sys
from datetime import datetime
from typing import Any


def revive(pairs: dict[str, Any]) -> Any:
    """Times, which JSON does not have."""
    return datetime.fromisoformat(pairs["$time"]) if "$time" in pairs else pairs


def snake_case(name: str) -> str:
    return re.sub("([A-Z])", r"_\1", name).lower()


def make_calls(client: Any, calls: list[dict[str, Any]]) -> list[str]:
    """Message ids, in the order of the calls."""
    ids = []
    for call in calls:
        arguments = {snake_case(key): value for key, value in call.items() if key != "type"}
        queued, message = getattr(client, call["type"])(**arguments)
        assert queued
        ids.append(message["messageId"])
    return ids


class Collector(logging.Handler):
    """Keeps the text of what is logged."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


def main() -> None:
    job = json.load(sys.stdin, object_hook=revive)
    logged = Collector()
    logging.getLogger().addHandler(logged)
    errors: list[str] = []
    analytics = importlib.import_module(sys.argv[1])
    client = analytics.Client(
        job["write_key"],
        host=job["url"],
        on_error=lambda error, batch: errors.append(f"{len(batch)} events: {error}"),
        **job["options"],
    )
    ids = make_calls(client, job["calls"])
    client.flush()
    client.join()
    json.dump({"message_ids": ids, "errors": errors, "logged": logged.texts}, sys.stdout)


main()
