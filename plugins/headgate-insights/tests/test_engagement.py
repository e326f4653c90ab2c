"""Engagement with mails and promotions: by hand, and by a second implementation."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headgate_insights.errors import WrongQuestion
from tests.support.sizes import examples

Ask = Callable[..., Any]
DAY = datetime(2026, 5, 4, 12, tzinfo=UTC)
NAMES = {"D": "Email Delivered", "C": "Email Link Clicked", "B": "Order Completed",
         "O": "Email Opened", "V": "Promotion Viewed", "P": "Promotion Clicked"}  # fmt: skip


def did(who: str, what: str, hour: float, mail: str = "may") -> dict[str, Any]:
    moment = (DAY + timedelta(hours=hour)).isoformat()
    return {"user_id": who, "event": NAMES[what], "ts": moment, "properties": {"mail": mail}}


def stages(answer: Any) -> dict[str, float]:
    return {row.stage: row.people for row in answer.result.rows}


def test_what_follows_a_mail(ask: Ask) -> None:
    """Clicks and orders count within the window of any mail, and never before one."""
    events = [
        did("ada", "D", 0), did("ada", "O", 1), did("ada", "C", 2), did("ada", "B", 3),
        did("bob", "C", 0), did("bob", "D", 1), did("bob", "B", 2),
        did("eve", "D", 0), did("eve", "D", 240), did("eve", "C", 250),
        did("kim", "D", 0), did("kim", "C", 24 * 8),
        did("out", "C", 0), did("out", "B", 1),
    ]  # fmt: skip
    answer = ask("engagement", events, from_="2026-05-04")
    assert stages(answer) == {
        "delivered": 4,
        "clicked": 2,
        "clicked, then ordered": 1,
        "ordered": 2,
        "opened (inflated)": 1,
        "unsubscribed": 0,
        "marked as spam": 0,
    }
    assert [row.stage for row in answer.result.rows if row.inflated] == ["opened (inflated)"]
    assert "Unsubscribed" in answer.result.notes[0]
    shares = {row.stage: row.share for row in answer.result.rows}
    assert shares["clicked"] == 0.5


def test_a_click_is_of_its_own_mail(ask: Ask) -> None:
    """With a field to match, a click on an older mail is not one on the latest."""
    events = [did("ada", "D", 0, "old"), did("ada", "D", 200, "new"), did("ada", "C", 201, "old")]
    assert stages(ask("engagement", events, from_="2026-05-04"))["clicked"] == 1
    matched = ask("engagement", options={"match": "properties.mail"}, from_="2026-05-04")
    assert stages(matched)["clicked"] == 0


def test_promotions(ask: Ask) -> None:
    """A promotion is viewed and clicked, and has no opens."""
    events = [did("ada", "V", 0), did("ada", "P", 1), did("ada", "B", 2), did("bob", "V", 0)]
    answer = ask("engagement", events, options={"kind": "promotion"}, from_="2026-05-04")
    assert list(stages(answer).values()) == [2, 1, 1, 1]


def test_a_breakdown_by_mail(ask: Ask) -> None:
    """Each mail has the people that it reached first."""
    events = [did("ada", "D", 0, "x"), did("ada", "C", 1, "x"), did("bob", "D", 0, "y")]
    answer = ask("engagement", events, by="properties.mail", from_="2026-05-04")
    clicked = {row.label: row.share for row in answer.result.rows if row.stage == "clicked"}
    assert clicked == {"x": 1.0, "y": 0.0}


def test_without_such_events_it_says_so(ask: Ask) -> None:
    """A lake without mails is a wrong question."""
    with pytest.raises(WrongQuestion, match="Email Delivered"):
        ask("engagement", [did("ada", "C", 0)], from_="2026-05-04")


@settings(
    max_examples=examples(5, 100),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.sampled_from("DCBO"), st.integers(0, 400)),
        max_size=20,
        unique_by=lambda one: one[2],
    )
)
def test_it_equals_a_second_implementation(ask: Ask, moves: list[tuple[str, str, int]]) -> None:
    """Looking at all pairs of events by hand gives the same people."""
    moves = [("z", "D", 401), *moves]
    answer = ask("engagement", [did(*one) for one in moves], from_="2026-05-04")

    def after(before: list[tuple[str, int]], what: str) -> list[tuple[str, int]]:
        return [
            (who, hour)
            for who, kind, hour in moves
            if kind == what and any(who == w and h <= hour <= h + 168 for w, h in before)
        ]

    mails = [(who, hour) for who, kind, hour in moves if kind == "D"]
    clicks = after(mails, "C")
    found = stages(answer)
    for stage, chosen in (
        ("delivered", mails),
        ("clicked", clicks),
        ("clicked, then ordered", after(clicks, "B")),
        ("ordered", after(mails, "B")),
        ("opened (inflated)", after(mails, "O")),
    ):
        assert found[stage] == len({who for who, _ in chosen})
