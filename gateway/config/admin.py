"""`[admin]`: the tokens of the administration API, and their roles."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from msgspec import Meta

from gateway.components.settings import Secret, Settings
from gateway.components.token import NamedToken, check_token

__all__ = ["ROLES", "AdminConfig", "AdminToken", "Role"]

Role = Literal["read", "operate", "admin"]
"""A role of an admin token; see `AdminToken`."""

ROLES: tuple[Role, ...] = get_args(Role)
"""All roles from the weakest to the strongest; each includes those before it."""

_Positive = Annotated[int, Meta(ge=1)]
_PositiveSeconds = Annotated[float, Meta(gt=0)]


class AdminToken(NamedToken, frozen=True):
    """An entry of `[[admin.tokens]]`.

    Attributes:
        role: ``read`` sees state and events; ``operate`` also retries, drops, replays and reloads;
            ``admin`` also suppresses and erases users and reads the audit trail.
    """

    role: Role = "read"


class AdminConfig(Settings, frozen=True):
    """`[admin]`: the administration API below /admin. Without a token only commands of this machine
    reach it.

    Attributes:
        token: a secret that requests carry as ``Authorization: Bearer TOKEN``; its name and its
            role are ``admin``. At least 16 characters, or ``sha256:`` and its hash.
        tokens: more tokens, with names and roles of their own.
        max_body_bytes: of a request, as sent and decompressed.
        body_timeout_seconds: a request must send its body within this.
        max_wrong_tokens_per_second: of one address; over it all requests of the address are
            delayed, for up to 5 seconds each. 0 is no bound.
        max_local_connections: of commands of this machine at a time, over the Unix socket.
        max_tails: live tails (`gateway tail`) at a time, in each worker.
        tail_max_bytes: events held for a tail whose reader is slow; it misses those beyond.
        tail_stall_seconds: a tail whose reader takes nothing for so long is ended.
    """

    token: Secret | None = None
    tokens: tuple[AdminToken, ...] = ()
    max_body_bytes: _Positive = 4_000_000
    body_timeout_seconds: _PositiveSeconds = 10.0
    max_wrong_tokens_per_second: Annotated[float, Meta(ge=0)] = 1.0
    max_local_connections: _Positive = 100
    max_tails: _Positive = 20
    tail_max_bytes: _Positive = 4_000_000
    tail_stall_seconds: _PositiveSeconds = 30.0

    def __post_init__(self) -> None:
        """Refuses tokens that could be guessed, and equal names or tokens."""
        if self.token is not None:
            check_token(self.token)
        for what, values in (
            ("name", [token.name for token in self.all_tokens]),
            ("token", [token.token for token in self.all_tokens]),
        ):
            if len(set(values)) < len(values):
                raise ValueError(f"tokens: two have the same {what}")

    @property
    def all_tokens(self) -> tuple[AdminToken, ...]:
        """All tokens, including `token`."""
        if self.token is None:
            return self.tokens
        return (AdminToken(name="admin", token=self.token, role="admin"), *self.tokens)

    @property
    def own_token(self) -> str:
        """The token in plain text with the most rights, for our own commands; empty without any."""
        plain = [token for token in self.all_tokens if token.is_plain]
        best = max(plain, key=lambda token: ROLES.index(token.role), default=None)
        return best.token.reveal() if best is not None else ""
