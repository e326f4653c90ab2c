"""The contract checker finds broken promises, and reports them clearly."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway import Batch, Context, Destination
from gateway.errors import ConfigError
from gateway.testing import (
    Answer,
    Breach,
    ContractBroken,
    Promise,
    Received,
    Storage,
    bad_request,
    check_destination_contract,
    contract_scenes,
)
from tests.support import broken_destinations as broken
from tests.support import disturbing_destinations as disturbing
from tests.support.broken_destinations import TOKEN, VENDOR, Good, spec_of

CONFIG = {"url": "{url}/events", "token": TOKEN}


def breaches_of(kind: Callable[[Any, Context], Destination], *slugs: str) -> list[Breach]:
    scenes = contract_scenes(spec_of(kind), CONFIG, VENDOR, stop_timeout_seconds=0.3)
    assert set(slugs) <= {str(scene) for scene in scenes}
    return [breach for scene in scenes if str(scene) in slugs for breach in scene.breaches()]


def test_one_that_keeps_the_contract_passes() -> None:
    """A good destination passes all scenes."""
    check_destination_contract(spec_of(Good), CONFIG, VENDOR)
    assert len(contract_scenes(spec_of(Good), CONFIG, VENDOR)) == 14


@pytest.mark.parametrize(
    ("kind", "slug", "promise"),
    [
        (broken.LosesOnRetry, "errors", Promise.NO_LOSS),
        (broken.IgnoresErrors, "errors", Promise.NO_LOSS),
        (broken.TakesNoAnswerForSuccess, "connection", Promise.NO_LOSS),
        (broken.TakesNoAnswerForSuccess, "vendor-restart", Promise.NO_LOSS),
        (broken.DeafToCancellation, "timeout", Promise.NO_LOSS),
        (broken.IgnoresRetryAfter, "throttle", Promise.RETRY_AFTER),
        (broken.IgnoresRetryAfter, "errors", Promise.RETRY_AFTER),
        (broken.AsksAgainAtOnce, "throttle", Promise.RETRY_AFTER),
        (broken.ThrowsAwayWhatIsThrottled, "throttle", Promise.AT_LEAST_ONCE),
        (broken.ThrowsAwayOnWrongToken, "credentials", Promise.AT_LEAST_ONCE),
        (broken.LeaksIntoErrors, "credentials", Promise.NO_SECRET),
        (broken.LeaksIntoLogs, "delivery", Promise.NO_SECRET),
        (broken.ShowsTheAnswer, "credentials", Promise.NO_SECRET),
        (broken.HangsInStop, "stop", Promise.LIFE_CYCLE),
        (broken.StopNeedsStart, "stop", Promise.LIFE_CYCLE),
        (broken.RefusesToStart, "delivery", Promise.LIFE_CYCLE),
        (broken.RefusesToStart, "delivery", Promise.NO_SECRET),
        (broken.NewIdEachTime, "errors", Promise.STABLE),
        (broken.TimeOfTheAttempt, "errors", Promise.STABLE),
        (broken.IdOfTheProcess, "gateway-restart", Promise.STABLE),
        (broken.BlamesSiblings, "partial", Promise.OUTCOME_PER_ITEM),
        (broken.BlamesTheWrongOne, "partial", Promise.OUTCOME_PER_ITEM),
        (broken.SwallowsPartialFailure, "partial", Promise.OUTCOME_PER_ITEM),
        (broken.RetriesWhatIsRefused, "partial", Promise.OUTCOME_PER_ITEM),
        (broken.DropsInvalidSilently, "invalid", Promise.OUTCOME_PER_ITEM),
        (broken.BlamesSiblings, "invalid", Promise.OUTCOME_PER_ITEM),
        (broken.OneAnswerForAll, "reorder", Promise.OUTCOME_PER_ITEM),
        (broken.ChecksBySending, "check", Promise.CHECK),
        (broken.CheckFails, "check", Promise.CHECK),
        (broken.ChecksByAnEventOfItsOwn, "check", Promise.CHECK),
        (disturbing.ChangesProperties, "delivery", Promise.UNCHANGED),
        (disturbing.ChangesNestedContext, "delivery", Promise.UNCHANGED),
        (disturbing.ChangesLists, "delivery", Promise.UNCHANGED),
        (disturbing.AssignsFields, "delivery", Promise.UNCHANGED),
        (disturbing.UndoesItsChange, "delivery", Promise.UNCHANGED),
        (broken.SendsInRehearsal, "rehearsal", Promise.REHEARSAL),
        (broken.ShowsNothing, "rehearsal", Promise.REHEARSAL),
        (broken.WritesInRehearsal, "rehearsal", Promise.REHEARSAL),
    ],
)
def test_one_that_breaks_a_promise_is_caught(kind: type[Good], slug: str, promise: Promise) -> None:
    """A broken promise is reported by name, in the scene that shows it."""
    found = breaches_of(kind, slug)
    assert promise in {breach.promise for breach in found}, found


@pytest.mark.parametrize("kind", [broken.OneAnswerForAll, broken.IdOfTheProcess])
def test_some_are_found_in_one_scene_only(kind: type[Good]) -> None:
    """Bugs with several sends, or after a restart, show in those scenes only."""
    assert breaches_of(kind, "delivery", "errors", "partial", "connection") == []


@pytest.mark.parametrize(
    "kind",
    [
        disturbing.Sleeps,
        disturbing.BlocksOnTheVendor,
        disturbing.Computes,
        disturbing.BlocksInItsOwnTask,
    ],
)
def test_one_that_blocks_the_event_loop_is_caught_at_once(kind: type[Good]) -> None:
    """The report names only the blocked loop, with its place, and comes within seconds."""
    begin = time.monotonic()
    with pytest.raises(ContractBroken) as caught:
        check_destination_contract(spec_of(kind), CONFIG, VENDOR, stop_timeout_seconds=0.3)
    assert time.monotonic() - begin < 15
    assert caught.value.promises == {Promise.LOOP}
    assert "disturbing_destinations.py:" in str(caught.value)


async def test_outside_the_main_thread_a_blocked_loop_is_reported_when_it_turns_again() -> None:
    """Calls in other threads cannot be interrupted, and are reported all the same."""
    assert await asyncio.to_thread(breaches_of, disturbing.Computes, "delivery") != []


def test_a_check_without_events_is_allowed() -> None:
    """A request without events proves credentials, and delivers nothing."""
    assert breaches_of(broken.ChecksByNoEvents, "check") == []


def test_the_text_says_what_was_broken() -> None:
    """The text names the promise, the scene, the failure and its events."""
    with pytest.raises(ContractBroken) as caught:
        check_destination_contract(spec_of(broken.BlamesSiblings), CONFIG, VENDOR)
    text = str(caught.value)
    assert (
        '"an outcome for each event" was broken in the scene "the vendor refuses some events": '
        "siblings of a refused event were given up with it, because 'refused'\n"
        "    events: kit-partial-00, kit-partial-02, kit-partial-03,"
    ) in text
    assert caught.value.promises == {Promise.OUTCOME_PER_ITEM}


def test_a_secret_is_not_shown_by_the_checker_either() -> None:
    """The output of a test must not show secrets either."""
    (breach,) = breaches_of(broken.LeaksIntoErrors, "credentials")
    assert TOKEN not in str(breach)
    assert "***" in str(breach)


def test_many_events_are_cut_short() -> None:
    """A report names the first ten of many events."""
    text = str(Breach(Promise.NO_LOSS, "s", "w", [f"e{n}" for n in range(12)]))
    assert text.endswith("e8, e9 and 2 more")


class InMemory(Destination):
    """A storage for tests."""

    rows: list[str]
    once = True

    def __init__(self, config: Any, context: Context) -> None:
        pass

    async def send(self, batch: Batch) -> None:
        for event in batch:
            if not (self.once and event.message_id in type(self).rows):
                type(self).rows.append(event.message_id)


@pytest.mark.parametrize(("once", "found"), [(True, set()), (False, {Promise.ONCE})])
def test_an_idempotent_storage_holds_each_event_once(once: bool, found: set[Promise]) -> None:
    """An idempotent storage holds each event once, also if the gateway forgot its delivery."""

    class Rows(InMemory):
        rows: list[str] = []  # noqa: RUF012 - of this test

    Rows.once = once
    spec = replace(spec_of(Rows), idempotent=True, rehearses=False)
    storage = Storage(read=lambda folder: Rows.rows)
    scenes = contract_scenes(spec, CONFIG, storage)
    assert {breach.promise for scene in scenes for breach in scene.breaches()} == found


@pytest.mark.parametrize("row", ["kit-check-07", "connection test"])
def test_a_check_that_writes_into_a_storage_is_caught(row: str) -> None:
    """check() leaves a storage as it is, whatever the id of its row."""

    class Rows(InMemory):
        rows: list[str] = []  # noqa: RUF012 - of this test

        async def check(self) -> None:
            self.rows.append(row)

    storage = Storage(read=lambda folder: Rows.rows)
    scenes = {str(scene): scene for scene in contract_scenes(spec_of(Rows), CONFIG, storage)}
    assert {breach.promise for breach in scenes["check"].breaches()} == {Promise.CHECK}


def test_settings_are_checked_as_a_users_are() -> None:
    """A misspelt key is an error of the test, with its path."""
    with pytest.raises(ConfigError, match=r"destinations\.contract"):
        check_destination_contract(spec_of(Good), {"uri": "{url}", "token": TOKEN}, VENDOR)


def test_a_short_secret_cannot_be_looked_for() -> None:
    """A short secret is refused, as it could be found by chance."""
    with pytest.raises(ValueError, match="at least 8 characters"):
        check_destination_contract(spec_of(Good), {"url": "{url}", "token": "abc"}, VENDOR)


def test_a_module_without_destinations() -> None:
    """A module without destinations is an error that lists what it registers."""
    from gateway.builtin.transforms import mask

    with pytest.raises(ValueError, match="registers these destinations: none"):
        check_destination_contract(mask, {})


def test_the_scenes_that_a_vendor_cannot_play_are_left_out() -> None:
    """Scenes that do not suit the description of the vendor are left out."""
    slugs = {str(scene) for scene in contract_scenes(spec_of(Good), CONFIG, VENDOR)}
    silent = replace(VENDOR, refuses=None, invalid=None)
    fewer = {str(scene) for scene in contract_scenes(spec_of(Good), CONFIG, silent)}
    assert slugs - fewer == {"partial", "invalid"}


def test_a_vendor_that_keeps_none_of_a_refused_request() -> None:
    """The vendor's description, not the status, tells if it takes the other events."""
    keeps_none = replace(VENDOR, keeps_others=False)
    (scene,) = [
        s for s in contract_scenes(spec_of(Good), CONFIG, keeps_none) if str(s) == "partial"
    ]
    assert {breach.promise for breach in scene.breaches()} == {Promise.NO_LOSS}


def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder of a scene is removed."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    check_destination_contract(spec_of(Good), CONFIG, replace(VENDOR, accepts=Answer(204)))
    assert list(tmp_path.iterdir()) == []


def test_one_that_cannot_be_ended_does_not_hold_up_the_test(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A destination that does not end is left behind and reported."""
    monkeypatch.setattr("gateway.testing.stage.SCENE_SECONDS", 0.5)
    found = breaches_of(broken.CannotBeCancelled, "delivery")
    assert {breach.promise for breach in found} == {Promise.AT_LEAST_ONCE, Promise.LIFE_CYCLE}
    assert "send() went on after it was cancelled" in [breach.what for breach in found]


def test_an_error_of_the_vendor_is_the_authors() -> None:
    """An error in the vendor's description is raised unchanged, at once."""

    def refuses(request: Received, places: Sequence[int]) -> Answer:
        raise KeyError("rows")

    vendor = replace(VENDOR, refuses=refuses)
    scenes = {str(scene): scene for scene in contract_scenes(spec_of(Good), CONFIG, vendor)}
    with pytest.raises(KeyError, match="rows"):
        scenes["partial"].check()


async def test_a_test_that_is_async_is_told_so() -> None:
    """An async test gets an error that says what to do."""
    with pytest.raises(RuntimeError, match=r"asyncio\.to_thread"):
        check_destination_contract(spec_of(Good), CONFIG, VENDOR)
    await asyncio.to_thread(check_destination_contract, spec_of(Good), CONFIG, VENDOR)


def test_what_may_be_the_vendors_way_is_said() -> None:
    """The report hints at vendors that name events, if siblings were refused for a bare 400."""
    scenes = contract_scenes(spec_of(Good), CONFIG, replace(VENDOR, refuses=bad_request))
    with pytest.raises(ContractBroken, match=r"say so by Vendor\(refuses=\.\.\.\)"):
        next(scene for scene in scenes if str(scene) == "partial").check()
    assert TOKEN not in repr(scenes)


def test_an_outage_has_to_be_one() -> None:
    """An outage during which writes succeed is an error, as it would test nothing."""

    class Rows(InMemory):
        rows: list[str] = []  # noqa: RUF012 - of this test

    storage = Storage(read=lambda folder: Rows.rows, outage=nullcontext)
    scenes = contract_scenes(spec_of(Rows), CONFIG, storage)
    with pytest.raises(ValueError, match="in spite of the outage"):
        next(scene for scene in scenes if str(scene) == "outage").check()
