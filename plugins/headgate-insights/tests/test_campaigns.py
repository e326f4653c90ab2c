"""Attribution: the weights that others publish, sums, and a second implementation without SQL."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headgate_insights.errors import WrongQuestion
from headgate_insights.figures.campaigns_sql import MODELS
from tests.support.sizes import examples

Ask = Callable[..., Any]
DAY = datetime(2026, 5, 4, 12, tzinfo=UTC)
MODEL_NAMES = [model.replace("-", "_") for model in MODELS]


def touched(who: str, day: float, source: str | None = None, **more: Any) -> dict[str, Any]:
    moment = (DAY + timedelta(days=day)).isoformat()
    return {"user_id": who, "type": "page", "name": "Home", "ts": moment, "utm_source": source,
            "page_host": "shop.example"} | more  # fmt: skip


def ordered(who: str, day: float, revenue: float = 1.0, **more: Any) -> dict[str, Any]:
    moment = (DAY + timedelta(days=day)).isoformat()
    return {"user_id": who, "event": "Order Completed", "ts": moment, "revenue": revenue} | more


def credit(answer: Any, model: str) -> dict[str, float]:
    return {row.touch: getattr(row, model) for row in answer.result.rows if getattr(row, model)}


@pytest.mark.parametrize(
    ("model", "touches", "expected"),
    [
        ("position", 6, [0.4, 0.05, 0.05, 0.05, 0.05, 0.4]),
        ("position", 2, [0.5, 0.5]),
        ("j", 2, [0.25, 0.75]),
        ("inverse_j", 2, [0.75, 0.25]),
        ("j", 3, [0.2, 0.2, 0.6]),
        ("inverse_j", 3, [0.6, 0.2, 0.2]),
        ("linear", 3, [1 / 3, 1 / 3, 1 / 3]),
        ("first", 3, [1.0]),
        ("j", 1, [1.0]),
        ("decay", 3, [1 / 7, 2 / 7, 4 / 7]),
    ],
)
def test_published_weights(ask: Ask, model: str, touches: int, expected: list[float]) -> None:
    """U and J weights are those of Mixpanel's docs; decay halves with each seven days."""
    events = [touched("ada", 7 * n - 7 * touches, f"s{n}") for n in range(touches)]
    answer = ask("campaigns", [*events, ordered("ada", 0)], options={"look_back": "60d"})
    assert list(dict(sorted(credit(answer, model).items())).values()) == pytest.approx(expected)


def test_a_path_that_returns_to_direct(ask: Ask) -> None:
    """Direct, Organic, Direct of 140: 46.67 each by linear, 56/28/56 by position (Snowplow)."""
    events = [touched("ada", -3), touched("ada", -2, "organic"), touched("ada", -1)]
    events.append(ordered("ada", 0, 140.0))
    for model, direct in (("linear", 2 * 140 / 3), ("position", 112.0), ("last-non-direct", 0.0)):
        answer = ask("campaigns", events, options={"model": model})
        revenue = {row.touch: row.revenue for row in answer.result.rows}
        assert revenue["(direct)"] == pytest.approx(direct)
        assert sum(revenue.values()) == pytest.approx(140.0)


def test_what_is_a_touch(ask: Ask) -> None:
    """Campaigns, click ids and other hosts are touches; the own host and a payment page are not."""
    events = [
        touched("a", -1, click_id="x", click_id_type="gclid"),
        touched("b", -1, referrer_host="www.blog.example"),
        touched("c", -1, referrer_host="www.shop.example"),
        touched("d", -1, "news", utm_campaign="may"),
        touched("d", -0.999, referrer_host="pay.example"),
        ordered("e", -1),
        *(ordered(who, 0) for who in "abcd"),
    ]
    answer = ask("campaigns", events, options={"ignore": ("pay.example",)})
    assert credit(answer, "last") == {
        "google": 1, "blog.example": 1, "(direct)": 1, "news": 1, "(none)": 1,
    }  # fmt: skip
    by_campaign = ask("campaigns", options={"ignore": ("pay.example",), "touch": "campaign"})
    assert credit(by_campaign, "last")["may"] == 1


def test_touches_after_the_order_or_too_old_do_not_count(ask: Ask) -> None:
    """Only what lies within the look-back before the order has credit; it may begin earlier."""
    events = [touched("ada", -31, "old"), touched("ada", -29, "seen"), ordered("ada", 0)]
    events.append(touched("ada", 1, "later"))
    answer = ask("campaigns", events, from_="2026-05-04")
    assert credit(answer, "first") == {"seen": 1}


def test_equal_touches_in_a_row_are_one(ask: Ask) -> None:
    """A, A, B has two touches; A, B, A has three."""
    events = [touched("x", -n, source) for n, source in zip((3, 2, 1), "AAB", strict=True)]
    events += [touched("y", -n, source) for n, source in zip((3, 2, 1), "ABA", strict=True)]
    events += [ordered("x", 0), ordered("y", 0)]
    answer = ask("campaigns", events)
    assert credit(answer, "linear") == pytest.approx({"A": 1 / 2 + 2 / 3, "B": 1 / 2 + 1 / 3})


def test_spend_gives_cost_and_return(ask: Ask, tmp_path: Path) -> None:
    """Rows of a name are added, days outside the range are not, and unknown names are told."""
    file = tmp_path / "spend.csv"
    file.write_text(
        "date,source,spend\n2026-05-01,news,30\n2026-05-02,news,20\n2025-01-01,news,99\n"
        "2026-05-01,nwes,5\n"
    )
    events = [touched("ada", -1, "news"), ordered("ada", 0, 100.0), touched("bob", -1, "news")]
    events.append(ordered("bob", 0, 50.0))
    answer = ask("campaigns", events, options={"spend": str(file)}, from_="2026-05-01")
    row, unknown = answer.result.rows
    assert (row.spend, row.cost_per_order, row.return_on_spend) == (50.0, 25.0, 3.0)
    assert (unknown.touch, unknown.spend, unknown.cost_per_order) == ("nwes", 5.0, None)
    assert any("nwes" in note for note in answer.result.notes)


@pytest.mark.parametrize(
    ("text", "message"),
    [("name,spend\na,1\n", "'source'"), ("source,spend\na,x\n", ":2"), ("", "'spend'")],
)
def test_files_of_costs_that_cannot_be_read(
    ask: Ask, tmp_path: Path, text: str, message: str
) -> None:
    """The message names the line or the column."""
    file = tmp_path / "spend.csv"
    file.write_text(text)
    with pytest.raises(WrongQuestion, match=message):
        ask("campaigns", [ordered("ada", 0)], options={"spend": str(file)})
    with pytest.raises(WrongQuestion, match="cannot be read"):
        ask("campaigns", options={"spend": str(tmp_path / "nowhere.csv")})


def test_revenue_of_several_currencies_is_refused(ask: Ask) -> None:
    """Credits are orders, but the revenue beside them must be of one currency."""
    events = [ordered("ada", 0, currency="EUR"), ordered("bob", 0, currency="USD")]
    with pytest.raises(WrongQuestion, match="never added"):
        ask("campaigns", events)
    assert credit(ask("campaigns", options={"currency": "EUR"}), "last") == {"(none)": 1}


STREAMS = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(0, 500), st.sampled_from(["x", "y", None, "!"])),
    max_size=20,
    unique_by=lambda one: one[1],
)


@settings(
    max_examples=examples(6, 100),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(STREAMS)
def test_it_equals_a_second_implementation(
    ask: Ask, stream: list[tuple[str, int, str | None]]
) -> None:
    """Counting by hand gives the same credits, and the credits of a model add up to the orders."""
    stream = [("z", 501, "!"), *stream]  # hours; ! is an order
    events = [
        ordered(who, hour / 24) if what == "!" else touched(who, hour / 24, what)
        for who, hour, what in stream
    ]
    answer = ask("campaigns", events, options={"look_back": "5d", "half_life": "1d"},
                 from_="2026-05-04")  # fmt: skip
    expected: dict[str, dict[str, float]] = {name: defaultdict(float) for name in MODEL_NAMES}
    orders = [(who, hour) for who, hour, what in stream if what == "!"]
    for who, hour in orders:
        path: list[tuple[int, str]] = []
        for person, when, what in sorted(stream, key=lambda one: one[1]):
            if person == who and what != "!" and hour - 120 <= when <= hour:
                name = what or "(direct)"
                if path and path[-1][1] == name:
                    path.pop()
                path.append((when, name))
        for model in MODEL_NAMES:
            for name, part in _parts(model, path, hour) or [("(none)", 1.0)]:
                expected[model][name] += part
    for model in MODEL_NAMES:
        found = credit(answer, model)
        assert found == pytest.approx({k: v for k, v in expected[model].items() if v})
        assert sum(found.values()) == pytest.approx(len(orders))


def _parts(model: str, path: list[tuple[int, str]], hour: int) -> list[tuple[str, float]]:
    n = len(path)
    if not n:
        return []
    ends = {"position": (0.4, 0.4), "j": (0.2, 0.6), "inverse_j": (0.6, 0.2)}
    parts = [0.0] * n
    if model == "first":
        parts[0] = 1.0
    elif model == "last":
        parts[-1] = 1.0
    elif model == "last_non_direct":
        named = [place for place, (_, name) in enumerate(path) if name != "(direct)"]
        parts[named[-1] if named else -1] = 1.0
    elif model == "linear":
        parts = [1 / n] * n
    elif model == "decay":
        raw = [0.5 ** ((hour - when) / 24) for when, _ in path]
        parts = [one / sum(raw) for one in raw]
    elif n == 1:
        parts = [1.0]
    else:
        first, last = ends[model]
        rest = (1 - first - last) / (2 if n == 2 else n - 2)
        parts = [rest] * n
        parts[0], parts[-1] = (first, last) if n > 2 else (first + rest, last + rest)
        if n == 2 and model == "j":
            parts = [0.25, 0.75]
        if n == 2 and model == "inverse_j":
            parts = [0.75, 0.25]
    return [(name, part) for (_, name), part in zip(path, parts, strict=True)]
