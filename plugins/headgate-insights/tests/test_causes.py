"""What explains a change: contributions add up, and size alone explains nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate_insights.figure import Headline
from headgate_insights.report.causes import FEW, FEWEST, cause, most_telling


def counts(**values: float) -> list[Headline]:
    return [Headline(name="n", value=value, label=label) for label, value in values.items()]


def shares(**values: tuple[float, float]) -> list[Headline]:
    return [
        Headline(name="n", value=value, label=label, unit="%", n=n)
        for label, (value, n) in values.items()
    ]


def whole(parts: list[Headline]) -> Headline:
    if parts[0].n is None:
        return Headline(name="n", value=sum(one.value or 0 for one in parts))
    people = sum(one.n or 0 for one in parts)
    mean = sum((one.value or 0) * (one.n or 0) for one in parts) / people
    return Headline(name="n", value=mean, n=people, unit="%")


def test_one_country_makes_the_change() -> None:
    """The value that changed has all of the change; the others have none."""
    before, now = counts(DE=600, FR=400), counts(DE=600, FR=300)
    found = cause("country", whole(now), whole(before), now, before)
    assert found is not None
    first, other = found.parts
    assert (first.label, first.contribution, first.share, first.size) == ("FR", -100, 1.0, 0.4)
    assert other.contribution == 0
    assert found.surprise == pytest.approx(0.6)


def test_an_even_change_is_explained_by_nothing() -> None:
    """If each value changes in proportion, no breakdown is named."""
    before, now = counts(DE=600, FR=400), counts(DE=660, FR=440)
    found = cause("country", whole(now), whole(before), now, before)
    assert found is not None
    assert found.surprise == pytest.approx(0)
    assert most_telling([found]) is None


def test_the_most_telling_breakdown_is_named() -> None:
    """Of several breakdowns, the one furthest from proportion explains most."""
    before, now = counts(DE=600, FR=400), counts(DE=620, FR=480)
    by_country = cause("country", whole(now), whole(before), now, before)
    old, new = counts(mail=500, web=500), counts(mail=500, web=600)
    by_channel = cause("channel", whole(new), whole(old), new, old)
    assert by_country is not None
    assert by_channel is not None
    best = most_telling([by_country, by_channel])
    assert best is not None
    assert best.by == "channel"


def test_a_change_of_the_mix_alone() -> None:
    """A share can fall though none of its parts does, because the mix of people changed."""
    before = shares(web=(0.5, 800), app=(0.1, 200))
    now = shares(web=(0.5, 200), app=(0.1, 800))
    found = cause("device_type", whole(now), whole(before), now, before)
    assert found is not None
    assert sum(part.contribution for part in found.parts) == pytest.approx(0.18 - 0.42)
    assert all(part.contribution < 0 for part in found.parts)


def test_few_people_are_put_together() -> None:
    """Values with few people on both sides are one part, whose numbers still add up."""
    few = FEWEST - 1
    before = [*counts(DE=1000), *counts(A=few, B=few)]
    now = [*counts(DE=1100), *counts(A=few, C=few)]
    found = cause("country", whole(now), whole(before), now, before)
    assert found is not None
    assert [part.label for part in found.parts] == ["DE", FEW]
    assert found.parts[1].before == 2 * few


def test_what_is_neither_sum_nor_mean_is_not_split() -> None:
    """A median, and people who count in several values, have no contributions."""
    before, now = counts(DE=600, FR=400), counts(DE=600, FR=300)
    assert cause("x", Headline(name="n", value=500), whole(before), now, before) is None
    assert cause("x", whole(before), whole(before), before, before) is None


@given(st.lists(st.tuples(*[st.floats(0.01, 1), st.integers(30, 10_000)] * 2), min_size=2))
def test_contributions_add_up(values: list[tuple[float, int, float, int]]) -> None:
    """The contributions of a mean add up to its change, and the shares of the change to one."""
    now = shares(**{f"v{n}": (value, people) for n, (value, people, _, _) in enumerate(values)})
    before = shares(**{f"v{n}": (value, people) for n, (_, _, value, people) in enumerate(values)})
    new, old = whole(now), whole(before)
    assert new.value is not None
    assert old.value is not None
    if abs(new.value - old.value) < 1e-6:
        return
    found = cause("x", new, old, now, before)
    assert found is not None
    total = sum(part.contribution for part in found.parts)
    assert total == pytest.approx(new.value - old.value, abs=1e-9)
    assert sum(part.share for part in found.parts) == pytest.approx(1, abs=1e-3)
