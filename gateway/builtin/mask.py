"""``mask``: takes personal data out of events before they are stored or sent on.

What is personal is said by path, by the name of a key, or found by what it looks like. What happens
to it is one of three things: it is dropped, masked so that people can still tell what it was, or
hashed with a secret so that events of the same person can still be joined.

Most events hold none. They are never decoded: see `gateway.builtin.prescan`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import msgspec
from msgspec import Raw, Struct

from gateway.builtin.detect import MASKED, Kind
from gateway.builtin.prescan import BODIES, DETECT, NAMES, PATHS, Prescan, squeeze
from gateway.builtin.redact import GONE, Action, Redactor, Rules
from gateway.component import Context, Transform, TransformSpec
from gateway.event import EMPTY, Event, Warnings
from gateway.hookspecs import hookimpl
from gateway.path import EVERY, FIELDS, Path, parse_path
from gateway.settings import Secret

__all__ = [
    "DEFAULT_SKIP",
    "MAX_RULES",
    "MIN_SECRET_LENGTH",
    "Mask",
    "MaskConfig",
    "Rule",
    "register_transforms",
]

DEFAULT_SKIP = (
    "context.library",
    "context.app",
    "context.os",
    "context.userAgent",
    "context.userAgentData",
    "order_id",
    "checkout_id",
    "cart_id",
    "product_id",
    "variant_id",
    "sku",
    "barcode",
    "gtin",
    "ean",
    "upc",
    "isbn",
)
"""Where nothing is detected by default: versions, and numbers that name goods and orders."""

MIN_SECRET_LENGTH = 16
"""Characters of the secret: a shorter one is guessed, and with it every hash."""

MAX_RULES = 1000
"""Entries that `fields` and `skip` may have together."""

_IDS = ("userId", "anonymousId", "previousId", "groupId")
_TEXTS = ("event", "name", "category", "channel")


class Rule(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An entry of `fields` as a table.

    Attributes:
        path: such as ``context.traits.email`` or ``properties.products[].note``.
        name: instead of `path`, a key at any depth; ``first_name`` is also ``firstName``.
        action: instead of the mask's own.
    """

    path: str | None = None
    name: str | None = None
    action: Action | None = None

    def __post_init__(self) -> None:
        if (self.path is None) == (self.name is None):
            raise ValueError("write either path or name")


class MaskConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings of a mask.

    Attributes:
        detect: what is looked for in all texts: ``email``, ``card``, ``phone``, ``ip``.
        action: ``mask``, ``drop`` or ``hash``.
        fields: what is personal whatever it looks like: paths, names of keys, or tables with
            `path` or `name` and an `action` of its own.
        skip: paths and names of keys where nothing is detected.
        secret: key of the hashes, at least `MIN_SECRET_LENGTH` characters.
    """

    detect: tuple[Kind, ...] = ("email", "card", "phone")
    action: Action = "mask"
    fields: tuple[str | Rule, ...] = ()
    skip: tuple[str, ...] = DEFAULT_SKIP
    secret: Secret | None = None

    def __post_init__(self) -> None:
        _Plan(self)


class _Plan:
    """A config, read: what happens where."""

    def __init__(self, config: MaskConfig) -> None:
        if not config.detect and not config.fields:
            raise ValueError("there is nothing to mask: detect and fields are both empty")
        if len(config.fields) + len(config.skip) > MAX_RULES:
            raise ValueError(f"fields and skip have at most {MAX_RULES} entries together")
        self.attributes: dict[str, Action] = {}
        self.names: dict[bytes, Action | None] = {}
        self.rules: dict[str, Rules] = {}
        self.last_keys: dict[str, set[str | None]] = {}
        for index, text in enumerate(config.skip):
            self._add(f"skip[{index}]", _rule_of(text), None)
        actions = {config.action} if config.detect else set()
        for index, entry in enumerate(config.fields):
            rule = _rule_of(entry) if isinstance(entry, str) else entry
            action = rule.action or config.action
            actions.add(action)
            self._add(f"fields[{index}]", rule, action)
        self.key = _key_of(config.secret) if "hash" in actions else b""

    def _add(self, where: str, rule: Rule, action: Action | None) -> None:
        try:
            if rule.name is not None:
                self._add_name(rule.name, action)
            else:
                assert rule.path is not None
                self._add_path(parse_path(rule.path), action)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None

    def _add_name(self, name: str, action: Action | None) -> None:
        squeezed = squeeze(name)
        if not squeezed:
            raise ValueError("a name has at least one letter or digit")
        if self.names.get(squeezed) is not None:
            raise ValueError(f"{name!r} is there twice")
        self.names[squeezed] = action

    def _add_path(self, path: Path, action: Action | None) -> None:
        if path.root in FIELDS:
            self._add_attribute(path.root, action)
            return
        if path.root not in BODIES:
            raise ValueError(f"{path.root!r} cannot be masked")
        rules = self.rules.setdefault(path.root, Rules())
        for step in path.steps:
            if isinstance(step, int):
                raise ValueError("write [] for all elements of a list; one cannot be picked")  # noqa: TRY004
            if step is not EVERY:  # rules go through lists by themselves
                rules = rules.keys.setdefault(step, Rules())
        if action is None:
            rules.skip = True
            return
        if rules.action is not None:
            raise ValueError(f"'{path}' is there twice")
        rules.action = action
        keys = [step for step in path.steps if step is not EVERY]
        last = keys[-1] if keys else None
        assert not isinstance(last, int)
        self.last_keys.setdefault(path.root, set()).add(last)

    def _add_attribute(self, name: str, action: Action | None) -> None:
        if action is None:
            raise ValueError(f"nothing is detected in {name!r} anyway")
        if name in _IDS and action != "hash":
            raise ValueError(
                f'{name!r} says whose event it is, so it can only be hashed: action = "hash"'
            )
        if name not in (*_IDS, *_TEXTS) or (name == "event" and action == "drop"):
            raise ValueError(f"{name!r} is needed as it is")
        self.attributes[FIELDS[name]] = action


def _rule_of(text: str) -> Rule:
    is_path = text in _IDS or "." in text or "[" in text
    return Rule(path=text) if is_path else Rule(name=text)


def _key_of(secret: Secret | None) -> bytes:
    if secret is None or len(secret.reveal()) < MIN_SECRET_LENGTH:
        problem = "needs a secret" if secret is None else "needs a longer secret"
        raise ValueError(
            f'action = "hash" {problem}, of at least {MIN_SECRET_LENGTH} characters, so that '
            "nobody can find out what was hashed by hashing guesses: secret = "
            '"${MASK_SECRET}", say, and that variable set to the output of: openssl rand -hex 32'
        )
    return secret.reveal().encode()


class Mask(Transform):
    """The transform. Identities are left as they are, unless `fields` names them."""

    def __init__(self, config: MaskConfig) -> None:
        plan = _Plan(config)
        self._detects = bool(config.detect)
        self._attributes = tuple(plan.attributes.items())
        self._rules = plan.rules
        self._prescan = Prescan(
            config.detect,
            [name for name, action in plan.names.items() if action is not None],
            plan.last_keys,
        )
        self._redactor = Redactor(config.detect, config.action, plan.names, plan.key)

    def apply(self, events: list[Event]) -> list[Event]:
        """Mask what is personal in the events; none is left out."""
        # Everything is worked out from the events as they came, and only then assigned: what has
        # been hashed by one rule must not be hashed by another.
        changes = [*self._changed_bodies(events), *self._changed_notes(events)]
        if self._detects and self._prescan.texts(events):
            changes += self._changed_texts(events)
        for attribute, action in self._attributes:
            changes += self._changed_attribute(events, attribute, action)
        for event, name, value in changes:
            setattr(event, name, value)
        return events

    def _changed_bodies(self, events: list[Event]) -> Iterator[_Change]:
        for (index, body), reasons in self._prescan.bodies(events).items():
            old = getattr(events[index], body)
            new = self._redactor.value(old, self._rules.get(body), reasons)
            if new is not old:
                yield events[index], body, {} if new is GONE else new

    def _changed_texts(self, events: list[Event]) -> Iterator[_Change]:
        for event in events:
            for name in ("event", "name", "category"):
                old = getattr(event, name)
                new = self._redactor.text(old) if old else old
                if new is not old:
                    dropped = MASKED if name == "event" else None
                    yield event, name, dropped if new is GONE else new

    def _changed_attribute(
        self, events: list[Event], attribute: str, action: Action
    ) -> Iterator[_Change]:
        for event in events:
            old = getattr(event, attribute)
            if old is not None:
                new = self._redactor.whole(old, action)
                yield event, attribute, None if new is GONE else new

    def _changed_notes(self, events: list[Event]) -> Iterator[_Change]:
        """The gateway's own copies of what the context says, and a time that was not one."""
        for event in events:
            if event.raw_notes is EMPTY:
                continue
            old = event.notes
            context = {"ip": old.request_ip, "userAgent": old.user_agent}
            seen = self._redactor.value(context, self._rules.get("context"), _EVERY_REASON)
            kept = seen if seen is not GONE else {}
            raw_timestamp = self._redactor.text(old.raw_timestamp or "") or None
            new = Warnings(
                request_ip=kept.get("ip"),
                user_agent=kept.get("userAgent"),
                raw_timestamp=raw_timestamp if raw_timestamp is not GONE else None,
                notes=old.notes,
            )
            if new != old:
                yield event, "raw_notes", Raw(msgspec.json.encode(new))


_Change: TypeAlias = tuple[Event, str, Any]
_EVERY_REASON = DETECT | NAMES | PATHS


def _build(config: MaskConfig, _: Context) -> Mask:
    return Mask(config)


@hookimpl
def register_transforms(register: Callable[[TransformSpec[Any]], None]) -> None:
    """Register ``mask``."""
    register(TransformSpec("mask", MaskConfig, _build))
