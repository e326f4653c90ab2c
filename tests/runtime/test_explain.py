"""What would happen to an event is what happens, and nothing does."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result
from msgspec import Raw

from gateway.cli import main
from gateway.config.load import load
from gateway.events.envelope.sealed import stored_events
from gateway.identity.links import FILE_NAME, LinkFile, Mark
from gateway.privacy.suppression import FILE_NAME as SUPPRESSED
from gateway.privacy.suppression import Suppressions
from gateway.queue.offline import QueueFolder
from gateway.runtime.explain.explainer import Explanation, explaining
from gateway.runtime.explain.question import MOST_EVENTS, Question, explained
from gateway.runtime.gateway import Gateway
from gateway.runtime.plugins import discover
from tests.support.gateway_process import GatewayProcess
from tests.support.raw_http import basic, exchange, request

NOW = 1_795_626_000_000
TOKEN = "0123456789abcdef"
CONFIG = f"""
[server]
port = 0
[admin]
token = "{TOKEN}"
[sources.web]
type = "segment"
write_key = "web-key"
[sources.off]
type = "segment"
write_key = "off-key"
enabled = false
[groups.canary]
percent = 50
[transforms.privacy]
type = "mask"
[transforms.noise]
type = "filter"
drop = 'event = "Noise"'
[transforms.orders]
type = "filter"
keep = 'event = "Order Completed"'
destinations = ["crm"]
[destinations.files]
type = "file"
path = "out"
[destinations.crm]
type = "mixpanel"
token = "a-secret-project-token"
mapping = [{{ if = 'event = "Order Completed"', set = {{ "properties.from" = "gateway" }} }}]
[destinations.ads]
type = "webhook"
url = "http://127.0.0.1:9/hooks/a-secret-part-of-the-url"
consent = ["Advertising"]
[destinations.few]
type = "null"
only = {{ group = "canary", arm = "test" }}
[destinations.other]
type = "null"
consent = ["Analytics"]
[destinations.gone]
type = "null"
enabled = false
"""
ORDER = {
    "type": "track",
    "event": "Order Completed",
    "userId": "u-1",
    "messageId": "order-1",
    "timestamp": "2026-11-25T16:00:00.000Z",
    "properties": {"revenue": 25, "card": "4111 1111 1111 1111"},
    "context": {"consent": {"categoryPreferences": {"Advertising": False}}},
}


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    (tmp_path / "config.toml").write_text(CONFIG)
    return tmp_path


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith(("-shm", "-wal"))
    }


def ask(folder: Path, event: Any, **options: Any) -> Explanation:
    """Explain an event, or a body of bytes, at a fixed time."""
    body = event if isinstance(event, bytes) else json.dumps(event).encode()
    question = Question(event=Raw(body), **{"source": "web", **options})

    async def answer() -> Explanation:
        config = load(folder / "config.toml")
        gateway = Gateway(config, discover(), lambda: NOW, dry_run=True)
        async with explaining(gateway, question.destination) as explainer:
            return await explained(explainer, gateway, question, iter(()))

    return asyncio.run(answer())


def test_each_step_is_told_and_nothing_is_written(folder: Path) -> None:
    """Source, validation, de-duplication and transforms in their order, with what they change."""
    before = files(folder)
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
    assert files(folder) == before


def test_each_destination_has_its_reason_or_its_request(folder: Path) -> None:
    """The filter that stops the event, or what would be sent, with mapping and without secrets."""
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
    """The id that counts, where it stands, and what it stands for."""
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
    """The code that the books would count, and no destination."""
    (found,) = ask(folder, {**ORDER, **change}).events
    assert (found.outcome, found.code, found.destinations) == ("discarded", code, [])


def test_of_a_batch_it_is_told_which(folder: Path) -> None:
    """Also where some elements cannot become events."""
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
    """The answer is the source's own."""
    found = ask(folder, body, **options)
    assert found.answer is not None
    assert found.answer.code == code
    assert found.events == []


def test_a_source_that_is_off_takes_nothing(folder: Path) -> None:
    """It says so by its first step."""
    (found,) = ask(folder, ORDER, source="off").events
    assert (found.code, found.steps[0].outcome) == ("source_disabled", "dropped")


def test_a_mapping_that_refuses_says_why(folder: Path) -> None:
    """What would become a dead letter is told before it does."""
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
    """An explanation is for people to read."""
    body = json.dumps({"batch": [ORDER] * (MOST_EVENTS + 1)}).encode()
    (folder / "event.json").write_bytes(body)
    done = command(folder, str(folder / "event.json"), "--source", "web")
    assert done.exit_code == 2
    assert f"these are {MOST_EVENTS + 1} events; {MOST_EVENTS} can be explained" in done.output


def command(folder: Path, *words: str, stdin: bytes = b"") -> Result:
    arguments = ["explain", *words, "--config", str(folder / "config.toml")]
    return CliRunner().invoke(main, arguments, input=stdin)


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
    """What it prints, and with which exit code."""
    done = command(folder, *words, stdin=stdin)
    assert (done.exit_code, text in done.output) == (code, True), done.output


def test_a_terminal_is_not_moved_by_an_event(folder: Path) -> None:
    """Control characters of an event are shown escaped."""
    event = {**ORDER, "properties": {"x": "\x9b31m", "y\x1b[2J": 1}}
    done = command(folder, "-", "--source", "web", "--event", stdin=json.dumps(event).encode())
    assert done.exit_code == 0
    assert "\\x9b31m" in done.output
    assert not {"\x9b", "\x1b"} & set(done.output)


@pytest.fixture(name="running", scope="module")
def _running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with GatewayProcess(tmp_path_factory.mktemp("explain"), CONFIG) as gateway:
        yield gateway


def send(running: GatewayProcess, events: list[Any]) -> None:
    body = json.dumps({"batch": events}).encode()
    sent = request(body, basic("web-key"), path=b"/v1/batch")
    assert [answer.status for answer in exchange(running.url, sent)] == [200]


EVENTS = [
    ORDER,
    {**ORDER, "messageId": "m-2", "event": "Noise"},
    {**ORDER, "messageId": "m-3", "userId": 12, "context": {}, "properties": None},
    {**ORDER, "messageId": "m-4", "type": "identify", "traits": {"email": "a@example.com"}},
    {**ORDER, "messageId": "m-5", "userId": None},
    {**ORDER, "messageId": " m-6 ", "strange": {"a": 1}, "integrations": {"All": False}},
]


def test_it_is_what_happens(running: GatewayProcess) -> None:
    """What is stored, discarded and filtered is what was foretold, event by event."""
    foretold = {}
    for event in EVENTS:
        (one,) = ask(running.folder, event).events
        foretold[one.message_id.strip()] = one
    send(running, EVENTS)
    queue = QueueFolder(running.folder / "data" / "queue")
    stored = {
        event.message_id: event.to_dict()
        for segment in queue.segments
        for frame in queue.frames(segment)
        for event in stored_events(frame.payload)
    }
    assert stored.keys() == {id_ for id_, one in foretold.items() if one.outcome == "stored"}
    for id_, event in stored.items():
        event["receivedAt"] = foretold[id_].event["receivedAt"]
        assert event == foretold[id_].event
    for id_, one in foretold.items():
        life = settled(running, id_)
        if one.outcome == "discarded":
            assert [d["code"] for d in life["discarded"]] == [one.code]
            continue
        states = {place["destination"]: place for place in life["stored"][0]["places"]}
        for delivery in one.destinations:
            if delivery.destination in SETTLING:
                place = states[delivery.destination]
                filtered = delivery.outcome == "filtered"
                assert place["state"] == ("filtered" if filtered else "delivered"), (id_, place)
                assert not filtered or place["detail"] == f"by {delivery.detail}"


SETTLING = ("files", "few", "other")
"""Destinations of the config that can deliver."""


def settled(running: GatewayProcess, id_: str) -> Any:
    """The life of an event, once those destinations are done with it."""
    arguments = ["why", id_, "--json", "--config", str(running.folder / "config.toml")]
    deadline = time.monotonic() + 20
    while True:
        life = json.loads(CliRunner().invoke(main, arguments).output)
        places = [place for stored in life["stored"] for place in stored["places"]]
        if all(p["state"] != "queued" for p in places if p["destination"] in SETTLING):
            return life
        assert time.monotonic() < deadline, life


def test_beside_a_running_gateway(running: GatewayProcess) -> None:
    """A stored event is shown as it is stored; one with its id is a duplicate; nothing changes."""
    send(running, [{**ORDER, "messageId": "beside"}])
    before = files(running.folder / "data" / "queue")
    done = command(running.folder, "beside", "--json")
    (found,) = json.loads(done.output)["events"]
    assert (found["outcome"], found["shard"]) == ("is stored", 0)
    assert "4111" not in done.output
    again = command(
        running.folder,
        *("-", "--source", "web", "--json"),
        stdin=json.dumps({**ORDER, "messageId": "beside"}).encode(),
    )
    (found,) = json.loads(again.output)["events"]
    assert found["outcome"] == "duplicate"
    assert len(found["destinations"]) == 6
    assert files(running.folder / "data" / "queue") == before


def test_the_running_gateway_explains_too(running: GatewayProcess) -> None:
    """With the config that runs, for whoever may read; what is no question is refused."""
    event = {**ORDER, "messageId": "over-http"}
    send(running, [event])

    def post(question: Any, token: str = TOKEN) -> tuple[int, Any]:
        body = json.dumps(question).encode()
        head = f"Authorization: Bearer {token}".encode()
        (answer,) = exchange(running.url, request(body, head, path=b"/admin/explain"))
        return answer.status, json.loads(answer.body)

    status, found = post({"event": event, "source": "web"})
    assert (status, found["events"][0]["outcome"]) == (200, "duplicate")
    status, found = post({"message_id": "over-http", "destination": "ads"})
    assert [d["detail"] for d in found["events"][0]["destinations"]] == ["consent"]
    assert post({"message_id": "nowhere"})[0] == 400
    assert post({})[0] == 400
    assert post({"message_id": "over-http"}, "another-token-of-16")[0] == 401


def test_groups_and_shadows_are_shown(folder: Path) -> None:
    """An arm that is written into the event is a change; what a shadow compares is not sent."""
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
    """Links of the data directory are read, and none is added."""
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
    """From the same file as the gateway that runs."""
    Suppressions(folder / "data" / SUPPRESSED).add(["u-1"])
    (found,) = ask(folder, ORDER).events
    assert (found.outcome, found.code) == ("discarded", "suppressed")
