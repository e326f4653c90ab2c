"""`[project]`: the time zone, currency and week that all schedules and figures go by."""

from __future__ import annotations

import re
from datetime import UTC, tzinfo
from difflib import get_close_matches
from typing import Literal
from zoneinfo import ZoneInfo, available_timezones

from gateway.components.settings import Settings

__all__ = ["ProjectConfig"]

_CURRENCY = re.compile(r"[A-Z]{3}")


class ProjectConfig(Settings, frozen=True):
    """`[project]`.

    Attributes:
        time_zone: name in the IANA database, such as ``Europe/Berlin``.
        currency: ISO 4217 code of amounts without one, such as ``EUR``; empty for none.
        week_starts_on: first day of a week.
    """

    time_zone: str = "UTC"
    currency: str = ""
    week_starts_on: Literal["monday", "saturday", "sunday"] = "monday"

    def __post_init__(self) -> None:
        """Refuses zones that do not exist, and currencies that are no code."""
        if self.currency and not _CURRENCY.fullmatch(self.currency):
            raise ValueError(
                f"currency: {self.currency!r} is not a code of ISO 4217: three capital letters, "
                "such as EUR"
            )
        _ = self.zone

    @property
    def zone(self) -> tzinfo:
        """The time zone, for `datetime`."""
        if self.time_zone == "UTC":
            return UTC  # also where no database of zones is installed
        try:
            return ZoneInfo(self.time_zone)
        except (KeyError, OSError, ValueError) as error:
            raise ValueError(_unknown(self.time_zone)) from error


def _unknown(name: str) -> str:
    zones = available_timezones()
    if not zones:
        return (
            f"time_zone: {name!r} cannot be looked up, because this machine has no database of "
            "time zones; `pip install tzdata` brings one"
        )
    by_lower = {zone.lower(): zone for zone in zones}
    by_city = {zone.rpartition("/")[2].lower(): zone for zone in zones}
    wanted = name.lower().replace(" ", "_")
    near = by_lower.get(wanted) or by_city.get(wanted)
    if near is None:
        found = get_close_matches(wanted, by_lower, n=1)
        near = by_lower[found[0]] if found else None
    hint = f"; did you mean {near!r}?" if near else "; use a name such as 'Europe/Berlin'"
    return f"time_zone: there is no time zone {name!r}{hint}"
