"""Explaining an event: the explanation equals what happens, and changes nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.identity.links import FILE_NAME, LinkFile, Mark
from gateway.privacy.suppression import FILE_NAME as SUPPRESSED
from gateway.privacy.suppression import Suppressions
from gateway.runtime.explain.question import MOST_EVENTS
from tests.support.explaining import CONFIG, ORDER, ask, files_below, run_explain


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    (tmp_path / "config.toml").write_text(CONFIG)
    return tmp_path


def test_each_step_is_told_and_nothing_is_written(folder: Path) -> None:
    """All steps at intake appear in order with their changes, and no file is written."""
    before = files_below(folder)
    (found,) = ask(folder, ORDER).events
    assert [(step.step, step.id, step.outcome) for step in found.steps] == [
        ("source", "web", "passed"),
        ("validation", "", "changed"),
        ("dedup", "", "passed"),
        ("transform", "privacy", "changed"),
        ("transform", "noise", "passed"),
    ]
    (masked,) = found.steps[3].changes
    assert (masked.path, masked.was) == ("properties.card", "4111 1111 1111 1111")
    assert found.event["properties"]["card"] == masked.now != masked.was
    assert (found.outcome, found.message_id, found.source) == ("stored", "order-1", "web")
    assert files_below(folder) == before


def test_each_destination_has_its_reason_or_its_request(folder: Path) -> None:
    """Each destination shows the filtering rule, or its mapped request without secrets."""
    (found,) = ask(folder, ORDER).events
    said = {d.destination: (d.outcome, d.detail) for d in found.destinations}
    assert said == {
        "files": ("sent", ""),
        "crm": ("sent", ""),
        "ads": ("filtered", "consent"),
        "few": ("sent", "") if found.groups[0].arm == "test" else ("filtered", "group:canary"),
        "other": ("filtered", "consent"),
        "gone": ("disabled", ""),
    }
    (sent,) = found.destinations[1].sends
    assert sent["body"][0]["properties"]["from"] == "gateway"
    assert "a-secret" not in msgspec.json.encode(found).decode()
    assert [step.id for step in found.destinations[1].steps] == ["orders"]


def test_an_arm_has_its_position(folder: Path) -> None:
    """A group shows arm, deciding id, position, percentage and weight."""
    arms = {}
    for number in range(20):
        (found,) = ask(folder, {**ORDER, "userId": f"u-{number}"}, destination="few").events
        (place,) = found.groups
        assert (place.group, place.id, place.percent, place.weight) == (
            "canary",
            f"u-{number}",
            50.0,
            2.0,
        )
        assert place.position is not None
        assert (place.position < 50) == (place.arm == "test")
        arms[place.arm] = found.destinations[0].outcome
    assert arms == {"test": "sent", "control": "filtered"}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"userId": None}, "no_user_anon_id"),
        ({"event": ""}, "event_not_defined"),
        ({"properties": 5}, "properties_not_object"),
        ({"event": "Noise"}, "filtered:noise"),
    ],
)
def test_what_is_not_stored_has_its_code(folder: Path, change: dict[str, Any], code: str) -> None:
    """An event that is not stored shows the code of the ledger, and no destination."""
    (found,) = ask(folder, {**ORDER, **change}).events
    assert (found.outcome, found.code, found.destinations) == ("discarded", code, [])


def test_of_a_batch_it_is_told_which(folder: Path) -> None:
    """Each element of a batch is explained, even if some cannot become events."""
    batch = [ORDER, 5, {"type": "track"}, {**ORDER, "messageId": "order-2"}]
    found = ask(folder, {"batch": batch, "writeKey": "web-key"}, source="")
    assert [(one.place, one.outcome, one.code) for one in found.events] == [
        (0, "stored", ""),
        (1, "discarded", "bad_request"),
        (2, "discarded", "no_user_anon_id"),
        (3, "stored", ""),
    ]
    assert found.discarded == {"bad_request": 1}
    assert [one.message_id for one in ask(folder, batch[::3]).events] == ["order-1", "order-2"]
    assert [one.outcome for one in ask(folder, [ORDER, ORDER]).events] == ["stored", "duplicate"]


@pytest.mark.parametrize(
    ("body", "options", "code"),
    [
        (b"{oops", {}, "invalid_json"),
        (b'{"batch":[]}', {}, ""),
        (b'{"type":"track"}', {"write_key": "nobody's"}, "invalid_write_key"),
        (b"{}", {"path": "/nowhere"}, "http_404"),
        (b'{"batch":[{}]}', {"headers": {"Content-Encoding": "br"}}, "invalid_encoding"),
    ],
)
def test_what_the_source_refuses(
    folder: Path, body: bytes, options: dict[str, Any], code: str
) -> None:
    """The answer to a refused request is the source's own."""
    found = ask(folder, body, **options)
    assert found.answer is not None
    assert found.answer.code == code
    assert found.events == []


def test_a_source_that_is_off_takes_nothing(folder: Path) -> None:
    """A disabled source discards the event in the first step."""
    (found,) = ask(folder, ORDER, source="off").events
    assert (found.code, found.steps[0].outcome) == ("source_disabled", "dropped")


def test_a_mapping_that_refuses_says_why(folder: Path) -> None:
    """A refusal of the mapping shows as the reason of a dead letter."""
    (found,) = ask(folder, {"type": "alias", "userId": "a", "previousId": "b"}).events
    refused = next(d for d in found.destinations if d.destination == "crm")
    assert refused.outcome == "filtered"  # only orders go there
    text = CONFIG.replace("""keep = 'event = "Order Completed"'""", "keep = 'true = true'")
    (folder / "config.toml").write_text(text)
    (found,) = ask(folder, {"type": "alias", "userId": "a", "previousId": "b"}).events
    refused = next(d for d in found.destinations if d.destination == "crm")
    assert (refused.outcome, refused.sends) == ("refused", [])
    assert refused.detail == 'Permanent: alias has no meaning with identity = "simplified"'


def test_too_many_events_are_refused(folder: Path) -> None:
    """More than the allowed number of events is an error."""
    body = json.dumps({"batch": [ORDER] * (MOST_EVENTS + 1)}).encode()
    (folder / "event.json").write_bytes(body)
    done = run_explain(folder, str(folder / "event.json"), "--source", "web")
    assert done.exit_code == 2
    assert f"these are {MOST_EVENTS + 1} events; {MOST_EVENTS} can be explained" in done.output


@pytest.mark.parametrize(
    ("words", "stdin", "code", "text"),
    [
        (["-", "--source", "web"], json.dumps(ORDER).encode(), 0, "→ ads webhook  filtered by"),
        (["-"], json.dumps(ORDER).encode(), 2, "name the source that it comes in by; there are"),
        (["-", "--source", "no"], b"{}", 2, "there is no source 'no'; there are: web, off"),
        (["-"], b"  ", 2, "-: is empty"),
        (["-", "--source", "web", "-d", "no"], b"{}", 2, "there is no destination 'no'"),
        (["-", "--source", "web"], b"{", 1, "the request is refused: 400 invalid_json"),
        (["-", "--source", "web"], b"{}", 1, "would not be stored: invalid_type"),
        (["gone.json"], b"", 2, "gone.json: there is no such file"),
        (["some-id"], b"", 2, "the queue keeps no event with the id 'some-id'"),
        (["-", "--header", "x"], b"{}", 2, "--header 'x': must be NAME:VALUE"),
        (["-", "--source", "web", "--header", "A:b\rC"], b"{}", 2, "has a line break in it"),
    ],
)
def test_the_command(folder: Path, words: list[str], stdin: bytes, code: int, text: str) -> None:
    """The command prints the explanation, and its exit code tells the outcome."""
    done = run_explain(folder, *words, stdin=stdin)
    assert (done.exit_code, text in done.output) == (code, True), done.output


def test_a_terminal_is_not_moved_by_an_event(folder: Path) -> None:
    """Control characters in an event are printed escaped."""
    event = {**ORDER, "properties": {"x": "\x9b31m", "y\x1b[2J": 1}}
    done = run_explain(folder, "-", "--source", "web", "--event", stdin=json.dumps(event).encode())
    assert done.exit_code == 0
    assert "\\x9b31m" in done.output
    assert not {"\x9b", "\x1b"} & set(done.output)


def test_groups_and_shadows_are_shown(folder: Path) -> None:
    """A stamped arm shows as a change, and a shadow's request as not sent."""
    text = CONFIG.replace("percent = 50\n", "percent = 100\nstamp = true\n")
    shadow = '[destinations.next]\ntype = "file"\npath = "next"\nshadow = true\n'
    (folder / "config.toml").write_text(text + shadow)
    (found,) = ask(folder, ORDER).events
    deliveries = {delivery.destination: delivery for delivery in found.destinations}
    (step,) = deliveries["files"].steps
    assert (step.step, step.changes[0].path) == ("groups", "context.groups")
    (written,) = deliveries["files"].sends
    assert written["content"]["context"]["groups"] == {"canary": {"arm": "test", "weight": 1.0}}
    assert deliveries["next"].outcome == "shadow"
    assert deliveries["next"].sends[0]["content"]["messageId"] == "order-1"
    assert "groups" not in found.event["context"]


def test_a_user_is_in_the_arm_of_his_visitor(folder: Path) -> None:
    """Links of the data directory decide the arm, and no link is added."""
    (before,) = ask(folder, {**ORDER, "userId": "ada"}, destination="few").events
    links = LinkFile(folder / "data" / FILE_NAME)
    links.open()
    links.add([("ada", "visitor-7")], 0, Mark("q", 0))
    links.close()
    (after,) = ask(folder, {**ORDER, "userId": "ada"}, destination="few").events
    (visitor,) = ask(folder, {**ORDER, "anonymousId": "visitor-7"}, destination="few").events
    assert (before.groups[0].id, after.groups[0].id) == ("ada", "visitor-7")
    assert after.groups[0].position == visitor.groups[0].position
    ask(folder, {**ORDER, "userId": "bob", "anonymousId": "visitor-8"}, destination="few")
    links.open()
    assert links.read().links == {"ada": "visitor-7"}
    links.close()


def test_suppressed_users_are_known(folder: Path) -> None:
    """A suppressed user's event is discarded, by the same file as in the running gateway."""
    Suppressions(folder / "data" / SUPPRESSED).add(["u-1"])
    (found,) = ask(folder, ORDER).events
    assert (found.outcome, found.code) == ("discarded", "suppressed")
