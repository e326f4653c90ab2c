"""A config with a reason for every outcome, an order, and explanations of events by them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from msgspec import Raw

from gateway.cli import main
from gateway.config.load import load
from gateway.runtime.explain.explainer import Explanation, explaining
from gateway.runtime.explain.question import Question, explained
from gateway.runtime.gateway import Gateway
from gateway.runtime.plugins import discover
from tests.support.http_calls import ADMIN_TOKEN

__all__ = ["CONFIG", "ORDER", "ask", "files_below", "run_explain"]

_NOW = 1_795_626_000_000
CONFIG = f"""
[server]
port = 0
[admin]
token = "{ADMIN_TOKEN}"
[sources.web]
type = "segment"
write_key = "web-key"
[sources.off]
type = "segment"
write_key = "off-key"
enabled = false
[groups.canary]
percent = 50
[transforms.privacy]
type = "mask"
[transforms.noise]
type = "filter"
drop = 'event = "Noise"'
[transforms.orders]
type = "filter"
keep = 'event = "Order Completed"'
destinations = ["crm"]
[destinations.files]
type = "file"
path = "out"
[destinations.crm]
type = "mixpanel"
token = "a-secret-project-token"
mapping = [{{ if = 'event = "Order Completed"', set = {{ "properties.from" = "gateway" }} }}]
[destinations.ads]
type = "webhook"
url = "http://127.0.0.1:9/hooks/a-secret-part-of-the-url"
consent = ["Advertising"]
[destinations.few]
type = "null"
only = {{ group = "canary", arm = "test" }}
[destinations.other]
type = "null"
consent = ["Analytics"]
[destinations.gone]
type = "null"
enabled = false
"""
ORDER = {
    "type": "track",
    "event": "Order Completed",
    "userId": "u-1",
    "messageId": "order-1",
    "timestamp": "2026-11-25T16:00:00.000Z",
    "properties": {"revenue": 25, "card": "4111 1111 1111 1111"},
    "context": {"consent": {"categoryPreferences": {"Advertising": False}}},
}


def ask(folder: Path, event: Any, **options: Any) -> Explanation:
    """Explains an event, or the bytes of a body, at a fixed time."""
    body = event if isinstance(event, bytes) else json.dumps(event).encode()
    question = Question(event=Raw(body), **{"source": "web", **options})

    async def answer() -> Explanation:
        config = load(folder / "config.toml")
        gateway = Gateway(config, discover(), lambda: _NOW, dry_run=True)
        async with explaining(gateway, question.destination) as explainer:
            return await explained(explainer, gateway, question, iter(()))

    return asyncio.run(answer())


def run_explain(folder: Path, *words: str, stdin: bytes = b"") -> Result:
    """Runs `gateway explain` on the config of a folder."""
    arguments = ["explain", *words, "--config", str(folder / "config.toml")]
    return CliRunner().invoke(main, arguments, input=stdin)


def files_below(folder: Path) -> dict[str, bytes]:
    """Returns the content of all files of a folder, without the journals of SQLite."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith(("-shm", "-wal"))
    }
