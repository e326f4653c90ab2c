"""Finds the events in a request of any form: JSON, lines of JSON, forms, or text.

The contract checker sends events whose ids have a unique form, so they are found wherever a
destination puts them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

from gateway.http.content import decoded_body
from gateway.testing.fake_vendor import Received

__all__ = ["content_of", "delivers_like", "find_ids", "id_of", "items_in"]

_ID = re.compile(r"kit-[a-z-]+-[0-9]{2}(?![0-9])")


def id_of(scene: str, number: int) -> str:
    """Returns the message id of an event: short enough for all vendors, and safe in a URL."""
    return f"kit-{scene}-{number:02d}"


def find_ids(text: str) -> list[str]:
    """Returns the ids in a text, each once, in order of appearance."""
    return list(dict.fromkeys(_ID.findall(unquote(text))))


def content_of(request: Received) -> Any:
    """Decodes the body: JSON, a list for lines of JSON, a mapping for a form; or else its text."""
    return decoded_body(request.content, request.headers.get("Content-Type", ""))


def items_in(request: Received) -> dict[str, Any]:
    """Returns the id of each event in a request, in order, with the item that is sent for it.

    The item is the element of the outermost list that holds the event. In a request without lists
    it is the path and the whole body.
    """
    content = content_of(request)
    found: dict[str, list[Any]] = {}
    for item in _elements(content):
        ids = find_ids(_text(item))
        for id_ in ids:
            found.setdefault(id_, []).append(item)
    for id_ in find_ids(f"{request.path} {_text(content)}"):
        found.setdefault(id_, [request.path, content])
    return {id_: items[0] if len(items) == 1 else items for id_, items in found.items()}


def delivers_like(request: Received, delivering: Iterable[Received]) -> bool:
    """Tells if a request delivers something, as others do.

    It does if it goes to the address of one of them, with the same parameters, and carries an item.
    An empty list carries none. Where events are sent in lists, neither does a body without a list.
    Where the address names the event, no body is needed.
    """
    return any(_same_address(request, other) and _same_form(request, other) for other in delivering)


def _same_address(request: Received, other: Received) -> bool:
    mine, known = urlsplit(request.path), urlsplit(other.path)
    path = "[^/]+".join(map(re.escape, _ID.split(known.path)))
    return (
        request.method == other.method
        and re.fullmatch(path, mine.path) is not None
        and _parameters(mine.query) == _parameters(known.query)
    )


def _parameters(query: str) -> set[str]:
    return set(parse_qs(query, keep_blank_values=True))


def _same_form(request: Received, other: Received) -> bool:
    if find_ids(other.path):
        return True
    content = content_of(request)
    in_lists = list(_elements(content_of(other)))
    return bool(list(_elements(content)) if in_lists else content)


def _elements(content: Any) -> Iterator[Any]:
    """Yields the elements of the outermost lists."""
    if isinstance(content, list):
        yield from content
    elif isinstance(content, Mapping):
        for value in content.values():
            yield from _elements(value)


def _text(content: Any) -> str:
    return content if isinstance(content, str) else msgspec.json.encode(content).decode()
