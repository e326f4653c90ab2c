"""Secrets in texts from outside: masked in every encoding that a vendor may echo."""

from __future__ import annotations

import base64
import urllib.parse

import pytest

from gateway.http.excerpt import Mask

SECRET = "s3cr3t/ke?y+value~é"


@pytest.mark.parametrize("before", ["", "a", "ab", "user:", "abcd"])
@pytest.mark.parametrize("after", ["", ":", "xy", "and more"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_base64_copies_are_masked(before: str, after: str, encode: object) -> None:
    """At most the characters that it shares with its neighbours are left, padded or not."""
    assert callable(encode)
    text = encode(f"{before}{SECRET}{after}".encode()).decode()
    for shown in (text, text.rstrip("="), urllib.parse.quote(text, safe="")):
        masked = Mask([SECRET]).hide(f"Basic {shown}.")
        assert masked.startswith("Basic ")
        assert "***" in masked
        left = len(masked) - len("Basic ***.")
        assert left <= len(encode(f"{before}{after}".encode())) + 2 + 3 * shown.count("%3D")


def test_hexadecimal_copies_are_masked() -> None:
    """In lower and upper case, also within a longer text."""
    digits = SECRET.encode().hex()
    assert Mask([SECRET]).hide(f"k=00{digits}ff {digits.upper()}") == "k=00***ff ***"


def test_short_texts_are_left_alone_in_other_encodings() -> None:
    """A secret of a few characters is masked as it is; its base64 would be found anywhere."""
    assert Mask(["abcd"]).hide("abcd YWJjZA== 61626364") == "*** YWJjZA== 61626364"


def test_an_excerpt_that_is_cut_shows_no_beginning_of_a_copy() -> None:
    """The end of a text that goes on is left out as far as a copy of a secret may reach."""
    text = "x" * 100 + SECRET.encode().hex()
    shown = Mask([SECRET]).excerpt(text[:-3], cut=True)
    assert SECRET.encode().hex()[:6] not in shown
