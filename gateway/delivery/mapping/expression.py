"""Compiles expressions, which compute a value from an event.

::

    round(number(properties.price) * properties.quantity, 2)
    concat(traits.firstName, " ", traits.lastName)
    coalesce(properties.revenue, properties.total, 0)

An expression is parsed once and becomes a tree of functions. No part of it ever reaches Python's
own evaluator. The grammar::

    expression = product { ("+" | "-") product }
    product    = value { ("*" | "/") value }
    value      = [ "-" ] ( path | literal | function "(" expression { "," expression } ")"
                         | "(" expression ")" )
    literal    = "text" | 'text' | number | "true" | "false" | "null"

`gateway.events.conditions.path` says what a path is. A path with ``[]`` has as its value the list
of all values that it leads to. But if the expression is computed for each element of a list, a path
into that list starts at the element.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, ClassVar, TypeAlias

from gateway.delivery.mapping.functions import FUNCTIONS, OPERATORS, Unfit
from gateway.events.conditions.lexer import Parser, TextError
from gateway.events.conditions.path import EVERY, Path, PathError, path_reader
from gateway.events.event import Event

__all__ = ["MAX_LENGTH", "MAX_NESTING", "Expression", "ExpressionError", "compile_expression"]

MAX_LENGTH = 10_000
"""Most characters of an expression."""

MAX_NESTING = 32
"""Most levels of parentheses and functions in an expression."""

Expression: TypeAlias = Callable[[Event, Any], Any]
"""Returns the value for an event and, if it is computed for each element of a list, an element.

Raises `Unfit` if a value is of the wrong kind."""


class ExpressionError(TextError):
    """A text is not an expression. The message shows the place, with a suggestion."""


def compile_expression(text: str, scope: Path | None = None) -> Expression:
    """Compiles a text to a function that computes its value.

    Args:
        scope: path to a list, which ends with ``[]``, if the value is computed for each element.

    Raises:
        ExpressionError: the text is not an expression, or is over a bound.
    """
    if len(text) > MAX_LENGTH:
        raise ExpressionError(
            f"an expression has at most {MAX_LENGTH} characters, this one {len(text)}", text, 0
        )
    return _Parser(text, scope).parse()


class _Parser(Parser):
    """Parses an expression."""

    error = ExpressionError
    language = "an expression"
    max_nesting = MAX_NESTING
    sign = re.compile(r"[-+*/(),]")
    number = re.compile(r"[0-9]{1,30}(?:\.[0-9]{1,30})?(?:[eE][+-]?[0-9]{1,3})?(?![\w.])")
    foreign: ClassVar[Mapping[str, str]] = {"||": "coalesce(...)", "??": "coalesce(...)"}

    def __init__(self, text: str, scope: Path | None) -> None:
        super().__init__(text)
        self._scope = scope

    def parse(self) -> Expression:
        if self._next.kind == "end":
            raise self._error("the expression is empty")
        expression = self._sum()
        if self._next.kind != "end":
            raise self._error(f"expected an operator or the end, found {self._found()}")
        return expression

    def _sum(self) -> Expression:
        left = self._product()
        while self._next.kind in ("+", "-"):
            left = self._binary(left, self._product)
        return left

    def _product(self) -> Expression:
        left = self._value()
        while self._next.kind in ("*", "/"):
            left = self._binary(left, self._value)
        return left

    def _binary(self, left: Expression, operand: Callable[[], Expression]) -> Expression:
        apply = OPERATORS[self._next.kind]
        self._advance()
        right = operand()
        return lambda event, element: apply(left(event, element), right(event, element))

    def _value(self) -> Expression:
        token = self._next
        if token.kind == "-":
            self._enter(token.start)
            self._advance()
            operand, subtract = self._value(), OPERATORS["-"]
            self._leave()
            return lambda event, element: subtract(0, operand(event, element))
        if token.kind == "(":
            self._enter(token.start)
            self._advance()
            inner = self._sum()
            self._expect(")")
            self._leave()
            return inner
        if self._is_literal(token):
            self._advance()
            literal = token.value
            return lambda event, element: literal
        if token.kind != "word":
            raise self._error(f"expected a field, a value or a function, found {self._found()}")
        if self._text[token.end : token.end + 1] == "(":
            return self._call(token.text)
        try:
            return _read(self._scan_path(), self._scope)
        except PathError as error:
            raise self._error(str(error), at=error.position) from None

    def _call(self, name: str) -> Expression:
        start = self._next.start
        if name != "coalesce" and name not in FUNCTIONS:
            known = sorted({*FUNCTIONS, "coalesce"})
            near = get_close_matches(name.lower(), known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known)}"
            raise self._error(f"there is no function {name!r}; {hint}")
        self._open_call()
        values = [self._sum()]
        while self._accept(","):
            values.append(self._sum())
        self._close_call()
        given = tuple(values)
        if name == "coalesce":
            return _coalesce(given)
        function = FUNCTIONS[name]
        least, most = function.least, function.most
        if len(given) < least or (most is not None and len(given) > most):
            bounds = f"{least}" if least == most else f"{least} to {most or 'any number of'}"
            raise self._error(f"{name}(...) takes {bounds} values, not {len(given)}", at=start)
        return _applied(name, function.call, given)


def _applied(name: str, call: Callable[..., Any], values: tuple[Expression, ...]) -> Expression:
    def apply(event: Event, element: Any) -> Any:
        given = [value(event, element) for value in values]
        try:
            return call(*given)
        except Unfit as error:
            raise Unfit(f"{name}(...): {error}") from None

    return apply


def _coalesce(values: tuple[Expression, ...]) -> Expression:
    def first(event: Event, element: Any) -> Any:
        for value in values:
            found = value(event, element)
            if found is not None:
                return found
        return None

    return first


def _read(path: Path, scope: Path | None) -> Expression:
    if scope is not None and path.root == scope.root:
        inside = len(scope.steps)
        if path.steps[:inside] == scope.steps:
            rest = path.steps[inside:]
            if EVERY in rest:
                return lambda _, element: _all_at(element, rest)
            return lambda _, element: _at(element, rest)
    if EVERY in path.steps:
        first = path.steps.index(EVERY)
        read_list, rest = path_reader(Path(path.root, path.steps[:first])), path.steps[first:]
        return lambda event, _: _all_at(read_list(event), rest)
    read = path_reader(path)
    return lambda event, _: read(event)


def _at(value: Any, steps: tuple[str | int | None, ...]) -> Any:
    """Returns the value at a path inside a value, or None."""
    for step in steps:
        if isinstance(step, str):
            value = value.get(step) if isinstance(value, Mapping) else None
        else:
            is_list = isinstance(value, list | tuple)
            value = value[step] if is_list and step is not None and step < len(value) else None
    return value


def _all_at(value: Any, steps: tuple[str | int | None, ...]) -> list[Any] | None:
    """Returns all values that a path with ``[]`` leads to, without nulls; None without a list."""
    first = steps.index(EVERY)
    elements, rest = _at(value, steps[:first]), steps[first + 1 :]
    if not isinstance(elements, list | tuple):
        return None
    if EVERY in rest:
        lists = (_all_at(element, rest) for element in elements)
        return [found for inner in lists if inner is not None for found in inner]
    return [found for element in elements if (found := _at(element, rest)) is not None]
