"""Names of tables and columns, made from the names of events and properties.

PostgreSQL, "Identifiers and Key Words":
https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from functools import lru_cache

__all__ = ["MAX_IDENTIFIER_BYTES", "identifier", "quoted"]

MAX_IDENTIFIER_BYTES = 63
"""NAMEDATALEN - 1. PostgreSQL silently cuts longer names, which could make two names equal."""

_DIGEST_CHARACTERS = 10
_REMEMBERED_CHARACTERS = 200  # longer names are not worth the memory
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_LETTERS_NUMBERS_MARKS = "LNM"


def identifier(name: str) -> str:
    """Returns a name for a table or column in snake case, always the same for the same name.

    ``Order Completed``, ``orderCompleted`` and ``order_completed`` are all ``order_completed``.
    Letters of any script are kept. A name that begins with a digit gets a ``_`` before it. One of
    more than 63 bytes ends in a digest of the whole. A name without letters is ``n_`` and a digest.
    """
    return _remembered(name) if len(name) <= _REMEMBERED_CHARACTERS else _made(name)


def quoted(*names: str) -> str:
    """Returns names as SQL, joined by dots."""
    return ".".join('"' + name.replace('"', '""') + '"' for name in names)


def _made(name: str) -> str:
    split = _HUMP.sub("_", unicodedata.normalize("NFKC", name))
    lower = unicodedata.normalize("NFKC", split.lower())
    kept = "".join(
        c if unicodedata.category(c)[0] in _LETTERS_NUMBERS_MARKS else "_" for c in lower
    )
    words = "_".join(filter(None, kept.split("_")))
    if not words:
        return f"n_{_digest(name)}"
    if words[0].isdigit():
        words = f"_{words}"
    data = words.encode()
    if len(data) <= MAX_IDENTIFIER_BYTES:
        return words
    head = data[: MAX_IDENTIFIER_BYTES - _DIGEST_CHARACTERS - 1].decode(errors="ignore")
    return f"{head.rstrip('_')}_{_digest(words)}"


_remembered = lru_cache(maxsize=65_536)(_made)


def _digest(text: str) -> str:
    data = text.encode(errors="surrogatepass")
    return hashlib.sha256(data).hexdigest()[:_DIGEST_CHARACTERS]
