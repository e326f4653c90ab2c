"""Finds secrets in text: tokens and keys that services issue, and secrets in URLs.

``secret``
    JSON Web Tokens (RFC 7519); keys with the prefix of their issuer, such as ``AKIA…``, ``ghp_…``
    and ``sk_live_…``; private keys in PEM (RFC 7468); tokens after ``Bearer``, in any case; user
    and password of a URL (RFC 3986, 3.2.1); values of parameters such as ``access_token`` and
    ``password`` in a query string or a form.
"""

from __future__ import annotations

import re

from gateway.privacy.detectors.spans import apart

__all__ = ["HINTS", "PARAMETERS", "find_secrets"]

PARAMETERS = (
    *("access[_-]?token", "refresh[_-]?token", "id[_-]?token", "auth[_-]?token", "token", "jwt"),
    *("api[_-]?key", "apikey", "password", "passwd", "pwd", "secret", "client[_-]?secret"),
    *("session[_-]?id", "auth", "signature", "reset[_-]?code", "otp"),
)
"""Query parameters whose values are secret, as patterns."""

_KEYS = r"""
    A[KS]IA[0-9A-Z]{16}(?![0-9A-Za-z])
  | [rs]k_(?:live|test)_[0-9A-Za-z]{10,247}
  | gh[opusr]_[0-9A-Za-z]{30,255}
  | github_pat_[0-9A-Za-z_]{22,255}
  | glpat-[0-9A-Za-z_-]{20,100}
  | xox[abeoprs]-[0-9A-Za-z-]{10,250}
  | AIza[0-9A-Za-z_-]{35}
  | sk-(?:ant|proj|svcacct)-[0-9A-Za-z_-]{20,250}
  | sk-[0-9A-Za-z]{32,250}
  | SG\.[0-9A-Za-z_-]{16,32}\.[0-9A-Za-z_-]{16,64}
  | npm_[0-9A-Za-z]{36}
  | shp(?:at|ca|pa|ss)_[0-9a-f]{32}
  | pypi-[0-9A-Za-z_-]{50,250}
"""
# Each branch begins with rare text or is bounded, so that the time stays linear in the text.
_SECRET = re.compile(
    rf"""
    (?<![0-9A-Za-z_-])(?:
        eyJ[0-9A-Za-z_-]{{8,}}\.[0-9A-Za-z_-]{{8,}}(?:\.[0-9A-Za-z_-]*)?
      | {_KEYS}
    )
  | (?<=(?i:bearer)[ ])[0-9A-Za-z._~+/-]{{20,}}=*
  | (?<=://)[^\s/?#"<>\\*]{{1,256}}(?=@[\w\[])
  | -----BEGIN[ ][A-Z ]{{0,30}}PRIVATE[ ]KEY-----(?:(?!-----END).)*(?:-----END[ A-Z]{{0,40}}-----)?
    """,
    re.VERBOSE | re.DOTALL,
)
_PARAMETER = re.compile(
    rf"""(?<![\w-])(?:{"|".join(PARAMETERS)})=(?!\*\*\*)([^&#;\s"'<>]+)""", re.IGNORECASE
)
HINTS = (
    "eyJ|A[KS]IA|[rs]k_|gh[opusr]_|glpat-|xox|AIza|sk-|SG[.]|npm_|shp|pypi-|_pat_|-----B"
    "|[Bb][Ee][Aa][Rr][Ee][Rr] "
)
"""A pattern that every secret matches, except those in URLs: they have ``@`` or ``=``."""

_HINT = re.compile(f"{HINTS}|://")


def find_secrets(text: str) -> list[tuple[int, int]]:
    """Returns the span of each secret in a text."""
    spans: list[tuple[int, int]] = []
    if _HINT.search(text):
        spans = [match.span() for match in _SECRET.finditer(text)]
    if "=" in text:
        spans += [match.span(1) for match in _PARAMETER.finditer(text)]
        spans.sort()
    return apart(spans)
