"""Checks after every scene of the contract checker.

They look for shown secrets, for events that were sent in two forms, and for changed shared events.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from gateway.testing.promises import Promise
from gateway.testing.receivers import Vendor
from gateway.testing.stage import Stage

__all__ = ["look_for_changed_events", "look_for_changes", "look_for_secrets"]

_MOST_SHOWN = 300


def look_for_secrets(stage: Stage) -> None:
    """Checks that no text shows a secret of the config, or the credentials of a request."""
    secrets = {secret for secret in stage.secrets if secret}
    for request in stage.vendor.requests:
        scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
        secrets.add(credentials or scheme)
    shown = [text for text in stage.all_texts() if any(s and s in text for s in secrets)]
    if shown:
        text = shown[0]
        for secret in secrets - {""}:
            text = text.replace(secret, "***")
        what = f"a secret of the config stands in an error, a log line or a dead letter: {text!r}"
        stage.broken(Promise.NO_SECRET, what)


def look_for_changed_events(stage: Stage) -> None:
    """Checks that the events of all batches are as they were before `send`."""
    for attempt in stage.attempts:
        attempt.compare()  # a task that `send` left behind may have changed them
    changed: set[str] = set().union(*(attempt.changed for attempt in stage.attempts))
    if changed:
        what = "were changed by send(), and other destinations share them: change a copy"
        stage.broken(Promise.UNCHANGED, what, changed)


def look_for_changes(stage: Stage, vendor: Vendor) -> None:
    """Checks that all attempts together send no more different items of an event than one does."""
    sent: list[dict[str, set[bytes]]] = []
    keys: dict[frozenset[str], set[str]] = {}
    for request in stage.vendor.requests:
        items = vendor.read(request)
        sent.append({id_: _distinct(item) for id_, item in items.items()})
        key = request.headers.get("Idempotency-Key")
        if key is not None:
            keys.setdefault(frozenset(items), set()).add(key)
    most: dict[str, int] = {}
    for attempt in stage.attempts:
        for id_, distinct in _union(sent[attempt.first : attempt.end]).items():
            most[id_] = max(most.get(id_, 0), len(distinct))
    changed = [id_ for id_, distinct in _union(sent).items() if len(distinct) > most.get(id_, 1)]
    if changed:
        one, other = sorted(_union(sent)[changed[0]])[:2]
        what = f"was sent as {_cut(one)} and as {_cut(other)}"
        stage.broken(Promise.STABLE, what, changed)
    for ids, found in keys.items():
        if len(found) > 1:
            what = "the Idempotency-Key of a request with just these was another on each attempt"
            stage.broken(Promise.STABLE, what, ids)
            return


def _union(requests: Iterable[Mapping[str, set[bytes]]]) -> dict[str, set[bytes]]:
    found: dict[str, set[bytes]] = {}
    for request in requests:
        for id_, distinct in request.items():
            found.setdefault(id_, set()).update(distinct)
    return found


def _distinct(item: Any) -> set[bytes]:
    items = item if isinstance(item, list) else [item]
    return {msgspec.json.encode(one, order="deterministic", enc_hook=repr) for one in items}


def _cut(item: bytes) -> str:
    text = item.decode(errors="replace")
    return text if len(text) <= _MOST_SHOWN else text[:_MOST_SHOWN] + "…"
