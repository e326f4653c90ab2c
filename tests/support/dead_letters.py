"""Dead letters for tests that are not about their content."""

from __future__ import annotations

from typing import Any

from msgspec import Raw

from gateway.state import DeadLetter

__all__ = ["make_dead_letter"]


def make_dead_letter(offset: int = 0, reason: str = "rejected", **fields: Any) -> DeadLetter:
    """Makes a dead letter of source ``web``; `fields` replace its other values."""
    values = {
        "source_id": "web",
        "message_id": f"m-{offset}",
        "detail": "no such field",
        "attempts": 3,
        "first_ms": 1000,
        "last_ms": 2000,
        "event": Raw(b'{"type":"track"}'),
    }
    return DeadLetter(offset=offset, reason=reason, **{**values, **fields})
