"""Many regular expressions are matched at once, and compiled quickly."""

from __future__ import annotations

from itertools import product
from string import ascii_lowercase
from time import process_time

from gateway.privacy.detectors.matcher import CASELESS, EXACT, Matcher

WORDS = ["".join(letters).encode() for letters in product(ascii_lowercase, repeat=4)][::160]


def test_each_hit_has_the_number_of_its_expression() -> None:
    """However many expressions have a number, their hits tell this number, once for each end."""
    assert len(WORDS) > 2_500
    patterns = [(32, b"<" + word, CASELESS) for word in WORDS]
    matcher = Matcher((*patterns, (1, rb"[0-9]{3}", EXACT), *patterns))
    text = b" ".join((b"<" + WORDS[0].upper(), b"123", b"<" + WORDS[-1], WORDS[1]))
    assert sorted(matcher.hits(text)) == [(5, 32), (9, 1), (15, 32)]


def test_expressions_are_compiled_in_time_linear_in_their_number() -> None:
    """Four times as many expressions of one number do not take sixteen times as long to compile."""

    def seconds(words: list[bytes]) -> float:
        began = process_time()
        Matcher(tuple((32, b'"' + word, CASELESS) for word in words))
        return process_time() - began

    few = min(seconds(WORDS[::4]) for _ in range(3))
    assert seconds(WORDS) < 9 * few
