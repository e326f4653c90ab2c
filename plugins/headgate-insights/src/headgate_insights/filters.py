"""Conditions as SQL.

`--filter` and `--who` speak the language of config.toml (`gateway.parse_condition`). The SQL means
what the gateway's own evaluation means: a missing field is null, and a comparison of values that
cannot be compared is false. So no part of it is NULL, and ``not`` is exact.
"""

from __future__ import annotations

import re

from gateway import ConditionError, condition_tree, parse_condition
from headgate_insights.errors import WrongQuestion
from headgate_insights.fields import NAMES, SqlValue, field_sql
from headgate_insights.literals import literal, literals

__all__ = ["condition_paths", "condition_sql"]

_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "=", "!=": "!="}


def condition_sql(text: str) -> str:
    """Translates a condition to SQL.

    Raises:
        WrongQuestion: the text is not a condition, or names a field that the lake does not have.
    """
    return _tree(_parsed(text))


def condition_paths(text: str) -> list[tuple[str, tuple[str | int | None, ...]]]:
    """Lists root and steps of each field that a condition reads."""
    found: list[tuple[str, tuple[str | int | None, ...]]] = []

    def visit(node: object) -> None:
        if isinstance(node, condition_tree.Field):
            found.append((node.path.root, node.path.steps))
        elif isinstance(node, tuple):
            for one in node:
                visit(one)
        else:
            for slot in getattr(node, "__slots__", ()):
                visit(getattr(node, slot))

    visit(_parsed(text))
    return found


def _parsed(text: str) -> condition_tree.Tree:
    try:
        return parse_condition(text, NAMES)
    except ConditionError as error:
        raise WrongQuestion(f"this is no condition: {error}") from None


def _tree(tree: condition_tree.Tree) -> str:
    match tree:
        case condition_tree.AnyOf(terms):
            return "(" + " OR ".join(map(_tree, terms)) + ")"
        case condition_tree.AllOf(terms):
            return "(" + " AND ".join(map(_tree, terms)) + ")"
        case condition_tree.Not(term):
            return f"NOT ({_tree(term)})"
        case condition_tree.Exists(field):
            return f"NOT ({_value(field).is_null})"
        case condition_tree.Among(value, choices):
            return _among(_value(value), choices)
        case condition_tree.TextTest(name, value, argument):
            return _text_test(name, _value(value), argument)
        case condition_tree.Comparison(sign, left, right):
            if isinstance(left, condition_tree.Literal):
                left, sign, right = right, _MIRRORED[sign], left
            if isinstance(right, condition_tree.Literal):
                return _compare(_value(left), sign, right.value)
            return _compare_values(_value(left), sign, _value(right))


def _value(value: condition_tree.Value) -> SqlValue:
    match value:
        case condition_tree.Field(path):
            return field_sql(path.root, path.steps)
        case condition_tree.Function("lowercase", argument):
            inner = _value(argument)
            return SqlValue(text=None if inner.text is None else f"lower({inner.text})")
        case condition_tree.Function(_, argument):
            return SqlValue(number=_length(_value(argument)))
        case condition_tree.Literal(constant):
            return _constant(constant)


def _constant(value: condition_tree.Scalar) -> SqlValue:
    match value:
        case None:
            return SqlValue()
        case bool():
            return SqlValue(boolean=literal(value))
        case str():
            return SqlValue(text=literal(value))
        case _:
            return SqlValue(number=literal(float(value)))


def _length(value: SqlValue) -> str | None:
    text = None if value.text is None else f"length({value.text})"
    if value.json is None:
        return text
    kind = f"json_type({value.json})"
    return (
        f"CASE {kind} WHEN 'VARCHAR' THEN {text} "
        f"WHEN 'ARRAY' THEN json_array_length({value.json}) "
        f"WHEN 'OBJECT' THEN len(json_keys({value.json})) END"
    )


def _same(value: SqlValue, constant: condition_tree.Scalar) -> str:
    wanted = _constant(constant)
    for own, other in (
        (value.boolean, wanted.boolean),
        (value.text, wanted.text),
        (value.number, wanted.number),
    ):
        if other is not None:
            return "false" if own is None else f"coalesce({own} = {other}, false)"
    return f"({value.is_null})"


def _compare(value: SqlValue, sign: str, constant: condition_tree.Scalar) -> str:
    if sign in ("=", "!="):
        same = _same(value, constant)
        return same if sign == "=" else f"NOT {same}"
    wanted = _constant(constant)
    for own, other in ((value.text, wanted.text), (value.number, wanted.number)):
        if own is not None and other is not None:
            return f"coalesce({own} {sign} {other}, false)"
    return "false"


def _compare_values(left: SqlValue, sign: str, right: SqlValue) -> str:
    pairs = [(left.text, right.text), (left.number, right.number)]
    if sign in ("=", "!="):
        pairs.append((left.boolean, right.boolean))
    operator = "=" if sign == "!=" else sign
    tests = [f"coalesce({a} {operator} {b}, false)" for a, b in pairs if a and b]
    if sign in ("=", "!="):
        tests.append(f"(({left.is_null}) AND ({right.is_null}))")
    test = "(" + (" OR ".join(tests) or "false") + ")"
    return f"NOT {test}" if sign == "!=" else test


def _among(value: SqlValue, choices: tuple[condition_tree.Scalar, ...]) -> str:
    texts = [choice for choice in choices if isinstance(choice, str)]
    tests = [_same(value, choice) for choice in choices if not isinstance(choice, str)]
    if texts and value.text is not None:
        tests.append(f"coalesce({value.text} IN ({literals(texts)}), false)")
    return "(" + (" OR ".join(tests) or "false") + ")"


def _text_test(name: str, value: SqlValue, argument: condition_tree.Scalar) -> str:
    tests = []
    if value.text is not None and isinstance(argument, str):
        test = {
            "contains": f"contains({value.text}, {literal(argument)})",
            "starts_with": f"starts_with({value.text}, {literal(argument)})",
            "ends_with": f"ends_with({value.text}, {literal(argument)})",
            "match": f"regexp_full_match({value.text}, {literal(_glob(argument))}, 's')",
        }[name]
        tests.append(f"coalesce({test}, false)")
    if name == "contains" and value.json is not None:
        item = SqlValue(
            text="CASE WHEN json_type(item) = 'VARCHAR' THEN json_extract_string(item, '$') END",
            number="CASE WHEN json_type(item) IN ('BIGINT', 'UBIGINT', 'DOUBLE') "
            "THEN TRY_CAST(item AS DOUBLE) END",
            boolean="CASE WHEN json_type(item) = 'BOOLEAN' THEN item = 'true' END",
            json="item",
        )
        tests.append(
            f"(coalesce(json_type({value.json}), '') = 'ARRAY' AND len(list_filter("
            f"json_extract({value.json}, '$[*]'), lambda item: {_same(item, argument)})) > 0)"
        )
    return "(" + (" OR ".join(tests) or "false") + ")"


_GLOB_PARTS = re.compile(r"\\(.)|(\*+)|(\?)|([^*?\\]+|\\$)", re.DOTALL)


def _glob(pattern: str) -> str:
    """Returns a pattern with ``*`` and ``?`` as a regular expression."""
    parts = []
    for escaped, stars, one, plain in _GLOB_PARTS.findall(pattern):
        if stars:
            parts.append(".*")
        elif one:
            parts.append(".")
        else:
            parts.append(re.sub(r"([^\w\s]|_)", r"\\\1", escaped or plain))
    return "".join(parts)
