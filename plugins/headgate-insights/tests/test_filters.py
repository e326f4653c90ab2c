"""Conditions as SQL mean what the gateway's own evaluation means."""

from __future__ import annotations

import json
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import compile_condition
from gateway.testing import make_event
from headgate_insights.errors import WrongQuestion
from headgate_insights.events import Selector
from headgate_insights.filters import condition_paths, condition_sql
from headgate_insights.literals import literal
from tests.support.sizes import examples

OPERANDS = ["properties.a", "properties.b", "lowercase(properties.a)", "length(properties.b)",
            "null", "true", "-1.5", "3", "'x'"]  # fmt: skip
TESTS = [
    *(
        f"{left} {sign} {right}"
        for left in OPERANDS
        for sign in ("=", "!=", "<", ">=")
        for right in OPERANDS
    ),
    *(f"{value} in [null, true, 1, 'x', 2.5]" for value in OPERANDS),
    *(
        f"{name}({value}, {argument})"
        for name in ("contains", "starts_with", "ends_with", "match")
        for value in OPERANDS
        for argument in ("'x*'", "'a?[c'")
    ),
    *(f"contains(properties.a, {literal_})" for literal_ in ("null", "true", "1", "'x'")),
    "exists(properties.a)",
    "not exists(properties.a) and (properties.b = 1 or not properties.b in ['x'])",
]
COMPILED = [compile_condition(text) for text in TESTS]
CONNECTION = duckdb.cursor()
CONNECTION.execute("SET threads = 1")
# Numbers that a double holds exactly; larger ones are compared as doubles by SQL.
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["x", "X", "x*", "axc", "a?[c", "", "é", "x\ny", "'", '"'])
    | st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=5)
)
VALUES = SCALARS | st.lists(SCALARS, max_size=3) | st.dictionaries(st.just("k"), SCALARS)


# A query of all tests takes long to plan, so an example has many values and some of the tests.
@settings(max_examples=examples(3, 80), deadline=None)
@given(
    st.lists(st.tuples(VALUES, VALUES), min_size=30, max_size=60),
    st.lists(st.sampled_from(range(len(TESTS))), min_size=60, max_size=60, unique=True),
)
def test_sql_and_python_agree(values: list[tuple[Any, Any]], chosen: list[int]) -> None:
    """Any test of any values has the same result in SQL, and it is never NULL."""
    values += [(1, True), (["x"], {"k": 1}), ([None, 1.0], []), (None, None)]
    bodies = [json.dumps({"a": a, "b": b}) for a, b in values]
    columns = ", ".join(f"({condition_sql(TESTS[number])})" for number in chosen)
    CONNECTION.execute("CREATE OR REPLACE TABLE event (number INTEGER, properties JSON)")
    CONNECTION.executemany("INSERT INTO event VALUES (?, ?)", list(enumerate(bodies)))
    found = CONNECTION.execute(f"SELECT {columns} FROM event ORDER BY number").fetchall()
    for (a, b), row in zip(values, found, strict=True):
        event = make_event(properties={"a": a, "b": b})
        assert {TESTS[number]: COMPILED[number](event) for number in chosen} == dict(
            zip((TESTS[number] for number in chosen), row, strict=True)
        )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("contry = 'DE'", "did you mean 'country'"),
        ("properties.a == 1", "write '='"),
        ("sentAt = '2026'", "no field 'sentAt'"),
        ("integrations.All = true", "does not keep"),
    ],
)
def test_a_wrong_condition_is_explained(text: str, message: str) -> None:
    """A mistake is shown, with what was probably meant."""
    with pytest.raises(WrongQuestion, match=message):
        condition_sql(text)


def test_the_fields_of_a_condition_are_listed() -> None:
    """Each field is listed that a condition reads, also within functions."""
    text = "not (country = 'DE' or length(properties.a[0].b) > 1) and exists(userId)"
    assert condition_paths(text) == [
        ("country", ()),
        ("properties", ("a", 0, "b")),
        ("userId", ()),
    ]


@given(
    st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"))
    | st.sampled_from(["'; DROP TABLE event; --", "\\'", "''", "%s", "$1", "?", "\x1a", "\u2028"])
)
def test_any_text_is_a_literal(text: str) -> None:
    """A text comes back from SQL as it was, whatever quotes it has."""
    assert CONNECTION.execute(f"SELECT {literal(text)}").fetchall() == [(text,)]


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
def test_texts_that_nothing_stored_can_be_are_refused(text: str) -> None:
    """NUL and lone surrogates are refused before they reach SQL."""
    with pytest.raises(WrongQuestion):
        literal(text)


@pytest.mark.parametrize(
    ("text", "sql"),
    [
        ("Order Completed", "event = 'Order Completed'"),
        ("page:Pricing", "type = 'page' AND name = 'Pricing'"),
        ("identify:*", "type = 'identify'"),
        ("shop:Order", "event = 'shop:Order'"),
    ],
)
def test_events_are_chosen_by_name_or_type(text: str, sql: str) -> None:
    """A track event is named by itself, other events after their type."""
    assert Selector.parse(text).sql == sql


def test_a_choice_can_have_a_condition() -> None:
    """Where narrows the choice, and a mistake in it is found at once."""
    chosen = Selector.parse("Order where properties.revenue > 5")
    assert chosen.sql.startswith("event = 'Order' AND ")
    with pytest.raises(WrongQuestion):
        Selector.parse("Order where revenue >")
