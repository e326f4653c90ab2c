"""Counts of the ledger add up."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from gateway.state.ledger.counts import DestinationCounts, Ledger, SourceCounts

numbers = st.integers(0, 10**9)
counters = st.dictionaries(st.text(max_size=5), numbers).map(Counter)


@given(numbers, numbers, numbers, counters)
def test_received_is_the_sum(
    accepted: int, duplicate: int, refused: int, discarded: Counter[str]
) -> None:
    """Received events are the accepted, discarded and duplicate ones; refused ones count apart."""
    counts = SourceCounts(accepted, duplicate, refused, discarded)
    assert counts.received == accepted + duplicate + sum(discarded.values())


@given(numbers, counters, counters, numbers)
def test_finished_is_the_sum(
    delivered: int, filtered: Counter[str], dead: Counter[str], retried: int
) -> None:
    """Finished events are the delivered, filtered and dead ones; retries do not count."""
    counts = DestinationCounts(delivered, filtered, dead, retried)
    assert counts.finished == delivered + sum(filtered.values()) + sum(dead.values())


def test_counts_are_kept_by_id() -> None:
    """Each source and each destination has one set of counts."""
    ledger = Ledger()
    ledger.source("web").accepted += 2
    ledger.destination("web").delivered += 1
    assert ledger.source("web").accepted == 2
    assert ledger.sources.keys() == ledger.destinations.keys() == {"web"}
    assert ledger.source("app") is not ledger.source("web")


def test_ledgers_share_nothing() -> None:
    """Two gateways in one process count apart."""
    one, other = Ledger(), Ledger()
    one.source("web").discarded["too_deep"] += 1
    one.destination("crm").dead["rejected"] += 1
    one.rejected_requests["invalid_json"] += 1
    assert other.source("web").discarded.total() == 0
    assert other.destination("crm").dead.total() == 0
    assert other.rejected_requests.total() == 0
