"""The stored facts and decisions, as one transaction sees them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence

from headgate_profiles.graph.facts import Component, Decision, Fact, Order, Refusal
from headgate_profiles.graph.repair import Decided
from headgate_profiles.graph.rules import Parted, Rules
from headgate_profiles.identifiers import Identifier
from headgate_profiles.store.rows import FACT, NODE, FactRow, Node, unpacked

__all__ = ["StoredHistory"]


class StoredHistory:
    """Reads facts and decisions; a `headgate_profiles.graph.repair.History`.

    Attributes:
        db: the connection, for what else belongs into the same transaction.
        rules: the bounds of profiles.
    """

    def __init__(self, db: sqlite3.Connection, rules: Rules) -> None:
        self.db = db
        self.rules = rules
        self._nodes: dict[Identifier, Node | None] = {}
        self._names: dict[int, Identifier] = {}
        self._fresh: dict[Identifier, Node] = {}
        self._ids: dict[Fact, int] = {}

    def component(self, one: Identifier, before: Order) -> Component | None:
        """Returns the profile of an identifier just before a fact; None if it was not seen yet."""
        node = self._node(one)
        if node is None or one in self._fresh:
            return None
        nodes = self._profile(node.profile)
        at_ms = before[0]
        if all(other.last_ms < at_ms for other in nodes):
            seen = {self._names[other.number]: other.first_ms for other in nodes}
            return Component(seen, self.merges(node.profile))
        return self._past(node, before)

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

    def parted(self, until_ms: int = 1 << 62) -> Parted:
        """Returns the pairs that a person has parted by a time, and has not joined again since."""
        pairs: dict[frozenset[Identifier], bool] = {}
        rows = self.db.execute(
            "SELECT kind, first, second FROM choices WHERE at_ms <= ? ORDER BY at_ms, id",
            (until_ms,),
        )
        for kind, first, second in rows.fetchall():
            names = self._named((first, second))
            pairs[frozenset(names)] = kind == "unmerge"
        return frozenset(pair for pair, is_parted in pairs.items() if is_parted)

    def facts_of(
        self, identifiers: Iterable[Identifier], but: Sequence[Decided] = ()
    ) -> Iterator[Decided]:
        """Yields all stored facts with identifiers, each once."""
        done = {one.fact for one in but}
        for one in identifiers:
            node = self._node(one)
            if node is None or one in self._fresh:
                continue
            for kept in (0, 1):
                for row, fact in self._facts(node.number, kept=kept):
                    if fact not in done:
                        done.add(fact)
                        yield self._decided(row, fact)

    def facts_until(self, at_ms: int) -> Iterator[Fact]:
        """Yields all facts that were received until a time, in no order."""
        rows = self.db.execute(f"SELECT {FACT} FROM facts WHERE at_ms <= ?", (at_ms,))
        for row in rows:
            yield self._fact(FactRow(*row))

    def identifiers(self, profile: int) -> list[Identifier]:
        """Returns the identifiers of a profile, the one that says most first."""
        found = {Identifier(node.type, node.value) for node in self._profile(profile)}
        return list(self.rules.kinds.sort(found))

    def profile(self, one: Identifier) -> int | None:
        """Returns the profile of an identifier; None if it was never seen."""
        node = self._node(one)
        return None if node is None else node.profile

    def merges(self, profile: int) -> int:
        """Returns how often profiles became one in the past of a profile."""
        row = self.db.execute("SELECT merges FROM merges WHERE profile = ?", (profile,)).fetchone()
        return 0 if row is None else int(row[0])

    def first_ms(self, one: Identifier) -> int:
        """Returns when an identifier was first seen."""
        return self._known(one).first_ms

    def shared_ms(self, one: Identifier) -> int | None:
        """Returns when an identifier was first seen with another user than its own, if ever."""
        (found,) = self.db.execute(
            "SELECT min(at_ms) FROM refusals WHERE identifier = ? AND reason = 'other_user'",
            (self._known(one).number,),
        ).fetchone()
        return None if found is None else int(found)

    # -- rows ------------------------------------------------------------------------

    def _past(self, node: Node, before: Order) -> Component | None:
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
                for place, other in enumerate(unpacked(row.members)):
                    if row.kept >> place & 1 and other not in walked:
                        walked.add(other)
                        waiting.append(other)
        if not facts and not any(
            fact.order < before for _, fact in self._facts(node.number, kept=0, until_ms=before[0])
        ):
            return None
        for name in self._named(walked):
            found.seen[name] = self._known(name).first_ms
        return found

    def _facts(
        self, number: int, *, kept: int, since_ms: int = -1, until_ms: int = 1 << 62
    ) -> list[tuple[FactRow, Fact]]:
        rows = self.db.execute(
            f"SELECT {FACT} FROM members JOIN facts ON facts.id = members.fact "
            "WHERE identifier = ? AND members.kept = ? AND members.at_ms BETWEEN ? AND ?",
            (number, kept, since_ms, until_ms),
        ).fetchall()
        return [(row, self._fact(row)) for row in map(FactRow._make, rows)]

    def _fact(self, row: FactRow) -> Fact:
        ids = self.rules.kinds.sort(set(self._named(unpacked(row.members))))
        fact = Fact(row.at_ms, row.message_id, ids, bool(row.forced))
        self._ids[fact] = row.id
        return fact

    def _decided(self, row: FactRow, fact: Fact) -> Decided:
        numbers = unpacked(row.members)
        kept = {self._names[one] for place, one in enumerate(numbers) if row.kept >> place & 1}
        refused: list[Refusal] = []
        if len(kept) < len(fact.ids):
            for number in numbers:
                rows = self.db.execute(
                    "SELECT reason, type FROM refusals WHERE (identifier, at_ms, fact) = (?, ?, ?)",
                    (number, row.at_ms, row.id),
                ).fetchall()
                refused += [Refusal(self._names[number], *found) for found in rows]
            refused.sort(key=lambda one: self.rules.kinds.rank(one.identifier), reverse=True)
        ordered = tuple(one for one in fact.ids if one in kept)
        return Decided(fact, Decision(ordered, tuple(refused), row.joined))

    # -- identifiers -------------------------------------------------------------------

    def _node(self, one: Identifier) -> Node | None:
        try:
            return self._nodes[one]
        except KeyError:
            pass
        row = self.db.execute(
            f"SELECT {NODE} FROM identifiers WHERE value = ? AND type = ?", (one.value, one.type)
        ).fetchone()
        if row is None:
            self._nodes[one] = None
            return None
        return self._keep(row)

    def _known(self, one: Identifier) -> Node:
        node = self._node(one)
        assert node is not None
        return node

    def _named(self, numbers: Iterable[int]) -> list[Identifier]:
        found = []
        for number in numbers:
            name = self._names.get(number)
            if name is None:
                row = self.db.execute(
                    f"SELECT {NODE} FROM identifiers WHERE number = ?", (number,)
                ).fetchone()
                node = self._keep(row)
                name = Identifier(node.type, node.value)
            found.append(name)
        return found

    def _profile(self, number: int) -> list[Node]:
        rows = self.db.execute(f"SELECT {NODE} FROM identifiers WHERE profile = ?", (number,))
        return [self._keep(row) for row in rows.fetchall()]

    def _keep(self, row: tuple[int, str, str, int, int, int, int]) -> Node:
        known = self._names.get(row[0])
        if known is not None:
            return self._known(known)
        node = Node(*row)
        name = Identifier(node.type, node.value)
        self._nodes[name] = node
        self._names[node.number] = name
        return node
