"""Reads the identifiers of an event.

Most events bring only identifiers that were seen together before. `Reader.raw` is therefore as
cheap as it can be: it decodes the few fields of the bodies that may hold an identifier, and returns
what it found as it was sent. Only a combination that is new is brought to one spelling by
`Reader.identifiers`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any, TypeAlias
from urllib.parse import unquote_plus

import msgspec
from msgspec import Struct, field

from gateway import Event, parse_path, path_reader
from headgate_profiles.identifiers.kinds import Identifier, Kinds
from headgate_profiles.identifiers.values import clean

__all__ = ["Reader", "Sent"]

Sent: TypeAlias = tuple[Any, ...]
"""What an event was sent with: the values that may be identifiers, in fixed places."""

_CLICK = re.compile(r"[?&](gclid|gbraid|wbraid|fbclid|msclkid|ttclid|twclid|li_fat_id)=([^&#]+)")
_TYPE = re.compile(r"[a-z][a-z0-9_]{0,39}")
_LARGEST_EXACT = 2**53


class _External(Struct):
    id: Any = None
    type: Any = None
    collection: Any = "users"
    encoding: Any = "none"


class _Traits(Struct):
    email: Any = None
    phone: Any = None


class _Device(Struct):
    id: Any = None
    advertising_id: Any = field(default=None, name="advertisingId")
    tracking: Any = field(default=None, name="adTrackingEnabled")
    token: Any = None


class _Page(Struct):
    url: Any = None


class _Context(Struct):
    traits: _Traits | None = None
    device: _Device | None = None
    external: list[_External] | None = field(default=None, name="externalIds")
    page: _Page | None = None


_NO_TRAITS, _NO_DEVICE, _NO_CONTEXT = _Traits(), _Device(), _Context()
_decode_context = msgspec.json.Decoder(_Context).decode
_decode_traits = msgspec.json.Decoder(_Traits).decode


class Reader:
    """Reads identifiers by the rules of a config.

    Attributes:
        refused: number of values that were no identifiers, by reason.

    Args:
        most: number of identifiers that are read from one event.
        most_chars: length of the longest value.
    """

    def __init__(self, kinds: Kinds, most: int, most_chars: int) -> None:
        self.refused: Counter[str] = Counter()
        self._kinds = kinds
        self._most = most
        self._most_chars = most_chars
        self._own: list[tuple[str, Callable[[Event], Any]]] = [
            (name, path_reader(parse_path(path))) for name, path in kinds.own_paths()
        ]
        self._clicks = kinds["click_id"].enabled

    def raw(self, event: Event) -> Sent:
        """Returns the values that may be identifiers, as they were sent; the key of a cache."""
        context = _NO_CONTEXT
        if len(event.raw_context):
            try:
                context = _decode_context(event.raw_context)
            except msgspec.MsgspecError:
                context = _lenient(event.context)
        traits = context.traits or _NO_TRAITS
        own = _NO_TRAITS
        if event.type == "identify" and len(event.raw_traits):
            try:
                own = _decode_traits(event.raw_traits)
            except msgspec.MsgspecError:
                own = _traits(event.traits)
        device = context.device or _NO_DEVICE
        external: Any = None
        if context.external:
            external = tuple(
                (one.type, one.id, one.collection, one.encoding) for one in context.external
            )
        url = context.page.url if self._clicks and context.page else None
        return (
            event.user_id,
            event.anonymous_id,
            event.previous_id if event.type == "alias" else None,
            own.email or traits.email,
            own.phone or traits.phone,
            device.id,
            None if device.tracking is False else device.advertising_id,
            device.token,
            external,
            url,
            *(read(event) for _, read in self._own),
        )

    def identifiers(self, sent: Sent) -> tuple[Identifier, ...]:
        """Returns the identifiers among the values, the one that says most first."""
        user, anonymous, previous, email, phone, device, advertising, token, external, url = sent[
            :10
        ]
        found: set[Identifier] = set()
        self._add(found, "user_id", user)
        self._add(found, "anonymous_id", anonymous)
        self._add(found, "anonymous_id", previous)
        self._add(found, "email", email)
        self._add(found, "phone", phone)
        self._add(found, "device_id", device)
        self._add(found, "advertising_id", advertising)
        self._add(found, "push_token", token)
        for type_, id_, collection, encoding in external or ():
            if (
                collection != "users"
                or encoding != "none"
                or not isinstance(type_, str)
                or _TYPE.fullmatch(type_) is None
            ):
                self.refused["external"] += 1
            else:
                self._add(found, type_, id_)
        for (name, _), value in zip(self._own, sent[10:], strict=True):
            self._add(found, name, value)
        for click in _CLICK.findall(url) if isinstance(url, str) else ():
            self._add(found, "click_id", f"{click[0]}:{unquote_plus(click[1])}")
        ordered = self._kinds.sort(found)
        if len(ordered) > self._most:
            self.refused["too_many"] += len(ordered) - self._most
        return ordered[: self._most]

    def _add(self, found: set[Identifier], type_: str, value: Any) -> None:
        text = _text(value)
        if text is None or not self._kinds[type_].enabled:
            return
        value, why = clean(type_, text, self._kinds, self._most_chars)
        if why is None:
            found.add(Identifier(type_, value))
        else:
            self.refused[why] += 1


def _text(value: Any) -> str | None:
    if isinstance(value, str):
        return value or None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float) and not (abs(value) < _LARGEST_EXACT and value.is_integer()):
        return None
    return str(int(value))


def _lenient(context: Any) -> _Context:
    """Reads what can be read from a context in which something has another type."""
    traits, device, page = (
        value if isinstance(value := context.get(key), dict) else {}
        for key in ("traits", "device", "page")
    )
    listed = context.get("externalIds")
    return _Context(
        _traits(traits),
        _Device(
            device.get("id"),
            device.get("advertisingId"),
            device.get("adTrackingEnabled"),
            device.get("token"),
        ),
        [
            _External(
                one.get("id"),
                one.get("type"),
                one.get("collection", "users"),
                one.get("encoding", "none"),
            )
            for one in (listed if isinstance(listed, list) else ())
            if isinstance(one, dict)
        ],
        _Page(page.get("url")),
    )


def _traits(traits: Any) -> _Traits:
    return _Traits(traits.get("email"), traits.get("phone"))
