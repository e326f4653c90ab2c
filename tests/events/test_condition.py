"""Conditions: the meaning of each operator, and error messages."""

from __future__ import annotations

import pytest

from gateway.events.conditions.condition import (
    MAX_LENGTH,
    MAX_NESTING,
    ConditionError,
    compile_condition,
)
from tests.support.stored_event import typed_order

TRUE = [
    'type = "track"',
    "type = 'track'",
    'event = "Order Completed"',
    'event != "order completed"',
    "userId = null",
    'anonymousId != null and traits.plan = "pro"',
    "properties.revenue = 120",
    "properties.revenue = 120.0",
    "properties.revenue > 100 and properties.revenue <= 120",
    "properties.revenue > properties.total",
    "100 < properties.revenue",
    "properties.total >= 9.95e1",
    "properties.paid = true",
    "properties.paid != 1",
    "properties.zero != false",
    "properties.zero = -0",
    "properties.coupon = null",
    "properties.nothing = null",
    "properties.nothing != 'x'",
    "properties.products != null",
    "properties.products != properties.products",
    "properties.revenue = properties.revenue",
    "properties.nothing = properties.coupon",
    'properties.currency >= "USA"',
    "not properties.currency < 5",
    "not properties.currency >= 5",
    "not properties.nothing < 5",
    "not properties.nothing < null",
    "not properties.paid < true",
    "not properties.paid < 2",
    'properties.currency in ["EUR", "USD"]',
    "properties.revenue in [1, 120]",
    "properties.coupon in [null]",
    "properties.paid in [true]",
    "properties.paid not in [1, 'true']",
    "properties.nothing not in ['x']",
    'properties.products[0].sku = "A-1"',
    "properties.products[5].sku = null",
    'properties["my key"] = "x"',
    "exists(properties.zero)",
    "not exists(properties.coupon)",
    "not exists(properties.nothing)",
    'contains(properties.currency, "SD")',
    'not contains(properties.currency, "sd")',
    'not contains(properties.nothing, "x")',
    "contains(properties.tags, 'new') and contains(properties.tags, 3)",
    "not contains(properties.tags, 'ne')",
    "not contains(properties.tags, 1)",
    "contains(properties.tags, true)",
    "not contains(properties.currency, 3)",
    'starts_with(context.library.name, "analytics")',
    'ends_with(context.library.name, ".js")',
    'not starts_with(properties.revenue, "1")',
    'match(context.page.url, "https://*/a?b")',
    'match(event, "*")',
    'match(event, "Order*")',
    'match(event, "*Completed")',
    'match(event, "O*d*r*C*d")',
    'not match(event, "order*")',
    'not match(event, "Order")',
    'not match(properties.revenue, "*")',
    'match(context.page.url, "*a\\\\?b")',
    'not match(event, "Order\\\\*")',
    'lowercase(event) = "order completed"',
    "lowercase(properties.revenue) = null",
    'contains(lowercase(properties.note), "ünïcode")',
    "length(properties.products) = 2",
    "length(properties.currency) = 3",
    "length(properties.note) = 9",
    "length(context.library) = 1",
    "length(properties.revenue) = null",
    "not length(properties.nothing) < 5",
    'type = "page" or type = "track" and event != "x"',
    'not (type = "page" or event = "x")',
    "not not type = 'track'",
    "type = 'a' or type = 'b' or type = 'track'",
    "type != 'a' and type != 'b' and type != 'c'",
    "'it\\'s' = \"it's\"",
    '"a\\tb\\\\" = "a\tb\\\\"',
    "\n  type =\n\t'track'  ",
    "1 < 2 and 'a' < 'b' and null = null",
]


@pytest.mark.parametrize("text", TRUE)
def test_a_true_condition(text: str) -> None:
    """Each operator and function has the documented meaning, and its negation is false."""
    event = typed_order()

    assert compile_condition(text)(event) is True
    assert compile_condition(f"not ({text})")(event) is False


MISTAKES = [
    ("", 0, "the condition is empty"),
    ("  ", 2, "the condition is empty"),
    ('type == "x"', 5, "write '='"),
    ('type = "x" && true', 11, "write 'and'"),
    ('type = "x" || true', 11, "write 'or'"),
    ("!exists(event)", 0, "write 'not'"),
    ("type <> 'x'", 5, "write '!='"),
    ("type =~ 'x'", 5, "write 'match(...)'"),
    ("type = = 1", 7, "expected a field or a value, found '='"),
    ("type =", 6, "expected a field or a value, found the end"),
    ("type = and", 7, "expected a field or a value, found 'and'"),
    ("type = 'x", 7, "no closing quote"),
    (r"type = 'a\q'", 9, "a backslash itself is written twice"),
    ("type = 1.2.3", 7, "not a number"),
    ("type = 12x", 7, "not a number"),
    ("type = 1e9999", 7, "not a number"),
    ("type = 'x' AND event = 'y'", 11, "did you mean 'and'?"),
    ("type = 'x' event = 'y'", 11, "expected 'and', 'or' or the end"),
    ("properties.paid", 15, "write properties.paid = true"),
    ("properties.paid and true = true", 16, "write properties.paid = true"),
    ("true", 4, "expected a comparison"),
    ("evnt = 'x'", 0, "did you mean 'event'?"),
    ("revenue > 1", 0, "did you mean 'properties.revenue'"),
    ("contians(event, 'x')", 0, "did you mean 'contains'?"),
    ("TRUE = type", 0, "did you mean 'true'?"),
    ("properties. = 1", 10, "expected a key after '.'"),
    ("properties.a[].b = 1", 0, "write [0], not []"),
    ("type.x = 3", 4, "single value"),
    ("(type = 'x'", 11, "expected ')'"),
    ("type = 'x')", 10, "expected 'and', 'or' or the end"),
    ("exists(3)", 7, "asks about a field"),
    ("exists(length(type))", 7, "asks about a field"),
    ("exists type", 7, "expected '('"),
    ("starts_with(event, 3)", 19, "a text in quotes"),
    ("contains(event, properties.x)", 16, "expected a text in quotes, a number"),
    ("contains(event)", 14, "expected ','"),
    ("type in 'x'", 8, "expected '['"),
    ("type in []", 9, "expected a text in quotes"),
    ("type in ['a' 'b']", 13, "expected ']'"),
    ("type not = 'x'", 9, "expected 'in' after 'not'"),
    ("type = contains(event, 'x')", 7, "is true or false"),
    ("type = 'x' ; drop", 11, "cannot read ';'"),
    ("__import__('os').system('x') = 1", 0, "no field '__import__'"),
]


@pytest.mark.parametrize(("text", "position", "problem"), MISTAKES)
def test_a_mistake_is_shown_with_its_place(text: str, position: int, problem: str) -> None:
    """An error tells what is wrong, marks the character, and suggests a correction."""
    with pytest.raises(ConditionError) as caught:
        compile_condition(text)

    first, shown, caret = str(caught.value).split("\n")
    assert problem in first
    assert caught.value.position == position
    assert f"(character {position + 1})" in first
    assert shown == f"    {text}"
    assert caret.index("^") == 4 + position


def test_a_mistake_in_a_long_condition_shows_what_is_around_it() -> None:
    """An error shows only the wrong line, and only a part of a long one."""
    with pytest.raises(ConditionError) as caught:
        compile_condition("type = 'a'\nor " + "event = 'x' or " * 50 + "evnt = 'b' or " + "\n" * 9)

    _, shown, caret = str(caught.value).split("\n")
    assert len(shown) < 140
    assert shown[caret.index("^") :].startswith("evnt = 'b'")


def test_the_length_of_a_condition_is_bounded() -> None:
    """A condition may have MAX_LENGTH characters and not one more."""
    longest = "type = 'track'".ljust(MAX_LENGTH)

    assert compile_condition(longest)(typed_order())
    with pytest.raises(ConditionError, match=f"at most {MAX_LENGTH} characters"):
        compile_condition(longest + " ")


@pytest.mark.parametrize(
    ("opening", "closing"), [("(", ")"), ("not ", ""), ("not (", ")"), ("lowercase(", ")")]
)
def test_nesting_is_bounded(opening: str, closing: str) -> None:
    """Parentheses, negations and functions nest MAX_NESTING levels and not one more."""
    in_function = opening == "lowercase("
    depth = MAX_NESTING // (2 if opening == "not (" else 1)

    def nested(levels: int) -> str:
        if in_function:
            return f"{opening * levels}type{closing * levels} = 'track'"
        return f"{opening * levels}type = 'track'{closing * levels}"

    assert compile_condition(nested(depth))(typed_order()) is True
    with pytest.raises(ConditionError, match=f"at most {MAX_NESTING} levels"):
        compile_condition(nested(depth + 1))


def test_a_long_chain_is_no_nesting() -> None:
    """The longest possible chain of alternatives is evaluated without deep recursion."""
    chain = " or ".join(["event = 'nothing'"] * 450)

    assert compile_condition(chain)(typed_order()) is False
    assert compile_condition(f"{chain} or type = 'track'")(typed_order()) is True


def test_conditions_on_fields_decode_no_body() -> None:
    """Evaluating type, name, ids or a single key decodes no body."""
    event = typed_order()

    assert compile_condition("type = 'track' and event = 'Order Completed'")(event)
    assert compile_condition("exists(properties.revenue) and properties.revenue > 1")(event)
    assert not event.__dict__


def test_terms_that_are_not_needed_are_not_looked_at() -> None:
    """Once a term has decided, later terms do not read the body, even if it is not JSON."""
    event = typed_order()
    event.raw_properties = None  # type: ignore[assignment]

    assert compile_condition("type = 'track' or length(properties) = 1")(event)
    assert not compile_condition("type = 'page' and length(properties) = 1")(event)
