"""The contract of areas that packages add to the administration API."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, TypeVar

import msgspec

from gateway.components.component import API_VERSION
from gateway.components.naming import check_name
from gateway.components.scope import Scope
from gateway.errors import GatewayError, PluginError

__all__ = ["CORE_AREAS", "AdminArea", "AdminEndpoint", "AdminError", "AdminRequest", "FindCaller"]

CORE_AREAS = frozenset(
    [
        "audit",
        "dead",
        "explain",
        "jobs",
        "ledger",
        "privacy",
        "regulations",
        "reload",
        "replays",
        "rollouts",
        "shadows",
        "status",
        "tail",
        "why",
    ]
)
"""The names of the gateway's own areas, which no package may take."""

_ROOT = re.compile(r"/v[0-9]+(/[a-z0-9_-]+)+")
_PATH = re.compile(r"(([a-z0-9_-]+|\{[a-z_]+\})(/([a-z0-9_-]+|\{[a-z_]+\}))*)?")

_T = TypeVar("_T")


class AdminError(GatewayError):
    """A mistake of the caller of the administration API.

    Args:
        status: of the HTTP answer, 400 to 499; 503 if something is not there at the moment.
        retry_after_seconds: time after which a new attempt makes sense, if that is known.
    """

    def __init__(
        self, message: str, status: int = 400, retry_after_seconds: int | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after_seconds = retry_after_seconds


@dataclass(frozen=True, slots=True)
class AdminRequest:
    """A request to an endpoint of a package. The caller has the role that the endpoint demands.

    Attributes:
        path: values of the path's parameters.
        query: values of the query; of several of one name the first.
        query_pairs: all of them, with their names.
        body: empty if there is none.
        caller: name of the token.
        detail: what `note` collected.
    """

    path: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes
    caller: str
    detail: dict[str, Any] = field(default_factory=dict)
    query_pairs: Sequence[tuple[str, str]] = ()

    def decode(self, type_: type[_T]) -> _T:
        """Decodes the JSON body.

        Raises:
            AdminError: it is not of this type.
        """
        try:
            return msgspec.json.decode(self.body or b"{}", type=type_)
        except msgspec.DecodeError as error:
            raise AdminError(f"body: {error}") from error

    def note(self, **detail: Any) -> None:
        """Adds detail of a change for the audit trail: counts and names of config, no user ids."""
        self.detail.update(detail)


Handler: TypeAlias = Callable[[Scope, AdminRequest], Awaitable[object]]

Merge: TypeAlias = Literal["any", "first"] | Callable[[Mapping[int, Any]], object]


@dataclass(frozen=True, slots=True)
class AdminEndpoint:
    """One method and path of an area.

    Attributes:
        path: below the area, such as ``{id}/run``; empty for the area itself.
        role: the weakest role that may call it. A call that is no GET and needs more than ``read``
            is a change, and is written to the audit trail.
        handler: returns the answer, a value that becomes JSON; raises `AdminError`.
        merge: which of several workers answer. ``any`` one, where all see the same files, and
            another if it dies meanwhile; ``first``: the one that runs jobs; or all, and this
            function makes one value of their answers, which it gets by shard as JSON values.
        timeout_seconds: time that the handler has; then the answer is 503.
    """

    method: Literal["GET", "POST", "DELETE"]
    path: str
    role: Literal["read", "operate", "admin"]
    handler: Handler
    merge: Merge = "any"
    timeout_seconds: float = 60.0


FindCaller: TypeAlias = Callable[[Scope, str], str | None]
"""Returns the name of the caller that a token belongs to; None if there is none."""


@dataclass(frozen=True, slots=True)
class AdminArea:
    """Registers an area, ``/admin/<name>``, and all its endpoints.

    An area may instead be an interface for other servers, with a path and tokens of its own. Each
    worker then answers for itself, so its endpoints only read, and have the role ``read``. A token
    comes as ``Bearer`` or as the user of ``Basic``. Browsers cannot call it.

    Attributes:
        root: begin of the paths in place of ``/admin/<name>``, such as ``/v1/spaces``.
        find_caller: finds the caller of a token, in place of the tokens and roles of ``[admin]``.
    """

    name: str
    endpoints: tuple[AdminEndpoint, ...]
    root: str = ""
    find_caller: FindCaller | None = None
    api: int = API_VERSION

    def __post_init__(self) -> None:
        """Refuses paths that the router would not take, and one that is there twice."""
        check_name("admin area", self.name)
        if bool(self.root) != (self.find_caller is not None):
            raise PluginError(f"admin area {self.name!r}: root and find_caller go together")
        if self.root and not _ROOT.fullmatch(self.root):
            raise PluginError(f"admin area {self.name!r}: {self.root!r} is no root like '/v1/data'")
        if self.root and any((one.method, one.role) != ("GET", "read") for one in self.endpoints):
            raise PluginError(f"admin area {self.name!r}: with a root, endpoints are GET and read")
        places = [(one.method, one.path) for one in self.endpoints]
        for method, path in places:
            if not _PATH.fullmatch(path):
                raise PluginError(
                    f"admin area {self.name!r}: {path!r} is no path like '{{id}}/run'"
                )
            if places.count((method, path)) > 1:
                raise PluginError(f"admin area {self.name!r}: {method} {path!r} is there twice")
