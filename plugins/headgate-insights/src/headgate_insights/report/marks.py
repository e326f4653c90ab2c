"""Changes of the gateway that charts show: a number that jumps may have a plain cause."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from msgspec import Struct, convert

from gateway import GatewayError, find_gateway
from gateway import Scope as GatewayScope

__all__ = ["MOST_ENTRIES", "Mark", "ask_marks"]

MOST_ENTRIES = 500
"""Newest entries of the audit trail that are looked at."""


class Mark(Struct, frozen=True, kw_only=True):
    """A change.

    Attributes:
        at: when it was made.
        words: what was changed. Names of people are left out.
    """

    at: datetime
    words: str


class _Entry(Struct):
    at: datetime
    action: str
    detail: dict[str, Any]


def ask_marks(scope: GatewayScope) -> list[Mark] | None:
    """Asks the running gateway for its audit trail; returns None if it cannot be asked."""
    try:
        remote = find_gateway(scope)
        if remote is None:
            return None
        entries = convert(remote.get("/admin/audit", limit=MOST_ENTRIES), list[_Entry])
    except GatewayError:  # no gateway, or a token that may not read the audit trail
        return None
    found = [Mark(at=one.at, words=words) for one in entries if (words := _words(one))]
    return sorted(found, key=lambda mark: mark.at)


def _words(entry: _Entry) -> str:
    area, _, action = entry.action.partition(".")
    if area == "rollouts":
        share = entry.detail.get("percent")
        at = "" if share is None else f" at {share:g} %"
        return f"rollout {entry.detail.get('group', '')}: {action}{at}"
    return "config.toml changed" if entry.action == "config.reload" else ""
