"""Expressions of mappings: their values, and the errors of wrong ones."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.delivery.mapping.expression import (
    MAX_LENGTH,
    MAX_NESTING,
    ExpressionError,
    compile_expression,
)
from gateway.delivery.mapping.functions import FUNCTIONS, MAX_TEXT, Unfit
from gateway.events.conditions.path import parse_path
from gateway.testing import make_event
from tests.support.values import json_values

PROPERTIES = {
    "n": 3,
    "half": 0.5,
    "price": " 19.90 ",
    "name": " Ada ",
    "yes": "Yes",
    "when": "2026-11-23T15:36:00+01:00",
    "products": [{"price": 2, "tags": ["a", "b"]}, {"price": 3, "tags": ["c"]}, "x"],
}


def value_of(text: str, **properties: Any) -> Any:
    return compile_expression(text)(make_event(properties=PROPERTIES | properties), None)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 + 2 * 3 - 4 / 2", 5.0),
        ("-(1 + 2) * -2", 6),
        ("properties.n - 1", 2),
        ("properties.absent + 1", None),
        ("9223372036854775807 + 1", 2.0**63),
        ("number(properties.price)", 19.9),
        ("number(properties.name, -1)", -1),
        ("number(properties.absent, 0)", 0),
        ("number(properties.absent)", None),
        ("boolean(properties.yes)", True),
        ("boolean(0)", False),
        ("boolean(properties.name, null)", None),
        ("round(2.675 * 100, 1)", 267.5),
        ("round(properties.half)", 0),
        ("abs(1 - properties.n)", 2),
        ("coalesce(properties.absent, null, properties.n, properties.n / 0)", 3),
        ("concat(trim(properties.name), '-', properties.n, true, null, 0.5)", "Ada-3true0.5"),
        ("concat(properties.absent, null)", None),
        ("uppercase(trim(properties.name))", "ADA"),
        ("lowercase(properties.yes)", "yes"),
        ("truncate(properties.yes, 2)", "Ye"),
        ('replace(properties.yes, "e", "i")', "Yis"),
        ("length(properties.products)", 3),
        ("length(event)", 15),
        ("sum(properties.products[].price)", 5),
        ("join(properties.products[].tags[], ',')", "a,b,c"),
        ("properties.products[].absent", []),
        ("properties.absent[].price", None),
        ("text(0.5)", "0.5"),
        ("milliseconds(properties.when)", 1795444560000),
        ("iso_time(properties.when)", "2026-11-23T14:36:00.000Z"),
        ("sha256('abc')", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    ],
)
def test_what_an_expression_gives(text: str, value: Any) -> None:
    """Operators have the usual precedence, and null stands for a missing value."""
    found = value_of(text)
    assert found == value
    assert type(found) is type(value)


def test_inside_a_list_paths_are_those_of_the_element() -> None:
    """Within a list, paths into it start at the element, and other paths at the event."""
    expression = compile_expression(
        "properties.products[].price * properties.n + length(properties.products[].tags)",
        parse_path("properties.products[]"),
    )
    assert expression(make_event(properties=PROPERTIES), {"price": 4, "tags": ["a"]}) == 13


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "the expression is empty"),
        ("1 +", "expected a field, a value or a function, found the end"),
        ("1 2", "expected an operator or the end, found '2'"),
        ("rond(1)", "there is no function 'rond'; did you mean 'round'?"),
        ("zzz(1)", "there is no function 'zzz'; there are: abs, boolean, coalesce"),
        ("round()", "expected a field, a value or a function, found ')'"),
        ("round(1, 2, 3)", "round(...) takes 1 to 2 values, not 3"),
        ("join(1)", "join(...) takes 2 values, not 1"),
        ("user_id", "an event has no field 'user_id'; did you mean 'userId'?"),
        ("event || name", "there is no '||'; write 'coalesce(...)'"),
        ('"open', "the text has no closing quote"),
        ("(" * 33 + "1" + ")" * 33, f"nests at most {MAX_NESTING} levels"),
        ("-" * 33 + "1", f"nests at most {MAX_NESTING} levels"),
        ("1" + " + 1" * 3000, f"at most {MAX_LENGTH} characters"),
        ("1 % 2", "cannot read '%'"),
    ],
)
def test_what_is_no_expression_is_explained(text: str, problem: str) -> None:
    """The error shows the place, and what to write instead."""
    with pytest.raises(ExpressionError) as raised:
        compile_expression(text)
    assert problem in str(raised.value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("uppercase(properties.n)", "uppercase(...): a number is not a text"),
        ("properties.name * 2", "this text is not a number; number(...) makes one of a text"),
        ("number(properties.name)", "number(...): this text is not a number"),
        ("sum(properties.products)", "sum(...): an object is not a number"),
        ("sum(properties.n)", "a number is not a list"),
        ("1 / (properties.n - 3)", "a division by zero"),
        ("1e300 * 1e300", "the number is too large"),
        ("round(1, -1)", "expected a whole number from 0 to 15"),
        ("milliseconds(properties.name)", "is not a time that can be read"),
        ('replace(properties.name, "", "x")', "the text to replace is empty"),
        ("concat(properties.long, properties.long)", f"more than {MAX_TEXT} characters"),
        ('replace(properties.long, "x", properties.long)', f"more than {MAX_TEXT} characters"),
        ("join(properties.many, properties.long)", f"more than {MAX_TEXT} characters"),
        ("text(properties.products)", "a list is not a text"),
    ],
)
def test_a_value_of_the_wrong_kind_is_an_error(text: str, problem: str) -> None:
    """A value of the wrong kind gives an error, not null and not a guess."""
    with pytest.raises(Unfit) as raised:
        value_of(text, long="x" * 60_000, many=["a"] * 10)
    assert problem in str(raised.value)


@given(st.sampled_from(sorted(FUNCTIONS)), st.lists(json_values, min_size=1, max_size=3))
@example("round", [10**400])
@example("number", ["1e999"])
@example("sum", [[10**400, 1.5]])
def test_a_function_gives_json_or_says_that_it_cannot(name: str, values: list[Any]) -> None:
    """Given any values, a function returns JSON or raises `Unfit`."""
    function = FUNCTIONS[name]
    values = (values * 3)[: max(function.least, min(len(values), function.most or 3))]
    try:
        found = function.call(*values)
    except Unfit:
        return
    assert not isinstance(found, float) or math.isfinite(found)
    if not any(found is value for value in values):  # an `otherwise` is given back as it is
        assert msgspec.json.decode(msgspec.json.encode(found)) == found


_ATOMS = st.sampled_from(["1", "0.5", '"x"', "null", "properties.a", "properties.b[]", "event"])
_TEXTS = st.recursive(
    _ATOMS,
    lambda inner: (
        st.builds("({} {} {})".format, inner, st.sampled_from("+-*/"), inner)
        | st.builds("{}({})".format, st.sampled_from([*FUNCTIONS, "coalesce"]), inner)
        | st.builds("{}({}, {})".format, st.sampled_from([*FUNCTIONS, "coalesce"]), inner, inner)
    ),
    max_leaves=8,
)


@given(_TEXTS, json_values, json_values)
def test_any_expression_on_any_event(text: str, a: Any, b: Any) -> None:
    """Any expression gives a value or one of its two errors."""
    with suppress(ExpressionError, Unfit):
        compile_expression(text)(make_event(properties={"a": a, "b": b}), None)


@given(st.text(max_size=40))
def test_any_text_is_an_expression_or_none(text: str) -> None:
    """Any text compiles or raises `ExpressionError`."""
    with suppress(ExpressionError):
        compile_expression(text)
