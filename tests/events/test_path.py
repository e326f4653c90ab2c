"""Paths: their syntax, and the values that they find."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.events.conditions.path import (
    BODIES,
    EVERY,
    FIELDS,
    Path,
    PathError,
    parse_path,
    path_reader,
)
from gateway.events.event import Event, decode_events, encode_events
from gateway.testing import make_event
from tests.support.stored_event import as_stored
from tests.support.values import json_objects


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("userId", ()),
        ("properties", ()),
        ("properties.revenue", ("revenue",)),
        ("context.page.utm-source.$x", ("page", "utm-source", "$x")),
        ("properties.products[0].sku", ("products", 0, "sku")),
        ("properties.products[].sku", ("products", EVERY, "sku")),
        ('traits["First Name"]', ("First Name",)),
        (r'traits["a\"b\\c"].d', ('a"b\\c', "d")),
    ],
)
def test_steps_of_a_path(text: str, steps: tuple[Any, ...]) -> None:
    """A path is a field or body, then keys, indexes and []; it is written as it was read."""
    path = parse_path(text)

    assert path.steps == steps
    assert str(path) == text


@pytest.mark.parametrize(
    ("text", "position", "problem"),
    [
        ("", 0, "begins with the name of a field"),
        ("user_id", 0, "did you mean 'userId'?"),
        ("proprties.x", 0, "did you mean 'properties'?"),
        ("email", 0, "'properties.email' or 'traits.email'"),
        ("properties.", 10, "expected a key after '.'"),
        ("properties.a[x]", 12, "expected an index"),
        ("properties.a[-1]", 12, "expected an index"),
        ("userId.x", 6, "single value"),
        ("traits.x y", 8, "cannot follow 'traits.x'"),
    ],
)
def test_what_is_no_path_is_refused_with_its_place(text: str, position: int, problem: str) -> None:
    """An error names the wrong character, and suggests a correction."""
    with pytest.raises(PathError) as caught:
        parse_path(text)

    assert problem in str(caught.value)
    assert caught.value.position == position


def test_every_field_and_body_of_an_event_has_a_path() -> None:
    """Every part of an event has a path, except the gateway's own notes."""
    named = {*FIELDS.values(), *BODIES.values()}

    assert set(Event.__struct_fields__) - named == {"raw_notes"}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("event", "Order Completed"),
        ("groupId", None),
        ("properties.total", 27.5),
        ("properties.products[1].sku", "b"),
        ("properties.products[2].sku", None),
        ("properties.products.sku", None),
        ("properties.products[].sku", None),
        ("properties.total[0]", None),
        ("properties.total.x", None),
        ("properties.products[0]", {"sku": "a"}),
        ("properties.nothing", None),
        ('properties["a b"]', True),
        ("properties.huge", None),
        ("traits.x", None),
        ("traits", None),
        ("context", {"ip": "1.2.3.4"}),
        ("properties[0]", None),
        ("extra.tenant", "acme"),
    ],
)
@pytest.mark.parametrize("decoded", [False, True])
def test_a_reader_gives_the_value_or_none(path: str, value: object, decoded: bool) -> None:
    """A reader returns the value, before and after the body was decoded, or None."""
    event = make_event(
        properties={"total": 27.5, "products": [{"sku": "a"}, {"sku": "b"}], "a b": True},
        context={"ip": "1.2.3.4"},
        extra={"tenant": "acme"},
    )
    data = encode_events([event]).replace(b'"total":', b'"huge":1e999,"total":')
    event = decode_events(data)[0]
    if decoded:
        assert event.properties["total"] == 27.5

    assert path_reader(parse_path(path))(event) == value


def test_reading_one_value_decodes_no_body() -> None:
    """Reading a value does not make a waiting event larger."""
    event = as_stored(make_event(properties={"a": 1, "b": [{"c": 2}]}))

    assert path_reader(parse_path("properties.b[0].c"))(event) == 2
    assert not event.__dict__


@given(properties=json_objects, key=st.text(max_size=8))
def test_a_reader_agrees_with_the_decoded_body(properties: dict[str, Any], key: str) -> None:
    """For any key of any object, the value read from the bytes is the decoded one."""
    event = as_stored(make_event(properties=properties))
    whole = as_stored(event)

    assert path_reader(Path("properties", (key,)))(event) == whole.properties.get(key)


@given(st.text())
def test_any_text_is_a_path_or_an_error_with_a_place(text: str) -> None:
    """Any text is a path, or raises PathError with a position in the text or at its end."""
    position = 0
    try:
        path = parse_path(text)
    except PathError as error:
        position = error.position
    else:
        assert parse_path(str(path)) == path

    assert 0 <= position <= len(text)


@given(
    st.sampled_from(sorted(BODIES)),
    st.lists(st.text() | st.integers(min_value=0, max_value=999_999) | st.none(), max_size=4),
)
def test_a_written_path_is_read_as_the_same_path(root: str, steps: list[Any]) -> None:
    """Paths with any keys can be written and read back."""
    path = Path(root, tuple(steps))

    assert parse_path(str(path)) == path
