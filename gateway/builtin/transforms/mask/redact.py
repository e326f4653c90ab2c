"""Takes personal data out of decoded JSON, without changing what was decoded.

`Redactor` goes through a value and returns either the same object, if there is nothing to take out,
or a new one. Three things point to personal data: a path (`Rules`), a key's name, and the text
itself (`gateway.privacy.detectors.detect`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, Literal, TypeAlias

import msgspec

from gateway.builtin.transforms.mask.hashing import Hasher
from gateway.privacy.detectors.detect import NUMBERS, Detector, Found, Kind
from gateway.privacy.detectors.disguise import MASKED, canonical, disguise
from gateway.privacy.detectors.prescan import squeeze
from gateway.privacy.detectors.suspicion import DETECT, NAMES

__all__ = ["GONE", "PLAIN", "Action", "Named", "Redactor", "Rules"]

Action: TypeAlias = Literal["drop", "mask", "replace", "hash", "pseudonym"]

Named: TypeAlias = Action | Literal["skip", "numbers"]
"""What is said of a key: an action, or that nothing, or no number, is detected below it."""

PLAIN = 16
"""Beside the reasons: numbers here are what their key says, so that none is taken for another."""

GONE: Final = object()
"""Returned for a value that is to be left out."""

_LEAST_NUMBER = 10**12  # the least whole number of 13 digits
_MOST_NUMBER = 10**19
_EXACT_FLOAT = 2**53
_UNNAMED: Any = object()
_REMEMBERED_KEYS = 4096  # of at most so many characters:
_REMEMBERED_LENGTH = 64
_ALL_KINDS = Detector()
_JSON_BEGINS = frozenset('{["')
_MOST_NESTED = 4  # texts that are JSON, in texts that are JSON; deeper ones are read as text


@dataclass(slots=True)
class Rules:
    """What is to happen at a place, and below it: a tree whose branches are the steps of paths.

    Attributes:
        action: what to do with everything here.
        skip: detect nothing here and below.
        plain: detect no numbers here and below.
        keys: rules for the values of an object, and of each object where there is a list of them.
    """

    action: Action | None = None
    skip: bool = False
    plain: bool = False
    keys: dict[str, Rules] = field(default_factory=dict)


class Redactor:
    """Applies actions to values.

    Args:
        kinds: what is detected in texts and numbers.
        actions: what happens to each of them.
        names: squeezed key to what is said of its value.
        hasher: for hashes.
        replacement: what `replace` puts.
    """

    def __init__(
        self,
        kinds: Collection[Kind],
        actions: Mapping[Kind, Action],
        names: Mapping[bytes, Named],
        hasher: Hasher,
        replacement: str = MASKED,
    ) -> None:
        self._find_all = Detector(kinds).find
        self._find_plain = Detector(set(kinds) - NUMBERS).find
        self._actions = dict(actions)
        self._names = dict(names)
        self._named = lru_cache(_REMEMBERED_KEYS)(self._look_up)
        self._hasher = hasher
        self._replacement = replacement
        self._nested = 0
        self._only: AbstractSet[str] | None = None

    def value(self, value: Any, rules: Rules | None, reasons: int) -> Any:
        """A value without personal data; the same object where there is none, or `GONE`.

        Args:
            rules: those for this place, if any.
            reasons: what to look for, as `gateway.privacy.detectors.prescan` has it.
        """
        if rules is not None:
            if rules.action is not None:
                return self.whole(value, rules.action, reasons)
            if rules.skip:
                reasons &= ~DETECT
            if rules.plain:
                reasons |= PLAIN
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
        self, value: Any, rules: Rules | None, reasons: int, texts: AbstractSet[str]
    ) -> Any:
        """The same, where only these texts, and numbers, may have something to detect."""
        self._only = texts
        try:
            return self.value(value, rules, reasons)
        finally:
            self._only = None

    def _foreign(self, value: Any, rules: Rules | None, reasons: int) -> Any:
        """A value of a type that no decoder gives, but that another transform may have put there.

        It is taken as what it will be once it is stored.
        """
        plain = _plain(value)
        new = self.value(plain, rules, reasons)
        return value if new is plain else new

    def text(self, text: str, reasons: int = DETECT) -> Any:
        """A text with what is detected in it masked, hashed or cut out."""
        if self._only is not None and text not in self._only:
            return text
        if text[:1] in _JSON_BEGINS or text[:1].isspace():
            text = self._json(text, reasons)
        if not reasons & DETECT:
            return text
        found = (self._find_plain if reasons & PLAIN else self._find_all)(text)
        return self.replaced(text, found) if found else text

    def find(self, text: str, *, plain: bool = False) -> Sequence[Found] | None:
        """What is detected in a text; None if it may be JSON, and has to be read as that.

        Args:
            plain: whether numbers are not looked for.
        """
        if text[:1] in _JSON_BEGINS or text[:1].isspace():
            return None
        return (self._find_plain if plain else self._find_all)(text)

    def replaced(self, text: str, found: Sequence[Found]) -> Any:
        """A text with what was found in it masked, hashed or cut out; `GONE` if that is all."""
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

    def leaves_numbers(self, key: str, rules: Rules | None) -> bool:
        """Whether no numbers are detected in the value of a key at the top of a body.

        Args:
            rules: those for the body, if any.
        """
        below = rules.keys.get(key) if rules is not None else None
        return (
            (rules is not None and rules.plain)
            or (below is not None and below.plain)
            or self._said_of(key) == "numbers"
        )

    def _json(self, text: str, reasons: int) -> str:
        """A text that may be JSON, with what is in that redacted as if it were not in a text."""
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
        """A value that is personal data as a whole, in objects and lists each value of them."""
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
        return MASKED if action == "mask" else self._other(text, action)

    def as_id(self, text: str, action: Action) -> str:
        """What stands for an id that is, or holds, personal data; never in parts."""
        kind = _ALL_KINDS.classify(text.strip())
        return self._other(text if kind is None else canonical(kind, text.strip()), action)

    def hashed(self, text: str, hasher: Hasher) -> str:
        """The hash of a text as a whole."""
        kind = _ALL_KINDS.classify(text.strip())
        return hasher.hash(text if kind is None else canonical(kind, text.strip()))

    def _object(self, value: dict[str, Any], rules: Rules | None, reasons: int) -> Any:
        result = _Object()
        changed = False
        for key, item in value.items():
            below = rules.keys.get(key) if rules is not None else None
            by_path = below is not None and below.action is not None
            named = _UNNAMED if by_path else self._said_of(key)
            if named == "skip":
                new_key, new = key, self.value(item, below, reasons & ~DETECT)
            elif named == "numbers":
                new_key, new = key, self.value(item, below, reasons | PLAIN)
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

    def _said_of(self, key: str) -> Any:
        """What `names` says of a key, or `_UNNAMED`."""
        if not self._names:
            return _UNNAMED
        look_up = self._named if len(key) <= _REMEMBERED_LENGTH else self._look_up
        return look_up(key)

    def _look_up(self, key: str) -> Any:
        return self._names.get(squeeze(key), _UNNAMED)

    def _number(self, value: Any, reasons: int) -> Any:
        if reasons & PLAIN or not _LEAST_NUMBER <= value < _MOST_NUMBER:
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
        return self._other(canonical(kind, text), action)

    def _other(self, text: str, action: Action) -> str:
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
    """An object in the making, whose keys may have become the same by being masked."""

    __slots__ = ("_numbers", "items")

    def __init__(self) -> None:
        self.items: dict[str, Any] = {}
        self._numbers: dict[str, int] = {}

    def add(self, key: str, value: Any) -> None:
        if key in self.items:
            number = self._numbers.get(key, 2)  # counting on, or many keys would take for ever
            while f"{key} ({number})" in self.items:
                number += 1
            self._numbers[key] = number + 1
            key = f"{key} ({number})"
        self.items[key] = value
