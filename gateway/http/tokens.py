"""Finds the admin token of a request, and what its role allows.

Only the SHA-256 of each token is kept in memory for comparison.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field

from aiohttp import web

from gateway.config.admin import ROLES, AdminConfig, Role

__all__ = ["Caller", "Tokens"]


@dataclass(frozen=True, slots=True)
class Caller:
    """The name and role of the token that a request carries."""

    name: str
    role: Role

    def may(self, role: Role) -> bool:
        """Tells whether the caller may do what needs this role."""
        return ROLES.index(self.role) >= ROLES.index(role)


@dataclass(frozen=True, slots=True)
class _Known:
    caller: Caller
    digest: bytes = field(repr=False)


class Tokens:
    """The tokens of ``[admin]``; False where there are none."""

    def __init__(self, config: AdminConfig) -> None:
        self.use(config)

    def use(self, config: AdminConfig) -> None:
        """Replaces all known tokens by those of a config."""
        self._known: Sequence[_Known] = [
            _Known(Caller(token.name, token.role), token.digest) for token in config.all_tokens
        ]

    def __bool__(self) -> bool:
        return bool(self._known)

    def of_request(self, request: web.Request) -> Caller | None:
        """Returns the caller of a request; None if its token is unknown."""
        return self.caller(request.headers.get("Authorization", ""))

    def caller(self, header: str) -> Caller | None:
        """Returns the caller for an Authorization header; None if its token is unknown.

        It compares all tokens each time, each in constant time.
        """
        scheme, _, given = header.partition(" ")
        digest = hashlib.sha256(given.encode("utf-8", "surrogateescape")).digest()
        found: Caller | None = None
        for known in self._known:
            if hmac.compare_digest(known.digest, digest):
                found = known.caller
        return found if scheme.lower() == "bearer" else None
