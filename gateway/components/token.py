"""Tokens by which other programs identify themselves, as config has them."""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Annotated

from msgspec import Meta

from gateway.components.settings import Secret, Settings

__all__ = ["NamedToken", "check_token"]

_LEAST_TOKEN = 16
_HASHED = "sha256:"


class NamedToken(Settings, frozen=True):
    """A token with the name of its holder; a table of tokens adds what they may do.

    Tokens are long and random, so a plain hash of one cannot be reversed; a slow hash would make
    each request slow.

    Attributes:
        name: of its holder, for logs and the audit trail.
        token: at least 16 characters, or ``sha256:`` and the token's SHA-256 in hexadecimal.
    """

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9 @._-]{0,63}$")]
    token: Secret

    def __post_init__(self) -> None:
        """Refuses tokens that could be guessed, and hashes that could never match."""
        check_token(self.token)

    @property
    def is_plain(self) -> bool:
        """True if config has the token itself and not its hash."""
        return not self.token.reveal().startswith(_HASHED)

    @property
    def digest(self) -> bytes:
        """The token's SHA-256."""
        text = self.token.reveal()
        if self.is_plain:
            return hashlib.sha256(text.encode()).digest()
        return bytes.fromhex(text.removeprefix(_HASHED))

    def matches(self, given: str) -> bool:
        """Tells whether a text is this token, in constant time."""
        digest = hashlib.sha256(given.encode("utf-8", "surrogateescape")).digest()
        return hmac.compare_digest(self.digest, digest)


def check_token(token: Secret) -> None:
    """Refuses a token that could be guessed, and a hash that could never match.

    Raises:
        ValueError: it is one of these.
    """
    text = token.reveal()
    if text.startswith(_HASHED):
        if not re.fullmatch(r"[0-9a-f]{64}", text.removeprefix(_HASHED)):
            raise ValueError(
                "token: sha256: is followed by 64 hexadecimal digits, lower case; "
                "`printf %s TOKEN | sha256sum` makes them"
            )
    elif len(text) < _LEAST_TOKEN:
        raise ValueError(
            f"token: has fewer than {_LEAST_TOKEN} characters; `openssl rand -hex 24` makes one"
        )
