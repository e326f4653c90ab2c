"""The `[project]` table."""

from __future__ import annotations

from datetime import UTC
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from gateway.components import project
from gateway.components.project import ProjectConfig
from gateway.config.load import load
from gateway.errors import ConfigError


def loaded(folder: Path, text: str) -> ProjectConfig:
    """Reads `[project]` from a file."""
    path = folder / "config.toml"
    path.write_text(f"[project]\n{text}")
    return load(path, {}).project


def test_zone_currency_and_week_are_read(tmp_path: Path) -> None:
    """The table gives a time zone for `datetime`, a currency and the first day of weeks."""
    found = loaded(
        tmp_path, 'time_zone = "Europe/Berlin"\ncurrency = "EUR"\nweek_starts_on = "sunday"'
    )
    assert found.zone == ZoneInfo("Europe/Berlin")
    assert (found.currency, found.week_starts_on) == ("EUR", "sunday")
    assert loaded(tmp_path, "") == ProjectConfig(time_zone="UTC", currency="")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('time_zone = "Europe/Berln"', r"there is no time zone 'Europe/Berln'; did you mean 'Eur"),
        ('time_zone = "berlin"', "did you mean 'Europe/Berlin'"),
        ('time_zone = "new york"', "did you mean 'America/New_York'"),
        ('time_zone = "+02:00"', "use a name such as 'Europe/Berlin'"),
        ('time_zone = "../../etc/passwd"', "there is no time zone"),
        ('time_zone = ""', "there is no time zone ''"),
        ('currency = "eur"', "'eur' is not a code of ISO 4217"),
        ('currency = "€"', "is not a code of ISO 4217"),
        ('week_starts_on = "tuesday"', "Invalid enum value 'tuesday'"),
    ],
)
def test_what_does_not_exist_is_refused(tmp_path: Path, text: str, message: str) -> None:
    """Unknown zones, currencies and days are refused, with the zone that was probably meant."""
    with pytest.raises(ConfigError, match=message) as caught:
        loaded(tmp_path, text)
    assert str(caught.value).startswith("config.toml: project")


def test_utc_needs_no_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a database of time zones UTC works, and another zone says what to install."""

    def missing(key: str) -> ZoneInfo:
        raise KeyError(key)

    monkeypatch.setattr(project, "ZoneInfo", missing)
    monkeypatch.setattr(project, "available_timezones", set)
    assert loaded(tmp_path, "").zone is UTC
    with pytest.raises(ConfigError, match="pip install tzdata"):
        loaded(tmp_path, 'time_zone = "Europe/Berlin"')
