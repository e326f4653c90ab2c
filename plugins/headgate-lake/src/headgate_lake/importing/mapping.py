"""How the columns of a table become the fields of events."""

from __future__ import annotations

import re
from collections.abc import Mapping as Record
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Meta, Struct

from gateway import ConfigError, parse_ms
from headgate_lake.importing.reading import Bad

__all__ = ["Mapping", "read_mapping", "value_at", "zone_of"]

_MOST_FIELDS = 1_000
_HAS_ZONE = re.compile(r"(?:[zZ]|[+-]\d\d:?\d\d|UTC|GMT)$|^[+-]?[0-9.]+$")
_MILLISECONDS = 1000


class Mapping(Struct, frozen=True, forbid_unknown_fields=True):
    """A mapping, as it stands in a TOML file.

    Attributes:
        fields: of the tracking API, such as ``userId`` or ``properties.revenue``, to names of
            columns; a path with dots for JSON in JSON, and ``=TEXT`` for a text for all.
        zone: of times that name none.
        time_format: of times that are no ISO 8601, with the signs of ``strptime``.
    """

    fields: Annotated[dict[str, str], Meta(max_length=_MOST_FIELDS)] = {}
    zone: str = ""
    time_format: str = ""

    def moment_ms(self, value: object, *, local_numbers: bool = False) -> int | None:
        """Returns a time in milliseconds; None if it cannot be read.

        Args:
            local_numbers: numbers count the seconds of clocks in the zone, not those of UTC.
        """
        if self.time_format:
            try:
                moment = datetime.strptime(str(value).strip(), self.time_format)  # noqa: DTZ007
            except ValueError:
                return None
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=zone_of(self.zone) if self.zone else UTC)
            return round(moment.timestamp() * _MILLISECONDS)
        found = parse_ms(value)
        if found is None or not self.zone:
            return found
        named = _HAS_ZONE.search(value.strip()) if isinstance(value, str) else not local_numbers
        if named:
            return found
        naive = datetime.fromtimestamp(found / _MILLISECONDS, UTC)
        return round(naive.replace(tzinfo=zone_of(self.zone)).timestamp() * _MILLISECONDS)


def read_mapping(path: Path) -> Mapping:
    """Reads a TOML file.

    Raises:
        ConfigError: it cannot be read, or is no mapping.
    """
    try:
        mapping = msgspec.toml.decode(path.read_bytes(), type=Mapping)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error
    if mapping.zone:
        zone_of(mapping.zone)
    return mapping


def zone_of(name: str) -> ZoneInfo:
    """Returns a time zone.

    Raises:
        ConfigError: there is none of this name.
    """
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError) as error:
        raise ConfigError(f"there is no time zone {name!r}; give one like Europe/Berlin") from error


def value_at(record: Record[str, Any], column: str) -> Any:
    """Returns the value of a column, or at a path of columns.

    Raises:
        Bad: the record has none.
    """
    if column in record:
        return record[column]
    value: Any = record
    for part in column.split("."):
        if not isinstance(value, dict) or part not in value:
            raise Bad(f"no column {column!r}")
        value = value[part]
    return value
