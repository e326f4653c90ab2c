"""Templates: texts with ``{{path}}``, filled in for an event so that no value can be markup.

A place names one path or several; the first with a value counts. The last can be a text in quotes:
``{{userId | anonymousId | "nobody"}}``. Slack reads ``&``, ``<`` and ``>`` as markup (mentions,
links), so they are escaped in values, but not in the template itself
(https://docs.slack.dev/messaging/formatting-message-text, section Escaping text).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias
from urllib.parse import quote

import msgspec

from gateway import Event, PathError, parse_path, path_reader

__all__ = [
    "MAX_VALUE_CHARS",
    "Template",
    "TemplateError",
    "compile_template",
    "compile_value",
    "escape",
    "shortened",
]

MAX_VALUE_CHARS = 1000
"""Most characters of a value; longer ones are cut."""

Template: TypeAlias = Callable[[Event, Mapping[str, str]], str]
"""Fills in a text for an event, and for words that do not come from the event."""

Value: TypeAlias = Callable[[Event], Any]

_PLACE = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_QUOTED = re.compile(r'"([^"]*)"')
_URL_KEYS = frozenset({"url", "image_url", "thumbnail_url"})
_HALF_MARKUP = re.compile(r"(?:&[a-z]{0,3}|<(?:[@#!]|https?:|mailto:)[^>]*)$")


class TemplateError(ValueError):
    """A text is not a template; the message names the wrong place."""


def escape(text: str) -> str:
    """Escapes the three characters that Slack reads as markup."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def shortened(text: str, most: int) -> str:
    """Cuts an escaped text to so many characters, but never within an escape or a link."""
    if len(text) <= most:
        return text
    return _HALF_MARKUP.sub("", text[: most - 1]) + "…"


def compile_template(
    text: str, words: Sequence[str] = (), clean: Callable[[str], str] = escape
) -> Template:
    """Returns a function that fills in the text.

    Args:
        words: names that are not paths.
        clean: escapes a value.

    Raises:
        TemplateError: a place does not name a path.
    """
    # Splitting by a pattern with a group yields text outside and inside of it in turn.
    pieces = _PLACE.split(text)
    outside = pieces[::2]
    if any("{{" in piece or "}}" in piece for piece in outside):
        raise TemplateError("has '{{' or '}}' without the other")
    places = [_place(inside, words) for inside in pieces[1::2]]

    def fill(event: Event, known: Mapping[str, str]) -> str:
        parts = [outside[0]]
        for place, after in zip(places, outside[1:], strict=True):
            parts += (clean(place(event, known)[:MAX_VALUE_CHARS]), after)
        return "".join(parts)

    return fill


def compile_value(value: Any, key: str = "") -> Value:
    """Returns a function that fills in every text of a JSON value.

    Values in a URL are percent-encoded, others escaped.

    Raises:
        TemplateError: as `compile_template`.
    """
    if isinstance(value, str):
        fill = compile_template(value, clean=_quoted if key in _URL_KEYS else escape)
        return lambda event: fill(event, {})
    if isinstance(value, dict):
        inner = {key: compile_value(each, key) for key, each in value.items()}
        return lambda event: {key: make(event) for key, make in inner.items()}
    if isinstance(value, list | tuple):
        each_of = [compile_value(each, key) for each in value]
        return lambda event: [make(event) for make in each_of]
    return lambda _: value


def _quoted(text: str) -> str:
    return quote(text, safe="", errors="replace")


def _place(inside: str, words: Sequence[str]) -> Template:
    """Returns a function that reads a place as text."""
    readers = [_alternative(part.strip(), words) for part in inside.split("|")]

    def first(event: Event, known: Mapping[str, str]) -> str:
        return next((text for read in readers if (text := read(event, known))), "")

    return first


def _alternative(part: str, words: Sequence[str]) -> Template:
    if (literal := _QUOTED.fullmatch(part)) is not None:
        return lambda _, __: literal[1]
    if part in words:
        return lambda _, known: known[part]
    try:
        read = path_reader(parse_path(part))
    except PathError as error:
        raise TemplateError(f"{{{{{part}}}}}: {error}") from None
    return lambda event, _: _text(read(event))


def _text(value: Any) -> str:
    """Returns a value in a readable form."""
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return msgspec.json.encode(value).decode()
