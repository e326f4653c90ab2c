"""Takes personal data out of decoded JSON, without changing what was decoded.

`Redactor` goes through a value and returns either the same object, if there is nothing to take out,
or a new one. Three things point to personal data: a path (`Rules`), a key's name, and the text
itself (`gateway.builtin.detect`).
"""

from __future__ import annotations

import hmac
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, Literal, TypeAlias, cast

import msgspec

from gateway.builtin.cards import is_card
from gateway.builtin.detect import MASKED, Detector, Kind, canonical, disguise
from gateway.builtin.prescan import DETECT, NAMES, squeeze

__all__ = ["GONE", "Action", "Redactor", "Rules"]

Action: TypeAlias = Literal["drop", "mask", "hash"]

GONE: Final = object()
"""Returned for a value that is to be left out."""

_LEAST_CARD = 10**12  # the least whole number of 13 digits
_MOST_CARD = 10**19
_EXACT_FLOAT = 2**53
_UNNAMED: Any = object()
_REMEMBERED_KEYS = 4096  # of at most so many characters:
_REMEMBERED_LENGTH = 64
_ALL_KINDS = Detector()


@dataclass(slots=True)
class Rules:
    """What is to happen at a place, and below it: a tree whose branches are the steps of paths.

    Attributes:
        action: what to do with everything here.
        skip: detect nothing here and below.
        keys: rules for the values of an object, and of each object where there is a list of them.
    """

    action: Action | None = None
    skip: bool = False
    keys: dict[str, Rules] = field(default_factory=dict)


class Redactor:
    """Applies actions to values.

    Args:
        kinds: what is detected in texts and numbers.
        action: what happens to what is detected.
        names: squeezed key to what happens to its value; None exempts it from detection.
        key: secret of the hashes.
    """

    def __init__(
        self,
        kinds: Collection[Kind],
        action: Action,
        names: Mapping[bytes, Action | None],
        key: bytes,
    ) -> None:
        self._find = Detector(kinds).find
        self._cards = "card" in kinds
        self._action = action
        self._names = dict(names)
        self._named = lru_cache(_REMEMBERED_KEYS)(self._look_up)
        self._key = key

    def value(self, value: Any, rules: Rules | None, reasons: int) -> Any:
        """A value without personal data; the same object where there is none, or `GONE`.

        Args:
            rules: those for this place, if any.
            reasons: what to look for, as `gateway.builtin.prescan` has it.
        """
        if rules is not None:
            if rules.action is not None:
                return self.whole(value, rules.action, reasons)
            if rules.skip:
                reasons &= ~DETECT
        elif not reasons & (DETECT | NAMES):
            return value
        kind = type(value)
        if kind is str:
            return self.text(value) if reasons & DETECT else value
        if kind is int or kind is float:
            return self._number(value) if reasons & DETECT else value
        if kind is dict:
            return self._object(value, rules, reasons)
        if kind is list:
            return _list(value, [self.value(item, rules, reasons) for item in value])
        if value is None or kind is bool:
            return value
        return self._foreign(value, rules, reasons)

    def _foreign(self, value: Any, rules: Rules | None, reasons: int) -> Any:
        """A value of a type that no decoder gives, but that another transform may have put there.

        It is taken as what it will be once it is stored.
        """
        plain = _plain(value)
        new = self.value(plain, rules, reasons)
        return value if new is plain else new

    def text(self, text: str) -> Any:
        """A text with what is detected in it masked, hashed or cut out."""
        found = self._find(text)
        if not found:
            return text
        if self._action == "drop" and len(text.strip()) == found[0].end - found[0].start:
            return GONE
        pieces = []
        position = 0
        for item in found:
            pieces.append(text[position : item.start])
            if self._action != "drop":
                pieces.append(self._replaced(item.kind, text[item.start : item.end], self._action))
            position = item.end
        pieces.append(text[position:])
        return "".join(pieces)

    def whole(self, value: Any, action: Action, reasons: int = 0) -> Any:
        """A value that is personal data as a whole, in objects and lists each value of them."""
        if action == "drop":
            return GONE
        if value is None or value == "":
            return value
        if isinstance(value, dict):
            result = _Object()
            for key, item in value.items():
                new_key = self.text(key) if reasons & DETECT else key
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
        return MASKED if action == "mask" else self._digest(text)

    def _object(self, value: dict[str, Any], rules: Rules | None, reasons: int) -> Any:
        result = _Object()
        changed = False
        for key, item in value.items():
            below = rules.keys.get(key) if rules is not None else None
            by_path = below is not None and below.action is not None
            action = _UNNAMED if by_path else self._action_for(key)
            if action is None:
                new_key, new = key, self.value(item, below, reasons & ~DETECT)
            elif action is not _UNNAMED and reasons & NAMES:
                new_key, new = key, self.whole(item, action, reasons)
            elif below is not None or not reasons & DETECT:
                new_key, new = key, self.value(item, below, reasons)
            else:
                new_key = self.text(key)
                # Most values are texts: this saves one call in two.
                new = self.text(item) if type(item) is str else self.value(item, None, reasons)
            if new is not item or new_key is not key:
                changed = True
            if new is GONE or new_key is GONE:
                continue
            result.add(new_key, new)
        return result.items if changed else value

    def _action_for(self, key: str) -> Action | None:
        """What `names` says of a key, or `_UNNAMED`."""
        if not self._names:
            return cast("Action | None", _UNNAMED)
        look_up = self._named if len(key) <= _REMEMBERED_LENGTH else self._look_up
        action: Action | None = look_up(key)
        return action

    def _look_up(self, key: str) -> Action | None:
        action: Action | None = self._names.get(squeeze(key), _UNNAMED)
        return action

    def _number(self, value: Any) -> Any:
        if not (self._cards and _LEAST_CARD <= value < _MOST_CARD):
            return value
        if isinstance(value, float) and not (value < _EXACT_FLOAT and value.is_integer()):
            return value
        digits = str(int(value))
        if not is_card(digits):
            return value
        return GONE if self._action == "drop" else self._replaced("card", digits, self._action)

    def _replaced(self, kind: Kind, text: str, action: Action) -> str:
        if action == "mask":
            return disguise(kind, text)
        return self._digest(canonical(kind, text))

    def _digest(self, text: str) -> str:
        return hmac.digest(self._key, text.encode("utf-8", "surrogatepass"), "sha256").hex()


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
