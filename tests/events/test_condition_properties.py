"""Properties of conditions, for any values and any text."""

from __future__ import annotations

import time
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from gateway.events.conditions.condition import (
    ConditionError,
    compile_condition,
)
from gateway.testing import make_event
from tests.support.stored_event import typed_order
from tests.support.values import json_values

OPERANDS = [
    "properties.a",
    "properties.b",
    "lowercase(properties.a)",
    "length(properties.b)",
    "null",
    "true",
    "-1.5",
    "3",
    "'x'",
]
TESTS = [
    *(
        f"{left} {sign} {right}"
        for left in OPERANDS
        for sign in ("=", "!=", "<", "<=", ">", ">=")
        for right in OPERANDS
    ),
    *(f"{value} in [null, true, 1, 'x', 2.5]" for value in OPERANDS),
    *(
        f"{name}({value}, 'x*')"
        for name in ("contains", "starts_with", "ends_with", "match")
        for value in OPERANDS
    ),
    "exists(properties.a)",
]
COMPILED = {text: compile_condition(text) for text in TESTS}


def rank(value: object) -> tuple[str, Any]:
    """Returns type and value of a comparable value, as documented."""
    if value is None:
        return "null", None
    if isinstance(value, bool):
        return "boolean", value
    if isinstance(value, int | float):
        return "number", value
    if isinstance(value, str):
        return "text", value
    return f"other {id(value)}", object()


@given(left=json_values, right=json_values)
@example(left=1, right=True)
@example(left=0.0, right=False)
@example(left=[1], right=[1])
def test_comparisons_are_those_of_json(left: object, right: object) -> None:
    """Equal values have the same type; only numbers and only texts have an order."""
    event = make_event(properties={"a": left, "b": right})
    (left_type, left_value), (right_type, right_value) = rank(left), rank(right)
    equal = left_type == right_type and left_value == right_value
    ordered = left_type == right_type and left_type in ("number", "text")

    assert COMPILED["properties.a = properties.b"](event) is equal
    assert COMPILED["properties.a != properties.b"](event) is not equal
    assert COMPILED["properties.a < properties.b"](event) is (ordered and left_value < right_value)
    assert COMPILED["properties.a >= properties.b"](event) is (
        ordered and left_value >= right_value
    )


@given(left=json_values, right=json_values)
def test_deciding_never_raises(left: object, right: object) -> None:
    """Every test gives true or false for any values, and a negation the opposite."""
    event = make_event(properties={"a": left, "b": right})
    for test in COMPILED.values():
        assert test(event) in (True, False)


_words = st.sampled_from(
    [
        *"()[],=<>!.'\"\\\n",
        *("and", "or", "not", "in", "true", "null", "<=", "!="),
        *("exists", "match", "length", "type", "event", "properties.x", "x"),
        *("'text'", "12", "-1.5e3"),
    ]
)


@given(st.text() | st.lists(_words, max_size=12).map(" ".join) | st.lists(_words).map("".join))
def test_any_text_is_a_condition_or_an_error_with_a_place(text: str) -> None:
    """Any text either compiles and can be evaluated, or raises ConditionError with a position."""
    position = 0
    try:
        condition = compile_condition(text)
    except ConditionError as error:
        position = error.position
    else:
        assert condition(typed_order()) in (True, False)

    assert 0 <= position <= len(text)


_logic = st.recursive(
    st.sampled_from([("1 = 1", True), ("1 = 2", False)]),
    lambda inner: (
        st.tuples(inner, inner).map(lambda p: (f"({p[0][0]}) and {p[1][0]}", p[0][1] and p[1][1]))
        | st.tuples(inner, inner).map(lambda p: (f"({p[0][0]} or {p[1][0]})", p[0][1] or p[1][1]))
        | inner.map(lambda p: (f"not ({p[0]})", not p[1]))
    ),
    max_leaves=12,
)


@given(_logic)
def test_and_or_not_are_those_of_logic(case: tuple[str, bool]) -> None:
    """Any combination of and, or and not has the result of logic."""
    text, expected = case
    assert compile_condition(f"({text})")(typed_order()) is expected


def glob(pattern: str, text: str) -> bool:
    """Tells whether a text matches a glob, by a slow and plain definition."""
    reach = {0}
    for char in pattern:
        if char == "*":
            reach = set(range(min(reach), len(text) + 1)) if reach else set()
        else:
            reach = {i + 1 for i in reach if i < len(text) and char in ("?", text[i])}
    return len(text) in reach


@given(st.text("ab.*?[\n", max_size=8), st.text("ab.[\n", max_size=10))
@example("*ab*b", "aabab")
@example("a**", "a")
def test_globs_are_matched_as_defined(pattern: str, text: str) -> None:
    """The fast matcher agrees with the plain definition for any pattern and text."""
    quoted = pattern.replace("\n", "\\n")
    condition = compile_condition(f"match(event, '{quoted}')")

    assert condition(make_event(event=text)) is glob(pattern, text)


def test_a_glob_with_many_stars_takes_linear_time() -> None:
    """Four times the text takes about four times as long, never sixteen."""
    condition = compile_condition(f"match(event, '{'*a' * 20}b')")

    def seconds(length: int) -> float:
        event = make_event(event="a" * length)
        best = 9e9
        for _ in range(5):
            start = time.process_time()
            assert condition(event) is False
            best = min(best, time.process_time() - start)
        return best

    assert seconds(400_000) < 9 * seconds(100_000)
