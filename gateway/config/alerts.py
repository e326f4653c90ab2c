"""`[alerts]` of config.toml: who is told what becomes of rollouts."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from gateway.components.settings import Secret, Settings

__all__ = ["Alert", "AlertsConfig"]

Alert: TypeAlias = Literal["start", "promote", "hold", "resume", "rollback", "done"]
"""What may become of a rollout."""


class AlertsConfig(Settings, frozen=True):
    """`[alerts]`: where it is told what became of rollouts. Without a `url` nobody is.

    Attributes:
        url: gets a POST with JSON. A secret, as it often has one in its path.
        headers: added to each request; secrets too.
        on: what is told.
        timeout_seconds: of one attempt.
        max_attempts: after so many an alert is given up, and the log says so.
    """

    url: Secret | None = None
    headers: dict[str, Secret] = msgspec.field(default_factory=dict)
    on: tuple[Alert, ...] = ("hold", "rollback", "done")
    timeout_seconds: Annotated[float, Meta(gt=0)] = 10.0
    max_attempts: Annotated[int, Meta(ge=1)] = 20

    def __post_init__(self) -> None:
        """Refuse what could not be sent to, without showing it."""
        if self.url is not None and not self.url.reveal().startswith(("http://", "https://")):
            raise ValueError("url: does not begin with http:// or https://")
