"""Conformance of the tracking API, section "rules": consent and suppressed users."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.events.event import Event
from gateway.events.integrations import refusal
from gateway.privacy.suppression import Suppressions
from gateway.testing import make_event
from tests.support.intake_harness import IntakeHarness, make_source

MAPPED = ("Advertising", "Analytics")
BOTH = {"Advertising": True, "Analytics": True}


@pytest.mark.parametrize(
    ("preferences", "integrations", "mapped", "rule"),
    [
        ({"Advertising": True}, {}, MAPPED, "consent"),
        ({"Advertising": True}, {}, (), None),
        ({}, {}, MAPPED, "consent"),
        ({}, {}, (), None),
        (None, {}, MAPPED, None),
        (BOTH, {}, MAPPED, None),
        (BOTH, {"D": False}, MAPPED, "integrations"),
        ({"Advertising": False}, {"D": True}, MAPPED, "consent"),
    ],
)
def test_case_42_consent(
    preferences: dict[str, bool] | None,
    integrations: dict[str, bool],
    mapped: tuple[str, ...],
    rule: str | None,
) -> None:
    """All categories that a destination is mapped to must be true; then integrations decide."""
    consent = {} if preferences is None else {"consent": {"categoryPreferences": preferences}}
    event = make_event(context={"locale": "en", **consent}, integrations=integrations)
    assert refusal(event, "D", storage=False, consent=mapped) == rule


class Harness(IntakeHarness):
    """An intake that discards the events of suppressed users."""

    def __init__(self, path: Path) -> None:
        self.suppressions = Suppressions(path)
        sources = {id_: make_source(id_) for id_ in ("web", "app")}
        super().__init__(sources=sources, suppressed=self.suppressions)

    def suppress(self, *user_ids: str) -> None:
        self.suppressions.add(user_ids)
        self.suppressions.refresh()

    def unsuppress(self, *user_ids: str) -> None:
        self.suppressions.remove(user_ids)
        self.suppressions.refresh()

    @property
    def stored_ids(self) -> list[str]:
        return [event.message_id for event in self.stored()]


@pytest.fixture
def harness(tmp_path: Path) -> Any:
    harness = Harness(tmp_path / "suppressed.sqlite")
    yield harness
    harness.suppressions.close()


def of(message_id: str, user_id: str | None, **fields: Any) -> Event:
    return make_event(message_id=message_id, user_id=user_id, **fields)


async def test_case_43_a_suppressed_user_is_not_stored(harness: Harness) -> None:
    """Events of a suppressed user are discarded for each source, and others are stored."""
    harness.suppress("gone")
    receipt = await harness.accept(of("a", "gone"), of("b", "here"), of("c", "gone"))
    assert (receipt.accepted, receipt.duplicate, receipt.discarded) == (1, 0, {"suppressed": 2})
    receipt = await harness.accept(of("d", "gone"), source_id="app")
    assert (receipt.accepted, receipt.discarded) == (0, {"suppressed": 1})
    assert harness.stored_ids == ["b"]
    assert [harness.ledger.source(id_).discarded["suppressed"] for id_ in ("web", "app")] == [2, 1]
    assert harness.ledger.source("web").received == 3


async def test_case_43_unsuppressed_is_stored_again(harness: Harness) -> None:
    """After suppression ends, even the same event is stored, as its id was not remembered."""
    harness.suppress("u")
    await harness.accept(of("a", "u"))
    harness.unsuppress("u")
    receipt = await harness.accept(of("a", "u"), of("b", "u"))
    assert (receipt.accepted, receipt.duplicate, receipt.discarded) == (2, 0, {})
    assert harness.stored_ids == ["a", "b"]


@pytest.mark.parametrize("kind", ["track", "identify", "page", "screen", "group"])
async def test_case_43_holds_for_each_type(harness: Harness, kind: str) -> None:
    """Suppression holds for each type of event."""
    harness.suppress("u")
    receipt = await harness.accept(of("a", "u", type=kind, group_id="g", anonymous_id="x"))
    assert receipt.discarded == {"suppressed": 1}


async def test_case_43_no_way_out_by_alias(harness: Harness) -> None:
    """An alias is discarded if one of its ids is suppressed; other events ignore `previousId`."""
    harness.suppress("u")
    for old, new, lost in (("u", "v", 1), ("v", "u", 1), ("v", "w", 0)):
        receipt = await harness.accept(of("", new, type="alias", previous_id=old))
        assert receipt.discarded.get("suppressed", 0) == lost
    receipt = await harness.accept(of("", "v", previous_id="u"))
    assert receipt.accepted == 1


async def test_case_43_anonymous_events_are_untouched(harness: Harness) -> None:
    """Suppression compares `userId` only, and exactly."""
    harness.suppress("u")
    receipt = await harness.accept(
        of("a", None, anonymous_id="u"),
        of("b", "U"),
        of("c", "u "),
        of("d", "v", group_id="u", traits={"id": "u"}),
    )
    assert (receipt.accepted, receipt.discarded) == (4, {})


async def test_case_43_what_is_not_valid_keeps_its_own_code(harness: Harness) -> None:
    """An event counts under one code, that of the first rule it breaks."""
    harness.suppress("u")
    receipt = await harness.accept(of("a", "u", event=""))
    assert receipt.discarded == {"event_not_defined": 1}


async def test_case_43_a_change_holds_from_the_next_request(harness: Harness) -> None:
    """A changed suppression holds from the next request on."""
    assert (await harness.accept(of("a", "u"))).accepted == 1
    harness.suppress("u")
    assert (await harness.accept(of("b", "u"))).accepted == 0
    harness.unsuppress("u")
    assert (await harness.accept(of("c", "u"))).accepted == 1
