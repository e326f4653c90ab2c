"""Decides about audiences, in a process of its own: ``python -m headgate_profiles.audiences.work``.

It reads config.toml and the file of the graph, and writes members in one short transaction for each
audience.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from gateway import Scope, load_scope
from headgate_profiles.audiences.audience import audiences_of
from headgate_profiles.audiences.config import AudiencesConfig
from headgate_profiles.audiences.members import Change, decide, drop_others, store
from headgate_profiles.place import opened, schema_of
from headgate_profiles.profile import Profiles

__all__ = ["decide_all"]


def decide_all(scope: Scope, id_: str) -> list[Change]:
    """Decides about all people of a destination, and stores the members of all audiences."""
    settings = scope.tables["audience-job"]
    assert isinstance(settings, AudiencesConfig)
    audiences = audiences_of(scope.tables)
    now_ms = scope.clock()
    with opened(scope, id_) as reading:
        schema = schema_of(scope, reading, id_)
        everybody = Profiles(reading.db, schema).everybody()
        members, numbers = decide(audiences, everybody, schema, now_ms)
    changes = []
    with opened(scope, id_, reads=False) as writing:
        for name, found in members.items():
            with writing.transaction() as session:
                changes.append(
                    store(session.db, name, found, numbers, now_ms, settings.kept_changes)
                )
        with writing.transaction() as session:
            drop_others(session.db, members)
    return changes


if __name__ == "__main__":
    sys.stdout.buffer.write(
        msgspec.json.encode(decide_all(load_scope(Path(sys.argv[1])), sys.argv[2]))
    )
