"""Finds e-mail addresses in text.

RFC 5321 allows more characters than anybody uses; these are the ones in use. Letters are those of
scripts that put spaces between words, with combining marks. In other scripts the next word follows
an address directly; there, letters count only if the address would have no name or domain else.
"""

from __future__ import annotations

import re

from gateway.privacy.detectors.encoded import AT_SIGN
from gateway.privacy.detectors.spans import Span

__all__ = ["find_emails", "split_email"]

_LETTERS = "0-9A-Za-z\u00c0-\u024f\u0300-\u0dff\u1e00-\u1fff"
_MARKS = "\u0300-\u036f"
# The name is matched backwards from the sign; forwards, every character could begin one.
_NAME_BACKWARDS = re.compile(f"[{_LETTERS}_.+'~-]{{1,64}}")
_DOMAIN = re.compile(
    f"(?:[{_LETTERS}][{_LETTERS}-]{{0,62}}\\.){{1,8}}[{_LETTERS}][{_LETTERS}-]{{1,62}}"
)
_ANY_NAME_BACKWARDS = re.compile(r"[\w.+'~-]{1,64}")
_ANY_DOMAIN = re.compile(r"(?:\w[\w-]{0,62}\.){1,8}\w[\w-]{1,62}")
_TOP_DOMAIN = re.compile(f"(?![0-9])[\\w{_MARKS}-]*[^\\W\\d_][{_MARKS}]?")
_PICTURE = re.compile(r"[1-9]x\.(?:png|jpe?g|gif|webp|svg|avif|ico)", re.IGNORECASE)
_NAME_REACH = 64


def find_emails(text: str) -> list[Span]:
    """Returns the span of each address in a text."""
    spans: list[Span] = []
    at = text.find("@")
    while at >= 0:
        position, at = at, text.find("@", at + 1)
        before = text[max(0, position - _NAME_REACH) : position][::-1]
        name = _NAME_BACKWARDS.match(before)
        domain = _DOMAIN.match(text, position + 1)
        if (name is None or domain is None) and not text.isascii():
            name = name or _ANY_NAME_BACKWARDS.match(before)
            domain = domain or _ANY_DOMAIN.match(text, position + 1)
        if name is None or domain is None:
            continue
        spelled = name[0][::-1].lstrip("'.~-")
        length = _domain_length(domain[0])
        if not spelled or not length or _PICTURE.fullmatch(domain[0]):
            continue
        start, end = position - len(spelled), position + 1 + length
        if spans and start < spans[-1][1]:
            start, _ = spans.pop()  # a@b.example@c.example
        spans.append((start, end))
    return spans


def _domain_length(domain: str) -> int:
    """Returns the length up to the last label that can end a domain; 0 if there is none."""
    domain = domain.rstrip("-")
    while (dot := domain.rfind(".")) > 0:
        if _TOP_DOMAIN.fullmatch(domain, dot + 1) and len(domain) - dot > 2:
            return len(domain)
        domain = domain[:dot].rstrip("-")
    return 0


def split_email(text: str) -> tuple[str, str, str]:
    """Splits an address into name, sign and domain; the sign may be percent-encoded."""
    if "%" not in text:
        return text.rpartition("@")
    *_, at = AT_SIGN.finditer(text)
    return text[: at.start()], at[0], text[at.end() :]
