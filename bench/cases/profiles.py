"""Learning who is who, against decoding the contexts and against writing rows to SQLite.

Known: events that bring nothing new, as most events do. Whoever wants to know their identifiers has
to decode their contexts, and the floor does only that. New: each event links a new user to a new
device and an address. The floor looks the three up in SQLite and writes them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from msgspec import Raw

from bench.harness import Benchmark, Measurement, Scale, measure
from bench.report.goals import Goal
from gateway.components.destination import Batch
from gateway.events.event import Event

__all__ = ["BENCHMARKS"]

_BATCH = 5_000
_CONTEXT = (
    '{"library":{"name":"analytics.js","version":"2.1.0"},"page":{"path":"/p","url":'
    '"https://shop.example.com/p?x=1","referrer":"https://search.example/","title":"A page"},'
    '"userAgent":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36","locale":"en-GB",'
    '"campaign":{"source":"x","medium":"cpc"},"traits":{"email":"p%d@example.com"}}'
)


def _events(first: int) -> list[Event]:
    return [
        Event(
            type="track",
            event="Seen",
            user_id=f"user-{number}",
            anonymous_id=f"{number:08d}-58cc-4372-a567-0e02b2c3d479",
            message_id=f"message-{number}",
            received_at=f"2026-11-23T14:{number // 60_000 % 60:02d}:{number // 1000 % 60:02d}."
            f"{number % 1000:03d}Z",
            raw_context=Raw((_CONTEXT % number).encode()),
        )
        for number in range(first, first + _BATCH)
    ]


def _learning(scale: Scale, prepare: Callable[[int], list[Event]]) -> Measurement:
    from headgate_profiles.config import ProfilesConfig, rules_of
    from headgate_profiles.identifiers import Reader
    from headgate_profiles.learner import Known, Learner, facts_of
    from headgate_profiles.store import Store

    config = ProfilesConfig()
    rules = rules_of(config)
    learner = Learner(Reader(rules.kinds, 20, 256), Known(config.max_cached))
    run = 0
    with TemporaryDirectory(prefix="headgate-bench-") as name:
        store = Store(Path(name) / "graph.sqlite", rules)
        store.open()

        def make() -> list[Event]:
            nonlocal run
            run += 1
            return prepare(run)

        def work(events: list[Event]) -> None:
            _, new = learner.sightings(Batch(events, range(_BATCH), queue_id="bench"))
            with store.transaction() as session:
                if new:
                    session.learn(facts_of(new))
                session.advance("bench", _BATCH)
            learner.confirm(new)

        try:
            work(prepare(0))
            return measure(make, work, _BATCH, scale)
        finally:
            store.close()


def _known(scale: Scale) -> Measurement:
    events = _events(0)
    return _learning(scale, lambda _: events)


def _new(scale: Scale) -> Measurement:
    return _learning(scale, lambda run: _events(run * _BATCH))


def _decode(scale: Scale) -> Measurement:
    events = _events(0)
    decode = msgspec.json.Decoder().decode

    def work(_: None) -> None:
        for event in events:
            decode(event.raw_context)

    return measure(lambda: None, work, _BATCH, scale)


def _rows(scale: Scale) -> Measurement:
    run = 0
    with TemporaryDirectory(prefix="headgate-bench-") as name:
        db = sqlite3.connect(Path(name) / "rows.sqlite", isolation_level=None)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE ids (value TEXT PRIMARY KEY, profile INTEGER) WITHOUT ROWID")

        def make() -> list[tuple[str, int]]:
            nonlocal run
            run += 1
            return [
                (value, int(event.message_id.rpartition("-")[2]))
                for event in _events(run * _BATCH)
                for value in (event.user_id or "", event.anonymous_id or "", event.message_id)
            ]

        def work(rows: list[tuple[str, int]]) -> None:
            db.execute("BEGIN IMMEDIATE")
            for value, profile in rows:
                found = db.execute("SELECT profile FROM ids WHERE value = ?", (value,)).fetchone()
                if found is None:
                    db.execute("INSERT INTO ids VALUES (?, ?)", (value, profile))
            db.execute("COMMIT")

        try:
            return measure(make, work, _BATCH, scale)
        finally:
            db.close()


BENCHMARKS = (
    Benchmark(
        "profiles",
        f"events that bring nothing new to profiles, batches of {_BATCH}",
        {"decode": _decode, "known": _known},
        floors=("decode",),
        goals=(Goal("known people", "known", "decode", least=0.40),),
        pinned=True,
    ),
    Benchmark(
        "profiles-new",
        f"events of new people to profiles, batches of {_BATCH}",
        {"rows": _rows, "new": _new},
        floors=("rows",),
        goals=(Goal("new people", "new", "rows", least=0.05),),
        pinned=True,
    ),
)
