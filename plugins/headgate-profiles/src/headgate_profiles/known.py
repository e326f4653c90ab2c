"""Who is who, for those who count people: the lake, and the figures over it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Literal

from gateway import KnownPeople, KnownPerson, Scope
from headgate_profiles.config import graph_path, rules_of
from headgate_profiles.graph.facts import number_of
from headgate_profiles.graph.rules import Rules, founder_of
from headgate_profiles.graph.whole import whole_graph
from headgate_profiles.identifiers import Identifier
from headgate_profiles.store import Session, Store

__all__ = ["known_people"]

_KINDS: dict[str, Literal["user", "anonymous"]] = {
    "user_id": "user",
    "anonymous_id": "anonymous",
}

_NOW = """
SELECT type, value, profile, (
    SELECT min(at_ms) FROM refusals WHERE identifier = number AND reason = 'other_user'
) FROM identifiers AS one WHERE type = 'user_id' OR (
    type = 'anonymous_id' AND NOT common AND EXISTS (
        SELECT 1 FROM identifiers AS other
        WHERE other.profile = one.profile AND other.number <> one.number
    )
)
"""
"""A device that was joined with nothing is left to the lake, which knows more of the past."""


def known_people(scope: Scope, at_ms: int | None) -> KnownPeople | None:
    """Returns the people of the only graph of a config; None if there is none yet.

    Args:
        at_ms: as of this time: by what had been received until then. None for now.
    """
    found = scope.configs("profiles")
    if len(found) != 1:
        return None
    ((id_, config),) = found.items()
    path = graph_path(scope.data_dir, id_)
    if not path.is_file():
        return None
    rules = rules_of(config)
    with closing(_opened(path, rules)) as store:
        identifiers, facts, changed, erased = store.db.execute(
            "SELECT (SELECT max(number) FROM identifiers), (SELECT max(id) FROM facts), "
            "(SELECT value FROM counters WHERE name = 'changes'), "
            "(SELECT value FROM counters WHERE name = 'erasures')"
        ).fetchone()
    # A refusal is a fact, so whatever changes a row changes one of these numbers.
    state = f"{id_}-{identifiers}-{facts}-{changed}-{erased}-{_digest(rules)}"
    if at_ms is None:
        rows: Callable[[], Iterator[KnownPerson]] = lambda: _now(path, rules)  # noqa: E731
        return KnownPeople(f"identity graph ({id_}), as known now", state, rows, path.parent)
    then = datetime.fromtimestamp(at_ms / 1000, UTC)
    return KnownPeople(
        f"identity graph ({id_}), as known on {then:%Y-%m-%d %H:%M} UTC",
        f"{state}-until-{at_ms}",
        lambda: _then(path, rules, at_ms),
        path.parent,
    )


def _opened(path: Path, rules: Rules) -> Store:
    store = Store(path, rules, reads=True)
    store.open()
    return store


def _digest(rules: Rules) -> str:
    return blake2b(repr(rules).encode(), digest_size=4).hexdigest()


def _now(path: Path, rules: Rules) -> Iterator[KnownPerson]:
    with closing(_opened(path, rules)) as store:
        for type_, value, profile, shared_ms in store.db.execute(_NOW):
            kind = _KINDS[type_]
            yield KnownPerson(kind, value, profile, None if kind == "user" else shared_ms)


def _then(path: Path, rules: Rules, at_ms: int) -> Iterator[KnownPerson]:
    """Makes the graph anew of what had been received until a time."""
    with closing(_opened(path, rules)) as store:
        session = Session(store.db, rules)
        graph = whole_graph(session.facts_until(at_ms), rules, session.parted(at_ms))
    shared: dict[Identifier, int] = {}
    for fact, decision in graph.decisions.items():
        for one, reason, _ in decision.refused:
            if reason == "other_user":
                shared[one] = min(fact.at_ms, shared.get(one, fact.at_ms))
    for profile in {id(one): one for one in graph.profiles.values()}.values():
        number = number_of(founder_of(profile, rules.kinds))
        for one in profile.seen:
            kind = _KINDS.get(one.type)
            if kind == "user":
                yield KnownPerson("user", one.value, number)
            elif kind == "anonymous" and len(profile.seen) > 1:
                yield KnownPerson("anonymous", one.value, number, shared.get(one))
