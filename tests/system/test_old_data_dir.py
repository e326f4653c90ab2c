"""Data directories of earlier releases can be read, continued and balanced.

`tests.support.write_data_dir` makes the files. Their config keeps everything for a thousand years,
so that the tests do not depend on the age of the files.
"""

from __future__ import annotations

import gzip
import json
import sqlite3
import tarfile
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from gateway.cli import main
from tests.support.data_dir_events import Call
from tests.support.gateway_process import GatewayProcess
from tests.support.receiver import Receiver
from tests.support.waiting import wait_until
from tests.support.write_data_dir import DATA, Facts, send

pytestmark = pytest.mark.slow

ARCHIVES = sorted(path.name.removesuffix(".tar.gz") for path in DATA.glob("data_dir_*.tar.gz"))
FOLDERS = {"files": "events", "zipped": "zipped"}
WEBHOOKS = ("crm", "mailer", "canary", "down")
PENDING = ("queued", "waiting")
RULES = {
    "mailer": "tracks_only",
    "canary": "group:checkout",
    "zipped": "half",
    "crm_next": "shadow",
}
"""The rule by which a destination filters events."""


@dataclass(frozen=True)
class Old:
    """An unpacked data directory with its config, and the facts recorded about it."""

    folder: Path
    facts: Facts

    @property
    def config(self) -> str:
        return (self.folder / "config.toml").read_text()

    def run(self, *arguments: str, code: int | None = 0) -> str:
        """Returns the output of a command."""
        config = str(self.folder / "config.toml")
        done = CliRunner().invoke(main, [*arguments, "--config", config])
        assert code in (None, done.exit_code), done.output
        return done.stdout

    def json(self, *arguments: str, code: int | None = 0) -> Any:
        return json.loads(self.run(*arguments, "--json", code=code))

    def lines(self, *arguments: str) -> list[Any]:
        return [json.loads(line) for line in self.run(*arguments, "--json").splitlines()]

    def with_state(self, destination: str, *states: str) -> list[str]:
        """Returns the events that were in one of these states at a destination."""
        places = self.facts["places"].items()
        return [name for name, place in places if place[destination] in states]

    def events(self, folder: str) -> dict[str, dict[str, Any]]:
        """Returns the events in the files of a destination, by ``source/id``; none may repeat."""
        files = sorted((self.folder / "data" / folder).rglob("events-*.ndjson*"))
        texts = [
            gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
            for file in files
        ]
        events = [json.loads(line) for text in texts for line in text.splitlines()]
        found = {f"{event['sourceId']}/{event['messageId']}": event for event in events}
        assert len(found) == len(events)
        return found

    def rows(self) -> list[str]:
        """Returns the events in the table, as ``source/id``."""
        with closing(sqlite3.connect(self.folder / "data" / "events.sqlite")) as db:
            return [
                f"{s}/{id_}" for s, id_ in db.execute("SELECT source_id, message_id FROM events")
            ]


@pytest.fixture(params=ARCHIVES)
def old(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Old:
    with tarfile.open(DATA / f"{request.param}.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    monkeypatch.setenv("RECEIVER", "http://127.0.0.1:1")
    return Old(tmp_path, json.loads((DATA / f"{request.param}.json").read_text()))


def test_there_are_old_data_directories() -> None:
    """Data directories of a single process and of several workers are kept."""
    assert {"data_dir_0_1_0", "data_dir_0_1_0_workers"} <= set(ARCHIVES)


def test_commands_read_it_as_the_old_release_did(old: Old) -> None:
    """Commands print the same about the files of a stopped gateway as the old release did."""
    facts = old.facts
    assert old.json("ledger") == facts["ledger"]
    told = old.lines("dead", "show")  # fields may have been added since
    assert [{key: one[key] for key in facts["dead"][0]} for one in told] == facts["dead"]
    listed = old.run("dead", "list")
    counts = Counter((letter["destination"], letter["reason"]) for letter in facts["dead"])
    assert [f"{id_}: {number} {reason}" for (id_, reason), number in sorted(counts.items())] == (
        listed.splitlines()[-len(counts) :]
    )
    assert old.lines("audit") == facts["audit"]
    assert old.run("suppress", "list").splitlines() == facts["suppressed"]
    for worker, segments in enumerate(facts["segments"]):
        shard = str(old.folder / "data" / f"worker-{worker}" if worker else old.folder / "data")
        found = old.lines("queue", "inspect", "--data-dir", shard)
        assert [{**one, "last_written": ""} for one in found] == [
            {**one, "last_written": ""} for one in segments
        ]
        events, frames = (sum(one[what] for one in segments) for what in ("events", "frames"))
        good = f"{events} events in {frames} frames are good, 0 events are lost"
        assert old.run("queue", "verify", "--data-dir", shard).splitlines()[-1] == good
    for id_, life in facts["lives"].items():
        assert old.json("why", id_, code=None) == life
    if facts["rollouts"]:
        assert old.json("rollout", "list") == facts["rollouts"]
        assert old.json("rollout", "report", "checkout")["decisions"] == facts["decisions"]


def test_the_gateway_goes_on_where_the_old_one_stopped(
    old: Old, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pending events are delivered once, new events are accepted, and all events are counted."""
    facts = old.facts
    for id_, folder in FOLDERS.items():
        assert set(old.events(folder)) == set(old.with_state(id_, "delivered"))
    assert Counter(old.rows()) == Counter(old.with_state("table", "delivered"))
    new = _New.of(facts)
    with Receiver() as receiver:
        monkeypatch.setenv("RECEIVER", receiver.url)
        with GatewayProcess(old.folder, old.config) as gateway:

            def taken() -> dict[str, Counter[str]]:
                return {id_: Counter(receiver.taken.get(f"/{id_}", ())) for id_ in WEBHOOKS}

            _wait_delivered(gateway)
            expected = {id_: Counter(old.with_state(id_, *PENDING)) for id_ in WEBHOOKS}
            assert expected["down"]
            assert expected["crm"]
            assert taken() == expected

            assert old.json("erase", "--list") == facts["regulations"]
            assert old.run("replay", "--status").splitlines() == facts["replays"]
            old.run("dead", "retry", "--yes")
            for letter in facts["dead"]:
                expected[letter["destination"]][_name(letter)] += 1
            wait_until(lambda: taken() == expected, what="the dead letters are delivered")

            for call in new.calls:
                send(gateway.url, call)
            _wait_delivered(gateway)
            for id_, names in new.delivered.items():
                expected[id_].update(names)
            assert taken() == expected
            if facts["rollouts"]:
                [rollout] = old.json("rollout", "list")
                assert (rollout["status"], rollout["percent"]) == ("held", 50.0)
            assert gateway.get("/health")["failing"] == []
            ledger = old.json("ledger")
            assert gateway.stop() == 0
        assert taken() == expected
    assert not [
        line for line in gateway.stderr.splitlines() if json.loads(line)["level"] == "error"
    ]

    assert Counter(old.rows()) == Counter([*old.with_state("table", "delivered"), *new.names])
    files = old.events("events")
    assert set(files) == {*old.with_state("files", "delivered"), *new.names}
    # The hash that takes the place of an address is the same.
    [ann] = {event["userId"] for event in files.values() if event.get("anonymousId") == "v-30"}
    assert files["web/new-40"]["userId"] == ann
    zipped = set(old.events("zipped")) - set(old.with_state("zipped", "delivered"))
    assert zipped <= set(new.names)
    # Nothing of the past is forgotten, and nothing is left open but the letter that was dropped.
    sent_again = [(letter["destination"], _name(letter)) for letter in facts["dead"]]
    for id_, life in facts["lives"].items():
        found = old.json("why", id_)["stored"]
        assert len(found) >= len(life["stored"])
        for stored in found:
            for place in stored["places"]:
                was_dropped = place["state"] == "dead"
                assert was_dropped or place["state"] in ("delivered", "filtered")
                again = (place["destination"], f"{stored['source']}/{id_}") in sent_again
                assert not (was_dropped and again)
    assert ledger == old.json("ledger")
    balance = _Balance(facts, new)
    assert ledger["sources"] == balance.sources()
    assert ledger["destinations"] == balance.destinations(len(zipped))
    assert (ledger["findings"], ledger["gaps"]) == ([], [])


@dataclass(frozen=True)
class _New:
    """Requests to the new gateway, and their expected outcome.

    Attributes:
        names: the new events, as ``source/id``.
        delivered: the new events that each webhook gets.
        not_stored: for each source, the number of duplicates, and of discarded events by code.
    """

    calls: list[Call]
    names: list[str]
    delivered: dict[str, list[str]]
    not_stored: dict[str, tuple[int, dict[str, int]]]

    @classmethod
    def of(cls, facts: Facts) -> _New:
        """Makes requests whose outcome the old state decides."""
        calls, names, in_test, tracks = [], [], [], []
        for number, (user, arm) in enumerate(facts["arms"].items()):
            event = _track(f"new-{number}", userId=user)
            calls.append(Call("backend-key", "/v1/track", event))
            names.append(f"backend/new-{number}")
            if arm == "delivered":
                in_test.append(names[-1])
        tracks += names
        # A visitor is in the arm of the user who is linked to it.
        visitor, arm = "v-1", facts["arms"]["u-1"]
        own = [f"new-{number}" for number in range(20, 24)]
        batch = [_track(id_, anonymousId=visitor) for id_ in own]
        calls.append(Call("web-key", "/v1/batch", {"batch": batch}, packed=True))
        page = {"messageId": "new-30", "type": "page", "name": "Home", "anonymousId": visitor}
        calls.append(Call("web-key", "/v1/page", page))
        ann = _track("new-40", userId="ann@example.com", anonymousId=visitor)
        calls.append(Call("web-key", "/v1/track", ann))
        of_web = [f"web/{id_}" for id_ in (*own, "new-40")]
        tracks += of_web
        of_web.append("web/new-30")
        # The same id from another source is another event.
        other = _track("m-001", userId="u-0")
        calls.append(Call("backend-key", "/v1/track", other))
        tracks.append("backend/m-001")
        names += [*of_web, "backend/m-001"]
        in_test += of_web if arm == "delivered" else []
        in_test += ["backend/m-001"] if facts["arms"]["u-0"] == "delivered" else []

        known = [_track(id_, userId="u-0") for id_ in _known(facts, "web")]
        silent = [_track("silent", userId=user) for user in facts["suppressed"]]
        nobody = _track("nobody")
        calls.append(Call("web-key", "/v1/batch", {"batch": [*known, *silent, nobody]}))
        again = _known(facts, "backend")
        calls += [Call("backend-key", "/v1/track", _track(id_, userId="u-0")) for id_ in again]
        assert known
        assert again
        assert silent
        return cls(
            calls,
            names,
            {"crm": names, "down": names, "mailer": tracks, "canary": in_test},
            {
                "web": (len(known), {"suppressed": len(silent), "no_user_anon_id": 1}),
                "backend": (len(again), {}),
            },
        )


@dataclass(frozen=True)
class _Balance:
    """The expected ledger: the old one plus the new events."""

    facts: Facts
    new: _New

    def sources(self) -> list[dict[str, Any]]:
        found = []
        for was in self.facts["ledger"]["sources"]:
            accepted = sum(name.startswith(f"{was['id']}/") for name in self.new.names)
            duplicate, discarded = self.new.not_stored[was["id"]]
            found.append(
                {
                    "id": was["id"],
                    "received": was["received"] + accepted + duplicate + sum(discarded.values()),
                    "accepted": was["accepted"] + accepted,
                    "duplicate": was["duplicate"] + duplicate,
                    "discarded": dict(Counter(was["discarded"]) + Counter(discarded)),
                }
            )
        return found

    def destinations(self, zipped: int) -> list[dict[str, Any]]:
        """Returns the expected counts of all destinations.

        Args:
            zipped: number of new events that the sample of ``zipped`` keeps.
        """
        return [self._destination(was, zipped) for was in self.facts["ledger"]["destinations"]]

    def _destination(self, was: dict[str, Any], zipped: int) -> dict[str, Any]:
        id_, new = was["id"], len(self.new.names)
        letters = [one for one in self.facts["dead"] if one["destination"] == id_]
        kept = len(self.new.delivered.get(id_, self.new.names))
        kept = {"zipped": zipped, "crm_next": 0}.get(id_, kept)
        filtered = Counter(was["filtered"])
        if kept < new:
            filtered[RULES[id_]] += new - kept
        # What was erased is pending until it is read; there is nothing left of it to deliver.
        pending = was["queued"] + was["waiting"]
        gone = pending - len(self._old_pending(id_))
        if gone:
            filtered["erased"] += gone
        return {
            **was,
            "cursor": was["cursor"] + was["queued"] + new,
            "accepted": was["accepted"] + new,
            "delivered": was["delivered"] + pending - gone + len(letters) + kept,
            "filtered": dict(filtered),
            "dead": dict(Counter(was["dead"]) - Counter(one["reason"] for one in letters)),
            "queued": 0,
            "waiting": 0,
        }

    def _old_pending(self, id_: str) -> list[str]:
        return [name for name, one in self.facts["places"].items() if one[id_] in PENDING]


def _track(id_: str, **who: str) -> dict[str, Any]:
    return {"messageId": id_, "type": "track", "event": "Renewed", **who}


def _known(facts: Facts, source: str) -> list[str]:
    """Returns ids that a source has sent: the oldest, one from the middle and the newest."""
    gone = set(facts["erased"])
    ids = [id_ for id_ in facts["accepted"][source] if id_ not in gone]
    return [ids[0], ids[len(ids) // 2], ids[-1]]


def _name(letter: dict[str, Any]) -> str:
    return f"{letter['source_id']}/{letter['message_id']}"


def _wait_delivered(gateway: GatewayProcess) -> None:
    def pending() -> int:
        destinations = gateway.get("/health")["destinations"].values()
        return sum(one["pending_events"] for one in destinations)

    wait_until(lambda: pending() == 0, what="all pending events are delivered")
