"""Merges and partings by a person. They are facts like others, so they can be undone."""

from __future__ import annotations

from headgate_profiles.graph.facts import Fact
from headgate_profiles.identifiers import Identifier
from headgate_profiles.store.session import Move, Session

__all__ = ["merge", "unmerge"]


def merge(session: Session, first: Identifier, second: Identifier, at_ms: int) -> list[Move]:
    """Joins the profiles of two identifiers, whatever the rules say but for the bounds on size."""
    _note(session, "merge", first, second, at_ms)
    ids = session.rules.kinds.sort({first, second})
    moves = session.learn([Fact(at_ms, f"merge {first} {second}", ids, forced=True)])
    return moves + session.decide_again([first, second])


def unmerge(session: Session, first: Identifier, second: Identifier, at_ms: int) -> list[Move]:
    """Parts two identifiers: no fact joins them any more, neither an old nor a new one."""
    profile = session.profile(first)
    assert profile is not None
    joined = session.identifiers(profile)
    _note(session, "unmerge", first, second, at_ms)
    return session.decide_again(joined)


def _note(session: Session, kind: str, first: Identifier, second: Identifier, at_ms: int) -> None:
    numbers = [session.number(one) for one in (first, second)]
    session.db.execute(
        "INSERT INTO choices (at_ms, kind, first, second) VALUES (?, ?, ?, ?)",
        (at_ms, kind, *numbers),
    )
