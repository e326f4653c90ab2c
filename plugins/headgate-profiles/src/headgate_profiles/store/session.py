"""The graph within one transaction: reads what `repair` asks for, and writes what it returns."""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from headgate_profiles.graph.facts import Component, Decision, Fact, Order, Refusal, number_of
from headgate_profiles.graph.repair import Decided, Repaired, repair
from headgate_profiles.graph.rules import Parted, Rules, founder_of
from headgate_profiles.graph.whole import companions
from headgate_profiles.identifiers import Identifier

__all__ = ["Move", "Session"]

_FACT = "facts.id, facts.at_ms, facts.message_id, facts.members, facts.forced, facts.kept, joined"
_NODE = "number, type, value, profile, first_ms, last_ms, common"


class Move(NamedTuple):
    """An identifier that has another profile now.

    Attributes:
        before: None for an identifier that is new.
    """

    identifier: Identifier
    before: int | None
    after: int


@dataclass(slots=True)
class _Node:
    """A row of `identifiers`."""

    number: int
    type: str
    value: str
    profile: int
    first_ms: int
    last_ms: int
    common: int


class _Row(NamedTuple):
    """A row of `facts`."""

    id: int
    at_ms: int
    message_id: str
    members: bytes
    forced: int
    kept: int
    joined: int


class Session:
    """The graph as one transaction sees it; a `headgate_profiles.graph.repair.History`.

    Attributes:
        db: the connection, for what else belongs into the same transaction.
    """

    def __init__(self, db: sqlite3.Connection, rules: Rules) -> None:
        self.db = db
        self._rules = rules
        self._nodes: dict[Identifier, _Node | None] = {}
        self._names: dict[int, Identifier] = {}
        self._fresh: set[Identifier] = set()
        self._ids: dict[Fact, int] = {}

    # -- learning ----------------------------------------------------------------

    def learn(self, facts: Iterable[Fact]) -> list[Move]:
        """Adds facts to the log, and brings the graph up to date with them."""
        first: dict[tuple[tuple[Identifier, ...], bool], Fact] = {}
        for fact in facts:
            known = first.setdefault((fact.ids, fact.forced), fact)
            if fact.order < known.order:
                first[fact.ids, fact.forced] = fact
        seeds = []
        for fact in first.values():
            seed = self._seed(fact)
            if seed is not None:
                seeds.append(seed)
        if not seeds:
            return []
        common = [one for seed in seeds for one in self._meet(seed.fact)]
        return self._repair([*seeds, *self.facts_of(common, but=seeds)])

    def decide_again(self, identifiers: Iterable[Identifier]) -> list[Move]:
        """Decides all facts with these identifiers anew, after something else has changed."""
        return self._repair(list(self.facts_of(identifiers)))

    def _repair(self, seeds: Sequence[Decided]) -> list[Move]:
        return self._write(repair(seeds, self, self._rules, self.parted()))

    def _seed(self, fact: Fact) -> Decided | None:
        """Returns the fact if it brings something new; an earlier time of a known set does."""
        members = self._packed(fact.ids)
        known = self.db.execute(
            f"SELECT {_FACT} FROM facts WHERE members = ? AND forced = ?", (members, fact.forced)
        ).fetchone()
        if known is None:
            return Decided(fact, None)
        row = _Row(*known)
        if (row.at_ms, row.message_id) <= (fact.at_ms, fact.message_id):
            return None
        self._delete(row)
        return Decided(fact, None)

    def _delete(self, row: _Row) -> None:
        self.db.execute("DELETE FROM facts WHERE id = ?", (row.id,))
        for place, number in enumerate(_unpacked(row.members)):
            key = number, row.kept >> place & 1, row.at_ms, row.id
            self.db.execute(
                "DELETE FROM members WHERE (identifier, kept, at_ms, fact) = (?, ?, ?, ?)", key
            )
            self.db.execute(
                "DELETE FROM refusals WHERE (identifier, at_ms, fact) = (?, ?, ?)",
                (number, row.at_ms, row.id),
            )

    def _meet(self, fact: Fact) -> list[Identifier]:
        """Counts the people that identifiers were seen with; returns those now shared by many."""
        found = []
        for one, other in companions(fact, self._rules):
            node, met = self._known(one), self._known(other)
            if node.common:
                continue
            added = self.db.execute(
                "INSERT OR IGNORE INTO met VALUES (?, ?, ?)", (node.number, other.type, met.number)
            ).rowcount
            if not added or self._companions(node, other.type) <= self._rules.max_companions:
                continue
            node.common = 1
            self.db.execute("UPDATE identifiers SET common = 1 WHERE number = ?", (node.number,))
            found.append(one)
        return found

    def _companions(self, node: _Node, type_: str) -> int:
        (count,) = self.db.execute(
            "SELECT count(*) FROM met WHERE identifier = ? AND type = ?", (node.number, type_)
        ).fetchone()
        return int(count)

    # -- what `repair` reads -------------------------------------------------------

    def component(self, one: Identifier, before: Order) -> Component | None:
        """Returns the profile of an identifier just before a fact; None if it was not seen yet."""
        node = self._node(one)
        if node is None or one in self._fresh:
            return None
        nodes = self._profile(node.profile)
        if all(other.last_ms < before[0] for other in nodes):
            seen = {self._names[other.number]: other.first_ms for other in nodes}
            return Component(seen, self._merges(node.profile))
        return self._past(one, node, before)

    def _past(self, one: Identifier, node: _Node, before: Order) -> Component | None:
        """Follows the facts that joined identifiers until then."""
        found = Component()
        waiting, walked = [node.number], {node.number}
        facts: set[int] = set()
        while waiting:
            number = waiting.pop()
            for row, fact in self._facts(number, kept=1, until_ms=before[0]):
                if row.id in facts or fact.order >= before:
                    continue
                facts.add(row.id)
                found.merges += row.joined
                for place, other in enumerate(_unpacked(row.members)):
                    if row.kept >> place & 1 and other not in walked:
                        walked.add(other)
                        waiting.append(other)
        if not facts and not any(
            fact.order < before for _, fact in self._facts(node.number, kept=0, until_ms=before[0])
        ):
            return None
        for number in walked:
            self._load([number])
            name = self._names[number]
            seen = self._node(name)
            assert seen is not None
            found.seen[name] = seen.first_ms
        return found

    def later(self, one: Identifier, after: Order) -> Iterator[Decided]:
        """Returns the stored facts with an identifier that come after a fact."""
        node = self._node(one)
        if node is None or one in self._fresh or node.last_ms < after[0]:
            return
        for kept in (0, 1):
            for row, fact in self._facts(node.number, kept=kept, since_ms=after[0]):
                if fact.order > after:
                    yield self._decided(row, fact)

    def is_common(self, one: Identifier) -> bool:
        """Tells whether many people share an identifier."""
        node = self._node(one)
        return node is not None and bool(node.common)

    def parted(self) -> Parted:
        """Returns the pairs that a person has parted, and has not joined again since."""
        pairs: dict[frozenset[Identifier], bool] = {}
        rows = self.db.execute("SELECT kind, first, second FROM choices ORDER BY at_ms, id")
        for kind, first, second in rows.fetchall():
            self._load([first, second])
            pairs[frozenset({self._names[first], self._names[second]})] = kind == "unmerge"
        return frozenset(pair for pair, is_parted in pairs.items() if is_parted)

    def facts_of(
        self, identifiers: Iterable[Identifier], but: Sequence[Decided] = ()
    ) -> Iterator[Decided]:
        """Yields all stored facts with identifiers, each once."""
        done = {one.fact for one in but}
        for one in identifiers:
            node = self._node(one)
            for kept in (0, 1) if node is not None else ():
                assert node is not None
                for row, fact in self._facts(node.number, kept=kept):
                    if fact not in done:
                        done.add(fact)
                        yield self._decided(row, fact)

    def _facts(
        self, number: int, *, kept: int, since_ms: int = -1, until_ms: int = 1 << 62
    ) -> list[tuple[_Row, Fact]]:
        rows = self.db.execute(
            f"SELECT {_FACT} FROM members JOIN facts ON facts.id = members.fact "
            "WHERE identifier = ? AND members.kept = ? AND members.at_ms BETWEEN ? AND ?",
            (number, kept, since_ms, until_ms),
        ).fetchall()
        return [(row, self._fact(row)) for row in map(_Row._make, rows)]

    def _fact(self, row: _Row) -> Fact:
        numbers = _unpacked(row.members)
        self._load(numbers)
        ids = self._rules.kinds.sort({self._names[number] for number in numbers})
        fact = Fact(row.at_ms, row.message_id, ids, bool(row.forced))
        self._ids[fact] = row.id
        return fact

    def _decided(self, row: _Row, fact: Fact) -> Decided:
        kept = {
            self._names[number]
            for place, number in enumerate(_unpacked(row.members))
            if row.kept >> place & 1
        }
        refused = ()
        if len(kept) < len(fact.ids):
            rows = self.db.execute(
                "SELECT identifier, reason, type FROM refusals WHERE fact = ? AND at_ms = ? "
                f"AND identifier IN ({', '.join('?' * len(fact.ids))})",
                (row.id, row.at_ms, *_unpacked(row.members)),
            ).fetchall()
            found = [Refusal(self._names[number], why, type_) for number, why, type_ in rows]
            found.sort(key=lambda one: self._rules.kinds.rank(one.identifier), reverse=True)
            refused = tuple(found)
        ordered = tuple(one for one in fact.ids if one in kept)
        return Decided(fact, Decision(ordered, refused, row.joined))

    # -- writing -------------------------------------------------------------------

    def _write(self, repaired: Repaired) -> list[Move]:
        for fact, decision in repaired.decisions:
            assert decision is not None
            self._write_decision(fact, decision)
        moves: list[Move] = []
        left: set[int] = set()
        merges: dict[int, int] = {}
        for profile in {id(one): one for one in repaired.profiles.values()}.values():
            number = number_of(founder_of(profile, self._rules.kinds))
            merges[number] = profile.merges
            for one in profile.seen:
                node = self._known(one)
                if one in self._fresh:
                    moves.append(Move(one, None, number))
                elif node.profile != number:
                    moves.append(Move(one, node.profile, number))
                    left.add(node.profile)
                else:
                    continue
                node.profile = number
                self.db.execute(
                    "UPDATE identifiers SET profile = ? WHERE number = ?", (number, node.number)
                )
        self._fresh.clear()
        if left:
            self.db.execute("UPDATE counters SET value = value + 1 WHERE name = 'changes'")
        self.db.executemany(
            "DELETE FROM merges WHERE profile = ?", [(one,) for one in left - merges.keys()]
        )
        for number, count in merges.items():
            if count:
                self.db.execute("INSERT OR REPLACE INTO merges VALUES (?, ?)", (number, count))
            elif left:
                self.db.execute("DELETE FROM merges WHERE profile = ?", (number,))
        return moves

    def _write_decision(self, fact: Fact, decision: Decision) -> None:
        numbers = {self._known(one).number: one for one in fact.ids}
        kept = set(decision.kept)
        mask = sum(
            1 << place for place, number in enumerate(sorted(numbers)) if numbers[number] in kept
        )
        id_ = self._ids.get(fact)
        if id_ is None:
            id_ = self.db.execute(
                "INSERT INTO facts (at_ms, message_id, members, forced, kept, joined) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (
                    fact.at_ms,
                    fact.message_id,
                    _pack(sorted(numbers)),
                    fact.forced,
                    mask,
                    decision.joined,
                ),
            ).lastrowid
            assert id_ is not None
            self._ids[fact] = id_
        else:
            self.db.execute(
                "UPDATE facts SET kept = ?, joined = ? WHERE id = ?", (mask, decision.joined, id_)
            )
            for number in numbers:
                for held in (0, 1):
                    self.db.execute(
                        "DELETE FROM members WHERE (identifier, kept, at_ms, fact) = (?, ?, ?, ?)",
                        (number, held, fact.at_ms, id_),
                    )
                self.db.execute(
                    "DELETE FROM refusals WHERE (identifier, at_ms, fact) = (?, ?, ?)",
                    (number, fact.at_ms, id_),
                )
        for number, one in numbers.items():
            self.db.execute(
                "INSERT INTO members VALUES (?, ?, ?, ?)", (number, one in kept, fact.at_ms, id_)
            )
            node = self._known(one)
            if one in self._fresh or fact.at_ms < node.first_ms or fact.at_ms > node.last_ms:
                node.first_ms = min(node.first_ms, fact.at_ms)
                node.last_ms = max(node.last_ms, fact.at_ms)
                self.db.execute(
                    "UPDATE identifiers SET first_ms = ?, last_ms = ? WHERE number = ?",
                    (node.first_ms, node.last_ms, number),
                )
        for one, reason, type_ in decision.refused:
            self.db.execute(
                "INSERT OR REPLACE INTO refusals VALUES (?, ?, ?, ?, ?)",
                (self._known(one).number, fact.at_ms, id_, reason, type_),
            )

    # -- cursors and counters ----------------------------------------------------------

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

    # -- identifiers -----------------------------------------------------------------

    def _node(self, one: Identifier) -> _Node | None:
        if one in self._nodes:
            return self._nodes[one]
        row = self.db.execute(
            f"SELECT {_NODE} FROM identifiers WHERE value = ? AND type = ?", (one.value, one.type)
        ).fetchone()
        if row is None:
            self._nodes[one] = None
            return None
        return self._keep(row)

    def _known(self, one: Identifier) -> _Node:
        node = self._node(one)
        assert node is not None
        return node

    def _packed(self, ids: Iterable[Identifier]) -> bytes:
        """Returns the key of a set of identifiers; those that are new get numbers."""
        numbers = []
        for one in ids:
            node = self._node(one)
            if node is None:
                # Times are set when the fact is written: the least and the most of its facts.
                number = self.db.execute(
                    "INSERT INTO identifiers (type, value, profile, first_ms, last_ms) "
                    "VALUES (?, ?, 0, 0, 0)",
                    one,
                ).lastrowid
                assert number is not None
                node = self._keep((number, one.type, one.value, 0, 1 << 62, -1, 0))
                self._fresh.add(one)
            numbers.append(node.number)
        return _pack(sorted(numbers))

    def _profile(self, number: int) -> list[_Node]:
        rows = self.db.execute(f"SELECT {_NODE} FROM identifiers WHERE profile = ?", (number,))
        return [self._keep(row) for row in rows.fetchall()]

    def _load(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            if number not in self._names:
                row = self.db.execute(
                    f"SELECT {_NODE} FROM identifiers WHERE number = ?", (number,)
                ).fetchone()
                self._keep(row)

    def _keep(self, row: tuple[int, str, str, int, int, int, int]) -> _Node:
        name = Identifier(row[1], row[2])
        known = self._nodes.get(name)
        if known is None:
            known = self._nodes[name] = _Node(*row)
            self._names[known.number] = name
        return known

    def _merges(self, profile: int) -> int:
        row = self.db.execute("SELECT merges FROM merges WHERE profile = ?", (profile,)).fetchone()
        return 0 if row is None else int(row[0])


def _pack(numbers: Sequence[int]) -> bytes:
    return struct.pack(f"<{len(numbers)}I", *numbers)


def _unpacked(members: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(members) // 4}I", members)
