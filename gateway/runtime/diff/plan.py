"""Finds the parts of two configs that can make a difference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from gateway.config.model import Config
from gateway.config.settings import DestinationSettings, TransformSettings

__all__ = ["Plan", "plan_of"]

_HOW = frozenset(
    {
        *("batch", "retry", "timeout_seconds", "max_concurrency", "max_requests_per_second"),
        *("ordering", "idempotent", "start_at"),
    }
)
"""Keys of a destination that change how events are sent, but not what is sent."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The parts to compare.

    Attributes:
        destinations: id to ``compared``, ``same``, ``added`` or ``removed``.
        alike: destinations that make the same request from the same mapped event; at most their
            mapping, transforms, groups or consent differ.
        rerun: intake transforms of the new config to run over stored events.
        notices: see `gateway.runtime.diff.report.Report`.
    """

    destinations: Mapping[str, str]
    alike: frozenset[str]
    rerun: frozenset[str]
    notices: tuple[str, ...]


def plan_of(old: Config, new: Config, *, stored: bool) -> Plan:
    """Returns the plan for two configs.

    Args:
        stored: the events have passed intake before.
    """
    before, after = _intake(old), _intake(new)
    rerun = frozenset(id_ for id_ in after if after[id_] != before.get(id_))
    notices = tuple(_notices(before, after)) if stored else ()
    statuses, alike = {}, set()
    for id_ in dict.fromkeys((*old.destinations, *new.destinations)):
        was, now = _enabled(old, id_), _enabled(new, id_)
        if not (was or now):
            continue
        if not (was and now):
            statuses[id_] = "added" if now else "removed"
            continue
        if _payload(old, id_) == _payload(new, id_):
            alike.add(id_)
        same = id_ in alike and _arrival(old, id_) == _arrival(new, id_)
        statuses[id_] = "same" if same else "compared"
    return Plan(statuses, frozenset(alike), rerun, notices)


def _enabled(config: Config, id_: str) -> bool:
    return id_ in config.destinations and config.destinations[id_][0].enabled


def _payload(config: Config, id_: str) -> Any:
    """Returns everything that decides what is sent for an event that arrives."""
    settings, table = config.destinations[id_]
    return settings.type, table.options, _files(config, table.options)


def _arrival(config: Config, id_: str) -> Any:
    """Returns everything that decides which events arrive, and in which form."""
    settings, _ = config.destinations[id_]
    own = {
        name: getattr(settings, name)
        for name in DestinationSettings.__struct_fields__
        if name not in _HOW
    }
    transforms = [
        (transform_id, transform, table.options, _files(config, table.options))
        for transform_id, (transform, table) in config.transforms.items()
        if transform.enabled and id_ in (transform.destinations or ())
    ]
    stamps = any(group.stamp for group in config.groups.values())
    by_group = stamps or own["only"] is not None or any(_by_group(one[1:3]) for one in transforms)
    groups = (config.groups, config.layers) if by_group else None
    consents = {source: one.consent_default for source, (one, _) in config.sources.items()}
    return own, transforms, groups, consents


def _intake(config: Config) -> dict[str, Any]:
    """Returns the intake transforms by id, each with everything that decides its work."""
    return {
        id_: (
            settings,
            table.options,
            _files(config, table.options),
            (config.groups, config.layers) if _by_group((settings, table.options)) else None,
        )
        for id_, (settings, table) in config.transforms.items()
        if settings.enabled and settings.destinations is None
    }


def _by_group(transform: tuple[TransformSettings, Mapping[str, Any]]) -> bool:
    """Tells whether a transform's work depends on the members of a group."""
    settings, options = transform
    return settings.only is not None or "group" in options


def _notices(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    for id_ in after:
        if id_ not in before:
            yield f"transforms.{id_} is new: it runs over the events as they are stored"
        elif after[id_] != before[id_]:
            yield (
                f"transforms.{id_} is changed: it runs over events that it has seen before, as it "
                "was then; compare with --file for what it makes of events as they are sent"
            )
    for id_ in before:
        if id_ not in after:
            yield (
                f"transforms.{id_} is gone: what it changed or dropped of stored events cannot be "
                "undone; compare with --file to see what is different"
            )
    kept = [id_ for id_ in before if id_ in after]
    if kept != [id_ for id_ in after if id_ in before]:
        yield "the order of the intake transforms is another, which stored events do not show"


def _files(config: Config, options: Any) -> list[tuple[str, int, int]]:
    """Returns the files that options name, such as a plan, with path, size and time of each."""
    found = []
    for text in _texts(options):
        path = config.base_dir / text
        try:
            if 0 < len(text) < 1024 and path.is_file():
                status = path.stat()
                found.append((str(path.resolve()), status.st_size, status.st_mtime_ns))
        except (OSError, ValueError):  # no path at all
            continue
    return found


def _texts(value: Any) -> Iterator[str]:
    value = msgspec.to_builtins(value)
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)
