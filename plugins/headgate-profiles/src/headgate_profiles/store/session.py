"""The graph within one transaction: learns facts, and writes what follows from them."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from headgate_profiles.graph.facts import Component, Decision, Fact, number_of
from headgate_profiles.graph.repair import Decided, Repaired, repair
from headgate_profiles.graph.rules import Rules, founder_of
from headgate_profiles.graph.whole import companions
from headgate_profiles.identifiers import Identifier
from headgate_profiles.store.history import StoredHistory
from headgate_profiles.store.rows import FACT, FactRow, Node, pack
from headgate_profiles.traits.tables import FORGET, FORGET_PROFILE

__all__ = ["Move", "Session"]

_NEVER_MS = 1 << 62

_DROP = (
    "DELETE FROM met WHERE identifier = :number",
    "DELETE FROM met WHERE other = :number",
    "DELETE FROM choices WHERE first = :number OR second = :number",
    "DELETE FROM identifiers WHERE number = :number",
    *FORGET,
)


class Move(NamedTuple):
    """An identifier that has another profile now.

    Attributes:
        before: None for an identifier that is new.
    """

    identifier: Identifier
    before: int | None
    after: int


class Session(StoredHistory):
    """The graph as one transaction sees and changes it."""

    def __init__(self, db: sqlite3.Connection, rules: Rules) -> None:
        super().__init__(db, rules)
        self._number = 0
        self._fresh_met: dict[tuple[int, str], set[int]] = {}
        self._rewrote = False

    def learn(self, facts: Iterable[Fact]) -> list[Move]:
        """Adds facts to the log, and brings the graph up to date with them."""
        first: dict[tuple[tuple[Identifier, ...], bool], Fact] = {}
        for fact in facts:
            known = first.setdefault((fact.ids, fact.forced), fact)
            if fact.order < known.order:
                first[fact.ids, fact.forced] = fact
        seeds = [Decided(fact, None) for fact in first.values() if self._is_new(fact)]
        if not seeds:
            return []
        common = [one for seed in seeds for one in self._meet(seed.fact)]
        return self._repair([*seeds, *self.facts_of(common, but=seeds)])

    def decide_again(self, identifiers: Iterable[Identifier]) -> list[Move]:
        """Decides all facts with these identifiers anew, after something else has changed."""
        return self._repair(list(self.facts_of(identifiers)))

    def forget(self, fact: Fact) -> None:
        """Takes a stored fact out of the log."""
        self._forget(self._ids[fact], fact)

    def drop(self, gone: Collection[Identifier], profiles: Iterable[int]) -> None:
        """Removes identifiers whose facts are all forgotten, and their profiles."""
        for one in gone:
            number = self._known(one).number
            for statement in _DROP:
                self.db.execute(statement, {"number": number})
            del self._names[number]
            self._nodes[one] = None
        numbers = [(one,) for one in profiles]
        for statement in ("DELETE FROM merges WHERE profile = ?", *FORGET_PROFILE):
            self.db.executemany(statement, numbers)
        self.db.execute(
            "UPDATE counters SET value = value + 1 WHERE name IN ('changes', 'erasures')"
        )

    def number(self, one: Identifier) -> int:
        """Returns the number of an identifier that was seen."""
        return self._known(one).number

    def cursor(self, queue_id: str) -> int:
        """Returns the offset from which on no event of a queue is in the graph."""
        row = self.db.execute("SELECT next FROM cursors WHERE queue_id = ?", (queue_id,)).fetchone()
        return int(row[0]) if row else 0

    def advance(self, queue_id: str, following: int) -> None:
        """Moves the cursor of a queue, never back."""
        self.db.execute(
            "INSERT INTO cursors VALUES (?1, ?2) "
            "ON CONFLICT (queue_id) DO UPDATE SET next = max(next, ?2)",
            (queue_id, following),
        )

    def _forget(self, id_: int, fact: Fact) -> None:
        self._rewrote = True
        del self._ids[fact]
        self.db.execute("DELETE FROM facts WHERE id = ?", (id_,))
        numbers = [self._known(one).number for one in fact.ids]
        self._delete_decision(numbers, fact.at_ms, id_)

    def _repair(self, seeds: Sequence[Decided]) -> list[Move]:
        return self._write(repair(seeds, self, self.rules, self.parted()))

    def _is_new(self, fact: Fact) -> bool:
        """Tells whether a fact brings something new; an earlier time of a known set does."""
        members = pack(sorted(self._numbered(one).number for one in fact.ids))
        if any(one in self._fresh for one in fact.ids):
            return True
        known = self.db.execute(
            f"SELECT {FACT} FROM facts WHERE members = ? AND forced = ?", (members, fact.forced)
        ).fetchone()
        if known is None:
            return True
        row = FactRow(*known)
        if (row.at_ms, row.message_id) <= (fact.at_ms, fact.message_id):
            return False
        self._forget(row.id, self._fact(row))
        return True

    def _numbered(self, one: Identifier) -> Node:
        """Returns the node of an identifier; one that is new gets a number."""
        node = self._node(one)
        if node is None:
            if not self._number:
                (self._number,) = self.db.execute(
                    "SELECT value FROM counters WHERE name = 'numbers'"
                ).fetchone()
            self._number += 1
            node = Node(self._number, one.type, one.value, 0, _NEVER_MS, -1, 0)
            self._nodes[one] = self._fresh[one] = node
            self._names[node.number] = one
        return node

    def _meet(self, fact: Fact) -> list[Identifier]:
        """Counts the people that identifiers were seen with; returns those now shared by many."""
        found = []
        for one, other in companions(fact, self.rules):
            node, met = self._known(one), self._known(other)
            if node.common or (count := self._met(node, one, other.type, met.number)) is None:
                continue
            if count > self.rules.max_companions:
                node.common = 1
                self.db.execute(
                    "UPDATE identifiers SET common = 1 WHERE number = ?", (node.number,)
                )
                found.append(one)
        return found

    def _met(self, node: Node, one: Identifier, type_: str, other: int) -> int | None:
        """Notes that an identifier was seen with another; returns with how many of its type.

        None if that is nothing new.
        """
        if one in self._fresh:  # what is not stored yet is counted here, which costs less
            others = self._fresh_met.setdefault((node.number, type_), set())
            if other in others:
                return None
            others.add(other)
            return len(others)
        added = self.db.execute(
            "INSERT OR IGNORE INTO met VALUES (?, ?, ?)", (node.number, type_, other)
        ).rowcount
        if not added:
            return None
        (count,) = self.db.execute(
            "SELECT count(*) FROM met WHERE identifier = ? AND type = ?", (node.number, type_)
        ).fetchone()
        return int(count)

    # -- writing -------------------------------------------------------------------

    def _write(self, repaired: Repaired) -> list[Move]:
        self._write_decisions(repaired.decisions)
        moves: list[Move] = []
        left: set[int] = set()
        merges: dict[int, int] = {}
        for profile in {id(one): one for one in repaired.profiles.values()}.values():
            number = number_of(founder_of(profile, self.rules.kinds))
            merges[number] = profile.merges
            left |= self._write_profile(number, profile, moves)
        if self._fresh:
            self._write_fresh()
        self.db.executemany(
            "DELETE FROM merges WHERE profile = ?", [(one,) for one in left - merges.keys()]
        )
        for number, count in merges.items():
            if count:
                self.db.execute("INSERT OR REPLACE INTO merges VALUES (?, ?)", (number, count))
            elif left or self._rewrote:
                self.db.execute("DELETE FROM merges WHERE profile = ?", (number,))
        if left or self._rewrote:
            self.db.execute("UPDATE counters SET value = value + 1 WHERE name = 'changes'")
        return moves

    def _write_profile(self, number: int, profile: Component, moves: list[Move]) -> set[int]:
        """Gives identifiers their profile; returns the profiles that they had before."""
        left = set()
        for one in profile.seen:
            node = self._known(one)
            if one in self._fresh:
                moves.append(Move(one, None, number))
                node.profile = number
            elif node.profile != number:
                moves.append(Move(one, node.profile, number))
                left.add(node.profile)
                node.profile = number
                self.db.execute(
                    "UPDATE identifiers SET profile = ? WHERE number = ?", (number, node.number)
                )
        return left

    def _write_fresh(self) -> None:
        self.db.executemany(
            "INSERT INTO identifiers (number, type, value, profile, first_ms, last_ms, common) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (n.number, n.type, n.value, n.profile, n.first_ms, n.last_ms, n.common)
                for n in self._fresh.values()
            ],
        )
        self.db.execute("UPDATE counters SET value = ? WHERE name = 'numbers'", (self._number,))
        self.db.executemany(
            "INSERT INTO met VALUES (?, ?, ?)",
            [(*key, other) for key, others in self._fresh_met.items() for other in others],
        )
        self._fresh.clear()
        self._fresh_met.clear()

    def _write_decisions(self, decisions: Iterable[Decided]) -> None:
        facts: list[tuple[object, ...]] = []
        members: list[tuple[object, ...]] = []
        refusals: list[tuple[object, ...]] = []
        following = 0
        for fact, decision in decisions:
            assert decision is not None
            kept = set(decision.kept)
            numbers = {self._known(one).number: one for one in fact.ids}
            ordered = sorted(numbers)
            mask = sum(1 << place for place, one in enumerate(ordered) if numbers[one] in kept)
            id_ = self._ids.get(fact)
            if id_ is None:
                following = following or self._next_fact()
                id_ = self._ids[fact] = following
                following += 1
                facts.append((id_, *fact[:2], pack(ordered), fact.forced, mask, decision.joined))
            else:
                self._rewrote = True
                self.db.execute(
                    "UPDATE facts SET kept = ?, joined = ? WHERE id = ?",
                    (mask, decision.joined, id_),
                )
                self._delete_decision(ordered, fact.at_ms, id_)
            members += [(n, one in kept, fact.at_ms, id_) for n, one in numbers.items()]
            refusals += self._refusal_rows(fact, decision, id_)
            for one in fact.ids:
                self._note_time(one, fact.at_ms)
        self.db.executemany("INSERT INTO facts VALUES (?, ?, ?, ?, ?, ?, ?)", facts)
        self.db.executemany("INSERT INTO members VALUES (?, ?, ?, ?)", members)
        self.db.executemany("INSERT INTO refusals VALUES (?, ?, ?, ?, ?)", refusals)

    def _refusal_rows(self, fact: Fact, decision: Decision, id_: int) -> list[tuple[object, ...]]:
        return [
            (self._known(one).number, fact.at_ms, id_, reason, type_)
            for one, reason, type_ in decision.refused
        ]

    def _note_time(self, one: Identifier, at_ms: int) -> None:
        node = self._known(one)
        if node.first_ms <= at_ms <= node.last_ms:
            return
        node.first_ms = min(node.first_ms, at_ms)
        node.last_ms = max(node.last_ms, at_ms)
        if one not in self._fresh:
            self.db.execute(
                "UPDATE identifiers SET first_ms = ?, last_ms = ? WHERE number = ?",
                (node.first_ms, node.last_ms, node.number),
            )

    def _next_fact(self) -> int:
        (last,) = self.db.execute("SELECT max(id) FROM facts").fetchone()
        return (last or 0) + 1

    def _delete_decision(self, numbers: Iterable[int], at_ms: int, id_: int) -> None:
        for number in numbers:
            for kept in (0, 1):
                self.db.execute(
                    "DELETE FROM members WHERE (identifier, kept, at_ms, fact) = (?, ?, ?, ?)",
                    (number, kept, at_ms, id_),
                )
            self.db.execute(
                "DELETE FROM refusals WHERE (identifier, at_ms, fact) = (?, ?, ?)",
                (number, at_ms, id_),
            )
