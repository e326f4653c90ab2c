"""Tokens of the small languages of config.toml: conditions, and the expressions of mappings.

A `Parser` reads a text from left to right, one token ahead. A subclass for each language defines
its signs, its numbers, and hints for signs of other languages. Quoted texts, words, positions of
mistakes and the limit on nesting are the same for all languages.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from gateway.events.conditions.path import FIELDS, Path, scan_path

__all__ = ["LITERALS", "Parser", "TextError", "Token"]

_EXCERPT = 60  # characters of the text shown on either side of a mistake

LITERALS: Mapping[str, bool | None] = {"true": True, "false": False, "null": None}


class TextError(ValueError):
    """A text has a mistake. The message shows its position.

    Args:
        problem: description in one line.
        text: the whole text.
        position: index of the wrong character.
    """

    def __init__(self, problem: str, text: str, position: int) -> None:
        line_start = text.rfind("\n", 0, position) + 1
        line_end = text.find("\n", position)
        line_end = len(text) if line_end < 0 else line_end
        start = max(line_start, position - _EXCERPT)
        shown = text[start : min(line_end, position + _EXCERPT)].replace("\t", " ")
        pointer = " " * (position - start) + "^"
        super().__init__(f"{problem} (character {position + 1})\n    {shown}\n    {pointer}")
        self.problem = problem
        self.position = position


@dataclass(frozen=True, slots=True)
class Token:
    """A token of a text.

    Attributes:
        kind: ``word``, ``text``, ``number``, ``end``, or the sign itself.
        value: value of a quoted text, a number or a literal.
    """

    kind: str
    text: str
    value: Any
    start: int
    end: int


_SPACE = re.compile(r"\s*")
_WORD = re.compile(r"[^\W\d]\w*")
_TEXT = re.compile(r""""(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'""", re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = {"\\": "\\", '"': '"', "'": "'", "n": "\n", "t": "\t"}


class Parser:
    """The common part of parsers.

    Attributes:
        error: class of the errors that are raised.
        language: name of a text in the language, such as ``a condition``.
        max_nesting: limit for levels of parentheses and functions.
        sign, number: patterns of signs and numbers.
        foreign: signs of other languages, and what to write instead.
    """

    error: ClassVar[type[TextError]]
    language: ClassVar[str]
    max_nesting: ClassVar[int]
    sign: ClassVar[re.Pattern[str]]
    number: ClassVar[re.Pattern[str]]
    foreign: ClassVar[Mapping[str, str]]
    _foreign_sign: ClassVar[re.Pattern[str]]

    def __init_subclass__(cls) -> None:
        """Compiles the foreign signs into one pattern, the longer ones first."""
        signs = sorted(cls.foreign, key=len, reverse=True)
        # A foreign sign may be the beginning of one of ours, like `!` of `!=`. That is no mistake.
        cls._foreign_sign = re.compile("|".join(f"{re.escape(sign)}(?!=)" for sign in signs))

    def __init__(self, text: str) -> None:
        self._text = text
        self._depth = 0
        self._next = self._token(0)

    def _token(self, position: int) -> Token:
        text = self._text
        start = _SPACE.match(text, position).end()  # type: ignore[union-attr]
        if start == len(text):
            return Token("end", "", None, start, start)
        if foreign := self._foreign_sign.match(text, start):
            sign = foreign[0]
            raise self.error(f"there is no {sign!r}; write {self.foreign[sign]!r}", text, start)
        if match := self.sign.match(text, start):
            return Token(match[0], match[0], None, start, match.end())
        if match := _WORD.match(text, start):
            word = match[0]
            return Token("word", word, LITERALS.get(word), start, match.end())
        if match := _TEXT.match(text, start):
            value = self._unescape(match[0][1:-1], start + 1)
            return Token("text", match[0], value, start, match.end())
        if match := self.number.match(text, start):
            digits = match[0]
            number = int(digits) if digits.lstrip("-").isdigit() else float(digits)
            return Token("number", digits, number, start, match.end())
        if text[start] in "\"'":
            raise self.error("the text has no closing quote", text, start)
        if text[start].isdigit() or text[start] in "-.":
            raise self.error("this is not a number", text, start)
        raise self.error(f"cannot read {text[start]!r}", text, start)

    def _unescape(self, quoted: str, start: int) -> str:
        for match in _ESCAPE.finditer(quoted):
            if match[1] not in _ESCAPES:
                raise self.error(
                    f"there is no escape {match[0]!r}; a backslash itself is written twice",
                    self._text,
                    start + match.start(),
                )
        return _ESCAPE.sub(lambda match: _ESCAPES[match[1]], quoted)

    def _advance(self) -> None:
        self._next = self._token(self._next.end)

    def _accept(self, kind: str) -> bool:
        if self._next.kind != kind:
            return False
        self._advance()
        return True

    def _expect(self, kind: str) -> None:
        if not self._accept(kind):
            raise self._error(f"expected {kind!r}, found {self._found()}")

    def _is_literal(self, token: Token) -> bool:
        return token.kind in ("text", "number") or (token.kind == "word" and token.text in LITERALS)

    def _scan_path(self, fields: Collection[str] = FIELDS) -> Path:
        """Reads the path that begins at the next token.

        Raises:
            PathError: no path begins there.
        """
        path, end = scan_path(self._text, self._next.start, fields)
        self._next = self._token(end)
        return path

    def _open_call(self) -> None:
        self._enter(self._next.start)
        self._advance()
        self._expect("(")

    def _close_call(self) -> None:
        self._expect(")")
        self._leave()

    def _enter(self, start: int) -> None:
        self._depth += 1
        if self._depth > self.max_nesting:
            raise self._error(f"{self.language} nests at most {self.max_nesting} levels", at=start)

    def _leave(self) -> None:
        self._depth -= 1

    def _found(self) -> str:
        return "the end" if self._next.kind == "end" else repr(self._next.text)

    def _error(self, problem: str, *, at: int | None = None) -> TextError:
        return self.error(problem, self._text, self._next.start if at is None else at)
