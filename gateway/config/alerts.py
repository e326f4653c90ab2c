"""`[alerts]`: where the gateway reports changes of rollouts."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from gateway.components.settings import Secret, Settings

__all__ = ["Alert", "AlertsConfig"]

Alert: TypeAlias = Literal["start", "promote", "hold", "resume", "rollback", "done"]
"""A change of a rollout."""


class AlertsConfig(Settings, frozen=True):
    """`[alerts]`: where the gateway reports changes of rollouts; nowhere without a `url`.

    Attributes:
        url: receives a POST with JSON. A secret, because its path often contains one.
        headers: of each request; secrets too.
        on: the changes to report.
        timeout_seconds: of one attempt.
        trust_env: alerts go through the proxy that the environment names.
        max_attempts: after this number an alert is given up, which is logged.
    """

    url: Secret | None = None
    headers: dict[str, Secret] = msgspec.field(default_factory=dict)
    on: tuple[Alert, ...] = ("hold", "rollback", "done")
    timeout_seconds: Annotated[float, Meta(gt=0)] = 10.0
    trust_env: bool = False
    max_attempts: Annotated[int, Meta(ge=1)] = 20

    def __post_init__(self) -> None:
        """Refuses other URLs than those of HTTP, without showing them."""
        if self.url is not None and not self.url.reveal().startswith(("http://", "https://")):
            raise ValueError("url: does not begin with http:// or https://")
