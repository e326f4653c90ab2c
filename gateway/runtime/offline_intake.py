"""Intake without a gateway: makes events of clients' JSON, and stores nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import msgspec
from msgspec import Raw

from gateway.components.scope import Scope
from gateway.config.load import load
from gateway.events.envelope.normalise import Discarded, depth_exceeds, normalise
from gateway.events.event import Event
from gateway.intake.dry_run import IntakeDryRun
from gateway.runtime.gateway import Gateway
from gateway.runtime.plugins import discover

__all__ = ["OfflineIntake"]

_MAX_DEPTH = 64


class OfflineIntake:
    """Validates, stamps and masks events as a config says; for commands that read events of files.

    Users who are suppressed stay out. Duplicates are not looked for. Users are linked to visitors:
    first by the links of the gateway, and then by those of the events, in their order and up to
    ``identity.max_links``. The gateway does not learn these.

    Raises:
        GatewayError: the config cannot be used.
    """

    def __init__(self, scope: Scope) -> None:
        gateway = Gateway(load(scope.file), discover(), scope.clock, dry_run=True)
        gateway.suppressed.refresh()
        gateway.identity.read_links()
        gateway.identity.active = True
        self._close = gateway.suppressed.close
        self._intake = cast("IntakeDryRun", gateway.intake)

    def close(self) -> None:
        """Closes the list of suppressed users."""
        self._close()

    def take(self, source_id: str, texts: Sequence[bytes], received_ms: int) -> list[Event | str]:
        """Returns for each JSON object the event to store, or the code it is discarded with.

        Args:
            source_id: of the events; it need not stand in config.toml.
        """
        made = [_event(text) for text in texts]
        events = [one for one in made if isinstance(one, Event)]
        taken = iter(self._intake.take_in(source_id, events, received_ms, learn=True))
        return [next(taken) if isinstance(one, Event) else one for one in made]


def _event(text: bytes) -> Event | str:
    if depth_exceeds(text, _MAX_DEPTH + 1):
        return "nested_too_deep"
    try:
        return normalise(_fields.decode(text))
    except msgspec.DecodeError:
        return "invalid_json"
    except Discarded as error:
        return error.code


_fields = msgspec.json.Decoder(dict[str, Raw])
