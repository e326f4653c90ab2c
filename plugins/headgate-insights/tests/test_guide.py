"""The guide: its examples are what the commands print."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from gateway import ProjectConfig
from headgate_insights import command
from headgate_insights.registry import BUILTINS

GUIDE = Path(__file__).parents[3] / "docs/guide/insights.md"
FIRST = datetime(2026, 3, 2, tzinfo=UTC)
WEEKS = 8
OF_CAMPAIGNS = {"campaigns", "engagement", "experiment"}
_EXAMPLE = re.compile(r"^    \$ gateway insights (.*)\n((?:    .*\n|\n(?=    ))*)", re.MULTILINE)


def shop() -> Iterator[dict[str, Any]]:
    """The shop of the guide: 150 people, who come ever less often, and some of whom buy."""
    random = Random(17)
    for who in range(150):
        joined = random.randrange(WEEKS * 7 - 5)
        country = "DE" if random.random() < 0.6 else "FR"
        device = "mobile" if random.random() < 0.7 else "desktop"
        love = random.uniform(0.03, 0.35)
        for day in range(joined, WEEKS * 7):
            if day > joined and random.random() > love:
                continue
            at = FIRST + timedelta(days=day, hours=8, minutes=random.randrange(700))
            shared = {"user_id": f"u{who}", "country": country, "device_type": device}
            steps = ["Product Viewed", "Product Added", "Order Completed"]
            for number, event in enumerate(steps):
                if number and random.random() > 0.45:
                    break
                more: dict[str, Any] = {"properties": {"category": random.choice("ABC")}}
                if event == "Order Completed":
                    more["revenue"] = float(random.randrange(10, 90))
                    more["currency"] = "EUR"
                yield {
                    **shared,
                    **more,
                    "event": event,
                    "ts": (at + timedelta(minutes=3 * number)).isoformat(),
                }


def told_shop() -> Iterator[dict[str, Any]]:
    """The same shop with campaigns, a newsletter, and a new page for half of the people."""
    random = Random(23)
    seen = set()
    for event in shop():
        who = event["user_id"]
        number = int(who[1:])
        arm = "test" if number % 2 else "control"
        groups = {"new_page": {"arm": arm, "weight": 2.0}}
        if who not in seen:
            seen.add(who)
            source, medium, name = random.choice(
                [("google", "cpc", "spring"), ("newsletter", "email", "news"), ("", "", "")]
            )
            yield {
                **event,
                "event": "Product List Viewed",
                "ts": (datetime.fromisoformat(event["ts"]) - timedelta(minutes=2)).isoformat(),
                "revenue": None,
                "currency": None,
                "groups": groups,
                **({"utm_source": source, "utm_medium": medium} if source else {}),
                **({"utm_campaign": name} if name else {}),
            }
        yield {**event, "groups": groups}
    for number in range(0, 150, 2):
        at = FIRST + timedelta(days=35, hours=7, minutes=number)
        for minutes, what, chance in (
            (0, "Email Delivered", 1.0),
            (90, "Email Opened", 0.6),
            (91, "Email Link Clicked", 0.5),
        ):
            if random.random() > chance:
                break
            yield {
                "user_id": f"u{number}",
                "event": what,
                "ts": (at + timedelta(minutes=minutes)).isoformat(),
                "properties": {"campaign_id": "april", "campaign_name": "April news"},
            }


def examples() -> list[tuple[str, str]]:
    """The commands of the guide, each with what it says they print."""
    found = _EXAMPLE.findall(GUIDE.read_text(encoding="utf-8"))
    return [(words, re.sub(r"^    ", "", shown, flags=re.MULTILINE)) for words, shown in found]


@pytest.fixture(scope="module")
def lake(make_lake: Callable[..., Any]) -> Any:
    """The lake of the shop."""
    return make_lake(shop(), FIRST + timedelta(weeks=WEEKS))


@pytest.fixture(scope="module")
def told_lake(make_lake: Callable[..., Any]) -> Any:
    """The lake of the shop with campaigns."""
    return make_lake(told_shop(), FIRST + timedelta(weeks=WEEKS))


@pytest.mark.parametrize(("words", "shown"), examples())
def test_an_example_is_real(
    lake: Any, told_lake: Any, monkeypatch: pytest.MonkeyPatch, words: str, shown: str
) -> None:
    """A command prints what the guide shows; a line of three dots stands for any lines."""
    asked = told_lake if words.split()[0] in OF_CAMPAIGNS else lake
    scope: Any = SimpleNamespace(project=ProjectConfig())
    monkeypatch.setattr(command, "_open", lambda *_: command._Opened(scope, asked, None))
    done = CliRunner().invoke(command.insights, shlex.split(words))
    assert done.exit_code == 0, done.output
    printed = "\n".join(line.rstrip() for line in done.output.rstrip().split("\n"))
    lines = [line.rstrip() for line in shown.rstrip().split("\n")]
    pattern = "\n".join("(?:.*\n)*.*" if line == "..." else re.escape(line) for line in lines)
    assert re.fullmatch(pattern, printed), done.output


def test_every_figure_is_shown() -> None:
    """The guide has an example of each figure."""
    assert {words.split()[0] for words, _ in examples()} >= set(BUILTINS)
