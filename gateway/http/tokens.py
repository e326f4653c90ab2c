"""Admin tokens: whose a request's token is, and what its role lets it do.

Of a token only the SHA-256 is kept in memory for comparison. A token is long and random, so that a
plain hash cannot be turned back; a slow one would make each request slow.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field

from aiohttp import web

from gateway.config.admin import ROLES, AdminConfig, AdminToken, Role

__all__ = ["Caller", "Tokens"]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks."""

    name: str
    role: Role

    def may(self, role: Role) -> bool:
        """Whether what needs this role is allowed."""
        return ROLES.index(self.role) >= ROLES.index(role)


@dataclass(frozen=True, slots=True)
class _Known:
    caller: Caller
    digest: bytes = field(repr=False)


class Tokens:
    """The tokens of ``[admin]``. It is false where there are none."""

    def __init__(self, config: AdminConfig) -> None:
        self.use(config)

    def use(self, config: AdminConfig) -> None:
        """Know these from now on, and no others."""
        self._known: Sequence[_Known] = [
            _Known(Caller(token.name, token.role), _digest(token)) for token in config.all_tokens
        ]

    def __bool__(self) -> bool:
        return bool(self._known)

    def of_request(self, request: web.Request) -> Caller | None:
        """Who makes a request; None where it is nobody we know."""
        return self.caller(request.headers.get("Authorization", ""))

    def caller(self, header: str) -> Caller | None:
        """Whose an Authorization header is; None where it is nobody's.

        All tokens are looked at whichever it is, each in constant time.
        """
        scheme, _, given = header.partition(" ")
        digest = hashlib.sha256(given.encode("utf-8", "surrogateescape")).digest()
        found: Caller | None = None
        for known in self._known:
            if hmac.compare_digest(known.digest, digest):
                found = known.caller
        return found if scheme.lower() == "bearer" else None


def _digest(token: AdminToken) -> bytes:
    hashed = token.hashed
    return hashlib.sha256(token.token.reveal().encode()).digest() if hashed is None else hashed
