"""Makes text from outside safe to log: without secrets and control characters, and short."""

from __future__ import annotations

import html
import json
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator
from urllib.parse import parse_qsl, quote, urlsplit

__all__ = ["EXCERPT_CHARACTERS", "Mask", "secrets_of_url"]

EXCERPT_CHARACTERS = 200
"""Length of the longest excerpt."""

_SHORTEST_SECRET = 4
"""Length of the shortest secret. Masking shorter texts would garble the rest."""

_SHORTEST_ENCODED = 8
"""Bytes of a secret that is also looked for in base64 and hexadecimal."""

_SHORTEST_TOKEN = 16
"""Length from which a piece of a URL's path may be a token; shorter ones are words."""

_PERCENT = re.compile("%[0-9A-F]{2}")


def secrets_of_url(url: str) -> list[str]:
    """Returns the parts of a URL that may be a credential, and the URL itself."""
    parts = urlsplit(url)
    found = [url, parts.path, parts.query, *(value for _, value in parse_qsl(parts.query))]
    return found + [piece for piece in parts.path.split("/") if len(piece) >= _SHORTEST_TOKEN]


class Mask:
    """Replaces secrets in text.

    Args:
        secrets: texts to replace with ``***``, also where they are escaped for JSON, a URL or
            HTML, or encoded in base64 or hexadecimal.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        variants = {
            variant
            for secret in secrets
            for form in (secret, *_encoded(secret.encode(errors="surrogatepass")))
            for variant in _escaped(form)
            if len(variant) >= _SHORTEST_SECRET
        }
        longest_first = sorted(variants, key=len, reverse=True)
        self._longest = max(map(len, variants), default=0)
        self._pattern = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")

    def excerpt(self, text: str, *, cut: bool = False) -> str:
        """Returns the beginning of the text as one line.

        Args:
            cut: the end of the text is missing. Then its last characters are left out, since they
                may be the beginning of a secret.
        """
        text = " ".join(self._clean(text, cut=cut).split())
        return _shortened(text, EXCERPT_CHARACTERS)

    def block(self, text: str, most: int, *, cut: bool = False) -> str:
        """Returns the beginning of the text with its line ends, `most` characters at most.

        Args:
            cut: as for `excerpt`.
        """
        lines = [self._clean(line, cut=False) for line in self._uncut(text, cut=cut).split("\n")]
        return _shortened("\n".join(lines), most)

    def hide(self, text: str) -> str:
        """Returns the whole text with its secrets replaced."""
        return self._pattern.sub("***", text)

    def _clean(self, text: str, *, cut: bool) -> str:
        text = self.hide(self._uncut(text, cut=cut))
        return "".join(c if c.isprintable() else " " for c in text)

    def _uncut(self, text: str, *, cut: bool) -> str:
        return text[: max(0, len(text) - self._longest)] if cut else text


def _escaped(text: str) -> Iterator[str]:
    """Gives what stands for a text in JSON, URLs and HTML."""
    yield text
    yield json.dumps(text)[1:-1]
    yield json.dumps(text)[1:-1].replace("/", "\\/")  # as PHP writes it
    yield quote(text, safe="/%:?&=+", errors="surrogatepass")  # as a URL is sent
    yield (quoted := quote(text, safe="", errors="surrogatepass"))
    yield _PERCENT.sub(lambda found: found[0].lower(), quoted)
    yield html.escape(text)


def _encoded(secret: bytes) -> Iterator[str]:
    """Gives what stands for a secret in hexadecimal and in base64, wherever it begins in a text."""
    if len(secret) < _SHORTEST_ENCODED:
        return
    yield secret.hex()
    yield secret.hex().upper()
    for before in range(3):
        # Characters that share bits with what stands around the secret are not compared.
        coded = b64encode(bytes(before) + secret).decode().rstrip("=")
        first = (0, 2, 3)[before]
        inner = coded[first:] if (before + len(secret)) % 3 == 0 else coded[first:-1]
        yield inner
        yield inner.replace("+", "-").replace("/", "_")


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
