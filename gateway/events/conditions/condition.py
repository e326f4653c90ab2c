"""Compiles the conditions of config.toml, which are evaluated for every event.

::

    type = "track" and event in ["Order Completed", "Order Refunded"]
    properties.revenue > 100 or not exists(properties.coupon)
    match(context.page.url, "https://shop.example/*") and length(properties.products) >= 2

A condition is parsed once into a syntax tree, which becomes a tree of functions. Python's own
`eval` is never used. Evaluating a condition never raises: a missing field is null, and a comparison
of values that cannot be compared is false. The grammar::

    condition  = all { "or" all }
    all        = one { "and" one }
    one        = "not" one | "(" condition ")" | test
    test       = value ("=" | "!=" | "<" | "<=" | ">" | ">=") value
               | value [ "not" ] "in" "[" literal { "," literal } "]"
               | "exists" "(" path ")"
               | ("contains" | "starts_with" | "ends_with" | "match") "(" value "," literal ")"
    value      = path | literal | ("lowercase" | "length") "(" value ")"
    literal    = "text" | 'text' | number | "true" | "false" | "null"

`gateway.events.conditions.path` describes paths. docs/reference/transforms.md describes each
operator.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from difflib import get_close_matches
from typing import Any, ClassVar, TypeAlias

from gateway.events.conditions import condition_tree, predicates
from gateway.events.conditions.condition_tree import (
    AllOf,
    Among,
    AnyOf,
    Comparison,
    Exists,
    Field,
    Function,
    Literal,
    Not,
    Scalar,
    TextTest,
    Tree,
    Value,
)
from gateway.events.conditions.lexer import LITERALS, Parser, TextError, Token
from gateway.events.conditions.path import BODIES, EVERY, FIELDS, PathError, path_reader
from gateway.events.event import Event

__all__ = [
    "MAX_LENGTH",
    "MAX_NESTING",
    "Condition",
    "ConditionError",
    "compile_condition",
    "condition_tree",
    "parse_condition",
]

MAX_LENGTH = 10_000
"""Limit for a condition's characters."""

MAX_NESTING = 32
"""Limit for a condition's levels of parentheses, functions and ``not``."""

Condition: TypeAlias = Callable[[Event], bool]


class ConditionError(TextError):
    """A text is not a condition. The message shows the mistake and suggests a correction."""


def compile_condition(text: str) -> Condition:
    """Compiles a condition into a function that evaluates it for an event.

    Raises:
        ConditionError: the text is not a condition, or exceeds a limit.
    """
    return _compiled(parse_condition(text))


def parse_condition(text: str, fields: Collection[str] = FIELDS) -> Tree:
    """Parses a condition into a syntax tree.

    Args:
        fields: names of single values that a path may be; by default those of an event. The bodies,
            such as ``properties``, are known besides.

    Raises:
        ConditionError: the text is not a condition, or exceeds a limit.
    """
    if len(text) > MAX_LENGTH:
        raise ConditionError(
            f"a condition has at most {MAX_LENGTH} characters, this one {len(text)}", text, 0
        )
    return _Parser(text, fields).parse()


_COMPARISONS = ("=", "!=", "<", "<=", ">", ">=")
_TEXT_TESTS: dict[str, Callable[[predicates.Read, Any], Condition]] = {
    "contains": predicates.contains,
    "starts_with": predicates.starts_with,
    "ends_with": predicates.ends_with,
    "match": predicates.match,
}
_VALUE_FUNCTIONS = {"lowercase": predicates.lowercase, "length": predicates.length}
_FUNCTIONS = frozenset({"exists", *_TEXT_TESTS, *_VALUE_FUNCTIONS})
_KEYWORDS = frozenset({"and", "or", "not", "in", *LITERALS})


class _Parser(Parser):
    """Parses a condition."""

    error = ConditionError
    language = "a condition"
    max_nesting = MAX_NESTING
    sign = re.compile(r"!=|<=|>=|=|<|>|\(|\)|\[|\]|,")
    number = re.compile(r"-?(?:[0-9]{1,30})(?:\.[0-9]{1,30})?(?:[eE][+-]?[0-9]{1,3})?(?![\w.])")
    foreign: ClassVar[Mapping[str, str]] = {
        "==": "=",
        "=~": "match(...)",
        "!~": "not match(...)",
        "<>": "!=",
        "&&": "and",
        "||": "or",
        "!": "not",
    }

    def __init__(self, text: str, fields: Collection[str]) -> None:
        super().__init__(text)
        self._fields = fields

    def parse(self) -> Tree:
        if self._next.kind == "end":
            raise self._error("the condition is empty")
        condition = self._any()
        if self._next.kind != "end":
            raise self._error(
                f"expected 'and', 'or' or the end, found {self._found()}", hint_keyword=True
            )
        return condition

    # Grammar, from the loosest binding to the tightest.

    def _any(self) -> Tree:
        terms = [self._all()]
        while self._accept_word("or"):
            terms.append(self._all())
        return terms[0] if len(terms) == 1 else AnyOf(tuple(terms))

    def _all(self) -> Tree:
        terms = [self._one()]
        while self._accept_word("and"):
            terms.append(self._one())
        return terms[0] if len(terms) == 1 else AllOf(tuple(terms))

    def _one(self) -> Tree:
        start = self._next.start
        if self._accept_word("not"):
            self._enter(start)
            condition: Tree = Not(self._one())
        elif self._accept("("):
            self._enter(start)
            condition = self._any()
            self._expect(")")
        else:
            return self._test()
        self._leave()
        return condition

    def _test(self) -> Tree:
        token = self._next
        if self._is_call(token) and token.text in _TEXT_TESTS:
            return self._text_test()
        if self._is_call(token) and token.text == "exists":
            self._open_call()
            if self._next.kind != "word" or self._next.text in _FUNCTIONS | _KEYWORDS:
                raise self._error(f"exists(...) asks about a field, found {self._found()}")
            field = self._path()
            self._close_call()
            return Exists(field)
        start = self._next.start
        return self._comparison(self._value(), start)

    def _comparison(self, left: Value, start: int) -> Tree:
        sign = self._next
        if sign.kind in _COMPARISONS:
            self._advance()
            return Comparison(sign.kind, left, self._value())
        negated = sign.kind == "word" and sign.text == "not"
        if negated or (sign.kind == "word" and sign.text == "in"):
            self._advance()
            if negated and not self._accept_word("in"):
                raise self._error(f"expected 'in' after 'not', found {self._found()}")
            among = Among(left, self._list())
            return Not(among) if negated else among
        subject = self._text[start : sign.start].strip()
        is_literal = isinstance(left, Literal)
        example = "" if is_literal else f"; for a yes-or-no field write {subject} = true"
        raise self._error(
            f"expected a comparison such as '=', '<' or 'in', found {self._found()}{example}",
            hint_keyword=True,
        )

    def _text_test(self) -> Tree:
        name = self._next.text
        self._open_call()
        subject = self._value()
        self._expect(",")
        token = self._next
        argument = self._literal()
        if name != "contains" and not isinstance(argument, str):
            raise self._error(f"{name}(...) looks for a text in quotes", at=token.start)
        self._close_call()
        return TextTest(name, subject, argument)

    def _value(self) -> Value:
        token = self._next
        if self._is_call(token):
            if token.text not in _VALUE_FUNCTIONS:
                raise self._error(f"{token.text}(...) is true or false and cannot be compared")
            self._open_call()
            inner = self._value()
            self._close_call()
            return Function(token.text, inner)
        if self._is_literal(token):
            return Literal(self._literal())
        if token.kind == "word" and token.text not in _KEYWORDS:
            return self._path()
        raise self._error(f"expected a field or a value, found {self._found()}")

    def _path(self) -> Field:
        start = self._next.start
        try:
            path = self._scan_path(self._fields)
        except PathError as error:
            raise self._path_error(error) from None
        if EVERY in path.steps:
            raise self._error("a condition looks at one element: write [0], not []", at=start)
        return Field(path)

    def _path_error(self, error: PathError) -> TextError:
        word = self._next.text
        names = [*_FUNCTIONS, *_KEYWORDS, *self._fields, *BODIES]
        near = get_close_matches(word.lower(), names, n=1)
        if error.position == self._next.start and near and near[0] in _FUNCTIONS | _KEYWORDS:
            return self._error(f"there is no {word!r} here; did you mean {near[0]!r}?")
        return self._error(str(error), at=error.position)

    def _literal(self) -> Scalar:
        token = self._next
        if self._is_literal(token):
            self._advance()
            value: Scalar = token.value
            return value
        raise self._error(
            f"expected a text in quotes, a number, true, false or null, found {self._found()}"
        )

    def _list(self) -> tuple[Scalar, ...]:
        self._expect("[")
        values = [self._literal()]
        while self._accept(","):
            values.append(self._literal())
        self._expect("]")
        return tuple(values)

    # Words.

    def _accept_word(self, word: str) -> bool:
        if self._next.kind != "word" or self._next.text != word:
            return False
        self._advance()
        return True

    def _is_call(self, token: Token) -> bool:
        return token.kind == "word" and token.text in _FUNCTIONS

    def _error(
        self, problem: str, *, at: int | None = None, hint_keyword: bool = False
    ) -> TextError:
        word = self._next.text
        if hint_keyword and self._next.kind == "word" and word not in _KEYWORDS:
            near = get_close_matches(word.lower(), ["and", "or", "not", "in"], n=1)
            if near:
                problem += f"; did you mean {near[0]!r}?"
        return super()._error(problem, at=at)


def _compiled(tree: Tree) -> Condition:
    """Makes the function that evaluates a syntax tree for an event."""
    match tree:
        case AnyOf(terms):
            return predicates.any_of([_compiled(term) for term in terms])
        case AllOf(terms):
            return predicates.all_of([_compiled(term) for term in terms])
        case Not(term):
            return predicates.negation(_compiled(term))
        case Exists(field):
            return predicates.negation(predicates.equal(_reading(field), None))
        case Among(value, literals):
            return predicates.among(_reading(value), literals)
        case TextTest(name, value, argument):
            return _TEXT_TESTS[name](_reading(value), argument)
        case Comparison(sign, left, right):
            return _compare(left, sign, right)


def _reading(value: Value) -> predicates.Read:
    match value:
        case Field(path):
            return path_reader(path)
        case Function(name, argument):
            return _VALUE_FUNCTIONS[name](_reading(argument))
        case Literal(literal):
            return lambda _: literal


_MIRRORED = {"=": "=", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


def _compare(left: Value, sign: str, right: Value) -> Condition:
    if isinstance(left, Literal):
        left, sign, right = right, _MIRRORED[sign], left
    read = _reading(left)
    if sign in ("=", "!="):
        equal = (
            predicates.equal(read, right.value)
            if isinstance(right, Literal)
            else predicates.equal_values(read, _reading(right))
        )
        return equal if sign == "=" else predicates.negation(equal)
    if isinstance(right, Literal):
        return predicates.ordered(sign, read, right.value)
    return predicates.ordered_values(sign, read, _reading(right))
