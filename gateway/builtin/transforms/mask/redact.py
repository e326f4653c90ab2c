"""Removes personal data from decoded JSON, without changing the decoded objects.

`Redactor` walks through a value and returns the same object if it has no personal data, else a new
one. Personal data is recognised by its path (`Rules`), by the name of its key, and by the text
itself (`gateway.privacy.detectors.detect`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from copy import copy
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, Literal, TypeAlias

import msgspec

from gateway.builtin.transforms.mask.hashing import Hasher
from gateway.privacy.detectors.detect import NUMBERS, Detector, Found, Kind
from gateway.privacy.detectors.disguise import MASKED, canonical, disguise
from gateway.privacy.detectors.prescan import squeeze
from gateway.privacy.detectors.suspicion import DETECT, NAMES

__all__ = ["GONE", "SKIP_NUMBERS", "Action", "Redactor", "Rules", "Treatment"]

Action: TypeAlias = Literal["drop", "mask", "replace", "hash", "pseudonym"]

Treatment: TypeAlias = Action | Literal["skip", "numbers"]
"""Treatment of a key's value: an action; or nothing (``skip``), or no number (``numbers``), is
detected in it."""

SKIP_NUMBERS = 16
"""Added to the reasons where numbers are known by their key, so that none is detected."""

GONE: Final = object()
"""Returned for a value to leave out."""

_LEAST_NUMBER = 10**12  # the least whole number of 13 digits
_MOST_NUMBER = 10**19
_EXACT_FLOAT = 2**53
_UNNAMED: Any = object()
_CACHED_KEYS = 4096
_CACHED_KEY_LENGTH = 64
_ALL_KINDS = Detector()
_JSON_BEGINS = frozenset('{["')
_MOST_NESTED = 4  # levels of JSON in texts of JSON; deeper ones are read as text


@dataclass(slots=True)
class Rules:
    """The rules for a place and below it: a tree whose branches are the steps of paths.

    Attributes:
        action: action for everything here.
        skip: detect nothing here and below.
        skip_numbers: detect no numbers here and below.
        keys: rules for the values of an object; for a list of objects, of each object.
    """

    action: Action | None = None
    skip: bool = False
    skip_numbers: bool = False
    keys: dict[str, Rules] = field(default_factory=dict)


class Redactor:
    """Applies actions to values.

    Args:
        kinds: kinds to detect in texts and numbers.
        actions: maps each kind to its action.
        treatments: maps each squeezed key to the treatment of its value.
        replacement: text that `replace` inserts.
    """

    def __init__(
        self,
        kinds: Collection[Kind],
        actions: Mapping[Kind, Action],
        treatments: Mapping[bytes, Treatment],
        hasher: Hasher,
        replacement: str = MASKED,
    ) -> None:
        self._find_all = Detector(kinds).find
        self._find_but_numbers = Detector(set(kinds) - NUMBERS).find
        self._actions = dict(actions)
        self._treatments = dict(treatments)
        self._cached_treatment = lru_cache(_CACHED_KEYS)(self._look_up)
        self._hasher = hasher
        self._replacement = replacement
        self._nested = 0
        self._only: AbstractSet[str] | None = None

    def twin(self, hasher: Hasher | None = None) -> Redactor:
        """Returns a redactor that does the same, for another thread or with another hasher."""
        other = copy(self)
        other._hasher = hasher or self._hasher
        other._nested, other._only = 0, None
        return other

    def value(self, value: Any, rules: Rules | None, reasons: int) -> Any:
        """Returns a value without personal data: the same object if it has none, or `GONE`.

        Args:
            rules: rules for this place, if any.
            reasons: what to search for, as flags of `gateway.privacy.detectors.prescan`.
        """
        if rules is not None:
            if rules.action is not None:
                return self.whole(value, rules.action, reasons)
            if rules.skip:
                reasons &= ~DETECT
            if rules.skip_numbers:
                reasons |= SKIP_NUMBERS
        elif not reasons & (DETECT | NAMES):
            return value
        kind = type(value)
        if kind is str:
            return self.text(value, reasons)
        if kind is int or kind is float:
            return self._number(value, reasons) if reasons & DETECT else value
        if kind is dict:
            return self._object(value, rules, reasons)
        if kind is list:
            return _list(value, [self.value(item, rules, reasons) for item in value])
        if value is None or kind is bool:
            return value
        return self._foreign(value, rules, reasons)

    def value_with(
        self, value: Any, rules: Rules | None, reasons: int, texts: AbstractSet[str] | None
    ) -> Any:
        """Does the same as `value`, but detects in these texts and in numbers only.

        Args:
            texts: None for all.
        """
        self._only = texts
        try:
            return self.value(value, rules, reasons)
        finally:
            self._only = None

    def _foreign(self, value: Any, rules: Rules | None, reasons: int) -> Any:
        """Redacts a value of a type that no decoder returns, but another transform may insert.

        It is redacted in the form that it has once it is stored.
        """
        plain = _plain(value)
        new = self.value(plain, rules, reasons)
        return value if new is plain else new

    def text(self, text: str, reasons: int = DETECT) -> Any:
        """Returns a text with all findings masked, hashed or removed; `GONE` if nothing is left."""
        if self._only is not None and text not in self._only:
            return text
        if text[:1] in _JSON_BEGINS or text[:1].isspace():
            text = self._json(text, reasons)
        if not reasons & DETECT:
            return text
        found = (self._find_but_numbers if reasons & SKIP_NUMBERS else self._find_all)(text)
        return self.replaced(text, found) if found else text

    def find(self, text: str, *, numbers: bool = True) -> Sequence[Found] | None:
        """Returns the findings in a text; None if it may be JSON, and has to be read as that.

        Args:
            numbers: detect numbers too.
        """
        if text[:1] in _JSON_BEGINS or text[:1].isspace():
            return None
        return (self._find_all if numbers else self._find_but_numbers)(text)

    def replaced(self, text: str, found: Sequence[Found]) -> Any:
        """Returns a text with its findings masked, hashed or removed; `GONE` if nothing is left."""
        first = found[0]
        if len(text.strip()) == first.end - first.start and self._actions[first.kind] == "drop":
            return GONE
        pieces = []
        position = 0
        for item in found:
            pieces.append(text[position : item.start])
            pieces.append(self._piece(item, text))
            position = item.end
        pieces.append(text[position:])
        return "".join(pieces)

    def skips_numbers(self, key: str, rules: Rules | None) -> bool:
        """Tells whether numbers are exempt in the value of a key at the top of a body.

        Args:
            rules: rules for the body, if any.
        """
        below = rules.keys.get(key) if rules is not None else None
        return (
            (rules is not None and rules.skip_numbers)
            or (below is not None and below.skip_numbers)
            or self._treatment_of(key) == "numbers"
        )

    def _json(self, text: str, reasons: int) -> str:
        """Redacts the values in a text that is JSON; returns any other text as it is."""
        if self._nested >= _MOST_NESTED:
            return text
        try:
            inner = msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError):
            return text
        only, self._only = self._only, None
        self._nested += 1
        try:
            new = self.value(inner, None, reasons)
        finally:
            self._nested -= 1
            self._only = only
        return text if new is inner or new is GONE else msgspec.json.encode(new).decode()

    def _piece(self, item: Found, text: str) -> str:
        action = self._actions[item.kind]
        piece = text[item.start : item.end]
        return "" if action == "drop" else self._replaced(item.kind, piece, action)

    def whole(self, value: Any, action: Action, reasons: int = 0) -> Any:
        """Applies an action to a value as a whole, and to each value in objects and lists."""
        if action == "drop":
            return GONE
        if value is None or value == "":
            return value
        if isinstance(value, dict):
            result = _Object()
            for key, item in value.items():
                new_key = self.text(key, reasons)
                if new_key is not GONE:
                    result.add(new_key, self.whole(item, action, reasons))
            return result.items
        if isinstance(value, list):
            return [self.whole(item, action, reasons) for item in value]
        if not isinstance(value, str | int | float):
            return self.whole(_plain(value), action, reasons)
        text = value if isinstance(value, str) else _json_text(value)
        kind = _ALL_KINDS.classify(text.strip())
        if kind is not None:
            return self._replaced(kind, text.strip(), action)
        return MASKED if action == "mask" else self.other(text, action)

    def as_id(self, text: str, action: Action) -> str:
        """Replaces an id that is or contains personal data, always as a whole."""
        kind = _ALL_KINDS.classify(text.strip())
        return self.other(text if kind is None else canonical(kind, text.strip()), action)

    def hashed(self, text: str, hasher: Hasher) -> str:
        """Returns the hash of a text as a whole."""
        kind = _ALL_KINDS.classify(text.strip())
        return hasher.hash(text if kind is None else canonical(kind, text.strip()))

    def _object(self, value: dict[str, Any], rules: Rules | None, reasons: int) -> Any:
        result = _Object()
        changed = False
        for key, item in value.items():
            below = rules.keys.get(key) if rules is not None else None
            by_path = below is not None and below.action is not None
            named = _UNNAMED if by_path else self._treatment_of(key)
            if named == "skip":
                new_key, new = key, self.value(item, below, reasons & ~DETECT)
            elif named == "numbers":
                new_key, new = key, self.value(item, below, reasons | SKIP_NUMBERS)
            elif named is not _UNNAMED and reasons & NAMES:
                new_key, new = key, self.whole(item, named, reasons)
            else:
                new_key = self.text(key, reasons) if reasons & DETECT else key
                # Most values are texts: this saves one call in two.
                plain = below is None and type(item) is str
                new = self.text(item, reasons) if plain else self.value(item, below, reasons)
            if new is not item or new_key is not key:
                changed = True
            if new is GONE or new_key is GONE:
                continue
            result.add(new_key, new)
        return result.items if changed else value

    def _treatment_of(self, key: str) -> Any:
        """Returns the treatment of a key's value, or `_UNNAMED`."""
        if not self._treatments:
            return _UNNAMED
        look_up = self._cached_treatment if len(key) <= _CACHED_KEY_LENGTH else self._look_up
        return look_up(key)

    def _look_up(self, key: str) -> Any:
        return self._treatments.get(squeeze(key), _UNNAMED)

    def _number(self, value: Any, reasons: int) -> Any:
        if reasons & SKIP_NUMBERS or not _LEAST_NUMBER <= value < _MOST_NUMBER:
            return value
        if isinstance(value, float) and not (value < _EXACT_FLOAT and value.is_integer()):
            return value
        digits = str(int(value))
        found = self._find_all(digits)
        if not found or found[0].end - found[0].start < len(digits):
            return value
        kind = found[0].kind
        action = self._actions[kind]
        return GONE if action == "drop" else self._replaced(kind, digits, action)

    def _replaced(self, kind: Kind, text: str, action: Action) -> str:
        if action == "mask":
            return disguise(kind, text)
        return self.other(canonical(kind, text), action)

    def other(self, text: str, action: Action) -> str:
        """Returns the replacement or the hash of a text, as the action says."""
        if action == "replace":
            return self._replacement
        return self._hasher.hash(text) if action == "hash" else self._hasher.pseudonym(text)


def _plain(value: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(value))


def _list(value: list[Any], new: list[Any]) -> Any:
    if all(old is item for old, item in zip(value, new, strict=True)):
        return value
    return [item for item in new if item is not GONE]


def _json_text(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return msgspec.json.encode(value).decode()


class _Object:
    """Builds an object whose keys may have become equal by masking; numbers such keys."""

    __slots__ = ("_numbers", "items")

    def __init__(self) -> None:
        self.items: dict[str, Any] = {}
        self._numbers: dict[str, int] = {}

    def add(self, key: str, value: Any) -> None:
        if key in self.items:
            number = self._numbers.get(key, 2)  # continues, or many equal keys would take too long
            while f"{key} ({number})" in self.items:
                number += 1
            self._numbers[key] = number + 1
            key = f"{key} ({number})"
        self.items[key] = value
