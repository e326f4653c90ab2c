"""Looks up the configured sources and their write keys."""

from __future__ import annotations

from gateway.errors import ConfigError
from gateway.intake.context import IntakeContext
from gateway.intake.write_keys import Key, Keys

__all__ = ["SourceDirectory"]


class SourceDirectory:
    """The part of intake that answers questions about sources; its dry run has the same part.

    Args:
        before: the directory of the previous config. Write keys that stay the same keep their rate.

    Attributes:
        clock: wall clock in milliseconds.
        transforms: the intake transforms.

    Raises:
        ConfigError: a transform makes events for a source that does not exist.
    """

    def __init__(self, context: IntakeContext, before: SourceDirectory | None = None) -> None:
        for transform, source_id in context.transforms.adds_to:
            if source_id not in context.sources:
                raise ConfigError(f"transforms.{transform}: there is no source {source_id!r}")
        self.clock = context.clock
        self.transforms = context.transforms
        self._sources = dict(context.sources)
        earlier = None if before is None else before._keys
        self._keys: Keys = Keys(context.sources, context.clock, context.workers, earlier)

    def key_of(self, write_key: str) -> Key | None:
        """Returns what a write key may send; None if it is unknown or has ended."""
        return self._keys.find(write_key)

    def source_of(self, write_key: str) -> str | None:
        """Returns the id of the source that a write key belongs to."""
        key = self._keys.find(write_key)
        return None if key is None else key.source_id

    def write_keys(self, source_id: str) -> tuple[str, ...]:
        """Returns the keys of a source, in the order of config.toml."""
        return self._sources[source_id].write_keys

    def enabled(self, source_id: str) -> bool:
        """Tells whether a source takes events."""
        return self._sources[source_id].enabled
