"""The settings of a mask, and the rules compiled from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct

from gateway.builtin.transforms.mask.allow import Allowed, read_allowed
from gateway.builtin.transforms.mask.redact import Action, Rules, Treatment
from gateway.builtin.transforms.mask.steering import check_path
from gateway.components.settings import Secret
from gateway.events.conditions.path import EVERY, FIELDS, Path, parse_path
from gateway.privacy.detectors.detect import Kind
from gateway.privacy.detectors.disguise import MASKED
from gateway.privacy.detectors.prescan import SEARCHED_ROOTS, squeeze
from gateway.privacy.detectors.suspicion import BODIES

__all__ = [
    "DEFAULT_DETECT",
    "DEFAULT_SKIP_NUMBERS",
    "IDS",
    "MAX_RULES",
    "MIN_SECRET_LENGTH",
    "MaskConfig",
    "MaskRules",
    "Rule",
    "masked_names",
]

DEFAULT_DETECT: tuple[Kind, ...] = (
    "email",
    "card",
    "phone",
    "iban",
    "national_id",
    "ip",
    "secret",
)
"""All kinds, which are detected by default."""

DEFAULT_SKIP_NUMBERS = (
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
"""Places without detection of numbers by default: versions, and ids of goods and orders."""

MIN_SECRET_LENGTH = 16
"""Length of the shortest secret. A shorter one can be guessed, and with it every hash."""

MAX_RULES = 1000
"""Entries that `fields`, `allow`, `skip` and `skip_numbers` may have together."""

IDS = ("userId", "anonymousId", "previousId", "groupId", "messageId")
"""Fields that identify the event, its user or its group."""

_COMMON_KEYS = frozenset({"name", "id", "type", "version"})  # as in context.library.name
_TEXTS = ("event", "name", "category", "channel")
_HASHES: tuple[Action, ...] = ("hash", "pseudonym")
_Epoch: TypeAlias = Annotated[str, Meta(max_length=16, pattern="^[0-9A-Za-z_-]*$")]


class Rule(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An entry of `fields` as a table.

    Attributes:
        path: a path such as ``context.traits.email`` or ``properties.products[].note``.
        name: instead of `path`, a key at any depth; ``first_name`` matches ``firstName`` too.
        action: replaces the mask's own action.
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
        detect: kinds to detect in all texts and keys.
        action: ``mask``, ``replace``, ``drop``, ``hash`` or ``pseudonym``.
        actions: actions for single kinds that are detected, instead of `action`.
        fields: personal data of any form: paths, names of keys, or tables with `path` or `name` and
            an `action` of their own.
        allow: paths of all that may stay in the bodies; an empty list lets everything stay.
        skip: paths and names of keys without detection.
        skip_numbers: paths and names of keys without detection of `card`, `phone`, `ip` and
            `national_id`.
        ids: action for an id in which personal data is detected.
        replacement: text that ``replace`` inserts.
        secret: key of the hashes, at least `MIN_SECRET_LENGTH` characters; without it a random one
            is made at the first start, and kept in the data directory.
        epoch: name of the secret, put before each hash.
        previous_secrets: earlier secrets by epoch, for `gateway privacy hash`.
    """

    detect: tuple[Kind, ...] = DEFAULT_DETECT
    action: Action = "mask"
    actions: dict[Kind, Action] = {}
    fields: tuple[str | Rule, ...] = ()
    allow: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    skip_numbers: tuple[str, ...] = DEFAULT_SKIP_NUMBERS
    ids: Literal["hash", "pseudonym", "keep"] = "hash"
    replacement: Annotated[str, Meta(max_length=100)] = MASKED
    secret: Secret | None = None
    epoch: _Epoch = ""
    previous_secrets: dict[_Epoch, Secret] = {}

    def __post_init__(self) -> None:
        MaskRules(self)


class MaskRules:
    """The rules of a config, sorted by where they apply.

    Attributes:
        actions: maps each detected kind to its action.
        attributes: maps an attribute of an event, such as ``user_id``, to its action.
        treatments: maps a squeezed key to the treatment of its value.
        by_path: maps a body to the rules for its paths.
        last_keys: maps a body to a key of each of its paths with an action: the last, or the one
            before where many events have the last.
        allowed: the allow-list; None where there is none.
        pseudonyms: whether any action makes pseudonyms.

    Raises:
        ValueError: the config contradicts itself.
    """

    def __init__(self, config: MaskConfig) -> None:
        if not config.detect and not config.fields and not config.allow:
            raise ValueError("there is nothing to mask: detect, fields and allow are all empty")
        rules = config.fields, config.allow, config.skip, config.skip_numbers
        if sum(map(len, rules)) > MAX_RULES:
            raise ValueError(
                f"fields, allow, skip and skip_numbers have at most {MAX_RULES} entries together"
            )
        for kind in config.actions:
            if kind not in config.detect:
                raise ValueError(f"actions.{kind}: {kind!r} is not in detect")
        self.actions: dict[Kind, Action] = {
            kind: config.actions.get(kind, config.action) for kind in config.detect
        }
        self.attributes: dict[str, Action] = {}
        self.treatments: dict[bytes, Treatment] = {}
        self.by_path: dict[str, Rules] = {}
        self.last_keys: dict[str, set[str | None]] = {}
        self.allowed: dict[str, Allowed] | None = None
        if config.allow:
            self.allowed = read_allowed(config.allow, BODIES)
        for index, text in enumerate(config.skip_numbers):
            self._add(f"skip_numbers[{index}]", _rule_of(text), "numbers")
        for index, text in enumerate(config.skip):
            self._add(f"skip[{index}]", _rule_of(text), "skip")
        actions: set[Action] = set(self.actions.values())
        for index, entry in enumerate(config.fields):
            rule = _rule_of(entry) if isinstance(entry, str) else entry
            action = rule.action or config.action
            actions.add(action)
            self._add(f"fields[{index}]", rule, action)
        if config.secret is not None and len(config.secret.reveal()) < MIN_SECRET_LENGTH:
            raise ValueError(
                f"secret: needs at least {MIN_SECRET_LENGTH} characters, so that nobody can find "
                "out what was hashed by hashing guesses; openssl rand -hex 32 makes a good one"
            )
        self.pseudonyms = "pseudonym" in actions or config.ids == "pseudonym"

    def _add(self, where: str, rule: Rule, treatment: Treatment) -> None:
        try:
            if rule.name is not None:
                self._add_name(rule.name, treatment)
            else:
                assert rule.path is not None
                self._add_path(parse_path(rule.path), treatment)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None

    def _add_name(self, name: str, treatment: Treatment) -> None:
        squeezed = squeeze(name)
        if not squeezed:
            raise ValueError("a name has at least one letter or digit")
        if self.treatments.get(squeezed, "skip") not in ("skip", "numbers"):
            raise ValueError(f"{name!r} is there twice")
        self.treatments[squeezed] = treatment

    def _add_path(self, path: Path, treatment: Treatment) -> None:
        if path.root in FIELDS:
            self._add_attribute(path.root, treatment)
            return
        if path.root not in BODIES:
            raise ValueError(f"{path.root!r} cannot be masked")
        if treatment not in ("skip", "numbers"):
            check_path(path)
        rules = self.by_path.setdefault(path.root, Rules())
        for step in path.steps:
            if isinstance(step, int):
                raise ValueError("write [] for all elements of a list; one cannot be picked")  # noqa: TRY004
            if step is not EVERY:  # rules go through lists by themselves
                rules = rules.keys.setdefault(step, Rules())
        if treatment == "skip":
            rules.skip = True
            return
        if treatment == "numbers":
            rules.skip_numbers = True
            return
        if rules.action is not None:
            raise ValueError(f"'{path}' is there twice")
        rules.action = treatment
        keys = [step for step in path.steps if step is not EVERY]
        if keys and keys[-1] in _COMMON_KEYS and (len(keys) > 1 or path.root in SEARCHED_ROOTS):
            keys.pop()
        last = keys[-1] if keys else None
        assert not isinstance(last, int)
        self.last_keys.setdefault(path.root, set()).add(last)

    def _add_attribute(self, name: str, treatment: Treatment) -> None:
        if treatment in ("skip", "numbers"):
            raise ValueError(f"nothing can be skipped in {name!r}; ids have a setting of their own")
        assert treatment != "skip"
        assert treatment != "numbers"
        if name in IDS and treatment not in _HASHES:
            raise ValueError(
                f'{name!r} says whose event it is, so it can only be hashed: action = "hash"'
            )
        if name not in (*IDS, *_TEXTS) or (name == "event" and treatment == "drop"):
            raise ValueError(f"{name!r} is needed as it is")
        self.attributes[FIELDS[name]] = treatment


def masked_names(treatments: Mapping[bytes, Treatment]) -> list[bytes]:
    """Returns the keys whose values have an action."""
    return [name for name, one in treatments.items() if one not in ("skip", "numbers")]


def _rule_of(text: str) -> Rule:
    is_path = text in IDS or "." in text or "[" in text
    return Rule(path=text) if is_path else Rule(name=text)
