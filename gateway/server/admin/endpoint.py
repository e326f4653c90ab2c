"""The declaration of one path of the administration API."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from aiohttp import web

from gateway.config.admin import Role
from gateway.server.admin.merge import Merge

if TYPE_CHECKING:
    from gateway.runtime.gateway import Gateway

__all__ = ["Endpoint", "Handler"]

Handler: TypeAlias = Callable[["Gateway", web.Request], Awaitable[web.StreamResponse]]

_PATTERN = re.compile(r"\{(\w+):[^/]*\}")
_VERBS = {"POST": "create", "DELETE": "delete"}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One method and path below /admin.

    Attributes:
        path: a pattern of aiohttp's router.
        role: the weakest role that may call it.
        handler: answers for one gateway.
        merge: how a gateway with several shards answers.
        one_at_a_time: an expensive call, for which later calls wait.
        patient: the handler has a time limit of its own; workers wait for each other's answers
            without one.
    """

    method: Literal["GET", "POST", "DELETE"]
    path: str
    role: Role
    handler: Handler
    merge: Merge
    one_at_a_time: bool = False
    patient: bool = False

    @property
    def plain_path(self) -> str:
        """The path without regular expressions: ``/admin/replays/{id}``."""
        return _PATTERN.sub(r"{\1}", self.path)

    @property
    def action(self) -> str:
        """The name in the audit trail.

        ``dead.retry`` for POST /admin/dead/retry, ``replays.create`` for POST /admin/replays.
        """
        area, *rest = [p for p in self.plain_path.split("/")[2:] if not p.startswith("{")]
        return f"{area}.{rest[0] if rest else _VERBS.get(self.method, self.method.lower())}"

    @property
    def changes(self) -> bool:
        """True if a call changes something and belongs in the audit trail."""
        return self.role != "read" and self.method != "GET"
