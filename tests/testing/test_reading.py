"""Events in requests of any form."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from gateway.testing import Received, content_of, items_in
from gateway.testing.reading import delivers_like, find_ids, id_of

FORM = "application/x-www-form-urlencoded"


def request(body: bytes, path: str = "/", **headers: str) -> Received:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Received("POST", path, CIMultiDictProxy(CIMultiDict(named)), body)


def array(items: list[Any]) -> Received:
    return request(json.dumps(items).encode())


def nested(items: list[Any]) -> Received:
    return request(json.dumps({"key": "k", "data": {"rows": items}}).encode())


def lines(items: list[Any]) -> Received:
    return request("\n".join(map(json.dumps, items)).encode())


def zipped(items: list[Any]) -> Received:
    return request(gzip.compress(json.dumps(items).encode()), Content_Encoding="gzip")


def form(items: list[Any]) -> Received:
    body = urlencode({"key": "k", "data": json.dumps(items)}).encode()
    return request(body, Content_Type=FORM)


plain = st.dictionaries(st.text(max_size=5), st.text(max_size=5) | st.integers() | st.none())
items = st.lists(plain, min_size=2, max_size=6)


@pytest.mark.parametrize("form", [array, nested, lines, zipped, form])
@given(items)
def test_events_are_found_in_order_with_what_is_sent_of_them(
    form: Callable[[list[Any]], Received], others: list[dict[str, Any]]
) -> None:
    """Each event is found with its whole item, wherever the item has the id."""
    sent = [{**o, "list": [{"id": id_of("throttle", n)}]} for n, o in enumerate(others)]
    found = items_in(form(sent))
    assert list(found) == [id_of("throttle", n) for n in range(len(sent))]
    assert list(found.values()) == json.loads(json.dumps(sent))


@given(st.binary(max_size=200), st.text(max_size=50))
def test_any_body_can_be_read(body: bytes, kind: str) -> None:
    """No request of a destination makes the checker fail."""
    content_of(request(body, Content_Type=kind))
    content_of(request(body, Content_Type=FORM))
    assert items_in(request(body)) == {}


def test_a_request_without_lists_is_one_item() -> None:
    """The item includes the path, which can hold an id too."""
    path = f"/events/{id_of('stop', 3)}?x=1"
    assert items_in(request(b'{"a": 1}', path)) == {id_of("stop", 3): [path, {"a": 1}]}


def test_an_event_that_became_several_items_has_all_of_them() -> None:
    """An order with products, for example, has all its items."""
    rows = [{"id": id_of("stop", 1), "part": n} for n in range(2)]
    assert items_in(array(rows)) == {id_of("stop", 1): rows}


def test_ids_are_not_mistaken_for_longer_ones() -> None:
    """An id ends where its number does."""
    assert find_ids("kit-stop-01 kit-stop-011 kit-stop-1 kit%2Dstop%2D02") == [
        "kit-stop-01",
        "kit-stop-02",
    ]


LISTED = request(b'{"events": [{"id": "kit-check-00"}]}', "/batch?key=a")
SINGLE = request(b'{"id": "kit-check-00"}', "/hook")
NAMED = request(b"", "/events/kit-check-00?at=1")


@pytest.mark.parametrize(
    ("sent", "known", "delivers"),
    [
        (request(b'{"events": [{"id": "ping"}]}', "/batch?key=b"), LISTED, True),
        (request(b'{"events": []}', "/batch?key=a"), LISTED, False),
        (request(b'{"ping": true}', "/batch?key=a"), LISTED, False),
        (request(b'{"events": [{"id": "ping"}]}', "/batch?key=a&validate"), LISTED, False),
        (request(b'{"events": [{"id": "ping"}]}', "/debug?key=a"), LISTED, False),
        (request(b'{"text": "ping"}', "/hook"), SINGLE, True),
        (request(b"", "/hook"), SINGLE, False),
        (request(b"", "/events/ping?at=2"), NAMED, True),
        (request(b"", "/events"), NAMED, False),
    ],
)
def test_a_request_that_delivers_is_known_by_others(
    sent: Received, known: Received, delivers: bool
) -> None:
    """A request delivers if it has the address of a delivery, and carries an item as that does."""
    assert delivers_like(sent, [known]) == delivers
