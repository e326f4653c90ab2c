"""Keeps the mask away from the parts of an event that steer the gateway.

`integrations`, `context.consent` and the SDK's list of bundled destinations decide where an event
goes. A consent category called ``Phone`` is no phone number: masked, it would be no consent. Only
texts that look like personal data are masked in `integrations`, and what was on stays on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gateway.builtin.transforms.mask.redact import GONE, Rules
from gateway.events.conditions.path import EVERY, Path

__all__ = ["check_path", "redacted", "steers"]

_KEPT: dict[str, tuple[str, ...]] = {
    "context": ("consent",),
    "metadata": ("bundled", "unbundled", "bundledIds"),
}
"""Keys whose values are never changed, by body."""


def steers(body: str, raw: bytes) -> bool:
    """Tells whether a body may have a part that steers the gateway."""
    if body == "integrations":
        return True
    kept = _KEPT.get(body, ())
    return any(key.encode() in raw for key in kept) or (bool(kept) and b"\\" in raw)


def redacted(
    body: str,
    value: Mapping[str, Any],
    rules: Rules | None,
    redact: Callable[[Any, Rules | None], Any],
) -> Any:
    """Redacts a body that `steers`; returns the same object if nothing has to change.

    Args:
        redact: redacts a value by the rules for its place.
    """
    if body == "integrations":
        return _options_redacted(value, rules, redact)
    kept = {key: value[key] for key in _KEPT[body] if key in value}
    rest = {key: item for key, item in value.items() if key not in kept}
    new = redact(rest, rules)
    if new is rest:
        return value
    return kept if new is GONE else {**new, **kept}


def _options_redacted(
    value: Mapping[str, Any],
    rules: Rules | None,
    redact: Callable[[Any, Rules | None], Any],
) -> Any:
    """Redacts the options for each destination. The names and switches themselves stay."""
    result: dict[str, Any] = {}
    for name, item in value.items():
        new = redact(item, rules.keys.get(name) if rules is not None else None)
        if new is GONE or (bool(new) != bool(item) and not isinstance(item, dict)):
            new = {} if isinstance(item, dict) else bool(item)  # on or off as before
        result[name] = new
    return result if any(result[name] is not item for name, item in value.items()) else value


def check_path(path: Path) -> None:
    """Refuses a rule for what steers the gateway.

    Raises:
        ValueError: the path leads there.
    """
    keys = [step for step in path.steps if step is not EVERY]
    if path.root == "integrations" and len(keys) < 2:
        raise ValueError("'integrations' decides where an event goes, so only options are masked")
    if keys and keys[0] in _KEPT.get(path.root, ()):
        raise ValueError(f"'{path.root}.{keys[0]}' decides where an event goes, so it stays")
