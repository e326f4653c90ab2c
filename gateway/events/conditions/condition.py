"""Compiles the conditions of config.toml, which are evaluated for every event.

::

    type = "track" and event in ["Order Completed", "Order Refunded"]
    properties.revenue > 100 or not exists(properties.coupon)
    match(context.page.url, "https://shop.example/*") and length(properties.products) >= 2

A condition is parsed once and becomes a tree of functions. Python's own `eval` is never used.
Evaluating a condition never raises: a missing field is null, and a comparison of values that cannot
be compared is false. The grammar::

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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, ClassVar, TypeAlias

from gateway.events.conditions import predicates
from gateway.events.conditions.lexer import LITERALS, Parser, TextError, Token
from gateway.events.conditions.path import BODIES, EVERY, FIELDS, PathError, path_reader
from gateway.events.event import Event

__all__ = ["MAX_LENGTH", "MAX_NESTING", "Condition", "ConditionError", "compile_condition"]

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
    if len(text) > MAX_LENGTH:
        raise ConditionError(
            f"a condition has at most {MAX_LENGTH} characters, this one {len(text)}", text, 0
        )
    return _Parser(text).parse()


@dataclass(frozen=True, slots=True)
class _Value:
    """One side of a comparison: a literal, or a value that `read` takes from an event."""

    read: Callable[[Event], Any] | None
    literal: Any
    start: int


_COMPARISONS = ("=", "!=", "<", "<=", ">", ">=")
_TEXT_TESTS = {
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

    def parse(self) -> Condition:
        if self._next.kind == "end":
            raise self._error("the condition is empty")
        condition = self._any()
        if self._next.kind != "end":
            raise self._error(
                f"expected 'and', 'or' or the end, found {self._found()}", hint_keyword=True
            )
        return condition

    # Grammar, from the loosest binding to the tightest.

    def _any(self) -> Condition:
        terms = [self._all()]
        while self._accept_word("or"):
            terms.append(self._all())
        return predicates.any_of(terms)

    def _all(self) -> Condition:
        terms = [self._one()]
        while self._accept_word("and"):
            terms.append(self._one())
        return predicates.all_of(terms)

    def _one(self) -> Condition:
        start = self._next.start
        if self._accept_word("not"):
            self._enter(start)
            condition = predicates.negation(self._one())
        elif self._accept("("):
            self._enter(start)
            condition = self._any()
            self._expect(")")
        else:
            return self._test()
        self._leave()
        return condition

    def _test(self) -> Condition:
        token = self._next
        if self._is_call(token) and token.text in _TEXT_TESTS:
            return self._text_test()
        if self._is_call(token) and token.text == "exists":
            self._open_call()
            if self._next.kind != "word" or self._next.text in _FUNCTIONS | _KEYWORDS:
                raise self._error(f"exists(...) asks about a field, found {self._found()}")
            field = self._path()
            self._close_call()
            return predicates.negation(predicates.equal(_reading(field), None))
        return self._comparison(self._value())

    def _comparison(self, left: _Value) -> Condition:
        sign = self._next
        if sign.kind in _COMPARISONS:
            self._advance()
            return _compare(left, sign.kind, self._value())
        negated = sign.kind == "word" and sign.text == "not"
        if negated or (sign.kind == "word" and sign.text == "in"):
            self._advance()
            if negated and not self._accept_word("in"):
                raise self._error(f"expected 'in' after 'not', found {self._found()}")
            among = predicates.among(_reading(left), self._list())
            return predicates.negation(among) if negated else among
        subject = self._text[left.start : sign.start].strip()
        example = f"; for a yes-or-no field write {subject} = true" if left.read else ""
        raise self._error(
            f"expected a comparison such as '=', '<' or 'in', found {self._found()}{example}",
            hint_keyword=True,
        )

    def _text_test(self) -> Condition:
        name = self._next.text
        self._open_call()
        subject = self._value()
        self._expect(",")
        token = self._next
        argument = self._literal()
        if name != "contains" and not isinstance(argument, str):
            raise self._error(f"{name}(...) looks for a text in quotes", at=token.start)
        self._close_call()
        return _TEXT_TESTS[name](_reading(subject), argument)

    def _value(self) -> _Value:
        token = self._next
        if self._is_call(token):
            if token.text not in _VALUE_FUNCTIONS:
                raise self._error(f"{token.text}(...) is true or false and cannot be compared")
            self._open_call()
            inner = self._value()
            self._close_call()
            return _Value(_VALUE_FUNCTIONS[token.text](_reading(inner)), None, token.start)
        if self._is_literal(token):
            return _Value(None, self._literal(), token.start)
        if token.kind == "word" and token.text not in _KEYWORDS:
            return self._path()
        raise self._error(f"expected a field or a value, found {self._found()}")

    def _path(self) -> _Value:
        start = self._next.start
        try:
            path = self._scan_path()
        except PathError as error:
            raise self._path_error(error) from None
        if EVERY in path.steps:
            raise self._error("a condition looks at one element: write [0], not []", at=start)
        return _Value(path_reader(path), None, start)

    def _path_error(self, error: PathError) -> TextError:
        word = self._next.text
        names = [*_FUNCTIONS, *_KEYWORDS, *FIELDS, *BODIES]
        near = get_close_matches(word.lower(), names, n=1)
        if error.position == self._next.start and near and near[0] in _FUNCTIONS | _KEYWORDS:
            return self._error(f"there is no {word!r} here; did you mean {near[0]!r}?")
        return self._error(str(error), at=error.position)

    def _literal(self) -> Any:
        token = self._next
        if self._is_literal(token):
            self._advance()
            return token.value
        raise self._error(
            f"expected a text in quotes, a number, true, false or null, found {self._found()}"
        )

    def _list(self) -> Sequence[Any]:
        self._expect("[")
        values = [self._literal()]
        while self._accept(","):
            values.append(self._literal())
        self._expect("]")
        return values

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


def _reading(value: _Value) -> Callable[[Event], Any]:
    if value.read is not None:
        return value.read
    literal = value.literal
    return lambda _: literal


_MIRRORED = {"=": "=", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


def _compare(left: _Value, sign: str, right: _Value) -> Condition:
    if left.read is None:
        left, sign, right = right, _MIRRORED[sign], left
    read = _reading(left)
    if sign in ("=", "!="):
        equal = (
            predicates.equal(read, right.literal)
            if right.read is None
            else predicates.equal_values(read, right.read)
        )
        return equal if sign == "=" else predicates.negation(equal)
    if right.read is None:
        return predicates.ordered(sign, read, right.literal)
    return predicates.ordered_values(sign, read, right.read)
