"""The lake, zone and limits of a config, and times as users write them."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, tzinfo

from gateway import ConfigError, ProjectConfig, Scope
from headgate_lake.lake import Lake
from headgate_lake.place import find_storage
from headgate_lake.sql.limits import Limits

__all__ = ["find_lake", "limits_of", "moment_in", "zone_of"]

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def find_lake(scope: Scope, id_: str | None = None) -> Lake:
    """Opens the lake of a config.

    Args:
        id_: of the destination; None for the only one.

    Raises:
        ConfigError: there is no such lake, or no id and several lakes.
        LakeError: it cannot be opened.
    """
    return Lake.open(find_storage(scope, id_))


def limits_of(scope: Scope) -> Limits:
    """Returns the limits of `[sql]`."""
    limits = scope.tables["sql"]
    assert isinstance(limits, Limits)
    return limits


def zone_of(scope: Scope, name: str | None) -> tuple[str, tzinfo]:
    """Returns a time zone by its name, or that of the project.

    Raises:
        ConfigError: there is no such zone.
    """
    if name is None:
        return scope.project.time_zone, scope.project.zone
    try:
        return name, ProjectConfig(time_zone=name).zone
    except ValueError as error:
        raise ConfigError(str(error)) from error


def moment_in(zone: tzinfo, text: str, now: datetime) -> datetime:
    """Returns the time that a text names: a date or time in ISO 8601, or an age such as ``90d``.

    Raises:
        ConfigError: it names none.
    """
    age = re.fullmatch(r"(\d{1,6})([mhdw])", text)
    try:
        if age:
            return now - timedelta(**{_UNITS[age[2]]: int(age[1])})
        moment = datetime.fromisoformat(text)
    except (OverflowError, ValueError):
        raise ConfigError(
            f"{text!r} is no time: 2026-11-01, 2026-11-01T12:00, or so long ago: 24h, 90d"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)
