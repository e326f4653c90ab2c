"""The report: what it says, the page, the shelf, and the messages."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway import GatewayError, Scope, Secret, load_scope
from gateway.testing import FakeVendor
from headgate_insights.report import shelf
from headgate_insights.report.build import Report, build_report
from headgate_insights.report.drawings import marked
from headgate_insights.report.marks import Mark
from headgate_insights.report.page import page_of
from headgate_insights.report.post import (
    MOST_HEADER,
    MOST_PAGE_BYTES,
    MOST_SECTION,
    post,
    slack_message,
    webhook_body,
)
from headgate_insights.report.shelf import last_report, put_away
from headgate_insights.saved import ReportSettings, saved_of

NOW = datetime(2026, 6, 1, tzinfo=UTC)
CONFIG = """
[insights.orders]
type = "trend"
title = "Orders <script>"
event = ["Order Completed"]
from = "2026-05-18"
to = "2026-06-01"
[insights.back]
type = "retention"
from = "2026-05-04"
to = "2026-06-01"
[insights.wrong]
type = "trend"
event = ["Order Compleat"]
[boards.one]
title = "Orders alone"
figures = ["orders"]
[goals.many]
figure = "orders"
target = 20
by = 2026-06-08
owner = "Ada"
needs = { "Order Completed" = ["country", "properties.coupon"], "Order Compleat" = [] }
[goals.none]
figure = "wrong"
target = 1
by = 2026-06-08
[report]
explain_by = ["country", "device_type"]
"""


def events() -> list[dict[str, Any]]:
    """Two weeks of five orders of each of two countries a day, then ten of one of them."""
    return [
        {
            "user_id": f"{country}-{who}",
            "ts": (NOW - timedelta(days=28 - day, minutes=-who)).isoformat(),
            "event": "Order Completed",
            "country": country,
            "properties": {"coupon": "SPRING"} if who == 0 else {},
        }
        for day in range(28)
        for country in ("DE", "FR")
        for who in range(10 if country == "FR" and day >= 14 else 5)
    ]


MARK = Mark(at=datetime(2026, 5, 25, 10, tzinfo=UTC), words="rollout new: promote")


@pytest.fixture(scope="module")
def scope(tmp_path_factory: pytest.TempPathFactory) -> Scope:
    """A config with figures, one of which asks for an event that does not exist."""
    folder = tmp_path_factory.mktemp("config")
    file = folder / "config.toml"
    file.write_text(f'data_dir = "{folder}"\n{CONFIG}')
    return load_scope(file)


@pytest.fixture(scope="module")
def build(scope: Scope, make_lake: Callable[..., Any]) -> Callable[..., Report]:
    """Makes a report of a small lake."""
    lake = make_lake(events(), NOW)
    return lambda **more: build_report(scope, saved_of(scope), lake, now=NOW, **more)


@pytest.fixture(scope="module")
def report(build: Callable[..., Report]) -> Report:
    """The report of all figures."""
    return build(marks=[MARK])


def test_the_country_that_changed_is_named(report: Report) -> None:
    """A change is found, and the breakdown that explains it has its numbers."""
    section, changes = report.changed[0]
    assert section.id == "orders"
    assert (changes[0].before.value, changes[0].now.value) == (10, 15)  # type: ignore[union-attr]
    assert changes[0].cause is not None
    assert changes[0].cause.by == "country"
    first = changes[0].cause.parts[0]
    assert (first.label, first.contribution, first.share, first.size) == ("FR", 5, 1, 0.5)


def test_a_goal_has_a_pace_and_its_data(report: Report) -> None:
    """The pace is carried on to the goal's day, and missing data is named."""
    many, none = report.goals
    assert (many.pace.status, many.pace.expected) == ("behind", 15 + 5 * 8 / 14)
    assert [(need.lacks, need.words) for need in many.needs] == [
        (False, "“Order Completed”: 210 events"),
        (False, "country in 100.0% of “Order Completed”"),
        (True, "properties.coupon in 13.3% of “Order Completed”"),
        (True, "“Order Compleat” does not come; did you mean 'Order Completed'?"),
    ]
    assert none.pace.status == "not yet known"
    assert "Order Compleat" in none.pace.why


def test_a_figure_that_fails_takes_its_own_section_only(report: Report) -> None:
    """The other figures are there, and its section says why it is not."""
    errors = {section.id: section.error for section in report.sections}
    assert errors.pop("wrong").startswith("there is no event named 'Order Compleat'")
    assert set(errors.values()) == {""}


def test_a_board_and_an_unknown_one(build: Callable[..., Report]) -> None:
    """A board decides the figures; goals about others are still judged."""
    report = build(board="one")
    assert report.title == "Orders alone"
    assert [section.id for section in report.sections] == ["orders"]
    assert len(report.goals) == 2
    with pytest.raises(GatewayError, match="mean 'one'"):
        build(board="ones")


def test_a_report_without_saved_figures(scope: Scope, make_lake: Callable[..., Any]) -> None:
    """The first report has figures that every product needs."""
    empty = replace(scope, tables={**scope.tables, "insights": {}, "boards": {}, "goals": {}})
    report = build_report(empty, saved_of(empty), make_lake(events(), NOW), now=NOW)
    assert [section.id for section in report.sections] == ["active", "retention", "lifecycle"]
    assert not any(section.error for section in report.sections)
    assert report.unsaved


def test_a_report_can_be_stopped(build: Callable[..., Report]) -> None:
    """The work ends before the next figure."""
    with pytest.raises(GatewayError, match="stopped"):
        build(go_on=lambda: False)


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_the_page_needs_nothing_else(report: Report) -> None:
    """It loads nothing, runs nothing, and has no text of events as markup."""
    page = page_of(report)
    parsed = _Page()
    parsed.feed(page)
    used = {tag for tag, _ in parsed.tags}
    assert not used & {"script", "link", "iframe", "object", "embed", "form", "a"}
    for _, attributes in parsed.tags:
        assert not [name for name in attributes if name == "style" or name.startswith("on")]
        for name in ("src", "srcset"):
            assert attributes.get(name, "data:image/svg+xml;base64,").startswith(  # type: ignore[union-attr]
                "data:image/svg+xml;base64,"
            )
    assert "Orders &lt;script&gt;" in page
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    assert not re.search(r"url\(|@import|https?://", re.sub(r"base64,[^\"]*", "", page))
    for word in ("behind", "What changed", "By country: FR", "definition", "identity"):
        assert word in page
    assert "This figure has no numbers: there is no event" in page
    assert "1: rollout new: promote" in page


def test_marks_stand_in_charts_over_time(report: Report) -> None:
    """A mark within the times of a chart is drawn; others, and other charts, stay as they are."""
    sections = {section.id: section for section in report.sections}
    chart = sections["orders"].chart
    assert chart is not None
    early = Mark(at=NOW - timedelta(days=90), words="before")
    drawn, shown = marked(chart, [early, MARK])
    assert shown == [MARK]
    assert len(drawn["layer"]) == len(chart["layer"]) + 2
    later = Mark(at=MARK.at + timedelta(hours=1), words="config.toml changed")
    drawn, _ = marked(chart, [MARK, later])
    assert [place["n"] for place in drawn["layer"][-1]["data"]["values"]] == ["1-2"]
    curve = sections["back"].chart
    assert curve is not None
    assert marked(curve, [MARK]) == (curve, [])


def test_the_shelf_keeps_the_newest(report: Report, tmp_path: Path) -> None:
    """The oldest reports go with their JSON, which has every text of a page; files are private."""
    folder = tmp_path / "reports"
    for day in range(4):
        made = msgspec.structs.replace(report, made=NOW + timedelta(days=day))
        path = put_away(folder, made, "<html>", keep=2)
    assert sorted(one.name for one in folder.iterdir()) == [
        "report-2026-06-03.html",
        "report-2026-06-03.json",
        "report-2026-06-04.html",
        "report-2026-06-04.json",
    ]
    assert b"Order Completed" in path.with_suffix(".json").read_bytes()
    assert {one.stat().st_mode & 0o777 for one in folder.iterdir()} == {0o600}


def test_what_changed_after_its_end_is_corrected(
    build: Callable[..., Report], scope: Scope, make_lake: Callable[..., Any], tmp_path: Path
) -> None:
    """Numbers of periods that were over in the last report stand with their old and new value."""
    first = build()
    put_away(tmp_path, first, "<html>", keep=2)
    last = last_report(tmp_path)
    assert last is not None
    assert build(last=last).corrections == []
    late = {**events()[0], "user_id": "late", "ts": (NOW - timedelta(days=10)).isoformat()}
    found = build_report(
        scope, saved_of(scope), make_lake([*events(), late], NOW), now=NOW, last=last
    )
    told = {(one.figure, one.of, one.field): (one.old, one.new) for one in found.corrections}
    day = "Order Completed 2026-05-22"
    assert told["orders", day, "value"] == (15.0, 16.0)
    assert {of for figure, of, _ in told if figure == "orders"} == {day}
    assert ("back", "2026-05-18 week 0", "people") in told
    assert "15 → <b>16</b>" in page_of(found)
    (tmp_path / "report-9999-01-01.json").write_text("{}")
    assert last_report(tmp_path) is None


def test_a_report_that_an_erasure_overtook_is_deleted(
    report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A report that was begun before users were erased may name them, so it does not stay."""
    folder = tmp_path / "reports"
    begun_ms = report.made.timestamp() * 1000
    monkeypatch.setattr(shelf, "erased_since", lambda lake, ms: (lake, ms) == (tmp_path, begun_ms))
    with pytest.raises(shelf.ErasedMeanwhile, match="make it again"):
        put_away(folder, report, "<html>", keep=2)
    assert list(folder.iterdir()) == []


def test_a_shelf_that_cannot_be_written(report: Report, tmp_path: Path) -> None:
    """The error names the file."""
    (tmp_path / "reports").write_text("a file")
    with pytest.raises(GatewayError, match="cannot be written"):
        put_away(tmp_path / "reports", report, "", keep=1)


def test_nothing_to_compare_with(scope: Scope, make_lake: Callable[..., Any]) -> None:
    """Without a range before, the report says so instead of claiming that nothing changed."""
    late = [one for one in events() if one["ts"] >= "2026-05-18"]
    made = build_report(scope, saved_of(scope), make_lake(late, NOW), now=NOW, board="one")
    assert made.changed == []
    assert not made.comparable
    assert made.goals[0].pace.status == "not yet known"
    blocks = slack_message(msgspec.structs.replace(made, goals=[]), "")["blocks"]
    assert blocks[1]["text"]["text"] == "No data yet."


async def test_slack_and_the_webhook_are_told(report: Report) -> None:
    """Both get goals and changes; Slack a link, the webhook the page as well."""
    async with FakeVendor() as vendor:
        settings = ReportSettings(
            slack_url=Secret(f"{vendor.url}/slack"), webhook_url=Secret(f"{vendor.url}/hook")
        )
        sent = await post(report, settings, link="https://x.example/r.html", page="<html>")
        assert sent == ["Slack", "the webhook"]
        message, body = (request.json() for request in vendor.requests)
    texts = [block["text"]["text"] for block in message["blocks"]]
    assert any("many: behind, 15 of 20 by 2026-06-08" in text for text in texts)
    assert "<https://x.example/r.html|The whole report>" in texts
    assert not any("<script>" in text for text in texts)
    assert body["html"] == "<html>"
    assert [goal["status"] for goal in body["goals"]] == ["behind", "not yet known"]


async def test_a_webhook_that_fails_shows_no_url(report: Report) -> None:
    """The error says what failed, and never the URL, which is a secret."""
    async with FakeVendor() as vendor:
        url = vendor.url
    settings = ReportSettings(slack_url=Secret(f"{url}/T0/secret"))
    with pytest.raises(GatewayError, match="not sent: Slack cannot be reached") as caught:
        await post(report, settings, link="", page="")
    assert "secret" not in str(caught.value)


def test_messages_stay_within_their_limits(report: Report) -> None:
    """Texts are cut to what Slack takes, and a page that is too large is left out."""
    report = msgspec.structs.replace(report, title="x" * 500)
    section = msgspec.structs.replace(report.sections[0], title="y" * 5000)
    message = slack_message(msgspec.structs.replace(report, sections=[section]), "")
    header, *others = message["blocks"]
    assert len(header["text"]["text"]) == MOST_HEADER
    assert max(len(one["text"]["text"]) for one in others) == MOST_SECTION
    assert "html" not in webhook_body(report, "", "z" * (MOST_PAGE_BYTES + 1))
